//! What the page begins with: where and what was recorded, and what stands out, from the rows of the ready question `summary`.

use std::fmt::Write;

use crate::commands::report::page::escape;
use crate::commands::report::table::{Rows, thousands};

/// What a section of the summary is called on the page, and whether it tells of something that went wrong.
const SECTIONS: &[(&str, &str, bool)] = &[
    ("killed by a signal", "Killed by a signal", true),
    ("ended badly", "Ended with an error", true),
    ("denied by seccomp", "Refused by seccomp", true),
    (FAILURES, "Failed most often", true),
    ("failed calls", "Failed most often", true),
    ("calls of container", "Busiest containers", false),
    ("top calls", "Most frequent calls", false),
    ("time in calls", "Longest in calls", false),
    ("top peers", "Called most often", false),
];
/// The section of failures.
pub const FAILURES: &str = "top failures";
/// Of each section, at most.
const MOST: usize = 6;

/// The summary of a recording.
pub struct Summary(Vec<[String; 3]>);

impl Summary {
    /// From section, item and value.
    pub fn of(rows: &Rows) -> Summary {
        let text = |column, row| rows.text(column, row).unwrap_or_default().to_string();
        let row = |row| ["section", "item", "value"].map(|column| text(column, row));
        Summary((0..rows.count).map(row).collect())
    }

    /// The same with other rows in a section.
    pub fn replace(&mut self, section: &str, rows: &Rows) {
        self.0.retain(|row| row[0] != section);
        self.0.extend(Summary::of(rows).0);
    }

    /// What the recording says of itself.
    pub fn fact(&self, item: &str) -> Option<&str> {
        let mut rows = self.0.iter();
        let found = rows.find(|[section, name, _]| section == "recording" && name == item)?;
        Some(&found[2])
    }

    /// How many rows a section has.
    pub fn count(&self, section: &str) -> usize {
        self.0.iter().filter(|row| row[0] == section).count()
    }

    /// The sections beside each other.
    pub fn cards(&self) -> String {
        let mut out = String::from("<div class=\"cards\">\n");
        for (section, title, bad) in SECTIONS {
            let rows = self.0.iter().filter(|row| row[0] == *section);
            let rows: Vec<_> = rows.collect();
            if rows.is_empty() {
                continue;
            }
            let class = if *bad { "card bad" } else { "card" };
            out += &format!("<section class=\"{class}\"><h3>{title}</h3>\n<ul>\n");
            let number = |text: &str| text.parse::<f64>().ok();
            let most = rows
                .iter()
                .filter_map(|row| number(&row[2]))
                .fold(0.0, f64::max);
            for [_, item, value] in rows.iter().take(MOST) {
                // Writing to a String cannot fail.
                let _ = writeln!(
                    out,
                    "<li><span>{}</span><b>{}</b>{}</li>",
                    escape(item),
                    escape(&thousands(value)),
                    match number(value).filter(|_| most > 0.0) {
                        Some(n) => format!("<i style=\"width:{:.1}%\"></i>", n / most * 100.0),
                        None => String::new(),
                    }
                );
            }
            if rows.len() > MOST {
                let _ = writeln!(
                    out,
                    "<li class=\"note\">and {} more</li>",
                    rows.len() - MOST
                );
            }
            out += "</ul></section>\n";
        }
        out + "</div>\n"
    }
}
