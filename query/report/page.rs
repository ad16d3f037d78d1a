//! A page of HTML: headings, notes and tables, all text escaped.

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use ctrace_schema::text::printable;

use crate::output::cells;
use crate::window::Span;

/// The page, as far as it is written.
pub struct Page(String);

impl Page {
    /// Begins a page about recordings with these `names`.
    pub fn new(names: &str, window: Span, containers: &[String]) -> Self {
        let time =
            |time: chrono::DateTime<chrono::Utc>| time.format("%Y-%m-%d %H:%M:%S").to_string();
        let of = match containers.is_empty() {
            true => String::new(),
            false => format!(", {}", containers.join(", ")),
        };
        let about = escape(&format!(
            "{names}{of}, {} to {} UTC",
            time(window.start),
            time(window.end)
        ));
        let style = include_str!("style.css");
        Page(format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
             content=\"width=device-width, initial-scale=1\">\n<meta http-equiv=\"Content-Security-Policy\" \
             content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>ctrace: {about}</title>\n\
             <style>\n{style}</style>\n</head>\n<body>\n<h1>What happened</h1>\n<p>{about}</p>\n"
        ))
    }

    /// Says what is missing.
    pub fn lost(&mut self, text: &str) {
        self.0 += &format!("<p class=\"lost\">{}</p>\n", escape(text));
    }

    /// A drawing, which is markup already.
    pub fn drawing(&mut self, title: &str, svg: &str) {
        self.0 += &format!("<h2>{}</h2>\n{svg}\n", escape(title));
    }

    /// A table of at most `limit` rows. `command` tells where there are more.
    ///
    /// # Errors
    /// That a value cannot be shown.
    pub fn table(
        &mut self,
        title: &str,
        note: &str,
        batches: &[RecordBatch],
        limit: usize,
        command: &str,
    ) -> anyhow::Result<()> {
        self.0 += &format!(
            "<h2>{}</h2>\n<p class=\"note\">{}</p>\n",
            escape(title),
            escape(note)
        );
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let Some(first) = batches.first().filter(|_| rows > 0) else {
            self.0 += "<p>None.</p>\n";
            return Ok(());
        };
        let schema = first.schema();
        let fields = schema.fields();
        let class = |i: usize| match fields[i].data_type().is_numeric() {
            true => " class=\"n\"",
            false => "",
        };
        self.0 += "<div class=\"wide\"><table>\n<tr>";
        for (i, field) in fields.iter().enumerate() {
            let name = printable(field.name()).replace('_', " ");
            self.0 += &format!("<th{}>{}</th>", class(i), escape(&name));
        }
        self.0 += "</tr>\n";
        let mut left = limit;
        for batch in batches {
            for row in cells(batch)?.into_iter().take(left) {
                self.0 += "<tr>";
                for (i, cell) in row.iter().enumerate() {
                    let time = matches!(fields[i].data_type(), DataType::Timestamp(..));
                    // To a millisecond: 2026-11-21 03:12:05.123
                    let cell = if time {
                        cell.get(..23).unwrap_or(cell)
                    } else {
                        cell
                    };
                    self.0 += &format!("<td{}>{}</td>", class(i), escape(cell));
                }
                self.0 += "</tr>\n";
                left -= 1;
            }
        }
        self.0 += "</table></div>\n";
        if rows > limit {
            self.0 += &format!(
                "<p class=\"note\">These are the first {limit}; <code>{}</code> has all.</p>\n",
                escape(command)
            );
        }
        Ok(())
    }

    /// The whole page.
    pub fn end(self) -> String {
        let version = env!("CARGO_PKG_VERSION");
        self.0
            + &format!(
                "<footer>Made by ctrace-query {version}. Times are UTC.</footer>\n</body>\n</html>"
            )
    }
}

/// Text that is text in HTML, also within an attribute, and that no terminal obeys.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_markup() {
        assert_eq!(
            escape("<script>a('b') & \"c\"\u{1b}"),
            "&lt;script&gt;a(&#39;b&#39;) &amp; &quot;c&quot;\\x1b"
        );
    }
}
