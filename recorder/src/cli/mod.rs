//! The command line of `ctrace-rec`. The help, the man page, the completions and the keys of the configuration file are
//! generated from these definitions. `lower` converts the flags to a plan.

pub(crate) mod config;
mod lower;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use ctrace_common::man;
use ctrace_redact::DEFAULT_NAME;

use crate::containers::list;
use crate::limits::cpu::CpuLimit;
use crate::limits::files::SizeAndAge;
use crate::limits::memory::Memory;

/// Records what every container on this machine does: syscalls, files, network peers, processes.
///
/// Writes a file that any data tool can open, and that ctrace-query can answer questions about. Recording needs root.
#[derive(Debug, Parser)]
#[command(name = "ctrace-rec", version, args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:
  ctrace-rec --out run.parquet                       record all containers until Ctrl-C
  ctrace-rec --out run.parquet --duration 30s        for half a minute
  ctrace-rec --out run.parquet -- make test          while a command runs
  ctrace-rec --format table --container 'web*'       watch some containers live
  ctrace-rec --out DIR/ --ring 15m                   keep 15 minutes in memory for `ctrace-rec dump`
  ctrace-rec --format json --set net | jq -c 'select(.peer_addr) | [.container, .syscall, .peer_addr, .peer_port]'
  ctrace-query -r run.parquet summary                show a summary")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) record: Record,
}

/// The sections that the man page has in addition to the command line.
pub(crate) const MAN: &[man::Section] = &[
    (
        "Exit status",
        &[
            (
                "0",
                "success, even if events were lost, and even if the reader closed the pipe",
            ),
            (
                "the command's",
                "with `-- COMMAND`: the command's own status, or 128 plus the number of the signal that killed it",
            ),
            (
                "2",
                "an error; stderr shows the error and the next step, and everything written before is kept",
            ),
        ],
    ),
    (
        "Signals",
        &[
            ("SIGINT, SIGTERM", "end the recording and close its file"),
            ("SIGHUP", "with --out DIR/: start the next segment"),
            ("SIGUSR1", "with --ring: write the ring to a file"),
        ],
    ),
    (
        "Files",
        &[
            (
                "FILE.parquet.journal",
                "the last events of a recording that is being written or was not closed",
            ),
            (
                "/etc/ctrace/ctrace-rec.toml",
                "the flags of the service, which passes this file to --config",
            ),
            (
                "/sys/kernel/btf/vmlinux",
                "the kernel's type information, which recording requires",
            ),
        ],
    ),
    ("See also", &[("", "ctrace-query(1), systemd(1)")]),
];

/// The subcommands, which do something other than recording.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists the running containers.
    Containers {
        /// Format of the list.
        #[arg(long, value_enum, default_value_t = list::ListFormat::Table)]
        format: list::ListFormat,
    },
    /// Makes the recorder that runs with --ring write its ring to a file, waits for it, and prints the file's name.
    Dump {
        /// Process id of the recorder, if several run.
        #[arg(long)]
        pid: Option<u32>,

        /// Print only the file's name.
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

/// The flags of a recording.
#[derive(Debug, Args)]
pub(crate) struct Record {
    /// File to write; its extension selects the format (.parquet, .sqlite). `DIR/`: Parquet files in a directory. `-`:
    /// JSON lines on stdout.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    /// Format, if the file's extension does not select it; json and table are written to stdout.
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,

    /// Overwrite the output if it exists.
    #[arg(long)]
    pub(crate) force: bool,

    /// Sync written data to the disk at this interval. A power failure loses at most the data of one interval.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    pub(crate) sync: Duration,

    /// Start a new file in the directory when the current one reaches this size or age, such as 100MB,10m. SIGHUP starts
    /// one at once.
    #[arg(long, value_name = "SIZE,TIME")]
    pub(crate) rotate: Option<SizeAndAge>,

    /// Keep at most this size and age in the directory, such as 20GB,7d: the oldest files of this host are removed.
    #[arg(long, value_name = "SIZE,TIME")]
    pub(crate) keep: Option<SizeAndAge>,

    /// Sign each finished file with this secret key of minisign, which has no password: FILE.minisig is written beside it.
    #[arg(long, value_name = "KEY")]
    pub(crate) sign: Option<PathBuf>,

    /// Replace secrets in arguments, paths and other texts by hashes before anything is written. RULES: a TOML file of rules in
    /// addition to the default ones, which are `default`.
    #[arg(
        long,
        value_name = "RULES",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = DEFAULT_NAME
    )]
    pub(crate) redact: Option<PathBuf>,

    /// With --redact: the file of the key of the hashes. Equal texts of recordings with the same key have equal hashes. By
    /// default, the key is random and thrown away.
    #[arg(long, value_name = "FILE", requires = "redact")]
    pub(crate) redact_key: Option<PathBuf>,

    /// Keep the most recent events in memory, such as the last 15m,40MB, and write them to a new file on each
    /// `ctrace-rec dump`, SIGUSR1, --trigger or --trigger-rules. The ring is part of --memory.
    #[arg(
        long,
        value_name = "TIME,SIZE",
        conflicts_with = "force",
        help_heading = "Flight recorder"
    )]
    pub(crate) ring: Option<SizeAndAge>,

    /// Write the ring to a file when an event meets this condition, in SQLite's SQL over the columns of `events`, such
    /// as "syscall = 'openat' and path = '/etc/shadow'".
    #[arg(
        long,
        value_name = "CONDITION",
        requires = "ring",
        help_heading = "Flight recorder"
    )]
    pub(crate) trigger: Option<String>,

    /// Write the ring to a file when one of the rules in this file fires, as described in docs/rules.md; `default` stands for
    /// the rules that ctrace-query has.
    #[arg(long, value_name = "FILE", help_heading = "Flight recorder")]
    pub(crate) trigger_rules: Vec<PathBuf>,

    /// Continue to write to the same file for this long after the ring has been written. A trigger can fire again when
    /// its condition has not been met for this long.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration, help_heading = "Flight recorder")]
    pub(crate) after: Duration,

    /// Name of this machine in the recording; by default, its host name. In a pod, whose host name is its own, the name of
    /// the node.
    #[arg(long, value_name = "NAME")]
    pub(crate) node: Option<String>,

    /// Stop after this long, such as 30s or 5m.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) duration: Option<Duration>,

    /// Write one row per call, or once a second one row per container, thread name and syscall.
    #[arg(long, value_enum, default_value_t = Mode::Full)]
    pub(crate) mode: Mode,

    /// Also record processes outside containers, with the container name `host`.
    #[arg(long)]
    pub(crate) host: bool,

    /// Record only these calls, such as openat,connect.
    #[arg(
        long,
        value_name = "CALLS",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    pub(crate) event: Vec<String>,

    /// Do not record these calls.
    #[arg(
        long,
        value_name = "CALLS",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    pub(crate) exclude_event: Vec<String>,

    /// Record only these classes of calls: file, network, process, memory, ipc, signal, time, poll, credential,
    /// system, other (short: fs, net, proc, mem, sig, cred, sys).
    #[arg(
        long,
        value_name = "CLASSES",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    pub(crate) set: Vec<String>,

    /// Do not record these classes of calls.
    #[arg(
        long,
        value_name = "CLASSES",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    pub(crate) exclude_set: Vec<String>,

    /// Record only threads with these names.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    pub(crate) comm: Vec<String>,

    /// Do not record threads with these names.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    pub(crate) exclude_comm: Vec<String>,

    /// Record only these containers, given by name, by the beginning of the id, or by glob.
    #[arg(
        long,
        value_name = "CONTAINERS",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    pub(crate) container: Vec<String>,

    /// Do not record these containers.
    #[arg(
        long,
        value_name = "CONTAINERS",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    pub(crate) exclude_container: Vec<String>,

    /// Record only containers of these Kubernetes pods, given by name or glob.
    #[arg(
        long,
        value_name = "PODS",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    pub(crate) pod: Vec<String>,

    /// Record only containers of pods in these Kubernetes namespaces, given by name or glob.
    #[arg(
        long,
        value_name = "NAMESPACES",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    pub(crate) namespace: Vec<String>,

    /// Record only containers that have all of these labels, such as tier=web,team=shop; a key alone stands for any value,
    /// also for one with a comma.
    #[arg(
        long,
        value_name = "KEY=VALUE",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    pub(crate) label: Vec<String>,

    /// Do not show progress or the summary.
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Use at most this much memory, including the kernel's buffers. If it is not enough, events are lost and counted.
    #[arg(long, value_name = "SIZE", default_value = Memory::DEFAULT, help_heading = "As a service")]
    pub(crate) memory: Memory,

    /// Use at most this share of one CPU, such as 5%. Above it, calls are dropped and counted, the least informative
    /// first.
    #[arg(long, value_name = "PERCENT", help_heading = "As a service")]
    pub(crate) max_cpu: Option<CpuLimit>,

    /// Read more flags from this TOML file, in which each long flag is a key. The command line overrides the file.
    #[arg(long, value_name = "FILE", help_heading = "As a service")]
    pub(crate) config: Option<PathBuf>,

    /// Serve metrics for Prometheus under /metrics at this address, such as 127.0.0.1:9464.
    #[arg(long, value_name = "ADDRESS:PORT", help_heading = "As a service")]
    pub(crate) metrics: Option<SocketAddr>,

    /// Also write the unprocessed records of the kernel to this file, for --from-raw.
    #[arg(long, value_name = "FILE", help_heading = "Raw captures")]
    pub(crate) raw: Option<PathBuf>,

    /// Replay a raw capture instead of recording. Needs no privileges; filters apply only when a capture is made.
    #[arg(long, value_name = "FILE", help_heading = "Raw captures", conflicts_with_all = [
        "raw", "node", "duration", "run", "host", "max_cpu", "event", "exclude_event", "set", "exclude_set", "comm", "exclude_comm",
        "container", "exclude_container", "pod", "namespace", "label",
    ])]
    pub(crate) from_raw: Option<PathBuf>,

    /// Record while this command runs, and exit with its status.
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) run: Vec<String>,
}

/// The detail of a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Each call with its arguments, files and peers.
    #[default]
    Full,
    /// The numbers of calls and of errors, the bytes transferred, and a histogram of latencies.
    Counts,
}

/// The format of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A Parquet file.
    Parquet,
    /// An SQLite database.
    Sqlite,
    /// JSON lines on stdout, one object per event.
    Json,
    /// Live lines on stdout, in the style of strace.
    Table,
}
