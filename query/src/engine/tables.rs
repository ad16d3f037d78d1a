//! The tables of an engine: `events`, the views, `meta`, and files.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use ctrace_common::nearest::question;
use ctrace_schema::columns;
use ctrace_schema::views::{VIEWS, view};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::TableReference;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::sql::parser::Statement;

use crate::engine::error::QueryError;
use crate::engine::materialized::MaterializedView;
use crate::engine::session::Engine;
use crate::engine::sql_error::SqlError;
use crate::engine::types;
use crate::source::{self, EVENTS, META, RECORDING};

impl Engine {
    /// Registers the tables that a statement names. `materialize`: views are computed once, because the statement reads
    /// them repeatedly.
    ///
    /// # Errors
    /// There is no such table, or a recording cannot be read.
    pub(crate) async fn register(
        &self,
        sql: &str,
        statement: &Statement,
        materialize: bool,
    ) -> Result<(), QueryError> {
        let references = self
            .session()
            .state()
            .resolve_table_references(statement)
            .map_err(|e| self.explain(sql, &e))?;
        for reference in references {
            let TableReference::Bare { table } = &reference else {
                return Err(no_table(sql, &reference.to_string()).into());
            };
            let is_function = self
                .session()
                .state()
                .table_functions()
                .contains_key(table.as_ref());
            if is_function || self.session().table_exist(reference.clone())? {
                continue;
            }
            let provider = match self.table(table, materialize).await? {
                Some(provider) => provider,
                None if is_file_name(table) => self.file_table(sql, table).await?,
                None => return Err(no_table(sql, table).into()),
            };
            self.session().register_table(reference, provider)?;
        }
        Ok(())
    }

    /// Creates the table of a file that a statement names like a table.
    async fn file_table(
        &self,
        sql: &str,
        name: &str,
    ) -> Result<Arc<dyn TableProvider>, QueryError> {
        let opened = source::open(self.session(), Path::new(name)).await;
        let opened = opened.map_err(|error| {
            let mut message = match error.is_not_found() {
                true => source::missing_file(Path::new(name)),
                false => error.to_string(),
            };
            if let Some(cause) = std::error::Error::source(&error).filter(|_| !error.is_not_found())
            {
                message = format!("{message}: {cause}");
            }
            SqlError::about(sql, name, message, None)
        })?;
        Ok(source::file_table(opened)?)
    }

    /// Creates the table `name` of the recordings. `materialize`: as [`Engine::register`].
    async fn table(
        &self,
        name: &str,
        materialize: bool,
    ) -> Result<Option<Arc<dyn TableProvider>>, QueryError> {
        if name == EVENTS {
            let files = &self.recordings().await?.files;
            let repeated = self.repeated().await?;
            let Some(news) = self.news() else {
                return Ok(Some(source::events_table(files, repeated)?));
            };
            let table = source::new_events_table(files, repeated, news)?;
            let plan = LogicalPlanBuilder::scan(EVENTS, provider_as_source(table), None)?
                .filter(news.condition())?
                .build()?;
            return Ok(Some(Arc::new(ViewTable::new(plan, None))));
        }
        if name == META {
            return Ok(Some(self.meta_table().await?));
        }
        let Some(view) = view(name) else {
            return Ok(None);
        };
        if name == "links" && !self.session().table_exist("connections")? {
            // The view joins `connections` with itself several times.
            let connections = Box::pin(self.table("connections", true)).await?;
            connections
                .map(|table| self.session().register_table("connections", table))
                .transpose()?;
        }
        let plan = Box::pin(self.plan(view.sql)).await?.into_unoptimized_plan();
        Ok(Some(match materialize {
            true => Arc::new(MaterializedView::new(plan)),
            false => Arc::new(ViewTable::new(plan, Some(view.sql.to_string()))),
        }))
    }

    /// Creates the table `meta`: the metadata of the recordings, one row for each key.
    async fn meta_table(&self) -> Result<Arc<dyn TableProvider>, QueryError> {
        let mut rows = Vec::new();
        for file in &self.recordings().await?.files {
            let pairs = file
                .meta
                .iter()
                .filter(|(key, _)| key.starts_with("ctrace."));
            rows.extend(
                pairs.map(|(key, value)| {
                    [file.path.display().to_string(), key.clone(), value.clone()]
                }),
            );
        }
        let batch = text_batch(["recording", "key", "value"], &rows)?;
        Ok(Arc::new(MemTable::try_new(
            batch.schema(),
            vec![vec![batch]],
        )?))
    }

    /// Describes the columns of a table: name, type and comment.
    ///
    /// # Errors
    /// There is no such table, or a recording cannot be read.
    pub(crate) async fn describe(&self, sql: &str, name: &str) -> Result<DataFrame, QueryError> {
        let quoted = format!("select * from \"{}\"", name.replace('"', "\"\""));
        let frame = match Box::pin(self.plan(&quoted)).await {
            Err(QueryError::Sql(_)) => return Err(no_table(sql, name).into()),
            other => other?,
        };
        let comment = |column: &str| {
            if let Some(view) = view(name) {
                return view.column_comment(column);
            }
            match name {
                EVENTS if column == RECORDING => Some("file that the row is from"),
                EVENTS => columns::index(column).map(|i| columns::COLUMNS[i].comment),
                META => META_COLUMNS
                    .iter()
                    .find(|(c, _)| *c == column)
                    .map(|(_, comment)| *comment),
                _ => None,
            }
        };
        let rows: Vec<_> = frame
            .schema()
            .fields()
            .iter()
            .map(|f| {
                [
                    f.name().clone(),
                    types::name(f.data_type()),
                    comment(f.name()).unwrap_or_default().to_string(),
                ]
            })
            .collect();
        Ok(self
            .session()
            .read_batch(text_batch(["column", "type", "comment"], &rows)?)?)
    }

    /// Lists the tables with their comments.
    ///
    /// # Errors
    /// DataFusion rejects the list.
    pub(crate) fn list_tables(&self) -> Result<DataFrame, QueryError> {
        let row = |name: &str, comment: &str| [name.to_string(), comment.to_string()];
        let mut rows = vec![row(
            EVENTS,
            "everything in the recording, one row for each event",
        )];
        rows.extend(VIEWS.iter().map(|v| row(v.name, v.comment)));
        rows.push(row(META, "metadata of the recording"));
        Ok(self
            .session()
            .read_batch(text_batch(["table", "comment"], &rows)?)?)
    }
}

const META_COLUMNS: &[(&str, &str)] = &[
    ("recording", "file"),
    ("key", "name, such as ctrace.host"),
    ("value", "value, as text"),
];

/// Returns whether a name that is not a table names a file.
pub(crate) fn is_file_name(name: &str) -> bool {
    name.contains(['/', '.']) || Path::new(name).exists()
}

fn no_table(sql: &str, name: &str) -> SqlError {
    let names = VIEWS.iter().map(|v| v.name).chain([EVENTS, META]);
    let help = question(name, names.clone()).unwrap_or_else(|| {
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        let names = names.join(", ");
        format!("There are {names}, and files, as in `from 'run.parquet'`.")
    });
    SqlError::about(sql, name, format!("there is no table `{name}`"), Some(help))
}

/// Creates a batch of text columns.
fn text_batch<const N: usize>(
    names: [&str; N],
    rows: &[[String; N]],
) -> Result<RecordBatch, DataFusionError> {
    let fields: Vec<_> = names
        .iter()
        .map(|n| Field::new(*n, DataType::Utf8, false))
        .collect();
    let columns =
        (0..N).map(|i| Arc::new(StringArray::from_iter_values(rows.iter().map(|r| &r[i]))) as _);
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns.collect(),
    )?)
}
