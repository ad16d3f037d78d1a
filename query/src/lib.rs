//! The query program of ctrace: answers SQL and ready questions about recordings.

mod cli;
mod commands;
mod engine;
mod errors;
mod memory;
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
    // Syntax trees and plans are as deep as a statement's chains of operators are long, and are dropped recursively.
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    let result = match thread.spawn(|| perform(invocation)) {
        Ok(thread) => thread.join(),
        Err(error) => Ok(Err(error).context("cannot start a thread")),
    };
    match result.unwrap_or_else(|panic| Err(messages::panic_error(panic.as_ref()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if output::is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            messages::error(&format!("{error:#}"));
            ExitCode::from(2)
        }
    }
}

/// Bytes of the stack of the thread that plans statements.
const STACK_BYTES: usize = 256 << 20;
/// Bytes of the stack of each thread that runs plans.
const WORKER_STACK_BYTES: usize = 16 << 20;

fn perform(invocation: Invocation) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // One more than a query needs: a query may block threads for long, and the clock and the next query must not wait.
        .worker_threads(cores + 1)
        .thread_stack_size(WORKER_STACK_BYTES)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let Invocation { task, options } = invocation;
    let engine = commands::new_engine(&options, cores);
    memory::bound(engine.limits().memory_bytes);
    if let CliTask::Sql {
        sql: None,
        file: None,
    } = task
        && shell::is_wanted()
    {
        let result = shell::run(&runtime, engine, &options);
        // A query that was stopped may still be busy, and ends with the process. Its threads must not be detached: glibc before
        // 2.38 may crash if a detached thread ends at the same time (https://sourceware.org/bugzilla/show_bug.cgi?id=19951).
        std::mem::forget(runtime);
        return result;
    }
    let screen = AnswerDestination::Stdout;
    if let Some(limit) = options.timeout {
        commands::end_process_after(limit);
    }
    let query = match task {
        CliTask::Command(command) => {
            let running = commands::run_command(&command, &options, &engine, screen);
            return runtime.block_on(commands::within(options.timeout, running));
        }
        CliTask::Sql { sql, file } => {
            Query::Sql(commands::given_sql(sql.as_deref(), file.as_deref())?)
        }
        CliTask::Query(query) => query,
    };
    let answering = commands::answer_query(&engine, &query, &options, screen);
    runtime.block_on(commands::within(options.timeout, answering))?;
    if let Some(path) = options.output.filter(|_| !query.shows_sql()) {
        messages::status("wrote", &path.display().to_string());
    }
    Ok(())
}
