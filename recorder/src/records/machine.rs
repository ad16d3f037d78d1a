//! The machine on which a recording is made.

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
}

impl Machine {
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
