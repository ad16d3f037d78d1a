//! The metadata of a recording: the key-value pairs in its Parquet footer, or the rows of the table `meta` in SQLite.

/// Major and minor version of the format. Readers reject recordings with a newer major version. `docs/schema-changes.md` has a
/// line for each version.
pub const SCHEMA_VERSION: (u32, u32) = (1, 8);

/// Version of the format, `MAJOR.MINOR`.
pub const KEY_SCHEMA: &str = "ctrace.schema";
/// Name and version of the program that wrote the recording, `ctrace-rec 0.1.0`.
pub const KEY_PRODUCER: &str = "ctrace.producer";
/// Name of the machine.
pub const KEY_HOST: &str = "ctrace.host";
/// `/proc/sys/kernel/random/boot_id`.
pub const KEY_BOOT_ID: &str = "ctrace.boot_id";
/// `uname -r`.
pub const KEY_KERNEL: &str = "ctrace.kernel";
/// Machine architecture, `uname -m`.
pub const KEY_ARCH: &str = "ctrace.arch";
/// First instant of the recording, ns since 1970 UTC, decimal.
pub const KEY_START: &str = "ctrace.start";
/// Last instant of the recording, ns since 1970 UTC, decimal.
pub const KEY_END: &str = "ctrace.end";
/// JSON array of pairs `[boottime ns, wall clock ns]`, read at intervals, so that steps of the wall clock are visible.
pub const KEY_CLOCKS: &str = "ctrace.clocks";
/// JSON object: the filters of the recording, by the name of their flag.
pub const KEY_FILTERS: &str = "ctrace.filters";
/// Number of events in the recording, decimal.
pub const KEY_EVENTS: &str = "ctrace.events";
/// JSON object: number of lost events by class.
pub const KEY_LOST: &str = "ctrace.lost";
/// JSON object: number of lost events by class that were dropped to stay within `--max-cpu`. The key is missing if there were
/// none.
pub const KEY_SHED: &str = "ctrace.shed";
/// JSON object: number of missing parts of events that are recorded otherwise. `definitions`: paths and addresses that did
/// not fit into the ring; `user_memory`: arguments that could not be read; `path_depth`, `argv`: paths and arguments that
/// were truncated; `threads`, `cgroups`: could not be watched for lack of memory; `programs`: the kernel did not run a BPF
/// program (Linux 7).
pub const KEY_MISSED: &str = "ctrace.missed";

/// Boot time (CLOCK_BOOTTIME) at which the recorder started, ns, decimal. It distinguishes the events of recorders of
/// one boot, each of which counts `seq` from 0. The key is missing in replays of captures without this time.
pub const KEY_RUN: &str = "ctrace.run";
/// Number of rows at the beginning of the file that are older than the file, decimal: the rows about the containers and
/// processes that were alive when the file began. These rows are in row groups of their own and in no rollup. The key
/// is missing if there are none.
pub const KEY_ALIVE: &str = "ctrace.alive";
/// JSON object, only in parts that `ctrace-query` cut out: the recordings (`from`: objects with `name` and `sha256`), and how: the
/// query (`sql`), or the conditions of `ctrace-query cut` (`conditions`) and when it ran (`time`, ns since 1970 UTC).
pub const KEY_CUT: &str = "ctrace.cut";
/// JSON object, only in recordings that `ctrace-query merge` made: the recordings (`from`: objects with `name`, `sha256`, and `meta`,
/// an object with the pairs in which recordings may differ), and when they were merged (`time`, ns since 1970 UTC).
pub const KEY_MERGED: &str = "ctrace.merged";

/// JSON array, only in recordings of which texts were replaced: an object for each time, with the rules that ran (`rules`: an
/// object with the number of replaced values of each, or null in files of the recorder), the fingerprint of the key (`key`) and
/// whether the key was thrown away (`random`), the SHA-256 of the rules (`sha256`), and the program (`producer`).
pub const KEY_REDACTED: &str = "ctrace.redacted";

/// JSON object, only in dumps of `--ring`: the reason of the dump (`reason`, with `condition` for a trigger) and its time (`time`,
/// ns since 1970 UTC).
pub const KEY_DUMP: &str = "ctrace.dump";

/// The digest of a finished recording: SHA-256 of all bytes of the file, 64 hexadecimal digits in lower case, which count as
/// zeros while they are computed.
pub const KEY_DIGEST: &str = "ctrace.digest";
/// The digest of the segment of this directory that was finished before this one. The key is missing in the first segment,
/// and in files that are not segments.
pub const KEY_PREVIOUS: &str = "ctrace.previous";

/// Checks that this build can read recordings of format version `version` (`MAJOR.MINOR`).
///
/// # Errors
/// The version is newer than this build, or not a version. The error is a sentence for the user.
pub fn check_version(version: &str) -> Result<(), String> {
    let (major, minor) = SCHEMA_VERSION;
    match version
        .split_once('.')
        .and_then(|(m, _)| m.parse::<u32>().ok())
    {
        Some(m) if m <= major => Ok(()),
        Some(_) => Err(format!(
            "its format is version {version}, newer than the {major}.{minor} that this program reads: \
             use the ctrace-query that came with the recorder"
        )),
        None => Err(format!("its format version `{version}` cannot be read")),
    }
}
