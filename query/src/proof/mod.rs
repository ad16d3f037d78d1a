//! Proves recordings: their digests, their checksums, their signatures, and the chain of segments in a directory.
//!
//! [`mod@file`] checks one file, [`chain`] the manifest of a directory, and [`times`] finds gaps and overlaps. Nothing here
//! trusts a recording: a wrong one is a finding, and never an error.

mod chain;
mod file;
mod finding;
mod read_bytes;
mod signature;
mod times;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ctrace_format::manifest;
use ctrace_schema::meta;
use ctrace_schema::text::path_text;
use datafusion::prelude::SessionContext;
use futures::StreamExt;

use crate::source::{Origin, Search, SourceError, missing_file};
use chain::Chain;
use file::check_file;
use finding::Checked;
pub(crate) use finding::{Finding, Status};
pub(crate) use read_bytes::ReadBytes;
pub(crate) use signature::PublicKey;

/// Files that are read at the same time.
const CONCURRENCY: usize = 4;

/// Checks the recordings that each of `named` stands for: a file, the files in a directory and below, or the files that
/// match a pattern. With a `key`, each finished file and each manifest must be signed. `read` counts the bytes of the files.
///
/// # Errors
/// A name stands for no file.
pub(crate) async fn verify(
    ctx: &SessionContext,
    named: &[PathBuf],
    key: Option<Arc<PublicKey>>,
    read: &Arc<ReadBytes>,
) -> Result<Vec<Finding>, SourceError> {
    let mut search = Search::default();
    let (mut files, mut manifests) = (vec![], vec![]);
    for named in named {
        let in_directory = manifests_in(named);
        let found = search.find(named)?;
        if found.files.is_empty() && in_directory.is_empty() && !found.has_known {
            return Err(SourceError::NoneIn(path_text(named)));
        }
        if let Some(failure) = found.failures.into_iter().next() {
            return Err(failure);
        }
        for file in found.files {
            if file.origin == Origin::Name && !file.path.exists() {
                return Err(SourceError::Missing(missing_file(&file.path)));
            }
            files.push((file.path, file.origin));
        }
        manifests.extend(in_directory);
    }
    let mut checked = check_files(ctx, files, key.as_ref(), read).await;
    let mut directories: BTreeMap<PathBuf, bool> = BTreeMap::new();
    let mut findings = vec![];
    let mut without = BTreeSet::new();
    for file in &checked {
        let Some((path, name)) = manifest::of_segment(&file.finding.path) else {
            continue;
        };
        let mut named = named.iter().filter(|named| named.is_dir());
        if path.is_file() {
            directories.entry(path).or_default();
        } else if name.starts_with("date=")
            && file.meta.contains_key(meta::KEY_PREVIOUS)
            && named.any(|named| path.starts_with(named))
        {
            without.insert(path);
        }
    }
    let reason = "its segments form a chain, and each recorder of a chain writes it";
    findings.extend((without.iter()).map(|path| Finding::new(path, Status::Missing, reason)));
    directories.extend(manifests.into_iter().map(|path| (path, true)));
    for (path, is_whole) in directories {
        // Read after the files: a segment is in the manifest before the segment has its name.
        let chain = match Chain::read(&path, key.as_deref()) {
            Ok(chain) => chain,
            Err(finding) => {
                findings.push(*finding);
                continue;
            }
        };
        if is_whole {
            // Segments that were finished meanwhile.
            let new = chain.unchecked(&checked);
            let new = new.map(|path| (path, Origin::Directory)).collect();
            let new = check_files(ctx, new, key.as_ref(), read).await;
            checked.extend(new);
        }
        findings.extend(chain.check(is_whole, &mut checked));
    }
    let between = times::gaps_and_overlaps(&checked);
    findings.extend(checked.into_iter().map(|file| file.finding));
    findings.sort_by(|a, b| a.path.cmp(&b.path));
    findings.extend(between);
    Ok(findings)
}

/// Checks files, without those that are no recordings, and those of directories that are removed meanwhile.
async fn check_files(
    ctx: &SessionContext,
    files: Vec<(PathBuf, Origin)>,
    key: Option<&Arc<PublicKey>>,
    read: &Arc<ReadBytes>,
) -> Vec<Checked> {
    read.expect(files.iter().map(|(path, _)| path.as_path()));
    let checks = files.into_iter().map(|(path, origin)| async move {
        let checked = check_file(ctx, &path, origin, key.cloned(), read.clone()).await;
        checked.filter(|_| origin == Origin::Name || path.exists())
    });
    let checked = futures::stream::iter(checks).buffered(CONCURRENCY);
    checked.filter_map(std::future::ready).collect().await
}

/// Returns the manifests in a directory and in the directories of hosts below.
fn manifests_in(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory);
    let below = entries.into_iter().flatten().flatten();
    // As in the names of files, the current directory is left out.
    let base = match directory == Path::new(".") {
        true => Path::new(""),
        false => directory,
    };
    let below = below.map(|entry| base.join(entry.file_name()));
    let directories = [base.to_path_buf()].into_iter().chain(below);
    let paths = directories.map(|directory| directory.join(manifest::NAME));
    paths.filter(|path| path.is_file()).collect()
}
