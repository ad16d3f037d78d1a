//! `ctrace-rec`: records what containers do. From the kernel's rings to a file, the data runs one way:
//! `kernel` (or `raw`) -> `merge` -> `decode` -> `resolve` -> `batch` -> `sink`.

mod calls;
mod cli;
mod containers;
mod filters;
mod flight;
mod kernel;
mod limits;
mod output;
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
    // Exit codes: 0 done (with a command: the command's), 2 an error. clap exits with 2 too.
    match cli::config::parse(std::env::args_os().collect()).and_then(perform) {
        Ok(code) => code,
        Err(error) => {
            // Nobody to tell that stderr is closed.
            let _ = writeln!(io::stderr(), "ctrace-rec: {error:#}");
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
        Some(Command::Dump { pid, quiet }) => flight::socket::ask(*pid, *quiet, &mut out)?,
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
        // A reader that has seen enough (`| head`) is no error.
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e).context("cannot write to stdout"),
        _ => Ok(ExitCode::SUCCESS),
    }
}
