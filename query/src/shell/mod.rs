//! The interactive shell: `ctrace-query` on a terminal without a query.

mod commands;
mod complete;
mod helper;
mod history;
mod input;
mod lex;
mod words;

use std::future::Future;
use std::io::{Write, stderr, stdout};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use chrono::Utc;
use ctrace_schema::text::path_text;
use futures::FutureExt;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::ctrl_c;
use tokio::sync::Notify;

use crate::cli::{self, AnswerOptions, CliCommand, CliTask, LineError, Query};
use crate::commands::{
    SomethingNew, answer_query, given_sql, is_terminal, other_engine, print_help, run_command,
    within,
};
use crate::engine::Engine;
use crate::messages;
use crate::output::{self, AnswerDestination, AnswerFormat};
use crate::questions::QUESTIONS;
use commands::{COMMANDS, ShellCommand, format_list};
use helper::LineHelper;
use history::HistoryFile;
use input::{InputItem, items, words};
use words::CompletionWords;

const PROMPT: &str = "ctrace> ";
/// The words that begin a line without SQL, beside the ready questions.
const OTHER_WORDS: &[&str] = &[
    "diff", "replay", "top", "cut", "redact", "merge", "seccomp", "report", "describe", "convert",
    "recover", "verify", "help", "quit", "exit",
];

/// Returns whether a shell is wanted: the command line has no query, and the user can type.
pub(crate) fn is_wanted(task: &CliTask) -> bool {
    let is_empty = matches!(
        task,
        CliTask::Sql {
            sql: None,
            file: None
        }
    );
    is_empty && is_terminal()
}

/// Runs the shell until Ctrl-D or `\q`. Errors of a query are printed, and the next one is read.
///
/// # Errors
/// The recordings cannot be opened at the start, or the terminal fails.
pub(crate) fn run(
    runtime: &Runtime,
    engine: Engine,
    options: &AnswerOptions,
) -> anyhow::Result<()> {
    if options.follow {
        bail!("--follow needs a question: `ctrace-query --follow containers`");
    }
    let mut shell = Shell::new(runtime, engine, options)?;
    shell.greet()?;
    loop {
        let read = shell.editor.readline(PROMPT);
        match read {
            Ok(input) => {
                shell.history.add(&mut shell.editor, &input);
                if shell.perform(&input) == Flow::Exit {
                    return Ok(());
                }
            }
            // Ctrl-C discards the line.
            Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => {}
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(error).context("cannot read from the terminal"),
        }
    }
}

#[derive(PartialEq, Eq)]
enum Flow {
    Continue,
    Exit,
}

struct Shell<'a> {
    runtime: &'a Runtime,
    /// Notified of Ctrl-C.
    interrupt: Arc<Notify>,
    engine: Engine,
    editor: Editor<LineHelper, FileHistory>,
    history: HistoryFile,
    format: Option<AnswerFormat>,
    /// The file for the next answer; `None`: the terminal.
    output: Option<PathBuf>,
    timing: bool,
    pager: bool,
    /// The query that `\watch` repeats.
    last: Option<Query>,
}

impl<'a> Shell<'a> {
    fn new(runtime: &'a Runtime, engine: Engine, options: &AnswerOptions) -> anyhow::Result<Self> {
        // Opened before the first prompt, so that notices and errors are printed there.
        runtime.block_on(engine.recordings())?;
        let interrupt = watch_ctrl_c()?;
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .completion_show_all_if_ambiguous(true)
            .max_history_size(history::MAX_ENTRIES)?
            .history_ignore_space(true)
            .build();
        let mut editor = Editor::with_config(config).context("cannot use the terminal")?;
        let words = CompletionWords::new(&engine, runtime.handle());
        editor.set_helper(Some(LineHelper::new(words, ready_words())));
        let history = HistoryFile::load(&mut editor);
        Ok(Shell {
            runtime,
            interrupt,
            engine,
            editor,
            history,
            format: options.format,
            output: options.output.clone(),
            timing: options.times.is_some(),
            pager: true,
            last: None,
        })
    }

    /// Prints the name and the time span of the recordings.
    fn greet(&self) -> anyhow::Result<()> {
        let span = self.runtime.block_on(self.engine.span())?;
        let recordings = self.runtime.block_on(self.engine.recordings())?;
        let name = match recordings.files.as_slice() {
            // The name has been printed by a notice.
            [_] if recordings.is_default => String::new(),
            [one] => format!("{}: ", path_text(&one.path)),
            many => format!("{} recordings: ", many.len()),
        };
        let time = |time: chrono::DateTime<Utc>| time.format("%Y-%m-%d %H:%M:%S").to_string();
        let text = format!(
            "{name}{} to {} UTC. \\? for help, Ctrl-D to leave.",
            time(span.start),
            time(span.end)
        );
        AnswerDestination::Stdout.print(&text)
    }

    /// Performs the items of an input, up to the first error.
    fn perform(&mut self, input: &str) -> Flow {
        let ready = ready_words();
        let (items, _) = items(input, |word| ready.contains(&word));
        for item in items {
            output::forget_closed_pipe();
            match self.item(&item) {
                Ok(Flow::Continue) => {}
                Ok(Flow::Exit) => return Flow::Exit,
                // The user left the pager before the end of the answer.
                Err(_) if output::is_closed_pipe() => {}
                Err(error) if error.is::<SomethingNew>() => {}
                Err(error) => {
                    messages::error(&format!("{error:#}"));
                    return Flow::Continue;
                }
            }
        }
        Flow::Continue
    }

    fn item(&mut self, item: &InputItem) -> anyhow::Result<Flow> {
        match item {
            InputItem::Sql(sql) => {
                self.query(Query::Sql(sql.to_string()), &AnswerOptions::default())?;
            }
            InputItem::Ready("quit" | "exit") => return Ok(Flow::Exit),
            InputItem::Ready(line) => self.subcommand(&words(line).map_err(anyhow::Error::msg)?)?,
            InputItem::Command(line) => {
                let command =
                    ShellCommand::parse(line, &ready_words()).map_err(anyhow::Error::msg)?;
                return self.command(command);
            }
        }
        Ok(Flow::Continue)
    }

    fn command(&mut self, command: ShellCommand) -> anyhow::Result<Flow> {
        use ShellCommand as C;
        match command {
            C::Quit => return Ok(Flow::Exit),
            C::Describe(table) => {
                let words = ["describe".to_string()].into_iter().chain(table);
                self.subcommand(&words.collect::<Vec<_>>())?;
            }
            C::Open(paths) => self.open(paths)?,
            C::Output(path) => self.output = path,
            C::Format(Some(format)) => self.format = Some(format),
            C::Format(None) => {
                let format = self.format.unwrap_or(AnswerFormat::Table).name();
                let text = format!("The format is {format}; {}.", format_list());
                AnswerDestination::Stdout.print(&text)?;
            }
            C::Timing(on) => {
                self.timing = on.unwrap_or(!self.timing);
                print_switch("Timing", self.timing)?;
            }
            C::Pager(on) => {
                self.pager = on.unwrap_or(!self.pager);
                print_switch("The pager", self.pager)?;
            }
            C::Watch(interval) => self.watch(interval)?,
            C::Help(topic) => self.help(topic.as_deref())?,
            C::Other(words) => self.subcommand(&words)?,
        }
        Ok(Flow::Continue)
    }

    /// Runs a line that is a subcommand of the program.
    fn subcommand(&mut self, words: &[String]) -> anyhow::Result<()> {
        let invocation = match cli::parse_line(words) {
            Ok(invocation) => invocation,
            Err(LineError::Help(text)) => return self.screen().print(&text),
            Err(LineError::Wrong(text)) => bail!(text),
        };
        let options = invocation.options;
        match invocation.task {
            CliTask::Command(CliCommand::Help { topic }) => self.help(topic.as_deref()),
            CliTask::Query(query) => self.query(query, &options),
            CliTask::Command(command) => {
                let other = other_engine(&self.engine, &options);
                let engine = other.as_ref().unwrap_or(&self.engine);
                let running = run_command(&command, &options, engine, self.screen());
                let running = within(options.timeout, running);
                self.until_ctrl_c(running)?;
                Ok(())
            }
            // A single word that is not SQL either gets the error with a suggestion.
            CliTask::Sql { sql, .. } => bail!(match given_sql(sql.as_deref(), None) {
                Err(error) if words.len() == 1 => error,
                _ => anyhow!(
                    "`{}` is not a question: `\\?` lists the commands",
                    words.join(" ")
                ),
            }),
        }
    }

    /// Answers a query. `options` override the settings of the shell.
    fn query(&mut self, query: Query, options: &AnswerOptions) -> anyhow::Result<()> {
        let output = options.output.clone().or(self.output.take());
        let options = AnswerOptions {
            format: options.format.or(self.format),
            output,
            ..options.clone()
        };
        let other = other_engine(&self.engine, &options);
        let engine = other.as_ref().unwrap_or(&self.engine);
        let start = Instant::now();
        let answering = answer_query(engine, &query, &options, self.screen());
        let answering = within(options.timeout, answering);
        let answered = match options.follow {
            // `--follow` handles Ctrl-C itself, and leaves the cursor anywhere.
            true => self
                .runtime
                .block_on(answering)
                .map(|()| println!())
                .map(Some),
            false => self.until_ctrl_c(answering),
        };
        let answered = answered?;
        self.last = Some(query);
        if answered.is_some() {
            if let Some(path) = &options.output {
                messages::status("wrote", &path_text(path));
            }
            if self.timing {
                messages::elapsed(start);
            }
        }
        Ok(())
    }

    /// Runs `work` until the end, or until Ctrl-C; then the result is `None`.
    fn until_ctrl_c<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<Option<T>> {
        let work = AssertUnwindSafe(work).catch_unwind();
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.interrupt.notified() => {
                    // Overwrites the line with the progress.
                    let _ = writeln!(stderr(), "\r\x1b[Kstopped");
                    Ok(None)
                }
                done = work => match done {
                    Ok(done) => done.map(Some),
                    Err(panic) => Err(messages::panic_error(panic.as_ref())),
                }
            }
        })
    }

    /// Answers the last query repeatedly, each time from the present recordings.
    fn watch(&mut self, interval: Duration) -> anyhow::Result<()> {
        let Some(query) = &self.last else {
            bail!("there is no query to repeat yet");
        };
        let options = AnswerOptions {
            format: self.format,
            ..AnswerOptions::default()
        };
        let rounds = async {
            loop {
                let mut out = stdout();
                let now = Utc::now().format("%Y-%m-%d %H:%M:%S");
                write!(
                    out,
                    "\x1b[H\x1b[2J{now} UTC, every {interval:?}, until Ctrl-C\n\n"
                )?;
                out.flush()?;
                let engine = self.engine.reopened();
                let screen = AnswerDestination::Stdout;
                // A recording that is being moved can be read again in the next round.
                if let Err(error) = answer_query(&engine, query, &options, screen).await {
                    messages::error(&format!("{error:#}"));
                }
                tokio::time::sleep(interval).await;
            }
        };
        self.until_ctrl_c::<()>(rounds).map(|_| ())
    }

    /// Opens recordings. If that fails, the present ones stay open.
    fn open(&mut self, paths: Vec<PathBuf>) -> anyhow::Result<()> {
        let engine = match paths.is_empty() {
            true => self.engine.reopened(),
            false => self.engine.with_recordings(paths),
        };
        self.runtime.block_on(engine.recordings())?;
        self.engine = engine;
        if let Some(helper) = self.editor.helper_mut() {
            helper.words = CompletionWords::new(&self.engine, self.runtime.handle());
        }
        self.greet()
    }

    fn screen(&self) -> AnswerDestination<'static> {
        match self.pager {
            true => AnswerDestination::Pager,
            false => AnswerDestination::Stdout,
        }
    }

    fn help(&self, topic: Option<&str>) -> anyhow::Result<()> {
        if topic.is_some() {
            return print_help(topic, self.screen());
        }
        let mut text = String::from(
            "A SQL statement ends with ; and may have several lines. A ready question is one line:\n    \
             files --container web --since 10m\n\n",
        );
        for command in COMMANDS {
            let usage = format!("{} {}", command.name, command.arguments);
            text += &format!("{usage:<20} {}\n", command.about);
        }
        text += "\nTab completes, Ctrl-R searches the history, Ctrl-C stops a query.";
        self.screen().print(&text)
    }
}

/// Replaces the default action of Ctrl-C: from now on, Ctrl-C only notifies the returned object. A separate thread waits for
/// the signal, because all threads of the runtime may be busy.
///
/// # Errors
/// The thread cannot be started.
fn watch_ctrl_c() -> anyhow::Result<Arc<Notify>> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    // Installs the signal handler before this function returns.
    runtime.block_on(async { ctrl_c().now_or_never() });
    let interrupt = Arc::new(Notify::new());
    let sender = interrupt.clone();
    let watch = async move {
        while ctrl_c().await.is_ok() {
            sender.notify_waiters();
        }
    };
    std::thread::Builder::new()
        .name("ctrl-c".into())
        .spawn(move || runtime.block_on(watch))
        .context("cannot watch for Ctrl-C")?;
    Ok(interrupt)
}

/// Prints the state of a switch.
fn print_switch(name: &str, on: bool) -> anyhow::Result<()> {
    let state = if on { "on" } else { "off" };
    AnswerDestination::Stdout.print(&format!("{name} is {state}."))
}

/// Returns the words that begin a line without SQL.
fn ready_words() -> Vec<&'static str> {
    let questions = QUESTIONS.iter().map(|question| question.name);
    questions.chain(OTHER_WORDS.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subcommand_is_known_to_the_shell() {
        for name in cli::subcommands() {
            assert!(ready_words().contains(&name.as_str()), "{name}");
        }
    }
}
