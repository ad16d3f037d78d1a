//! A table of the page: as HTML with its first rows, and as JSON with all of them, from which the page's script sorts and filters.

use std::fmt::Write;

use ctrace_schema::text::printable;
use ctrace_schema::{human, strace};
use serde_json::{Value, json};

use crate::commands::report::clock::PageClock;
use crate::commands::report::counts::{Counts, span};
use crate::commands::report::markup::escape;
use crate::commands::report::rows::AnswerRows;
use crate::commands::report::sections::{CellFormat, PageColumn, ReportSection};
use crate::questions::TimeBuckets;

/// Rows of a table that are shown at first.
pub(crate) const FIRST_ROWS: usize = 25;
/// Characters of a cell.
const MAX_CELL: usize = 400;
const MS_NS: f64 = 1e6;

/// A section with the rows of its table.
pub(crate) struct SectionTable {
    pub(crate) section: &'static ReportSection,
    pub(crate) rows: AnswerRows,
    /// True if the answer has more rows.
    pub(crate) is_cut: bool,
    /// The counts by time of each row, one for each counted column; empty if the rows are not counted by time.
    pub(crate) counts: Vec<Vec<Counts>>,
}

/// A cell: its text, and the number by which it is sorted.
struct Cell {
    text: String,
    number: Option<f64>,
}

impl Cell {
    fn text(text: String) -> Cell {
        Cell { text, number: None }
    }
}

impl PageColumn {
    fn cell(&self, rows: &AnswerRows, row: usize, clock: PageClock) -> Option<Cell> {
        let number = |name| rows.number::<f64>(name, row);
        let cell = match self.format {
            CellFormat::Text(name) => Cell::text(rows.text(name, row)?.to_string()),
            CellFormat::Joined(names, between) => {
                let parts = names.iter().filter_map(|name| rows.text(name, row));
                let text = parts.collect::<Vec<_>>().join(between);
                Cell::text(Some(text).filter(|text| !text.is_empty())?)
            }
            CellFormat::Number(name) => Cell {
                text: thousands(rows.text(name, row)?),
                number: number(name),
            },
            CellFormat::Bytes(name) => {
                let bytes: i64 = rows.number(name, row)?;
                let text = match bytes {
                    0 => "0".to_string(),
                    n => human::bytes(n.unsigned_abs()),
                };
                let number = Some(bytes as f64);
                Cell { text, number }
            }
            CellFormat::Duration(name) => {
                let us = number(name)?;
                let text = human::duration((us * 1e3) as i64);
                let number = Some(us);
                Cell { text, number }
            }
            CellFormat::Time(name) => Cell {
                text: clock.time(rows.number(name, row)?),
                number: number(name).map(|ns| ns / MS_NS),
            },
            CellFormat::Span(first, last) => Cell {
                text: clock.between(rows.number(first, row), rows.number(last, row))?,
                number: number(first).or(number(last)).map(|ns| ns / MS_NS),
            },
            CellFormat::End(code, signal) => {
                let signal = rows.number::<i64>(signal, row).map(strace::signal);
                let code = rows.text(code, row).map(|code| format!("exit code {code}"));
                Cell::text(signal.or(code)?)
            }
        };
        let text = clipped(&cell.text);
        Some(Cell { text, ..cell })
    }

    /// Returns whether the cells are numbers, times, or names that are not broken across lines: the class of the cells.
    fn class(&self) -> &'static str {
        match self.format {
            CellFormat::Number(_) | CellFormat::Bytes(_) | CellFormat::Duration(_) => "n",
            CellFormat::Time(_) | CellFormat::Span(..) | CellFormat::End(..) => "w",
            CellFormat::Text(
                "container" | "syscall" | "error" | "id" | "pid" | "ppid" | "comm" | "source"
                | "target",
            ) => "k",
            _ => "",
        }
    }

    /// Returns the place of the column among the counted columns of its section.
    fn count(&self, section: &ReportSection) -> Option<usize> {
        let CellFormat::Number(name) = self.format else {
            return None;
        };
        let counts = section.counted.as_ref()?.counts;
        counts.iter().position(|count| *count == name)
    }
}

/// Returns the columns that have a value, with their cells.
fn shown<'a>(
    rows: &AnswerRows,
    columns: &'a [PageColumn],
    clock: PageClock,
) -> Vec<(&'a PageColumn, Vec<Option<Cell>>)> {
    let cells = |column: &PageColumn| -> Vec<_> {
        (0..rows.count)
            .map(|row| column.cell(rows, row, clock))
            .collect()
    };
    let all = columns.iter().map(|column| (column, cells(column)));
    all.filter(|(_, cells)| cells.iter().any(Option::is_some))
        .collect()
}

/// Formats the first rows of a table as HTML.
pub(crate) fn html_table(
    rows: &AnswerRows,
    columns: &[PageColumn],
    clock: PageClock,
    limit: usize,
) -> String {
    let shown = shown(rows, columns, clock);
    let mut out = String::from("<table>\n<thead><tr>");
    // Writing to a String cannot fail.
    for (column, _) in &shown {
        let (class, heading) = (column.class(), column.heading);
        let _ = write!(out, "<th scope=\"col\" class=\"{class}\">{heading}</th>");
    }
    out += "</tr></thead>\n<tbody>\n";
    for row in 0..rows.count.min(limit) {
        out += "<tr>";
        for (column, cells) in &shown {
            let _ = match &cells[row] {
                Some(cell) => write!(
                    out,
                    "<td class=\"{}\" data-h=\"{}\">{}</td>",
                    column.class(),
                    column.heading,
                    escape(&cell.text)
                ),
                None => write!(out, "<td></td>"),
            };
        }
        out += "</tr>\n";
    }
    out + "</tbody>\n</table>\n"
}

impl SectionTable {
    /// Formats the first rows as HTML.
    pub(crate) fn html(&self, clock: PageClock) -> String {
        match self.rows.count {
            0 => "<p>None.</p>\n".to_string(),
            _ => html_table(&self.rows, self.section.columns, clock, FIRST_ROWS),
        }
    }

    /// Returns the table for the page's script. `names` are the containers of the page.
    pub(crate) fn json(&self, clock: PageClock, buckets: TimeBuckets, names: &[String]) -> Value {
        let shown = shown(&self.rows, self.section.columns, clock);
        let is_counted = !self.counts.is_empty();
        let columns = shown.iter().map(|(column, _)| {
            json!({
                "heading": column.heading,
                "class": column.class(),
                "count": column.count(self.section).filter(|_| is_counted),
                "failure": column.is_failure,
            })
        });
        let columns: Vec<_> = columns.collect();
        let row = |row: usize| -> Vec<Value> {
            let cells = shown.iter().map(|(_, cells)| cells[row].as_ref());
            cells.map(json_cell).collect()
        };
        let rows = 0..self.rows.count;
        let mut table = json!({
            "question": self.section.question,
            "columns": columns,
            "rows": rows.clone().map(row).collect::<Vec<_>>(),
            "containers": rows.clone().map(|row| self.containers(row, names)).collect::<Vec<_>>(),
        });
        if is_counted {
            let runs = |counts: &Vec<Counts>| counts.iter().map(Counts::runs).collect::<Vec<_>>();
            table["counts"] = self.counts.iter().map(runs).collect();
        }
        let lasts = self
            .section
            .counted
            .as_ref()
            .is_some_and(|counted| counted.lasts);
        if let Some((first, last)) = self.section.span.filter(|_| lasts || !is_counted) {
            let time = |column, row| self.rows.number::<i64>(column, row);
            table["spans"] = rows
                .map(|row| json!(span(buckets, time(first, row), time(last, row))))
                .collect();
        }
        table
    }

    /// Returns the places of the containers of a row among the `names`.
    fn containers(&self, row: usize, names: &[String]) -> Vec<usize> {
        let columns = self.section.containers.iter();
        let names = columns.filter_map(|(host, name)| {
            let name = self.rows.container(host, name, row)?;
            names.iter().position(|other| *other == name)
        });
        names.collect()
    }
}

/// Returns a number, or text, or text and the number by which it is sorted.
fn json_cell(cell: Option<&Cell>) -> Value {
    let Some(cell) = cell else {
        return Value::Null;
    };
    let text = printable(&cell.text);
    match cell.number {
        None => json!(text),
        // Whole numbers of this size are exact in the page's script.
        Some(n)
            if n.fract() == 0.0 && n.abs() < 9e15 && thousands(&(n as i64).to_string()) == text =>
        {
            json!(n as i64)
        }
        Some(n) => json!([text, n]),
    }
}

/// Returns at most [`MAX_CELL`] characters of a text.
fn clipped(text: &str) -> String {
    match text.char_indices().nth(MAX_CELL) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

/// Separates the thousands of a whole number; returns other text unchanged.
pub(crate) fn thousands(text: &str) -> String {
    text.parse().map_or_else(|_| text.to_string(), human::count)
}

#[cfg(test)]
mod tests {
    // A test that cannot unwrap its own constants should fail there.
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

    use super::*;
    use crate::commands::report::sections::SECTIONS;
    use crate::source::TimeSpan;

    #[test]
    fn columns_without_values_are_left_out() {
        let text = |text: Option<&str>| Arc::new(StringArray::from(vec![text])) as ArrayRef;
        let long = "é".repeat(500);
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("container", text(Some("<web>")), true),
            ("image", text(None), true),
            ("runtime", text(Some(&long)), true),
            ("namespace", text(Some("shop")), true),
            ("pod", text(Some("web-1")), true),
            (
                "calls",
                Arc::new(Int64Array::from(vec![1_234_567])) as ArrayRef,
                true,
            ),
        ])
        .unwrap();
        let rows = AnswerRows::new(&[batch], 25).unwrap();
        let clock = PageClock::new(TimeSpan::EPOCH);
        let is_wanted = |section: &&ReportSection| section.question == "containers";
        let section = SECTIONS.iter().find(is_wanted).unwrap();
        let html = html_table(&rows, section.columns, clock, 25);
        assert!(
            html.contains(">&lt;web&gt;</td>") && html.contains(">shop/web-1</td>"),
            "{html}"
        );
        assert!(html.contains(">1,234,567</td>"), "{html}");
        assert!(
            html.contains(&format!(">{}…</td>", "é".repeat(400))),
            "{html}"
        );
        assert!(!html.contains("Image") && !html.contains("Began"), "{html}");
        assert_eq!(thousands("2.50s"), "2.50s");
        let table = SectionTable {
            section,
            rows,
            is_cut: false,
            counts: vec![],
        };
        let buckets = TimeBuckets::new(TimeSpan::EPOCH, 240);
        let json = table.json(clock, buckets, &["<web>".to_string()]);
        assert_eq!(json["rows"][0][0], "<web>");
        assert_eq!(json["rows"][0][3], 1_234_567);
        assert_eq!(json["containers"], json!([[0]]));
    }
}
