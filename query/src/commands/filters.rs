//! The filters with which recordings were made, and what an answer lacks because of them.

use std::collections::BTreeMap;

use ctrace_schema::meta;
use ctrace_schema::syscalls::{self, Class};
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
    fn of(file: &OpenFile) -> CallFilters {
        let filters = file.meta.get(meta::KEY_FILTERS);
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

    /// Returns the filters as they are written on the command line.
    fn command_line(&self) -> String {
        let flags = self.0.iter();
        let flags = flags.map(|(flag, values)| format!("--{flag} {}", values.join(",")));
        flags.collect::<Vec<_>>().join(" ")
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
    for file in &recordings.files {
        let filters = CallFilters::of(file);
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
        let first = files[0].path.display();
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
