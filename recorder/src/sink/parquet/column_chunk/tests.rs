//! Column chunks that arrow-rs reads back.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::sink::parquet::column::MAX_BOUND_BYTES;
use arrow::array::{ArrayRef, BooleanArray, PrimitiveArray, RecordBatch, StringArray};
use arrow::datatypes::{Field, Int32Type, Int64Type, Schema, TimestampNanosecondType, UInt32Type};
use ctrace_schema::columns::{self, COLUMNS, index};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::writer::SerializedFileWriter;

use super::*;

/// Returns a Parquet file with one column, of the type of the event column `name`.
fn file(name: &str, values: &[Option<i64>], texts: &[Arc<str>], nullable: bool) -> Bytes {
    let column = &COLUMNS[index(name).unwrap()];
    let schema = Schema::new(vec![Field::new(name, column.ty.arrow(), nullable)]);
    let descr = Arc::new(ArrowSchemaConverter::new().convert(&schema).unwrap());
    let root = descr.root_schema_ptr();
    let mut out = SerializedFileWriter::new(vec![], root, Arc::default()).unwrap();
    let series: Series = values.iter().copied().collect();
    let mut encoder = ColumnEncoder::new().unwrap();
    let (bytes, close) = encoder.encode(&series, texts, &descr.column(0)).unwrap();
    let mut group = out.next_row_group().unwrap();
    let bytes = Bytes::copy_from_slice(bytes);
    group.append_column(&bytes, close).unwrap();
    group.close().unwrap();
    out.into_inner().unwrap().into()
}

/// Returns the values as an Arrow array.
fn array(ty: columns::Type, values: &[Option<i64>], texts: &[Arc<str>]) -> ArrayRef {
    let values = values.iter().copied();
    match ty {
        columns::Type::Time => Arc::new(
            values
                .collect::<PrimitiveArray<TimestampNanosecondType>>()
                .with_timezone("UTC"),
        ),
        columns::Type::Int64 => Arc::new(values.collect::<PrimitiveArray<Int64Type>>()),
        columns::Type::Int32 => {
            let values = values.map(|v| v.map(|v| v as i32));
            Arc::new(values.collect::<PrimitiveArray<Int32Type>>())
        }
        columns::Type::UInt32 => {
            let values = values.map(|v| v.map(|v| v as u32));
            Arc::new(values.collect::<PrimitiveArray<UInt32Type>>())
        }
        columns::Type::Bool => {
            Arc::new(values.map(|v| v.map(|v| v != 0)).collect::<BooleanArray>())
        }
        columns::Type::Text => {
            let values = values.map(|v| v.map(|v| &*texts[v as usize]));
            Arc::new(values.collect::<StringArray>())
        }
    }
}

fn round_trip(name: &str, values: &[Option<i64>], texts: &[Arc<str>], nullable: bool) {
    let file = file(name, values, texts, nullable);
    let ty = COLUMNS[index(name).unwrap()].ty;
    for from in [0, values.len() / 2, values.len() - 1] {
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let reader =
            ParquetRecordBatchReaderBuilder::try_new_with_options(file.clone(), options).unwrap();
        let rest = values.len() - from;
        let selection = vec![RowSelector::skip(from), RowSelector::select(rest)];
        let reader = reader.with_batch_size(values.len());
        let mut reader = reader
            .with_row_selection(RowSelection::from(selection))
            .build()
            .unwrap();
        let read: RecordBatch = reader.next().unwrap().unwrap();
        assert_eq!(
            read.column(0),
            &array(ty, &values[from..], texts),
            "{name} from {from}"
        );
    }
}

#[test]
fn all_types_and_run_lengths_round_trip() {
    let texts: Vec<Arc<str>> = (0..3000).map(|i| format!("/usr/lib/{i}").into()).collect();
    // Runs and literals of every length over several pages, the same with nulls between them, and unique values.
    let mixed: Vec<Option<i64>> = (0..70)
        .flat_map(|i| std::iter::repeat_n(Some(i * 37 % 3000), (i * i % 97) as usize))
        .chain((0..50_000).map(|i| Some(i * 7919 % 3000)))
        .collect();
    let nulls: Vec<_> = (0..)
        .zip(&mixed)
        .map(|(i, v)| v.filter(|_| i % 11 > 3))
        .collect();
    let unique_64_bit: Vec<_> = (0..45_000i64)
        .map(|i| Some(i.wrapping_mul(0x9e37_79b9_7f4a_7c15u64 as i64)))
        .collect();
    let signed_32_bit: Vec<_> = unique_64_bit
        .iter()
        .map(|v| v.map(|v| i64::from(v as i32)))
        .collect();
    let unsigned_32_bit: Vec<_> = unique_64_bit
        .iter()
        .map(|v| v.map(|v| i64::from(v as u32)))
        .collect();
    let booleans: Vec<_> = mixed.iter().map(|v| v.map(|v| v & 1)).collect();
    for values in [&mixed, &nulls, &vec![Some(5); 45_000], &vec![None; 45_000]] {
        for name in ["path", "arg0", "pid", "uid", "duration", "seq"] {
            round_trip(name, values, &texts, true);
        }
    }
    for name in ["path", "time", "seq", "arg0"] {
        round_trip(name, &mixed, &texts, false);
    }
    for name in ["ret", "time", "seq"] {
        round_trip(name, &unique_64_bit, &[], true);
    }
    round_trip("child_pid", &signed_32_bit, &[], true);
    round_trip("uid", &unsigned_32_bit, &[], true);
    round_trip("denied", &booleans, &[], true);
    round_trip(
        "path",
        &[Some(0), None, Some(1)],
        &["".into(), "é".into()],
        true,
    );
}

#[test]
fn statistics_bound_the_values() {
    let long: Arc<str> = "z".repeat(100).into();
    let bytes = file(
        "path",
        &[Some(1), Some(0), None],
        &[long.clone(), "b".into(), "a".into()],
        true,
    );
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let group = reader.metadata().row_group(0).column(0).clone();
    let statistics = group.statistics().unwrap();
    assert_eq!(statistics.null_count_opt(), Some(1));
    assert_eq!(statistics.min_bytes_opt().unwrap(), b"b");
    let max = statistics.max_bytes_opt().unwrap();
    assert!(max > long.as_bytes() && max.len() == MAX_BOUND_BYTES && !statistics.max_is_exact());
    let bytes = file(
        "uid",
        &[Some(7), Some(i64::from(u32::MAX)), Some(0)],
        &[],
        true,
    );
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let group = reader.metadata().row_group(0).column(0).clone();
    let statistics = group.statistics().unwrap();
    assert_eq!(statistics.min_bytes_opt().unwrap(), 0u32.to_le_bytes());
    assert_eq!(statistics.max_bytes_opt().unwrap(), u32::MAX.to_le_bytes());
}
