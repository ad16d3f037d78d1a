//! The filters with which recordings were made, and what an answer lacks because of them.

use std::collections::{BTreeMap, BTreeSet};

use ctrace_rules::{Rule, RuleSet};
use ctrace_schema::meta;
use ctrace_schema::syscalls::{self, Class};
use ctrace_schema::text::path_text;
use serde_json::Value;

use crate::source::{OpenFile, Recordings};

/// Names of ready questions, the classes of the calls that they are about, and words for these calls. The other questions are
/// about all calls.
const SUBJECTS: &[(&str, &[Class], &str)] = &[
    ("files", &[Class::File], "calls on files"),
    ("peers", &[Class::Network], "calls on sockets"),
    (
        "links",
        &[Class::File, Class::Network],
        "calls on files and sockets",
    ),
    ("dns", &[Class::Network], "calls on sockets"),
    ("processes", &[Class::Process], "calls of processes"),
    (
        "drift",
        &[Class::File, Class::Process],
        "calls on files and of processes",
    ),
];

/// Flags of `ctrace-rec` that leave calls out of the recording of a container.
const FLAGS: [&str; 6] = [
    "event",
    "exclude-event",
    "set",
    "exclude-set",
    "comm",
    "exclude-comm",
];

/// The filters for calls of a recording: the values of each flag of [`FLAGS`] that was given.
struct CallFilters(BTreeMap<&'static str, Vec<String>>);

impl CallFilters {
    fn of(pairs: &BTreeMap<String, String>) -> CallFilters {
        let filters = pairs.get(meta::KEY_FILTERS);
        let filters = filters.and_then(|text| serde_json::from_str::<Value>(text).ok());
        let values = |flag: &str| {
            let values = filters.as_ref()?.get(flag)?.as_array()?.iter();
            let values = values.filter_map(|value| value.as_str().map(String::from));
            Some(values.collect::<Vec<_>>()).filter(|values| !values.is_empty())
        };
        let given = FLAGS.iter().filter_map(|flag| Some((*flag, values(flag)?)));
        CallFilters(given.collect())
    }

    fn values(&self, flag: &str) -> &[String] {
        self.0.get(flag).map_or(&[], Vec::as_slice)
    }

    /// Returns whether the filters pass all calls of a class, and whether they pass none.
    fn passes(&self, class: Class) -> (bool, bool) {
        let has_class = |flag| self.values(flag).iter().any(|set| set == class.as_str());
        let has_call = |flag| {
            let mut names = self.values(flag).iter();
            names.any(|name| syscalls::spec(name).class == class)
        };
        let selects = !self.values("set").is_empty() || !self.values("event").is_empty();
        let is_selected = (!selects || has_class("set")) && !has_class("exclude-set");
        let by_thread = self.0.contains_key("comm") || self.0.contains_key("exclude-comm");
        let all = is_selected && !by_thread && !has_call("exclude-event");
        (all, !is_selected && !has_call("event"))
    }

    /// Returns whether the filters pass all calls of a name.
    fn passes_call(&self, name: &str) -> bool {
        let has = |flag: &str, value: &str| self.values(flag).iter().any(|given| given == value);
        let class = syscalls::spec(name).class.as_str();
        let selects = !self.values("set").is_empty() || !self.values("event").is_empty();
        let is_selected = !selects || has("set", class) || has("event", name);
        is_selected && !has("exclude-set", class) && !has("exclude-event", name)
    }

    /// Returns whether a rule can fire: the filters pass at least one of the calls at which the rule looks.
    fn passes_rule(&self, rule: &Rule) -> bool {
        let calls = rule.call_names();
        match rule.kind.as_deref() {
            // What the kernel tells about connections and names is recorded with the calls of this class.
            Some("connection" | "dns") => !self.passes(Class::Network).1,
            _ => calls.is_empty() || calls.into_iter().any(|name| self.passes_call(name)),
        }
    }

    /// Returns the filters as they are written on the command line.
    fn command_line(&self) -> String {
        let flags = self.0.iter();
        let flags = flags.map(|(flag, values)| format!("--{flag} {}", values.join(",")));
        flags.collect::<Vec<_>>().join(" ")
    }
}

/// Returns a warning for each combination of filters that leaves out the calls at which rules look.
pub(super) fn rule_warnings(rules: &RuleSet, recordings: &Recordings) -> Vec<String> {
    let mut warnings = BTreeMap::new();
    for file in &recordings.files {
        for pairs in file.origins() {
            let filters = CallFilters::of(&pairs);
            let silent = rules
                .rules()
                .iter()
                .filter(|rule| !filters.passes_rule(rule));
            let silent: Vec<_> = silent.map(|rule| rule.name.as_str()).collect();
            if !silent.is_empty() {
                let first = warnings.entry((filters.command_line(), silent));
                first.or_insert_with(|| path_text(&file.path));
            }
        }
    }
    let text = |((flags, silent), first): (&(String, Vec<&str>), &String)| {
        let silent = silent.join(", ");
        format!("these rules cannot fire, because {first} was made with {flags}: {silent}")
    };
    warnings.iter().map(text).collect()
}

/// The filters for calls of some recordings.
pub(super) struct RecordedCalls(Vec<CallFilters>);

impl RecordedCalls {
    pub(super) fn of(recordings: &Recordings) -> RecordedCalls {
        let origins = recordings.files.iter().flat_map(OpenFile::origins);
        RecordedCalls(origins.map(|pairs| CallFilters::of(&pairs)).collect())
    }

    /// Returns whether the recordings have all calls of a name, as far as the threads that were recorded made them.
    pub(super) fn has(&self, call: &str) -> bool {
        self.0.iter().all(|filters| filters.passes_call(call))
    }

    /// Returns the filters as they are written on the command line.
    pub(super) fn command_line(&self) -> String {
        let each: BTreeSet<String> = self.0.iter().map(CallFilters::command_line).collect();
        let text = each
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>();
        match text.is_empty() {
            true => "no filter".into(),
            false => text.join("; "),
        }
    }
}

/// Returns a warning for each combination of filters that makes the answer to a ready question incomplete.
pub(crate) fn filter_warnings(question: &str, recordings: &Recordings) -> Vec<String> {
    let subject = SUBJECTS.iter().find(|(name, ..)| *name == question);
    let (classes, words) = match subject {
        Some((_, classes, words)) => (*classes, *words),
        None => (&Class::ALL[..], "calls"),
    };
    let mut warnings: BTreeMap<(String, bool), Vec<&OpenFile>> = BTreeMap::new();
    let origins = recordings.files.iter();
    let origins =
        origins.flat_map(|file| file.origins().into_iter().map(move |pairs| (file, pairs)));
    for (file, pairs) in origins {
        let filters = CallFilters::of(&pairs);
        let passes: Vec<_> = classes.iter().map(|class| filters.passes(*class)).collect();
        if passes.iter().all(|(all, _)| *all) {
            continue;
        }
        let none = passes.iter().all(|(_, none)| *none);
        let files = warnings.entry((filters.command_line(), none)).or_default();
        files.push(file);
    }
    let text = |((flags, none), files): (&(String, bool), &Vec<&OpenFile>)| {
        let share = if *none { "" } else { "some " };
        let first = path_text(&files[0].path);
        let more = match files.len() {
            1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        format!(
            "{share}{words} were not recorded, so this answer is incomplete: {first}{more} was made with {flags}"
        )
    };
    warnings.iter().map(text).collect()
}
