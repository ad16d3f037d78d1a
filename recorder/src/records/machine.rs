//! The machine on which a recording is made.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ctrace_redact::Redactor;
use ctrace_schema::meta;
use ctrace_schema::text::printable;
use serde::{Deserialize, Serialize};

/// The machine, and the settings of the recording that a replay needs. Header of a raw capture; the fields become
/// metadata of the recording (`ctrace_schema::meta`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) host: String,
    pub(crate) boot_id: String,
    pub(crate) kernel: String,
    pub(crate) arch: String,
    pub(crate) filters: serde_json::Value,
    pub(crate) record_host: bool,
    /// CLOCK_BOOTTIME at the start of the recording, ns, which distinguishes the recorders of a boot; `None`: not
    /// known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<u64>,
    /// The replacement of texts in the recording; `None`: texts stay.
    #[serde(skip)]
    pub(crate) redaction: Option<Redaction>,
}

/// The redaction of a recording.
#[derive(Clone, Debug)]
pub(crate) struct Redaction {
    pub(crate) redactor: Arc<Redactor>,
    /// Value of [`meta::KEY_REDACTED`].
    entry: String,
}

impl Redaction {
    /// Returns metadata after their redaction, and the pair that tells about the redaction.
    pub(crate) fn pairs(&self, pairs: Vec<(&'static str, String)>) -> Vec<(&'static str, String)> {
        let redact = |(key, value): (&'static str, String)| {
            let pairs = self.redactor.pairs(vec![(key.to_string(), value)]);
            pairs.into_iter().map(move |(_, value)| (key, value))
        };
        let entry = (meta::KEY_REDACTED, self.entry.clone());
        pairs
            .into_iter()
            .flat_map(redact)
            .chain(std::iter::once(entry))
            .collect()
    }
}

impl PartialEq for Redaction {
    fn eq(&self, other: &Redaction) -> bool {
        self.entry == other.entry
    }
}

impl Eq for Redaction {}

impl Machine {
    /// Returns the machine of a recording that is redacted from now on.
    pub(crate) fn redacted(mut self, redactor: Option<&Arc<Redactor>>) -> Machine {
        self.redaction = redactor.map(|redactor| {
            let producer = concat!("ctrace-rec ", env!("CARGO_PKG_VERSION"));
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let now = now.map_or(0, |now| now.as_nanos() as u64);
            Redaction {
                entry: redactor.entry(None, None, producer, now),
                redactor: redactor.clone(),
            }
        });
        // Rows about losses and the directory of the host have the host's name too.
        let host = redactor.and_then(|redactor| redactor.text("host", &self.host));
        if let Some(host) = host {
            self.host = host.text;
        }
        self
    }

    /// Escapes control characters, because a capture from an untrusted source must not control a terminal.
    pub(crate) fn escape_controls(&mut self) {
        for text in [
            &mut self.host,
            &mut self.boot_id,
            &mut self.kernel,
            &mut self.arch,
        ] {
            *text = printable(text).into_owned();
        }
    }
}
