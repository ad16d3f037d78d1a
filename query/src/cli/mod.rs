//! The command line. Help, man page and completions come from these definitions.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
                  functions`. Times are UTC. Without a question, on a terminal, it is a shell."
)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    /// Read the SQL from a file
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with = "sql")]
    pub file: Option<PathBuf>,
    /// One SQL statement, or `-` to read it from stdin
    #[arg(value_name = "SQL")]
    pub sql: Option<String>,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to read and how to write: the same with SQL and with ready questions.
#[derive(Args, Clone, Debug, Default)]
pub struct Common {
    /// Recording to read: a file, a directory, or a pattern such as 'runs/*.parquet'; several are one table [default: $CTRACE_RECORDING, else the newest *.parquet or *.sqlite here]
    #[arg(short, long = "recording", value_name = "RECORDING")]
    pub recordings: Vec<PathBuf>,
    /// Format of the answer [default: table]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// Write the answer to a file
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Answer again as the recording grows, until Ctrl-C; of events, show the new ones
    #[arg(short = 'F', long)]
    pub follow: bool,
    /// Read every event, also where the sums that the recorder keeps beside them tell the same
    #[arg(long)]
    pub no_rollups: bool,
    /// Answer so often, and say on stderr how long each time took
    #[arg(long, value_name = "N", hide = true)]
    pub times: Option<u32>,
}

impl Common {
    /// Options may stand before and after the question: those after it win, and recordings add up.
    pub fn merge(mut self, after: &Common) -> Common {
        self.recordings.extend(after.recordings.iter().cloned());
        Common {
            recordings: self.recordings,
            format: after.format.or(self.format),
            output: after.output.clone().or(self.output),
            follow: after.follow || self.follow,
            no_rollups: after.no_rollups || self.no_rollups,
            times: after.times.or(self.times),
        }
    }
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns, cut to the width of the terminal
    Table,
    /// Each row as a list of columns and values, uncut
    Vertical,
    /// Comma-separated values (RFC 4180)
    Csv,
    /// Tab-separated values
    Tsv,
    /// One JSON array of objects
    Json,
    /// One JSON object per line
    Ndjson,
    /// A Markdown table
    Markdown,
    /// An Arrow IPC stream
    Arrow,
    /// A Parquet file; `select * from events ...` makes a smaller recording
    Parquet,
}

/// Ready questions, and what else is not SQL.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// What is in this recording, and what stands out?
    Summary(Ask),
    /// Which containers ran, from which images, and how busy were they?
    Containers(Ask),
    /// Which calls did it make, how many failed, how long did they take?
    Syscalls(Ask),
    /// What did it do, call by call, as strace prints it?
    Strace(Ask),
    /// Which files did it touch, and how?
    Files(Ask),
    /// Whom did it call, and who called it?
    Peers(Ask),
    /// Which container talks to which?
    Links(Ask),
    /// Which processes ran, who started them, how did they end?
    Processes(Ask),
    /// What failed, and on what? Not EAGAIN, nor what the kernel makes again, nor what runc tries while it sets a container up
    Errors(Ask),
    /// Which calls did seccomp refuse?
    Denied(Ask),
    /// When were events lost, and how many?
    Gaps(Ask),
    /// Which calls does it need? As a seccomp profile for Docker, podman and Kubernetes
    Seccomp(Seccomp),
    /// What happened, on one page of HTML for those who were not there?
    Report(Report),
    /// Which tables are there, which columns do they have, what do they mean?
    Describe(Describe),
    /// Turn a recording from Parquet into SQLite, or back; nothing is lost
    Convert(Convert),
    /// Finish a recording that was not closed, because its recorder was killed or the machine went down
    Recover(Recover),
    /// List the ready questions, the functions for SQL, or SQL that answers what people ask
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

/// Options of a ready question.
#[derive(Args, Debug)]
pub struct Ask {
    #[command(flatten)]
    pub scope: Scope,
    /// Print the SQL instead of running it
    #[arg(long)]
    pub show_sql: bool,
    #[command(flatten)]
    pub common: Common,
}

/// What a ready question is about.
#[derive(Args, Clone, Debug, Default)]
pub struct Scope {
    /// Only these containers: name, at least 4 digits of the id, or a pattern with * and ?
    #[arg(short, long = "container", value_name = "NAME", value_delimiter = ',')]
    pub containers: Vec<String>,
    /// From here: 2026-11-21T03:12:05Z, "2026-11-21 03:12", 03:12, or 10m before the end
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// Up to here, likewise
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<String>,
    /// At most this many rows
    #[arg(short = 'n', long, value_name = "N", allow_hyphen_values = true, value_parser = limit)]
    pub limit: Option<u64>,
}

fn limit(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| "write a number of rows, such as 20".into())
}

/// `seccomp`.
#[derive(Args, Debug)]
pub struct Seccomp {
    /// Only the calls of these containers: name, at least 4 digits of the id, or a pattern with * and ?
    #[arg(short, long = "container", value_name = "NAME", value_delimiter = ',')]
    pub containers: Vec<String>,
    /// Print the SQL that finds the calls
    #[arg(long)]
    pub show_sql: bool,
    #[command(flatten)]
    pub common: Common,
}

/// `report`.
#[derive(Args, Debug)]
pub struct Report {
    #[command(flatten)]
    pub scope: Scope,
    #[command(flatten)]
    pub common: Common,
}

/// `convert`.
#[derive(Args, Debug)]
pub struct Convert {
    /// Recording to read
    #[arg(value_name = "FROM")]
    pub from: PathBuf,
    /// File to write; its ending says the format (.parquet, .sqlite)
    #[arg(value_name = "TO")]
    pub to: PathBuf,
    /// Overwrite it if it exists
    #[arg(long)]
    pub force: bool,
}

/// `recover`.
#[derive(Args, Debug)]
pub struct Recover {
    /// Recording that was not closed
    #[arg(value_name = "RECORDING")]
    pub recording: PathBuf,
    /// Leave it as it is, and write what is in it to this file
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Overwrite that file if it exists
    #[arg(long)]
    pub force: bool,
}

/// `describe`.
#[derive(Args, Debug)]
pub struct Describe {
    /// Table or view; without it, the list of them
    pub table: Option<String>,
    /// Print the SQL instead of running it
    #[arg(long)]
    pub show_sql: bool,
    #[command(flatten)]
    pub common: Common,
}
