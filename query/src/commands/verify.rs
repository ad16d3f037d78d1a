//! `verify`: proves that recordings are what was recorded.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use ctrace_schema::human;
use ctrace_schema::text::path_text;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;

use crate::cli::AnswerOptions;
use crate::engine::Engine;
use crate::messages;
use crate::output::{self, AnswerDestination, AnswerFormat, BytesDone, during_bytes};
use crate::proof::{self, Finding, PublicKey, ReadBytes, Status};

/// The error that recordings are not proved, after all findings were written.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotProved(String);

/// Writes the findings about the recordings.
///
/// # Errors
/// [`NotProved`], or a name stands for no file, or the public key or the destination cannot be used.
pub(super) async fn verify(
    key: Option<&Path>,
    options: &AnswerOptions,
    engine: &Engine,
    to: AnswerDestination<'_>,
) -> anyhow::Result<()> {
    let key = key.map(PublicKey::read).transpose()?.map(Arc::new);
    let named = named(options, engine).await?;
    let findings = checked(engine, &named, key).await?;
    let format = options.format.unwrap_or(AnswerFormat::Table);
    let batch = batch(&findings)?;
    let rows = stream::iter([Ok(batch.clone())]);
    let rows = Box::pin(RecordBatchStreamAdapter::new(batch.schema(), rows));
    output::write(rows, format, to.open(format)?, vec![], None).await?;
    match unproved(&findings, Status::is_unproved) {
        Some(message) => Err(NotProved(message).into()),
        None => {
            let proved = findings.iter().filter(|f| f.status == Status::Ok);
            let text = match proved.count() {
                1 => "1 file".to_string(),
                several => format!("{} files", human::count(several as u64)),
            };
            messages::status("verified", &text);
            Ok(())
        }
    }
}

/// Checks the recordings that `named` stands for, and shows the progress.
async fn checked(
    engine: &Engine,
    named: &[PathBuf],
    key: Option<Arc<PublicKey>>,
) -> anyhow::Result<Vec<Finding>> {
    let read = Arc::new(ReadBytes::default());
    let done = || BytesDone {
        done: read.done(),
        total: read.total(),
    };
    let checking = proof::verify(engine.session(), named, key, &read);
    Ok(during_bytes("verified", done, checking).await?)
}

/// Returns the names of the recordings that `options` name, or of those that are read without a name.
pub(super) async fn named(
    options: &AnswerOptions,
    engine: &Engine,
) -> anyhow::Result<Vec<PathBuf>> {
    let variable = std::env::var_os("CTRACE_RECORDING").filter(|path| !path.is_empty());
    match (options.recordings.is_empty(), variable) {
        (false, _) => Ok(options.recordings.clone()),
        (true, Some(path)) => Ok(vec![path.into()]),
        (true, None) => {
            let files = engine.recordings().await?.files.iter();
            Ok(files.map(|file| file.path.clone()).collect())
        }
    }
}

/// Returns a sentence about the findings whose status counts; `None`: there are none.
fn unproved(findings: &[Finding], counts: impl Fn(Status) -> bool) -> Option<String> {
    let counted: Vec<_> = findings.iter().filter(|f| counts(f.status)).collect();
    let first = counted.first()?;
    let separator = if first.detail.is_empty() { "" } else { ", " };
    let more = match counted.len() - 1 {
        0 => String::new(),
        more => format!(" (and {} more findings)", human::count(more as u64)),
    };
    Some(format!(
        "{}: {}{separator}{}{more}",
        path_text(&first.path),
        first.status.name(),
        first.detail
    ))
}

/// Returns the findings as rows.
fn batch(findings: &[Finding]) -> anyhow::Result<RecordBatch> {
    let texts = |text: &dyn Fn(&Finding) -> Option<String>| {
        Arc::new(findings.iter().map(text).collect::<StringArray>()) as ArrayRef
    };
    let detail = |f: &Finding| Some(f.detail.clone()).filter(|detail| !detail.is_empty());
    Ok(RecordBatch::try_from_iter_with_nullable([
        (
            "file",
            texts(&|f| Some(f.path.display().to_string())),
            false,
        ),
        (
            "status",
            texts(&|f| Some(f.status.name().to_string())),
            false,
        ),
        ("detail", texts(&detail), true),
        (
            "digest",
            texts(&|f| f.digest.map(|digest| digest.to_string())),
            true,
        ),
        ("signed", texts(&|f| f.signed.clone()), true),
    ])?)
}

/// Proves the recordings that `named` stands for. `otherwise`: what `--no-verify` does.
///
/// # Errors
/// [`NotProved`]: a recording is not what was recorded.
pub(super) async fn prove(
    named: &[PathBuf],
    engine: &Engine,
    otherwise: &str,
) -> anyhow::Result<Vec<Finding>> {
    let findings = checked(engine, named, None).await?;
    match unproved(&findings, Status::is_wrong) {
        None => Ok(findings),
        Some(message) => Err(NotProved(format!(
            "{message}. `ctrace-query verify` lists all findings, and --no-verify {otherwise}"
        ))
        .into()),
    }
}

/// The proof of the recordings of a report.
pub(super) struct ReportProof {
    /// The value of the fact about the proof.
    pub(super) fact: String,
    /// A sentence about what is not proved.
    pub(super) warning: Option<String>,
}

/// Proves the recordings of a report, unless `options` say not to.
///
/// # Errors
/// A recording is not what was recorded.
pub(super) async fn prove_for_report(
    options: &AnswerOptions,
    is_wanted: bool,
    engine: &Engine,
) -> anyhow::Result<ReportProof> {
    if !is_wanted {
        return Ok(ReportProof {
            fact: "not verified (--no-verify)".into(),
            warning: Some("The recordings of this page were not verified.".into()),
        });
    }
    let named = named(options, engine).await?;
    let findings = prove(&named, engine, "makes a report all the same").await?;
    let digests: Vec<_> = findings.iter().filter_map(|f| f.digest).collect();
    let fact = match digests.as_slice() {
        [] => "no digest".to_string(),
        [one] => format!("verified, SHA-256 {one}"),
        [.., last] => format!(
            "{} files verified, the last with SHA-256 {last}",
            human::count(digests.len() as u64)
        ),
    };
    let warning = unproved(&findings, |status| {
        matches!(status, Status::NoDigest | Status::Unfinished)
    });
    Ok(ReportProof {
        fact,
        warning: warning.map(|warning| format!("Not all is proved: {warning}.")),
    })
}
