//! `ctrace-query`: asks recordings of ctrace-rec, with SQL or with ready questions.

mod answer;
mod bounds;
mod cli;
mod convert;
mod engine;
mod follow;
mod functions;
mod kept;
mod losses;
mod output;
mod progress;
mod questions;
mod rollups;
mod segments;
mod source;
mod sqlerror;
mod sqlite;
mod union;
mod window;

use std::any::Any;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::{CommandFactory, Parser};

use answer::{To, answer};
use cli::{Cli, Command, Common, Format};
use engine::Engine;
use output::{Sink, say};
use questions::{Narrowed, QUESTIONS};

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
        .worker_threads(cores)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let (common, question) = match &cli.command {
        Some(Command::Help { topic }) => return help(topic.as_deref()),
        Some(Command::Man) => {
            return Ok(clap_mangen::Man::new(Cli::command()).render(&mut std::io::stdout())?);
        }
        Some(Command::Completions { shell }) => {
            clap_complete::generate(
                *shell,
                &mut Cli::command(),
                "ctrace-query",
                &mut std::io::stdout(),
            );
            return Ok(());
        }
        Some(Command::Convert(convert)) => {
            return runtime.block_on(convert::convert(convert));
        }
        Some(command) => (cli.common.merge(command.common()), Some(command)),
        None => (cli.common, None),
    };
    let mut engine = Engine::new(common.recordings.clone(), cores);
    if common.no_rollups {
        engine = engine.without_rollups();
    }
    runtime.block_on(async {
        let sql = match question {
            Some(_) => None,
            None => Some(given_sql(cli.sql.as_deref(), cli.file.as_deref())?),
        };
        let asked = async |engine: &Engine| match (question, &sql) {
            (Some(command), _) => command_sql(command, engine).await,
            (None, sql) => Ok(sql.clone().unwrap_or_default()),
        };
        if question.is_some_and(Command::shows_sql) {
            return print(asked(&engine).await?.trim_end());
        }
        let to = common.output.as_deref().map_or(To::Stdout, To::File);
        let format = common.format.unwrap_or(Format::Table);
        if common.follow {
            return follow::follow(engine, asked, format, to).await;
        }
        for _ in 0..common.times.unwrap_or(1) {
            let start = Instant::now();
            answer(&engine, &asked(&engine).await?, format, to).await?;
            if common.times.is_some() {
                let ms = start.elapsed().as_secs_f64() * 1e3;
                say("took", &format!("{ms:.1} ms"));
            }
        }
        Ok(())
    })
}

impl Command {
    fn common(&self) -> &Common {
        const NONE: &Common = &Common {
            recordings: Vec::new(),
            format: None,
            output: None,
            follow: false,
            no_rollups: false,
            times: None,
        };
        match (self, self.ready()) {
            (_, Some((_, ask))) => &ask.common,
            (Command::Describe(describe), _) => &describe.common,
            _ => NONE,
        }
    }

    fn shows_sql(&self) -> bool {
        match (self, self.ready()) {
            (_, Some((_, ask))) => ask.show_sql,
            (Command::Describe(describe), _) => describe.show_sql,
            _ => false,
        }
    }
}

/// The SQL of a ready question. Opens the recordings only where a time is relative to them.
async fn command_sql(command: &Command, engine: &Engine) -> anyhow::Result<String> {
    if let Some((question, ask)) = command.ready() {
        let narrowed = Narrowed::parse(&ask.scope).map_err(anyhow::Error::msg)?;
        let span = match narrowed.needs_span() {
            true => engine.span().await?,
            false => window::Span::NONE,
        };
        return Ok(questions::sql(question, &narrowed, span));
    }
    match command {
        Command::Describe(describe) => Ok(match &describe.table {
            Some(table) => format!("describe \"{}\"", table.replace('"', "\"\"")),
            None => "show tables".into(),
        }),
        other => bail!("{other:?} is no question"),
    }
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

fn help(topic: Option<&str>) -> anyhow::Result<()> {
    match topic {
        None => Ok(Cli::command().print_help()?),
        Some("questions") => {
            let command = Cli::command();
            let mut text = String::from("Ready questions, and an example of each:\n");
            for question in QUESTIONS {
                let about = command
                    .find_subcommand(question.name)
                    .and_then(|c| c.get_about());
                let about = about.map(ToString::to_string).unwrap_or_default();
                text += &format!(
                    "\n{:<12}{about}\n{:<12}{}\n",
                    question.name, "", question.example
                );
            }
            text += "\nEach takes --container, --since, --until and --limit; --show-sql prints the SQL behind it.";
            print(&text)
        }
        Some("functions") => print(&functions::help()),
        Some(other) => match Cli::command().find_subcommand_mut(other) {
            Some(command) => Ok(command.print_help()?),
            None => bail!(
                "there is no help on `{other}`: try `ctrace-query help questions` or `help functions`"
            ),
        },
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut sink = Sink::stdout(Format::Table)?;
    writeln!(sink, "{text}")?;
    Ok(sink.done()?)
}
