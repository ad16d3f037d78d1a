//! Computes the rollups of a recording that this program writes. The recorder computes them while it records.

use std::io::{self, Write};
use std::sync::Arc;

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::compute::{CastOptions, cast_with_options, concat_batches};
use arrow::datatypes::{DataType, IntervalMonthDayNano};
use arrow::ipc::writer::StreamWriter;
use ctrace_format::rollups::{Place, footer_entry};
use ctrace_schema::rollups::{
    EventCondition, Facet, MIN_EVENTS_PER_ROW, N, POSITIVE, ROLLUPS, Rollup, SLASHES, SLICES, Stat,
};
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::functions::datetime::date_bin;
use datafusion::functions::regex::regexp_replace;
use datafusion::functions_aggregate::expr_fn::{count, max, min};
use datafusion::logical_expr::{Expr, lit, when};
use datafusion::prelude::{SessionContext, col};
use parquet::file::metadata::KeyValue;

use crate::engine::{exact_sum, histograms, session_with_functions};
use crate::output::SumProgress;

/// Limit of the rows of a rollup with time slices. The slices are made longer until the rollup has fewer rows. The
/// recorder's limit is half of it, because a recorder has all rollups in memory at once; here they are computed one by
/// one.
const MAX_SLICED_ROWS: usize = 16_384;
/// Limit of the rows of any other rollup.
const MAX_ROWS: usize = 131_072;
/// Limit of the memory for computing a rollup. A rollup that needs more is left out.
const MAX_MEMORY_BYTES: usize = 256 << 20;

/// Writes the rollups of `count` events at offset `at` of a file, and returns the entry of the
/// footer that lists them.
///
/// # Errors
/// The events cannot be read, or the file cannot be written.
pub(crate) async fn write_rollups(
    events: &Arc<dyn TableProvider>,
    count: usize,
    mut at: usize,
    mut write: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<KeyValue> {
    let mut places = vec![];
    let progress = SumProgress::new(ROLLUPS.len());
    for (done, rollup) in ROLLUPS.iter().enumerate() {
        let computing = smallest(rollup, events, count / MIN_EVENTS_PER_ROW);
        let Some((batch, slice)) = progress.during(done, computing).await? else {
            continue;
        };
        let mut stream = StreamWriter::try_new(vec![], &batch.schema())?;
        stream.write(&batch)?;
        let stream = stream.into_inner()?;
        let mut encoder = zstd::Encoder::new(vec![], 3)?;
        // Readers reject a damaged frame by the checksum.
        encoder.include_checksum(true)?;
        encoder.write_all(&stream)?;
        let frame = encoder.finish()?;
        write(&frame)?;
        places.push(Place {
            length: frame.len() as u64,
            name: rollup.name.to_string(),
            offset: at as u64,
            size: stream.len() as u64,
            slice,
        });
        at += frame.len();
    }
    Ok(footer_entry(&places)?)
}

/// Computes the rows of a rollup, and chooses its slice; `None`: there would be more than `max_rows`.
async fn smallest(
    rollup: &Rollup,
    events: &Arc<dyn TableProvider>,
    max_rows: usize,
) -> Result<Option<(RecordBatch, Option<i64>)>> {
    if !rollup.facets.contains(&Facet::Slice) {
        let rows = rows(rollup, events, 1).await?;
        let rows = rows.filter(|rows| rows.num_rows() <= max_rows.min(MAX_ROWS));
        return Ok(rows.map(|rows| (rows, None)));
    }
    for slice in SLICES {
        if let Some(rows) = rows(rollup, events, slice).await?
            && rows.num_rows() <= max_rows.min(MAX_SLICED_ROWS)
        {
            return Ok(Some((rows, Some(slice))));
        }
    }
    Ok(None)
}

/// Computes the rows of a rollup; `None`: they need too much memory, or a sum is beyond 64 bits.
async fn rows(
    rollup: &Rollup,
    events: &Arc<dyn TableProvider>,
    slice: i64,
) -> Result<Option<RecordBatch>> {
    let no_disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_limit(MAX_MEMORY_BYTES, 1.0)
        .with_disk_manager_builder(no_disk)
        .build_arc()?;
    let session = session_with_functions().with_runtime_env(runtime).build();
    let context = SessionContext::new_with_state(session);
    let frame = context.read_table(events.clone())?;
    let frame = match rollup.condition {
        EventCondition::All => frame,
        EventCondition::Present(column) => frame.filter(col(column).is_not_null())?,
        EventCondition::OneOf(column, names) => {
            let names = names.iter().map(|name| lit(*name)).collect();
            frame.filter(col(column).in_list(names, false))?
        }
    };
    let facets = rollup.facets.iter();
    let keys = facets.flat_map(|facet| {
        let columns = facet.columns().iter();
        columns.map(|name| key(*facet, name, slice).alias(*name))
    });
    let measures = rollup.measures.iter();
    let measures = measures.flat_map(|measure| {
        let stats = measure.stats.iter();
        stats.map(|stat| statistic(measure.column, *stat).alias(stat.name(measure.column)))
    });
    let n = count(lit(1i64)).alias(N);
    let frame = frame.aggregate(keys.collect(), std::iter::once(n).chain(measures).collect())?;
    let needs_memory =
        |e: &DataFusionError| matches!(e.find_root(), DataFusionError::ResourcesExhausted(_));
    let batches = match frame.collect().await {
        Err(e) if needs_memory(&e) => return Ok(None),
        other => other?,
    };
    let text = DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8));
    let schema = Arc::new(rollup.schema(&text));
    let strict = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let mut narrow = vec![];
    for batch in &batches {
        let columns = schema.fields().iter().zip(batch.columns());
        let columns =
            columns.map(|(field, column)| cast_with_options(column, field.data_type(), &strict));
        // The columns of rollups have 64 bits. A rollup with a greater sum is left out.
        let Ok(columns) = columns.collect::<Result<_, _>>() else {
            return Ok(None);
        };
        narrow.push(RecordBatch::try_new(schema.clone(), columns)?);
    }
    Ok(Some(concat_batches(&schema, &narrow)?))
}

/// Returns a key column, as an expression over events.
fn key(facet: Facet, column: &str, slice: i64) -> Expr {
    match (facet, column) {
        (Facet::Slice, _) => {
            let length = IntervalMonthDayNano::new(0, 0, slice);
            let length = ScalarValue::IntervalMonthDayNano(Some(length));
            date_bin().call(vec![lit(length), col(column)])
        }
        (Facet::Directory, _) => {
            let directory = format!("(?s)^(([^/]*/){{{SLASHES}}}).*$");
            regexp_replace().call(vec![col(column), lit(directory), lit("$1")])
        }
        (_, "ret") => {
            let mut positive = when(col(column).gt(lit(POSITIVE)), lit(POSITIVE));
            positive.otherwise(col(column)).unwrap_or(col(column))
        }
        _ => col(column),
    }
}

/// Returns a statistic of the values of a column.
fn statistic(column: &str, stat: Stat) -> Expr {
    let column = col(column);
    match stat {
        Stat::Count => count(column),
        Stat::Sum => exact_sum().call(vec![column]),
        Stat::Min => min(column),
        Stat::Max => max(column),
        Stat::Histogram => histograms().call(vec![column]),
    }
}
