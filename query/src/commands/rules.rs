//! `rules`: what rules find in the recordings.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::bail;
use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampNanosecondType;
use arrow::json::ArrayWriter;
use chrono::TimeDelta;
use ctrace_rules::{Level, RuleSet};
use ctrace_schema::text::path_text;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value};

use crate::cli::{AnswerOptions, FindingsFormat, RulesOutput, RulesTask, Scope};
use crate::commands::answer::with_mode;
use crate::commands::containers::recording_contents;
use crate::commands::filters::rule_warnings;
use crate::commands::query::{check, tell_setup, window};
use crate::commands::sarif::sarif;
use crate::engine::{Engine, QueryError, RecordingWatcher};
use crate::messages;
use crate::output::{self, AnswerDestination, AnswerFormat, AnswerWriter, ScanProgress};
use crate::questions::{
    ParsedScope, RecordingContents, one_rule_sql, ready_question, sql_with_rules,
};
use crate::source::{GivenTime, SeenFiles, TimeSpan, WindowEnd, resolve_time};

/// The answer that rules of the level `alert` fired, after all findings were written.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Alerts(String);

impl Alerts {
    /// Returns the error if rules of this level fired.
    fn check(fired: &BTreeSet<String>) -> anyhow::Result<()> {
        let names: Vec<_> = fired.iter().map(String::as_str).collect();
        match names.is_empty() {
            true => Ok(()),
            false => Err(Alerts(names.join(", ")).into()),
        }
    }
}

/// Writes the findings of rules, the rules themselves, or the SQL.
///
/// # Errors
/// [`Alerts`], or a rule is wrong, a recording cannot be read, or the destination cannot be written.
pub(super) async fn rules(
    task: &RulesTask,
    options: &AnswerOptions,
    engine: &Engine,
    to: AnswerDestination<'_>,
) -> anyhow::Result<()> {
    let set = RuleSet::choose(&task.choice)?;
    let format = options.format.unwrap_or(AnswerFormat::Table);
    let format = task.format.unwrap_or(FindingsFormat::Answer(format));
    match (task.output, format) {
        (RulesOutput::List, FindingsFormat::Answer(format)) => {
            write(vec![list(&set)?], format, to).await
        }
        (RulesOutput::Sql, _) => {
            let contents = recording_contents(engine).await;
            let sql = findings_sql(&set, &task.scope, engine, &contents).await?;
            to.print(sql.trim_end())
        }
        (RulesOutput::Findings, _) => {
            check_all(&set, &task.scope, engine).await?;
            let batches = findings(&set, &task.scope, engine).await?;
            let rows = rows(&batches)?;
            let to = with_mode(engine, to)?;
            match format {
                FindingsFormat::Answer(format) => write(batches, format, to).await?,
                FindingsFormat::Sarif => {
                    let files = engine.recordings().await?.files.iter();
                    let files: Vec<_> = files.map(|file| file.path.as_path()).collect();
                    to.print_json(&sarif(&set, &rows, &files))?;
                }
            }
            tell_setup(ready_question("rules")?, &task.scope, engine).await?;
            Alerts::check(&alerts(&rows))
        }
        (RulesOutput::NewFindings, FindingsFormat::Answer(format)) => {
            check_all(&set, &task.scope, engine).await?;
            follow(&set, &task.scope, engine.reopened(), format).await
        }
        (_, FindingsFormat::Sarif) => {
            bail!("--format sarif is for the findings of a recording: omit --list and --follow")
        }
    }
}

/// Returns the rules as rows.
fn list(set: &RuleSet) -> anyhow::Result<RecordBatch> {
    let rules = set.rules();
    let texts = |text: &dyn Fn(usize) -> String| {
        Arc::new(
            (0..rules.len())
                .map(|n| Some(text(n)))
                .collect::<StringArray>(),
        ) as ArrayRef
    };
    let triggers: BooleanArray = rules
        .iter()
        .map(|rule| Some(rule.trigger().is_ok()))
        .collect();
    Ok(RecordBatch::try_from_iter([
        ("rule", texts(&|n| rules[n].name.clone())),
        ("level", texts(&|n| rules[n].level.to_string())),
        ("references", texts(&|n| rules[n].references.join(" "))),
        ("trigger", Arc::new(triggers) as ArrayRef),
        ("description", texts(&|n| rules[n].description.clone())),
    ])?)
}

/// Writes rows that are in memory.
async fn write(
    batches: Vec<RecordBatch>,
    format: AnswerFormat,
    to: AnswerDestination<'_>,
) -> anyhow::Result<()> {
    let Some(schema) = batches.first().map(RecordBatch::schema) else {
        bail!("an answer has at least one batch");
    };
    let rows = stream::iter(batches.into_iter().map(Ok));
    let rows = Box::pin(RecordBatchStreamAdapter::new(schema, rows));
    output::write(rows, format, to.open(format)?, vec![], None).await?;
    if let AnswerDestination::File(path, _) = to {
        messages::status("wrote", &path_text(path));
    }
    Ok(())
}

/// Checks the scope, and warns of rules that cannot fire because of the filters of the recordings.
async fn check_all(set: &RuleSet, scope: &Scope, engine: &Engine) -> anyhow::Result<()> {
    check(ready_question("rules")?, scope, engine).await?;
    for warning in rule_warnings(set, engine.recordings().await?) {
        messages::warning(&warning);
    }
    Ok(())
}

async fn findings_sql(
    set: &RuleSet,
    scope: &Scope,
    engine: &Engine,
    contents: &RecordingContents,
) -> anyhow::Result<String> {
    let (scope, span) = window(scope, engine).await?;
    let question = ready_question("rules")?;
    Ok(sql_with_rules(question, set, &scope, span, contents))
}

/// Returns the findings in the recordings, as at least one batch, and warns of losses.
async fn findings(
    set: &RuleSet,
    scope: &Scope,
    engine: &Engine,
) -> anyhow::Result<Vec<RecordBatch>> {
    let contents = recording_contents(engine).await;
    let sql = findings_sql(set, scope, engine, &contents).await?;
    let answer = match engine.answer(&sql).await {
        Ok(answer) => answer,
        Err(error) => return Err(explained(set, engine, error).await),
    };
    let rows = answer.rows();
    let schema = rows.schema();
    let rows = rows.try_collect::<Vec<_>>();
    let rows = match ScanProgress::new(answer.plan()) {
        Some(progress) => progress.during(rows).await,
        None => rows.await,
    };
    let mut batches = rows.map_err(|error| answer.explain(&error))?;
    if let Some(losses) = answer.losses().await? {
        messages::warning(&losses.to_string());
    }
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    Ok(batches)
}

/// Explains an error in the statement of all rules: names the rule whose SQL is wrong.
async fn explained(set: &RuleSet, engine: &Engine, error: QueryError) -> anyhow::Error {
    for rule in set.rules() {
        if let Err(QueryError::Sql(error)) = engine.plan(&one_rule_sql(rule)).await {
            let help = error.help.map_or(String::new(), |help| format!(". {help}"));
            return anyhow::anyhow!("rule `{}`: {}{help}", rule.name, error.message);
        }
    }
    error.into()
}

/// Returns rows of findings as JSON objects.
fn rows(batches: &[RecordBatch]) -> anyhow::Result<Vec<Map<String, Value>>> {
    let mut writer = ArrayWriter::new(Vec::new());
    writer.write_batches(&batches.iter().collect::<Vec<_>>())?;
    writer.finish()?;
    let text = writer.into_inner();
    match text.is_empty() {
        true => Ok(vec![]),
        false => Ok(serde_json::from_slice(&text)?),
    }
}

/// Returns the names of the rules of the level `alert` among findings.
fn alerts(findings: &[Map<String, Value>]) -> BTreeSet<String> {
    let is_alert =
        |row: &&Map<String, Value>| row.get("level") == Some(&Level::Alert.as_str().into());
    let alerts = findings.iter().filter(is_alert);
    let names = alerts.filter_map(|row| row.get("rule")?.as_str());
    names.map(String::from).collect()
}

/// Interval between checks of the files for new findings.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// Writes the findings, and those in new events, until Ctrl-C.
async fn follow(
    set: &RuleSet,
    scope: &Scope,
    engine: Engine,
    format: AnswerFormat,
) -> anyhow::Result<()> {
    let contents = recording_contents(&engine).await;
    let schema = {
        let sql = findings_sql(set, scope, &engine, &contents).await?;
        match engine.plan(&sql).await {
            Ok(frame) => frame.schema().inner().clone(),
            Err(error) => return Err(explained(set, &engine, error).await),
        }
    };
    let fired = Arc::new(Mutex::new(BTreeSet::new()));
    let follower = Follower {
        one_event: set.clone().only(|rule| !needs_several_events(rule)),
        several_events: set.clone().only(needs_several_events),
        scope: scope.clone(),
        contents,
        watcher: RecordingWatcher::new(engine, CHECK_INTERVAL),
        is_first: true,
        seen: SeenFiles::default(),
        reported: HashMap::new(),
        fired: fired.clone(),
    };
    let rounds = stream::try_unfold(follower, |mut follower| async move {
        let batches = follower.round().await;
        let batches = batches.map_err(|e| DataFusionError::External(e.into()))?;
        Ok::<_, DataFusionError>(Some((
            stream::iter(batches.into_iter().map(Ok::<_, DataFusionError>)),
            follower,
        )))
    });
    let rows = rounds.try_flatten().take_until(tokio::signal::ctrl_c());
    let rows: SendableRecordBatchStream = Box::pin(RecordBatchStreamAdapter::new(schema, rows));
    let writer = AnswerWriter::stdout(format)?.live();
    output::write(rows, format, writer, vec![], None).await?;
    let fired = fired.lock().unwrap_or_else(PoisonError::into_inner);
    Alerts::check(&fired)
}

/// Returns whether new events alone do not tell if a rule fires.
fn needs_several_events(rule: &ctrace_rules::Rule) -> bool {
    rule.threshold.is_some() || rule.sql.is_some()
}

/// The rounds of `--follow`.
struct Follower {
    one_event: RuleSet,
    several_events: RuleSet,
    scope: Scope,
    contents: RecordingContents,
    watcher: RecordingWatcher,
    is_first: bool,
    seen: SeenFiles,
    /// The findings about several events that were written: the time of their last event, ns since 1970 UTC, by what they are about.
    reported: HashMap<String, i64>,
    /// The names of the rules of the level `alert` that fired.
    fired: Arc<Mutex<BTreeSet<String>>>,
}

/// The least time before the newest events in which rules about several events look for them.
const MIN_RECENT: Duration = Duration::from_secs(600);

impl Follower {
    /// Waits until the recordings grow, and returns the new findings.
    async fn round(&mut self) -> anyhow::Result<Vec<RecordBatch>> {
        let engine = self.watcher.changed().await?;
        let is_first = std::mem::replace(&mut self.is_first, false);
        let (scope, span) = window(&self.scope, &engine).await?;
        let new_events = engine.reopened().with_news(&mut self.seen).await?;
        let mut found = vec![];
        if !self.one_event.rules().is_empty() {
            let sql = self.sql(&self.one_event, &scope, span)?;
            found.extend(new_events.collect(&sql).await?.1);
        }
        if !self.several_events.rules().is_empty() {
            let mut scope = scope;
            if !is_first {
                let since = engine.span().await?.end.checked_sub_signed(self.recent());
                let given = scope
                    .since
                    .map(|time| resolve_time(time, WindowEnd::Since, span));
                scope.since = since.max(given).map(GivenTime::Instant);
            }
            let sql = self.sql(&self.several_events, &scope, span)?;
            for batch in engine.collect(&sql).await?.1 {
                found.push(self.not_reported(&batch)?);
            }
        }
        let alerts = alerts(&rows(&found)?);
        let mut fired = self.fired.lock().unwrap_or_else(PoisonError::into_inner);
        fired.extend(alerts);
        Ok(found)
    }

    fn sql(&self, set: &RuleSet, scope: &ParsedScope, span: TimeSpan) -> anyhow::Result<String> {
        let question = ready_question("rules")?;
        Ok(sql_with_rules(question, set, scope, span, &self.contents))
    }

    /// Returns the time before the newest events in which rules about several events look for them.
    fn recent(&self) -> TimeDelta {
        let thresholds = self.several_events.rules().iter();
        let within = thresholds.filter_map(|rule| Some(rule.threshold.as_ref()?.within));
        let longest = within.max().unwrap_or_default().saturating_mul(2);
        TimeDelta::from_std(longest.max(MIN_RECENT)).unwrap_or(TimeDelta::MAX)
    }

    /// Returns the findings that begin after the last event of an earlier finding about the same.
    fn not_reported(&mut self, batch: &RecordBatch) -> anyhow::Result<RecordBatch> {
        let times = |name: &str| {
            let column = batch.column_by_name(name)?;
            column
                .as_primitive_opt::<TimestampNanosecondType>()
                .cloned()
        };
        let (Some(first), Some(last)) = (times("first_seen"), times("last_seen")) else {
            bail!("a finding has the times of its events");
        };
        let mut is_new = vec![];
        for (n, row) in rows(std::slice::from_ref(batch))?.iter().enumerate() {
            let about =
                ["rule", "host", "pod", "container", "id", "subject"].map(|name| row.get(name));
            let about = serde_json::to_string(&about)?;
            let reported = self.reported.get(&about);
            is_new.push(reported.is_none_or(|reported| first.value(n) > *reported));
            if is_new[n] {
                self.reported.insert(about, last.value(n));
            }
        }
        Ok(filter_record_batch(batch, &is_new.into())?)
    }
}
