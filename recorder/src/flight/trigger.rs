//! `--trigger` and `--trigger-rules`: conditions in SQL that are evaluated over new events.
//!
//! SQLite evaluates the conditions over a virtual table `events` with the columns and types of an SQLite recording. Only
//! the columns that the conditions use are computed.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ffi::{CStr, CString, c_int};
use std::marker::PhantomData;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use ctrace_common::nearest::suggest;
use ctrace_rules::{Rule, RuleSet};
use ctrace_schema::columns::{self, COLUMNS, Type};
use rusqlite::config::DbConfig;
use rusqlite::types::Null;
use rusqlite::vtab::{
    Context, Filters, IndexInfo, Module, VTab, VTabConnection, VTabCursor, sqlite3_vtab,
    sqlite3_vtab_cursor,
};
use rusqlite::{Connection, Error, ErrorCode, Statement};

use crate::rows::Events;
use crate::rows::single::Value;
use crate::sink::summary::DumpReason;

/// The SQL text before a condition.
const QUERY_START: &str = "select time from events where seq > ?1 and (\n";

/// The longest evaluation of the conditions over a batch. Until then the encoder thread waits.
const MAX_TIME: Duration = Duration::from_secs(2);

/// The conditions of `--trigger` and `--trigger-rules`.
pub(crate) struct Trigger {
    db: Connection,
    conditions: Vec<Condition>,
    /// The calls that meet a condition; `None`: any row may. Rows of other kinds than calls always may.
    calls: Option<HashSet<String>>,
    table: SharedTable,
}

/// A condition that starts a dump.
struct Condition {
    /// The reason of the dump.
    reason: DumpReason,
    sql: String,
}

/// A rule that is not a trigger: its name, and the reason.
pub(crate) type LeftOut = (String, String);

/// The rows of the virtual table.
#[derive(Default)]
struct TableRows {
    /// A bit for each column: whether the last prepared statement uses the column. The last bit stands for all columns
    /// from 63 on.
    used_columns: u64,
    /// The positions of the rows among the events.
    rows: Vec<usize>,
    /// The end of each run of a value and the values, for each column; both empty if the column is not used.
    columns: Vec<(Vec<usize>, Vec<Option<Value>>)>,
}

type SharedTable = Arc<Mutex<Arc<TableRows>>>;

impl Trigger {
    /// Prepares a condition, given as the text after `where`, and those of rules. Returns the trigger, if there is any condition,
    /// and the rules that are none.
    ///
    /// # Errors
    /// The text is not a valid condition, or no rule is a trigger. The message is for the user.
    pub(crate) fn new(
        condition: Option<&str>,
        rules: &RuleSet,
    ) -> Result<(Option<Trigger>, Vec<LeftOut>)> {
        let db = Connection::open_in_memory().context("SQLite has no memory")?;
        // By default, SQLite treats an unknown name in double quotes as text: the condition would never be true.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        // A recorder that is confined has no directory for temporary files.
        db.pragma_update(None, "temp_store", "memory")?;
        let table = SharedTable::default();
        const MODULE: Module<'_, TriggerTable> = Module::eponymous_only_module();
        db.create_module("events", &MODULE, Some(table.clone()))?;
        let mut trigger = Trigger {
            db,
            conditions: vec![],
            calls: condition.is_none().then(HashSet::new),
            table,
        };
        if let Some(text) = condition {
            let added = trigger.add(text, DumpReason::Trigger(text.to_string()));
            added.map_err(|e| error(text, &e))?;
        }
        let mut left_out = vec![];
        for rule in rules.rules() {
            if let Err(reason) = trigger.add_rule(rule) {
                left_out.push((rule.name.clone(), reason));
            }
        }
        match (trigger.conditions.is_empty(), left_out.first()) {
            (false, _) => Ok((Some(trigger), left_out)),
            (true, None) => Ok((None, left_out)),
            (true, Some((name, reason))) => {
                bail!("--trigger-rules: no rule is a trigger: {name}: {reason}")
            }
        }
    }

    /// Adds a condition with the name of what it is for.
    fn add(&mut self, text: &str, reason: DumpReason) -> rusqlite::Result<()> {
        self.set_rows(TableRows::default());
        // The parenthesis is on a line of its own, because the condition may end with a comment.
        self.db
            .prepare(&format!("{QUERY_START}{text}\n)"))
            .map(drop)?;
        let setup = columns::index("setup").map_or(0, |i| 1 << i);
        // Set-up by container runtimes meets a condition only if the condition uses the column.
        let rest = match self.rows().used_columns & setup {
            0 => " and setup is not true",
            _ => "",
        };
        let sql = format!("({text}\n){rest}");
        self.conditions.push(Condition { reason, sql });
        Ok(())
    }

    /// Adds the condition of a rule; the error is the reason why the rule is not a trigger.
    fn add_rule(&mut self, rule: &Rule) -> Result<(), String> {
        let text = rule.trigger().map_err(|reason| reason.to_string())?;
        let added = self.add(&text, DumpReason::Rule(rule.name.clone()));
        added.map_err(|e| format!("SQLite does not take the condition: {}", message(&e).0))?;
        let calls = rule.call_names().into_iter().map(String::from);
        match rule.calls.is_empty() && rule.kind.as_deref().is_none_or(|kind| kind == "syscall") {
            true => self.calls = None,
            false => self
                .calls
                .iter_mut()
                .for_each(|all| all.extend(calls.clone())),
        }
        Ok(())
    }

    /// Returns the conditions that rows with a sequence number above `after_seq` meet: the position of each among all conditions,
    /// and the earliest `time` of such a row.
    ///
    /// # Errors
    /// The conditions cannot be evaluated, or not within [`MAX_TIME`]. The message is for the user.
    pub(crate) fn find(&self, events: &dyn Events, after_seq: i64) -> Result<Vec<(usize, i64)>> {
        // `prepare` calls `best_index`, which sets `used_columns`.
        self.set_rows(TableRows::default());
        let times = self.conditions.iter();
        let times = times.map(|c| format!("min(case when {} then time end)", c.sql));
        let times: Vec<_> = times.collect();
        let sql = format!("select {} from events where seq > ?1", times.join(",\n"));
        let failed = |e: Error| match e.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => anyhow!(
                "--trigger: the condition takes longer than {} s for the events of a batch; the recording continues without it",
                MAX_TIME.as_secs()
            ),
            _ => anyhow!("--trigger: {}", message(&e).0),
        };
        let mut statement = self.db.prepare(&sql).map_err(failed)?;
        let used_columns = self.rows().used_columns;
        self.set_rows(TableRows::new(events, used_columns, self.calls.as_ref()));
        let found = self.evaluate(&mut statement, after_seq);
        self.set_rows(TableRows::default());
        let found = found.map_err(failed)?.into_iter().enumerate();
        Ok(found.filter_map(|(n, time)| Some((n, time?))).collect())
    }

    /// Returns the reason for a dump when rows meet the condition at this position.
    pub(crate) fn reason(&self, condition: usize) -> Option<&DumpReason> {
        Some(&self.conditions.get(condition)?.reason)
    }

    /// Returns the number of conditions.
    pub(crate) fn conditions(&self) -> usize {
        self.conditions.len()
    }

    /// Returns the `time` that `statement` finds for each condition. Another thread interrupts the statement after
    /// [`MAX_TIME`].
    fn evaluate(
        &self,
        statement: &mut Statement<'_>,
        after_seq: i64,
    ) -> rusqlite::Result<Vec<Option<i64>>> {
        let conditions = 0..self.conditions.len();
        let interrupt = self.db.get_interrupt_handle();
        thread::scope(|scope| {
            let (done, ended) = channel::<()>();
            // Without a thread, the condition may take any time.
            let _ = thread::Builder::new()
                .name("trigger".to_string())
                .spawn_scoped(scope, move || {
                    if ended.recv_timeout(MAX_TIME) == Err(RecvTimeoutError::Timeout) {
                        interrupt.interrupt();
                    }
                });
            let found = statement.query_row([after_seq], |row| {
                conditions.map(|condition| row.get(condition)).collect()
            });
            drop(done);
            found
        })
    }

    fn rows(&self) -> Arc<TableRows> {
        let rows = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        rows.clone()
    }

    fn set_rows(&self, rows: TableRows) {
        *self.table.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(rows);
    }
}

/// Returns the message of an error of SQLite, and the offset in the statement, or -1.
fn message(e: &Error) -> (String, i32) {
    match e {
        Error::SqlInputError { msg, offset, .. } => (msg.clone(), *offset),
        Error::SqliteFailure(_, Some(message)) => (message.clone(), -1),
        other => (other.to_string(), -1),
    }
}

/// Converts an error of SQLite into a message with the position in the condition and the nearest column name.
fn error(condition: &str, e: &Error) -> anyhow::Error {
    let (message, offset) = message(e);
    let names = COLUMNS.iter().map(|column| column.name);
    let suggestion = match message.strip_prefix("no such column: ") {
        Some(name) => suggest(name, names),
        None => String::new(),
    };
    let offset = usize::try_from(offset)
        .ok()
        .and_then(|at| at.checked_sub(QUERY_START.len()));
    let place = match offset.and_then(|at| condition.get(..at)) {
        Some(before) => format!(", at character {} of", before.chars().count() + 1),
        None => " in".to_string(),
    };
    let condition = ctrace_schema::text::escape(condition.as_bytes());
    anyhow!(
        "--trigger: {message}{suggestion}{place} `{condition}`; write a condition as after `where`, in SQLite's SQL, with \
         the columns that `ctrace-query describe events` lists"
    )
}

impl TableRows {
    /// Returns the rows that may meet a condition: calls with the names `calls`, or all calls, and all rows of other kinds.
    fn new(events: &dyn Events, used_columns: u64, calls: Option<&HashSet<String>>) -> TableRows {
        let column = |(i, column): (usize, &columns::Column)| {
            let (mut ends, mut values, mut end) = (vec![], vec![], 0);
            if used_columns & 1 << i.min(63) != 0 {
                for run in events.column(column.name).runs() {
                    end += run.rows();
                    ends.push(end);
                    values.push(run.value().map(|value| match column.ty {
                        Type::Text => {
                            let text = events.strings().get(value as usize);
                            Value::Text(text.cloned().unwrap_or_default())
                        }
                        _ => Value::Number(value),
                    }));
                }
            }
            (ends, values)
        };
        TableRows {
            used_columns,
            rows: match calls {
                Some(calls) => rows_of(events, calls),
                None => (0..events.rows()).collect(),
            },
            columns: COLUMNS.iter().enumerate().map(column).collect(),
        }
    }

    /// Returns the value in the row at this position among [`Self::rows`].
    fn value(&self, row: usize, column: usize) -> Option<&Value> {
        let row = *self.rows.get(row)?;
        let (ends, values) = self.columns.get(column)?;
        values
            .get(ends.partition_point(|end| *end <= row))?
            .as_ref()
    }
}

/// Returns the positions of calls with these names, and of rows of other kinds.
fn rows_of(events: &dyn Events, calls: &HashSet<String>) -> Vec<usize> {
    let (mut rows, mut end) = (vec![], 0);
    for run in events.column("syscall").runs() {
        let begin = end;
        end += run.rows();
        let name = run.value().and_then(|at| events.strings().get(at as usize));
        if name.is_none_or(|name| calls.contains(&**name)) {
            rows.extend(begin..end);
        }
    }
    rows
}

#[repr(C)]
struct TriggerTable {
    base: sqlite3_vtab,
    rows: SharedTable,
}

// SAFETY: SQLite expects `base` as the first field, and `repr(C)` keeps the fields in this order.
unsafe impl<'table> VTab<'table> for TriggerTable {
    type Aux = SharedTable;
    type Cursor = TriggerCursor<'table>;

    fn connect(
        _: &mut VTabConnection,
        aux: Option<&SharedTable>,
        _: &[u8],
        _: &[u8],
        _: &[u8],
        _: &[&[u8]],
    ) -> rusqlite::Result<(Cow<'static, CStr>, TriggerTable)> {
        let column = |column: &columns::Column| match column.ty {
            Type::Text => format!("{} text", column.name),
            _ => format!("{} integer", column.name),
        };
        let columns: Vec<String> = COLUMNS.iter().map(column).collect();
        let table = TriggerTable {
            base: sqlite3_vtab::default(),
            rows: aux.cloned().unwrap_or_default(),
        };
        let sql = CString::new(format!("create table events ({})", columns.join(", ")))?;
        Ok((Cow::Owned(sql), table))
    }

    fn best_index(&self, info: &mut IndexInfo) -> rusqlite::Result<bool> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let used_columns = rows.used_columns | info.col_used();
        *rows = Arc::new(TableRows {
            used_columns,
            ..TableRows::default()
        });
        Ok(true)
    }

    fn open(&'table mut self) -> rusqlite::Result<TriggerCursor<'table>> {
        Ok(TriggerCursor {
            base: sqlite3_vtab_cursor::default(),
            table_rows: self.rows.clone(),
            rows: Arc::default(),
            row: 0,
            table: PhantomData,
        })
    }
}

#[repr(C)]
struct TriggerCursor<'table> {
    base: sqlite3_vtab_cursor,
    table_rows: SharedTable,
    rows: Arc<TableRows>,
    row: usize,
    table: PhantomData<&'table TriggerTable>,
}

// SAFETY: SQLite expects `base` as the first field, and `repr(C)` keeps the fields in this order.
unsafe impl VTabCursor for TriggerCursor<'_> {
    fn filter(&mut self, _: c_int, _: Option<&str>, _: &Filters<'_>) -> rusqlite::Result<()> {
        let rows = self
            .table_rows
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.rows = rows.clone();
        self.row = 0;
        Ok(())
    }

    fn next(&mut self) -> rusqlite::Result<()> {
        self.row += 1;
        Ok(())
    }

    fn eof(&self) -> bool {
        self.row >= self.rows.rows.len()
    }

    fn column(&self, context: &mut Context, column: c_int) -> rusqlite::Result<()> {
        match self.rows.value(self.row, column as usize) {
            None => context.set_result(Null),
            Some(Value::Number(number)) => context.set_result(number),
            Some(Value::Text(text)) => context.set_result(&**text),
        }
    }

    fn rowid(&self) -> rusqlite::Result<i64> {
        Ok(self.row as i64)
    }
}
