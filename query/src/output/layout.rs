//! The layout of a table on a terminal, where each row is one line. Values that all rows share are printed once above the
//! table; text is cut, numbers and times are not; if the table is still too wide, columns are left out.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use arrow::datatypes::DataType;
use ctrace_schema::text::short_id;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The cells of a row, as text.
pub(crate) type TextRow = Vec<String>;

/// The space between two columns.
pub(crate) const GAP: &str = "  ";
/// Width in terminal columns below which text and names are unreadable.
const MIN_TEXT_WIDTH: usize = 16;
/// Number of rows up to which a list is easier to read than a table with fewer columns.
const FEW_ROWS: usize = 2;
/// Columns that say what happened, and that are left out last.
const ANSWERS: &[&str] = &[
    "error",
    "dns_name",
    "subject",
    "waits_for",
    "state",
    "longest",
    "name",
    "code",
    "path",
    "address",
];
/// The maximum width of a value above the table.
const SHARED_WIDTH: usize = 40;

/// The kind of values in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CellKind {
    Number,
    /// A time such as `2026-11-21 03:12:05.123456789`.
    Time,
    Text,
}

impl CellKind {
    pub(crate) fn new(ty: &DataType) -> Self {
        match ty {
            DataType::Timestamp(..) => CellKind::Time,
            ty if ty.is_numeric() => CellKind::Number,
            _ => CellKind::Text,
        }
    }
}

/// A way to shorten the cells of a column without loss.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shortening {
    None,
    Id,
    Time {
        /// The date that is left out.
        date: String,
        /// Digits of the fraction of a second.
        digits: usize,
    },
}

/// A column of the table.
#[derive(Clone, Debug)]
struct TableColumn {
    /// Index of the column in the answer.
    index: usize,
    kind: CellKind,
    shortening: Shortening,
    /// The name of the column, in one line or two.
    name: Vec<String>,
    /// Width of the widest cell.
    cell_width: usize,
    width: usize,
}

impl TableColumn {
    fn name_width(&self) -> usize {
        self.name.iter().map(|line| line.width()).max().unwrap_or(0)
    }

    /// Returns the width of the column if there is enough space.
    fn natural_width(&self) -> usize {
        self.cell_width.max(self.name_width())
    }

    fn min_width(&self) -> usize {
        let cells = match (self.kind, &self.shortening) {
            (CellKind::Text, Shortening::None) => self.cell_width.min(MIN_TEXT_WIDTH),
            _ => self.cell_width,
        };
        cells.max(self.name_width().min(MIN_TEXT_WIDTH))
    }

    fn cell<'a>(&self, row: &'a TextRow) -> Cow<'a, str> {
        let cell = row[self.index].as_str();
        match &self.shortening {
            Shortening::None => cell.into(),
            Shortening::Id => short_id(cell).into(),
            Shortening::Time { date, digits } => short_time(cell, date, *digits).into(),
        }
    }

    fn measure(&mut self, rows: &[TextRow]) {
        let cells = rows.iter().map(|row| self.cell(row).width());
        self.cell_width = cells.max().unwrap_or(0);
        self.width = self.natural_width();
    }
}

/// The columns of a table, and the notes above them.
#[derive(Debug)]
pub(crate) struct TableLayout {
    columns: Vec<TableColumn>,
    /// The date of all times, if the cells are shown without it; else empty.
    date: String,
    notes: Vec<String>,
    /// True if cells that are too wide are cut.
    cuts: bool,
}

impl TableLayout {
    /// Creates a layout that shows everything in full width.
    pub(crate) fn full(names: &[String], kinds: &[CellKind], rows: &[TextRow]) -> Self {
        let columns = names.iter().zip(kinds).enumerate();
        let columns = columns.map(|(index, (name, kind))| {
            let mut column = TableColumn {
                index,
                kind: *kind,
                shortening: Shortening::None,
                name: vec![name.clone()],
                cell_width: 0,
                width: 0,
            };
            column.measure(rows);
            column
        });
        TableLayout {
            columns: columns.collect(),
            date: String::new(),
            notes: Vec::new(),
            cuts: false,
        }
    }

    /// Creates a layout with lines of at most `max_width` terminal columns; `None`: it would be unreadable. `complete`:
    /// `rows` are the whole answer.
    pub(crate) fn fitted(
        names: &[String],
        kinds: &[CellKind],
        rows: &[TextRow],
        complete: bool,
        max_width: usize,
    ) -> Option<Self> {
        let mut layout = TableLayout::full(names, kinds, rows);
        layout.cuts = true;
        if layout.width() <= max_width {
            return Some(layout);
        }
        layout.shorten(rows, 9);
        if layout.width() > max_width {
            if complete && rows.len() > 1 {
                layout.move_shared_values(rows);
            }
            layout.shorten(rows, 3);
            layout.stack_names();
        }
        let few = complete && rows.len() <= FEW_ROWS;
        if !layout.narrow(max_width) && (few || !layout.drop_columns(max_width)) {
            return None;
        }
        Some(layout)
    }

    fn width(&self) -> usize {
        let gaps = GAP.len() * self.columns.len().saturating_sub(1);
        self.columns.iter().map(|c| c.width).sum::<usize>() + gaps
    }

    /// Shortens ids to their first digits, and times by a date that all of them share and to as many digits, at most
    /// `max_digits`, as keep them distinct.
    fn shorten(&mut self, rows: &[TextRow], max_digits: usize) {
        let times = self.columns.iter().filter(|c| c.kind == CellKind::Time);
        let dates = times.flat_map(|c| rows.iter().filter_map(|row| date(&row[c.index])));
        let dates: BTreeSet<&str> = dates.collect();
        let date = match dates.first() {
            Some(date) if dates.len() == 1 => (*date).to_string(),
            _ => String::new(),
        };
        for column in &mut self.columns {
            let cells = || {
                let cells = rows.iter().map(|row| row[column.index].as_str());
                cells.filter(|cell| !cell.is_empty())
            };
            column.shortening = match column.kind {
                CellKind::Time => Shortening::Time {
                    date: date.clone(),
                    digits: distinct_digits(cells()).min(max_digits),
                },
                CellKind::Text if are_ids(cells()) => Shortening::Id,
                _ => Shortening::None,
            };
            column.measure(rows);
        }
        self.date = date;
    }

    /// Moves columns with the same value in every row into the notes.
    fn move_shared_values(&mut self, rows: &[TextRow]) {
        let [first, others @ ..] = rows else { return };
        let (mut same, mut empty) = (Vec::new(), Vec::new());
        let same_in_all = |c: &TableColumn| others.iter().all(|row| row[c.index] == first[c.index]);
        if self.columns.iter().all(same_in_all) {
            return;
        }
        self.columns.retain(|column| {
            let all = same_in_all(column);
            if all && first[column.index].is_empty() {
                empty.push(column.name.concat());
            } else if all {
                let cell = cut(&column.cell(first), SHARED_WIDTH);
                same.push(format!("{} {cell}", column.name.concat()));
            }
            !all
        });
        if !same.is_empty() {
            self.notes.push(format!("every row: {}", same.join(", ")));
        }
        if !empty.is_empty() {
            self.notes.push(format!("empty: {}", empty.join(", ")));
        }
    }

    /// Breaks names that are wider than their cells into two lines.
    fn stack_names(&mut self) {
        for column in &mut self.columns {
            let name = column.name.concat();
            let breaks = name.match_indices('_').map(|(at, _)| at + 1);
            let breaks = breaks.filter(|at| *at < name.len());
            let widest = |at: &usize| (*at).max(name.len() - at);
            if name.is_ascii()
                && name.len() > column.cell_width
                && let Some(at) = breaks.min_by_key(widest)
            {
                column.name = vec![name[..at].to_string(), name[at..].to_string()];
                column.width = column.natural_width();
            }
        }
    }

    /// Narrows the widest columns until the table fits into `max_width`. Returns whether it fits.
    fn narrow(&mut self, max_width: usize) -> bool {
        while self.width() > max_width {
            let wide = self.columns.iter_mut().filter(|c| c.width > c.min_width());
            match wide.max_by_key(|c| c.width) {
                Some(widest) => widest.width -= 1,
                None => return false,
            }
        }
        true
    }

    /// Leaves out columns, times first and then text and numbers, from the right, and [`ANSWERS`] last, but neither the first
    /// nor the widest text, and at most half of all. Returns whether the others fit.
    fn drop_columns(&mut self, max_width: usize) -> bool {
        let texts = self.columns.iter().filter(|c| c.kind == CellKind::Text);
        let widest = texts
            .max_by_key(|c| (c.cell_width, c.index))
            .map(|c| c.index);
        let first = self.columns.first().map(|c| c.index);
        let needed = |c: &TableColumn| Some(c.index) == first || Some(c.index) == widest;
        let (mut shown, mut dropped) = (self.columns.clone(), Vec::new());
        let kinds = [CellKind::Time, CellKind::Text, CellKind::Number];
        let kinds = [false, true].map(|is_answer| kinds.map(|kind| (is_answer, kind)));
        for (is_answer, kind) in kinds.into_iter().flatten() {
            let can_go = |c: &TableColumn| {
                let name = c.name.concat();
                c.kind == kind && ANSWERS.contains(&name.as_str()) == is_answer && !needed(c)
            };
            while min_table_width(&shown) > max_width
                && let Some(i) = shown.iter().rposition(can_go)
            {
                dropped.push(shown.remove(i));
            }
        }
        if min_table_width(&shown) > max_width || dropped.len() > shown.len() {
            return false;
        }
        dropped.sort_by_key(|column| column.index);
        let names: Vec<_> = dropped.iter().map(|column| column.name.concat()).collect();
        self.notes.push(format!(
            "columns left out to fit the terminal: {} (`--format vertical` shows them)",
            names.join(", ")
        ));
        self.columns = shown;
        for column in &mut self.columns {
            column.width = column.natural_width();
        }
        self.narrow(max_width)
    }

    /// Returns the lines above the rows: notes, column names, and a rule.
    pub(crate) fn header(&self, max_width: Option<usize>) -> Vec<String> {
        let max_width = max_width.unwrap_or(usize::MAX);
        let date = Some(format!("all times are on {} UTC", self.date));
        let date = date.filter(|_| !self.date.is_empty());
        let notes = date.iter().chain(&self.notes);
        let mut lines: Vec<_> = notes.flat_map(|line| wrap(line, max_width)).collect();
        let height = self.columns.iter().map(|c| c.name.len()).max().unwrap_or(1);
        for i in 0..height {
            lines.push(self.line(|column| {
                // A name of one line is in the last one.
                let line = (i + column.name.len()).checked_sub(height);
                let name = line.map_or("", |line| &column.name[line]);
                match self.cuts {
                    true => cut(name, column.width),
                    false => name.into(),
                }
            }));
        }
        lines.push(self.line(|column| "-".repeat(column.width)));
        lines
    }

    pub(crate) fn row(&self, row: &TextRow) -> String {
        self.line(|column| {
            let cell = column.cell(row);
            match column.kind {
                // Numbers and times are never cut: a row after the sample may have a longer number, or another date.
                CellKind::Text if self.cuts => cut(&cell, column.width),
                _ => cell.into_owned(),
            }
        })
    }

    fn line(&self, text: impl Fn(&TableColumn) -> String) -> String {
        let mut line = String::new();
        for (i, column) in self.columns.iter().enumerate() {
            if i > 0 {
                line.push_str(GAP);
            }
            let text = text(column);
            let pad = " ".repeat(column.width.saturating_sub(text.width()));
            match column.kind {
                CellKind::Number => line.extend([pad, text]),
                _ => line.extend([text, pad]),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

fn min_table_width(columns: &[TableColumn]) -> usize {
    let gaps = GAP.len() * columns.len().saturating_sub(1);
    columns.iter().map(TableColumn::min_width).sum::<usize>() + gaps
}

/// The length of a complete time, and the ends of its date and its second.
const TIME_END: usize = "2026-11-21 03:12:05.123456789".len();
const DATE_END: usize = "2026-11-21".len();
const SECOND_END: usize = "2026-11-21 03:12:05".len();

fn date(time: &str) -> Option<&str> {
    time.get(..DATE_END).filter(|_| time.len() == TIME_END)
}

/// Returns a time without its date, if that is `date`, and with `digits` digits of the fraction of a second.
fn short_time<'a>(time: &'a str, date: &str, digits: usize) -> &'a str {
    if time.len() != TIME_END {
        return time;
    }
    let end = match digits {
        0 => SECOND_END,
        digits => SECOND_END + 1 + digits,
    };
    let begin = match time.starts_with(date) && !date.is_empty() {
        true => DATE_END + 1,
        false => 0,
    };
    time.get(begin..end).unwrap_or(time)
}

/// Returns the digits of the fraction of a second that keep times distinct: 0, 3, 6 or 9.
fn distinct_digits<'a>(times: impl Iterator<Item = &'a str>) -> usize {
    let times: HashSet<&str> = times.collect();
    let zero = |t: &&str| {
        t.get(SECOND_END..)
            .is_some_and(|f| f.trim_end_matches('0') == ".")
    };
    if times.iter().all(zero) {
        return 0;
    }
    let distinct = |digits: &usize| {
        let short: HashSet<&str> = times.iter().map(|t| short_time(t, "", *digits)).collect();
        short.len() == times.len()
    };
    [3, 6].into_iter().find(distinct).unwrap_or(9)
}

/// Returns whether all cells are ids of containers, and stay distinct when shortened.
fn are_ids<'a>(cells: impl Iterator<Item = &'a str>) -> bool {
    let cells: HashSet<&str> = cells.collect();
    let is_id = |cell: &&str| short_id(cell) != *cell;
    let short: HashSet<&str> = cells.iter().map(|cell| short_id(cell)).collect();
    !cells.is_empty() && cells.iter().all(is_id) && short.len() == cells.len()
}

/// Cuts `text` to at most `width` terminal columns, with … for the middle: the end of a path is a file's name, and the end
/// of a call its result.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_string();
    }
    let max_width = width.saturating_sub(1);
    let tail = max_width * 2 / 5;
    let mut out = String::new();
    out.extend(prefix(text.chars(), max_width - tail));
    out.push('…');
    let end: Vec<char> = prefix(text.chars().rev(), tail).collect();
    out.extend(end.iter().rev());
    out
}

/// Returns the first characters, as many as fit into `width` terminal columns.
fn prefix(chars: impl Iterator<Item = char>, width: usize) -> impl Iterator<Item = char> {
    chars.scan(0, move |used, c| {
        *used += c.width().unwrap_or(0);
        (*used <= width).then_some(c)
    })
}

/// Breaks a text at spaces into lines of at most `width` terminal columns.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        if let Some(line) = lines.last_mut() {
            if line.is_empty() {
                line.push_str(word);
                continue;
            }
            if line.width() + 1 + word.width() <= width {
                line.extend([" ", word]);
                continue;
            }
        }
        lines.push(format!("  {word}"));
    }
    lines
}

#[cfg(test)]
mod tests;
