//! The proof of a finished file: the digest in its metadata, its line in the [`manifest`] of its directory, and its
//! signature ([`sign`]).

pub(crate) mod manifest;
pub(crate) mod sign;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use ctrace_format::digest::Digest;
use ctrace_schema::meta;

use crate::progress::Warnings;
use crate::sink::proof::manifest::Manifest;
use crate::sink::proof::sign::Signer;
use crate::sink::summary::Summary;

/// The proof that files get when they are finished.
#[derive(Clone, Default)]
pub(crate) struct Proof {
    /// The key of `--sign`.
    pub(crate) signer: Option<Arc<Signer>>,
    /// The manifest of a directory of segments.
    pub(crate) manifest: Option<Arc<Manifest>>,
    pub(crate) warnings: Warnings,
}

/// A complete file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed {
    pub(crate) digest: Digest,
    pub(crate) bytes: u64,
}

impl Proof {
    /// Completes the file that will have the name `path` by `close`, with the additional metadata of the file, and adds the
    /// file to the manifest. Other files of the directory are completed before or after, and not at the same time.
    ///
    /// # Errors
    /// The errors of `close`. If the manifest cannot be written, a warning says so, and the next file tries again.
    pub(crate) fn close(
        &self,
        path: &Path,
        summary: &Summary,
        close: impl FnOnce(Vec<(&'static str, String)>) -> Result<Closed>,
    ) -> Result<Closed> {
        let name = |manifest: &Arc<Manifest>| manifest.name_of(path);
        let Some((manifest, name)) = self.manifest.as_ref().and_then(|m| Some((m, name(m)?)))
        else {
            return close(vec![]);
        };
        let mut chain = manifest.lock();
        let previous = chain.previous();
        let pair = previous.map(|digest| (meta::KEY_PREVIOUS, digest.to_string()));
        let closed = close(pair.into_iter().collect())?;
        chain.add(ctrace_format::manifest::Segment {
            segment: name,
            bytes: closed.bytes,
            events: summary.events,
            start: summary.span().map(|(start, _)| start),
            end: summary.span().map(|(_, end)| end),
            digest: closed.digest,
            previous,
            removed: false,
        });
        Ok(closed)
    }

    /// Writes the signature of a complete `file`, which has the name `path` or will have it. If this is not possible, a
    /// warning says so.
    pub(crate) fn sign(&self, file: &File, path: &Path) {
        let Some(signer) = &self.signer else { return };
        if let Err(e) = signer.sign(file, path) {
            let name = path.display();
            self.warnings.add(format!("{name} is not signed: {e:#}"));
        }
    }
}
