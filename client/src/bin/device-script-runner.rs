//! The process that runs device scripts, for tests of this crate; the program `portcullis` brings its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    client::script_runner_main()
}
