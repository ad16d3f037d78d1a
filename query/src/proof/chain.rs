//! The chain of segments in a directory: compares the manifest with itself and with the files.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use ctrace_format::digest::Digest;
use ctrace_format::manifest::{Segment, of_segment, parse};
use ctrace_format::{names, regular};
use ctrace_schema::text::path_text;
use ctrace_schema::{human, meta};

use crate::proof::finding::{Checked, Finding, Status};
use crate::proof::signature::{FileSignature, PublicKey};

/// The manifest of a directory.
pub(super) struct Chain {
    path: PathBuf,
    segments: Vec<Segment>,
    /// The trusted comment of the signature, or the reason why the manifest is not signed; `None` without a key.
    signature: Option<Result<String, String>>,
}

impl Chain {
    /// Reads a manifest, and with a `key` its signature.
    ///
    /// # Errors
    /// The manifest cannot be read.
    pub(super) fn read(path: &Path, key: Option<&PublicKey>) -> Result<Chain, Box<Finding>> {
        let damaged = |reason: String| Box::new(Finding::new(path, Status::Damaged, reason));
        let text = regular::read_to_string(path).map_err(|e| damaged(e.to_string()))?;
        Ok(Chain {
            path: path.to_path_buf(),
            segments: parse(&text).map_err(damaged)?,
            signature: key.map(|key| key.check(&FileSignature::of(path), text.as_bytes())),
        })
    }

    /// Returns the path of a segment.
    fn path_of(&self, segment: &Segment) -> PathBuf {
        self.path.with_file_name(&segment.segment)
    }

    /// Returns the segments that are there and not in `checked`.
    pub(super) fn unchecked(&self, checked: &[Checked]) -> impl Iterator<Item = PathBuf> {
        let known: HashSet<&Path> = checked.iter().map(|f| f.finding.path.as_path()).collect();
        let paths = self.segments.iter().map(|segment| self.path_of(segment));
        paths.filter(move |path| !known.contains(path.as_path()) && path.is_file())
    }

    /// Compares the manifest with the files that were checked, and corrects their findings. `is_whole`: all files of the
    /// directory were checked. Returns the findings that are about no file.
    pub(super) fn check(&self, is_whole: bool, checked: &mut [Checked]) -> Vec<Finding> {
        let mut findings = vec![self.check_links()];
        let by_name = self.segments.iter().map(|s| (s.segment.as_str(), s));
        let by_name: HashMap<&str, &Segment> = by_name.collect();
        let mut seen = HashSet::new();
        for file in checked {
            let path = names::finished(&file.finding.path);
            let Some((manifest, name)) = of_segment(&path) else {
                continue;
            };
            if manifest != self.path || matches!(file.finding.status, Status::Unfinished) {
                continue;
            }
            let wrong = match by_name.get(name.as_str()) {
                Some(segment) => {
                    file.is_listed = true;
                    self.difference(segment, file)
                }
                // Segments of recorders before format 1.6, and of killed recorders.
                None if file.finding.status == Status::NoDigest => None,
                None => Some((Status::NotListed, self.not_listed(file))),
            };
            // Damage of the file itself says more.
            if let Some((status, detail)) = wrong
                && file.finding.status != Status::Damaged
            {
                (file.finding.status, file.finding.detail) = (status, detail);
            }
            seen.insert(name);
        }
        if is_whole {
            findings.extend(self.absent(&seen));
        }
        findings
    }

    /// Checks that each line names the digest of the line before, and the signature.
    fn check_links(&self) -> Finding {
        let links = self.segments.windows(2);
        let mut broken = links.filter(|pair| pair[1].previous != Some(pair[0].digest));
        if let Some(pair) = broken.next() {
            let reason = format!(
                "{} does not follow {}: a line between them was removed, or lines were exchanged",
                pair[1].segment, pair[0].segment
            );
            return Finding::new(&self.path, Status::Damaged, reason);
        }
        match &self.signature {
            Some(Err(reason)) => Finding::new(&self.path, Status::NotSigned, reason),
            signature => Finding {
                signed: signature.clone().and_then(Result::ok),
                ..Finding::new(&self.path, Status::Ok, "")
            },
        }
    }

    /// Returns how a file differs from its line.
    fn difference(&self, segment: &Segment, file: &Checked) -> Option<(Status, String)> {
        let digest = |key| file.meta.get(key).and_then(|text| Digest::parse(text));
        let is_same = digest(meta::KEY_DIGEST) == Some(segment.digest)
            && digest(meta::KEY_PREVIOUS) == segment.previous
            && file.len == segment.bytes;
        if is_same {
            return None;
        }
        Some((Status::Damaged, self.not_listed(file)))
    }

    /// Returns a sentence about a file that is not in the manifest under its name.
    fn not_listed(&self, file: &Checked) -> String {
        let digest = file.finding.digest;
        let other = self.segments.iter().find(|s| Some(s.digest) == digest);
        match other {
            Some(other) => format!("it is the segment that was recorded as {}", other.segment),
            None => format!("{} does not have this file", path_text(&self.path)),
        }
    }

    /// Returns findings about the segments that are not among the files with the names `seen`.
    fn absent(&self, seen: &HashSet<String>) -> Vec<Finding> {
        let (absent, present): (Vec<_>, Vec<_>) = self
            .segments
            .iter()
            .partition(|segment| !seen.contains(&segment.segment));
        let oldest = present.iter().map(|segment| &segment.segment).min();
        let (mut findings, mut removed) = (vec![], vec![]);
        for segment in absent {
            let path = self.path_of(segment);
            let missing = |why: String| Finding::new(&path, Status::Missing, why);
            let what = format!(
                "{} events, {}",
                human::count(segment.events),
                human::bytes(segment.bytes)
            );
            if path.is_file() {
                // A file without the columns of a recording was passed over.
                let other = "it is not a recording".to_string();
                findings.push(Finding::new(&path, Status::Damaged, other));
                continue;
            }
            match (segment.removed, oldest) {
                (true, Some(oldest)) if &segment.segment > oldest => findings.push(missing(format!(
                    "{what}; the manifest says that --keep removed it, which removes the oldest segments, and {oldest} is older"
                ))),
                (true, _) => removed.push(segment),
                // A recorder that is running, or was killed, has not given the segment its name yet.
                (false, _) if names::open(&path).is_file() => {}
                (false, _) => findings.push(missing(what)),
            }
        }
        if let Some(last) = removed.last() {
            let count = human::count(removed.len() as u64);
            findings.push(Finding::new(
                &self.path,
                Status::Removed,
                format!("--keep has removed {count} segments up to {}", last.segment),
            ));
        }
        findings
    }
}
