//! Tables of open files.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use ctrace_schema::columns::COLUMNS;
use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::error::Result;

use crate::source::boot::FileBoot;
use crate::source::file::{FileContent, OpenFile};
use crate::source::names::recording_field;
use crate::source::news::News;
use crate::source::parquet::{FileRows, ParquetTable};
use crate::source::repeated::Repeated;
use crate::source::row_set::RowSet;
use crate::source::sqlite::SqliteTable;
use crate::source::unclosed;
use crate::source::union::UnionTable;

/// Returns the table `events` of some files without the rows `repeated`: the columns of this build, then those that
/// only a file has, then `recording`.
///
/// # Errors
/// A journal does not have the types of a recording.
pub(crate) fn events_table(
    files: &[OpenFile],
    repeated: &Repeated,
) -> Result<Arc<dyn TableProvider>> {
    table(files, repeated, |_| true, true)
}

/// Returns the table of [`events_table`] for the files with new rows only.
///
/// # Errors
/// As [`events_table`].
pub(crate) fn new_events_table(
    files: &[OpenFile],
    repeated: &Repeated,
    news: &News,
) -> Result<Arc<dyn TableProvider>> {
    table(
        files,
        repeated,
        |file| news.is_in(file),
        news.has_alive_rows,
    )
}

fn table(
    files: &[OpenFile],
    repeated: &Repeated,
    is_read: impl Fn(&OpenFile) -> bool,
    has_alive_rows: bool,
) -> Result<Arc<dyn TableProvider>> {
    let schema = events_schema(files);
    let mut tables: Vec<Arc<dyn TableProvider>> = Vec::new();
    let (mut one_boot, mut several_boots) = (vec![], vec![]);
    let mut store = None;
    for (number, file) in files.iter().enumerate().filter(|(_, file)| is_read(file)) {
        let left_out = repeated.of_file(number);
        let parquet = match &file.content {
            FileContent::Parquet(file) => file,
            FileContent::Unclosed(file, rows) => {
                tables.push(unclosed::table(rows, file, &left_out.journal, &schema)?);
                file
            }
            FileContent::Sqlite(database) => {
                let ids = left_out.ids.clone();
                tables.push(Arc::new(SqliteTable::new(
                    database.clone(),
                    schema.clone(),
                    ids,
                )));
                continue;
            }
        };
        store = Some(parquet.url.object_store());
        // A file without row groups has the columns of a recording too, if it is closed.
        let is_empty = parquet.footer.metadata().num_row_groups() == 0;
        if is_empty && matches!(file.content, FileContent::Unclosed(..)) {
            continue;
        }
        let rows = match left_out.groups.is_empty() {
            true => Some(FileRows::all(parquet.clone())),
            false => FileRows::without(parquet.clone(), &left_out.groups),
        };
        let rows = match has_alive_rows {
            true => rows,
            false => rows.and_then(|rows| rows.own_rows()),
        };
        match parquet.boot {
            FileBoot::One(_) => one_boot.extend(rows),
            FileBoot::Column => several_boots.extend(rows),
        }
    }
    for (rows, reads_boot) in [(one_boot, false), (several_boots, true)] {
        if let Some(store) = store.clone().filter(|_| !rows.is_empty()) {
            let table = ParquetTable::new(store, rows, schema.clone(), reads_boot);
            tables.push(Arc::new(table));
        }
    }
    if tables.is_empty() {
        tables.push(Arc::new(EmptyTable::new(schema)));
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
        FileContent::Unclosed(..) => events_table(&[file], &Repeated::default()),
        FileContent::Sqlite(database) => {
            let none = RowSet::default();
            Ok(Arc::new(SqliteTable::new(database, schema, none)))
        }
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
