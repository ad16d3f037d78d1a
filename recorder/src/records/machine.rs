//! The machine that a recording is made on.

use ctrace_schema::text::printable;
use serde::{Deserialize, Serialize};

/// What a capture begins with: the machine it is from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(
    missing_docs,
    reason = "the metadata of a recording; see ctrace_schema::meta"
)]
pub struct Machine {
    pub host: String,
    pub boot_id: String,
    pub kernel: String,
    pub arch: String,
    pub filters: serde_json::Value,
    pub record_host: bool,
}

impl Machine {
    /// A capture may come from a stranger: nothing of it may drive a terminal.
    pub fn escape_controls(&mut self) {
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
