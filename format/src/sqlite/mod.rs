//! A recording as an SQLite database: the table `event` with a row for each event, and side tables for what repeats, such
//! as threads, files and sockets.
//!
//! The view `events` puts them together again, with the columns of [`ctrace_schema::columns`]; the other views stand on it, and
//! the table `meta` holds the metadata. A column that is new in a later version is added to the side table `detail`.

mod writer;

use std::fmt::Write;
use std::sync::LazyLock;

use ctrace_schema::columns::{COLUMNS, Column, Type};
use ctrace_schema::views::VIEWS;

pub use writer::{WriteError, Writer};

/// The columns that differ from row to row, and stand in the table `event` itself.
///
/// `seq` stands there as what to add to the row's `id`: 0 where rows come in the order of `seq`, which takes no byte.
pub const OWN: &[&str] = &["time", "duration", "seq", "ret", "bytes"];

/// A table of columns that take few values together. A row of `event` refers to its row by `TABLE_ref`, which is null
/// where all of these columns are.
#[derive(Debug)]
pub struct Side {
    /// Its name.
    pub table: &'static str,
    /// Its columns beside `id`, the primary key.
    pub columns: Vec<&'static Column>,
}

impl Side {
    /// The column of `event` that refers to it.
    pub fn reference(&self) -> String {
        format!("{}_ref", self.table)
    }
}

/// Every column that is not in [`OWN`] is in one of them.
pub static SIDES: LazyLock<Vec<Side>> = LazyLock::new(|| {
    let mut rest: Vec<&Column> = COLUMNS.iter().filter(|c| !OWN.contains(&c.name)).collect();
    let mut sides: Vec<Side> = NAMED
        .iter()
        .map(|(table, names)| Side {
            table,
            columns: rest.extract_if(.., |c| names.contains(&c.name)).collect(),
        })
        .collect();
    sides.push(Side {
        table: "detail",
        columns: rest,
    });
    sides
});

/// What goes together: what a thread is, what a call is, what an fd refers to.
const NAMED: &[(&str, &[&str])] = &[
    ("container", &["container", "container_id", "host"]),
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

/// The statements that make an empty recording.
pub fn ddl() -> String {
    let mut sql = String::from(
        "create table meta (key text primary key, value text not null) strict, without rowid;\n\
         -- Rows `first` to `last` of `event` began between `start` and `end`: where to look for a time.\n\
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
    let own = OWN
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
    let _ = writeln!(sql, "create view events as {};", wide());
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

/// The query behind the view `events`. SQLite leaves out the joins of which nothing is asked.
fn wide() -> String {
    let column = |column: &Column| match column.name {
        "seq" => "event.id + event.seq as seq".to_string(),
        name if OWN.contains(&name) => format!("event.{name}"),
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
