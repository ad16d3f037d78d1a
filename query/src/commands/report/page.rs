//! A page of HTML. All text is escaped.

use ctrace_schema::text::printable;

/// The page written so far.
pub(crate) struct HtmlPage(String);

impl HtmlPage {
    /// Begins a page about a time window.
    pub(crate) fn new(title: &str, window: &str) -> Self {
        let (title, window) = (escape(title), escape(window));
        let style = include_str!("style.css");
        HtmlPage(format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
             content=\"width=device-width, initial-scale=1\">\n<meta http-equiv=\"Content-Security-Policy\" \
             content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>{title}, {window}</title>\n\
             <style>\n{style}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n<p class=\"when\">{window}</p>\n"
        ))
    }

    /// Adds facts about the recording and the most important numbers; ends the header.
    pub(crate) fn facts(&mut self, facts: &[(&str, String)], numbers: &[(&str, String)]) {
        self.0 += "<dl class=\"facts\">\n";
        for (name, value) in facts {
            self.0 += &format!("<div><dt>{name}</dt><dd>{}</dd></div>\n", escape(value));
        }
        self.0 += "</dl>\n</header>\n<dl class=\"numbers\">\n";
        for (name, value) in numbers {
            self.0 += &format!("<div><dt>{name}</dt><dd>{}</dd></div>\n", escape(value));
        }
        self.0 += "</dl>\n";
    }

    /// Adds a warning of events that the page lacks.
    pub(crate) fn warning(&mut self, text: &str) {
        self.0 += &format!("<p class=\"lost\">{}</p>\n", escape(text));
    }

    /// Adds links to the sections: id, title, and number of rows.
    pub(crate) fn contents(&mut self, sections: &[(&str, &str, String)]) {
        self.0 += "<nav aria-label=\"Contents\">\n";
        for (id, title, rows) in sections {
            self.0 += &format!("<a href=\"#{id}\">{title}<small>{rows}</small></a>\n");
        }
        self.0 += "</nav>\n";
    }

    /// Adds a section. `content` is markup.
    pub(crate) fn section(&mut self, id: &str, title: &str, note: &str, content: &str) {
        self.0 += &format!("<section id=\"{id}\">\n<h2>{title}</h2>\n");
        if !note.is_empty() {
            self.0 += &format!("<p class=\"note\">{note}</p>\n");
        }
        self.0 += &format!("{content}</section>\n");
    }

    /// Returns the complete page.
    pub(crate) fn finish(self) -> String {
        let version = env!("CARGO_PKG_VERSION");
        self.0
            + &format!(
                "<footer>Made by ctrace-query {version}. Times are UTC.</footer>\n</body>\n</html>"
            )
    }
}

/// Escapes text for HTML, including attributes, and the control characters in it.
pub(crate) fn escape(text: &str) -> String {
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
    fn text_is_escaped() {
        assert_eq!(
            escape("<script>a('b') & \"c\"\u{1b}"),
            "&lt;script&gt;a(&#39;b&#39;) &amp; &quot;c&quot;\\x1b"
        );
    }
}
