//! The Parquet files of recordings as one table, with the name of its file in each row.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::TableParquetOptions;
use datafusion::common::{ScalarValue, Statistics, project_schema};
use datafusion::datasource::listing::PartitionedFile;
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

use crate::source::names::recording_field;
use crate::source::parquet::file::ParquetFile;
use crate::source::parquet::reader::FooterCache;
use crate::source::time_bounds::TimeRange;

/// A table of at least one file; all files are in one object store.
#[derive(Debug)]
pub(crate) struct ParquetTable {
    store: ObjectStoreUrl,
    files: Vec<Arc<ParquetFile>>,
    /// The columns of the files, without `recording`.
    file_schema: SchemaRef,
    /// The columns of the table, with `recording` at the end.
    schema: SchemaRef,
}

impl ParquetTable {
    /// Creates a table of files. `schema` has the column `recording` at its end.
    ///
    /// # Errors
    /// `schema` has no columns.
    pub(crate) fn new(
        store: ObjectStoreUrl,
        files: Vec<Arc<ParquetFile>>,
        schema: SchemaRef,
    ) -> Result<ParquetTable> {
        let columns: Vec<usize> = (0..schema.fields().len() - 1).collect();
        Ok(ParquetTable {
            store,
            files,
            file_schema: Arc::new(schema.project(&columns)?),
            schema,
        })
    }

    pub(crate) fn files(&self) -> &[Arc<ParquetFile>] {
        &self.files
    }

    /// Creates the same table of other files, at least one.
    pub(crate) fn with_files(&self, files: Vec<Arc<ParquetFile>>) -> ParquetTable {
        ParquetTable {
            store: self.store.clone(),
            files,
            file_schema: self.file_schema.clone(),
            schema: self.schema.clone(),
        }
    }

    /// Returns the statistics of some columns of a file. Reading those of all columns would take longer than many
    /// queries.
    fn statistics(&self, file: &ParquetFile, columns: &[usize]) -> Result<Statistics> {
        let footer = file.footer.metadata();
        let projected = Arc::new(self.file_schema.project(columns)?);
        let mut statistics =
            DFParquetMetadata::statistics_from_parquet_metadata(footer, &projected)?;
        let mut all = Statistics::unknown_column(&self.file_schema);
        for (column, known) in columns.iter().zip(statistics.column_statistics) {
            all[*column] = known;
        }
        statistics.column_statistics = all;
        Ok(statistics)
    }

    /// Returns the files with events in a time range, with the statistics of some columns.
    fn matching(&self, range: TimeRange, columns: &[usize]) -> Result<Vec<PartitionedFile>> {
        let mut files = Vec::new();
        for file in &self.files {
            let (start, end) = file.span()?.unzip();
            if range.overlaps(start, end) {
                let recording = ScalarValue::Utf8View(Some(file.name.clone()));
                files.push(
                    PartitionedFile::new_from_meta(file.object.clone())
                        .with_partition_values(vec![recording])
                        .with_statistics(Arc::new(self.statistics(file, columns)?)),
                );
            }
        }
        Ok(files)
    }

    /// Returns the columns of the files that a scan reads.
    fn columns(&self, projection: Option<&Vec<usize>>, filters: &[Expr]) -> Vec<usize> {
        let all = 0..self.file_schema.fields().len();
        let Some(projection) = projection else {
            return all.collect();
        };
        let filtered = filters.iter().flat_map(Expr::column_refs);
        let filtered: HashSet<&str> = filtered.map(|column| column.name.as_str()).collect();
        let is_read = |at: &usize| {
            projection.contains(at)
                || filtered.contains(self.file_schema.field(*at).name().as_str())
        };
        all.filter(is_read).collect()
    }
}

/// Columns of which one value occurs in few rows, or in rows that follow each other.
const SELECTIVE: [&str; 12] = [
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

/// Returns the reader options. If a filter is selective, rows are skipped before the other columns are decoded;
/// otherwise that costs more than it saves.
fn options(filters: &[Expr]) -> TableParquetOptions {
    let is_selective = |filter: &Expr| {
        let column = match filter {
            Expr::BinaryExpr(filter) if filter.op == Operator::Eq => &filter.left,
            Expr::InList(list) if !list.negated => &list.expr,
            _ => return false,
        };
        matches!(&**column, Expr::Column(column) if SELECTIVE.contains(&column.name.as_str()))
    };
    let mut options = TableParquetOptions::default();
    options.global.pushdown_filters = filters.iter().flat_map(split_conjunction).any(is_selective);
    options
}

#[async_trait::async_trait]
impl TableProvider for ParquetTable {
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
        if files.is_empty() {
            let schema = project_schema(&self.schema, projection)?;
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let known = files.iter().filter_map(|f| f.statistics.as_deref());
        let statistics = Statistics::try_merge_iter(known, &self.schema)?;
        let footers = self.files.iter();
        let footers = footers.map(|f| (f.object.location.clone(), f.footer.clone()));
        let footers = Arc::new(FooterCache::new(footers, !filters.is_empty()));
        let groups = FileGroup::new(files).split_files(session.config().target_partitions());
        let table = TableSchemaBuilder::from(&self.file_schema)
            .with_table_partition_cols(vec![Arc::new(recording_field())])
            .build();
        let source = ParquetSource::new(table)
            .with_table_parquet_options(options(filters))
            .with_parquet_file_reader_factory(footers);
        let config = FileScanConfigBuilder::new(self.store.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}
