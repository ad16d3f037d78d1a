//! `--follow`: answers a query again whenever a recording grows, until Ctrl-C.

use std::io::{IsTerminal, Write, stdout};
use std::pin::pin;

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::col;
use futures::{StreamExt, TryStreamExt, stream};

use crate::commands::answer::answer;
use crate::engine::{CHECK_INTERVAL, Engine, QueryError, RecordingWatcher};
use crate::messages;
use crate::output::{self, AnswerDestination, AnswerFormat, AnswerWriter};
use crate::source::{EVENTS, SeenFiles};

/// Answers a query until Ctrl-C. If each row of the answer is an event, only new events follow. Otherwise the whole answer
/// is written again; on a terminal it replaces the previous one.
///
/// # Errors
/// The errors of [`answer`].
pub(crate) async fn follow(
    engine: Engine,
    sql: impl AsyncFn(&Engine) -> anyhow::Result<String>,
    format: AnswerFormat,
    to: AnswerDestination<'_>,
) -> anyhow::Result<()> {
    let first_sql = sql(&engine).await?;
    let frame = engine.plan(&first_sql).await?;
    if let (AnswerDestination::Stdout, true) = (to, has_a_row_per_event(&engine, &frame)?) {
        return follow_events(engine, first_sql, frame, format).await;
    }
    let mut watcher = RecordingWatcher::new(engine, CHECK_INTERVAL);
    let mut is_first = true;
    let mut interrupt = pin!(tokio::signal::ctrl_c());
    loop {
        let round = async {
            let engine = watcher.changed().await?;
            let sql = sql(&engine).await?;
            if matches!(to, AnswerDestination::Stdout) {
                begin_answer(format, std::mem::take(&mut is_first));
            }
            answer(&engine, &sql, format, to).await
        };
        tokio::select! {
            // Ctrl-C is awaited first, so that its handler is installed before the first round.
            biased;
            _ = &mut interrupt => return Ok(()),
            answered = round => answered?,
        };
    }
}

/// Separates an answer from the previous one: clears a terminal, or writes an empty line in formats that consist of lines.
pub(super) fn begin_answer(format: AnswerFormat, is_first: bool) {
    use AnswerFormat::{Csv, Markdown, Table, Tsv, Vertical};
    if stdout().is_terminal() {
        print!("\x1b[H\x1b[2J");
    } else if !is_first && matches!(format, Table | Vertical | Csv | Tsv | Markdown) {
        // If the pipe is closed, writing the answer fails.
        let _ = writeln!(stdout());
    }
}

/// Writes the present events and then the new ones, as one answer.
async fn follow_events(
    engine: Engine,
    sql: String,
    frame: DataFrame,
    format: AnswerFormat,
) -> anyhow::Result<()> {
    let schema: SchemaRef = frame.schema().inner().clone();
    let watcher = RecordingWatcher::new(engine, CHECK_INTERVAL);
    let rounds = stream::try_unfold(
        (watcher, SeenFiles::default()),
        move |(mut watcher, mut seen)| {
            let sql = sql.clone();
            async move {
                let failed = |e: anyhow::Error| DataFusionError::External(e.into());
                let engine = watcher.changed().await.map_err(|e| failed(e.into()))?;
                let new_events = engine
                    .with_news(&mut seen)
                    .await
                    .map_err(|e| failed(e.into()))?;
                let frame = new_events.plan(&sql).await.map_err(|e| failed(e.into()))?;
                if let Some(losses) = new_events.losses(&frame).await? {
                    messages::warning(&losses.to_string());
                }
                let rows = in_event_order(frame).execute_stream().await?;
                Ok::<_, DataFusionError>(Some((rows, (watcher, seen))))
            }
        },
    );
    let rows = rounds.try_flatten().take_until(tokio::signal::ctrl_c());
    let rows = RecordBatchStreamAdapter::new(schema, rows);
    let rows: SendableRecordBatchStream = Box::pin(rows);
    let writer = AnswerWriter::stdout(format)?.live();
    output::write(rows, format, writer, Vec::new(), None).await?;
    Ok(())
}

/// Sorts events by their start, if the statement does not sort them.
fn in_event_order(frame: DataFrame) -> DataFrame {
    let is_sort = |node: &LogicalPlan| Ok(matches!(node, LogicalPlan::Sort(_)));
    if frame.logical_plan().exists(is_sort).unwrap_or(true) {
        return frame;
    }
    let order = ["time", "seq"].map(|name| col(name).sort(true, false));
    // An answer without these columns cannot be sorted.
    frame.clone().sort(order.to_vec()).unwrap_or(frame)
}

/// Returns whether each row of an answer is computed from one event alone.
fn has_a_row_per_event(engine: &Engine, frame: &DataFrame) -> Result<bool, QueryError> {
    let plan = engine.session().state().optimize(frame.logical_plan())?;
    let mut is_row_wise = true;
    let mut scans = 0;
    plan.apply(|node| {
        is_row_wise &= match node {
            // The view `files` is a union, because a copy is a row for each of its files.
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Union(_) => true,
            LogicalPlan::Sort(sort) => sort.fetch.is_none(),
            LogicalPlan::TableScan(scan) => {
                scans += 1;
                scan.fetch.is_none() && scan.table_name.table() == EVENTS
            }
            _ => false,
        };
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(is_row_wise && scans > 0)
}
