//! A page of HTML: its head, headings, notes and tables, all text escaped.

use ctrace_schema::text::printable;

/// The page, as far as it is written.
pub struct Page(String);

impl Page {
    /// Begins a page: what it is of, and when that was.
    pub fn new(title: &str, when: &str) -> Self {
        let (title, when) = (escape(title), escape(when));
        let style = include_str!("style.css");
        Page(format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
             content=\"width=device-width, initial-scale=1\">\n<meta http-equiv=\"Content-Security-Policy\" \
             content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>{title}, {when}</title>\n\
             <style>\n{style}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n<p class=\"when\">{when}</p>\n"
        ))
    }

    /// What was recorded, and how much of it; ends the head.
    pub fn facts(&mut self, facts: &[(&str, String)], numbers: &[(&str, String)]) {
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

    /// Says what is missing.
    pub fn lost(&mut self, text: &str) {
        self.0 += &format!("<p class=\"lost\">{}</p>\n", escape(text));
    }

    /// Links to the sections: id, title, and what is said of how much is there.
    pub fn contents(&mut self, sections: &[(&str, &str, String)]) {
        self.0 += "<nav aria-label=\"Contents\">\n";
        for (id, title, much) in sections {
            self.0 += &format!("<a href=\"#{id}\">{title}<small>{much}</small></a>\n");
        }
        self.0 += "</nav>\n";
    }

    /// A section, the content of which is markup already.
    pub fn section(&mut self, id: &str, title: &str, note: &str, content: &str) {
        self.0 += &format!("<section id=\"{id}\">\n<h2>{title}</h2>\n");
        if !note.is_empty() {
            self.0 += &format!("<p class=\"note\">{note}</p>\n");
        }
        self.0 += &format!("{content}</section>\n");
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
pub fn escape(text: &str) -> String {
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
