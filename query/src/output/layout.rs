//! How a table is laid out on a terminal, where each row is one line: what all rows have in common is said once above it,
//! text is cut, numbers and times are not, and where that is not enough, columns are left out.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use arrow::datatypes::DataType;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The cells of a row, as text.
pub type Row = Vec<String>;

/// What stands between two columns.
pub const GAP: &str = "  ";
/// Columns of a terminal below which text and names say nothing.
const LEAST: usize = 16;
/// So many rows can be read one below the other.
const FEW: usize = 2;
/// Digits of a container's id that tell it from others, as docker prints them.
const ID: usize = 12;
/// A value that is said once is no longer than this.
const SAID: usize = 40;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Number,
    /// As `2026-11-21 03:12:05.123456789`.
    Time,
    Text,
}

impl Kind {
    pub fn of(ty: &DataType) -> Self {
        match ty {
            DataType::Timestamp(..) => Kind::Time,
            ty if ty.is_numeric() => Kind::Number,
            _ => Kind::Text,
        }
    }
}

/// How much of a cell is shown where there is room.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Short {
    No,
    Id,
    /// Without the day, if it is this one, and with so many digits behind the second.
    Time(String, usize),
}

/// A column in its place.
#[derive(Clone, Debug)]
struct Column {
    /// Which it is of the answer.
    at: usize,
    kind: Kind,
    short: Short,
    /// In one line, or in two.
    name: Vec<String>,
    /// Width of the widest cell.
    cells: usize,
    width: usize,
}

impl Column {
    fn name_width(&self) -> usize {
        self.name.iter().map(|line| line.width()).max().unwrap_or(0)
    }

    /// Its width where there is room.
    fn natural(&self) -> usize {
        self.cells.max(self.name_width())
    }

    /// Its least width.
    fn floor(&self) -> usize {
        let cells = match (self.kind, &self.short) {
            (Kind::Text, Short::No) => self.cells.min(LEAST),
            _ => self.cells,
        };
        cells.max(self.name_width().min(LEAST))
    }

    fn cell<'a>(&self, row: &'a Row) -> Cow<'a, str> {
        let cell = row[self.at].as_str();
        match &self.short {
            Short::No => cell.into(),
            Short::Id => cell.get(..ID).unwrap_or(cell).into(),
            Short::Time(day, digits) => time(cell, day, *digits).into(),
        }
    }

    fn measure(&mut self, rows: &[Row]) {
        let cells = rows.iter().map(|row| self.cell(row).width());
        self.cells = cells.max().unwrap_or(0);
        self.width = self.natural();
    }
}

/// Columns in their places, and what is said above them.
#[derive(Debug)]
pub struct Layout {
    columns: Vec<Column>,
    /// That of all times, where they are shown without it.
    day: String,
    above: Vec<String>,
    /// Whether what is too wide is cut.
    cuts: bool,
}

impl Layout {
    /// Everything, as wide as it is.
    pub fn whole(names: &[String], kinds: &[Kind], rows: &[Row]) -> Self {
        let columns = names.iter().zip(kinds).enumerate();
        let columns = columns.map(|(at, (name, kind))| {
            let mut column = Column {
                at,
                kind: *kind,
                short: Short::No,
                name: vec![name.clone()],
                cells: 0,
                width: 0,
            };
            column.measure(rows);
            column
        });
        Layout {
            columns: columns.collect(),
            day: String::new(),
            above: Vec::new(),
            cuts: false,
        }
    }

    /// In lines of at most `room` columns. `complete`: there are no more rows than these. None: it cannot be read so.
    pub fn fitted(
        names: &[String],
        kinds: &[Kind],
        rows: &[Row],
        complete: bool,
        room: usize,
    ) -> Option<Self> {
        let mut layout = Layout::whole(names, kinds, rows);
        layout.cuts = true;
        if layout.width() <= room {
            return Some(layout);
        }
        layout.shorten(rows, 9);
        if layout.width() > room {
            if complete && rows.len() > 1 {
                layout.say_once(rows);
            }
            layout.shorten(rows, 3);
            layout.stack_names();
        }
        let few = complete && rows.len() <= FEW;
        if !layout.narrow(room) && (few || !layout.leave_out(room)) {
            return None;
        }
        Some(layout)
    }

    fn width(&self) -> usize {
        let gaps = GAP.len() * self.columns.len().saturating_sub(1);
        self.columns.iter().map(|c| c.width).sum::<usize>() + gaps
    }

    /// Ids by the digits that tell them apart; times without the day that all have, and with as many digits, up to `most`,
    /// as tell them apart.
    fn shorten(&mut self, rows: &[Row], most: usize) {
        let times = self.columns.iter().filter(|c| c.kind == Kind::Time);
        let days = times.flat_map(|c| rows.iter().filter_map(|row| day(&row[c.at])));
        let days: BTreeSet<&str> = days.collect();
        let day = match days.first() {
            Some(day) if days.len() == 1 => (*day).to_string(),
            _ => String::new(),
        };
        for column in &mut self.columns {
            let cells = || {
                let cells = rows.iter().map(|row| row[column.at].as_str());
                cells.filter(|cell| !cell.is_empty())
            };
            column.short = match column.kind {
                Kind::Time => Short::Time(day.clone(), digits(cells()).min(most)),
                Kind::Text if are_ids(cells()) => Short::Id,
                _ => Short::No,
            };
            column.measure(rows);
        }
        self.day = day;
    }

    /// Columns with the same in every row are said above.
    fn say_once(&mut self, rows: &[Row]) {
        let [first, others @ ..] = rows else { return };
        let (mut same, mut empty) = (Vec::new(), Vec::new());
        let same_in_all = |c: &Column| others.iter().all(|row| row[c.at] == first[c.at]);
        if self.columns.iter().all(same_in_all) {
            return;
        }
        self.columns.retain(|column| {
            let all = same_in_all(column);
            if all && first[column.at].is_empty() {
                empty.push(column.name.concat());
            } else if all {
                let cell = cut(&column.cell(first), SAID);
                same.push(format!("{} {cell}", column.name.concat()));
            }
            !all
        });
        if !same.is_empty() {
            self.above.push(format!("every row: {}", same.join(", ")));
        }
        if !empty.is_empty() {
            self.above.push(format!("empty: {}", empty.join(", ")));
        }
    }

    /// Names that are wider than what stands below them, on two lines.
    fn stack_names(&mut self) {
        for column in &mut self.columns {
            let name = column.name.concat();
            let breaks = name.match_indices('_').map(|(at, _)| at + 1);
            let breaks = breaks.filter(|at| *at < name.len());
            let widest = |at: &usize| (*at).max(name.len() - at);
            if name.is_ascii()
                && name.len() > column.cells
                && let Some(at) = breaks.min_by_key(widest)
            {
                column.name = vec![name[..at].to_string(), name[at..].to_string()];
                column.width = column.natural();
            }
        }
    }

    /// Takes from the widest columns until all fit into `room`, or are down to their least width. Whether they fit.
    fn narrow(&mut self, room: usize) -> bool {
        while self.width() > room {
            let wide = self.columns.iter_mut().filter(|c| c.width > c.floor());
            match wide.max_by_key(|c| c.width) {
                Some(widest) => widest.width -= 1,
                None => return false,
            }
        }
        true
    }

    /// Leaves columns out, times first and then text, from the right, but not the first, nor the widest text, and at most
    /// half of them. Whether the others fit then.
    fn leave_out(&mut self, room: usize) -> bool {
        let texts = self.columns.iter().filter(|c| c.kind == Kind::Text);
        let widest = texts.max_by_key(|c| (c.cells, c.at)).map(|c| c.at);
        let first = self.columns.first().map(|c| c.at);
        let spared = |c: &Column| Some(c.at) == first || Some(c.at) == widest;
        let (mut left, mut out) = (self.columns.clone(), Vec::new());
        for kind in [Kind::Time, Kind::Text, Kind::Number] {
            while floors(&left) > room
                && let Some(i) = left.iter().rposition(|c| c.kind == kind && !spared(c))
            {
                out.push(left.remove(i));
            }
        }
        if floors(&left) > room || out.len() > left.len() {
            return false;
        }
        out.sort_by_key(|column| column.at);
        let names: Vec<_> = out.iter().map(|column| column.name.concat()).collect();
        self.above.push(format!(
            "left out, for want of room: {} (`--format vertical` has them)",
            names.join(", ")
        ));
        self.columns = left;
        for column in &mut self.columns {
            column.width = column.natural();
        }
        self.narrow(room)
    }

    /// What stands above the rows: what is said once, the names, and a rule.
    pub fn head(&self, room: Option<usize>) -> Vec<String> {
        let room = room.unwrap_or(usize::MAX);
        let day = Some(format!("times are of {} UTC", self.day));
        let day = day.filter(|_| !self.day.is_empty());
        let above = day.iter().chain(&self.above);
        let mut lines: Vec<_> = above.flat_map(|line| wrap(line, room)).collect();
        let tall = self.columns.iter().map(|c| c.name.len()).max().unwrap_or(1);
        for i in 0..tall {
            lines.push(self.line(|column| {
                // A name of one line stands on the last one.
                let line = (i + column.name.len()).checked_sub(tall);
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

    /// A row.
    pub fn row(&self, row: &Row) -> String {
        self.line(|column| {
            let cell = column.cell(row);
            match column.kind {
                // A later row may hold a longer number than the first ones, or a time of another day.
                Kind::Text if self.cuts => cut(&cell, column.width),
                _ => cell.into_owned(),
            }
        })
    }

    fn line(&self, text: impl Fn(&Column) -> String) -> String {
        let mut line = String::new();
        for (i, column) in self.columns.iter().enumerate() {
            if i > 0 {
                line.push_str(GAP);
            }
            let text = text(column);
            let pad = " ".repeat(column.width.saturating_sub(text.width()));
            match column.kind {
                Kind::Number => line.extend([pad, text]),
                _ => line.extend([text, pad]),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// The least width of a table of these.
fn floors(columns: &[Column]) -> usize {
    let gaps = GAP.len() * columns.len().saturating_sub(1);
    columns.iter().map(Column::floor).sum::<usize>() + gaps
}

/// The length of a time that is written out, and where its day and its second end.
const TIME: usize = "2026-11-21 03:12:05.123456789".len();
const DAY: usize = "2026-11-21".len();
const SECOND: usize = "2026-11-21 03:12:05".len();

/// The day of a time.
fn day(time: &str) -> Option<&str> {
    time.get(..DAY).filter(|_| time.len() == TIME)
}

/// A time without `day`, if it is of that, and with so many digits behind the second.
fn time<'a>(time: &'a str, day: &str, digits: usize) -> &'a str {
    if time.len() != TIME {
        return time;
    }
    let end = match digits {
        0 => SECOND,
        digits => SECOND + 1 + digits,
    };
    let begin = match time.starts_with(day) && !day.is_empty() {
        true => DAY + 1,
        false => 0,
    };
    time.get(begin..end).unwrap_or(time)
}

/// How many digits behind the second tell times apart: none, 3, 6 or 9.
fn digits<'a>(times: impl Iterator<Item = &'a str>) -> usize {
    let times: HashSet<&str> = times.collect();
    let zero = |t: &&str| {
        t.get(SECOND..)
            .is_some_and(|f| f.trim_end_matches('0') == ".")
    };
    if times.iter().all(zero) {
        return 0;
    }
    let apart = |digits: &usize| {
        let short: HashSet<&str> = times.iter().map(|t| time(t, "", *digits)).collect();
        short.len() == times.len()
    };
    [3, 6].into_iter().find(apart).unwrap_or(9)
}

/// Whether all are ids of containers, of which the first digits differ where the whole does.
fn are_ids<'a>(cells: impl Iterator<Item = &'a str>) -> bool {
    let cells: HashSet<&str> = cells.collect();
    let is_id = |cell: &&str| cell.len() == 64 && cell.bytes().all(|b| b.is_ascii_hexdigit());
    let short: HashSet<&str> = cells.iter().filter_map(|cell| cell.get(..ID)).collect();
    !cells.is_empty() && cells.iter().all(is_id) && short.len() == cells.len()
}

/// `text` in at most `width` columns, with … for what is left out of its middle: a path ends with what it names, a call
/// with its result.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_string();
    }
    let room = width.saturating_sub(1);
    let tail = room * 2 / 5;
    let mut out = String::new();
    out.extend(taken(text.chars(), room - tail));
    out.push('…');
    let end: Vec<char> = taken(text.chars().rev(), tail).collect();
    out.extend(end.iter().rev());
    out
}

/// The first characters that fit into so many columns.
fn taken(chars: impl Iterator<Item = char>, width: usize) -> impl Iterator<Item = char> {
    chars.scan(0, move |used, c| {
        *used += c.width().unwrap_or(0);
        (*used <= width).then_some(c)
    })
}

/// A line in lines of at most `width` columns, broken at spaces.
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
#[path = "layout_tests.rs"]
mod tests;
