//! `--trigger`: a condition in SQL that is evaluated over new events.
//!
//! SQLite evaluates the condition over a virtual table `events` with the columns and types of an SQLite recording. Only
//! the columns that the condition uses are computed.

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_int};
use std::marker::PhantomData;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use ctrace_common::nearest::suggest;
use ctrace_schema::columns::{self, COLUMNS, Type};
use rusqlite::config::DbConfig;
use rusqlite::types::Null;
use rusqlite::vtab::{
    Context, Filters, IndexInfo, Module, VTab, VTabConnection, VTabCursor, sqlite3_vtab,
    sqlite3_vtab_cursor,
};
use rusqlite::{Connection, Error, ErrorCode, OptionalExtension, Statement};

use crate::rows::Events;
use crate::rows::single::Value;

/// The SQL text before the condition.
const QUERY_START: &str = "select time from events where seq > ?1 and (\n";

/// The longest evaluation of a condition over a batch. Until then the encoder thread waits.
const MAX_TIME: Duration = Duration::from_secs(2);

/// The condition of `--trigger`.
pub(crate) struct Trigger {
    db: Connection,
    condition: String,
    /// True if the condition does not use the column `setup`: set-up by container runtimes does not meet it.
    leaves_setup_out: bool,
    table: SharedTable,
}

/// The rows of the virtual table.
#[derive(Default)]
struct TableRows {
    /// A bit for each column: whether the last prepared statement uses the column. The last bit stands for all columns
    /// from 63 on.
    used_columns: u64,
    rows: usize,
    /// The end of each run of a value and the values, for each column; both empty if the column is not used.
    columns: Vec<(Vec<usize>, Vec<Option<Value>>)>,
}

type SharedTable = Arc<Mutex<Arc<TableRows>>>;

impl Trigger {
    /// Prepares a condition, given as the text after `where`.
    ///
    /// # Errors
    /// The text is not a valid condition. The message is for the user.
    pub(crate) fn new(condition: &str) -> Result<Trigger> {
        let db = Connection::open_in_memory().context("SQLite has no memory")?;
        // By default, SQLite treats an unknown name in double quotes as text: the condition would never be true.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        let table = SharedTable::default();
        const MODULE: Module<'_, TriggerTable> = Module::eponymous_only_module();
        db.create_module("events", &MODULE, Some(table.clone()))?;
        let condition = condition.to_string();
        let mut trigger = Trigger {
            db,
            condition,
            leaves_setup_out: false,
            table,
        };
        let prepared = trigger.db.prepare(&trigger.sql()).map(drop);
        prepared.map_err(|e| trigger.error(&e))?;
        let setup = columns::index("setup").map_or(0, |i| 1 << i);
        trigger.leaves_setup_out = trigger.rows().used_columns & setup == 0;
        Ok(trigger)
    }

    fn sql(&self) -> String {
        let rest = match self.leaves_setup_out {
            true => " and setup is not true",
            false => "",
        };
        // The parenthesis is on a line of its own, because the condition may end with a comment.
        format!("{QUERY_START}{}\n){rest} limit 1", self.condition)
    }

    pub(crate) fn condition(&self) -> &str {
        &self.condition
    }

    /// Returns the `time` of a row that meets the condition, among rows with a sequence number above `after_seq`.
    ///
    /// # Errors
    /// The condition cannot be evaluated, or not within [`MAX_TIME`]. The message is for the user.
    pub(crate) fn find(&self, events: &dyn Events, after_seq: i64) -> Result<Option<i64>> {
        // `prepare` calls `best_index`, which sets `used_columns`.
        self.set_rows(TableRows::default());
        let sql = self.sql();
        let mut statement = self.db.prepare(&sql).map_err(|e| self.error(&e))?;
        let used_columns = self.rows().used_columns;
        self.set_rows(TableRows::new(events, used_columns));
        let found = self.evaluate(&mut statement, after_seq);
        self.set_rows(TableRows::default());
        found.optional().map_err(|e| match e.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => anyhow!(
                "--trigger: the condition takes longer than {} s for the events of a batch; the recording continues without it",
                MAX_TIME.as_secs()
            ),
            _ => self.error(&e),
        })
    }

    /// Returns the `time` of the first row that `statement` finds. Another thread interrupts the statement after
    /// [`MAX_TIME`].
    fn evaluate(&self, statement: &mut Statement<'_>, after_seq: i64) -> rusqlite::Result<i64> {
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
            let found = statement.query_row([after_seq], |row| row.get(0));
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

    /// Converts an error of SQLite into a message with the position in the condition and the nearest column name.
    fn error(&self, e: &Error) -> anyhow::Error {
        let (message, offset) = match e {
            Error::SqlInputError { msg, offset, .. } => (msg.clone(), *offset),
            Error::SqliteFailure(_, Some(message)) => (message.clone(), -1),
            other => (other.to_string(), -1),
        };
        let names = COLUMNS.iter().map(|column| column.name);
        let suggestion = match message.strip_prefix("no such column: ") {
            Some(name) => suggest(name, names),
            None => String::new(),
        };
        let offset = usize::try_from(offset)
            .ok()
            .and_then(|at| at.checked_sub(QUERY_START.len()));
        let place = match offset.and_then(|at| self.condition.get(..at)) {
            Some(before) => format!(", at character {} of", before.chars().count() + 1),
            None => " in".to_string(),
        };
        let condition = ctrace_schema::text::escape(self.condition.as_bytes());
        anyhow!(
            "--trigger: {message}{suggestion}{place} `{condition}`; write a condition as after `where`, in SQLite's SQL, with \
             the columns that `ctrace-query describe events` lists"
        )
    }
}

impl TableRows {
    fn new(events: &dyn Events, used_columns: u64) -> TableRows {
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
            rows: events.rows(),
            columns: COLUMNS.iter().enumerate().map(column).collect(),
        }
    }

    fn value(&self, row: usize, column: usize) -> Option<&Value> {
        let (ends, values) = self.columns.get(column)?;
        values
            .get(ends.partition_point(|end| *end <= row))?
            .as_ref()
    }
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
        self.row >= self.rows.rows
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
