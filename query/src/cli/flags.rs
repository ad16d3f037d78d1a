//! The flags as clap parses them. Help, man page and completions come from these definitions.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use ctrace_common::sizes::parse_bytes;

use crate::cli::task::{
    AnswerOptions, CliCommand, CliTask, Conversion, Invocation, Query, Recovery, Scope,
};
use crate::output::AnswerFormat;

const PROGRAM: &str = "ctrace-query";

/// Ask a recording of ctrace-rec with SQL, or with one of the ready questions.
#[derive(Debug, Parser)]
#[command(
    name = "ctrace-query",
    version,
    disable_help_subcommand = true,
    subcommand_precedence_over_arg = true,
    subcommand_help_heading = "Ready questions",
    subcommand_value_name = "QUESTION",
    override_usage = "ctrace-query [OPTIONS] SQL\n       ctrace-query [OPTIONS] QUESTION [--container NAME] [--since TIME] \
                      [--until TIME] [--limit N] [--show-sql]",
    after_help = "Examples:\n  ctrace-query summary\n  \
                  ctrace-query files --container web --since 03:10 --until 03:20\n  \
                  ctrace-query -r run.parquet \"select container, syscall, count(*) from events group by 1, 2\"\n\n\
                  Tables: events, and the views that `ctrace-query describe` lists. Functions: `ctrace-query help \
                  functions`. Times are UTC. Without a question, a terminal gets an interactive shell."
)]
pub(crate) struct QueryFlags {
    #[command(flatten)]
    common: CommonFlags,
    /// Read the SQL from a file
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with = "sql")]
    file: Option<PathBuf>,
    /// One SQL statement, or `-` to read it from stdin
    #[arg(value_name = "SQL")]
    sql: Option<String>,
    #[command(subcommand)]
    command: Option<CommandFlags>,
}

/// The options of SQL and of ready questions alike.
#[derive(Args, Clone, Debug, Default)]
struct CommonFlags {
    /// Recording to read: a file, a directory, or a pattern such as 'runs/*.parquet'; several recordings are read as one table [default: $CTRACE_RECORDING, else the newest *.parquet or *.sqlite here]
    #[arg(short, long = "recording", value_name = "RECORDING")]
    recordings: Vec<PathBuf>,
    /// Format of the answer [default: table]
    #[arg(long, value_name = "FORMAT")]
    format: Option<AnswerFormat>,
    /// Write the answer to a file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Repeat the answer as the recording grows, until Ctrl-C; if it lists events, add only the new ones
    #[arg(short = 'F', long)]
    follow: bool,
    /// Read every event instead of the precomputed rollups of the recording
    #[arg(long)]
    no_rollups: bool,
    /// Refuse to answer if a file of a directory cannot be read; by default a warning names it
    #[arg(long)]
    strict: bool,
    /// Memory for sorting, joining and grouping, such as 500MB or 4GiB; larger sorts and groups use temporary files [default: half of the machine's]
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<usize>,
    /// Give up after this many seconds, such as 30 or 0.5
    #[arg(long, value_name = "SECONDS", value_parser = seconds, conflicts_with = "follow")]
    timeout: Option<Duration>,
    /// Let --output replace a recording
    #[arg(long)]
    force: bool,
    /// Answer N times, and print the time of each answer to stderr
    #[arg(long, value_name = "N", hide = true)]
    times: Option<u32>,
}

/// The ready questions and the other subcommands.
#[derive(Debug, Subcommand)]
enum CommandFlags {
    /// What is in this recording, and what stands out?
    Summary(ReadyFlags),
    /// Why did a container end? Its last minute: how it ended, what failed, what it did last
    Why(WhyFlags),
    /// Which containers ran, from which images, and how busy were they?
    Containers(ReadyFlags),
    /// Which calls were made, how many failed, how long did they take?
    Syscalls(ReadyFlags),
    /// What happened, call by call, as strace prints it?
    Strace(ReadyFlags),
    /// Which calls have not returned, or took long, and what do they wait for?
    Stuck(ReadyFlags),
    /// Which files were used, and how?
    Files(ReadyFlags),
    /// Which peers did containers connect to, and which connected to them?
    Peers(ReadyFlags),
    /// Which container talks to which?
    Links(ReadyFlags),
    /// Which names did containers look up, what did the name servers answer, and how long did it take?
    Dns(ReadyFlags),
    /// Which processes ran, who started them, how did they end?
    Processes(ReadyFlags),
    /// Which calls failed, and on what? What matters most first. Without EAGAIN and calls that the kernel restarts
    Errors(ErrorsFlags),
    /// Which calls did seccomp refuse?
    Denied(ReadyFlags),
    /// Which programs ran that are not from the image, and who wrote them?
    Drift(ReadyFlags),
    /// What may containers do and use on the machine? The most powerful first
    Powers(ReadyFlags),
    /// When were events lost, and how many?
    Gaps(ReadyFlags),
    /// Which calls does a container need? As a seccomp profile for Docker, podman and Kubernetes
    Seccomp(SeccompFlags),
    /// What happened? As one page of HTML that can be passed on
    Report(ReportFlags),
    /// Which tables are there, which columns do they have, what do they mean?
    Describe(DescribeFlags),
    /// Convert a recording from Parquet to SQLite or back, without loss
    Convert(ConvertFlags),
    /// Complete a recording that was not closed because the recorder was killed or the machine crashed
    Recover(RecoverFlags),
    /// Show the ready questions, the SQL functions, or a cookbook of SQL
    Help {
        /// `questions`, `functions` or `cookbook`
        topic: Option<String>,
    },
    /// Print the man page
    #[command(hide = true)]
    Man,
    /// Print completions for a shell
    #[command(hide = true)]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

#[derive(Args, Debug)]
struct ReadyFlags {
    #[command(flatten)]
    scope: ScopeFlags,
    /// Print the SQL instead of running it
    #[arg(long)]
    show_sql: bool,
    #[command(flatten)]
    common: CommonFlags,
}

#[derive(Args, Clone, Debug, Default)]
struct ScopeFlags {
    /// Only these containers: name, at least 4 digits of the id, or a pattern with * and ?
    #[arg(short, long = "container", value_name = "NAME", value_delimiter = ',')]
    containers: Vec<String>,
    /// Only containers of these Kubernetes pods: name, or a pattern with * and ?
    #[arg(long = "pod", value_name = "POD", value_delimiter = ',')]
    pods: Vec<String>,
    /// Only containers of pods in these Kubernetes namespaces: name, or a pattern with * and ?
    #[arg(long = "namespace", value_name = "NAMESPACE", value_delimiter = ',')]
    namespaces: Vec<String>,
    /// Only containers that have all of these labels, such as tier=web; a key alone stands for any value
    #[arg(long = "label", value_name = "KEY=VALUE", value_delimiter = ',')]
    labels: Vec<String>,
    /// From this time: 2026-11-21T03:12:05Z, "2026-11-21 03:12", 03:12, or 10m before the end
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// Up to this time, in the same formats
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// At most this many rows
    #[arg(short = 'n', long, value_name = "N", allow_hyphen_values = true, value_parser = limit)]
    limit: Option<u64>,
    /// Also what the container runtime did to set a container, or a process in it, up
    #[arg(long)]
    setup: bool,
}

/// The least memory with which sorts can write to temporary files.
const MIN_MEMORY_BYTES: usize = 64_000_000;

fn memory(text: &str) -> Result<usize, String> {
    let bytes = parse_bytes(text).map_err(|wanted| format!("write {wanted}"))? as usize;
    match bytes < MIN_MEMORY_BYTES {
        true => Err("at least 64MB".into()),
        false => Ok(bytes),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok();
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "write a number of seconds, such as 30 or 0.5".into())
}

fn limit(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| "write a number of rows, such as 20".into())
}

#[derive(Args, Debug)]
struct ErrorsFlags {
    /// List routine failures, such as searches that found the file elsewhere, like all others
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    ready: ReadyFlags,
}

#[derive(Args, Debug)]
struct WhyFlags {
    /// The container, as for --container [default: the one that ended badly last]
    #[arg(value_name = "CONTAINER")]
    wanted: Option<String>,
    #[command(flatten)]
    ready: ReadyFlags,
}

#[derive(Args, Debug)]
struct SeccompFlags {
    /// Only the calls of these containers: name, at least 4 digits of the id, or a pattern with * and ?
    #[arg(short, long = "container", value_name = "NAME", value_delimiter = ',')]
    containers: Vec<String>,
    /// Print the SQL that finds the calls
    #[arg(long)]
    show_sql: bool,
    #[command(flatten)]
    common: CommonFlags,
}

#[derive(Args, Debug)]
struct ReportFlags {
    #[command(flatten)]
    scope: ScopeFlags,
    #[command(flatten)]
    common: CommonFlags,
}

#[derive(Args, Debug)]
struct ConvertFlags {
    /// Recording to read
    #[arg(value_name = "FROM")]
    from: PathBuf,
    /// File to write; its extension selects the format (.parquet, .sqlite)
    #[arg(value_name = "TO")]
    to: PathBuf,
    /// Overwrite the file if it exists
    #[arg(long)]
    force: bool,
}

#[derive(Args, Debug)]
struct RecoverFlags {
    /// Recording that was not closed
    #[arg(value_name = "RECORDING")]
    recording: PathBuf,
    /// Write the completed recording to this file, and leave the original unchanged
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrite FILE if it exists
    #[arg(long)]
    force: bool,
}

#[derive(Args, Debug)]
struct DescribeFlags {
    /// Table or view; without one, all of them are listed
    table: Option<String>,
    /// Print the SQL instead of running it
    #[arg(long)]
    show_sql: bool,
    #[command(flatten)]
    common: CommonFlags,
}

/// Parses the arguments of the process. On errors, and after help, clap exits the process.
pub(crate) fn parse() -> Invocation {
    lowered(QueryFlags::parse_from(
        std::env::args_os().map(without_comment),
    ))
}

/// Returns an argument that begins with a comment of SQL, `-- ...`, with a space before it, so that it is no option.
fn without_comment(argument: OsString) -> OsString {
    let comment = argument.to_str().and_then(|text| text.strip_prefix("--"));
    match comment.is_some_and(|text| text.starts_with(char::is_whitespace)) {
        true => [OsStr::new(" "), &argument].into_iter().collect(),
        false => argument,
    }
}

/// The reason why a line of the shell is not an invocation.
#[derive(Debug)]
pub(crate) enum LineError {
    /// The line asks for help, which is this text.
    Help(String),
    /// The line is wrong; the text says how.
    Wrong(String),
}

/// Parses a line of the shell, without SQL.
pub(crate) fn parse_line(words: &[String]) -> Result<Invocation, LineError> {
    let program = [PROGRAM.to_string()];
    match QueryFlags::try_parse_from(program.iter().chain(words)) {
        Ok(flags) => Ok(lowered(flags)),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            Err(LineError::Help(error.to_string().trim_end().to_string()))
        }
        Err(error) => {
            let text = error.to_string();
            let text = text.trim_start_matches("error: ").trim_end();
            Err(LineError::Wrong(text.to_string()))
        }
    }
}

/// Returns the names of the subcommands that the help lists.
#[cfg(test)]
pub(crate) fn subcommands() -> Vec<String> {
    let command = QueryFlags::command();
    let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    shown.map(|sub| sub.get_name().to_string()).collect()
}

/// Returns the long options of a subcommand, such as `--container`.
pub(crate) fn long_options(subcommand: &str) -> Vec<String> {
    let flags = QueryFlags::command();
    let Some(command) = flags.find_subcommand(subcommand) else {
        return Vec::new();
    };
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    shown
        .filter_map(|arg| arg.get_long())
        .map(|long| format!("--{long}"))
        .collect()
}

/// Writes the completions for a shell.
pub(crate) fn write_completions(shell: clap_complete::Shell, out: &mut dyn Write) {
    clap_complete::generate(shell, &mut QueryFlags::command(), PROGRAM, out);
}

fn lowered(flags: QueryFlags) -> Invocation {
    let QueryFlags {
        common,
        file,
        sql,
        command,
    } = flags;
    let Some(command) = command else {
        return Invocation {
            task: CliTask::Sql { sql, file },
            options: common.into(),
        };
    };
    let (task, after) = command.lowered();
    Invocation {
        task,
        options: common.merge(after).into(),
    }
}

impl CommandFlags {
    /// Returns the task, and the common options that follow the name of the subcommand.
    fn lowered(self) -> (CliTask, CommonFlags) {
        let command = |command| (CliTask::Command(command), CommonFlags::default());
        match self {
            CommandFlags::Summary(flags) => flags.lowered("summary"),
            CommandFlags::Why(flags) => flags.lowered(),
            CommandFlags::Containers(flags) => flags.lowered("containers"),
            CommandFlags::Syscalls(flags) => flags.lowered("syscalls"),
            CommandFlags::Strace(flags) => flags.lowered("strace"),
            CommandFlags::Stuck(flags) => flags.lowered("stuck"),
            CommandFlags::Files(flags) => flags.lowered("files"),
            CommandFlags::Peers(flags) => flags.lowered("peers"),
            CommandFlags::Links(flags) => flags.lowered("links"),
            CommandFlags::Dns(flags) => flags.lowered("dns"),
            CommandFlags::Processes(flags) => flags.lowered("processes"),
            CommandFlags::Errors(flags) => flags.lowered(),
            CommandFlags::Denied(flags) => flags.lowered("denied"),
            CommandFlags::Drift(flags) => flags.lowered("drift"),
            CommandFlags::Powers(flags) => flags.lowered("powers"),
            CommandFlags::Gaps(flags) => flags.lowered("gaps"),
            CommandFlags::Seccomp(flags) => {
                let task = CliTask::Command(CliCommand::Seccomp {
                    containers: flags.containers,
                    show_sql: flags.show_sql,
                });
                (task, flags.common)
            }
            CommandFlags::Report(flags) => {
                let task = CliTask::Command(CliCommand::Report(flags.scope.into()));
                (task, flags.common)
            }
            CommandFlags::Describe(flags) => {
                let task = CliTask::Query(Query::Describe {
                    table: flags.table,
                    show_sql: flags.show_sql,
                });
                (task, flags.common)
            }
            CommandFlags::Convert(flags) => command(CliCommand::Convert(Conversion {
                from: flags.from,
                to: flags.to,
                overwrite: flags.force,
            })),
            CommandFlags::Recover(flags) => command(CliCommand::Recover(Recovery {
                recording: flags.recording,
                output: flags.output,
                overwrite: flags.force,
            })),
            CommandFlags::Help { topic } => command(CliCommand::Help { topic }),
            CommandFlags::Man => command(CliCommand::Man),
            CommandFlags::Completions { shell } => command(CliCommand::Completions(shell)),
        }
    }
}

impl ErrorsFlags {
    fn lowered(self) -> (CliTask, CommonFlags) {
        self.ready.lowered_with("errors", self.all)
    }
}

impl WhyFlags {
    fn lowered(mut self) -> (CliTask, CommonFlags) {
        self.ready.scope.containers.extend(self.wanted);
        self.ready.lowered("why")
    }
}

impl ReadyFlags {
    fn lowered(self, question: &'static str) -> (CliTask, CommonFlags) {
        self.lowered_with(question, false)
    }

    fn lowered_with(self, question: &'static str, all: bool) -> (CliTask, CommonFlags) {
        let query = Query::Ready {
            question,
            scope: Scope {
                all,
                ..self.scope.into()
            },
            show_sql: self.show_sql,
        };
        (CliTask::Query(query), self.common)
    }
}

impl CommonFlags {
    /// Adds the options that follow a subcommand: they win over those before it, and recordings are added.
    fn merge(mut self, after: CommonFlags) -> CommonFlags {
        self.recordings.extend(after.recordings);
        CommonFlags {
            recordings: self.recordings,
            format: after.format.or(self.format),
            output: after.output.or(self.output),
            follow: after.follow || self.follow,
            no_rollups: after.no_rollups || self.no_rollups,
            strict: after.strict || self.strict,
            memory: after.memory.or(self.memory),
            timeout: after.timeout.or(self.timeout),
            force: after.force || self.force,
            times: after.times.or(self.times),
        }
    }
}

impl From<CommonFlags> for AnswerOptions {
    fn from(flags: CommonFlags) -> Self {
        AnswerOptions {
            recordings: flags.recordings,
            format: flags.format,
            output: flags.output,
            follow: flags.follow,
            no_rollups: flags.no_rollups,
            strict: flags.strict,
            memory_bytes: flags.memory,
            timeout: flags.timeout,
            force: flags.force,
            times: flags.times,
        }
    }
}

impl From<ScopeFlags> for Scope {
    fn from(flags: ScopeFlags) -> Self {
        Scope {
            containers: flags.containers,
            pods: flags.pods,
            namespaces: flags.namespaces,
            labels: flags.labels,
            since: flags.since,
            until: flags.until,
            limit: flags.limit,
            all: false,
            setup: flags.setup,
        }
    }
}

impl ValueEnum for AnswerFormat {
    fn value_variants<'a>() -> &'a [Self] {
        AnswerFormat::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()).help(self.about()))
    }
}
