//! Tables of open files.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use ctrace_schema::columns::COLUMNS;
use datafusion::catalog::TableProvider;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::error::Result;

use crate::source::file::{FileContent, OpenFile};
use crate::source::names::recording_field;
use crate::source::parquet::ParquetTable;
use crate::source::sqlite::SqliteTable;
use crate::source::unclosed;
use crate::source::union::UnionTable;

/// Returns the table `events` of some files: the columns of this build, then those that only a file has, then `recording`.
///
/// # Errors
/// A journal does not have the types of a recording.
pub(crate) fn events_table(files: &[OpenFile]) -> Result<Arc<dyn TableProvider>> {
    let schema = events_schema(files);
    let mut tables: Vec<Arc<dyn TableProvider>> = Vec::new();
    let mut parquet_files = Vec::new();
    let mut store = None;
    for file in files {
        match &file.content {
            FileContent::Parquet(file) => {
                store = Some(file.url.object_store());
                parquet_files.push(file.clone());
            }
            FileContent::Unclosed(file, rows) => {
                tables.push(unclosed::table(rows, &file.name, &schema)?);
                if file.footer.metadata().num_row_groups() > 0 {
                    store = Some(file.url.object_store());
                    parquet_files.push(file.clone());
                }
            }
            FileContent::Sqlite(database) => {
                tables.push(Arc::new(SqliteTable::new(database.clone(), schema.clone())));
            }
        }
    }
    if let Some(store) = store {
        tables.push(Arc::new(ParquetTable::new(store, parquet_files, schema)?));
    }
    Ok(UnionTable::combine(tables))
}

fn events_schema(files: &[OpenFile]) -> SchemaRef {
    let mut fields: Vec<Field> = COLUMNS
        .iter()
        .map(|c| Field::new(c.name, view_type(&c.ty.arrow()), true))
        .collect();
    let recording = recording_field();
    for field in files.iter().flat_map(|f| f.schema.fields()) {
        let is_same = |f: &Field| f.name() == field.name();
        if !fields.iter().any(is_same) && !is_same(&recording) {
            fields.push(Field::new(field.name(), view_type(field.data_type()), true));
        }
    }
    fields.push(recording);
    Arc::new(Schema::new(fields))
}

/// Returns a table of any Parquet file, or of the events of a recording.
///
/// # Errors
/// The errors of [`events_table`].
pub(crate) fn file_table(file: OpenFile) -> Result<Arc<dyn TableProvider>> {
    let fields: Vec<Field> = file
        .schema
        .fields()
        .iter()
        .map(|f| f.as_ref().clone().with_data_type(view_type(f.data_type())))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    match file.content {
        FileContent::Parquet(file) => listing_table(file.url.clone(), schema),
        FileContent::Unclosed(..) => events_table(&[file]),
        FileContent::Sqlite(database) => Ok(Arc::new(SqliteTable::new(database, schema))),
    }
}

fn listing_table(url: ListingTableUrl, schema: SchemaRef) -> Result<Arc<dyn TableProvider>> {
    // No file extension is required: the user named the file.
    let options = ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension("");
    let config = ListingTableConfig::new_with_multi_paths(vec![url])
        .with_listing_options(options)
        .with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(config)?))
}

/// Returns the type that a column is read as: text and binary as views into the decoded pages, which saves a copy.
fn view_type(ty: &DataType) -> DataType {
    match ty {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        other => other.clone(),
    }
}
