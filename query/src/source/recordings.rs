//! The recordings that queries read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use ctrace_format::names::is_being_written;
use ctrace_schema::meta;
use ctrace_schema::rollups::{Facet, ROLLUPS};
use ctrace_schema::text::path_text;
use datafusion::prelude::SessionContext;

use crate::source::error::SourceError;
use crate::source::file::{FileContent, OpenFile};
use crate::source::find::{NamedRecordings, Unreadable, open_named, open_newest};
use crate::source::parquet::covering;
use crate::source::repeated::time_ranges;

/// The name and the version of this program, in the metadata of recordings that it writes.
pub(crate) const PRODUCER: &str = concat!("ctrace-query ", env!("CARGO_PKG_VERSION"));

/// Returns the recordings that are read: `paths` or, if there are none, `$CTRACE_RECORDING`.
pub(crate) fn named(paths: &[PathBuf]) -> Vec<PathBuf> {
    match std::env::var_os("CTRACE_RECORDING") {
        Some(path) if paths.is_empty() && !path.is_empty() => vec![PathBuf::from(path)],
        _ => paths.to_vec(),
    }
}

/// The open recordings, whose events form the table `events`.
#[derive(Debug)]
pub(crate) struct Recordings {
    /// The files, in the order in which they were named.
    pub(crate) files: Vec<OpenFile>,
    /// True if the program itself chose the recording, and should report its choice.
    pub(crate) is_default: bool,
    /// Sentences about files that are left out because they cannot be read.
    pub(crate) warnings: Vec<String>,
}

impl Recordings {
    /// Opens the recordings `paths`. If there are none, opens `$CTRACE_RECORDING`, else the newest recording in the working
    /// directory.
    ///
    /// # Errors
    /// A file that was named is not a recording that this build reads, or no recording was found. With
    /// [`Unreadable::Refuse`]: a file in a directory cannot be read.
    pub(crate) async fn open(
        ctx: &SessionContext,
        paths: &[PathBuf],
        unreadable: Unreadable,
    ) -> Result<Self, SourceError> {
        let named = named(paths);
        let NamedRecordings {
            mut files,
            warnings,
        } = open_named(ctx, &named, unreadable).await?;
        if named.is_empty() {
            files.push(open_newest(ctx).await?);
        }
        Ok(Recordings {
            files,
            is_default: named.is_empty(),
            warnings,
        })
    }

    /// Returns the first and the last instant, ns since 1970 UTC. `None`: not known without reading the events.
    pub(crate) fn span(&self) -> Option<(i64, i64)> {
        let span = |file: &OpenFile| file.span().or_else(|| own_span(file));
        let spans: Option<Vec<_>> = self.files.iter().map(span).collect();
        spans?.into_iter().reduce(covering)
    }

    /// Returns the files that have events of a span of time, or rows to which these refer. A segment begins with the rows about
    /// live containers and processes, so earlier segments of its recorder are not needed.
    pub(crate) fn needed(&self, (from, to): (i64, i64)) -> Vec<PathBuf> {
        let span = |file: &OpenFile| file.span().or_else(|| own_span(file));
        let files: Vec<_> = self.files.iter().map(|file| (file, span(file))).collect();
        // The start of the last segment of each recorder that begins before the span.
        let mut bases: BTreeMap<Recorder<'_>, i64> = BTreeMap::new();
        for (file, span) in files.iter().filter(|(file, _)| file.has_alive_rows()) {
            let start = span.map(|(start, _)| start).filter(|start| *start <= from);
            if let Some((recorder, start)) = recorder(file).zip(start) {
                let base = bases.entry(recorder).or_insert(start);
                *base = start.max(*base);
            }
        }
        let is_needed = |file: &OpenFile, span: Option<(i64, i64)>| {
            let Some((first, last)) = span else {
                return true;
            };
            let base = recorder(file).and_then(|recorder| bases.get(&recorder));
            first <= to && (last >= from || base.is_none_or(|base| first >= *base))
        };
        let needed = files.iter().filter(|(file, span)| is_needed(file, *span));
        needed.map(|(file, _)| file.path.clone()).collect()
    }

    /// Returns warnings about recordings that were not closed.
    pub(crate) fn unclosed_warnings(&self) -> impl Iterator<Item = String> {
        let is_unclosed = |file: &&OpenFile| matches!(file.content, FileContent::Unclosed(..));
        self.files.iter().filter(is_unclosed).map(|file| {
            let name = path_text(&file.path);
            match is_being_written(&file.path) {
                true => format!("{name} is still being written: the events so far are read"),
                false => format!(
                    "{name} was not closed: its complete parts are read. `ctrace-query recover {name}` completes it, also for other programs"
                ),
            }
        })
    }

    /// Returns the name of the recording, or of the first one and the number of the others.
    pub(crate) fn title(&self) -> String {
        let name = |file: &OpenFile| path_text(&file.path);
        match self.files.as_slice() {
            [] => String::new(),
            [one] => name(one),
            [first, others @ ..] => format!("{} and {} more", name(first), others.len()),
        }
    }

    /// Returns the length of the longest time slices of rollups, ns; `None`: no file has any.
    pub(crate) fn slice_ns(&self) -> Option<i64> {
        let slices = self.files.iter().filter_map(|file| match &file.content {
            FileContent::Parquet(file) => {
                let sliced = ROLLUPS
                    .iter()
                    .filter(|rollup| rollup.facets.contains(&Facet::Slice));
                sliced
                    .filter_map(|rollup| file.rollups.slice_ns(rollup))
                    .max()
            }
            FileContent::Unclosed(..) | FileContent::Sqlite(_) => None,
        });
        slices.max()
    }

    /// Returns the number of recordings of counts (`ctrace-rec --mode counts`), which contain no calls.
    pub(crate) fn count_recordings(&self) -> usize {
        let has_counts = |meta: &BTreeMap<String, String>| {
            let filters = meta.get(meta::KEY_FILTERS);
            let filters =
                filters.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
            filters.is_some_and(|filters| filters["mode"] == "counts")
        };
        let only_counts = |file: &&OpenFile| file.origins().iter().all(has_counts);
        self.files.iter().filter(only_counts).count()
    }

    /// Returns the hosts of the recordings; `None` if the metadata of a recording has no host, because the recording was made
    /// of several.
    pub(crate) fn hosts(&self) -> Option<BTreeSet<&str>> {
        let hosts = self.files.iter().map(|f| f.meta.get(meta::KEY_HOST));
        hosts.map(|host| host.map(String::as_str)).collect()
    }

    /// Returns the architecture of each host, as `uname -m` names it.
    pub(crate) fn architectures(&self) -> BTreeMap<String, String> {
        let origins = self.files.iter().flat_map(OpenFile::origins);
        let pair = |mut meta: BTreeMap<String, String>| {
            Some((meta.remove(meta::KEY_HOST)?, meta.remove(meta::KEY_ARCH)?))
        };
        origins.filter_map(pair).collect()
    }

    /// Returns the numbers of missing parts of events as a JSON object, summed over the recordings whose metadata has
    /// [`meta::KEY_MISSED`].
    pub(crate) fn missed(&self) -> Option<String> {
        let told = self
            .files
            .iter()
            .filter_map(|f| f.meta.get(meta::KEY_MISSED));
        let told = told.map(|text| serde_json::from_str::<BTreeMap<String, u64>>(text));
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        let mut is_told = false;
        for (part, missed) in told.flatten().flat_map(|parts| {
            is_told = true;
            parts
        }) {
            let sum = sums.entry(part).or_default();
            *sum = sum.saturating_add(missed);
        }
        is_told.then(|| serde_json::json!(sums).to_string())
    }

    /// Returns the pairs of metadata among `keys` that all recordings have in common.
    pub(crate) fn common_pairs(&self, keys: &[&str]) -> Vec<(String, String)> {
        let common = keys.iter().filter_map(|key| {
            let mut values = self.files.iter().map(|file| file.meta.get(*key));
            let first = values.next()??;
            let is_common = values.all(|value| value == Some(first));
            is_common.then(|| (key.to_string(), first.clone()))
        });
        common.collect()
    }

    /// Returns the metadata of a recording that this program makes of some of the events: all pairs that are true of the
    /// recordings and of each part, and the number of missing parts of the whole, some of which may be missing in the part.
    /// Recordings of several hosts have no common host.
    pub(crate) fn part_metadata(&self) -> Vec<(String, String)> {
        let (major, minor) = meta::SCHEMA_VERSION;
        let mut pairs = vec![
            (meta::KEY_SCHEMA.to_string(), format!("{major}.{minor}")),
            (meta::KEY_PRODUCER.to_string(), PRODUCER.to_string()),
        ];
        pairs.extend(self.common_pairs(&[
            meta::KEY_HOST,
            meta::KEY_BOOT_ID,
            meta::KEY_KERNEL,
            meta::KEY_ARCH,
            meta::KEY_RUN,
        ]));
        let missed = self.missed();
        pairs.extend(missed.map(|missed| (meta::KEY_MISSED.to_string(), missed)));
        let redacted = self.redacted();
        pairs.extend(redacted.map(|redacted| (meta::KEY_REDACTED.to_string(), redacted)));
        pairs
    }

    /// Returns how texts of the recordings were replaced, as the value of [`meta::KEY_REDACTED`]: what was done to any of them,
    /// each redaction once. `None`: nothing was replaced.
    fn redacted(&self) -> Option<String> {
        let texts = self.files.iter();
        let texts = texts.filter_map(|file| file.meta.get(meta::KEY_REDACTED));
        let entries = texts.filter_map(|text| serde_json::from_str(text).ok());
        let mut all: Vec<serde_json::Value> = vec![];
        for entry in entries.flat_map(|entries: Vec<serde_json::Value>| entries) {
            if !all.contains(&entry) {
                all.push(entry);
            }
        }
        (!all.is_empty()).then(|| serde_json::Value::from(all).to_string())
    }

    /// Returns the number of lost events according to the metadata; `None` if the metadata of a file does not contain
    /// it.
    pub(crate) fn lost(&self) -> Option<u64> {
        self.files
            .iter()
            .map(|f| {
                let by_class = f.meta.get(meta::KEY_LOST)?;
                let by_class: BTreeMap<String, u64> = serde_json::from_str(by_class).ok()?;
                Some(
                    by_class
                        .values()
                        .fold(0, |sum: u64, n| sum.saturating_add(*n)),
                )
            })
            .try_fold(0u64, |sum, n| n.map(|n| sum.saturating_add(n)))
    }
}

/// The host, the boot and the run of a recorder.
type Recorder<'a> = [&'a String; 3];

/// Returns the recorder that wrote a file with the rows of all of its containers; `None`: not known, or the file is a part.
fn recorder(file: &OpenFile) -> Option<Recorder<'_>> {
    let pair = |key| file.meta.get(key);
    let is_part = pair(meta::KEY_CUT).or(pair(meta::KEY_MERGED)).is_some();
    let keys = [meta::KEY_HOST, meta::KEY_BOOT_ID, meta::KEY_RUN].map(pair);
    match keys {
        [Some(host), Some(boot), Some(run)] if !is_part => Some([host, boot, run]),
        _ => None,
    }
}

/// Returns the first and the last instant of the events of a file that was not closed, without the rows that are older than the
/// file. `None`: not known without reading the events.
fn own_span(file: &OpenFile) -> Option<(i64, i64)> {
    let ranges = time_ranges(file).into_iter().map(|(_, range)| range);
    let all = ranges.reduce(covering)?;
    (all.0 > i64::MIN && all.1 < i64::MAX).then_some(all)
}
