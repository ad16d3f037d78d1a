//! What is asked, with SQL or without, and what is done about it.

use std::io::Write;
use std::time::Instant;

use anyhow::bail;
use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use clap::CommandFactory;
use ctrace_schema::text::printable;

use crate::commands::answer::{To, answer};
use crate::cli::{Cli, Command, Common, Format};
use crate::engine::{AskError, Engine};
use crate::cli::help::MAN;
use crate::output::say;
use crate::questions::{self, Narrowed, QUESTIONS};
use crate::engine::sql_error::{SqlError, nearest};
use crate::{convert, follow, functions, man, recover, report, seccomp, window};

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
    if let Question::Ready(command) = question {
        check(command, engine).await?;
    }
    for _ in 0..common.times.unwrap_or(1) {
        let start = Instant::now();
        let answered = answer(engine, &question.sql(engine).await?, format, to).await;
        answered.map_err(|error| match question {
            // Nobody typed its SQL.
            Question::Ready(_) => without_place(error),
            Question::Sql(_) => error,
        })?;
        if common.times.is_some() {
            took(start);
        }
    }
    Ok(())
}

/// An error in a statement without its place.
fn without_place(error: anyhow::Error) -> anyhow::Error {
    let error = match error.downcast::<AskError>() {
        Ok(AskError::Sql(error)) => error.into(),
        Ok(error) => error.into(),
        Err(error) => error,
    };
    match error.downcast::<SqlError>() {
        Ok(error) => SqlError {
            place: None,
            ..error
        }
        .into(),
        Err(error) => error,
    }
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
            (Command::Seccomp(wanted), _) => &wanted.common,
            (Command::Report(wanted), _) => &wanted.common,
            _ => NONE,
        }
    }

    /// Does what is no question.
    ///
    /// # Errors
    /// What went wrong with it.
    pub async fn perform(&self, engine: &Engine, screen: To<'_>) -> anyhow::Result<()> {
        match self {
            Command::Help { topic } => help(topic.as_deref(), screen),
            Command::Man => Ok(man::write(
                Cli::command(),
                "questions",
                MAN,
                &mut std::io::stdout(),
            )?),
            Command::Completions { shell } => {
                let mut cli = Cli::command();
                clap_complete::generate(*shell, &mut cli, "ctrace-query", &mut std::io::stdout());
                Ok(())
            }
            Command::Convert(convert) => convert::convert(convert).await,
            Command::Recover(asked) => recover::recover(asked).await,
            Command::Seccomp(wanted) => seccomp::seccomp(wanted, engine, screen).await,
            Command::Report(wanted) => report::report(wanted, engine, screen).await,
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
        narrowed.check(span).map_err(anyhow::Error::msg)?;
        let counts = question.takes_counts() && only_counts(engine).await;
        return Ok(questions::sql(question, &narrowed, span, counts));
    }
    match command {
        Command::Describe(describe) => Ok(match &describe.table {
            Some(table) => format!("describe \"{}\"", table.replace('"', "\"\"")),
            None => "show tables".into(),
        }),
        other => bail!("{other:?} is no question"),
    }
}

/// Whether the recordings hold counts of calls alone. Those that cannot be opened are an error of the answer.
pub async fn only_counts(engine: &Engine) -> bool {
    let recordings = engine.recordings().await;
    recordings.is_ok_and(|recordings| recordings.counted() == recordings.files.len())
}

/// Checks what a ready question is about, and says what it cannot answer.
///
/// # Errors
/// That there is no such container, or no time between `--since` and `--until`.
async fn check(command: &Command, engine: &Engine) -> anyhow::Result<()> {
    let Some((question, ask)) = command.ready() else {
        return Ok(());
    };
    let narrowed = Narrowed::parse(&ask.scope).map_err(anyhow::Error::msg)?;
    for wanted in narrowed.containers() {
        check_container(engine, wanted).await?;
    }
    if narrowed.since.or(narrowed.until).is_some() {
        let span = engine.span().await?;
        narrowed.check(span).map_err(anyhow::Error::msg)?;
        if let Some(missed) = narrowed.misses(span) {
            say("warning", &missed);
        }
    }
    let recordings = engine.recordings().await?;
    let (counted, all) = (recordings.counted(), recordings.files.len());
    let told = if counted == all {
        !question.takes_counts()
    } else {
        counted > 0
    };
    if told {
        say("warning", &of_counts(counted, all));
    }
    Ok(())
}

/// What recordings of counts cannot tell.
fn of_counts(counted: usize, all: usize) -> String {
    if counted < all {
        return format!(
            "{counted} of {all} recordings hold counts of calls (ctrace-rec --mode counts), which this answer leaves out: \
             they are in the table `counts`"
        );
    }
    let able = QUESTIONS.iter().filter(|question| question.takes_counts());
    let able: Vec<_> = able
        .map(|question| format!("`{}`", question.name))
        .collect();
    format!(
        "this recording holds counts of calls (ctrace-rec --mode counts), and not what each was about: it answers {}, and \
         SQL over the table `counts`",
        able.join(", ")
    )
}

/// Checks that a container is in the recordings.
///
/// # Errors
/// That it is not, with the name that was probably meant.
pub async fn check_container(engine: &Engine, wanted: &str) -> anyhow::Result<()> {
    let of = questions::container_is(&[wanted.to_string()]);
    let found = texts(engine, &format!("select 1 from events where {of} limit 1")).await?;
    match found.is_empty() {
        true => bail!(no_container(engine, wanted).await?),
        false => Ok(()),
    }
}

async fn no_container(engine: &Engine, wanted: &str) -> anyhow::Result<String> {
    const SHOWN: usize = 10;
    let sql = "select container from events where container is not null group by container order by container";
    // A name may hold what would make a line of its own.
    let names = texts(engine, sql).await?;
    let names: Vec<_> = names
        .iter()
        .map(|name| printable(name).into_owned())
        .collect();
    let wanted = &*printable(wanted);
    let what = match wanted.contains(['*', '?']) {
        true => format!("no container in the recording is named like `{wanted}`"),
        false => format!("there is no container `{wanted}` in the recording"),
    };
    Ok(match nearest(wanted, names.iter().map(String::as_str)) {
        Some(near) => format!("{what}: did you mean `{near}`?"),
        None if names.is_empty() => format!("{what}, nor any other"),
        None if names.len() > SHOWN => format!(
            "{what}: `ctrace-query containers` lists the {} of it",
            names.len()
        ),
        None => format!("{what}: there are {}", names.join(", ")),
    })
}

/// The first column of an answer, as text.
///
/// # Errors
/// What is wrong with the statement or the recordings.
pub async fn texts(engine: &Engine, sql: &str) -> anyhow::Result<Vec<String>> {
    let frame = engine.plan(sql).await?;
    let batches = frame.collect().await.map_err(AskError::from)?;
    let mut texts = Vec::new();
    for batch in &batches {
        let column = cast(batch.column(0), &DataType::Utf8)?;
        texts.extend(column.as_string::<i32>().iter().flatten().map(String::from));
    }
    Ok(texts)
}

/// Help on a topic; on everything without one.
///
/// # Errors
/// That there is no such topic.
pub fn help(topic: Option<&str>, screen: To<'_>) -> anyhow::Result<()> {
    match topic {
        None => Ok(Cli::command().print_help()?),
        Some("questions") => print(&crate::cli::help::questions(), screen),
        Some("functions") => print(&functions::help(), screen),
        Some("cookbook") => print(crate::cli::help::cookbook(), screen),
        // As `ctrace-query files --help` has it, with the name of the program.
        Some(other) => match built().find_subcommand_mut(other) {
            Some(command) => print(command.render_help().to_string().trim_end(), screen),
            None => bail!(
                "there is no help on `{other}`: try `ctrace-query help questions`, `help functions` or `help cookbook`"
            ),
        },
    }
}

fn built() -> clap::Command {
    let mut cli = Cli::command();
    cli.build();
    cli
}

/// Shows a text as an answer is shown.
///
/// # Errors
/// That it cannot be written.
pub fn print(text: &str, screen: To<'_>) -> anyhow::Result<()> {
    let mut sink = screen.open(Format::Table)?;
    writeln!(sink, "{text}")?;
    sink.done()?;
    if let To::File(path) = screen {
        say("wrote", &path.display().to_string());
    }
    Ok(())
}
