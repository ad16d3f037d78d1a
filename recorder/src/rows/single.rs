//! Single rows, value by value: those that are kept of what is gone, and those that say what is missing.

use std::sync::Arc;

use ctrace_schema::columns::COLUMNS;

use crate::rows::Events;
use crate::rows::batch::Strings;
use crate::rows::runs::Series;

/// A value; text is any text, truth 0 or 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Of a column that is not text.
    Number(i64),
    /// Of one that is.
    Text(Arc<str>),
}

/// Rows that are put together one by one.
pub(crate) struct SingleRows {
    rows: usize,
    strings: Strings,
    /// By column.
    series: Vec<Series>,
}

impl SingleRows {
    /// None yet.
    pub(crate) fn new() -> SingleRows {
        SingleRows {
            rows: 0,
            strings: Strings::default(),
            series: COLUMNS.iter().map(|_| Series::default()).collect(),
        }
    }

    /// Adds a row that has these values, and no others, by column.
    pub(crate) fn push(&mut self, values: &[(usize, Value)]) {
        for (i, series) in self.series.iter_mut().enumerate() {
            let value = values.iter().find(|(column, _)| *column == i);
            let value = value.map(|(_, value)| match value {
                Value::Number(number) => *number,
                Value::Text(text) => self.strings.intern_shared(text).into(),
            });
            series.push(value, 1);
        }
        self.rows += 1;
    }
}

impl Events for SingleRows {
    fn rows(&self) -> usize {
        self.rows
    }

    fn strings(&self) -> &[Arc<str>] {
        &self.strings.list
    }

    fn column(&self, name: &str) -> Series {
        let column = ctrace_schema::columns::index(name);
        column.map_or_else(Series::default, |i| self.series[i].clone())
    }
}
