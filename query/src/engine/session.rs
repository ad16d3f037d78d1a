//! The engine: a DataFusion session with the functions, rules and tables of this program.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use chrono::DateTime;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::OptimizerRule;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{ShowStatementOptions, Statement as Sql};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::engine::column_names;
use crate::engine::error::QueryError;
use crate::engine::functions;
use crate::engine::one_heap::OneHeap;
use crate::engine::rollups::UseRollups;
use crate::engine::sql_error::SqlError;
use crate::source::{News, Recordings, Repeated, SeenFiles, SourceError, TimeSpan, Unreadable};

/// A fact about recordings that an engine has just opened.
#[derive(Debug)]
pub(crate) enum RecordingNotice {
    /// No recording was named, and this one was chosen.
    DefaultRecording(PathBuf),
    /// A warning about a recording that was not closed, or cannot be read.
    Warning(String),
}

/// Some recordings, and the DataFusion session that reads them.
pub(crate) struct Engine {
    ctx: SessionContext,
    cores: usize,
    paths: Vec<PathBuf>,
    unreadable: Unreadable,
    /// The files that were seen before, which come first.
    seen: SeenFiles,
    /// Restricts the events to new ones.
    news: Option<News>,
    rollups: bool,
    recordings: OnceCell<Recordings>,
    repeated: OnceCell<Repeated>,
    span: OnceCell<TimeSpan>,
    notify: fn(RecordingNotice),
    /// Whether `notify` is still to be called with warnings.
    warn: bool,
}

/// Rows of a batch. With DataFusion's default of 8,192, grouping by text takes up to a third longer.
const BATCH_ROWS: usize = 32_768;

impl Engine {
    /// An engine for the recordings `paths`; if there are none, for the default of [`Recordings::open`]. Opens nothing yet.
    /// `notify` is called when recordings are opened, which happens while a statement is planned.
    pub(crate) fn new(paths: Vec<PathBuf>, cores: usize, notify: fn(RecordingNotice)) -> Self {
        let mut config = SessionConfig::new()
            .with_target_partitions(cores)
            .with_batch_size(BATCH_ROWS);
        config.options_mut().sql_parser.collect_spans = true;
        // Together with filters that are pushed into scans, the dynamic filter of a sort with a limit drops rows that belong
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
            paths,
            unreadable: Unreadable::PassOver,
            seen: SeenFiles::default(),
            news: None,
            rollups: true,
            recordings: OnceCell::new(),
            repeated: OnceCell::new(),
            span: OnceCell::new(),
            notify,
            warn: true,
        }
    }

    /// Another engine, which opens the same recordings anew, with the files that have been added to a directory or match a
    /// pattern meanwhile. Warnings are not repeated.
    pub(crate) fn reopened(&self) -> Self {
        let default = self.opened().filter(|recordings| recordings.is_default);
        let paths = match default {
            Some(default) => default.files.iter().map(|f| f.path.clone()).collect(),
            None => self.paths.clone(),
        };
        let reopened = Engine {
            unreadable: self.unreadable,
            warn: self.warn && self.opened().is_none(),
            ..Engine::new(paths, self.cores, self.notify)
        };
        match self.rollups {
            true => reopened,
            false => reopened.without_rollups(),
        }
    }

    /// Another engine with the same settings, for other recordings.
    pub(crate) fn with_recordings(&self, paths: Vec<PathBuf>) -> Self {
        Engine {
            unreadable: self.unreadable,
            ..Engine::new(paths, self.cores, self.notify)
        }
    }

    /// The same engine, which refuses to answer if a file of a directory or a pattern cannot be read.
    pub(crate) fn strict(mut self) -> Self {
        self.unreadable = Unreadable::Refuse;
        self
    }

    /// The same engine without rollups: every answer is computed from the events.
    pub(crate) fn without_rollups(mut self) -> Self {
        self.ctx.remove_optimizer_rule(UseRollups.name());
        self.rollups = false;
        self
    }

    /// Number of threads that a query may use.
    pub(crate) fn cores(&self) -> usize {
        self.cores
    }

    /// The same engine, restricted to the events that are not in `seen`, to which they are added.
    ///
    /// # Errors
    /// As [`Recordings::open`].
    pub(crate) async fn with_news(mut self, seen: &mut SeenFiles) -> Result<Self, SourceError> {
        self.seen = seen.clone();
        let news = seen.update(&self.recordings().await?.files);
        self.news = Some(news);
        Ok(self)
    }

    pub(crate) fn news(&self) -> Option<&News> {
        self.news.as_ref()
    }

    /// The session, with the tables that statements have named so far.
    pub(crate) fn session(&self) -> &SessionContext {
        &self.ctx
    }

    /// Optimizes a plan without rollups, so that the scans of `events` remain.
    ///
    /// # Errors
    /// DataFusion rejects the plan.
    pub(crate) fn optimized(&self, plan: &LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
        let ctx = SessionContext::new_with_state(self.ctx.state());
        ctx.remove_optimizer_rule(UseRollups.name());
        ctx.state().optimize(plan)
    }

    /// The recordings, if they have been opened.
    pub(crate) fn opened(&self) -> Option<&Recordings> {
        self.recordings.get()
    }

    /// The recordings; opens them on first use.
    ///
    /// # Errors
    /// As [`Recordings::open`].
    pub(crate) async fn recordings(&self) -> Result<&Recordings, SourceError> {
        self.recordings
            .get_or_try_init(async || {
                let mut opened = Recordings::open(&self.ctx, &self.paths, self.unreadable).await?;
                self.seen.sort(&mut opened.files);
                if opened.is_default {
                    (self.notify)(RecordingNotice::DefaultRecording(
                        opened.files[0].path.clone(),
                    ));
                }
                if self.warn {
                    let warnings = opened.warnings.iter().cloned();
                    let warnings = warnings.chain(opened.unclosed_warnings());
                    warnings.for_each(|text| (self.notify)(RecordingNotice::Warning(text)));
                }
                Ok(opened)
            })
            .await
    }

    /// The events of the recordings that are left out, because several files have them; compares the files on first use.
    ///
    /// # Errors
    /// As [`Recordings::open`].
    pub(crate) async fn repeated(&self) -> Result<&Repeated, SourceError> {
        let files = &self.recordings().await?.files;
        let find = async || {
            let repeated = Repeated::find(files);
            if self.warn {
                let warnings = repeated.warnings.iter().cloned();
                warnings.for_each(|text| (self.notify)(RecordingNotice::Warning(text)));
            }
            repeated
        };
        Ok(self.repeated.get_or_init(find).await)
    }

    /// The first and the last instant of the recordings.
    ///
    /// # Errors
    /// A recording cannot be read.
    pub(crate) async fn span(&self) -> Result<TimeSpan, QueryError> {
        let found = self.span.get_or_try_init(|| self.find_span());
        found.await.copied()
    }

    async fn find_span(&self) -> Result<TimeSpan, QueryError> {
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
        Ok(TimeSpan {
            start: DateTime::from_timestamp_nanos(start),
            end: DateTime::from_timestamp_nanos(end),
        })
    }

    /// Plans one statement.
    ///
    /// # Errors
    /// The statement is wrong, or would write, or a recording that it names cannot be read.
    pub(crate) async fn plan(&self, sql: &str) -> Result<DataFrame, QueryError> {
        let located = |e: DataFusionError| QueryError::Sql(self.explain(sql, &e));
        let mut statement = parse(&self.ctx, sql).map_err(located)?;
        if !is_query(&statement) {
            return Err(not_allowed(sql).into());
        }
        if let Statement::Statement(inner) = &statement {
            match inner.as_ref() {
                Sql::ExplainTable { table_name, .. } => {
                    let name = table_name.0.last().and_then(|part| part.as_ident());
                    let name = name.map(|ident| ident.value.clone()).unwrap_or_default();
                    return self.describe(sql, &name).await;
                }
                Sql::ShowTables { show_options, .. } if shows_all(show_options) => {
                    return self.list_tables();
                }
                _ => {}
            }
        }
        let is_recursive = matches!(&statement, Statement::Statement(s)
            if matches!(s.as_ref(), Sql::Query(q) if q.with.as_ref().is_some_and(|w| w.recursive)));
        self.register(sql, &statement, is_recursive).await?;
        column_names::set(&mut statement);
        self.expand(sql, &mut statement).await?;
        let state = self.ctx.state();
        let plan = state.statement_to_plan(statement).await.map_err(located)?;
        check_read_only(sql, &plan)?;
        Ok(DataFrame::new(state, plan))
    }

    /// Expands the functions that depend on the recordings.
    async fn expand(&self, sql: &str, statement: &mut Statement) -> Result<(), QueryError> {
        let expanded = functions::expanded_functions(statement);
        if !expanded.strace && !expanded.ago {
            return Ok(());
        }
        let end = match expanded.ago {
            true => Box::pin(self.span()).await?.end,
            false => DateTime::UNIX_EPOCH,
        };
        let architectures = self.opened().map(Recordings::architectures);
        let architectures = architectures.unwrap_or_default();
        let end = end.timestamp_nanos_opt().unwrap_or(i64::MAX);
        functions::expand(statement, &json!(architectures).to_string(), end).map_err(|misused| {
            let message = format!("`{}` has wrong arguments", misused.name);
            let help = Some(misused.usage.to_string());
            SqlError::about(sql, misused.name, message, help).into()
        })
    }

    /// The sorted names of all functions. The order decides which of several equally near names is suggested.
    pub(crate) fn functions(&self) -> Vec<String> {
        let state = self.ctx.state();
        let names = state.scalar_functions().keys();
        let names = names
            .chain(state.aggregate_functions().keys())
            .chain(state.window_functions().keys());
        let mut names: Vec<String> = names.cloned().collect();
        names.sort_unstable();
        names
    }

    /// Turns an error of DataFusion about a statement into one with a position in the statement.
    pub(crate) fn explain(&self, sql: &str, error: &DataFusionError) -> SqlError {
        let names = self.functions();
        SqlError::from_datafusion(sql, error, &names)
    }
}

fn shows_all(options: &ShowStatementOptions) -> bool {
    options.show_in.is_none() && options.filter_position.is_none()
}

fn parse(ctx: &SessionContext, sql: &str) -> Result<Statement, DataFusionError> {
    let state = ctx.state();
    let dialect = state.config_options().sql_parser.dialect;
    state.sql_to_statement(sql, &dialect)
}

/// Whether a statement is a query. The query itself may still write: see [`check_read_only`].
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

/// Refuses a plan that would write: recordings are read-only, and a statement may come from an untrusted source.
fn check_read_only(sql: &str, plan: &LogicalPlan) -> Result<(), SqlError> {
    let options = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    options.verify_plan(plan).map_err(|_| not_allowed(sql))
}

fn not_allowed(sql: &str) -> SqlError {
    let word = sql.split_whitespace().next().unwrap_or_default();
    SqlError {
        message: format!(
            "`{} ...` is not allowed: ctrace-query only reads",
            word.to_lowercase()
        ),
        help: Some(
            "To save an answer, use `--output FILE` with `--format`, such as `--format parquet`."
                .into(),
        ),
        position: None,
    }
}
