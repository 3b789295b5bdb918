//! The program `kubectl-zeuge`, which kubectl finds as `kubectl zeuge`.

use std::process::ExitCode;

fn main() -> ExitCode {
    zeuge_kube::kubectl()
}
