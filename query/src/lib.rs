//! The query program of ctrace: answers SQL and ready questions about recordings.

mod cli;
mod commands;
mod engine;
mod errors;
mod messages;
mod output;
mod questions;
mod rewrite;
mod shell;
mod source;

use std::process::ExitCode;

use anyhow::Context;

use cli::{CliTask, Invocation, Query};
use output::AnswerDestination;

/// Runs the program with the arguments of the process, and returns its exit code.
pub fn run() -> ExitCode {
    let invocation = cli::parse();
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        // The panic of a reader of a damaged file becomes an error below.
        std::panic::set_hook(Box::new(|_| {}));
    }
    let result = std::panic::catch_unwind(|| perform(invocation));
    match result.unwrap_or_else(|panic| Err(messages::panic_error(panic.as_ref()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if output::is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            messages::error(&format!("{error:#}"));
            ExitCode::from(2)
        }
    }
}

fn perform(invocation: Invocation) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // One more than a query needs: a query may block threads for long, and the clock and the next query must not wait.
        .worker_threads(cores + 1)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let Invocation { task, options } = invocation;
    let engine = commands::new_engine(&options, cores);
    let screen = AnswerDestination::Stdout;
    let query = match task {
        CliTask::Command(command) => {
            let running = commands::run_command(&command, &options, &engine, screen);
            return runtime.block_on(running);
        }
        CliTask::Sql {
            sql: None,
            file: None,
        } if shell::is_wanted() => {
            let result = shell::run(&runtime, engine, &options);
            // A query that was stopped may still be busy.
            runtime.shutdown_background();
            return result;
        }
        CliTask::Sql { sql, file } => {
            Query::Sql(commands::given_sql(sql.as_deref(), file.as_deref())?)
        }
        CliTask::Query(query) => query,
    };
    runtime.block_on(commands::answer_query(&engine, &query, &options, screen))?;
    if let Some(path) = options.output.filter(|_| !query.shows_sql()) {
        messages::status("wrote", &path.display().to_string());
    }
    Ok(())
}
