//! The manifest of a directory of segments ([`ctrace_format::manifest`]), which is replaced as a whole whenever a segment is
//! finished or removed.

use std::collections::HashSet;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use ctrace_format::digest::Digest;
use ctrace_format::manifest::{NAME, Segment, of_segment, parse, to_text};
use ctrace_format::names;

use crate::files;
use crate::progress::Warnings;
use crate::sink::proof::sign::Signer;

/// The most lines of segments that `--keep` has removed. The oldest lines beyond are dropped.
const MAX_REMOVED: usize = 10_000;

/// The manifest of a directory, which this recorder alone writes.
pub(crate) struct Manifest {
    path: PathBuf,
    signer: Option<Arc<Signer>>,
    warnings: Warnings,
    segments: Mutex<Vec<Segment>>,
}

impl Manifest {
    /// Opens the manifest of `directory`. A manifest that cannot be read gets another name, and a new one begins.
    pub(crate) fn open(
        directory: &Path,
        signer: Option<Arc<Signer>>,
        warnings: Warnings,
    ) -> Manifest {
        let path = directory.join(NAME);
        let segments = read(&path, signer.as_deref(), &warnings).unwrap_or_else(|e| {
            let damaged = names::with_suffix(&path, ".damaged");
            // An earlier damaged manifest is replaced.
            let _ = fs::rename(&path, &damaged);
            warnings.add(format!(
                "{} cannot be read: {e}; it is {} now, and a new chain of segments begins",
                path.display(),
                damaged.display()
            ));
            vec![]
        });
        Manifest {
            path,
            signer,
            warnings,
            segments: Mutex::new(segments),
        }
    }

    /// Returns the name of a segment in this manifest; `None`: the segment is in another directory.
    pub(crate) fn name_of(&self, segment: &Path) -> Option<String> {
        let (manifest, name) = of_segment(segment)?;
        (manifest == self.path).then_some(name)
    }

    /// Locks the chain: no other segment is finished meanwhile.
    pub(crate) fn lock(&self) -> Chain<'_> {
        Chain {
            manifest: self,
            segments: self.segments.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Notes which segments `--keep` is about to remove.
    pub(crate) fn set_removed(&self, removed: &[PathBuf]) {
        let names = removed.iter().filter_map(|path| self.name_of(path));
        let names: HashSet<String> = names.collect();
        if names.is_empty() {
            return;
        }
        let mut chain = self.lock();
        for segment in chain.segments.iter_mut() {
            segment.removed |= names.contains(&segment.segment);
        }
        let removed = chain.segments.iter().filter(|s| s.removed).count();
        let mut dropped = removed.saturating_sub(MAX_REMOVED);
        chain.segments.retain(|segment| {
            let keep = !segment.removed || dropped == 0;
            dropped -= usize::from(!keep);
            keep
        });
        chain.write();
    }

    fn write(&self, segments: &[Segment]) -> Result<()> {
        let partial = names::partial(&self.path);
        let mut file = files::create_anew(&partial)?;
        let text = to_text(segments)?;
        let mut written = || {
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&partial, &self.path)
        };
        if let Err(e) = written() {
            let _ = fs::remove_file(&partial);
            return Err(e.into());
        }
        match &self.signer {
            Some(signer) => signer.sign(&file, &self.path),
            None => Ok(()),
        }
    }
}

/// Reads a manifest; a missing one is empty. If its signature is missing or wrong, a warning says so.
fn read(path: &Path, signer: Option<&Signer>, warnings: &Warnings) -> Result<Vec<Segment>, String> {
    let mut file = match files::open_own(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(vec![]),
        opened => opened.map_err(|e| e.to_string())?,
    };
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|e| e.to_string())?;
    let segments = parse(&text)?;
    if let Some(signer) = signer
        && let Err(e) = signer.check(text.as_bytes(), path)
    {
        warnings.add(format!(
            "{} is not as the key of --sign has signed it: {e}. Its {} lines are signed from now on: check them",
            path.display(),
            segments.len()
        ));
    }
    Ok(segments)
}

/// The chain of segments, while one of them is finished.
pub(crate) struct Chain<'a> {
    manifest: &'a Manifest,
    segments: MutexGuard<'a, Vec<Segment>>,
}

impl Chain<'_> {
    /// Returns the digest of the last segment.
    pub(crate) fn previous(&self) -> Option<Digest> {
        self.segments.last().map(|segment| segment.digest)
    }

    /// Returns whether a segment has this digest.
    pub(crate) fn contains(&self, digest: &Digest) -> bool {
        let mut digests = self.segments.iter().map(|segment| &segment.digest);
        digests.any(|other| other == digest)
    }

    /// Adds a segment, and writes the manifest.
    pub(crate) fn add(&mut self, segment: Segment) {
        self.segments.push(segment);
        self.write();
    }

    fn write(&self) {
        if let Err(e) = self.manifest.write(&self.segments) {
            let name = self.manifest.path.display();
            self.manifest.warnings.add(format!(
                "cannot write {name}: {e:#}; the next segment tries again"
            ));
        }
    }
}
