//! The metadata of recordings that are made of others.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use ctrace_schema::meta;
use serde_json::{Map, Value, json};

use crate::source::{OpenFile, Recordings};

/// The flags of `ctrace-rec` that select containers. Their values name containers, which a part must not.
const CONTAINER_FLAGS: [&str; 5] = [
    "container",
    "exclude-container",
    "pod",
    "namespace",
    "label",
];

/// A recording that another one is made of.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// The path, as the recording was named.
    pub(crate) path: PathBuf,
    /// The digest of the file; `None`: it has none, because it is not finished.
    pub(crate) sha256: Option<String>,
}

impl SourceFile {
    /// Returns the entry in the metadata of the new recording.
    pub(super) fn entry(&self) -> Value {
        json!({ "name": self.path.display().to_string(), "sha256": self.sha256 })
    }
}

/// Returns the time now, ns since 1970 UTC.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}

/// Returns the readings of the clocks of recordings of one boot, in a span of time and next to it; `None`: the recordings are of
/// several boots, each of which has a boot clock of its own.
pub(super) fn clocks(recordings: &Recordings, (from, to): (i64, i64)) -> Option<String> {
    let is_one_boot = !recordings.common_pairs(&[meta::KEY_BOOT_ID]).is_empty();
    if !is_one_boot && recordings.files.len() > 1 {
        return None;
    }
    let texts = recordings
        .files
        .iter()
        .filter_map(|file| file.meta.get(meta::KEY_CLOCKS));
    let pairs = texts.filter_map(|text| serde_json::from_str::<Vec<[i64; 2]>>(text).ok());
    let mut pairs: Vec<_> = pairs.flatten().collect();
    pairs.sort_unstable();
    pairs.dedup();
    let first = pairs
        .partition_point(|[_, wall]| *wall <= from)
        .saturating_sub(1);
    let last = pairs.partition_point(|[_, wall]| *wall <= to);
    let near = pairs
        .get(first..pairs.len().min(last + 1))
        .unwrap_or_default();
    (!near.is_empty()).then(|| json!(near).to_string())
}

/// Returns the filters that all recordings have in common, without those that name containers.
pub(super) fn call_filters(recordings: &Recordings) -> Option<(String, String)> {
    let (key, text) = recordings.common_pairs(&[meta::KEY_FILTERS]).pop()?;
    let mut filters: Map<String, Value> = serde_json::from_str(&text).ok()?;
    filters.retain(|flag, _| !CONTAINER_FLAGS.contains(&flag.as_str()));
    Some((key, Value::from(filters).to_string()))
}

/// Returns the pairs in which the files of a merged recording may differ.
pub(super) fn own_pairs(file: &OpenFile) -> Map<String, Value> {
    let keys = [
        meta::KEY_HOST,
        meta::KEY_BOOT_ID,
        meta::KEY_KERNEL,
        meta::KEY_ARCH,
        meta::KEY_RUN,
        meta::KEY_FILTERS,
        meta::KEY_START,
        meta::KEY_END,
        meta::KEY_CLOCKS,
        meta::KEY_DUMP,
        meta::KEY_CUT,
        meta::KEY_MERGED,
        meta::KEY_REDACTED,
    ];
    let pairs = keys.iter().filter_map(|key| {
        let value = file.meta.get(*key)?;
        Some((key.to_string(), Value::from(value.as_str())))
    });
    pairs.collect()
}
