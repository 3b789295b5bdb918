//! The witness from outside: the whole loop, the last door, the process.

mod collateral;
mod common;
mod feed;
mod process;
mod record;
mod release;
mod tdx;
mod tenants;
mod whole_loop;
