//! The recordings that queries read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use ctrace_format::names::is_being_written;
use ctrace_schema::meta;
use datafusion::prelude::SessionContext;

use crate::source::error::SourceError;
use crate::source::file::{FileContent, OpenFile};
use crate::source::find::{NamedRecordings, Unreadable, open_named, open_newest};
use crate::source::parquet::covering;

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
        let named = match std::env::var_os("CTRACE_RECORDING") {
            Some(path) if paths.is_empty() && !path.is_empty() => vec![PathBuf::from(path)],
            _ => paths.to_vec(),
        };
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
        let spans: Option<Vec<_>> = self.files.iter().map(OpenFile::span).collect();
        spans?.into_iter().reduce(covering)
    }

    /// Returns warnings about recordings that were not closed.
    pub(crate) fn unclosed_warnings(&self) -> impl Iterator<Item = String> {
        let is_unclosed = |file: &&OpenFile| matches!(file.content, FileContent::Unclosed(..));
        self.files.iter().filter(is_unclosed).map(|file| {
            let name = file.path.display();
            match is_being_written(&file.path) {
                true => format!("{name} is still being written: the events so far are read"),
                false => format!(
                    "{name} was not closed: its complete parts are read. `ctrace-query recover {name}` completes it, also for other programs"
                ),
            }
        })
    }

    /// Returns the number of recordings of counts (`ctrace-rec --mode counts`), which contain no calls.
    pub(crate) fn count_recordings(&self) -> usize {
        let has_counts = |file: &&OpenFile| {
            let filters = file.meta.get(meta::KEY_FILTERS);
            let filters =
                filters.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
            filters.is_some_and(|filters| filters["mode"] == "counts")
        };
        self.files.iter().filter(has_counts).count()
    }

    /// Returns the hosts of the recordings; `None` if the metadata of a recording has no host, because the recording was made
    /// of several.
    pub(crate) fn hosts(&self) -> Option<BTreeSet<&str>> {
        let hosts = self.files.iter().map(|f| f.meta.get(meta::KEY_HOST));
        hosts.map(|host| host.map(String::as_str)).collect()
    }

    /// Returns the architecture of each host, as `uname -m` names it.
    pub(crate) fn architectures(&self) -> BTreeMap<&str, &str> {
        let hosts = self.files.iter().map(|f| f.meta.get(meta::KEY_HOST));
        let architectures = self.files.iter().map(|f| f.meta.get(meta::KEY_ARCH));
        hosts
            .zip(architectures)
            .filter_map(|(host, architecture)| Some((host?.as_str(), architecture?.as_str())))
            .collect()
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
