//! A command line as it is meant: the flags lowered to plain values, so that the other modules never see clap.

use std::path::PathBuf;
use std::time::Duration;

use crate::output::AnswerFormat;

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

/// Everything that is not a query.
#[derive(Debug)]
pub(crate) enum CliCommand {
    Seccomp {
        containers: Vec<String>,
        show_sql: bool,
    },
    Report(Scope),
    Convert(Conversion),
    Recover(Recovery),
    Help {
        topic: Option<String>,
    },
    Man,
    Completions(clap_complete::Shell),
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
