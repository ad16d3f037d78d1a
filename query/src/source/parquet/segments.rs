//! The Parquet files of recordings as one table, with the name of its file in each row.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use ctrace_schema::columns::Type;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::TableParquetOptions;
use datafusion::common::stats::Precision;
use datafusion::common::{ScalarValue, Statistics, project_schema};
use datafusion::datasource::listing::{ListingTableUrl, PartitionedFile};
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchemaBuilder;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::object_store::ObjectMeta;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;

use crate::source::time_bounds::Bounds;
use crate::source::parquet::footers::{Footer, Footers};
use crate::engine::rollups::Embedded;

/// The name of the column with the name of the file.
pub const RECORDING: &str = "recording";

/// The column with the name of the file.
pub fn recording_field() -> Field {
    Field::new(RECORDING, DataType::Utf8View, false)
}

/// One file.
#[derive(Debug)]
pub struct Segment {
    /// What the column `recording` says.
    pub name: String,
    /// Where it is.
    pub url: ListingTableUrl,
    /// What its store says of it.
    pub object: ObjectMeta,
    /// Its footer.
    pub footer: Arc<Footer>,
    /// What it tells in sum.
    pub rollups: Embedded,
    /// First and last time; worked out when it is asked for.
    pub span: OnceLock<Option<(i64, i64)>>,
}

impl Segment {
    /// First and last time of its events, ns since 1970 UTC; None: its footer does not say.
    pub fn span(&self) -> Result<Option<(i64, i64)>> {
        if let Some(span) = self.span.get() {
            return Ok(*span);
        }
        let time = Schema::new(vec![Field::new("time", Type::Time.arrow(), false)]);
        let footer = self.footer.metadata();
        let known = DFParquetMetadata::statistics_from_parquet_metadata(footer, &Arc::new(time))?;
        let column = &known.column_statistics[0];
        let ends = (instant(&column.min_value), instant(&column.max_value));
        Ok(*self.span.get_or_init(|| ends.0.zip(ends.1)))
    }
}

/// Files in one store, at least one.
#[derive(Debug)]
pub struct Segments {
    store: ObjectStoreUrl,
    segments: Vec<Arc<Segment>>,
    /// Without `recording`.
    files: SchemaRef,
    /// With it, at the end.
    schema: SchemaRef,
}

impl Segments {
    /// `schema` has the column `recording` at its end.
    pub fn new(
        store: ObjectStoreUrl,
        segments: Vec<Arc<Segment>>,
        schema: SchemaRef,
    ) -> Result<Segments> {
        let columns: Vec<usize> = (0..schema.fields().len() - 1).collect();
        Ok(Segments {
            store,
            segments,
            files: Arc::new(schema.project(&columns)?),
            schema,
        })
    }

    /// All of them.
    pub fn all(&self) -> &[Arc<Segment>] {
        &self.segments
    }

    /// The same table of some of them, at least one.
    pub fn only(&self, segments: Vec<Arc<Segment>>) -> Segments {
        Segments {
            store: self.store.clone(),
            segments,
            files: self.files.clone(),
            schema: self.schema.clone(),
        }
    }

    /// What the footer of the segment at `at` says of the values of some columns. Of 50 columns that takes longer than many
    /// a question.
    fn statistics(&self, at: usize, columns: &[usize]) -> Result<Statistics> {
        let footer = self.segments[at].footer.metadata();
        let some = Arc::new(self.files.project(columns)?);
        let mut known = DFParquetMetadata::statistics_from_parquet_metadata(footer, &some)?;
        let mut all = Statistics::unknown_column(&self.files);
        for (column, known) in columns.iter().zip(known.column_statistics) {
            all[*column] = known;
        }
        known.column_statistics = all;
        Ok(known)
    }

    /// The segments that hold events between two times, with what is known of some columns.
    fn matching(&self, bounds: Bounds, columns: &[usize]) -> Result<Vec<PartitionedFile>> {
        let mut files = Vec::new();
        for (at, segment) in self.segments.iter().enumerate() {
            let (start, end) = segment.span()?.unzip();
            if bounds.meets(start, end) {
                let recording = ScalarValue::Utf8View(Some(segment.name.clone()));
                files.push(
                    PartitionedFile::new_from_meta(segment.object.clone())
                        .with_partition_values(vec![recording])
                        .with_statistics(Arc::new(self.statistics(at, columns)?)),
                );
            }
        }
        Ok(files)
    }

    /// The columns of the files that a scan is about.
    fn columns(&self, projection: Option<&Vec<usize>>, filters: &[Expr]) -> Vec<usize> {
        let all = 0..self.files.fields().len();
        let Some(projection) = projection else {
            return all.collect();
        };
        let named = filters.iter().flat_map(Expr::column_refs);
        let named: HashSet<&str> = named.map(|column| column.name.as_str()).collect();
        let is = |at: &usize| {
            projection.contains(at) || named.contains(self.files.field(*at).name().as_str())
        };
        all.filter(is).collect()
    }
}

/// Columns of which a value that is asked for is that of few rows, or of rows that stand together.
const RARE: [&str; 12] = [
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

/// How the files are read. Rows are left out before the other columns are decoded where few are asked for; where many
/// are, that costs more than it saves.
fn options(filters: &[Expr]) -> TableParquetOptions {
    let rare = |filter: &Expr| {
        let column = match filter {
            Expr::BinaryExpr(filter) if filter.op == Operator::Eq => &filter.left,
            Expr::InList(list) if !list.negated => &list.expr,
            _ => return false,
        };
        matches!(&**column, Expr::Column(column) if RARE.contains(&column.name.as_str()))
    };
    let mut options = TableParquetOptions::default();
    options.global.pushdown_filters = filters.iter().flat_map(split_conjunction).any(rare);
    options
}

/// A time of the statistics, ns since 1970 UTC.
fn instant(value: &Precision<ScalarValue>) -> Option<i64> {
    match value.get_value()? {
        ScalarValue::TimestampNanosecond(Some(time), _) => Some(*time),
        _ => None,
    }
}

#[async_trait::async_trait]
impl TableProvider for Segments {
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
        let files = self.matching(Bounds::of(filters), &columns)?;
        if files.is_empty() {
            let schema = project_schema(&self.schema, projection)?;
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let known = files.iter().filter_map(|f| f.statistics.as_deref());
        let statistics = Statistics::try_merge_iter(known, &self.schema)?;
        let footers = self.segments.iter();
        let footers = footers.map(|s| (s.object.location.clone(), s.footer.clone()));
        let footers = Arc::new(Footers::new(footers, !filters.is_empty()));
        let groups = FileGroup::new(files).split_files(session.config().target_partitions());
        let table = TableSchemaBuilder::from(&self.files)
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
