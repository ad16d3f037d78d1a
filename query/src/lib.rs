//! `ctrace-query`: asks recordings of ctrace-rec, with SQL or with ready questions.

mod answer;
mod ask;
mod bounds;
mod cli;
mod convert;
mod engine;
mod follow;
mod footers;
mod functions;
mod headers;
mod help;
mod kept;
mod losses;
mod magic;
#[path = "../common/man.rs"]
mod man;
mod missing;
mod output;
mod progress;
mod questions;
mod recover;
mod report;
mod rollups;
mod seccomp;
mod segments;
mod shell;
mod source;
mod sqlerror;
mod sqlite;
mod topk;
mod types;
mod unclosed;
mod union;
mod window;

use std::any::Any;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Parser;

use answer::To;
use ask::Question;
use cli::Cli;
use output::say;
use questions::QUESTIONS;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        // What a broken file makes a reader do becomes an error below.
        std::panic::set_hook(Box::new(|_| {}));
    }
    let result = std::panic::catch_unwind(|| run(cli));
    match result.unwrap_or_else(|panic| Err(broke_off(panic.as_ref()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if output::is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            say("error", &format!("{error:#}"));
            ExitCode::from(2)
        }
    }
}

/// What a broken file makes a reader do, as an error.
fn broke_off(panic: &(dyn Any + Send)) -> anyhow::Error {
    let what = panic.downcast_ref::<String>().map(String::as_str);
    let what = what
        .or(panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    anyhow::anyhow!(
        "the reader broke off ({what}). The recording is damaged, or this is a bug of ctrace-query; RUST_BACKTRACE=1 \
         shows where"
    )
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // One more than a question has to do: some of its steps take long, and the clock and the next question do not wait.
        .worker_threads(cores + 1)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let common = match &cli.command {
        Some(command) => cli.common.merge(command.common()),
        None => cli.common,
    };
    let engine = ask::engine(&common, cores);
    let question = match cli.command {
        Some(command) if !command.is_question() => {
            return runtime.block_on(command.perform(&engine, To::Stdout));
        }
        Some(command) => Question::Ready(command),
        None if cli.sql.is_none() && cli.file.is_none() && shell::is_wanted() => {
            let left = shell::run(&runtime, engine, &common);
            // A query that was stopped may still be in a step of its work.
            runtime.shutdown_background();
            return left;
        }
        None => Question::Sql(given_sql(cli.sql.as_deref(), cli.file.as_deref())?),
    };
    runtime.block_on(ask::ask(&engine, &question, &common, To::Stdout))?;
    if let Some(path) = common.output.filter(|_| !question.shows_sql()) {
        say("wrote", &path.display().to_string());
    }
    Ok(())
}

/// The SQL that the user wrote.
fn given_sql(sql: Option<&str>, file: Option<&Path>) -> anyhow::Result<String> {
    if let Some(path) = file {
        return std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()));
    }
    let Some(sql) = sql.filter(|sql| *sql != "-") else {
        let sql =
            std::io::read_to_string(std::io::stdin()).context("cannot read SQL from stdin")?;
        if sql.trim().is_empty() {
            bail!(
                "what is the question? Write SQL, or one of: {}. `ctrace-query --help` tells more",
                names()
            );
        }
        return Ok(sql);
    };
    let sql = sql.trim();
    let starts = ["select", "with", "describe", "explain", "values", "show"];
    let word = sql.to_lowercase();
    if sql.contains(char::is_whitespace) || starts.iter().any(|s| word.starts_with(s)) {
        return Ok(sql.to_string());
    }
    let questions = QUESTIONS.iter().map(|q| q.name).chain(["describe", "help"]);
    match sqlerror::nearest(&word, questions) {
        Some(name) => bail!("`{sql}` is no question: did you mean `{name}`?"),
        None => bail!(
            "`{sql}` is no question and no SQL: write SQL, or one of: {}",
            names()
        ),
    }
}

fn names() -> String {
    let names: Vec<_> = QUESTIONS.iter().map(|q| q.name).collect();
    names.join(", ")
}
