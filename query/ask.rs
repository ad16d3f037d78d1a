//! What is asked, with SQL or without, and what is done about it.

use std::io::Write;
use std::time::Instant;

use anyhow::bail;
use clap::CommandFactory;

use crate::answer::{To, answer};
use crate::cli::{Cli, Command, Common, Format};
use crate::engine::Engine;
use crate::output::say;
use crate::questions::{self, Narrowed, QUESTIONS};
use crate::{convert, follow, functions, recover, window};

/// A question.
#[derive(Debug)]
pub enum Question {
    Sql(String),
    /// One that [`Command::is_question`] says is one.
    Ready(Command),
}

impl Question {
    /// As a statement. Opens the recordings only where a time is relative to them.
    ///
    /// # Errors
    /// That a time cannot be read, or the recordings cannot.
    pub async fn sql(&self, engine: &Engine) -> anyhow::Result<String> {
        match self {
            Question::Sql(sql) => Ok(sql.clone()),
            Question::Ready(command) => command_sql(command, engine).await,
        }
    }

    /// Whether its SQL is to be shown, and not to be run.
    pub fn shows_sql(&self) -> bool {
        match self {
            Question::Ready(Command::Describe(describe)) => describe.show_sql,
            Question::Ready(command) => command.ready().is_some_and(|(_, ask)| ask.show_sql),
            Question::Sql(_) => false,
        }
    }
}

/// An engine for what `common` says is to be read.
pub fn engine(common: &Common, cores: usize) -> Engine {
    let engine = Engine::new(common.recordings.clone(), cores);
    match common.no_rollups {
        true => engine.without_rollups(),
        false => engine,
    }
}

/// Answers a question as `common` says; `screen` is where an answer goes that no file is named for.
///
/// # Errors
/// As [`answer`].
pub async fn ask(
    engine: &Engine,
    question: &Question,
    common: &Common,
    screen: To<'_>,
) -> anyhow::Result<()> {
    if question.shows_sql() {
        return print(question.sql(engine).await?.trim_end(), screen);
    }
    // What never ends cannot be paged.
    let screen = if common.follow { To::Stdout } else { screen };
    let to = common.output.as_deref().map_or(screen, To::File);
    let format = common.format.unwrap_or(Format::Table);
    if common.follow {
        let asked = async |engine: &Engine| question.sql(engine).await;
        return follow::follow(engine.again(), asked, format, to).await;
    }
    for _ in 0..common.times.unwrap_or(1) {
        let start = Instant::now();
        answer(engine, &question.sql(engine).await?, format, to).await?;
        if common.times.is_some() {
            took(start);
        }
    }
    Ok(())
}

/// Says how long something took.
pub fn took(start: Instant) {
    let ms = start.elapsed().as_secs_f64() * 1e3;
    say("took", &format!("{ms:.1} ms"));
}

impl Command {
    /// Whether it asks something of recordings, and does nothing else.
    pub fn is_question(&self) -> bool {
        matches!(self, Command::Describe(_)) || self.ready().is_some()
    }

    /// What to read, and how to answer.
    pub fn common(&self) -> &Common {
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

    /// Does what is no question.
    ///
    /// # Errors
    /// What went wrong with it.
    pub async fn perform(&self, screen: To<'_>) -> anyhow::Result<()> {
        match self {
            Command::Help { topic } => help(topic.as_deref(), screen),
            Command::Man => {
                Ok(clap_mangen::Man::new(Cli::command()).render(&mut std::io::stdout())?)
            }
            Command::Completions { shell } => {
                let mut cli = Cli::command();
                clap_complete::generate(*shell, &mut cli, "ctrace-query", &mut std::io::stdout());
                Ok(())
            }
            Command::Convert(convert) => convert::convert(convert).await,
            Command::Recover(asked) => recover::recover(asked).await,
            question => bail!("{question:?} is a question"),
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

/// Help on a topic; on everything without one.
///
/// # Errors
/// That there is no such topic.
pub fn help(topic: Option<&str>, screen: To<'_>) -> anyhow::Result<()> {
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
            print(&text, screen)
        }
        Some("functions") => print(&functions::help(), screen),
        Some(other) => match Cli::command().find_subcommand_mut(other) {
            Some(command) => print(command.render_help().to_string().trim_end(), screen),
            None => bail!(
                "there is no help on `{other}`: try `ctrace-query help questions` or `help functions`"
            ),
        },
    }
}

/// Shows a text as an answer is shown.
///
/// # Errors
/// That it cannot be written.
pub fn print(text: &str, screen: To<'_>) -> anyhow::Result<()> {
    let mut sink = screen.open(Format::Table)?;
    writeln!(sink, "{text}")?;
    Ok(sink.done()?)
}
