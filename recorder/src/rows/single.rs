//! Rows that are created one at a time, from values: gap rows, and the rows of live containers and processes that were
//! evicted from the ring.

use std::sync::Arc;

use ctrace_schema::columns::COLUMNS;

use crate::rows::Events;
use crate::rows::batch::Strings;
use crate::rows::runs::Series;

/// A value of a column. A boolean is the number 0 or 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Number(i64),
    Text(Arc<str>),
}

/// Rows that are built one at a time.
pub(crate) struct SingleRows {
    rows: usize,
    strings: Strings,
    /// The values of each column of [`COLUMNS`].
    series: Vec<Series>,
}

impl SingleRows {
    pub(crate) fn new() -> SingleRows {
        SingleRows {
            rows: 0,
            strings: Strings::default(),
            series: COLUMNS.iter().map(|_| Series::default()).collect(),
        }
    }

    /// Appends a row with these values, each with the index of its column. All other columns are null.
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
