//! The query program of ctrace: answers SQL and ready questions about recordings.

mod cli;
mod commands;
#[cfg(target_os = "linux")]
mod confine;
mod diff;
mod engine;
mod errors;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod memory;
mod messages;
mod output;
mod proof;
mod questions;
mod replay;
mod rewrite;
mod screen;
mod shell;
mod source;
mod top;

use std::process::ExitCode;

use anyhow::{Context, bail};

use cli::{CliTask, Invocation};
use commands::{Alerts, NotProved, SomethingNew};
use ctrace_schema::text::path_text;
use output::AnswerDestination;

/// Runs the program with the arguments of the process, and returns its exit code.
pub fn run() -> ExitCode {
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        // The panic of a reader of a damaged file becomes an error below.
        std::panic::set_hook(Box::new(|_| {}));
    }
    let result = commands::with_given_sql(cli::parse()).and_then(|invocation| {
        #[cfg(target_os = "linux")]
        confine::begin(&invocation);
        let done = memory::on_deep_stack(|| perform(invocation));
        let done = done.context("cannot start a thread")?;
        done.unwrap_or_else(|panic| Err(messages::panic_error(panic.as_ref())))
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if output::is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) if error.is::<Alerts>() => {
            messages::status("alert", &error.to_string());
            ExitCode::from(1)
        }
        // The answer tells what is new.
        Err(error) if error.is::<SomethingNew>() => ExitCode::from(1),
        Err(error) => {
            messages::error(&format!("{error:#}"));
            ExitCode::from(if error.is::<NotProved>() { 1 } else { 2 })
        }
    }
}

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
    if shell::is_wanted(&task) {
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
        CliTask::Query(query) => query,
        // `with_given_sql` has read the statement.
        CliTask::Sql { .. } => bail!("there is no question"),
    };
    let answering = commands::answer_query(&engine, &query, &options, screen);
    runtime.block_on(commands::within(options.timeout, answering))?;
    if let Some(path) = options.output.filter(|_| !query.shows_sql()) {
        messages::status("wrote", &path_text(&path));
    }
    Ok(())
}
