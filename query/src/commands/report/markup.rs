//! Markup of the page. All text of recordings is escaped.

use ctrace_schema::text::printable;
use serde_json::Value;

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

/// Returns JSON that can be the content of an element: no text in it ends the element or begins another one.
pub(crate) fn json_text(value: &Value) -> String {
    // In JSON, these characters are in strings only.
    let json = value.to_string();
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\'', "\\u0027")
}

/// Replaces the places `{{NAME}}` of a template by the markup of these names. Markup is not searched for places.
///
/// # Errors
/// The template has a place without markup.
pub(crate) fn filled(template: &str, parts: &[(&str, String)]) -> anyhow::Result<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out += before;
        let found = after.split_once("}}").and_then(|(name, after)| {
            let part = parts.iter().find(|(part, _)| *part == name)?;
            Some((&part.1, after))
        });
        let Some((markup, after)) = found else {
            anyhow::bail!("the template of the page has an unknown place");
        };
        out += markup;
        rest = after;
    }
    Ok(out + rest)
}

#[cfg(test)]
mod tests {
    // A test that cannot unwrap its own constants should fail there.
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use serde_json::json;

    use super::*;

    #[test]
    fn text_is_escaped() {
        assert_eq!(
            escape("<script>a('b') & \"c\"\u{1b}"),
            "&lt;script&gt;a(&#39;b&#39;) &amp; &quot;c&quot;\\x1b"
        );
        let hostile = json!({ "</script>": ["<!--", "&amp;", "x='y'"] });
        let text = json_text(&hostile);
        assert!(!text.contains(['<', '>', '&', '\'']), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), hostile);
    }

    #[test]
    fn markup_is_not_searched_for_places() {
        let part = |name, text: &str| (name, text.to_string());
        let parts = [part("a", "{{b}}"), part("b", "2")];
        assert_eq!(filled("1{{a}}{{b}}3", &parts).unwrap(), "1{{b}}23");
        assert!(filled("{{c}}", &parts).is_err());
    }
}
