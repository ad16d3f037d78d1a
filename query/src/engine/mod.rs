//! Runs SQL over recordings: opens what a statement names and nothing else, and writes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use chrono::DateTime;
use ctrace_schema::columns;
use ctrace_schema::views::{VIEWS, view};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::TableReference;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::ViewTable;
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::optimizer::OptimizerRule;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{ShowStatementOptions, Statement as Sql};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::engine::materialized::Kept;
use crate::output::say;
use crate::engine::rollups::UseRollups;
use crate::source::{self, Recordings, SourceError};
use crate::engine::sql_error::{SqlError, nearest, plain};
use crate::engine::one_heap::OneHeap;
use crate::questions::window::Span;
use crate::{functions, headers, missing, types};

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Sql(#[from] SqlError),
    #[error("{0}")]
    Run(String),
}

impl From<DataFusionError> for AskError {
    fn from(error: DataFusionError) -> Self {
        AskError::Run(plain(&error))
    }
}

/// The recordings and the session that reads them.
pub struct Engine {
    ctx: SessionContext,
    cores: usize,
    given: Vec<PathBuf>,
    /// The only events that there are: those with a greater `seq` than the first, up to the second.
    part: Option<(i64, i64)>,
    rollups: bool,
    recordings: OnceCell<Recordings>,
    span: OnceCell<Span>,
    /// Whether it was said of recordings that they were not closed.
    told: bool,
}

/// Rows to a batch: with DataFusion's 8,192, grouping by text takes up to a third longer.
const BATCH: usize = 32_768;
/// The name of the table of metadata.
pub const META: &str = "meta";
/// The name of the table of events.
pub const EVENTS: &str = "events";

impl Engine {
    /// An engine for `given` recordings; none means those that [`Recordings::open`] finds. Opens nothing yet.
    pub fn new(given: Vec<PathBuf>, cores: usize) -> Self {
        let mut config = SessionConfig::new()
            .with_target_partitions(cores)
            .with_batch_size(BATCH);
        config.options_mut().sql_parser.collect_spans = true;
        // Beside filters that are pushed into scans, what a sort with a limit has seen so far takes rows away that belong
        // to the answer (apache/datafusion#24352).
        config
            .options_mut()
            .optimizer
            .enable_topk_dynamic_filter_pushdown = false;
        let state = SessionStateBuilder::new_with_default_features()
            .with_config(config)
            .with_physical_optimizer_rule(Arc::new(OneHeap))
            .build();
        let ctx = SessionContext::new_with_state(state);
        ctx.add_optimizer_rule(Arc::new(UseRollups));
        functions::register(&ctx);
        Engine {
            ctx,
            cores,
            given,
            part: None,
            rollups: true,
            recordings: OnceCell::new(),
            span: OnceCell::new(),
            told: false,
        }
    }

    /// Another engine, which opens the same recordings as they are then; of a directory or a pattern also those that have
    /// come since.
    pub fn again(&self) -> Self {
        let found = self.opened().filter(|recordings| recordings.found);
        let given = match found {
            Some(found) => found.files.iter().map(|f| f.path.clone()).collect(),
            None => self.given.clone(),
        };
        let again = Engine {
            told: self.told || self.opened().is_some(),
            ..Engine::new(given, self.cores)
        };
        match self.rollups {
            true => again,
            false => again.without_rollups(),
        }
    }

    /// The same, without what recordings tell in sum: every answer is made from the events themselves.
    pub fn without_rollups(mut self) -> Self {
        self.ctx.remove_optimizer_rule(UseRollups.name());
        self.rollups = false;
        self
    }

    /// The same, for one who knows what warnings would say of the recordings.
    pub fn without_warnings(mut self) -> Self {
        self.told = true;
        self
    }

    /// How many threads it may use.
    pub fn cores(&self) -> usize {
        self.cores
    }

    /// The same, of the events alone that finished after the one numbered `after`, up to `last`.
    pub fn between(mut self, after: i64, last: i64) -> Self {
        self.part = Some((after, last));
        self
    }

    /// The session, with the tables that statements have named so far.
    pub fn session(&self) -> &SessionContext {
        &self.ctx
    }

    /// A plan as DataFusion makes it good, with the scans of the events that the statement is about.
    ///
    /// # Errors
    /// That it cannot be.
    pub fn optimized(&self, plan: &LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
        let ctx = SessionContext::new_with_state(self.ctx.state());
        ctx.remove_optimizer_rule(UseRollups.name());
        ctx.state().optimize(plan)
    }

    /// The recordings, if a statement has named a table of theirs.
    pub fn opened(&self) -> Option<&Recordings> {
        self.recordings.get()
    }

    /// The recordings; opened on first use.
    ///
    /// # Errors
    /// As [`Recordings::open`].
    pub async fn recordings(&self) -> Result<&Recordings, SourceError> {
        self.recordings
            .get_or_try_init(async || {
                let opened = Recordings::open(&self.ctx, &self.given).await?;
                if opened.found {
                    say("reading", &opened.files[0].path.display().to_string());
                }
                if !self.told {
                    opened.unclosed().for_each(|text| say("warning", &text));
                }
                Ok(opened)
            })
            .await
    }

    /// First and last instant of the recordings.
    ///
    /// # Errors
    /// That they cannot be read.
    pub async fn span(&self) -> Result<Span, AskError> {
        let found = self.span.get_or_try_init(|| self.find_span());
        found.await.copied()
    }

    async fn find_span(&self) -> Result<Span, AskError> {
        let (start, end) = match self.recordings().await?.span() {
            Some(span) => span,
            None => {
                let sql = "select cast(min(time) as bigint), cast(max(time) as bigint) from events";
                let batches = self.plan(sql).await?.collect().await?;
                let column = |i: usize| {
                    let column = batches.first()?.column(i).as_primitive_opt::<Int64Type>()?;
                    column.iter().next().flatten()
                };
                (column(0).unwrap_or(0), column(1).unwrap_or(0))
            }
        };
        Ok(Span {
            start: DateTime::from_timestamp_nanos(start),
            end: DateTime::from_timestamp_nanos(end),
        })
    }

    /// Plans one statement.
    ///
    /// # Errors
    /// What is wrong with it and where; that it would write; or that a recording that it names cannot be read.
    pub async fn plan(&self, sql: &str) -> Result<DataFrame, AskError> {
        let located = |e: DataFusionError| AskError::Sql(self.explain(sql, &e));
        let mut statement = parse(&self.ctx, sql).map_err(located)?;
        if !is_query(&statement) {
            return Err(writes(sql).into());
        }
        if let Statement::Statement(inner) = &statement {
            match inner.as_ref() {
                Sql::ExplainTable { table_name, .. } => {
                    let name = table_name.0.last().and_then(|part| part.as_ident());
                    let name = name.map(|ident| ident.value.clone()).unwrap_or_default();
                    return self.describe(sql, &name).await;
                }
                Sql::ShowTables { show_options, .. } if plain_show(show_options) => {
                    return self.list();
                }
                _ => {}
            }
        }
        let recursive = matches!(&statement, Statement::Statement(s)
            if matches!(s.as_ref(), Sql::Query(q) if q.with.as_ref().is_some_and(|w| w.recursive)));
        self.register(sql, &statement, recursive).await?;
        headers::name(&mut statement);
        self.expand(sql, &mut statement).await?;
        let state = self.ctx.state();
        let plan = state.statement_to_plan(statement).await.map_err(located)?;
        read_only(sql, &plan)?;
        Ok(DataFrame::new(state, plan))
    }

    /// Writes out the functions that need to know the recordings.
    async fn expand(&self, sql: &str, statement: &mut Statement) -> Result<(), AskError> {
        let uses = functions::uses(statement);
        if uses == functions::Uses::default() {
            return Ok(());
        }
        let end = match uses.ago {
            true => Box::pin(self.span()).await?.end,
            false => DateTime::UNIX_EPOCH,
        };
        let machines = self.opened().map(Recordings::machines).unwrap_or_default();
        let end = end.timestamp_nanos_opt().unwrap_or(i64::MAX);
        functions::expand(statement, &json!(machines).to_string(), end).map_err(|misused| {
            let message = format!("`{}` is not used like this", misused.name);
            let help = Some(misused.usage.to_string());
            SqlError::about(sql, misused.name, message, help).into()
        })
    }

    /// The names of all functions, sorted: the first of equally near names is suggested, which should always be the same.
    pub fn functions(&self) -> Vec<String> {
        let state = self.ctx.state();
        let names = state.scalar_functions().keys();
        let names = names
            .chain(state.aggregate_functions().keys())
            .chain(state.window_functions().keys());
        let mut names: Vec<String> = names.cloned().collect();
        names.sort_unstable();
        names
    }

    /// What DataFusion says about a statement, with its place.
    pub fn explain(&self, sql: &str, error: &DataFusionError) -> SqlError {
        let names = self.functions();
        SqlError::from_datafusion(sql, error, &names)
    }

    /// Registers the tables that a statement names: `events`, views, `meta`, and files.
    async fn register(&self, sql: &str, statement: &Statement, keep: bool) -> Result<(), AskError> {
        let references = self
            .ctx
            .state()
            .resolve_table_references(statement)
            .map_err(|e| self.explain(sql, &e))?;
        for reference in references {
            let TableReference::Bare { table } = &reference else {
                return Err(no_table(sql, &reference.to_string()).into());
            };
            let function = self
                .ctx
                .state()
                .table_functions()
                .contains_key(table.as_ref());
            if function || self.ctx.table_exist(reference.clone())? {
                continue;
            }
            let provider = match self.known(table, keep).await? {
                Some(provider) => provider,
                None if is_file_name(table) => self.file(sql, table).await?,
                None => return Err(no_table(sql, table).into()),
            };
            self.ctx.register_table(reference, provider)?;
        }
        Ok(())
    }

    /// A file that stands where a table does.
    async fn file(&self, sql: &str, name: &str) -> Result<Arc<dyn TableProvider>, AskError> {
        let opened = source::open(&self.ctx, Path::new(name)).await;
        let opened = opened.map_err(|error| {
            let mut message = match error.is_gone() {
                true => missing::sentence(Path::new(name)),
                false => error.to_string(),
            };
            if let Some(cause) = std::error::Error::source(&error).filter(|_| !error.is_gone()) {
                message = format!("{message}: {cause}");
            }
            SqlError::about(sql, name, message, None)
        })?;
        Ok(opened.table()?)
    }

    /// The table `name` of the recordings. `keep`: the statement is recursive and would work a view out at each turn.
    async fn known(
        &self,
        name: &str,
        keep: bool,
    ) -> Result<Option<Arc<dyn TableProvider>>, AskError> {
        if name == EVENTS {
            let table = self.recordings().await?.table()?;
            let Some((after, last)) = self.part else {
                return Ok(Some(table));
            };
            let seq = || datafusion::prelude::col("seq");
            let plan = LogicalPlanBuilder::scan(EVENTS, provider_as_source(table), None)?
                .filter(seq().gt(lit(after)).and(seq().lt_eq(lit(last))))?
                .build()?;
            return Ok(Some(Arc::new(ViewTable::new(plan, None))));
        }
        if name == META {
            return Ok(Some(self.metadata().await?));
        }
        let Some(view) = view(name) else {
            return Ok(None);
        };
        if name == "links" && !self.ctx.table_exist("connections")? {
            // It joins them with themselves, again and again.
            let connections = Box::pin(self.known("connections", true)).await?;
            connections
                .map(|table| self.ctx.register_table("connections", table))
                .transpose()?;
        }
        let plan = Box::pin(self.plan(view.sql)).await?.into_unoptimized_plan();
        Ok(Some(match keep {
            true => Arc::new(Kept::new(plan)),
            false => Arc::new(ViewTable::new(plan, Some(view.sql.to_string()))),
        }))
    }

    /// The table `meta`: what the footers say about the recordings, one row for each key.
    async fn metadata(&self) -> Result<Arc<dyn TableProvider>, AskError> {
        let mut rows = Vec::new();
        for file in &self.recordings().await?.files {
            let ours = file
                .meta
                .iter()
                .filter(|(key, _)| key.starts_with("ctrace."));
            rows.extend(
                ours.map(|(key, value)| {
                    [file.path.display().to_string(), key.clone(), value.clone()]
                }),
            );
        }
        let batch = texts(["recording", "key", "value"], &rows)?;
        Ok(Arc::new(MemTable::try_new(
            batch.schema(),
            vec![vec![batch]],
        )?))
    }

    /// The columns of a table, with their types and what they mean.
    async fn describe(&self, sql: &str, name: &str) -> Result<DataFrame, AskError> {
        let quoted = format!("select * from \"{}\"", name.replace('"', "\"\""));
        let frame = match Box::pin(self.plan(&quoted)).await {
            Err(AskError::Sql(_)) => return Err(no_table(sql, name).into()),
            other => other?,
        };
        let comment = |column: &str| {
            if let Some(view) = view(name) {
                return view.column_comment(column);
            }
            match name {
                EVENTS if column == "recording" => Some("file that the row is from"),
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
            .ctx
            .read_batch(texts(["column", "type", "comment"], &rows)?)?)
    }

    /// The tables, and what they hold.
    fn list(&self) -> Result<DataFrame, AskError> {
        let row = |name: &str, comment: &str| [name.to_string(), comment.to_string()];
        let mut rows = vec![row(
            EVENTS,
            "everything in the recording, one row for each event",
        )];
        rows.extend(VIEWS.iter().map(|v| row(v.name, v.comment)));
        rows.push(row(META, "what the recording says about itself"));
        Ok(self.ctx.read_batch(texts(["table", "comment"], &rows)?)?)
    }
}

const META_COLUMNS: &[(&str, &str)] = &[
    ("recording", "file"),
    ("key", "name, such as ctrace.host"),
    ("value", "value, as text"),
];

fn plain_show(options: &ShowStatementOptions) -> bool {
    options.show_in.is_none() && options.filter_position.is_none()
}

fn parse(ctx: &SessionContext, sql: &str) -> Result<Statement, DataFusionError> {
    let state = ctx.state();
    let dialect = state.config_options().sql_parser.dialect;
    state.sql_to_statement(sql, &dialect)
}

/// Whether a statement asks and does nothing else. What it asks may still write: see [`read_only`].
fn is_query(statement: &Statement) -> bool {
    match statement {
        Statement::Statement(inner) => matches!(
            inner.as_ref(),
            Sql::Query(_) | Sql::Explain { .. } | Sql::ExplainTable { .. } | Sql::ShowTables { .. }
        ),
        Statement::Explain(_) => true,
        _ => false,
    }
}

/// Refuses what would write. A recording is read-only, and a statement may come from a stranger.
fn read_only(sql: &str, plan: &LogicalPlan) -> Result<(), SqlError> {
    let options = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    options.verify_plan(plan).map_err(|_| writes(sql))
}

fn writes(sql: &str) -> SqlError {
    let word = sql.split_whitespace().next().unwrap_or_default();
    SqlError {
        message: format!(
            "`{} ...` is not allowed: ctrace-query only reads",
            word.to_lowercase()
        ),
        help: Some(
            "To keep an answer, use `--output FILE` with `--format`, such as `--format parquet`."
                .into(),
        ),
        place: None,
    }
}

/// Whether a name that is no table stands for a file.
fn is_file_name(name: &str) -> bool {
    name.contains(['/', '.']) || Path::new(name).exists()
}

fn no_table(sql: &str, name: &str) -> SqlError {
    let names = VIEWS.iter().map(|v| v.name).chain([EVENTS, META]);
    let help = match nearest(name, names.clone()) {
        Some(near) => format!("Did you mean `{near}`?"),
        None => {
            let mut names: Vec<_> = names.collect();
            names.sort_unstable();
            format!(
                "There are {}, and files, as in `from 'run.parquet'`.",
                names.join(", ")
            )
        }
    };
    SqlError::about(sql, name, format!("there is no table `{name}`"), Some(help))
}

/// A batch of text columns.
fn texts<const N: usize>(
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
