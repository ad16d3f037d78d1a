//! The commands that the page names: those with the same rows.

use serde_json::{Value, json};

use crate::cli::Scope;

/// Returns the options of a command that selects what the page shows, for the page's script.
pub(crate) fn scope_flags(scope: &Scope) -> Value {
    let values = |flag: &str, values: &[String]| {
        let flags = values
            .iter()
            .map(|value| format!(" --{flag} {}", quoted(value)));
        flags.collect::<String>()
    };
    let time = |flag: &str, time: &Option<String>| values(flag, time.as_slice());
    let given = |flag: &str, is_given: bool| match is_given {
        true => format!(" --{flag}"),
        false => String::new(),
    };
    json!({
        "containers": values("container", &scope.containers),
        "described": values("pod", &scope.pods) + &values("namespace", &scope.namespaces) + &values("label", &scope.labels),
        "times": time("since", &scope.since) + &time("until", &scope.until),
        "rest": given("all", scope.all) + &given("setup", scope.setup),
    })
}

/// Returns the command that answers a question with the scope of the page.
pub(crate) fn command(question: &str, scope: &Scope) -> String {
    let flags = scope_flags(scope);
    let flag = |name: &str| flags[name].as_str().unwrap_or_default().to_string();
    let flags = ["containers", "described", "times", "rest"]
        .map(flag)
        .concat();
    format!("ctrace-query {question}{flags}")
}

/// Quotes a word for a shell, if needed.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=@".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}
