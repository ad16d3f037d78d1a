//! `--follow`: answers again as a recording grows, until Ctrl-C.

use std::io::{IsTerminal, Write, stdout};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::{Duration, SystemTime};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::col;
use futures::{StreamExt, TryStreamExt, stream};

use crate::commands::answer::{To, answer};
use crate::cli::Format;
use crate::engine::{AskError, EVENTS, Engine};
use crate::engine::losses;
use crate::output::{self, Sink, say};

/// How often the files are looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// A recording that is being moved or rotated may not be there for a moment.
const PATIENCE: u32 = 10;

/// What the files of the recordings look like: what grew looks different.
type Looks = Vec<(PathBuf, Option<(u64, SystemTime)>)>;

/// Answers until Ctrl-C. Where each row of the answer is an event, what follows are the new events alone; else the answer
/// is given again, in the place of the one before on a terminal.
///
/// # Errors
/// As [`answer`].
pub async fn follow(
    engine: Engine,
    question: impl AsyncFn(&Engine) -> anyhow::Result<String>,
    format: Format,
    to: To<'_>,
) -> anyhow::Result<()> {
    let sql = question(&engine).await?;
    let frame = engine.plan(&sql).await?;
    if let (To::Stdout, true) = (to, is_of_events(&engine, &frame)?) {
        return events(engine, sql, frame, format).await;
    }
    let mut watch = Watch::of(engine);
    let mut first = true;
    let mut interrupt = pin!(tokio::signal::ctrl_c());
    loop {
        let round = async {
            let engine = watch.next().await?;
            let sql = question(&engine).await?;
            if matches!(to, To::Stdout) {
                begin(format, std::mem::take(&mut first));
            }
            answer(&engine, &sql, format, to).await
        };
        tokio::select! {
            // From here on Ctrl-C is waited for at any time.
            biased;
            _ = &mut interrupt => return Ok(()),
            answered = round => answered?,
        };
    }
}

/// What stands between two answers: an empty line, where the format has lines of its own; on a terminal, nothing of the
/// one before is left.
fn begin(format: Format, first: bool) {
    use Format::{Csv, Markdown, Table, Tsv, Vertical};
    if stdout().is_terminal() {
        print!("\x1b[H\x1b[2J");
    } else if !first && matches!(format, Table | Vertical | Csv | Tsv | Markdown) {
        // That nobody reads any more is found out by the answer.
        let _ = writeln!(stdout());
    }
}

/// Writes the events that there are, and then those that come, as one answer.
async fn events(
    engine: Engine,
    sql: String,
    frame: DataFrame,
    format: Format,
) -> anyhow::Result<()> {
    let schema: SchemaRef = frame.schema().inner().clone();
    let rounds = stream::try_unfold((Watch::of(engine), -1), move |(mut watch, last)| {
        let sql = sql.clone();
        async move {
            let failed = |e: anyhow::Error| DataFusionError::External(e.into());
            let engine = watch.next().await.map_err(failed)?;
            let newest = newest(&engine).await?.unwrap_or(last);
            let part = engine.again().between(last, newest);
            let frame = part.plan(&sql).await.map_err(|e| failed(e.into()))?;
            if let Some(losses) = losses::of(&part, &frame).await? {
                say("warning", &losses.to_string());
            }
            let rows = in_order(frame).execute_stream().await?;
            Ok::<_, DataFusionError>(Some((rows, (watch, newest))))
        }
    });
    let rows = rounds.try_flatten().take_until(tokio::signal::ctrl_c());
    let rows = RecordBatchStreamAdapter::new(schema, rows);
    let rows: SendableRecordBatchStream = Box::pin(rows);
    output::write(rows, format, Sink::stdout(format)?.live(), Vec::new(), None).await?;
    Ok(())
}

/// Events in the order in which they began, where the statement says no other.
fn in_order(frame: DataFrame) -> DataFrame {
    let is_sort = |node: &LogicalPlan| Ok(matches!(node, LogicalPlan::Sort(_)));
    if frame.logical_plan().exists(is_sort).unwrap_or(true) {
        return frame;
    }
    let order = ["time", "seq"].map(|name| col(name).sort(true, false));
    // What has lost these columns has no order either.
    frame.clone().sort(order.to_vec()).unwrap_or(frame)
}

/// The number of the event that finished last.
async fn newest(engine: &Engine) -> Result<Option<i64>, DataFusionError> {
    let frame = engine.plan("select max(seq) from events").await;
    let batches = frame
        .map_err(|e| DataFusionError::External(e.into()))?
        .collect()
        .await?;
    let value = |batch: &RecordBatch| {
        batch
            .column(0)
            .as_primitive::<Int64Type>()
            .iter()
            .next()
            .flatten()
    };
    Ok(batches.first().and_then(value))
}

/// Whether each row of an answer is made from one event, whatever other events there are.
fn is_of_events(engine: &Engine, frame: &DataFrame) -> Result<bool, AskError> {
    let plan = engine.session().state().optimize(frame.logical_plan())?;
    let mut of_events = true;
    let mut scans = 0;
    plan.apply(|node| {
        of_events &= match node {
            LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) => {
                true
            }
            LogicalPlan::Sort(sort) => sort.fetch.is_none(),
            LogicalPlan::TableScan(scan) => {
                scans += 1;
                scan.fetch.is_none() && scan.table_name.table() == EVENTS
            }
            _ => false,
        };
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(of_events && scans == 1)
}

/// Waits for recordings to grow.
struct Watch {
    engine: Engine,
    seen: Option<Looks>,
}

impl Watch {
    fn of(engine: Engine) -> Self {
        Watch { engine, seen: None }
    }

    /// An engine with the recordings as they are, as soon as they look other than before. It opens them after they were
    /// looked at: what grows in between looks different the next time, and is not missed.
    async fn next(&mut self) -> anyhow::Result<Engine> {
        let mut failures = 0;
        loop {
            match looks(&self.engine.again()).await {
                Ok(looks) if self.seen.as_ref() != Some(&looks) => {
                    self.seen = Some(looks);
                    return Ok(self.engine.again());
                }
                Ok(_) => failures = 0,
                Err(_) if self.seen.is_some() && failures < PATIENCE => failures += 1,
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(PERIOD).await;
        }
    }
}

/// What is not in a recording yet is in a file beside it: SQLite's write-ahead log, or a journal.
const BESIDE: [&str; 3] = ["", "-wal", ".journal"];

async fn looks(engine: &Engine) -> Result<Looks, AskError> {
    let mut looks = Looks::new();
    for file in &engine.recordings().await?.files {
        for suffix in BESIDE {
            let mut path = file.path.clone().into_os_string();
            path.push(suffix);
            let look = Path::new(&path).metadata().ok();
            let look = look.and_then(|m| Some((m.len(), m.modified().ok()?)));
            looks.push((path.into(), look));
        }
    }
    Ok(looks)
}
