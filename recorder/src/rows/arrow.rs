//! Arrow arrays and schemas of the columns of events.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, Int32Array, PrimitiveArray, RunArray,
    StringArray,
};
use arrow::datatypes::{
    DataType, Field, Int32Type, Int64Type, Schema, TimestampNanosecondType, UInt32Type,
};
use arrow::error::ArrowError;
use ctrace_schema::columns::{COLUMNS, Column, Type};
use rustc_hash::FxHashMap;

use crate::rows::runs::{Run, Series};

/// Returns the Arrow schema of encoded batches: the schema of `events`, with dictionaries for text.
pub(crate) fn encoded_schema() -> Schema {
    let field = |c: &Column| {
        let ty = match c.ty {
            Type::Text => {
                DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8))
            }
            other => other.arrow(),
        };
        Field::new(c.name, ty, c.nullable)
    };
    Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>())
}

/// Encodes the values of a column as an Arrow array; `None` for text.
pub(crate) fn array(ty: Type, values: impl Iterator<Item = Option<i64>>) -> Option<ArrayRef> {
    Some(match ty {
        Type::Time => {
            let times: PrimitiveArray<TimestampNanosecondType> = values.collect();
            Arc::new(times.with_timezone("UTC"))
        }
        Type::Int64 => Arc::new(values.collect::<PrimitiveArray<Int64Type>>()),
        Type::Int32 => {
            let values = values.map(|v| v.map(|v| v as i32));
            Arc::new(values.collect::<PrimitiveArray<Int32Type>>())
        }
        Type::UInt32 => Arc::new(unsigned(values)),
        Type::Bool => Arc::new(values.map(|v| v.map(|v| v != 0)).collect::<BooleanArray>()),
        Type::Text => return None,
    })
}

/// Encodes non-negative numbers.
pub(crate) fn unsigned(values: impl Iterator<Item = Option<i64>>) -> PrimitiveArray<UInt32Type> {
    values
        .map(|value| value.map(|value| value as u32))
        .collect()
}

/// Encodes a column with one value per row; `None` if all values are null.
pub(crate) fn field(
    column: &Column,
    series: &Series,
    texts: &[Arc<str>],
) -> Option<(Field, ArrayRef)> {
    if series.nulls() == series.rows() {
        return None;
    }
    let array = per_row(column.ty, series, texts);
    let ty = array.data_type().clone();
    Some((Field::new(column.name, ty, column.nullable), array))
}

/// Encodes the values of a column, one per row.
fn per_row(ty: Type, series: &Series, texts: &[Arc<str>]) -> ArrayRef {
    array(ty, series.iter()).unwrap_or_else(|| dictionary(series, texts))
}

/// Encodes a column as an Arrow run-end array, with one value per run; `None` if all values are null.
pub(crate) fn runs(
    column: &Column,
    series: &Series,
    texts: &[Arc<str>],
) -> Result<Option<(Field, ArrayRef)>, ArrowError> {
    if series.nulls() == series.rows() {
        return Ok(None);
    }
    let mut end = 0;
    let ends = series.runs().iter().map(|run| {
        end += run.rows() as i32;
        end
    });
    let ends = Int32Array::from_iter_values(ends);
    let values: Series = series.runs().iter().map(|run| run.value()).collect();
    let values = per_row(column.ty, &values, texts);
    let array = RunArray::<Int32Type>::try_new(&ends, &values)?;
    let ty = array.data_type().clone();
    Ok(Some((
        Field::new(column.name, ty, column.nullable),
        Arc::new(array),
    )))
}

/// Encodes a column of text as a dictionary that contains each text of the column once.
fn dictionary(series: &Series, texts: &[Arc<str>]) -> ArrayRef {
    let mut ids = FxHashMap::default();
    let mut values = vec![];
    let mut id = |text: i64| {
        *ids.entry(text).or_insert_with(|| {
            values.push(texts.get(text as usize).map_or("", |text| text));
            values.len() as i64 - 1
        })
    };
    let renamed = |run: &Run| Run::new(run.value().map(&mut id), run.rows());
    let renamed: Vec<Run> = series.runs().iter().map(renamed).collect();
    let keys = renamed
        .iter()
        .flat_map(|run| std::iter::repeat_n(run.value(), run.rows()));
    let keys = unsigned(keys);
    Arc::new(DictionaryArray::new(
        keys,
        Arc::new(StringArray::from(values)),
    ))
}
