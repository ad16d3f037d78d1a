//! Rollups: what a Parquet recording says of its events in sum, so that a question about many of them reads a few rows.
//!
//! A rollup is `select KEYS, count(*) as n, sum, min, max and count of MEASURES from events where ONLY group by KEYS`. It
//! stands in the file before the footer, where other readers pass over it, as an Arrow IPC stream under zstd; the pair
//! [`KEY_ROLLUPS`] of the footer says where. A rollup may be missing: one that grows too large is left out.

use arrow_schema::{DataType, Field, Schema};

use crate::columns::{COLUMNS, Type, index};

/// JSON array of objects, one for each rollup: `name`; `offset` and `length` of the zstd frame in the file, bytes, which
/// has a checksum; `size`, bytes of the stream in it; `slice`, nanoseconds that a value of [`Facet::Slice`] stands for.
pub const KEY_ROLLUPS: &str = "ctrace.rollups";

/// Name of the column that says for how many events a row stands.
pub const N: &str = "n";

/// Columns that stand in rollups together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "their columns say what they are")]
pub enum Facet {
    Who,
    Call,
    Kind,
    /// `ret` where it is not positive, else 1.
    Result,
    /// What only rows have that are not about calls.
    State,
    Thread,
    File,
    /// `path`, cut: see [`directory`].
    Directory,
    Peer,
    /// A peer without its port, of which a caller has another each time.
    Address,
    /// `time`, cut to a multiple of the slice: [`SLICES`].
    Slice,
}

impl Facet {
    /// All of them, each once.
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

    /// The columns of `events` that it is of.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Facet::Who => &["host", "container", "container_id"],
            Facet::Call => &["kind", "action", "class", "syscall", "compat"],
            Facet::Kind => &["kind"],
            Facet::Result => &["ret", "error", "denied"],
            Facet::State => &[
                "exit_code",
                "exit_signal",
                "image",
                "runtime",
                "pod",
                "namespace",
                "labels",
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

/// Slashes of a path up to which [`Facet::Directory`] keeps it: it tells two directories, `/usr/lib/`.
pub const SLASHES: usize = 3;

/// A path up to its third slash and with it, which stands for all paths that begin like this; the whole if it has fewer.
pub fn directory(path: &str) -> &str {
    let third = path.match_indices('/').nth(SLASHES - 1);
    third.map_or(path, |(at, _)| &path[..=at])
}

/// The result that stands for all positive ones.
pub const POSITIVE: i64 = 1;

/// How long a slice may be, ns: the first that makes few enough rows. Each is a multiple of those before it.
pub const SLICES: [i64; 5] = [
    1_000_000_000,
    10_000_000_000,
    60_000_000_000,
    600_000_000_000,
    3_600_000_000_000,
];

/// What is known of the values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stat {
    /// How many are not null.
    Count,
    /// Their sum; null: there are none.
    Sum,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// How they are distributed: [`crate::histogram::Histogram::to_bytes`] of them as doubles.
    Histogram,
}

impl Stat {
    /// The name of the column that tells this of `column`.
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

/// A column, and what is known of its values.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// A column of numbers, or one of which only [`Stat::Count`] is kept.
    pub column: &'static str,
    /// What is kept.
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

/// Which events a rollup is of.
#[derive(Clone, Copy, Debug)]
pub enum Only {
    /// All.
    All,
    /// Those with one of these values in a column, of [`Facet::Call`].
    OneOf(&'static str, &'static [&'static str]),
    /// Those in which a column is not null.
    Present(&'static str),
}

/// A rollup.
#[derive(Debug)]
pub struct Rollup {
    /// Its name in [`KEY_ROLLUPS`].
    pub name: &'static str,
    /// Its keys.
    pub facets: &'static [Facet],
    /// Its measures.
    pub measures: &'static [Measure],
    /// Its events.
    pub only: Only,
}

/// Every rollup; of those that can answer a question the first one does, so the smaller ones come first.
pub const ROLLUPS: &[Rollup] = &[
    Rollup {
        name: "lives",
        facets: &[Facet::Who, Facet::Call, Facet::State, Facet::Thread],
        measures: &[TIME, LOST],
        only: Only::OneOf("kind", &["process", "container", "gap"]),
    },
    Rollup {
        name: "calls",
        facets: &[Facet::Who, Facet::Call, Facet::Result, Facet::State],
        measures: &[TIME, DURATION, BYTES, LOST],
        only: Only::All,
    },
    Rollup {
        name: "latency",
        facets: &[Facet::Who, Facet::Call],
        measures: &[TIME, LATENCY, BYTES, ERRORS],
        only: Only::All,
    },
    Rollup {
        name: "activity",
        facets: &[Facet::Who, Facet::Kind, Facet::Slice],
        measures: &[TIME, DURATION, BYTES, LOST, ERRORS],
        only: Only::All,
    },
    Rollup {
        name: "programs",
        facets: &[Facet::Who, Facet::Call, Facet::Result, Facet::File],
        measures: &[TIME],
        only: Only::OneOf("syscall", &["execve", "execveat"]),
    },
    Rollup {
        name: "destinations",
        facets: &[Facet::Who, Facet::Call, Facet::Peer],
        measures: &[TIME, BYTES, ERRORS],
        only: Only::OneOf(
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
        only: Only::OneOf(
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
        only: Only::Present("path"),
    },
    Rollup {
        name: "peers",
        facets: &[Facet::Who, Facet::Call, Facet::Result, Facet::Peer],
        measures: &[TIME, BYTES],
        only: Only::Present("peer_addr"),
    },
    Rollup {
        name: "threads",
        facets: &[Facet::Who, Facet::Call, Facet::Result, Facet::Thread],
        measures: &[TIME, DURATION, BYTES],
        only: Only::All,
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
        only: Only::Present("path"),
    },
];

impl Rollup {
    /// The columns of `events` that are its keys.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.facets
            .iter()
            .flat_map(|facet| facet.columns())
            .copied()
    }

    /// Its rows, as they stand in the file: keys, [`N`], and what is known of the measures. `text` is the type of text.
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
    fn every_column_is_one_of_events_and_stands_once() {
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
    fn what_a_rollup_is_of_is_a_key_of_it() {
        for rollup in ROLLUPS {
            match rollup.only {
                Only::All => {}
                Only::Present(column) => assert!(rollup.keys().any(|key| key == column)),
                Only::OneOf(column, _) => {
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
