//! The witness from outside: the whole loop, the last door, the process.

mod collateral;
mod common;
mod crash;
mod feed;
mod power;
mod process;
mod races;
mod record;
mod release;
mod reports;
mod tdx;
mod tenants;
mod tpm;
mod whole_loop;
