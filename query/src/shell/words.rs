//! The words that the recordings give to completion. They are read in the background, and only those that are safe to
//! show are offered: a recording may come from a stranger.

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

use crate::engine::{AskError, EVENTS, Engine, META};

/// What somebody who pressed Tab waits at most. The reading goes on, for the next Tab.
const PATIENCE: Duration = Duration::from_secs(2);

type Coming<T> = Shared<BoxFuture<'static, Arc<T>>>;

/// A table and its columns.
pub type Table = (String, Vec<String>);

/// What stands in columns of which the values are few.
#[derive(Debug, Default)]
pub struct Values {
    pub containers: Vec<String>,
    pub syscalls: Vec<String>,
}

/// The words of some recordings.
pub struct Words {
    runtime: Handle,
    engine: Engine,
    /// The functions of SQL, sorted.
    pub functions: Vec<String>,
    tables: Coming<Vec<Table>>,
    /// Read when they are asked for: a large recording is not read for nothing.
    values: OnceCell<Coming<Values>>,
}

impl Words {
    /// The words of the recordings of `engine`, of which the tables are looked at from now on.
    pub fn of(engine: &Engine, runtime: &Handle) -> Self {
        let functions = engine.functions();
        let reading = engine.again();
        Words {
            runtime: runtime.clone(),
            tables: begin(runtime, async move { tables(&reading).await }),
            engine: engine.again(),
            functions,
            values: OnceCell::new(),
        }
    }

    /// The tables and their columns; none if they are not known in time.
    pub fn tables(&self) -> Arc<Vec<Table>> {
        self.wait(&self.tables)
    }

    /// The containers and calls; none if they are not known in time.
    pub fn values(&self) -> Arc<Values> {
        // An engine plans one statement at a time.
        let engine = self.engine.again();
        let read = async move { values(&engine).await.unwrap_or_default() };
        self.wait(self.values.get_or_init(|| begin(&self.runtime, read)))
    }

    fn wait<T: Default>(&self, coming: &Coming<T>) -> Arc<T> {
        let soon = async { timeout(PATIENCE, coming.clone()).await };
        self.runtime.block_on(soon).unwrap_or_default()
    }
}

/// Begins to read in the background.
fn begin<T: Default + Send + Sync + 'static>(
    runtime: &Handle,
    read: impl Future<Output = T> + Send + 'static,
) -> Coming<T> {
    let reading = runtime.spawn(read);
    let coming = reading.map(|read| Arc::new(read.unwrap_or_default()));
    coming.boxed().shared()
}

async fn tables(engine: &Engine) -> Vec<Table> {
    let mut tables = Vec::new();
    for name in [EVENTS]
        .into_iter()
        .chain(VIEWS.iter().map(|v| v.name))
        .chain([META])
    {
        // A table that cannot be read has no columns to offer.
        let frame = engine.plan(&format!("select * from {name}")).await.ok();
        let columns = frame.map(|frame| {
            let names = frame.schema().fields().iter().map(|f| f.name().clone());
            names.filter(|name| is_safe(name)).collect()
        });
        tables.push((name.to_string(), columns.unwrap_or_default()));
    }
    tables
}

async fn values(engine: &Engine) -> Result<Values, AskError> {
    let sql = "select container, syscall from events group by container, syscall";
    let batches = engine.plan(sql).await?.collect().await?;
    Ok(Values {
        containers: distinct(&batches, 0),
        syscalls: distinct(&batches, 1),
    })
}

/// The texts of a column, sorted.
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

/// Whether a terminal shows it as it is.
pub fn is_safe(text: &str) -> bool {
    printable(text) == text
}
