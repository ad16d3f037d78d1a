//! The completion words that come from recordings, read in the background. Only words without control characters are
//! offered, because a recording may come from an untrusted source.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use ctrace_schema::text::printable;
use ctrace_schema::views::VIEWS;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::engine::{Engine, QueryError};
use crate::source::{EVENTS, META};

/// Limit of the delay after Tab. Reading continues in the background, for the next Tab.
const MAX_WAIT: Duration = Duration::from_secs(2);

type PendingRead<T> = Shared<BoxFuture<'static, Arc<T>>>;

/// The name of a table, and its columns.
pub(crate) type TableColumns = (String, Vec<String>);

/// The distinct values of columns with few values.
#[derive(Debug, Default)]
pub(crate) struct ColumnValues {
    pub(crate) containers: Vec<String>,
    pub(crate) syscalls: Vec<String>,
}

/// The completion words of some recordings.
pub(crate) struct CompletionWords {
    runtime: Handle,
    engine: Engine,
    /// The names of the SQL functions, sorted.
    pub(crate) functions: Vec<String>,
    tables: PendingRead<Vec<TableColumns>>,
    /// The containers and calls, read on first use, because that takes long for a large recording.
    values: OnceCell<PendingRead<ColumnValues>>,
}

impl CompletionWords {
    /// Starts to read the tables of `engine`.
    pub(crate) fn new(engine: &Engine, runtime: &Handle) -> Self {
        let functions = engine.functions();
        let reader = engine.reopened();
        CompletionWords {
            runtime: runtime.clone(),
            tables: spawn(runtime, async move { tables(&reader).await }),
            engine: engine.reopened(),
            functions,
            values: OnceCell::new(),
        }
    }

    /// Returns the tables and their columns; empty if reading takes too long.
    pub(crate) fn tables(&self) -> Arc<Vec<TableColumns>> {
        self.wait(&self.tables)
    }

    /// Returns the containers and calls; empty if reading takes too long.
    pub(crate) fn values(&self) -> Arc<ColumnValues> {
        // An engine of its own, because an engine plans one statement at a time.
        let engine = self.engine.reopened();
        let read = async move { values(&engine).await.unwrap_or_default() };
        self.wait(self.values.get_or_init(|| spawn(&self.runtime, read)))
    }

    fn wait<T: Default>(&self, pending: &PendingRead<T>) -> Arc<T> {
        let limited = async { timeout(MAX_WAIT, pending.clone()).await };
        self.runtime.block_on(limited).unwrap_or_default()
    }
}

/// Starts to read in the background.
fn spawn<T: Default + Send + Sync + 'static>(
    runtime: &Handle,
    read: impl Future<Output = T> + Send + 'static,
) -> PendingRead<T> {
    let reading = runtime.spawn(read);
    let pending = reading.map(|read| Arc::new(read.unwrap_or_default()));
    pending.boxed().shared()
}

async fn tables(engine: &Engine) -> Vec<TableColumns> {
    let mut tables = Vec::new();
    for name in [EVENTS]
        .into_iter()
        .chain(VIEWS.iter().map(|v| v.name))
        .chain([META])
    {
        // A table that cannot be read has no columns.
        let frame = engine.plan(&format!("select * from {name}")).await.ok();
        let columns = frame.map(|frame| {
            let names = frame.schema().fields().iter().map(|f| f.name().clone());
            names.filter(|name| is_safe(name)).collect()
        });
        tables.push((name.to_string(), columns.unwrap_or_default()));
    }
    tables
}

async fn values(engine: &Engine) -> Result<ColumnValues, QueryError> {
    let sql = "select container, syscall from events group by container, syscall";
    let batches = engine.collect(sql).await?.1;
    Ok(ColumnValues {
        containers: distinct(&batches, 0),
        syscalls: distinct(&batches, 1),
    })
}

/// Returns the distinct texts of a column, sorted.
fn distinct(batches: &[RecordBatch], column: usize) -> Vec<String> {
    let columns = batches.iter().map(|batch| batch.column(column));
    let texts = columns.filter_map(|column| cast(column, &DataType::Utf8).ok());
    let mut found: Vec<String> = texts
        .flat_map(|column| {
            let texts = column.as_string::<i32>().iter().flatten();
            texts
                .filter(|text| is_safe(text))
                .map(String::from)
                .collect::<Vec<_>>()
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Returns whether a text has no control characters.
pub(crate) fn is_safe(text: &str) -> bool {
    printable(text) == text
}
