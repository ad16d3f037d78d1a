//! The top of the page: facts about the recording, and its most notable numbers, from the ready question `summary`.

use std::fmt::Write;

use crate::commands::report::markup::escape;
use crate::commands::report::rows::AnswerRows;
use crate::commands::report::table::thousands;

/// Section of the summary, title on the page, and whether the section lists failures.
const SECTIONS: &[(&str, &str, bool)] = &[
    ("rule fired", "Rules that fired", true),
    ("events lost", "Events lost", true),
    ("set-up failed", "Set-up failed", true),
    ("out of memory", "Out of memory", true),
    ("killed by a signal", "Killed by a signal", true),
    ("top failures", "Failed", true),
    ("denied by seccomp", "Refused by seccomp", true),
    ("ended badly", "Ended with an error", true),
    ("failed calls", "Failed most often", true),
    ("calls of container", "Busiest containers", false),
    ("top calls", "Most frequent calls", false),
    ("time in calls", "Longest in calls", false),
    ("top peers", "Called most often", false),
];
/// Number of rows shown of each section.
const MAX_ROWS: usize = 6;

/// The rows of the summary: section, item and value.
pub(crate) struct RecordingSummary(Vec<[String; 3]>);

impl RecordingSummary {
    pub(crate) fn new(rows: &AnswerRows) -> RecordingSummary {
        let text = |column, row| rows.text(column, row).unwrap_or_default().to_string();
        let row = |row| ["section", "item", "value"].map(|column| text(column, row));
        RecordingSummary((0..rows.count).map(row).collect())
    }

    /// Returns the value of an item of the recording's metadata.
    pub(crate) fn fact(&self, item: &str) -> Option<&str> {
        let mut rows = self.0.iter();
        let found = rows.find(|[section, name, _]| section == "recording" && name == item)?;
        Some(&found[2])
    }

    /// Returns the number of rows of a section.
    pub(crate) fn count(&self, section: &str) -> usize {
        self.0.iter().filter(|row| row[0] == section).count()
    }

    /// Formats the sections as HTML cards.
    pub(crate) fn cards(&self) -> String {
        let mut out = String::from("<div class=\"cards\">\n");
        for (section, title, is_failure) in SECTIONS {
            let rows = self.0.iter().filter(|row| row[0] == *section);
            let rows: Vec<_> = rows.collect();
            if rows.is_empty() {
                continue;
            }
            let class = if *is_failure { "card bad" } else { "card" };
            out += &format!("<section class=\"{class}\"><h3>{title}</h3>\n<ul>\n");
            let number = |text: &str| text.parse::<f64>().ok();
            let max = rows
                .iter()
                .filter_map(|row| number(&row[2]))
                .fold(0.0, f64::max);
            for [_, item, value] in rows.iter().take(MAX_ROWS) {
                // Writing to a String cannot fail.
                let _ = writeln!(
                    out,
                    "<li><span>{}</span><b>{}</b>{}</li>",
                    escape(item),
                    escape(&thousands(value)),
                    match number(value).filter(|_| max > 0.0) {
                        Some(n) => format!(
                            "<svg class=\"share\" viewBox=\"0 0 100 1\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
                             <rect width=\"{:.1}\" height=\"1\"/></svg>",
                            n / max * 100.0
                        ),
                        None => String::new(),
                    }
                );
            }
            if rows.len() > MAX_ROWS {
                let _ = writeln!(
                    out,
                    "<li class=\"note\">and {} more</li>",
                    rows.len() - MAX_ROWS
                );
            }
            out += "</ul></section>\n";
        }
        out + "</div>\n"
    }
}
