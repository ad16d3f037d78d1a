//! Events in the order of time, without sorting all of them: slice of time by slice of time.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use datafusion::common::ScalarValue;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, SessionStateBuilder};
use datafusion::logical_expr::lit;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::prelude::col;
use futures::StreamExt;

use crate::engine::collect::apart;
use crate::engine::error::QueryError;
use crate::engine::session::Engine;
use crate::source::time_slices;

/// Number of rows that are read and sorted at once.
const SLICE_ROWS: u64 = 65_536;
/// Number of batches that are read ahead of the consumer.
const PREFETCHED_BATCHES: usize = 4;

impl Engine {
    /// Returns some columns of the events that pass a condition and began from `from` to `to`, both included and in ns since
    /// 1970 UTC, sorted by `time` and `seq`. `columns` is SQL, and contains both. The first rows come as soon as a short
    /// first slice of the time has been read, and the memory does not grow with the recordings.
    ///
    /// # Errors
    /// The condition is wrong, or a recording cannot be read.
    pub(crate) async fn in_order(
        &self,
        columns: &str,
        condition: &str,
        span: (i64, i64),
    ) -> Result<SendableRecordBatchStream, QueryError> {
        let sql = format!("select {columns} from events where {condition}");
        let order = ["time", "seq"].map(|name| col(name).sort(true, false));
        let sorted = move |slice: DataFrame| slice.sort(order.to_vec());
        self.slices(&sql, span, sorted).await
    }

    /// Returns the events of [`Engine::in_order`] with all columns. Only slices of time follow each other; the events of a
    /// slice are not sorted.
    ///
    /// # Errors
    /// As [`Engine::in_order`].
    pub(crate) async fn in_slices(
        &self,
        condition: &str,
        span: (i64, i64),
    ) -> Result<SendableRecordBatchStream, QueryError> {
        let sql = format!("select * from events where {condition}");
        self.slices(&sql, span, Ok).await
    }

    /// Returns a reader of some columns of the events that pass a condition, for slices of time in any order. `columns` is SQL,
    /// and contains `time` and `seq`.
    ///
    /// # Errors
    /// The condition is wrong, or a recording cannot be opened.
    pub(crate) async fn slice_reader(
        &self,
        columns: &str,
        condition: &str,
    ) -> Result<SliceReader, QueryError> {
        let sql = format!("select {columns} from events where {condition}");
        Ok(SliceReader {
            frame: selective(self.plan(&sql).await?),
        })
    }

    /// Divides a span of time into slices of about `rows` events.
    ///
    /// # Errors
    /// A recording cannot be opened.
    pub(crate) async fn time_slices(
        &self,
        (from, to): (i64, i64),
        rows: u64,
    ) -> Result<Vec<(i64, i64)>, QueryError> {
        Ok(time_slices(&self.recordings().await?.files, from, to, rows))
    }

    /// Returns the rows of each slice of a span of time, changed by `prepare`.
    async fn slices(
        &self,
        sql: &str,
        (from, to): (i64, i64),
        prepare: impl Fn(DataFrame) -> Result<DataFrame, DataFusionError> + Send + 'static,
    ) -> Result<SendableRecordBatchStream, QueryError> {
        let frame = selective(self.plan(sql).await?);
        let files = &self.recordings().await?.files;
        let slices = time_slices(files, from, to, SLICE_ROWS);
        let schema = frame.schema().inner().clone();
        let mut rows = RecordBatchReceiverStream::builder(schema, PREFETCHED_BATCHES);
        let sender = rows.tx();
        rows.spawn(async move {
            for slice in slices {
                let slice = prepare(of_slice(&frame, slice)?)?;
                let mut batches = slice.execute_stream().await?;
                while let Some(batch) = batches.next().await {
                    // The reader is gone.
                    if sender.send(batch).await.is_err() {
                        return Ok(());
                    }
                }
            }
            Ok(())
        });
        Ok(rows.build())
    }
}

/// Reads events of a slice of time. A reader is cheap to copy, and reads on any thread.
#[derive(Clone)]
pub(crate) struct SliceReader {
    frame: DataFrame,
}

/// The end of a slice from which events are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SliceEnd {
    First,
    Last,
}

impl SliceReader {
    /// Returns at most `limit` events at one end of the time from `slice.0` to `slice.1`, both included and in ns since 1970
    /// UTC, sorted by `time` and `seq`; from the last event on if that end is taken. Another task reads them; if the future is
    /// dropped, that ends.
    ///
    /// # Errors
    /// A recording cannot be read.
    pub(crate) async fn read(
        &self,
        slice: (i64, i64),
        end: SliceEnd,
        limit: usize,
    ) -> Result<RecordBatch, QueryError> {
        let ascending = end == SliceEnd::First;
        let order = ["time", "seq"].map(|name| col(name).sort(ascending, false));
        let frame = self.frame.clone();
        let read = async move {
            let rows = of_slice(&frame, slice)?.sort(order.to_vec())?;
            let rows = rows.limit(0, Some(limit))?;
            let schema = rows.schema().inner().clone();
            let batches = rows.collect().await?;
            let schema = batches.first().map_or(schema, RecordBatch::schema);
            Ok(concat_batches(&schema, &batches)?)
        };
        Ok(apart(read).await?)
    }
}

/// Returns the same rows, for filters that select few rows of each row group: those of a slice of time are among others.
fn selective(frame: DataFrame) -> DataFrame {
    let (state, plan) = frame.into_parts();
    let mut config = state.config().clone();
    config.options_mut().execution.parquet.pushdown_filters = true;
    let state = SessionStateBuilder::new_from_existing(state).with_config(config);
    DataFrame::new(state.build(), plan)
}

/// Returns the rows of a slice of time.
fn of_slice(frame: &DataFrame, (first, last): (i64, i64)) -> Result<DataFrame, DataFusionError> {
    let time = |ns| {
        lit(ScalarValue::TimestampNanosecond(
            Some(ns),
            Some("UTC".into()),
        ))
    };
    let starts = col("time").gt_eq(time(first));
    frame
        .clone()
        .filter(starts.and(col("time").lt_eq(time(last))))
}
