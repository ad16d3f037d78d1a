//! Rollups: precomputed aggregates of the events in a Parquet recording. Queries that aggregate many events can read the few rows of
//! a rollup instead.
//!
//! A rollup is the result of
//!
//! ```sql
//! select KEYS, count(*) as n, STATS(MEASURES) from events where ONLY group by KEYS
//! ```
//!
//! where the statistics are counts, sums, minima, maxima and histograms. The recording contains it as an Arrow IPC stream,
//! compressed with zstd, before the footer, where other readers ignore it. The key-value pair [`KEY_ROLLUPS`] of the footer
//! has its place. Rollups are optional: a rollup that would be too large is omitted.

use arrow_schema::{DataType, Field, Schema};

use crate::columns::{COLUMNS, Type, index};

/// JSON array with an object for each rollup: `name`; `offset` and `length` (bytes) of the zstd frame in the file, which has a
/// checksum; `size` (bytes) of the uncompressed stream; `slice` (ns), the length of the time slices of [`Facet::Slice`].
pub const KEY_ROLLUPS: &str = "ctrace.rollups";

/// Name of the column with the number of events that a row aggregates.
pub const N: &str = "n";

/// A group of key columns. Rollups contain either all columns of a facet or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Facet {
    /// Machine and container, and whether the row is set-up by the container runtime.
    Who,
    /// Kind of the row, and which call it is.
    Call,
    /// Kind of the row only.
    Kind,
    /// The result of a call. All positive values of `ret` are replaced by [`POSITIVE`].
    Result,
    /// Columns that are null in rows of calls: exits of processes, and facts about containers.
    State,
    /// User, name and executable of a thread.
    Thread,
    /// File or socket by path.
    File,
    /// `path`, shortened by [`directory`].
    Directory,
    /// Peer of a socket.
    Peer,
    /// Peer of a socket without its port, because a client uses a different port for each connection.
    Address,
    /// `time`, rounded down to a multiple of the slice: [`SLICES`].
    Slice,
}

impl Facet {
    /// All facets.
    pub const ALL: [Facet; 11] = [
        Facet::Who,
        Facet::Call,
        Facet::Kind,
        Facet::Result,
        Facet::State,
        Facet::Thread,
        Facet::File,
        Facet::Directory,
        Facet::Peer,
        Facet::Address,
        Facet::Slice,
    ];

    /// Returns the columns of `events` in this facet.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Facet::Who => &["host", "container", "container_id", "setup"],
            Facet::Call => &["kind", "action", "class", "syscall", "compat"],
            Facet::Kind => &["kind"],
            Facet::Result => &["ret", "error", "denied"],
            Facet::State => &[
                "started",
                "exit_code",
                "exit_signal",
                "image",
                "runtime",
                "pod",
                "namespace",
                "pod_uid",
                "pod_container",
                "labels",
                "image_digest",
                "command",
                "run_as",
                "privileged",
                "capabilities",
                "mounts",
                "host_namespaces",
                "seccomp_profile",
                "apparmor_profile",
                "limits",
                "addresses",
                "restarts",
                "reason",
            ],
            Facet::Thread => &["uid", "comm", "exe"],
            Facet::File => &["path", "family"],
            Facet::Peer => &[
                "family",
                "protocol",
                "peer_addr",
                "peer_port",
                "peer_path",
                "dns_name",
            ],
            Facet::Directory => &["path"],
            Facet::Address => &["family", "protocol", "peer_addr", "dns_name"],
            Facet::Slice => &["time"],
        }
    }
}

/// Number of slashes in a path of [`Facet::Directory`], which is shortened to two directories: `/usr/lib/`.
pub const SLASHES: usize = 3;

/// Shortens a path after its third slash, so that the result is a prefix of all paths in the directory. A path with fewer slashes
/// is unchanged.
pub fn directory(path: &str) -> &str {
    let third = path.match_indices('/').nth(SLASHES - 1);
    third.map_or(path, |(at, _)| &path[..=at])
}

/// The value of `ret` in rollups for all positive results.
pub const POSITIVE: i64 = 1;

/// Possible lengths of a time slice, ns. A recording uses the first length that results in few enough rows. Each length is a
/// multiple of the previous ones.
pub const SLICES: [i64; 5] = [
    1_000_000_000,
    10_000_000_000,
    60_000_000_000,
    600_000_000_000,
    3_600_000_000_000,
];

/// A statistic of the values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stat {
    /// Number of values that are not null.
    Count,
    /// Sum, or null if there are no values.
    Sum,
    /// Least value, or null.
    Min,
    /// Greatest value, or null.
    Max,
    /// Distribution of the values as doubles, encoded by [`crate::histogram::Histogram::to_bytes`].
    Histogram,
}

impl Stat {
    /// Returns the name of the rollup's column with this statistic of `column`: `sum_bytes`.
    pub fn name(self, column: &str) -> String {
        let stat = match self {
            Stat::Count => "count",
            Stat::Sum => "sum",
            Stat::Min => "min",
            Stat::Max => "max",
            Stat::Histogram => "histogram",
        };
        format!("{stat}_{column}")
    }
}

/// A column that is aggregated, and the statistics of its values.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// A column of numbers, or a column of any type with [`Stat::Count`] only.
    pub column: &'static str,
    /// The statistics in the rollup.
    pub stats: &'static [Stat],
}

const fn measure(column: &'static str, stats: &'static [Stat]) -> Measure {
    Measure { column, stats }
}

const SUMS: &[Stat] = &[Stat::Count, Stat::Sum, Stat::Min, Stat::Max];
const TIME: Measure = measure("time", &[Stat::Min, Stat::Max]);
const DURATION: Measure = measure("duration", SUMS);
const LATENCY: Measure = measure(
    "duration",
    &[
        Stat::Count,
        Stat::Sum,
        Stat::Min,
        Stat::Max,
        Stat::Histogram,
    ],
);
const BYTES: Measure = measure("bytes", SUMS);
const LOST: Measure = measure("lost", &[Stat::Count, Stat::Sum]);
const ERRORS: Measure = measure("error", &[Stat::Count]);

/// The least events per row of a rollup that is stored: one that is hardly smaller than the recording is useless.
pub const MIN_EVENTS_PER_ROW: usize = 4;

/// The condition for events that a rollup aggregates.
#[derive(Clone, Copy, Debug)]
pub enum EventCondition {
    /// No condition.
    All,
    /// A column of [`Facet::Call`] has one of these values.
    OneOf(&'static str, &'static [&'static str]),
    /// A column is not null.
    Present(&'static str),
}

/// The definition of a rollup.
#[derive(Debug)]
pub struct Rollup {
    /// Name in [`KEY_ROLLUPS`].
    pub name: &'static str,
    /// Groups of key columns.
    pub facets: &'static [Facet],
    /// Columns with statistics.
    pub measures: &'static [Measure],
    /// Condition for events.
    pub condition: EventCondition,
}

/// All rollups. Queries use the first rollup that can answer them, so smaller rollups come first.
pub const ROLLUPS: &[Rollup] = &[
    Rollup {
        name: "lives",
        facets: &[Facet::Who, Facet::Call, Facet::State, Facet::Thread],
        measures: &[TIME, LOST],
        condition: EventCondition::OneOf("kind", &["process", "container", "gap"]),
    },
    Rollup {
        name: "calls",
        facets: &[Facet::Who, Facet::Call, Facet::Result, Facet::State],
        measures: &[TIME, DURATION, BYTES, LOST],
        condition: EventCondition::All,
    },
    Rollup {
        name: "latency",
        facets: &[Facet::Who, Facet::Call],
        measures: &[TIME, LATENCY, BYTES, ERRORS],
        condition: EventCondition::All,
    },
    Rollup {
        name: "activity",
        facets: &[Facet::Who, Facet::Kind, Facet::Slice],
        measures: &[TIME, DURATION, BYTES, LOST, ERRORS],
        condition: EventCondition::All,
    },
    Rollup {
        name: "programs",
        facets: &[Facet::Who, Facet::Call, Facet::Result, Facet::File],
        measures: &[TIME],
        condition: EventCondition::OneOf("syscall", &["execve", "execveat"]),
    },
    Rollup {
        name: "destinations",
        facets: &[Facet::Who, Facet::Call, Facet::Peer],
        measures: &[TIME, BYTES, ERRORS],
        condition: EventCondition::OneOf(
            "syscall",
            &[
                "connect",
                "sendto",
                "sendmsg",
                "sendmmsg",
                "io_uring:connect",
                "io_uring:sendmsg",
            ],
        ),
    },
    Rollup {
        name: "sources",
        facets: &[Facet::Who, Facet::Call, Facet::Address],
        measures: &[TIME, BYTES, ERRORS],
        condition: EventCondition::OneOf(
            "syscall",
            &[
                "accept",
                "accept4",
                "recvfrom",
                "recvmsg",
                "recvmmsg",
                "io_uring:accept",
                "io_uring:recvmsg",
            ],
        ),
    },
    Rollup {
        name: "directories",
        facets: &[Facet::Who, Facet::Directory],
        measures: &[TIME, ERRORS],
        condition: EventCondition::Present("path"),
    },
    Rollup {
        name: "peers",
        facets: &[Facet::Who, Facet::Call, Facet::Result, Facet::Peer],
        measures: &[TIME, BYTES],
        condition: EventCondition::Present("peer_addr"),
    },
    Rollup {
        name: "threads",
        facets: &[Facet::Who, Facet::Call, Facet::Result, Facet::Thread],
        measures: &[TIME, DURATION, BYTES],
        condition: EventCondition::All,
    },
    Rollup {
        name: "files",
        facets: &[
            Facet::Who,
            Facet::Call,
            Facet::Result,
            Facet::Thread,
            Facet::File,
        ],
        measures: &[TIME, BYTES],
        condition: EventCondition::Present("path"),
    },
];

impl Rollup {
    /// Returns the key columns.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.facets
            .iter()
            .flat_map(|facet| facet.columns())
            .copied()
    }

    /// Returns the schema of the rollup's rows in the file: keys, [`N`], and the statistics of the measures. `text` is the Arrow type
    /// of text columns.
    pub fn schema(&self, text: &DataType) -> Schema {
        let ty = |name: &str| match index(name).map(|i| COLUMNS[i].ty) {
            Some(Type::Text) | None => text.clone(),
            Some(other) => other.arrow(),
        };
        let keys = self.keys().map(|key| Field::new(key, ty(key), true));
        let n = Field::new(N, DataType::Int64, false);
        let measures = self.measures.iter().flat_map(|measure| {
            measure.stats.iter().map(|stat| {
                let name = stat.name(measure.column);
                match stat {
                    Stat::Count => Field::new(name, DataType::Int64, false),
                    Stat::Sum => Field::new(name, DataType::Int64, true),
                    Stat::Min | Stat::Max => Field::new(name, ty(measure.column), true),
                    Stat::Histogram => Field::new(name, DataType::Binary, false),
                }
            })
        });
        Schema::new(keys.chain([n]).chain(measures).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_exist_and_keys_are_unique() {
        for rollup in ROLLUPS {
            let mut keys: Vec<&str> = rollup.keys().collect();
            keys.sort_unstable();
            let count = keys.len();
            keys.dedup();
            assert_eq!(keys.len(), count, "{}", rollup.name);
            let measures = rollup.measures.iter().map(|measure| measure.column);
            for column in keys.into_iter().chain(measures) {
                assert!(index(column).is_some(), "{}: {column}", rollup.name);
            }
        }
    }

    #[test]
    fn the_column_of_a_condition_is_a_key() {
        for rollup in ROLLUPS {
            match rollup.condition {
                EventCondition::All => {}
                EventCondition::Present(column) => assert!(rollup.keys().any(|key| key == column)),
                EventCondition::OneOf(column, _) => {
                    assert!(rollup.facets.contains(&Facet::Call), "{}", rollup.name);
                    assert!(Facet::Call.columns().contains(&column), "{}", rollup.name);
                }
            }
        }
    }

    #[test]
    fn longer_slices_are_multiples_of_shorter_ones() {
        assert!(SLICES.windows(2).all(|pair| pair[1] % pair[0] == 0));
    }
}
