//! The witness from outside: the whole loop, the last door, the process.

mod clouds;
mod collateral;
mod common;
mod crash;
mod feed;
mod power;
mod process;
mod races;
mod record;
mod recovery;
mod release;
mod reports;
mod stops;
mod storage;
mod surface;
mod tdx;
mod tenants;
mod time;
mod tpm;
mod waivers;
mod whole_loop;
