//! The command `trainer`; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    staticnet_trainer::cli::main()
}
