//! The files that the page consists of: its own template, style and scripts, and the libraries that draw.

use std::fmt::Write;

use ct_codecs::{Base64, Encoder};
use sha2::{Digest, Sha256};

use crate::commands::report::markup::escape;

/// The page with places for its content.
pub(crate) const TEMPLATE: &str = include_str!("assets/page.html");

/// Styles in their order.
const STYLES: &[&str] = &[
    include_str!("assets/lib/uPlot.min.css"),
    include_str!("assets/page.css"),
];

/// The libraries, as their authors publish them; docs/dependencies.md has their versions and digests. d3-force lays the graph out,
/// d3-drag moves its nodes, and the other parts of D3 are what these two need.
const LIBRARIES: &[&str] = &[
    include_str!("assets/lib/uPlot.iife.min.js"),
    include_str!("assets/lib/d3-dispatch.min.js"),
    include_str!("assets/lib/d3-quadtree.min.js"),
    include_str!("assets/lib/d3-timer.min.js"),
    include_str!("assets/lib/d3-force.min.js"),
    include_str!("assets/lib/d3-selection.min.js"),
    include_str!("assets/lib/d3-drag.min.js"),
];

/// The page's own script: later parts use the functions of earlier ones.
const SCRIPT: &str = concat!(
    "\"use strict\";\n",
    include_str!("assets/js/data.js"),
    include_str!("assets/js/state.js"),
    include_str!("assets/js/timeline.js"),
    include_str!("assets/js/graph.js"),
    include_str!("assets/js/tables.js"),
    include_str!("assets/js/page.js"),
);

const LICENCES: &[(&str, &str)] = &[
    ("uPlot", include_str!("assets/lib/LICENSE-uPlot")),
    ("D3", include_str!("assets/lib/LICENSE-d3")),
];

fn scripts() -> impl Iterator<Item = &'static str> {
    LIBRARIES.iter().copied().chain([SCRIPT])
}

/// Returns the elements with the styles.
pub(crate) fn style_elements() -> String {
    let styles = STYLES
        .iter()
        .map(|style| format!("<style>{style}</style>\n"));
    styles.collect()
}

/// Returns the elements with the scripts.
pub(crate) fn script_elements() -> String {
    let scripts = scripts().map(|script| format!("<script>{script}</script>\n"));
    scripts.collect()
}

/// Returns the licences of the libraries.
pub(crate) fn licences() -> String {
    let mut out = String::new();
    for (name, text) in LICENCES {
        // Writing to a String cannot fail.
        let _ = write!(out, "<h3>{name}</h3>\n<pre>{}</pre>\n", escape(text));
    }
    out
}

/// Returns the content security policy: the browser runs only the scripts and applies only the styles of this program, and fetches
/// nothing.
///
/// # Errors
/// A digest cannot be encoded.
pub(crate) fn security_policy() -> anyhow::Result<String> {
    let mut script_hashes = String::new();
    for script in scripts() {
        script_hashes += &source(script)?;
    }
    let mut style_hashes = String::new();
    for style in STYLES {
        style_hashes += &source(style)?;
    }
    Ok(format!(
        "default-src 'none'; script-src{script_hashes}; style-src{style_hashes}; base-uri 'none'; form-action 'none'"
    ))
}

/// Returns a source expression of a security policy: a space and the digest of an element's content.
fn source(content: &str) -> anyhow::Result<String> {
    let digest = Base64::encode_to_string(Sha256::digest(content))?;
    Ok(format!(" 'sha256-{digest}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_ends_its_element() {
        for content in scripts().chain(STYLES.iter().copied()) {
            let lower = content.to_lowercase();
            for markup in ["</script", "</style", "<!--", "\r", "sourcemappingurl"] {
                assert!(!lower.contains(markup), "{markup}");
            }
        }
    }
}
