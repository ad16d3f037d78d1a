//! The forms of texts: how a text of a column divides into the texts that rules are matched with.

use ctrace_schema::text::{shell_join_escaped, shell_split};
use serde_json::Value;

/// The form of the texts of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One text.
    Plain,
    /// Words that are quoted for a shell.
    Words,
    /// Texts that are separated by spaces.
    List,
    /// A JSON document.
    Json,
}

impl Form {
    /// Returns the form of a column.
    pub(crate) fn of(column: &str) -> Form {
        match column {
            "argv" | "command" => Form::Words,
            "addresses" => Form::List,
            "labels" | "mounts" | "dns_answers" => Form::Json,
            _ => Form::Plain,
        }
    }

    /// Replaces parts of a text with `replace`, which returns `None` for a text that stays as it is. Words are passed to `replace`
    /// as lines, one for each. Returns `None` if the whole text stays as it is.
    pub(crate) fn replaced(
        self,
        text: &str,
        replace: &mut dyn FnMut(&str) -> Option<String>,
    ) -> Option<String> {
        match self {
            Form::Plain => replace(text),
            // Stored text has no line breaks, and neither have hashes.
            Form::Words => {
                let lines = replace(&shell_split(text).join("\n"))?;
                Some(shell_join_escaped(lines.split('\n')))
            }
            Form::List => Some(replace(&text.replace(' ', "\n"))?.replace('\n', " ")),
            Form::Json => match serde_json::from_str(text) {
                Ok(mut value) => {
                    let changed = replace_in(&mut value, None, replace);
                    changed.then(|| value.to_string())
                }
                // Text that was cut, or of another program.
                Err(_) => replace(text),
            },
        }
    }
}

/// Replaces parts of all texts of a JSON value. `key`: the name of the value in its object.
pub(crate) fn replace_in(
    value: &mut Value,
    key: Option<&str>,
    replace: &mut dyn FnMut(&str) -> Option<String>,
) -> bool {
    match value {
        Value::String(text) => {
            let mut new = replace(text);
            if let (None, Some(key)) = (&new, key) {
                // A name may tell that its value is a secret, as in a variable.
                let start = format!("{key}=");
                let pair = replace(&format!("{start}{text}"));
                new = pair.and_then(|pair| Some(pair.strip_prefix(&start)?.to_string()));
            }
            let changed = new.is_some();
            if let Some(new) = new {
                *text = new;
            }
            changed
        }
        Value::Array(values) => {
            let changes = values
                .iter_mut()
                .map(|value| replace_in(value, key, replace));
            changes.fold(false, |any, changed| any | changed)
        }
        Value::Object(pairs) => {
            let (mut changed, mut new) = (false, serde_json::Map::new());
            for (name, mut value) in std::mem::take(pairs) {
                changed |= replace_in(&mut value, Some(&name), replace);
                let other = replace(&name);
                changed |= other.is_some();
                new.insert(other.unwrap_or(name), value);
            }
            *pairs = new;
            changed
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
