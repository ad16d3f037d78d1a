//! The plan of a recording: the meaning of the command line's flags, after all checks.
//!
//! `cli/lower.rs` creates the plan once, at the start. All other modules read the plan and do not depend on the command
//! line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ctrace_redact::Redactor;
use ctrace_rules::RuleSet;

use crate::filters::Filters;
use crate::limits::cpu::CpuLimit;
use crate::limits::files::SizeAndAge;
use crate::limits::memory::Memory;

/// All settings of a recording.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The raw capture that is replayed; `None` records this machine.
    pub(crate) from_raw: Option<PathBuf>,
    /// The name of this machine, if it is not the host name.
    pub(crate) node: Option<String>,
    pub(crate) filters: Filters,
    pub(crate) destination: Destination,
    pub(crate) files: FileOptions,
    /// The memory limit, without the memory of the ring.
    pub(crate) memory: Memory,
    pub(crate) ring: Option<RingOptions>,
    /// The file for a raw capture of this recording.
    pub(crate) raw: Option<PathBuf>,
    /// The rules and the key by which texts are replaced.
    pub(crate) redactor: Option<Arc<Redactor>>,
    pub(crate) max_cpu: Option<CpuLimit>,
    pub(crate) duration: Option<Duration>,
    /// The command to run during the recording, with its arguments. Empty if there is none.
    pub(crate) command: Vec<String>,
    pub(crate) quiet: bool,
    /// The address at which metrics are served.
    pub(crate) metrics: Option<SocketAddr>,
}

/// The place that a recording is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// A Parquet file.
    Parquet(PathBuf),
    /// A directory of Parquet files that are written one after the other.
    Segments(PathBuf),
    /// An SQLite database.
    Sqlite(PathBuf),
    /// JSON lines on stdout.
    Json,
    /// Lines in the style of strace on stdout.
    Table,
    /// Nothing but a raw capture.
    RawOnly,
}

impl Destination {
    /// Returns the name for messages and the progress line.
    pub(crate) fn name(&self) -> String {
        match self {
            Destination::Parquet(path)
            | Destination::Segments(path)
            | Destination::Sqlite(path) => path.display().to_string(),
            Destination::Json | Destination::Table => "stdout".to_string(),
            Destination::RawOnly => "a raw capture".to_string(),
        }
    }

    /// Returns the path of a destination that is a single file.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Destination::Parquet(path) | Destination::Sqlite(path) => Some(path),
            Destination::Segments(_)
            | Destination::Json
            | Destination::Table
            | Destination::RawOnly => None,
        }
    }
}

/// Options of the files of a recording.
#[derive(Clone, Debug)]
pub(crate) struct FileOptions {
    /// True if an existing file is overwritten.
    pub(crate) force: bool,
    /// The longest time between two calls of fdatasync(2).
    pub(crate) sync: Duration,
    /// The size or age at which the next segment begins.
    pub(crate) rotate: Option<SizeAndAge>,
    /// The size and age up to which segments are retained.
    pub(crate) keep: Option<SizeAndAge>,
    /// The secret key that signs finished files.
    pub(crate) sign: Option<PathBuf>,
}

/// The ring of the flight recorder.
#[derive(Clone, Debug)]
pub(crate) struct RingOptions {
    /// The maximum age of the events in the ring, and the bytes of memory for them.
    pub(crate) limits: SizeAndAge,
    /// The SQL condition that starts a dump.
    pub(crate) trigger: Option<String>,
    /// The rules that start a dump.
    pub(crate) trigger_rules: RuleSet,
    /// The time for which a dump continues after its start.
    pub(crate) after: Duration,
}
