//! The flags of the commands that write recordings.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ctrace_redact::DEFAULT_NAME;

use crate::cli::flags::shared::{EventFlags, WindowFlags, memory};

/// The formats of recordings.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum RecordingFormat {
    /// A Parquet file
    Parquet,
    /// An SQLite database
    Sqlite,
}

/// The recording that `cut`, `redact` and `merge` write.
#[derive(Args, Debug)]
pub(in crate::cli) struct RewriteFlags {
    /// File to write
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) output: PathBuf,
    /// Format of the file [default: as its extension says: .parquet, .sqlite]
    #[arg(long, value_name = "FORMAT")]
    pub(in crate::cli) format: Option<RecordingFormat>,
    /// Overwrite FILE if it exists
    #[arg(long)]
    pub(in crate::cli) force: bool,
    /// Do not verify the recordings first
    #[arg(long)]
    pub(in crate::cli) no_verify: bool,
    /// Refuse if a file of a directory cannot be read; by default a warning names it
    #[arg(long)]
    pub(in crate::cli) strict: bool,
    /// Memory for sorting, such as 500MB or 4GiB; more is sorted in temporary files [default: half of the machine's]
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub(in crate::cli) memory: Option<usize>,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct CutFlags {
    /// Recording to read: a file, a directory, or a pattern such as 'runs/*.parquet' [default: $CTRACE_RECORDING, else the newest *.parquet or *.sqlite here]
    #[arg(short, long = "recording", value_name = "RECORDING")]
    pub(in crate::cli) recordings: Vec<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) window: WindowFlags,
    #[command(flatten)]
    pub(in crate::cli) events: EventFlags,
    /// Replace secrets by hashes, as `redact` does; RULES: a file of rules in addition to the default ones
    #[arg(long, value_name = "RULES", num_args = 0..=1, require_equals = true, default_missing_value = DEFAULT_NAME)]
    pub(in crate::cli) redact: Option<PathBuf>,
    /// With --redact: file of the key of the hashes [default: a random key, which is thrown away]
    #[arg(long, value_name = "FILE", requires = "redact")]
    pub(in crate::cli) key: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) rewrite: RewriteFlags,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct RedactFlags {
    /// Recordings to read: files, directories, or patterns such as 'runs/*.parquet'; several are merged [default: $CTRACE_RECORDING, else the newest *.parquet or *.sqlite here]
    #[arg(short, long = "recording", value_name = "RECORDING")]
    pub(in crate::cli) recordings: Vec<PathBuf>,
    /// File of rules, in addition to the default ones
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) rules: Option<PathBuf>,
    /// Run these rules too, such as peers,names,users
    #[arg(long, value_name = "RULES", value_delimiter = ',')]
    pub(in crate::cli) on: Vec<String>,
    /// Do not run these rules
    #[arg(long, value_name = "RULES", value_delimiter = ',')]
    pub(in crate::cli) off: Vec<String>,
    /// File of the key of the hashes: equal texts of recordings with the same key have equal hashes [default: a random key, which is thrown away]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) key: Option<PathBuf>,
    /// Print the default rules
    #[arg(long, exclusive = true, required_unless_present = "output")]
    pub(in crate::cli) show_rules: bool,
    #[command(flatten)]
    pub(in crate::cli) rewrite: Option<RewriteFlags>,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct MergeFlags {
    /// Recordings to read: files, directories, or patterns such as 'runs/*.parquet'
    #[arg(value_name = "RECORDING", required = true)]
    pub(in crate::cli) recordings: Vec<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) rewrite: RewriteFlags,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct ConvertFlags {
    /// Recording to read
    #[arg(value_name = "FROM")]
    pub(in crate::cli) from: PathBuf,
    /// File to write; its extension selects the format (.parquet, .sqlite)
    #[arg(value_name = "TO")]
    pub(in crate::cli) to: PathBuf,
    /// Overwrite the file if it exists
    #[arg(long)]
    pub(in crate::cli) force: bool,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct RecoverFlags {
    /// Recording that was not closed
    #[arg(value_name = "RECORDING")]
    pub(in crate::cli) recording: PathBuf,
    /// Write the completed recording to this file, and leave the original unchanged
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) output: Option<PathBuf>,
    /// Overwrite FILE if it exists
    #[arg(long)]
    pub(in crate::cli) force: bool,
}
