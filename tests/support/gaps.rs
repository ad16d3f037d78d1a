//! Lost events in recordings that tests compose.

use super::story::Story;
use ctrace_schema::meta;
use serde_json::json;

impl Story {
    /// Adds a gap of half a second, and its loss to the footer.
    pub(crate) fn gap(
        &mut self,
        ms: i64,
        container: Option<&str>,
        class: &str,
        lost: i64,
    ) -> &mut Self {
        self.row(
            ms,
            json!({ "kind": "gap", "action": "ring full", "class": class, "container": container,
            "lost": lost, "duration": 500_000_000 }),
        );
        self.meta(meta::KEY_LOST, &json!({ class: lost }).to_string())
    }
}
