//! The library of `ctrace-rec`, a flight recorder for containers.
//!
//! Data flows in one direction:
//!
//! ```text
//! kernel  →  records  →  resolve  →  rows  →  pipeline  →  sink
//! ```
//!
//! `kernel` loads the BPF programs and reads their rings; a raw capture can replace it. `records` merges the rings
//! into one order of time and decodes the bytes. `resolve` adds thread, container, file and peer to each record, and
//! stores it as one of `rows` in a batch. `pipeline` cuts the batches and passes them to the encoder thread, which
//! presents them as columns to a `sink`: Parquet, SQLite, JSON, strace's format, or the ring of `flight`. `session`
//! drives all of this, for a live recording or for a replay.
//!
//! `docs/architecture.md` describes the modules, the allowed directions of imports, and the threads.

/// Prints a line to stderr. If stderr is closed or full, there is no other place to report that, and the recording goes on.
macro_rules! say {
    ($($text:tt)*) => {{
        let _ = std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("{}\n", format_args!($($text)*)),
        );
    }};
}

mod calls;
mod cli;
mod confine;
mod containers;
mod files;
mod filters;
mod flight;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod kernel;
mod limits;
mod output;
mod peer;
mod pipeline;
mod plan;
mod progress;
mod records;
mod report;
mod resolve;
mod ring;
mod rollups;
mod rows;
mod session;
mod sink;
mod wire;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;
use ctrace_common::man;

use cli::{Cli, Command};

/// Runs `ctrace-rec` with the command line of this process.
pub fn run() -> ExitCode {
    limits::memory::limit_retained();
    // Exit codes: 0 for success, or the code of the recorded command; 2 for an error, as in clap.
    match cli::config::parse(std::env::args_os().collect()).and_then(perform) {
        Ok(code) => code,
        Err(error) => {
            say!("ctrace-rec: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn perform(cli: Cli) -> Result<ExitCode> {
    let mut out = Vec::new();
    match &cli.command {
        Some(Command::Containers { format }) => {
            let running = containers::list::list(Path::new("/"))?;
            containers::list::print(&running, *format, &mut out)
                .context("cannot print the containers")?;
        }
        Some(Command::Dump { pid, quiet }) => flight::socket::request_dump(*pid, *quiet, &mut out)?,
        Some(Command::Man) => {
            man::write(Cli::command(), "commands", cli::MAN, &mut out)
                .context("cannot print the man page")?;
        }
        Some(Command::Completions { shell }) => {
            clap_complete::generate(*shell, &mut Cli::command(), "ctrace-rec", &mut out);
        }
        None => {
            let plan = cli.record.plan()?;
            return match &plan.from_raw {
                Some(path) => session::replay::replay(&plan, path),
                None => session::live::record(plan),
            };
        }
    }
    match io::stdout().write_all(&out) {
        // A pipe that was closed by its reader (`| head`) is not an error.
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e).context("cannot write to stdout"),
        _ => Ok(ExitCode::SUCCESS),
    }
}
