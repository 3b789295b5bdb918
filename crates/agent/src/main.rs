//! `zeuge-agent`: the attester inside a confidential VM. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    zeuge_agent::main()
}
