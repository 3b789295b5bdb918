//! The program `zeuge-kube`.

use std::process::ExitCode;

fn main() -> ExitCode {
    zeuge_kube::main()
}
