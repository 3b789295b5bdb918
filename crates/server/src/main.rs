//! `zeuged`: the program. Everything is in [`zeuge_server::program`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    zeuge_server::program::main()
}
