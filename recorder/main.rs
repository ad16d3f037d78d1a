//! `ctrace-rec`: records what containers do. From the kernel's rings to a file, the data runs one way:
//! `kernel` (or `raw`) -> `merge` -> `decode` -> `resolve` -> `batch` -> `sink`.

mod addrs;
mod batch;
mod calls;
mod cli;
mod clock;
mod columns;
mod config;
mod containers;
mod decode;
mod definitions;
mod dns;
mod events;
mod filters;
mod kernel;
mod limits;
#[path = "../common/man.rs"]
mod man;
mod memory;
mod merge;
mod metrics;
mod names;
mod order;
mod output;
mod parts;
mod paths;
mod pipeline;
mod raw;
mod registry;
mod report;
mod resolve;
mod ring;
mod rollups;
mod room;
mod series;
mod service;
mod session;
mod shed;
mod sink;
mod sockets;
mod status;
mod watch;
mod wire;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;

use cli::{Cli, Command};

/// The reader of stdout has gone.
#[derive(Debug, thiserror::Error)]
#[error("the reader of the output has gone")]
struct Closed;

fn main() -> ExitCode {
    memory::keep_little();
    // Exit codes: 0 done (with a command: the command's), 2 an error. clap exits with 2 too.
    match config::parse(std::env::args_os().collect()).and_then(run) {
        Ok(code) => code,
        Err(error) => {
            // Nobody to tell that stderr is closed.
            let _ = writeln!(io::stderr(), "ctrace-rec: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(mut cli: Cli) -> Result<ExitCode> {
    let mut out = Vec::new();
    match &cli.command {
        Some(Command::Containers { format }) => {
            let running = containers::list(Path::new("/"))?;
            containers::print(&running, *format, &mut out)
                .context("cannot print the containers")?;
        }
        Some(Command::Dump { pid, quiet }) => ring::ask(*pid, *quiet, &mut out)?,
        Some(Command::Man) => {
            man::write(Cli::command(), "commands", cli::MAN, &mut out)
                .context("cannot print the man page")?;
        }
        Some(Command::Completions { shell }) => {
            clap_complete::generate(*shell, &mut Cli::command(), "ctrace-rec", &mut out);
        }
        None => {
            return match &cli.record.from_raw {
                Some(path) => {
                    cli.record.memory = cli.record.memory.unwatched();
                    session::replay(&cli.record, path)
                }
                None => session::record(&cli.record),
            };
        }
    }
    match io::stdout().write_all(&out) {
        // A reader that has seen enough (`| head`) is no error.
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e).context("cannot write to stdout"),
        _ => Ok(ExitCode::SUCCESS),
    }
}
