//! The program `ctrace-rec`: records what containers do.

use std::process::ExitCode;

fn main() -> ExitCode {
    ctrace_recorder::run()
}
