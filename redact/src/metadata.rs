//! The metadata of a redacted recording: the texts in it, and what it says about the redaction.

use ctrace_schema::meta;
use serde_json::{Map, Value, json};

use crate::form::replace_in;
use crate::redactor::Redactor;

/// The greatest depth of merged recordings in the metadata of merged recordings.
const MAX_DEPTH: usize = 32;

/// The flags that name containers and threads, in the filters of a recording and the conditions of a part, and the column whose
/// rules apply to their values.
const FLAGS: [(&str, &str); 7] = [
    ("comm", "comm"),
    ("exclude-comm", "comm"),
    ("container", "container"),
    ("exclude-container", "container"),
    ("pod", "pod"),
    ("namespace", "namespace"),
    ("label", "labels"),
];
/// The flags whose values are words of the format, numbers and times.
const FIXED_FLAGS: [&str; 9] = [
    "event",
    "exclude-event",
    "set",
    "exclude-set",
    "host",
    "mode",
    "max-cpu",
    "since",
    "until",
];

impl Redactor {
    /// Redacts pairs of metadata. Pairs with keys that this build does not know are left out.
    pub fn pairs(&self, pairs: Vec<(String, String)>) -> Vec<(String, String)> {
        self.pairs_at(pairs, MAX_DEPTH)
    }

    /// Returns what the metadata say about this redaction, after earlier ones, as the value of [`meta::KEY_REDACTED`]. `values`: the
    /// number of replaced values for each rule, if they are counted; `time`: ns since 1970 UTC.
    pub fn entry(
        &self,
        earlier: Option<&str>,
        values: Option<&[u64]>,
        producer: &str,
        time: u64,
    ) -> String {
        let rules = self.rules.rules.iter().enumerate();
        let rules = rules.map(|(i, rule)| {
            let count = values.and_then(|values| values.get(i));
            (rule.name.clone(), json!(count))
        });
        let entry = json!({
            "rules": rules.collect::<Map<_, _>>(),
            "key": self.key.fingerprint(),
            "random": self.key.is_random,
            "sha256": self.rules.sha256,
            "producer": producer,
            "time": time,
        });
        let earlier = earlier.and_then(|text| serde_json::from_str::<Vec<Value>>(text).ok());
        let mut entries = earlier.unwrap_or_default();
        entries.push(entry);
        Value::from(entries).to_string()
    }

    fn pairs_at(&self, pairs: Vec<(String, String)>, depth: usize) -> Vec<(String, String)> {
        let pairs = pairs.into_iter().filter_map(|(key, value)| {
            let value = self.value(&key, value, depth)?;
            Some((key, value))
        });
        pairs.collect()
    }

    /// Redacts a value. Returns `None` for the value of an unknown key.
    fn value(&self, key: &str, value: String, depth: usize) -> Option<String> {
        Some(match key {
            meta::KEY_SCHEMA
            | meta::KEY_PRODUCER
            | meta::KEY_BOOT_ID
            | meta::KEY_KERNEL
            | meta::KEY_ARCH
            | meta::KEY_START
            | meta::KEY_END
            | meta::KEY_CLOCKS
            | meta::KEY_EVENTS
            | meta::KEY_LOST
            | meta::KEY_SHED
            | meta::KEY_MISSED
            | meta::KEY_RUN
            | meta::KEY_ALIVE
            | meta::KEY_DIGEST
            | meta::KEY_PREVIOUS
            | meta::KEY_REDACTED => value,
            meta::KEY_HOST => self.in_column("host", value),
            meta::KEY_FILTERS => self.object(&value, |name, value| self.filter(name, value))?,
            meta::KEY_DUMP => self.object(&value, |name, value| self.dump(name, value))?,
            meta::KEY_CUT | meta::KEY_MERGED => {
                self.object(&value, |name, value| self.origin(name, value, depth))?
            }
            _ => return None,
        })
    }

    fn in_column(&self, column: &str, text: String) -> String {
        self.text(column, &text)
            .map_or(text, |redacted| redacted.text)
    }

    /// Redacts the values of a JSON object, each with `redact`. Returns `None` if `text` is none.
    fn object(&self, text: &str, redact: impl Fn(&str, &mut Value)) -> Option<String> {
        let mut object: Map<String, Value> = serde_json::from_str(text).ok()?;
        for (name, value) in &mut object {
            redact(name, value);
        }
        Some(Value::from(object).to_string())
    }

    /// Redacts the values of a flag in the filters of a recording, or in the conditions of a part.
    fn filter(&self, flag: &str, value: &mut Value) {
        if FIXED_FLAGS.contains(&flag) {
            return;
        }
        let Some((_, column)) = FLAGS.iter().find(|(name, _)| *name == flag) else {
            return self.hide(value);
        };
        replace_in(value, None, &mut |text| match *column {
            "labels" => self.label(text),
            column => Some(self.text(column, text)?.text),
        });
    }

    /// Redacts a label that is written as `KEY=VALUE`.
    fn label(&self, text: &str) -> Option<String> {
        let (key, value) = text.split_once('=')?;
        let object = json!({ key: value }).to_string();
        let redacted = self.text("labels", &object)?.text;
        let object: Map<String, Value> = serde_json::from_str(&redacted).ok()?;
        let (key, value) = object.into_iter().next()?;
        Some(format!("{key}={}", value.as_str()?))
    }

    /// Redacts a value of the reason of a dump.
    fn dump(&self, name: &str, value: &mut Value) {
        match name {
            "condition" => self.hide(value),
            "uid" => {
                let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
                if let Some((new, _)) = id.and_then(|id| self.id(id)) {
                    *value = new.into();
                }
            }
            _ => {}
        }
    }

    /// Redacts a value of the origin of a part, or of a merged recording.
    fn origin(&self, name: &str, value: &mut Value, depth: usize) {
        match (name, value) {
            // SQL may have any text in it, and so may the names of files.
            ("sql", value) => self.hide(value),
            ("conditions", Value::Object(conditions)) => {
                for (flag, value) in conditions {
                    self.filter(flag, value);
                }
            }
            ("from", Value::Array(from)) => {
                for file in from.iter_mut().filter_map(Value::as_object_mut) {
                    if let Some(name) = file.get_mut("name") {
                        self.hide(name);
                    }
                    let Some(Value::Object(pairs)) = file.get_mut("meta") else {
                        continue;
                    };
                    let texts = std::mem::take(pairs).into_iter();
                    let texts =
                        texts.filter_map(|(key, value)| Some((key, value.as_str()?.to_string())));
                    if depth > 0 {
                        let new = self.pairs_at(texts.collect(), depth - 1);
                        pairs.extend(new.into_iter().map(|(key, text)| (key, text.into())));
                    }
                }
            }
            ("time", _) => {}
            // Nothing else is known to be harmless.
            (_, value) => self.hide(value),
        }
    }

    /// Replaces all text of a value.
    fn hide(&self, value: &mut Value) {
        replace_in(value, None, &mut |text| Some(self.whole("text", text)));
    }
}
