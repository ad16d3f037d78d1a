//! `--trigger`: a condition in SQL over events as they come. SQLite decides it, over a virtual table with the columns and
//! types of an SQLite recording, of which only those are made that the condition asks for.

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_int};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, anyhow};
use ctrace_common::nearest::suggest;
use ctrace_schema::columns::{COLUMNS, Type};
use rusqlite::config::DbConfig;
use rusqlite::types::Null;
use rusqlite::vtab::{
    Context, Filters, IndexInfo, Module, VTab, VTabConnection, VTabCursor, sqlite3_vtab,
    sqlite3_vtab_cursor,
};
use rusqlite::{Connection, Error, OptionalExtension};

use crate::rows::Events;
use crate::rows::single::Value;

/// What stands before the condition.
const BEFORE: &str = "select time from events where seq > ?1 and (\n";

/// A condition.
pub(crate) struct Trigger {
    db: Connection,
    condition: String,
    shown: Shared,
}

/// The rows that are looked at.
#[derive(Default)]
struct Shown {
    /// Bit by bit, whether the statement that was prepared last uses a column.
    used: u64,
    rows: usize,
    /// By column, where each run of a value ends, and the values; none where the column is not used.
    columns: Vec<(Vec<usize>, Vec<Option<Value>>)>,
}

type Shared = Arc<Mutex<Arc<Shown>>>;

impl Trigger {
    /// A condition as it stands behind `where`.
    ///
    /// # Errors
    /// A sentence for the user: it is none.
    pub(crate) fn new(condition: &str) -> Result<Trigger> {
        let db = Connection::open_in_memory().context("SQLite has no memory")?;
        // Names in double quotes that are none would be text, and the condition would never hold.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        let shown = Shared::default();
        const MODULE: Module<'_, TriggerTable> = Module::eponymous_only_module();
        db.create_module("events", &MODULE, Some(shown.clone()))?;
        let condition = condition.to_string();
        let trigger = Trigger {
            db,
            condition,
            shown,
        };
        let prepared = trigger.db.prepare(&trigger.sql()).map(drop);
        prepared.map_err(|e| trigger.wrong(&e))?;
        Ok(trigger)
    }

    fn sql(&self) -> String {
        // A line of its own: a comment at the end takes nothing more.
        format!("{BEFORE}{}\n) limit 1", self.condition)
    }

    /// The condition.
    pub(crate) fn condition(&self) -> &str {
        &self.condition
    }

    /// The time of a row that meets it, of those with a number above `after`.
    ///
    /// # Errors
    /// A sentence for the user: it cannot be decided.
    pub(crate) fn first(&self, events: &dyn Events, after: i64) -> Result<Option<i64>> {
        // Says which columns are used.
        self.show(Shown::default());
        let sql = self.sql();
        let mut statement = self.db.prepare(&sql).map_err(|e| self.wrong(&e))?;
        let used = self.lock().used;
        self.show(Shown::new(events, used));
        let found = statement.query_row([after], |row| row.get(0)).optional();
        self.show(Shown::default());
        found.map_err(|e| self.wrong(&e))
    }

    fn lock(&self) -> Arc<Shown> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.clone()
    }

    fn show(&self, shown: Shown) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(shown);
    }

    fn wrong(&self, e: &Error) -> anyhow::Error {
        let (what, at) = match e {
            Error::SqlInputError { msg, offset, .. } => (msg.clone(), *offset),
            Error::SqliteFailure(_, Some(what)) => (what.clone(), -1),
            other => (other.to_string(), -1),
        };
        let names = COLUMNS.iter().map(|column| column.name);
        let near = match what.strip_prefix("no such column: ") {
            Some(name) => suggest(name, names),
            None => String::new(),
        };
        let offset = usize::try_from(at)
            .ok()
            .and_then(|at| at.checked_sub(BEFORE.len()));
        let place = match offset.and_then(|at| self.condition.get(..at)) {
            Some(before) => format!(", at character {} of", before.chars().count() + 1),
            None => " in".to_string(),
        };
        let condition = ctrace_schema::text::escape(self.condition.as_bytes());
        anyhow!(
            "--trigger: {what}{near}{place} `{condition}`; it is what stands behind `where` in SQLite's SQL, over the \
             columns that `ctrace-query describe events` lists"
        )
    }
}

impl Shown {
    fn new(events: &dyn Events, used: u64) -> Shown {
        let column = |(i, column): (usize, &ctrace_schema::columns::Column)| {
            let (mut ends, mut values, mut end) = (vec![], vec![], 0);
            // The last bit stands for all columns from there on.
            if used & 1 << i.min(63) != 0 {
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
        Shown {
            used,
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
    shown: Shared,
}

// SAFETY: the first field is what SQLite expects there, and the layout is C's.
unsafe impl<'table> VTab<'table> for TriggerTable {
    type Aux = Shared;
    type Cursor = Cursor<'table>;

    fn connect(
        _: &mut VTabConnection,
        aux: Option<&Shared>,
        _: &[u8],
        _: &[u8],
        _: &[u8],
        _: &[&[u8]],
    ) -> rusqlite::Result<(Cow<'static, CStr>, TriggerTable)> {
        let column = |column: &ctrace_schema::columns::Column| match column.ty {
            Type::Text => format!("{} text", column.name),
            _ => format!("{} integer", column.name),
        };
        let columns: Vec<String> = COLUMNS.iter().map(column).collect();
        let table = TriggerTable {
            base: sqlite3_vtab::default(),
            shown: aux.cloned().unwrap_or_default(),
        };
        let sql = CString::new(format!("create table events ({})", columns.join(", ")))?;
        Ok((Cow::Owned(sql), table))
    }

    fn best_index(&self, info: &mut IndexInfo) -> rusqlite::Result<bool> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let used = shown.used | info.col_used();
        *shown = Arc::new(Shown {
            used,
            ..Shown::default()
        });
        Ok(true)
    }

    fn open(&'table mut self) -> rusqlite::Result<Cursor<'table>> {
        Ok(Cursor {
            base: sqlite3_vtab_cursor::default(),
            shown: self.shown.clone(),
            rows: Arc::default(),
            row: 0,
            table: PhantomData,
        })
    }
}

#[repr(C)]
struct Cursor<'table> {
    base: sqlite3_vtab_cursor,
    shown: Shared,
    rows: Arc<Shown>,
    row: usize,
    table: PhantomData<&'table TriggerTable>,
}

// SAFETY: the first field is what SQLite expects there, and the layout is C's.
unsafe impl VTabCursor for Cursor<'_> {
    fn filter(&mut self, _: c_int, _: Option<&str>, _: &Filters<'_>) -> rusqlite::Result<()> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        self.rows = shown.clone();
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
