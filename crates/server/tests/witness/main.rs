//! The witness from outside: the whole loop, the last door, the process.

mod collateral;
mod common;
mod process;
mod release;
mod tdx;
mod tenants;
mod whole_loop;
