//! The witness from outside: the whole loop, the last door, the process.

mod common;
mod process;
mod release;
mod whole_loop;
