//! Filters of the player: what the event under the cursor is about, as conditions.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use ctrace_schema::text::printable;

use crate::questions::literal;

/// A condition for the events that are played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    /// The condition as it is shown.
    pub(super) text: String,
    pub(super) sql: String,
}

/// Something that an event is about, by which events can be chosen or left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    /// The key that chooses it; the capital letter leaves it out.
    pub(super) key: char,
    /// The name of the column.
    name: &'static str,
    value: String,
    sql: String,
}

/// Columns by which events can be chosen, and their keys.
const COLUMNS: [(char, &str); 9] = [
    ('c', "container"),
    ('p', "pid"),
    ('m', "comm"),
    ('s', "syscall"),
    ('e', "error"),
    ('f', "path"),
    ('a', "peer_addr"),
    ('d', "dns_name"),
    ('k', "kind"),
];

/// Returns what an event, a batch of one row, is about.
pub(super) fn subjects(event: &RecordBatch) -> Vec<Subject> {
    let text = |name: &str| value(event, name);
    let subject = |(key, name): &(char, &'static str)| {
        let value = text(name)?;
        let equal = match *name {
            "pid" => format!("pid = {value}"),
            _ => format!("{name} = {}", literal(&value)),
        };
        // A container is known by its id on its host, and a process by its pid on its host.
        let mut conditions = vec![equal];
        if *name == "container"
            && let Some(id) = text("container_id")
        {
            conditions = vec![format!("container_id = {}", literal(&id))];
        }
        if matches!(*name, "container" | "pid")
            && let Some(host) = text("host")
        {
            conditions.push(format!("host = {}", literal(&host)));
        }
        if *name == "pid"
            && let Some(boot) = text("boot_id")
        {
            conditions.push(format!("boot_id = {}", literal(&boot)));
        }
        Some(Subject {
            key: *key,
            name,
            value: printable(&value).into_owned(),
            sql: conditions.join(" and "),
        })
    };
    COLUMNS.iter().filter_map(subject).collect()
}

/// Returns the value of a column in a batch of one row as text; `None`: null.
pub(super) fn value(event: &RecordBatch, name: &str) -> Option<String> {
    let column = cast(event.column_by_name(name)?, &DataType::Utf8).ok()?;
    let column = column.as_string_opt::<i32>()?;
    (!column.is_empty() && column.is_valid(0)).then(|| column.value(0).to_string())
}

impl Subject {
    /// Returns the line of a menu.
    pub(super) fn label(&self) -> String {
        format!("{} = {}", self.name, self.value)
    }

    /// Returns the filter that chooses, or leaves out, the events about it.
    pub(super) fn filter(&self, is_left_out: bool) -> Filter {
        match is_left_out {
            false => Filter {
                text: format!("{} = {}", self.name, self.value),
                sql: format!("({})", self.sql),
            },
            true => Filter {
                text: format!("{} ≠ {}", self.name, self.value),
                sql: format!("(({}) is not true)", self.sql),
            },
        }
    }
}
