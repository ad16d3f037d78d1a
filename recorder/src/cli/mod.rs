//! The command line. Help, man page and completions come from here.

pub mod config;
mod lower;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use ctrace_common::man;

use crate::containers::list;
use crate::limits::cpu::CpuLimit;
use crate::limits::files::SizeAndAge;
use crate::limits::memory::Memory;

/// Records what every container on this machine does: syscalls, files, network peers, processes.
///
/// Writes to a file that any data tool opens, and that ctrace-query answers questions about. Recording needs root.
#[derive(Debug, Parser)]
#[command(name = "ctrace-rec", version, args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:
  ctrace-rec --out run.parquet                       record all containers until Ctrl-C
  ctrace-rec --out run.parquet --duration 30s        for half a minute
  ctrace-rec --out run.parquet -- make test          while a command runs
  ctrace-rec --format table --container 'web*'       watch some, live
  ctrace-rec --out DIR/ --ring 15m                   keep the past in memory, and write it when told: ctrace-rec dump
  ctrace-rec --format json --set net | jq -c 'select(.peer_addr) | [.container, .syscall, .peer_addr, .peer_port]'
  ctrace-query -r run.parquet summary                ask")]
pub struct Cli {
    /// What to do instead of recording.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// What to record, and where to.
    #[command(flatten)]
    pub record: Record,
}

/// What the man page says beside the command line.
pub const MAN: &[man::Section] = &[
    (
        "Exit status",
        &[
            (
                "0",
                "done, also with losses, and also when the reader of a pipe went away",
            ),
            (
                "the command's",
                "with `-- COMMAND`: its own; 128 and the number of the signal that killed it",
            ),
            (
                "2",
                "an error, said on stderr with what to do next; what was written before is kept",
            ),
        ],
    ),
    (
        "Signals",
        &[
            ("SIGINT, SIGTERM", "end the recording, and close its file"),
            ("SIGHUP", "with --out DIR/: begin the next segment"),
            ("SIGUSR1", "with --ring: write the ring out"),
        ],
    ),
    (
        "Files",
        &[
            (
                "FILE.parquet.journal",
                "the last events of a recording that is being written, or was not closed",
            ),
            (
                "/etc/ctrace/ctrace-rec.toml",
                "the flags of the service, which gives it to --config",
            ),
            (
                "/sys/kernel/btf/vmlinux",
                "the layout of the kernel, without which nothing can be recorded",
            ),
        ],
    ),
    ("See also", &[("", "ctrace-query(1), systemd(1)")]),
];

/// What to do instead of recording.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lists the containers that run now.
    Containers {
        /// How to print them.
        #[arg(long, value_enum, default_value_t = list::ListFormat::Table)]
        format: list::ListFormat,
    },
    /// Has the recorder that runs with --ring write its ring out, waits until it has, and prints the file's name.
    Dump {
        /// The recorder with this process id, where several run.
        #[arg(long)]
        pid: Option<u32>,

        /// Print nothing but the file's name.
        #[arg(short, long)]
        quiet: bool,
    },
    /// Prints the man page.
    #[command(hide = true)]
    Man,
    /// Prints completions for a shell.
    #[command(hide = true)]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// What to record, and where to.
#[derive(Debug, Args)]
pub struct Record {
    /// File to write; its ending says the format (.parquet, .sqlite). `DIR/`: Parquet files in a directory. `-`: JSON lines
    /// on stdout.
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Format, where the file's ending does not say it: json and table go to stdout.
    #[arg(long, value_enum)]
    pub format: Option<Format>,

    /// Overwrite the output if it exists.
    #[arg(long)]
    pub force: bool,

    /// Have what was written put on the disk at most this often: what a power cut may cost.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    pub sync: Duration,

    /// Begin another file in the directory when one has this size or age, such as 100MB,10m. SIGHUP does it at once.
    #[arg(long, value_name = "SIZE,TIME")]
    pub rotate: Option<SizeAndAge>,

    /// Keep so much in the directory, such as 20GB,7d: of the files of this host the oldest are removed.
    #[arg(long, value_name = "SIZE,TIME")]
    pub keep: Option<SizeAndAge>,

    /// Keep the last of what happens in memory, such as 15m,40MB of it, and write it out, to a file of its own each time, on
    /// `ctrace-rec dump`, SIGUSR1 or --trigger. It counts in --memory.
    #[arg(
        long,
        value_name = "TIME,SIZE",
        conflicts_with = "force",
        help_heading = "Flight recorder"
    )]
    pub ring: Option<SizeAndAge>,

    /// Write the ring out when an event meets this condition, in SQLite's SQL over the columns of `events`, such as
    /// "syscall = 'openat' and path = '/etc/shadow'".
    #[arg(
        long,
        value_name = "CONDITION",
        requires = "ring",
        help_heading = "Flight recorder"
    )]
    pub trigger: Option<String>,

    /// Go on for this long, into the same file, when the ring is written out. A trigger is armed again when its condition has
    /// not been met for so long.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration, help_heading = "Flight recorder")]
    pub after: Duration,

    /// Stop after this long, such as 30s or 5m.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,

    /// What to write of each call: a row, or each second a row for the calls of a container, thread name and syscall.
    #[arg(long, value_enum, default_value_t = Mode::Full)]
    pub mode: Mode,

    /// Record what runs outside containers too, under the container name `host`.
    #[arg(long)]
    pub host: bool,

    /// Record only these calls, such as openat,connect.
    #[arg(
        long,
        value_name = "CALLS",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    pub event: Vec<String>,

    /// Leave these calls out.
    #[arg(
        long,
        value_name = "CALLS",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    pub exclude_event: Vec<String>,

    /// Record only these classes of calls: file, network, process, memory, ipc, signal, time, poll, credential,
    /// system, other (short: fs, net, proc, mem, sig, cred, sys).
    #[arg(
        long,
        value_name = "CLASSES",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    pub set: Vec<String>,

    /// Leave these classes of calls out.
    #[arg(
        long,
        value_name = "CLASSES",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    pub exclude_set: Vec<String>,

    /// Record only threads of these names.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    pub comm: Vec<String>,

    /// Leave threads of these names out.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    pub exclude_comm: Vec<String>,

    /// Record only these containers: a name, the beginning of an id, or a glob.
    #[arg(
        long,
        value_name = "CONTAINERS",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    pub container: Vec<String>,

    /// Leave these containers out.
    #[arg(
        long,
        value_name = "CONTAINERS",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    pub exclude_container: Vec<String>,

    /// Do not show progress or the summary.
    #[arg(short, long)]
    pub quiet: bool,

    /// Take at most this much memory, the kernel's buffers included. Where it is not enough, events are lost, and counted.
    #[arg(long, value_name = "SIZE", default_value = Memory::DEFAULT, help_heading = "As a service")]
    pub memory: Memory,

    /// Take at most this much of one CPU, such as 5%: above it those calls are given up first that tell least, and counted.
    #[arg(long, value_name = "PERCENT", help_heading = "As a service")]
    pub max_cpu: Option<CpuLimit>,

    /// Read more flags from this file, in TOML: each long flag is a key. What is given here counts more.
    #[arg(long, value_name = "FILE", help_heading = "As a service")]
    pub config: Option<PathBuf>,

    /// Serve the recorder's numbers at /metrics for Prometheus, such as at 127.0.0.1:9464.
    #[arg(long, value_name = "ADDRESS:PORT", help_heading = "As a service")]
    pub metrics: Option<SocketAddr>,

    /// Also write what the kernel sent, as it came, for --from-raw.
    #[arg(long, value_name = "FILE", help_heading = "Raw captures")]
    pub raw: Option<PathBuf>,

    /// Replay a raw capture instead of recording. Needs no privileges; what it holds was decided when it was made.
    #[arg(long, value_name = "FILE", help_heading = "Raw captures", conflicts_with_all = [
        "raw", "duration", "run", "host", "max_cpu", "event", "exclude_event", "set", "exclude_set", "comm", "exclude_comm",
        "container", "exclude_container",
    ])]
    pub from_raw: Option<PathBuf>,

    /// Record while this command runs, and exit with its code.
    #[arg(last = true, value_name = "COMMAND")]
    pub run: Vec<String>,
}

/// How much is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Every call, with its arguments, files and peers.
    #[default]
    Full,
    /// How many calls, how many failed, bytes moved and a histogram of how long they took.
    Counts,
}

/// Formats of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A Parquet file.
    Parquet,
    /// An SQLite database.
    Sqlite,
    /// JSON lines on stdout, an object per event.
    Json,
    /// Lines as strace prints them, live, on stdout.
    Table,
}
