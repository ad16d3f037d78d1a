//! The engine: a DataFusion session with the functions, rules and tables of this program.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use chrono::DateTime;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::{SessionState, SessionStateBuilder, SessionStateDefaults};
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
use crate::engine::limits::EngineLimits;
use crate::engine::one_heap::OneHeap;
use crate::engine::plans::{self, CheckOverflow, DistinctSemiJoins};
use crate::engine::rollups::UseRollups;
use crate::engine::sql_error::SqlError;
use crate::engine::statement::{self, ChangedNames};
use crate::source::{News, Recordings, Repeated, SeenFiles, SourceError, TimeSpan, Unreadable};

/// The maximum number of containers whose pods stand in the SQL of ready questions.
const MAX_POD_CONTAINERS: usize = 500;

/// A fact about recordings that an engine has just opened.
#[derive(Debug)]
pub(crate) enum RecordingNotice {
    /// The recording that was chosen because none was named.
    DefaultRecording(PathBuf),
    /// A warning about a recording that was not closed, or cannot be read.
    Warning(String),
}

/// Some recordings, and the DataFusion session that reads them.
pub(crate) struct Engine {
    ctx: SessionContext,
    limits: EngineLimits,
    paths: Vec<PathBuf>,
    unreadable: Unreadable,
    /// The files that were seen before. They come first.
    seen: SeenFiles,
    /// The new events, to which `events` is restricted; `None`: all events.
    news: Option<News>,
    rollups: bool,
    recordings: OnceCell<Recordings>,
    repeated: OnceCell<Repeated>,
    span: OnceCell<TimeSpan>,
    several_hosts: OnceCell<bool>,
    same_names: OnceCell<bool>,
    pods: OnceCell<Vec<(String, String)>>,
    notify: fn(RecordingNotice),
    /// True if `notify` is called with warnings.
    warn: bool,
}

/// Returns a session with DataFusion's functions. The session has none of DataFusion's file formats and table factories,
/// which would make the program larger: recordings are opened by `source`, and no statement creates a table.
pub(crate) fn session_with_functions() -> SessionStateBuilder {
    SessionStateBuilder::new()
        .with_expr_planners(SessionStateDefaults::default_expr_planners())
        .with_scalar_functions(SessionStateDefaults::default_scalar_functions())
        .with_higher_order_functions(SessionStateDefaults::default_higher_order_functions())
        .with_aggregate_functions(SessionStateDefaults::default_aggregate_functions())
        .with_window_functions(SessionStateDefaults::default_window_functions())
        .with_table_function_list(SessionStateDefaults::default_table_functions())
}

impl Engine {
    /// Creates an engine for the recordings `paths`; if there are none, for the default of [`Recordings::open`]. Opens
    /// nothing yet. `notify` is called when recordings are opened, which happens while a statement is planned.
    pub(crate) fn new(
        paths: Vec<PathBuf>,
        limits: EngineLimits,
        notify: fn(RecordingNotice),
    ) -> Self {
        let config = SessionConfig::new().with_target_partitions(limits.cores);
        let mut config = limits.configure(config);
        let options = config.options_mut();
        options.sql_parser.collect_spans = true;
        // Together with filters that are pushed into scans, the dynamic filter of a sort with a limit drops rows that belong
        // to the answer (apache/datafusion#24352).
        options.optimizer.enable_topk_dynamic_filter_pushdown = false;
        // The dynamic filter of minima and maxima drops rows that the minimum of another expression needs
        // (apache/datafusion#24816).
        options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
        // The check compares whether columns may be null, which the optimizer knows more exactly than the planner.
        options.execution.skip_physical_aggregate_schema_check = true;
        let state = session_with_functions()
            .with_config(config)
            .with_runtime_env(limits.runtime())
            .with_analyzer_rule(Arc::new(CheckOverflow))
            .with_optimizer_rules(plans::optimizer_rules())
            .with_physical_optimizer_rule(Arc::new(OneHeap))
            .build();
        let ctx = SessionContext::new_with_state(state);
        ctx.add_optimizer_rule(Arc::new(DistinctSemiJoins));
        ctx.add_optimizer_rule(Arc::new(UseRollups));
        functions::register(&ctx);
        Engine {
            ctx,
            limits,
            paths,
            unreadable: Unreadable::PassOver,
            seen: SeenFiles::default(),
            news: None,
            rollups: true,
            recordings: OnceCell::new(),
            repeated: OnceCell::new(),
            span: OnceCell::new(),
            several_hosts: OnceCell::new(),
            same_names: OnceCell::new(),
            pods: OnceCell::new(),
            notify,
            warn: true,
        }
    }

    /// Creates another engine, which opens the same recordings anew, with the files that have been added to a directory
    /// or match a pattern meanwhile. Warnings are not repeated.
    pub(crate) fn reopened(&self) -> Self {
        let default = self.opened().filter(|recordings| recordings.is_default);
        let paths = match default {
            Some(default) => default.files.iter().map(|f| f.path.clone()).collect(),
            None => self.paths.clone(),
        };
        Engine {
            warn: self.warn && self.opened().is_none(),
            ..self.with_recordings(paths)
        }
    }

    /// Creates an engine with the same settings for other recordings.
    pub(crate) fn with_recordings(&self, paths: Vec<PathBuf>) -> Self {
        let engine = Engine {
            unreadable: self.unreadable,
            ..Engine::new(paths, self.limits, self.notify)
        };
        match self.rollups {
            true => engine,
            false => engine.without_rollups(),
        }
    }

    /// Creates an engine with the same settings for some of the files of the recordings. Warnings are not repeated.
    pub(crate) fn restricted(&self, files: Vec<PathBuf>) -> Self {
        Engine {
            warn: false,
            ..self.with_recordings(files)
        }
    }

    /// Returns the same engine with another limit of memory, in bytes.
    pub(crate) fn with_memory(mut self, memory_bytes: usize) -> Self {
        self.limits.memory_bytes = memory_bytes;
        let state = SessionStateBuilder::new_from_existing(self.ctx.state());
        let config = self.limits.configure(self.ctx.copied_config());
        let state = state
            .with_config(config)
            .with_runtime_env(self.limits.runtime())
            .build();
        self.ctx = SessionContext::new_with_state(state);
        self
    }

    /// Returns the same engine, which refuses to answer if a file in a directory, or a file that matches a pattern,
    /// cannot be read.
    pub(crate) fn strict(mut self) -> Self {
        self.unreadable = Unreadable::Refuse;
        self
    }

    /// Returns the same engine without rollups: every answer is computed from the events.
    pub(crate) fn without_rollups(mut self) -> Self {
        self.ctx.remove_optimizer_rule(UseRollups.name());
        self.rollups = false;
        self
    }

    /// Returns the limits of queries.
    pub(crate) fn limits(&self) -> EngineLimits {
        self.limits
    }

    /// Returns the same engine, restricted to the events that are not in `seen`, and adds these events to `seen`.
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

    /// Returns the session, with the tables that statements have named so far.
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

    /// Returns the recordings, if they have been opened.
    pub(crate) fn opened(&self) -> Option<&Recordings> {
        self.recordings.get()
    }

    /// Returns the recordings, which are opened on first use.
    ///
    /// # Errors
    /// The errors of [`Recordings::open`].
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

    /// Returns the events that are left out because an earlier file has them. Compares the files on first use.
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

    /// Returns the first and the last instant of the recordings.
    ///
    /// # Errors
    /// A recording cannot be read.
    pub(crate) async fn span(&self) -> Result<TimeSpan, QueryError> {
        let found = self.span.get_or_try_init(|| self.find_span());
        found.await.copied()
    }

    /// Returns whether the events are of several hosts. Asks the events once, if the metadata of a recording has no host.
    ///
    /// # Errors
    /// A recording cannot be read.
    pub(crate) async fn has_several_hosts(&self) -> anyhow::Result<bool> {
        let find = async || match self.recordings().await?.hosts() {
            Some(hosts) => Ok(hosts.len() > 1),
            None => {
                let sql = "select distinct host from events limit 2";
                Ok(self.first_column(sql).await?.len() > 1)
            }
        };
        self.several_hosts.get_or_try_init(find).await.copied()
    }

    /// Returns whether two containers of a host, or of a pod, have the same name, according to the rows about containers.
    ///
    /// # Errors
    /// A recording cannot be read.
    pub(crate) async fn has_same_names(&self) -> anyhow::Result<bool> {
        let sql = "select 1 from events where kind = 'container' group by host, namespace, pod, container \
                   having count(distinct container_id) > 1 limit 1";
        let find = async || Ok(!self.first_column(sql).await?.is_empty());
        self.same_names.get_or_try_init(find).await.copied()
    }

    /// Returns the containers in pods, by the rows about containers: their ids, and `NAMESPACE/POD`. Of more than
    /// [`MAX_POD_CONTAINERS`], there are only the last ones.
    ///
    /// # Errors
    /// A recording cannot be read.
    pub(crate) async fn pods(&self) -> anyhow::Result<Vec<(String, String)>> {
        let sql = format!(
            "select container_id || ' ' || coalesce(namespace, '?') || '/' || pod from events \
             where kind = 'container' and pod is not null and container_id is not null \
             group by container_id, namespace, pod order by max(time) desc limit {MAX_POD_CONTAINERS}"
        );
        let find = async || {
            let rows = self.first_column(&sql).await?;
            let pair = |row: &String| row.split_once(' ').map(|(id, pod)| (id.into(), pod.into()));
            Ok(rows.iter().filter_map(pair).collect())
        };
        self.pods.get_or_try_init(find).await.cloned()
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
        let mut statement = statement::parse(&self.ctx, sql).map_err(located)?;
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
        let state = self.ctx.state();
        let is_scalar = |name: &str| state.scalar_functions().contains_key(name);
        statement::correct(&mut statement, &is_scalar).map_err(located)?;
        self.expand(sql, &mut statement).await?;
        let merged = statement::merge_columns(&state, &mut statement).await;
        merged.map_err(located)?;
        let plan = match state.statement_to_plan(statement.clone()).await {
            Err(error) if statement::is_same_name(&error) => {
                plan_repeated_names(&state, statement, error).await
            }
            planned => planned,
        };
        let plan = plan.map_err(located)?;
        check_read_only(sql, &plan)?;
        let span = match plans::needs_span(&plan) {
            true => Some(Box::pin(self.span()).await?),
            false => None,
        };
        let plan = plans::correct(plan, span).map_err(located)?;
        Ok(DataFrame::new(state, plan))
    }

    /// Expands the functions that depend on the recordings.
    async fn expand(&self, sql: &str, statement: &mut Statement) -> Result<(), QueryError> {
        let expanded = functions::expanded_functions(statement);
        if !expanded.strace && !expanded.ago && !expanded.remainder {
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

    /// Returns the sorted names of all functions. The order decides which of several equally near names is suggested.
    pub(crate) fn functions(&self) -> Vec<String> {
        let state = self.ctx.state();
        let names = state.scalar_functions().keys();
        let names = names
            .chain(state.aggregate_functions().keys())
            .chain(state.window_functions().keys());
        let mut names: Vec<String> = names.cloned().collect();
        names.push("mod".into());
        names.sort_unstable();
        names
    }

    /// Turns an error of DataFusion about a statement into one with a position in the statement.
    pub(crate) fn explain(&self, sql: &str, error: &DataFusionError) -> SqlError {
        if let DataFusionError::ResourcesExhausted(text) = error.find_root() {
            return self.limits.exhausted(text);
        }
        let names = self.functions();
        SqlError::from_datafusion(sql, error, &names)
    }
}

/// Plans a statement with columns of one name. The answer has such columns; in subqueries, the second one gets another
/// name. `error` is returned if that does not help.
async fn plan_repeated_names(
    state: &SessionState,
    mut statement: Statement,
    error: DataFusionError,
) -> Result<LogicalPlan, DataFusionError> {
    let original = statement.clone();
    let mut changed = ChangedNames::new();
    statement::rename(&mut statement, &mut changed);
    while let Some(query) = statement::next_wildcard(&mut statement) {
        let query = Statement::Statement(Box::new(Sql::Query(Box::new(query))));
        let Ok(plan) = state.statement_to_plan(query).await else {
            return Err(error);
        };
        statement::expand(&mut statement, &plan.schema().columns());
        statement::rename(&mut statement, &mut changed);
    }
    statement::name_casts(&mut statement);
    if statement == original {
        return Err(error);
    }
    let is_query = matches!(statement, Statement::Statement(_));
    let Ok(plan) = state.statement_to_plan(statement).await else {
        return Err(error);
    };
    match is_query && !changed.is_empty() {
        true => plans::with_repeated_names(plan, &changed),
        false => Ok(plan),
    }
}

fn shows_all(options: &ShowStatementOptions) -> bool {
    options.show_in.is_none() && options.filter_position.is_none()
}

/// Returns whether a statement is a query. The query itself may still write: see [`check_read_only`].
fn is_query(statement: &Statement) -> bool {
    match statement {
        Statement::Statement(inner) => matches!(
            inner.as_ref(),
            Sql::Query(_) | Sql::Explain { .. } | Sql::ExplainTable { .. } | Sql::ShowTables { .. }
        ),
        Statement::Explain(explain) => is_query(&explain.statement),
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
