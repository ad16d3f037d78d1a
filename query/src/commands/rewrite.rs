//! `cut`, `redact` and `merge`: write recordings from recordings, which are verified first.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat};
use ctrace_redact::Redactor;
use serde_json::{Map, Value};

use crate::cli::{AnswerOptions, Redaction, Selection, Target};
use crate::commands::answer::check_not_read;
use crate::commands::selection::selected;
use crate::commands::verify::{named, prove};
use crate::engine::Engine;
use crate::rewrite::{self, CutPlan, SourceFile, check_absent};

/// Cuts a part out.
///
/// # Errors
/// The selection is wrong, a recording is not what was recorded, or the file exists or cannot be written.
pub(super) async fn cut(
    engine: &Engine,
    selection: &Selection,
    target: &Target,
    redaction: Option<&Redaction>,
    verify: bool,
) -> anyhow::Result<()> {
    check_target(engine, target).await?;
    let redactor = redaction.map(redactor).transpose()?;
    let (events, _) = selected(engine, selection).await?;
    let recordings = engine.recordings().await?;
    let needed = recordings.needed(events.span);
    let needed_engine =
        (needed.len() < recordings.files.len()).then(|| engine.restricted(needed.clone()));
    let engine = needed_engine.as_ref().unwrap_or(engine);
    let plan = CutPlan {
        conditions: conditions(selection, events.span),
        selection: events,
        files: proved(engine, needed.clone(), needed, verify).await?,
        to: &target.path,
        format: target.format,
        redactor,
    };
    rewrite::cut(engine, &plan).await
}

/// Redacts all recordings.
///
/// # Errors
/// A rule or the key is wrong; else as [`cut`].
pub(super) async fn redact(
    engine: &Engine,
    options: &AnswerOptions,
    redaction: &Redaction,
    target: &Target,
    verify: bool,
) -> anyhow::Result<()> {
    let redactor = redactor(redaction)?;
    let files = all_files(engine, options, target, verify).await?;
    rewrite::redact(engine, &files, &target.path, target.format, redactor).await
}

/// Reads the rules and the key of a redaction.
fn redactor(redaction: &Redaction) -> anyhow::Result<Arc<Redactor>> {
    let Redaction {
        rules,
        key,
        switches,
    } = redaction;
    let redactor = Redactor::read(rules.as_deref(), key.as_deref(), switches)?;
    Ok(Arc::new(redactor))
}

/// Merges all recordings.
///
/// # Errors
/// As [`cut`].
pub(super) async fn merge(
    engine: &Engine,
    options: &AnswerOptions,
    target: &Target,
    verify: bool,
) -> anyhow::Result<()> {
    let files = all_files(engine, options, target, verify).await?;
    rewrite::merge(engine, &files, &target.path, target.format).await
}

/// Checks the file to write, proves all recordings, and returns their digests.
async fn all_files(
    engine: &Engine,
    options: &AnswerOptions,
    target: &Target,
    verify: bool,
) -> anyhow::Result<Vec<SourceFile>> {
    check_target(engine, target).await?;
    let recordings = engine.recordings().await?;
    let files = recordings.files.iter().map(|file| file.path.clone());
    let named = named(options, engine).await?;
    proved(engine, named, files.collect(), verify).await
}

async fn check_target(engine: &Engine, target: &Target) -> anyhow::Result<()> {
    check_absent(&target.path, target.overwrite)?;
    engine.recordings().await?;
    check_not_read(engine, &target.path)
}

/// Proves the recordings that `named` stands for, and returns the digests of `files`.
async fn proved(
    engine: &Engine,
    named: Vec<PathBuf>,
    files: Vec<PathBuf>,
    verify: bool,
) -> anyhow::Result<Vec<SourceFile>> {
    let findings = match verify {
        true => prove(&named, engine, "writes the file all the same").await?,
        false => vec![],
    };
    let recordings = engine.recordings().await?;
    let source = |path: PathBuf| {
        let finding = findings.iter().find(|finding| finding.path == path);
        let proved = finding.and_then(|finding| finding.digest);
        let mut opened = recordings.files.iter();
        let opened = opened.find(|file| file.path == path && !verify);
        let told = opened.and_then(|file| file.meta.get(ctrace_schema::meta::KEY_DIGEST));
        SourceFile {
            sha256: proved.map(|digest| digest.to_string()).or(told.cloned()),
            path,
        }
    };
    Ok(files.into_iter().map(source).collect())
}

/// Returns the options that selected the events, by their name.
fn conditions(selection: &Selection, (from, to): (i64, i64)) -> Value {
    let Selection {
        scope,
        sets,
        condition,
    } = selection;
    let time = |ns| {
        let time = DateTime::from_timestamp_nanos(ns);
        Value::from(time.to_rfc3339_opts(SecondsFormat::Nanos, true))
    };
    let mut conditions = Map::new();
    if scope.since.is_some() {
        conditions.insert("since".into(), time(from));
    }
    if scope.until.is_some() {
        conditions.insert("until".into(), time(to));
    }
    let sets: Vec<_> = sets
        .iter()
        .map(|class| class.as_str().to_string())
        .collect();
    let lists = [
        ("container", &scope.containers),
        ("pod", &scope.pods),
        ("namespace", &scope.namespaces),
        ("label", &scope.labels),
        ("set", &sets),
    ];
    let lists = lists.into_iter().filter(|(_, values)| !values.is_empty());
    conditions.extend(lists.map(|(name, values)| (name.into(), values.clone().into())));
    let condition = condition.iter();
    conditions.extend(condition.map(|text| ("where".into(), text.clone().into())));
    conditions.into()
}
