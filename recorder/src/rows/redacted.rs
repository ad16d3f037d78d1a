//! Rows of which texts are replaced before a sink sees them (`--redact`).
//!
//! The strings of a batch are shared by all columns and include texts that no row has, so the redacted rows have strings of their
//! own: each text of each column that a row has, after its redaction.

use std::ops::Range;
use std::sync::Arc;

use ctrace_redact::{ID_COLUMNS, Redacted, RedactionCache, is_id};
use ctrace_schema::columns::{COLUMNS, Type};
use rustc_hash::FxHashMap;

use crate::rows::Events;
use crate::rows::batch::Strings;
use crate::rows::runs::{Series, for_each_common_run};

/// Redacted rows.
pub(crate) struct RedactedRows<'a> {
    events: &'a dyn Events,
    strings: Strings,
    /// For each text column, the new string of each string that the column has.
    texts: FxHashMap<&'static str, FxHashMap<i64, i64>>,
    /// The new string of `path_arg`, by the strings of `path` and `path_arg`.
    path_args: FxHashMap<(Option<i64>, i64), i64>,
    /// The ids that are replaced; empty if no rule applies to ids.
    ids: FxHashMap<i64, i64>,
}

impl<'a> RedactedRows<'a> {
    /// Redacts the rows of `events`.
    pub(crate) fn new(events: &'a dyn Events, cache: &mut RedactionCache) -> RedactedRows<'a> {
        let mut rows = RedactedRows {
            events,
            strings: Strings::default(),
            texts: FxHashMap::default(),
            path_args: FxHashMap::default(),
            ids: FxHashMap::default(),
        };
        for column in COLUMNS.iter().filter(|column| column.ty == Type::Text) {
            match column.name {
                "path_arg" => rows.add_path_args(cache),
                name => rows.add_texts(name, cache),
            }
        }
        if cache.redactor().applies_to("uid") {
            rows.add_ids(cache);
        }
        rows
    }

    fn add_texts(&mut self, column: &'static str, cache: &mut RedactionCache) {
        let old = self.events.strings();
        let series = self.events.column(column);
        let mut new = FxHashMap::default();
        for text in series.runs().iter().filter_map(|run| run.value()) {
            new.entry(text).or_insert_with(|| {
                let text = &old[text as usize];
                intern(&mut self.strings, text, cache.text(column, text))
            });
        }
        self.events.return_buffer(series);
        self.texts.insert(column, new);
    }

    fn add_path_args(&mut self, cache: &mut RedactionCache) {
        let old = self.events.strings();
        let [path, path_arg] = ["path", "path_arg"].map(|name| self.events.column(name));
        for_each_common_run(&[path.runs(), path_arg.runs()], |values, _| {
            let (path, Some(path_arg)) = (values[0], values[1]) else {
                return;
            };
            self.path_args.entry((path, path_arg)).or_insert_with(|| {
                let path = path.map(|path| &*old[path as usize]);
                let text = &old[path_arg as usize];
                intern(&mut self.strings, text, cache.path_arg(path, text))
            });
        });
        self.events.return_buffer(path);
        self.events.return_buffer(path_arg);
    }

    fn add_ids(&mut self, cache: &RedactionCache) {
        let (events, redactor) = (self.events, cache.redactor());
        let (calls, strings) = (events.column("syscall"), events.strings());
        for column in ID_COLUMNS {
            let numbers = events.column(column);
            for_each_common_run(&[calls.runs(), numbers.runs()], |values, _| {
                let call = values[0].map_or("", |call| &*strings[call as usize]);
                let id = values[1].filter(|_| is_id(column, call));
                if let Some((id, new)) = id.and_then(|id| Some((id, redactor.id_number(id)?.0))) {
                    self.ids.insert(id, new);
                }
            });
            events.return_buffer(numbers);
        }
        events.return_buffer(calls);
    }

    /// Returns a column of `events`, which are these rows or a range of them, after its redaction.
    fn column_of(&self, events: &dyn Events, name: &str) -> Series {
        if name == "path_arg" {
            return self.path_arg_of(events);
        }
        let series = events.column(name);
        let Some(new) = self.texts.get(name) else {
            return match ID_COLUMNS.contains(&name) && !self.ids.is_empty() {
                true => self.number_of(events, name, series),
                false => series,
            };
        };
        let mut redacted = Series::default();
        for run in series.runs() {
            let text = run.value().and_then(|old| new.get(&old).copied());
            redacted.push(text, run.rows());
        }
        events.return_buffer(series);
        redacted
    }

    fn path_arg_of(&self, events: &dyn Events) -> Series {
        let [path, path_arg] = ["path", "path_arg"].map(|name| events.column(name));
        let mut redacted = Series::default();
        for_each_common_run(&[path.runs(), path_arg.runs()], |values, rows| {
            let new = values[1].and_then(|arg| self.path_args.get(&(values[0], arg)));
            redacted.push(new.copied(), rows);
        });
        events.return_buffer(path);
        events.return_buffer(path_arg);
        redacted
    }

    /// Redacts the numbers of a column that are ids.
    fn number_of(&self, events: &dyn Events, column: &str, numbers: Series) -> Series {
        let (calls, strings) = (events.column("syscall"), events.strings());
        let mut redacted = Series::default();
        for_each_common_run(&[calls.runs(), numbers.runs()], |values, rows| {
            let call = values[0].map_or("", |call| &*strings[call as usize]);
            let new = values[1].map(|number| {
                let new = self.ids.get(&number).filter(|_| is_id(column, call));
                new.copied().unwrap_or(number)
            });
            redacted.push(new, rows);
        });
        events.return_buffer(calls);
        events.return_buffer(numbers);
        redacted
    }
}

/// Returns the index of a text after its redaction.
fn intern(strings: &mut Strings, text: &Arc<str>, redacted: Option<Redacted>) -> i64 {
    let index = match redacted {
        Some(redacted) => strings.intern(&redacted.text),
        None => strings.intern_shared(text),
    };
    index.into()
}

impl Events for RedactedRows<'_> {
    fn rows(&self) -> usize {
        self.events.rows()
    }

    fn strings(&self) -> &[Arc<str>] {
        &self.strings.list
    }

    fn column(&self, name: &str) -> Series {
        self.column_of(self.events, name)
    }

    fn slice(&self, rows: Range<usize>) -> Option<Box<dyn Events + '_>> {
        let part = self.events.slice(rows)?;
        Some(Box::new(RedactedPart { part, rows: self }))
    }

    fn take_buffer(&self, rows: usize) -> Series {
        self.events.take_buffer(rows)
    }

    fn return_buffer(&self, column: Series) {
        self.events.return_buffer(column);
    }
}

/// A range of redacted rows.
struct RedactedPart<'a> {
    part: Box<dyn Events + 'a>,
    rows: &'a RedactedRows<'a>,
}

impl Events for RedactedPart<'_> {
    fn rows(&self) -> usize {
        self.part.rows()
    }

    fn strings(&self) -> &[Arc<str>] {
        self.rows.strings()
    }

    fn column(&self, name: &str) -> Series {
        self.rows.column_of(&*self.part, name)
    }

    fn take_buffer(&self, rows: usize) -> Series {
        self.part.take_buffer(rows)
    }

    fn return_buffer(&self, column: Series) {
        self.part.return_buffer(column);
    }
}

#[cfg(test)]
mod tests {
    use ctrace_redact::{Key, Redactor, Rules, Switches};
    use ctrace_schema::columns::index;

    use super::*;
    use crate::rows::single::{SingleRows, Value};

    #[test]
    fn redacted_rows_hold_no_old_text() {
        let switches = Switches {
            on: vec!["users".into()],
            off: vec![],
        };
        let file = "[rules.customers]\nprefixes = ['/srv/customers']";
        let rules = Rules::new(Some(file), &switches).expect("are rules");
        let key = Key::new(b"0123456789abcdef".to_vec()).expect("is a key");
        let mut cache = RedactionCache::new(Arc::new(Redactor::new(rules, key)));
        let mut rows = SingleRows::new();
        let text =
            |column: &str, text: &str| (index(column).expect("a column"), Value::Text(text.into()));
        let number =
            |column: &str, number| (index(column).expect("a column"), Value::Number(number));
        rows.push(&[
            text("syscall", "openat"),
            text("path", "/srv/customers/acme"),
            text("path_arg", "acme"),
            number("arg1", 1000),
            number("uid", 1000),
        ]);
        rows.push(&[
            text("syscall", "setuid"),
            number("arg0", 1000),
            number("uid", 0),
        ]);
        rows.push(&[
            text("syscall", "openat"),
            text("path_arg", "acme"),
            text("argv", "a --token=abc"),
        ]);
        let redacted = RedactedRows::new(&rows, &mut cache);
        let all = redacted.strings().join("\n");
        assert!(!all.contains("abc") && !all.contains("/acme"), "{all}");
        let texts = |name: &str| -> Vec<String> {
            let series = redacted.column(name);
            let text = |value: Option<i64>| {
                value.map_or(String::new(), |i| {
                    redacted.strings()[i as usize].to_string()
                })
            };
            series.iter().map(text).collect()
        };
        assert!(texts("path_arg")[0].starts_with("<redacted:customers:"));
        assert_eq!(texts("path_arg")[1..], ["", "acme"]);
        let (id, _) = cache.redactor().id_number(1000).expect("is replaced");
        let numbers = |name: &str| redacted.column(name).iter().collect::<Vec<_>>();
        assert_eq!(numbers("uid"), [Some(id), Some(0), None]);
        assert_eq!(numbers("arg0"), [None, Some(id), None]);
        assert_eq!(numbers("arg1"), [Some(1000), None, None]);
    }
}
