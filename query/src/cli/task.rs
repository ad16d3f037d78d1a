//! A command line as it is meant: the flags lowered to plain values, so that the other modules never see clap.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::time::Duration;

use ctrace_format::names::FileFormat;
use ctrace_redact::Switches;
use ctrace_schema::syscalls::Class;

use crate::output::{AnswerFormat, LineFormat};

/// One run of the program, or one line of the shell.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) task: CliTask,
    pub(crate) options: AnswerOptions,
}

/// The recordings to read, and the output of the answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct AnswerOptions {
    pub(crate) recordings: Vec<PathBuf>,
    pub(crate) format: Option<AnswerFormat>,
    pub(crate) output: Option<PathBuf>,
    pub(crate) follow: bool,
    pub(crate) no_rollups: bool,
    /// True if a file in a directory that cannot be read is an error.
    pub(crate) strict: bool,
    /// Memory limit of a query; `None`: a share of the machine's memory.
    pub(crate) memory_bytes: Option<usize>,
    /// The longest time that an answer may take.
    pub(crate) timeout: Option<Duration>,
    /// True if `output` may replace a recording.
    pub(crate) force: bool,
    /// Number of times that the query is answered; the time of each is reported.
    pub(crate) times: Option<u32>,
}

#[derive(Debug)]
pub(crate) enum CliTask {
    /// SQL from the command line, a file or stdin; with neither argument, the shell on a terminal.
    Sql {
        sql: Option<String>,
        file: Option<PathBuf>,
    },
    Query(Query),
    Command(CliCommand),
}

/// A query of the recordings.
#[derive(Debug)]
pub(crate) enum Query {
    Sql(String),
    Ready {
        /// The name of a ready question.
        question: &'static str,
        scope: Scope,
        show_sql: bool,
    },
    /// The columns of a table, or without one the list of the tables.
    Describe {
        table: Option<String>,
        show_sql: bool,
    },
}

impl Query {
    /// Returns whether the SQL is printed instead of run.
    pub(crate) fn shows_sql(&self) -> bool {
        match self {
            Query::Sql(_) => false,
            Query::Ready { show_sql, .. } | Query::Describe { show_sql, .. } => *show_sql,
        }
    }
}

/// The containers, the time window and the number of rows of a ready question; times as they were written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) containers: Vec<String>,
    pub(crate) pods: Vec<String>,
    pub(crate) namespaces: Vec<String>,
    /// Labels as `KEY=VALUE`, or `KEY` for any value.
    pub(crate) labels: Vec<String>,
    pub(crate) since: Option<String>,
    pub(crate) until: Option<String>,
    pub(crate) limit: Option<u64>,
    /// True if routine rows are listed one by one too.
    pub(crate) all: bool,
    /// True if the set-up of containers by their runtime is part of the answer.
    pub(crate) setup: bool,
}

/// The form of a set of capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum CapabilityForm {
    /// Options of `docker run` and `podman run`.
    Docker,
    /// A `securityContext` of Kubernetes.
    Kubernetes,
}

/// Some of the events: a scope, and of its events those of some classes that pass a condition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    pub(crate) scope: Scope,
    /// The classes of calls; empty: all.
    pub(crate) sets: Vec<Class>,
    /// A condition in SQL.
    pub(crate) condition: Option<String>,
}

/// Everything that is not a query.
#[derive(Debug)]
pub(crate) enum CliCommand {
    Capabilities {
        form: CapabilityForm,
        scope: Scope,
    },
    Rules(RulesTask),
    Seccomp {
        containers: Vec<String>,
        show_sql: bool,
    },
    Report {
        scope: Scope,
        /// True if the recordings are verified first.
        verify: bool,
    },
    Verify {
        /// The file of the public key with which each file must be signed.
        public_key: Option<PathBuf>,
    },
    Diff(Box<Diff>),
    Replay(Replay),
    Top(TopTask),
    Cut {
        selection: Selection,
        target: Target,
        /// The rules by which texts of the part are replaced.
        redaction: Option<Redaction>,
        /// True if the recordings are verified first.
        verify: bool,
    },
    Redact {
        redaction: Redaction,
        target: Target,
        /// True if the recordings are verified first.
        verify: bool,
    },
    /// Prints the default rules of redactions.
    RedactionRules,
    Merge {
        target: Target,
        /// True if the recordings are verified first.
        verify: bool,
    },
    Convert(Conversion),
    Recover(Recovery),
    Help {
        topic: Option<String>,
    },
    Man,
    Completions(clap_complete::Shell),
}

/// The arguments of `rules`.
#[derive(Debug)]
pub(crate) struct RulesTask {
    pub(crate) choice: ctrace_rules::Choice,
    pub(crate) scope: Scope,
    /// The format; `None`: that of the options.
    pub(crate) format: Option<FindingsFormat>,
    pub(crate) output: RulesOutput,
}

/// The output of `rules`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RulesOutput {
    /// The findings.
    Findings,
    /// The findings, and new ones as the recording grows.
    NewFindings,
    /// The rules themselves.
    List,
    /// The SQL of the findings.
    Sql,
}

/// The format of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FindingsFormat {
    /// A format of answers.
    Answer(AnswerFormat),
    /// SARIF 2.1.0, a format for findings of tools.
    Sarif,
}

/// The arguments of `diff`.
#[derive(Debug)]
pub(crate) struct Diff {
    pub(crate) good: DiffSide,
    pub(crate) bad: DiffSide,
    /// The number of changes to tell.
    pub(crate) limit: Option<u64>,
    /// True if the containers of each side are one.
    pub(crate) as_one: bool,
}

/// One of the two sides of `diff`.
#[derive(Debug)]
pub(crate) struct DiffSide {
    /// The recording; `None`: those of the options.
    pub(crate) recording: Option<PathBuf>,
    pub(crate) selection: Selection,
}

/// The arguments of `replay`.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) selection: Selection,
    pub(crate) speed: Speed,
    /// The longest pause, as it was written.
    pub(crate) idle: Option<String>,
    pub(crate) format: LineFormat,
    /// True if lines are printed on a terminal too.
    pub(crate) lines: bool,
    /// The condition in SQL of the event at which the playback stops.
    pub(crate) until: Option<String>,
}

/// The speed of a replay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Speed {
    /// As fast as the events can be read and written.
    Max,
    /// This many times as fast as the events happened.
    Times(f64),
}

impl Speed {
    /// The greatest and the least factor that keys reach.
    const FASTEST: f64 = 4096.0;
    const SLOWEST: f64 = 1.0 / 1024.0;

    /// Returns twice the speed.
    pub(crate) fn faster(self) -> Speed {
        match self {
            Speed::Times(factor) if factor * 2.0 <= Speed::FASTEST => Speed::Times(factor * 2.0),
            _ => Speed::Max,
        }
    }

    /// Returns half the speed.
    pub(crate) fn slower(self) -> Speed {
        match self {
            Speed::Times(factor) => Speed::Times((factor / 2.0).max(Speed::SLOWEST)),
            Speed::Max => Speed::Times(Speed::FASTEST),
        }
    }
}

impl Display for Speed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Speed::Max => f.write_str("max"),
            Speed::Times(factor) if *factor >= 1.0 => write!(f, "{factor}x"),
            Speed::Times(factor) => write!(f, "1/{}x", (100.0 / factor).round() / 100.0),
        }
    }
}

/// The arguments of `top`.
#[derive(Debug)]
pub(crate) struct TopTask {
    pub(crate) scope: Scope,
    pub(crate) level: TopLevel,
    /// The speed of a replay; `None`: recordings are followed.
    pub(crate) speed: Option<Speed>,
    /// True if what programs do with their terminal counts.
    pub(crate) terminal: bool,
    /// The time between two tables.
    pub(crate) delay: Duration,
    /// The number of tables that are printed; `None`: on a terminal, the whole screen shows them until the user ends that, and
    /// else one is printed.
    pub(crate) iterations: Option<u64>,
}

/// The subject of a row of `top`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TopLevel {
    Container,
    Process,
    Call,
}

/// The rules and the key of a redaction.
#[derive(Debug, Default)]
pub(crate) struct Redaction {
    /// A file of rules, in addition to the default rules.
    pub(crate) rules: Option<PathBuf>,
    /// The file of the key; `None`: a random key.
    pub(crate) key: Option<PathBuf>,
    /// Rules that are switched on or off.
    pub(crate) switches: Switches,
}

/// The recording that `cut`, `redact` and `merge` write.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) path: PathBuf,
    /// The format; `None`: as the extension says.
    pub(crate) format: Option<FileFormat>,
    pub(crate) overwrite: bool,
}

/// The arguments of `convert`.
#[derive(Debug)]
pub(crate) struct Conversion {
    pub(crate) from: PathBuf,
    pub(crate) to: PathBuf,
    pub(crate) overwrite: bool,
}

/// The arguments of `recover`.
#[derive(Debug)]
pub(crate) struct Recovery {
    pub(crate) recording: PathBuf,
    /// File to write; without one, the recording itself is completed.
    pub(crate) output: Option<PathBuf>,
    pub(crate) overwrite: bool,
}
