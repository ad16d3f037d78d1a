//! The SQLite schema of a recording.
//!
//! The table `event` has a row for each event, and side tables have the values that repeat, such as threads, files and
//! sockets. The view `events` joins these tables into the columns of [`ctrace_schema::columns`]; the other views are
//! built on it. The table `meta` contains the metadata. A column that a later version of the format adds belongs to the
//! side table `detail`, unless the rows of a container have the same value.

mod writer;

use std::fmt::Write;
use std::sync::LazyLock;

use ctrace_schema::columns::{COLUMNS, Column, Type};
use ctrace_schema::views::VIEWS;

pub use writer::{WriteError, Writer};

/// The columns that the table `event` itself contains, because their values differ from row to row.
///
/// `seq` is stored as the difference to the row's `id`. The difference is 0 if rows are written in the order of `seq`,
/// and SQLite stores 0 without a byte of content.
pub const EVENT_COLUMNS: &[&str] = &["time", "duration", "seq", "ret", "bytes"];

/// A side table: columns with few distinct combinations of values, each stored once. The column `TABLE_ref` of `event` refers
/// to a row of it, or is null if all of these columns are null.
#[derive(Debug)]
pub struct Side {
    /// The name of the table in SQL, from which the name of the reference is derived.
    pub table: &'static str,
    /// The columns of the table except for its primary key, `id`.
    pub columns: Vec<&'static Column>,
}

impl Side {
    /// Returns the name of the column of `event` that refers to this table.
    pub fn reference(&self) -> String {
        format!("{}_ref", self.table)
    }
}

/// The side tables. Each column that is not in [`EVENT_COLUMNS`] is in one of them.
pub static SIDES: LazyLock<Vec<Side>> = LazyLock::new(|| {
    let mut remaining: Vec<&Column> = COLUMNS
        .iter()
        .filter(|c| !EVENT_COLUMNS.contains(&c.name))
        .collect();
    let mut sides: Vec<Side> = GROUPS
        .iter()
        .map(|(table, names)| Side {
            table,
            columns: remaining
                .extract_if(.., |c| names.contains(&c.name))
                .collect(),
        })
        .collect();
    sides.push(Side {
        table: "detail",
        columns: remaining,
    });
    sides
});

/// Side tables and their columns, which change together: properties of a thread, of a call, or of the file or socket behind an
/// fd.
const GROUPS: &[(&str, &[&str])] = &[
    (
        "container",
        &[
            "container",
            "container_id",
            "namespace",
            "pod",
            "pod_uid",
            "pod_container",
            "host",
            "boot_id",
        ],
    ),
    (
        "task",
        &["pid", "tid", "ppid", "ns_pid", "uid", "comm", "exe"],
    ),
    (
        "call",
        &[
            "kind", "action", "class", "syscall", "compat", "error", "denied",
        ],
    ),
    (
        "args",
        &[
            "arg0", "arg1", "arg2", "arg3", "arg4", "arg5", "fd", "flags", "mode",
        ],
    ),
    (
        "object",
        &[
            "path",
            "dev",
            "inode",
            "family",
            "protocol",
            "local_addr",
            "local_port",
            "peer_addr",
            "peer_port",
            "peer_path",
            "dns_name",
        ],
    ),
];

/// Returns the SQL statements that create an empty recording.
pub(crate) fn ddl() -> String {
    let mut sql = String::from(
        "create table meta (key text primary key, value text not null) strict, without rowid;\n\
         -- Rows `first` to `last` of `event` began between `start` and `end`. Readers use this to skip rows.\n\
         create table span (first integer primary key, last integer not null, start integer not null, \
         end integer not null) strict;\n",
    );
    for side in SIDES.iter() {
        let columns: String = side.columns.iter().map(|c| definition(c)).collect();
        let table = side.table;
        let _ = writeln!(
            sql,
            "create table {table} (id integer primary key{columns}) strict;"
        );
    }
    let own = EVENT_COLUMNS
        .iter()
        .filter_map(|name| ctrace_schema::columns::index(name));
    let own: String = own.map(|i| definition(&COLUMNS[i])).collect();
    let refs: String = SIDES
        .iter()
        .map(|side| format!(", {} integer references {}", side.reference(), side.table))
        .collect();
    let _ = writeln!(
        sql,
        "create table event (id integer primary key{own}{refs}) strict;"
    );
    let _ = writeln!(sql, "create view events as {};", events_query());
    for view in VIEWS {
        let _ = writeln!(sql, "create view {} as {};", view.name, view.sql);
    }
    sql
}

fn definition(column: &Column) -> String {
    let ty = match column.ty {
        Type::Text => "text",
        _ => "integer",
    };
    let null = if column.nullable { "" } else { " not null" };
    format!(", {} {ty}{null}", column.name)
}

/// Returns the query of the view `events`. SQLite omits the joins with tables whose columns are not used.
fn events_query() -> String {
    let column = |column: &Column| match column.name {
        "seq" => "event.id + event.seq as seq".to_string(),
        name if EVENT_COLUMNS.contains(&name) => format!("event.{name}"),
        name => {
            let side = SIDES
                .iter()
                .find(|s| s.columns.iter().any(|c| c.name == name));
            let table = side.map(|s| s.table).unwrap_or_default();
            format!("{table}.{name} as {name}")
        }
    };
    let columns: Vec<String> = COLUMNS.iter().map(column).collect();
    let joins: String = SIDES
        .iter()
        .map(|side| {
            let (table, reference) = (side.table, side.reference());
            format!("\n    left join {table} on {table}.id = event.{reference}")
        })
        .collect();
    format!("select {}\n    from event{joins}", columns.join(", "))
}

#[cfg(test)]
mod tests;
