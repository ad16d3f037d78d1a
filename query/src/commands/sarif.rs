//! Findings as SARIF 2.1.0, the format of OASIS for the findings of tools.

use std::path::Path;

use ctrace_rules::{Level, Rule, RuleSet};
use serde_json::{Map, Value, json};

/// Returns a log of the findings in the recordings `files`. `findings` are the rows of the ready question `rules`.
pub(super) fn sarif(rules: &RuleSet, findings: &[Map<String, Value>], files: &[&Path]) -> Value {
    let artifacts = files
        .iter()
        .map(|path| json!({ "location": { "uri": uri(path) } }));
    let results = findings.iter().map(|finding| result(rules, finding, files));
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "ctrace-query",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.rules().iter().map(descriptor).collect::<Vec<_>>(),
            } },
            "artifacts": artifacts.collect::<Vec<_>>(),
            "results": results.collect::<Vec<_>>(),
        }],
    })
}

/// Returns the level of SARIF.
fn level(level: Level) -> &'static str {
    match level {
        Level::Event => "note",
        Level::Warning => "warning",
        Level::Alert => "error",
    }
}

fn descriptor(rule: &Rule) -> Value {
    let mut descriptor = json!({
        "id": rule.name,
        "shortDescription": { "text": rule.description },
        "defaultConfiguration": { "level": level(rule.level) },
        "properties": { "tags": rule.references },
    });
    if let Some(page) = rule
        .references
        .iter()
        .find_map(|reference| Rule::page(reference))
    {
        descriptor["helpUri"] = page.into();
    }
    descriptor
}

fn result(rules: &RuleSet, finding: &Map<String, Value>, files: &[&Path]) -> Value {
    let text = |name: &str| {
        finding
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let name = text("rule");
    let index = rules.rules().iter().position(|rule| rule.name == name);
    let rule = index.and_then(|at| rules.rules().get(at));
    let container = match text("pod") {
        "" => text("container").to_string(),
        pod => format!("{pod}/{}", text("container")),
    };
    let process = match text("exe") {
        "" => text("comm"),
        exe => exe,
    };
    let subject = match text("subject") {
        "" => String::new(),
        subject => format!(": {subject}"),
    };
    let mut location = json!({ "logicalLocations": [
        { "name": container, "kind": "container" },
        { "name": process, "kind": "process", "fullyQualifiedName": format!("{container}/{process}") },
    ] });
    if let Some(first) = files.first() {
        location["physicalLocation"] =
            json!({ "artifactLocation": { "uri": uri(first), "index": 0 } });
    }
    let mut result = json!({
        "ruleId": name,
        "level": rule.map_or("none", |rule| level(rule.level)),
        "message": { "text": format!("{} (container {container}){subject}", text("description")) },
        "locations": [location],
        "properties": finding,
    });
    if let Some(index) = index {
        result["ruleIndex"] = index.into();
    }
    if let Some(count) = finding
        .get("count")
        .filter(|count| count.as_u64().is_some_and(|n| n > 0))
    {
        result["occurrenceCount"] = count.clone();
    }
    result
}

/// Returns the path as a URI reference (RFC 3986).
fn uri(path: &Path) -> String {
    let mut uri = String::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                uri.push(char::from(*byte))
            }
            _ => uri += &format!("%{byte:02X}"),
        }
    }
    uri
}
