//! The Parquet files of recordings as one table, with values for each file: the name of the file, and its boot.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::TableParquetOptions;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics, project_schema};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetAccessPlan;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchemaBuilder;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;

use crate::source::names::{BOOT_ID, RECORDING};
use crate::source::parquet::file::ParquetFile;
use crate::source::parquet::reader::FooterCache;
use crate::source::parquet::rows::FileRows;
use crate::source::time_bounds::TimeRange;

/// A table of at least one file; all files are in one object store.
#[derive(Debug)]
pub(crate) struct ParquetTable {
    store: ObjectStoreUrl,
    files: Vec<FileRows>,
    columns: Arc<TableColumns>,
}

/// The columns of a table, in the order of DataFusion's scans and in the order of the table.
#[derive(Debug)]
struct TableColumns {
    /// The columns that are read from the files.
    file_schema: SchemaRef,
    /// The columns with one value for each file.
    constants: Vec<FieldRef>,
    /// The columns of `file_schema`, and then `constants`.
    scan_schema: SchemaRef,
    /// The columns of the table.
    schema: SchemaRef,
    /// For each column of the table, its position in `scan_schema`.
    positions: Vec<usize>,
}

impl TableColumns {
    /// Creates the layout of a table with the columns of `schema`. `reads_boot`: `boot_id` is read from the files.
    fn new(schema: SchemaRef, reads_boot: bool) -> TableColumns {
        let is_constant = |field: &FieldRef| match field.name().as_str() {
            RECORDING => true,
            BOOT_ID => !reads_boot,
            _ => false,
        };
        let fields = schema.fields().iter().cloned();
        let (constants, read): (Vec<_>, Vec<_>) = fields.partition(is_constant);
        let all: Vec<_> = read.iter().chain(&constants).cloned().collect();
        let scan_schema = Arc::new(Schema::new(all));
        let position = |field: &FieldRef| scan_schema.index_of(field.name()).unwrap_or_default();
        TableColumns {
            positions: schema.fields().iter().map(position).collect(),
            file_schema: Arc::new(Schema::new(read)),
            constants,
            scan_schema,
            schema,
        }
    }

    /// Returns the values of the constant columns in the rows of a file.
    fn values(&self, file: &ParquetFile) -> Vec<ScalarValue> {
        let constants = self.constants.iter();
        constants.map(|field| file.constant(field.name())).collect()
    }
}

impl ParquetTable {
    /// Creates a table with the columns of `schema`. `reads_boot`: `boot_id` is read from the files; otherwise each
    /// file has one boot.
    pub(crate) fn new(
        store: ObjectStoreUrl,
        files: Vec<FileRows>,
        schema: SchemaRef,
        reads_boot: bool,
    ) -> ParquetTable {
        ParquetTable {
            store,
            files,
            columns: Arc::new(TableColumns::new(schema, reads_boot)),
        }
    }

    pub(crate) fn files(&self) -> &[FileRows] {
        &self.files
    }

    /// Returns whether each file has one boot.
    pub(crate) fn has_constant_boots(&self) -> bool {
        self.columns.file_schema.index_of(BOOT_ID).is_err()
    }

    /// Creates the same table of other files, at least one.
    pub(crate) fn with_files(&self, files: Vec<FileRows>) -> ParquetTable {
        ParquetTable {
            store: self.store.clone(),
            files,
            columns: self.columns.clone(),
        }
    }

    /// Returns the statistics of some columns of a file. Reading those of all columns would take longer than many
    /// queries.
    fn statistics(&self, file: &FileRows, columns: &[usize]) -> Result<Statistics> {
        let file_schema = &self.columns.file_schema;
        let footer = file.file.footer.metadata();
        let projected = Arc::new(file_schema.project(columns)?);
        let mut statistics =
            DFParquetMetadata::statistics_from_parquet_metadata(footer, &projected)?;
        let mut all = Statistics::unknown_column(file_schema);
        for (column, known) in columns.iter().zip(statistics.column_statistics) {
            all[*column] = known;
        }
        statistics.column_statistics = all;
        Ok(match file.selection.is_some() {
            // For some of the rows, the numbers of rows and the extreme values are only bounds.
            true => statistics.to_inexact(),
            false => statistics,
        })
    }

    /// Returns the files with events in a time range, with the statistics of some columns.
    fn matching(&self, range: TimeRange, columns: &[usize]) -> Result<Vec<PartitionedFile>> {
        let mut files = Vec::new();
        for rows in &self.files {
            let (start, end) = rows.file.span()?.unzip();
            if !range.overlaps(start, end) {
                continue;
            }
            let mut file = PartitionedFile::new_from_meta(rows.file.object.clone())
                .with_partition_values(self.columns.values(&rows.file))
                .with_statistics(Arc::new(self.statistics(rows, columns)?));
            correct_nulls(&mut file);
            files.push(match &rows.selection {
                Some(selection) => file.with_extension(ParquetAccessPlan::new(selection.to_vec())),
                None => file,
            });
        }
        Ok(files)
    }

    /// Returns the columns of the files that a scan reads.
    fn columns(&self, projection: Option<&Vec<usize>>, filters: &[Expr]) -> Vec<usize> {
        let TableColumns {
            file_schema,
            schema,
            ..
        } = self.columns.as_ref();
        let all = 0..file_schema.fields().len();
        let Some(projection) = projection else {
            return all.collect();
        };
        let filtered = filters.iter().flat_map(Expr::column_refs);
        let mut read: HashSet<&str> = filtered.map(|column| column.name.as_str()).collect();
        read.extend(
            projection
                .iter()
                .map(|at| schema.field(*at).name().as_str()),
        );
        all.filter(|at| read.contains(file_schema.field(*at).name().as_str()))
            .collect()
    }
}

/// Corrects the statistics of constants that are null, which DataFusion treats as values.
fn correct_nulls(file: &mut PartitionedFile) {
    let Some(statistics) = &mut file.statistics else {
        return;
    };
    let statistics = Arc::make_mut(statistics);
    let rows = statistics.num_rows;
    let values = file.partition_values.iter().rev();
    for (column, value) in statistics.column_statistics.iter_mut().rev().zip(values) {
        if value.is_null() {
            *column = ColumnStatistics {
                null_count: rows,
                ..ColumnStatistics::new_unknown()
            };
        }
    }
}

/// Columns of which one value occurs in few rows, or in rows that follow each other.
const SELECTIVE: [&str; 13] = [
    "seq",
    "container",
    "container_id",
    "comm",
    "exe",
    "pid",
    "tid",
    "path",
    "path_arg",
    "inode",
    "peer_addr",
    "peer_path",
    "dns_name",
];

/// Returns the reader options. If a filter is selective, or the session says that it is, rows are skipped before the other
/// columns are decoded; otherwise that costs more than it saves.
fn options(filters: &[Expr], session: &dyn Session) -> TableParquetOptions {
    let given = session.config_options().execution.parquet.pushdown_filters;
    let is_selective = |filter: &Expr| {
        let column = match filter {
            Expr::BinaryExpr(filter) if filter.op == Operator::Eq => &filter.left,
            Expr::InList(list) if !list.negated => &list.expr,
            _ => return false,
        };
        matches!(&**column, Expr::Column(column) if SELECTIVE.contains(&column.name.as_str()))
    };
    let mut options = TableParquetOptions::default();
    let mut filters = filters.iter().flat_map(split_conjunction);
    options.global.pushdown_filters = given || filters.any(is_selective);
    options
}

#[async_trait::async_trait]
impl TableProvider for ParquetTable {
    fn schema(&self) -> SchemaRef {
        self.columns.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = self.columns(projection, filters);
        let files = self.matching(TimeRange::of_filters(filters), &columns)?;
        let table = self.columns.as_ref();
        if files.is_empty() {
            let schema = project_schema(&table.schema, projection)?;
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let known = files.iter().filter_map(|f| f.statistics.as_deref());
        let statistics = Statistics::try_merge_iter(known, &table.scan_schema)?;
        let footers = self.files.iter().map(|rows| &rows.file);
        let footers = footers.map(|f| (f.object.location.clone(), f.footer.clone()));
        let footers = Arc::new(FooterCache::new(footers, !filters.is_empty()));
        let groups = FileGroup::new(files).split_files(session.config().target_partitions());
        let scanned = TableSchemaBuilder::from(&table.file_schema)
            .with_table_partition_cols(table.constants.clone())
            .build();
        let source = ParquetSource::new(scanned)
            .with_table_parquet_options(options(filters, session))
            .with_parquet_file_reader_factory(footers);
        let projection = match projection {
            Some(projection) => projection.iter().map(|at| table.positions[*at]).collect(),
            None => table.positions.clone(),
        };
        let config = FileScanConfigBuilder::new(self.store.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(Some(projection))?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}
