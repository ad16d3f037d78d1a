//! Checks one file: its digest, or without one the checksums in it, and its signature.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ctrace_format::digest::{self, Digest};
use ctrace_format::unclosed::{self, Checksums};
use ctrace_format::{names, regular};
use ctrace_schema::meta;
use ctrace_schema::text::path_text;
use datafusion::prelude::SessionContext;
use memchr::memmem;

use crate::proof::finding::{Checked, Finding, Status};
use crate::proof::read_bytes::ReadBytes;
use crate::proof::signature::{FileSignature, PublicKey};
use crate::source::{FileContent, OpenFile, Origin, SourceError, open_recording, sqlite_damage};

/// Checks the file at `path`; `None`: it is in a directory that was named, and not a recording.
pub(super) async fn check_file(
    ctx: &SessionContext,
    path: &Path,
    origin: Origin,
    key: Option<Arc<PublicKey>>,
    read: Arc<ReadBytes>,
) -> Option<Checked> {
    let opened = match open_recording(ctx, path).await {
        // Damage can make a recording look like another file.
        Err(e) if origin == Origin::Directory && e.is_other_content() && !was_recording(path) => {
            return None;
        }
        Err(e) => return Some(unreadable(path, &e)),
        Ok(opened) => opened,
    };
    let len = path.metadata().map_or(0, |metadata| metadata.len());
    let (meta, span) = (opened.meta.clone(), opened.span());
    let checked = tokio::task::spawn_blocking(move || check(&opened, key.as_deref(), &read));
    let finding = checked
        .await
        .unwrap_or_else(|_| Finding::new(path, Status::Damaged, "its reader panicked"));
    Some(Checked {
        finding,
        len,
        meta,
        span,
        is_listed: false,
    })
}

/// Returns whether the key of the format's version or that of the digest is in a file.
fn was_recording(path: &Path) -> bool {
    const WINDOW_BYTES: u64 = 1 << 20;
    let keys = [meta::KEY_SCHEMA, meta::KEY_DIGEST];
    let keys = keys.map(|key| memmem::Finder::new(key.as_bytes()));
    let Ok(mut file) = regular::open(path) else {
        return false;
    };
    let mut window = vec![];
    loop {
        // A key may begin at the end of a window.
        window.drain(..window.len().saturating_sub(meta::KEY_SCHEMA.len()));
        match file.by_ref().take(WINDOW_BYTES).read_to_end(&mut window) {
            Ok(1..) if keys.iter().any(|key| key.find(&window).is_some()) => return true,
            Ok(1..) => {}
            Ok(0) | Err(_) => return false,
        }
    }
}

fn unreadable(path: &Path, error: &SourceError) -> Checked {
    let cause = std::error::Error::source(error);
    let cause = cause.map_or(String::new(), |cause| format!(": {cause}"));
    Checked {
        finding: Finding::new(path, Status::Damaged, format!("{error}{cause}")),
        len: 0,
        meta: Default::default(),
        span: None,
        is_listed: false,
    }
}

fn check(file: &OpenFile, key: Option<&PublicKey>, read: &ReadBytes) -> Finding {
    let (path, digest) = (&file.path, file.meta.get(meta::KEY_DIGEST));
    let damaged = |reason: String| Finding::new(path, Status::Damaged, reason);
    let checked = match (&file.content, digest.and_then(|text| Digest::parse(text))) {
        (FileContent::Unclosed(..), _) => check_unfinished(path),
        (_, Some(digest)) => return check_digest(path, &digest, key, read).unwrap_or_else(damaged),
        (FileContent::Parquet(_), None) => check_checksums(path),
        (FileContent::Sqlite(_), None) => check_pages(path),
    };
    // Checksums are checked without a report of the bytes so far.
    read.add(path.metadata().map_or(0, |metadata| metadata.len()));
    checked.unwrap_or_else(damaged)
}

/// Checks a Parquet file without a footer, and its journal.
///
/// # Errors
/// A checksum is wrong. The error is a sentence.
fn check_unfinished(path: &Path) -> Result<Finding, String> {
    let is_written = names::is_being_written(path);
    let mut checksums = unclosed::checksums(path);
    if is_written && matches!(checksums, Ok(Checksums::Wrong(_))) {
        // The recorder may have emptied its journal meanwhile.
        checksums = unclosed::checksums(path);
    }
    if let Checksums::Wrong(reason) = checksums.map_err(|e| e.to_string())? {
        return Err(reason);
    }
    Ok(match is_written {
        true => Finding::new(
            path,
            Status::Unfinished,
            "it is still being written; the checksums so far are right",
        ),
        false => Finding::new(
            path,
            Status::NoDigest,
            "it was not closed; the checksums of its complete parts are right",
        ),
    })
}

/// Checks a closed Parquet file without a digest.
///
/// # Errors
/// A checksum is wrong. The error is a sentence.
fn check_checksums(path: &Path) -> Result<Finding, String> {
    let reason = match unclosed::checksums(path).map_err(|e| e.to_string())? {
        Checksums::Wrong(reason) => return Err(reason),
        Checksums::Absent => "it was written before format 1.6, or by another program",
        Checksums::Right => {
            "it was written before format 1.6; its row groups have their checksums, its footer has none"
        }
    };
    Ok(Finding::new(path, Status::NoDigest, reason))
}

/// Checks a database without a digest.
///
/// # Errors
/// The pages of the database are not in order. The error is a sentence.
fn check_pages(path: &Path) -> Result<Finding, String> {
    if let Some(fault) = sqlite_damage(path).map_err(|e| e.to_string())? {
        return Err(fault);
    }
    Ok(match names::is_being_written(path) {
        true => Finding::new(
            path,
            Status::Unfinished,
            "it is still being written; its pages are in order",
        ),
        false => Finding::new(
            path,
            Status::NoDigest,
            "it was not closed, or written before format 1.6; its pages are in order",
        ),
    })
}

/// Compares the content of the file with its digest, and with a key also with its signature.
///
/// # Errors
/// The file is not what its writer finished. The error is a sentence.
fn check_digest(
    path: &Path,
    digest: &Digest,
    key: Option<&PublicKey>,
    read: &ReadBytes,
) -> Result<Finding, String> {
    if let Some(log) = changes_beside(path) {
        return Err(format!(
            "{} is beside it, with changes that its digest does not cover",
            path_text(&log)
        ));
    }
    let signature = FileSignature::of(path);
    let mut verifier = key.map(|key| key.begin(&signature));
    let content = regular::open(path).and_then(|mut file| {
        digest::read(&mut file, digest, |piece| {
            read.add(piece.len() as u64);
            if let Some(Ok(verifier)) = &mut verifier {
                verifier.update(piece);
            }
            Ok(())
        })
    });
    let content = content.map_err(|e| format!("it cannot be read: {e}"))?;
    if content.digest != *digest || content.place.is_none() {
        return Err(format!(
            "its content has the digest {}, and its metadata say {digest}",
            content.digest
        ));
    }
    let mut finding = Finding::new(path, Status::Ok, "");
    finding.digest = Some(*digest);
    let verified = verifier.map(|verifier| {
        let verified = verifier?.finalize();
        verified.map_err(|e| format!("its signature is wrong: {e}"))
    });
    match verified {
        None => {}
        Some(Ok(())) => finding.signed = Some(signature.comment()),
        Some(Err(reason)) => (finding.status, finding.detail) = (Status::NotSigned, reason),
    }
    Ok(finding)
}

/// Returns the write-ahead log or the journal of a database, which readers would apply.
fn changes_beside(path: &Path) -> Option<PathBuf> {
    let logs = [names::SQLITE_WAL, names::SQLITE_JOURNAL].into_iter();
    let mut logs = logs.map(|suffix| names::with_suffix(path, suffix));
    logs.find(|log| log.metadata().is_ok_and(|log| log.len() > 0))
}
