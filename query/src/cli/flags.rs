//! The flags as clap parses them. Help, man page and completions come from these definitions.

mod rewriting;
mod shared;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::cli::flags::shared::memory;
use crate::cli::task::{CapabilityForm, FindingsFormat, Speed, TopLevel};
use crate::output::AnswerFormat;

pub(super) use rewriting::{
    ConvertFlags, CutFlags, MergeFlags, RecordingFormat, RecoverFlags, RedactFlags, RewriteFlags,
};
pub(super) use shared::{EventFlags, WindowFlags};

pub(super) const PROGRAM: &str = "ctrace-query";

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
                  ctrace-query replay --container web --since 03:12 --idle 2s\n  \
                  ctrace-query -r run.parquet \"select container, syscall, count(*) from events group by 1, 2\"\n\n\
                  Tables: events, and the views that `ctrace-query describe` lists. Functions: `ctrace-query help \
                  functions`. Times are UTC. Without a question, a terminal gets an interactive shell."
)]
pub(super) struct QueryFlags {
    #[command(flatten)]
    pub(super) common: CommonFlags,
    /// Read the SQL from a file
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with = "sql")]
    pub(super) file: Option<PathBuf>,
    /// One SQL statement, or `-` to read it from stdin
    #[arg(value_name = "SQL")]
    pub(super) sql: Option<String>,
    #[command(subcommand)]
    pub(super) command: Option<CommandFlags>,
}

/// The options of SQL and of ready questions alike.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct CommonFlags {
    /// Format of the answer [default: table]
    #[arg(long, value_name = "FORMAT")]
    pub(super) format: Option<AnswerFormat>,
    #[command(flatten)]
    pub(super) reading: ReadingFlags,
}

/// The options of everything that answers from recordings, whatever its formats.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct ReadingFlags {
    /// Recording to read: a file, a directory, or a pattern such as 'runs/*.parquet'; several recordings are read as one table [default: $CTRACE_RECORDING, else the newest *.parquet or *.sqlite here]
    #[arg(short, long = "recording", value_name = "RECORDING")]
    pub(super) recordings: Vec<PathBuf>,
    /// Write the answer to a file
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Repeat the answer as the recording grows, until Ctrl-C; if it lists events, add only the new ones
    #[arg(short = 'F', long)]
    pub(super) follow: bool,
    /// Read every event instead of the precomputed rollups of the recording
    #[arg(long)]
    pub(super) no_rollups: bool,
    /// Refuse to answer if a file of a directory cannot be read; by default a warning names it
    #[arg(long)]
    pub(super) strict: bool,
    /// Memory for sorting, joining and grouping, such as 500MB or 4GiB; larger sorts and groups use temporary files [default: half of the machine's]
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub(super) memory: Option<usize>,
    /// Give up after this many seconds, such as 30 or 0.5
    #[arg(long, value_name = "SECONDS", value_parser = seconds, conflicts_with = "follow")]
    pub(super) timeout: Option<Duration>,
    /// Let --output replace a recording
    #[arg(long)]
    pub(super) force: bool,
    /// Answer N times, and print the time of each answer to stderr
    #[arg(long, value_name = "N", hide = true)]
    pub(super) times: Option<u32>,
}

/// The ready questions and the other subcommands.
#[derive(Debug, Subcommand)]
pub(super) enum CommandFlags {
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
    /// Which capabilities did containers use, and which were refused? Also as options of Docker or for Kubernetes
    Capabilities(CapabilitiesFlags),
    /// When were events lost, and how many?
    Gaps(ReadyFlags),
    /// Did something suspicious happen? What rules find, alerts first; exit code 1 if there is an alert
    Rules(RulesFlags),
    /// Which calls does a container need? As a seccomp profile for Docker, podman and Kubernetes
    Seccomp(SeccompFlags),
    /// What changed between a good run and a bad one, two times, or two containers? Exit code 1 if something is new
    Diff(DiffFlags),
    /// What happened? As one page of HTML that can be passed on
    Report(ReportFlags),
    /// Which tables are there, which columns do they have, what do they mean?
    Describe(DescribeFlags),
    /// Is this what was recorded? Digests, signatures, the chain of segments, gaps and overlaps
    Verify(VerifyFlags),
    /// Play the events back in their rhythm, as ctrace-rec prints them live
    Replay(ReplayFlags),
    /// Show what containers do, as the recording grows, or as it happened: calls, errors, latency, bytes
    Top(TopFlags),
    /// Cut some minutes, or some containers, out: a smaller recording, complete in itself
    Cut(CutFlags),
    /// Replace secrets, and what else rules find, by hashes, to pass a recording on
    Redact(RedactFlags),
    /// Make one recording of several, with each event once
    Merge(MergeFlags),
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
pub(super) struct ReadyFlags {
    #[command(flatten)]
    pub(super) scope: ScopeFlags,
    /// Print the SQL instead of running it
    #[arg(long)]
    pub(super) show_sql: bool,
    #[command(flatten)]
    pub(super) common: CommonFlags,
}

#[derive(Args, Clone, Debug, Default)]
pub(super) struct ScopeFlags {
    #[command(flatten)]
    pub(super) window: WindowFlags,
    /// At most this many rows
    #[arg(short = 'n', long, value_name = "N", allow_hyphen_values = true, value_parser = limit)]
    pub(super) limit: Option<u64>,
    /// Also what the container runtime did to set a container, or a process in it, up
    #[arg(long)]
    pub(super) setup: bool,
}

#[derive(Args, Debug)]
pub(super) struct ReplayFlags {
    /// Recording to play: a file, a directory, or a pattern such as 'runs/*.parquet'; several recordings are merged in the order of time [default: $CTRACE_RECORDING, else the newest *.parquet or *.sqlite here]
    #[arg(short, long = "recording", value_name = "RECORDING")]
    pub(super) recordings: Vec<PathBuf>,
    /// Speed: `realtime`, a factor such as 2x or 0.5x, or `max`
    #[arg(long, value_name = "SPEED", default_value = "realtime", value_parser = speed)]
    pub(super) speed: Speed,
    /// Shorten longer pauses to this, such as 2s, and say so on stderr
    #[arg(long, value_name = "DURATION")]
    pub(super) idle: Option<String>,
    /// Format of the events
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(super) format: ReplayFormat,
    /// Print lines on a terminal too, where otherwise a player has the whole screen
    #[arg(long)]
    pub(super) lines: bool,
    /// Stop at the first event that passes this condition, in SQL, such as "error = 'ECONNREFUSED'"
    #[arg(long, value_name = "CONDITION")]
    pub(super) until_condition: Option<String>,
    #[command(flatten)]
    pub(super) scope: ScopeFlags,
    #[command(flatten)]
    pub(super) events: EventFlags,
    /// Refuse if a file of a directory cannot be read; by default a warning names it
    #[arg(long)]
    pub(super) strict: bool,
    /// Memory for sorting, such as 500MB or 4GiB; more is sorted in temporary files [default: half of the machine's]
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub(super) memory: Option<usize>,
}

#[derive(Args, Debug)]
pub(super) struct TopFlags {
    /// Play the recording back, and show what happened at each time
    #[arg(long)]
    pub(super) replay: bool,
    /// Speed of --replay: `realtime`, a factor such as 2x or 0.5x, or `max`
    #[arg(long, value_name = "SPEED", default_value = "realtime", value_parser = speed, requires = "replay")]
    pub(super) speed: Speed,
    /// Seconds between two tables
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(super) delay: Duration,
    /// Print this many tables instead of using the whole screen; without a terminal, one is printed
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) iterations: Option<u64>,
    /// A row for each container, process or call
    #[arg(long, value_name = "WHAT", default_value = "container")]
    pub(super) by: TopLevel,
    #[command(flatten)]
    pub(super) window: WindowFlags,
    /// Also what the container runtime did to set a container, or a process in it, up
    #[arg(long)]
    pub(super) setup: bool,
    /// Also what programs do with their terminal: ioctl, read, write, poll
    #[arg(long)]
    pub(super) terminal: bool,
    /// Recording to read: a file, a directory, or a pattern such as 'runs/*.parquet'; several recordings are read as one table [default: $CTRACE_RECORDING, else the newest *.parquet or *.sqlite here]
    #[arg(short, long = "recording", value_name = "RECORDING")]
    pub(super) recordings: Vec<PathBuf>,
    /// Format of tables that are printed [default: table]
    #[arg(long, value_name = "FORMAT")]
    pub(super) format: Option<AnswerFormat>,
    /// Refuse if a file of a directory cannot be read; by default a warning names it
    #[arg(long)]
    pub(super) strict: bool,
    /// Memory for sorting and grouping, such as 500MB or 4GiB [default: half of the machine's]
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub(super) memory: Option<usize>,
}

/// The formats of replayed events, named as those of ctrace-rec.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ReplayFormat {
    /// Lines in the style of strace
    Table,
    /// JSON lines, one object for each event
    Json,
}

fn speed(text: &str) -> Result<Speed, String> {
    match text {
        "max" => return Ok(Speed::Max),
        "realtime" => return Ok(Speed::Times(1.0)),
        _ => {}
    }
    let factor = text.strip_suffix('x').unwrap_or(text).parse::<f64>();
    let factor = factor
        .ok()
        .filter(|factor| factor.is_finite() && *factor > 0.0);
    let factor = factor.map(Speed::Times);
    factor.ok_or_else(|| "write realtime, max, or a factor such as 2x or 0.5x".into())
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
pub(super) struct ErrorsFlags {
    /// List routine failures, such as searches that found the file elsewhere, like all others
    #[arg(long)]
    pub(super) all: bool,
    #[command(flatten)]
    pub(super) ready: ReadyFlags,
}

#[derive(Args, Debug)]
pub(super) struct WhyFlags {
    /// The container, as for --container [default: the one that ended badly last]
    #[arg(value_name = "CONTAINER")]
    pub(super) wanted: Option<String>,
    #[command(flatten)]
    pub(super) ready: ReadyFlags,
}

#[derive(Args, Debug)]
pub(super) struct CapabilitiesFlags {
    /// Print the least set that the containers need, in this form
    #[arg(long = "as", value_name = "FORM")]
    pub(super) form: Option<CapabilityForm>,
    #[command(flatten)]
    pub(super) ready: ReadyFlags,
}

#[derive(Args, Debug)]
pub(super) struct SeccompFlags {
    /// Only the calls of these containers: name, at least 4 digits of the id, or a pattern with * and ?
    #[arg(short, long = "container", value_name = "NAME", value_delimiter = ',')]
    pub(super) containers: Vec<String>,
    /// Print the SQL that finds the calls
    #[arg(long)]
    pub(super) show_sql: bool,
    #[command(flatten)]
    pub(super) common: CommonFlags,
}

#[derive(Args, Debug)]
pub(super) struct ReportFlags {
    #[command(flatten)]
    pub(super) scope: ScopeFlags,
    /// Do not verify the recordings first
    #[arg(long)]
    pub(super) no_verify: bool,
    #[command(flatten)]
    pub(super) common: CommonFlags,
}

#[derive(Args, Debug)]
pub(super) struct RulesFlags {
    /// Add the rules of this file; a rule replaces the one of the same name
    #[arg(long = "rules", value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Leave the rules that come with the program out
    #[arg(long)]
    pub(super) no_default_rules: bool,
    /// Only these rules
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(super) only: Vec<String>,
    /// Leave these rules out
    #[arg(long = "disable", value_name = "NAME", value_delimiter = ',')]
    pub(super) disabled: Vec<String>,
    /// List the rules instead
    #[arg(long, conflicts_with_all = ["show_sql", "follow"])]
    pub(super) list: bool,
    #[command(flatten)]
    pub(super) scope: ScopeFlags,
    /// Print the SQL instead of running it
    #[arg(long)]
    pub(super) show_sql: bool,
    /// Format of the findings: one of those of answers, or `sarif` [default: table]
    #[arg(long, value_name = "FORMAT", value_parser = findings_format())]
    pub(super) format: Option<FindingsFormat>,
    #[command(flatten)]
    pub(super) reading: ReadingFlags,
}

/// Returns the parser of the formats of findings.
fn findings_format() -> impl TypedValueParser<Value = FindingsFormat> {
    let answers = AnswerFormat::ALL.iter();
    let answers = answers.map(|format| PossibleValue::new(format.name()).help(format.about()));
    let sarif = PossibleValue::new("sarif").help("SARIF 2.1.0, for tools that collect findings");
    PossibleValuesParser::new(answers.chain([sarif])).map(|name| {
        AnswerFormat::from_name(&name).map_or(FindingsFormat::Sarif, FindingsFormat::Answer)
    })
}

#[derive(Args, Debug)]
pub(super) struct DiffFlags {
    /// Recording of a good run: a file, a directory, or a pattern [default: both sides are in that of --recording]
    #[arg(value_name = "GOOD", requires = "bad_recording")]
    pub(super) good_recording: Option<PathBuf>,
    /// Recording of a bad run
    #[arg(value_name = "BAD")]
    pub(super) bad_recording: Option<PathBuf>,
    /// Time of the good side, such as 02:00,02:10; a time that is left out is that of --since or --until [default: in one recording, until the bad side begins]
    #[arg(long, value_name = "FROM,TO", allow_hyphen_values = true, value_parser = window)]
    pub(super) good: Option<Window>,
    /// Time of the bad side
    #[arg(long, value_name = "FROM,TO", allow_hyphen_values = true, value_parser = window)]
    pub(super) bad: Option<Window>,
    /// Containers of the good side, which count as one, as for --container
    #[arg(
        long = "good-container",
        value_name = "NAME",
        value_delimiter = ',',
        requires = "bad_containers",
        conflicts_with = "containers"
    )]
    pub(super) good_containers: Vec<String>,
    /// Containers of the bad side, which count as one
    #[arg(
        long = "bad-container",
        value_name = "NAME",
        value_delimiter = ',',
        requires = "good_containers"
    )]
    pub(super) bad_containers: Vec<String>,
    /// Also routine failures, calls that wait for others, and what vanished although it was rare
    #[arg(long)]
    pub(super) all: bool,
    #[command(flatten)]
    pub(super) scope: ScopeFlags,
    #[command(flatten)]
    pub(super) events: EventFlags,
    #[command(flatten)]
    pub(super) common: CommonFlags,
}

/// A span of time, as it was written.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
}

fn window(text: &str) -> Result<Window, String> {
    let time = |text: &str| Some(text.trim().to_string()).filter(|text| !text.is_empty());
    let Some((from, to)) = text.split_once(',') else {
        return Err("write two times with a comma between them, such as 02:00,02:10".into());
    };
    let window = Window {
        from: time(from),
        to: time(to),
    };
    match window.from.is_none() && window.to.is_none() {
        true => Err("write at least one time, such as 02:00,".into()),
        false => Ok(window),
    }
}

#[derive(Args, Debug)]
pub(super) struct VerifyFlags {
    /// Recordings, as for --recording
    #[arg(value_name = "RECORDING")]
    pub(super) files: Vec<PathBuf>,
    /// Check the signatures too: each finished file must be signed with this public key of minisign
    #[arg(long, value_name = "KEY")]
    pub(super) public_key: Option<PathBuf>,
    #[command(flatten)]
    pub(super) common: CommonFlags,
}

#[derive(Args, Debug)]
pub(super) struct DescribeFlags {
    /// Table or view; without one, all of them are listed
    pub(super) table: Option<String>,
    /// Print the SQL instead of running it
    #[arg(long)]
    pub(super) show_sql: bool,
    #[command(flatten)]
    pub(super) common: CommonFlags,
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

impl ValueEnum for AnswerFormat {
    fn value_variants<'a>() -> &'a [Self] {
        AnswerFormat::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()).help(self.about()))
    }
}
