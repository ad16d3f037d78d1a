//! The program `ctrace-query`: answers questions about recordings.

use std::process::ExitCode;

fn main() -> ExitCode {
    ctrace_query::run()
}
