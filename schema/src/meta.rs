//! The metadata of a recording: the key-value pairs in its Parquet footer, or the table `meta` in SQLite.

/// Major and minor version of the format. A reader refuses a newer major; `docs/schema-changes.md` has a line for each.
pub const SCHEMA_VERSION: (u32, u32) = (1, 2);

/// Version of the format, `MAJOR.MINOR`.
pub const KEY_SCHEMA: &str = "ctrace.schema";
/// What wrote the recording, `ctrace-rec 0.1.0`.
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
/// JSON array of pairs `[boottime ns, wall clock ns]`, taken again and again, so that a clock step can be seen.
pub const KEY_CLOCKS: &str = "ctrace.clocks";
/// JSON object: the filters that were asked for, by the name of their flag.
pub const KEY_FILTERS: &str = "ctrace.filters";
/// Events in the recording, decimal.
pub const KEY_EVENTS: &str = "ctrace.events";
/// JSON object: events that were lost, by class.
pub const KEY_LOST: &str = "ctrace.lost";
/// JSON object: those of them that were given up so that the recorder took no more CPU than it might, by class; not there
/// where nothing was.
pub const KEY_SHED: &str = "ctrace.shed";
/// JSON object: parts of events that are missing though the events are there. `definitions`: paths and addresses that
/// did not fit the ring; `user_memory`: arguments that could not be read; `path_depth`, `argv`: cut; `threads`,
/// `cgroups`: could not be watched for want of memory; `programs`: the kernel did not run one (Linux 7).
pub const KEY_MISSED: &str = "ctrace.missed";

/// JSON object: of a dump of a ring, why it was written (`reason`, with `condition` for a trigger) and when that was (`time`, ns
/// since 1970 UTC).
pub const KEY_DUMP: &str = "ctrace.dump";

/// Whether this build reads recordings of schema `version` (`MAJOR.MINOR`).
///
/// # Errors
/// A sentence for the user, when the version is newer than this build or cannot be read.
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
