//! The shell: `ctrace-query` on a terminal, without a question.

mod commands;
mod complete;
mod helper;
mod history;
mod input;
mod lex;
mod words;

use std::future::Future;
use std::io::{IsTerminal, Write, stderr, stdin, stdout};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use chrono::Utc;
use clap::Parser;
use clap::error::ErrorKind;
use futures::FutureExt;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::ctrl_c;
use tokio::sync::Notify;

use crate::commands::answer::To;
use crate::commands::{Question, ask, engine, help, print, took};
use crate::cli::{Cli, Command, Common, Format};
use crate::engine::Engine;
use crate::output::{self, say};
use crate::questions::QUESTIONS;
use commands::{COMMANDS, formats};
use helper::Typing;
use history::History;
use input::{Item, items, words};
use words::Words;

const PROMPT: &str = "ctrace> ";
/// What begins a line without SQL, beside the ready questions.
const OTHERS: &[&str] = &[
    "seccomp", "report", "describe", "convert", "recover", "help", "quit", "exit",
];

/// Whether somebody sits there who can be asked for questions.
pub fn is_wanted() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

/// Reads questions and answers them, until Ctrl-D or `\q`.
///
/// # Errors
/// That the recordings cannot be opened at the start, or the terminal fails. What is wrong with a question is said, and
/// the next one read.
pub fn run(runtime: &Runtime, engine: Engine, common: &Common) -> anyhow::Result<()> {
    if common.follow {
        bail!("--follow goes with a question: `ctrace-query --follow containers`");
    }
    let mut shell = Shell::new(runtime, engine, common)?;
    shell.greet()?;
    loop {
        let read = shell.editor.readline(PROMPT);
        match read {
            Ok(input) => {
                shell.history.add(&mut shell.editor, &input);
                if shell.perform(&input) == Next::Leave {
                    return Ok(());
                }
            }
            // Ctrl-C gives the line up.
            Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => {}
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(error).context("cannot read from the terminal"),
        }
    }
}

#[derive(PartialEq, Eq)]
enum Next {
    Read,
    Leave,
}

struct Shell<'a> {
    runtime: &'a Runtime,
    /// Tells of Ctrl-C.
    stop: Arc<Notify>,
    engine: Engine,
    editor: Editor<Typing, FileHistory>,
    history: History,
    format: Option<Format>,
    /// Where the next answer goes, if not to the terminal.
    output: Option<PathBuf>,
    timing: bool,
    pager: bool,
    /// What `\watch` answers again.
    last: Option<Question>,
}

impl<'a> Shell<'a> {
    fn new(runtime: &'a Runtime, engine: Engine, common: &Common) -> anyhow::Result<Self> {
        // It says which recording it reads, and what is wrong with it, before the first prompt.
        runtime.block_on(engine.recordings())?;
        let stop = watch_ctrl_c()?;
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .completion_show_all_if_ambiguous(true)
            .max_history_size(history::MOST)?
            .history_ignore_space(true)
            .build();
        let mut editor = Editor::with_config(config).context("cannot use the terminal")?;
        let words = Words::of(&engine, runtime.handle());
        editor.set_helper(Some(Typing::new(words, ready())));
        let history = History::load(&mut editor);
        Ok(Shell {
            runtime,
            stop,
            engine,
            editor,
            history,
            format: common.format,
            output: common.output.clone(),
            timing: common.times.is_some(),
            pager: true,
            last: None,
        })
    }

    /// Says what is open, and how to go on.
    fn greet(&self) -> anyhow::Result<()> {
        let span = self.runtime.block_on(self.engine.span())?;
        let recordings = self.runtime.block_on(self.engine.recordings())?;
        let what = match recordings.files.as_slice() {
            // Its name has been said.
            [_] if recordings.found => String::new(),
            [one] => format!("{}: ", one.path.display()),
            many => format!("{} recordings: ", many.len()),
        };
        let time = |time: chrono::DateTime<Utc>| time.format("%Y-%m-%d %H:%M:%S").to_string();
        let text = format!(
            "{what}{} to {} UTC. \\? for help, Ctrl-D to leave.",
            time(span.start),
            time(span.end)
        );
        print(&text, To::Stdout)
    }

    /// Does what was typed, up to the first thing that goes wrong.
    fn perform(&mut self, input: &str) -> Next {
        let ready = ready();
        let (items, _) = items(input, |word| ready.contains(&word));
        for item in items {
            output::next_reader();
            match self.item(&item) {
                Ok(Next::Read) => {}
                Ok(Next::Leave) => return Next::Leave,
                // A pager that was left early has shown enough.
                Err(_) if output::is_closed_pipe() => {}
                Err(error) => {
                    say("error", &format!("{error:#}"));
                    return Next::Read;
                }
            }
        }
        Next::Read
    }

    fn item(&mut self, item: &Item) -> anyhow::Result<Next> {
        match item {
            Item::Sql(sql) => self.ask(Question::Sql(sql.to_string()), &Common::default())?,
            Item::Ready("quit" | "exit") => return Ok(Next::Leave),
            Item::Ready(line) => self.ready(&words(line).map_err(anyhow::Error::msg)?)?,
            Item::Command(line) => {
                let command =
                    commands::Command::parse(line, &ready()).map_err(anyhow::Error::msg)?;
                return self.command(command);
            }
        }
        Ok(Next::Read)
    }

    fn command(&mut self, command: commands::Command) -> anyhow::Result<Next> {
        use commands::Command as C;
        match command {
            C::Quit => return Ok(Next::Leave),
            C::Describe(table) => {
                let words = ["describe".to_string()].into_iter().chain(table);
                self.ready(&words.collect::<Vec<_>>())?;
            }
            C::Open(paths) => self.open(paths)?,
            C::Output(path) => self.output = path,
            C::Format(Some(format)) => self.format = Some(format),
            C::Format(None) => {
                let format = self.format.unwrap_or(Format::Table);
                let format = format!("{format:?}").to_lowercase();
                print(
                    &format!("The format is {format}; {}.", formats()),
                    To::Stdout,
                )?;
            }
            C::Timing(on) => {
                self.timing = on.unwrap_or(!self.timing);
                switched("Timing", self.timing)?;
            }
            C::Pager(on) => {
                self.pager = on.unwrap_or(!self.pager);
                switched("The pager", self.pager)?;
            }
            C::Watch(period) => self.watch(period)?,
            C::Help(topic) => self.help(topic.as_deref())?,
            C::Other(words) => self.ready(&words)?,
        }
        Ok(Next::Read)
    }

    /// Does what is written without SQL.
    fn ready(&mut self, words: &[String]) -> anyhow::Result<()> {
        let program = ["ctrace-query".to_string()];
        let cli = match Cli::try_parse_from(program.iter().chain(words)) {
            Ok(cli) => cli,
            Err(e) if e.kind() == ErrorKind::DisplayHelp => {
                return print(e.to_string().trim_end(), self.screen());
            }
            Err(e) => {
                let text = e.to_string();
                bail!("{}", text.trim_start_matches("error: ").trim_end());
            }
        };
        match cli.command {
            Some(Command::Help { topic }) => self.help(topic.as_deref()),
            Some(command) if command.is_question() => {
                let common = command.common().clone();
                self.ask(Question::Ready(command), &common)
            }
            Some(command) => {
                let other = self.other(command.common());
                let engine = other.as_ref().unwrap_or(&self.engine);
                self.until_ctrl_c(command.perform(engine, self.screen()))?;
                Ok(())
            }
            // One that is no statement either says so.
            None => bail!(match crate::given_sql(cli.sql.as_deref(), None) {
                Err(error) if words.len() == 1 => error,
                _ => anyhow!("`{}` is no question: `\\?` helps", words.join(" ")),
            }),
        }
    }

    /// Answers a question. What `common` says goes before what is set in the shell.
    fn ask(&mut self, question: Question, common: &Common) -> anyhow::Result<()> {
        let output = common.output.clone().or(self.output.take());
        let common = Common {
            format: common.format.or(self.format),
            output,
            ..common.clone()
        };
        let other = self.other(&common);
        let engine = other.as_ref().unwrap_or(&self.engine);
        let start = Instant::now();
        let answering = ask(engine, &question, &common, self.screen());
        let answered = match common.follow {
            // It ends with Ctrl-C by itself, wherever the cursor stands then.
            true => self
                .runtime
                .block_on(answering)
                .map(|()| println!())
                .map(Some),
            false => self.until_ctrl_c(answering),
        };
        let answered = answered?;
        self.last = Some(question);
        if answered.is_some() {
            if let Some(path) = &common.output {
                say("wrote", &path.display().to_string());
            }
            if self.timing {
                took(start);
            }
        }
        Ok(())
    }

    /// An engine for what a question asks to be read otherwise.
    fn other(&self, common: &Common) -> Option<Engine> {
        match common.recordings.is_empty() {
            true if common.no_rollups => Some(self.engine.again().without_rollups()),
            true => None,
            false => Some(engine(common, self.engine.cores())),
        }
    }

    /// Works until it is done, or Ctrl-C: then there is nothing.
    fn until_ctrl_c<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<Option<T>> {
        let work = AssertUnwindSafe(work).catch_unwind();
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.stop.notified() => {
                    // Over what shows the progress.
                    let _ = writeln!(stderr(), "\r\x1b[Kstopped");
                    Ok(None)
                }
                done = work => match done {
                    Ok(done) => done.map(Some),
                    Err(panic) => Err(crate::broke_off(panic.as_ref())),
                }
            }
        })
    }

    /// Answers the last question again and again, over the recordings as they are then.
    fn watch(&mut self, period: Duration) -> anyhow::Result<()> {
        let Some(question) = &self.last else {
            bail!("there is nothing to watch yet: ask something first");
        };
        let common = Common {
            format: self.format,
            ..Common::default()
        };
        let rounds = async {
            loop {
                let mut out = stdout();
                let now = Utc::now().format("%Y-%m-%d %H:%M:%S");
                write!(
                    out,
                    "\x1b[H\x1b[2J{now} UTC, every {period:?}, until Ctrl-C\n\n"
                )?;
                out.flush()?;
                // A recording that is being moved is whole again the next time.
                if let Err(error) = ask(&self.engine.again(), question, &common, To::Stdout).await {
                    say("error", &format!("{error:#}"));
                }
                tokio::time::sleep(period).await;
            }
        };
        self.until_ctrl_c::<()>(rounds).map(|_| ())
    }

    /// Opens recordings, and keeps those that are open where that fails.
    fn open(&mut self, paths: Vec<PathBuf>) -> anyhow::Result<()> {
        let engine = match paths.is_empty() {
            true => self.engine.again(),
            false => Engine::new(paths, self.engine.cores()),
        };
        self.runtime.block_on(engine.recordings())?;
        self.engine = engine;
        if let Some(typing) = self.editor.helper_mut() {
            typing.words = Words::of(&self.engine, self.runtime.handle());
        }
        self.greet()
    }

    fn screen(&self) -> To<'static> {
        if self.pager { To::Screen } else { To::Stdout }
    }

    fn help(&self, topic: Option<&str>) -> anyhow::Result<()> {
        if topic.is_some() {
            return help(topic, self.screen());
        }
        let mut text = String::from(
            "A statement of SQL ends with ; and may have many lines. A ready question is a line:\n    \
             files --container web --since 10m\n\n",
        );
        for command in COMMANDS {
            let usage = format!("{} {}", command.name, command.takes);
            text += &format!("{usage:<20} {}\n", command.about);
        }
        text += "\nTab completes, Ctrl-R searches in what you asked before, Ctrl-C stops a query.";
        print(&text, self.screen())
    }
}

/// From here on Ctrl-C ends nothing but what waits for it. It is seen by a thread of its own: those of the runtime may all
/// be at work.
///
/// # Errors
/// That there is no thread to be had.
fn watch_ctrl_c() -> anyhow::Result<Arc<Notify>> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    // The handler is there when this returns.
    runtime.block_on(async { ctrl_c().now_or_never() });
    let stop = Arc::new(Notify::new());
    let pressed = stop.clone();
    let watch = async move {
        while ctrl_c().await.is_ok() {
            pressed.notify_waiters();
        }
    };
    std::thread::Builder::new()
        .name("ctrl-c".into())
        .spawn(move || runtime.block_on(watch))
        .context("cannot watch for Ctrl-C")?;
    Ok(stop)
}

/// Says what a switch is set to.
fn switched(what: &str, on: bool) -> anyhow::Result<()> {
    let state = if on { "on" } else { "off" };
    print(&format!("{what} is {state}."), To::Stdout)
}

/// The words that begin a line without SQL.
fn ready() -> Vec<&'static str> {
    let questions = QUESTIONS.iter().map(|question| question.name);
    questions.chain(OTHERS.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_subcommand_is_known_to_the_shell() {
        let cli = Cli::command();
        let shown = cli
            .get_subcommands()
            .filter(|command| !command.is_hide_set());
        for command in shown {
            assert!(
                ready().contains(&command.get_name()),
                "{}",
                command.get_name()
            );
        }
    }
}
