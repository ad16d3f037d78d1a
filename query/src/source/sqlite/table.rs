//! The events of a recording in SQLite as a table.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use ctrace_format::sqlite::SIDES;
use ctrace_schema::text::path_text;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::project_schema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::streaming::PartitionStream;

use crate::source::names::BOOT_ID;
use crate::source::row_set::RowSet;
use crate::source::sqlite::database::{Database, ReadError, connect};
use crate::source::sqlite::filter::{Condition, condition};
use crate::source::sqlite::read::{EventReader, SideTables};
use crate::source::time_bounds::TimeRange;

/// Minimum number of rows of a partition.
const MIN_PARTITION_ROWS: i64 = 50_000;

/// Rows of a batch of keys.
const KEY_BATCH_ROWS: usize = 32_768;

/// The events of a recording in SQLite.
#[derive(Debug)]
pub(crate) struct SqliteTable {
    database: Arc<Database>,
    schema: SchemaRef,
    /// The ids of the events that are in other files too.
    left_out: Arc<RowSet>,
}

impl SqliteTable {
    /// Creates a table with the columns of `schema`, without the rows whose ids are in `left_out`. Columns that the
    /// file lacks are null; `recording` is the name of the file.
    pub(crate) fn new(database: Arc<Database>, schema: SchemaRef, left_out: RowSet) -> SqliteTable {
        SqliteTable {
            database,
            schema,
            left_out: Arc::new(left_out),
        }
    }

    fn condition(&self, filter: &Expr) -> Option<Condition> {
        let sides = SIDES.iter().zip(&self.database.side_columns);
        let missing = |name: &str| {
            if name == BOOT_ID && self.database.boot.constant().is_some() {
                return true;
            }
            let mut sides = sides.clone();
            sides.any(|(side, has)| {
                side.columns.iter().any(|c| c.name == name) && !has.iter().any(|h| h == name)
            })
        };
        if filter.column_refs().iter().any(|c| missing(&c.name)) {
            return None;
        }
        condition(filter)
    }

    /// Returns the ids of the rows that may be in a time range.
    fn rows(&self, range: TimeRange) -> Result<RangeInclusive<i64>, ReadError> {
        if range == TimeRange::ALL {
            return Ok(1..=self.database.last_id);
        }
        let db = connect(&self.database.path)?;
        let sql = "select min(first), max(last) from span where \"end\" >= ? and start <= ?";
        let rows = db.query_one(sql, [range.start, range.end], |row| {
            Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?))
        })?;
        let (first, last) = (rows.0.unwrap_or(1), rows.1.unwrap_or(0));
        Ok(first.max(1)..=last.min(self.database.last_id))
    }
}

impl Database {
    /// Reads the columns of `schema` of all events, in batches with the ids of their rows.
    ///
    /// # Errors
    /// The file cannot be read, or a row contains a value that is invalid in a recording.
    pub(crate) fn rows_of(
        &self,
        schema: &SchemaRef,
    ) -> Result<Vec<(Vec<i64>, RecordBatch)>, ReadError> {
        let db = connect(&self.path)?;
        let sides = SideTables::read(&db, self, schema)?;
        let none = RowSet::default();
        let mut batches = vec![];
        let (rows, all) = (1..=self.last_id, Condition::all(vec![]));
        EventReader::new(self, schema, &sides, &none).read(
            &db,
            rows,
            &all,
            None,
            KEY_BATCH_ROWS,
            |batch| {
                batches.push(batch);
                true
            },
        )?;
        let mut statement =
            db.prepare("select id from event where id between 1 and ? order by id")?;
        let mut ids = statement.query_map([self.last_id], |row| row.get::<_, i64>(0))?;
        let with_ids = batches.into_iter().map(|batch| {
            let ids: Result<Vec<i64>, _> = ids.by_ref().take(batch.num_rows()).collect();
            Ok((ids?, batch))
        });
        with_ids.collect()
    }
}

#[async_trait::async_trait]
impl TableProvider for SqliteTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let supported = |filter: &&Expr| match self.condition(filter) {
            Some(_) => TableProviderFilterPushDown::Exact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(supported).collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = project_schema(&self.schema, projection)?;
        let conditions = filters.iter().filter_map(|f| self.condition(f)).collect();
        let rows = self
            .rows(TimeRange::of_filters(filters))
            .map_err(|e| failed(&self.database, &e))?;
        let scan = Arc::new(SqliteScan {
            database: self.database.clone(),
            schema: schema.clone(),
            condition: Condition::all(conditions),
            left_out: self.left_out.clone(),
            limit,
            sides: OnceLock::new(),
        });
        let partitions = split(rows, session.config().target_partitions())
            .into_iter()
            .map(|rows| {
                Arc::new(ScanPartition {
                    scan: scan.clone(),
                    rows,
                }) as Arc<dyn PartitionStream>
            });
        let table = StreamingTable::try_new(schema, partitions.collect())?;
        table.scan(session, None, &[], None).await
    }
}

/// Splits the rows into at most `max_partitions` ranges of at least [`MIN_PARTITION_ROWS`], and into one at least.
fn split(rows: RangeInclusive<i64>, max_partitions: usize) -> Vec<RangeInclusive<i64>> {
    let (first, last) = (*rows.start(), *rows.end());
    let count = last.saturating_sub(first).saturating_add(1).max(0);
    let partitions = (count / MIN_PARTITION_ROWS).clamp(1, max_partitions.max(1) as i64);
    let size = count / partitions;
    (0..partitions)
        .map(|i| {
            let start = first.saturating_add(i * size);
            let end = if i + 1 == partitions {
                last
            } else {
                start.saturating_add(size - 1)
            };
            start..=end
        })
        .collect()
}

/// The state that all partitions of a scan share.
struct SqliteScan {
    database: Arc<Database>,
    schema: SchemaRef,
    condition: Condition,
    left_out: Arc<RowSet>,
    limit: Option<usize>,
    /// The side tables, read once, by the first partition.
    sides: OnceLock<Result<SideTables, String>>,
}

impl SqliteScan {
    /// Reads the rows of a partition, and passes the batches to `send` until it returns false.
    fn read(
        &self,
        rows: RangeInclusive<i64>,
        batch: usize,
        mut send: impl FnMut(RecordBatch) -> bool,
    ) -> Result<(), ReadError> {
        let db = connect(&self.database.path)?;
        let sides = self.sides.get_or_init(|| {
            SideTables::read(&db, &self.database, &self.schema).map_err(|e| e.to_string())
        });
        let sides = sides.as_ref().map_err(|e| ReadError::Damaged(e.clone()))?;
        let reader = EventReader::new(&self.database, &self.schema, sides, &self.left_out);
        reader.read(&db, rows, &self.condition, self.limit, batch, |batch| {
            send(batch)
        })
    }
}

struct ScanPartition {
    scan: Arc<SqliteScan>,
    rows: RangeInclusive<i64>,
}

impl fmt::Debug for ScanPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, sql) = (&self.scan.database.path, &self.scan.condition.sql);
        write!(f, "{} rows {:?} where {sql}", path.display(), self.rows)
    }
}

impl PartitionStream for ScanPartition {
    fn schema(&self) -> &SchemaRef {
        &self.scan.schema
    }

    fn execute(&self, ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStreamBuilder::new(self.scan.schema.clone(), 2);
        let sender = stream.tx();
        let (scan, rows) = (self.scan.clone(), self.rows.clone());
        let batch = ctx.session_config().batch_size();
        stream.spawn_blocking(move || {
            scan.read(rows, batch, |batch| sender.blocking_send(Ok(batch)).is_ok())
                .map_err(|e| failed(&scan.database, &e))
        });
        stream.build()
    }
}

fn failed(database: &Database, error: &ReadError) -> DataFusionError {
    let path = path_text(&database.path);
    DataFusionError::Execution(format!("{path} is damaged, or cannot be read: {error}"))
}
