//! The filters of a recording: `--event`, `--set`, `--comm`, `--container` and their `--exclude-` counterparts.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use ctrace_common::nearest::suggest;
use ctrace_schema::syscalls::{self, Class};

use crate::containers::facts::ContainerFacts;

/// The filters of a recording, with valid names of events and sets. A filter that is not given is empty, and selects
/// everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filters {
    /// True if processes outside containers are recorded too.
    pub(crate) host: bool,
    /// True if calls are counted instead of recorded one by one.
    pub(crate) counts: bool,
    events: BTreeSet<String>,
    events_excluded: BTreeSet<String>,
    sets: BTreeSet<Class>,
    sets_excluded: BTreeSet<Class>,
    /// The thread names that are recorded, or excluded.
    pub(crate) comms: BTreeSet<String>,
    /// True if the threads in `comms` are excluded.
    pub(crate) comms_excluded: bool,
    containers: Vec<String>,
    containers_excluded: Vec<String>,
}

/// The values of the flags, with lists split at the commas.
#[derive(Clone, Debug, Default)]
pub(crate) struct FilterFlags<'a> {
    pub(crate) counts: bool,
    pub(crate) host: bool,
    pub(crate) event: &'a [String],
    pub(crate) exclude_event: &'a [String],
    pub(crate) set: &'a [String],
    pub(crate) exclude_set: &'a [String],
    pub(crate) comm: &'a [String],
    pub(crate) exclude_comm: &'a [String],
    pub(crate) container: &'a [String],
    pub(crate) exclude_container: &'a [String],
}

impl Filters {
    /// Checks the flags.
    ///
    /// # Errors
    /// `--comm` and `--exclude-comm` are both given, or an event or a set does not exist; the error suggests the nearest
    /// name.
    pub(crate) fn new(flags: &FilterFlags<'_>) -> Result<Filters> {
        if !flags.comm.is_empty() && !flags.exclude_comm.is_empty() {
            bail!("--comm and --exclude-comm cannot be combined: use only one of them");
        }
        let comms = if flags.comm.is_empty() {
            flags.exclude_comm
        } else {
            flags.comm
        };
        Ok(Filters {
            host: flags.host,
            counts: flags.counts,
            events: events(flags.event)?,
            events_excluded: events(flags.exclude_event)?,
            sets: sets(flags.set)?,
            sets_excluded: sets(flags.exclude_set)?,
            comms: comms.iter().cloned().collect(),
            comms_excluded: flags.comm.is_empty(),
            containers: flags.container.to_vec(),
            containers_excluded: flags.exclude_container.to_vec(),
        })
    }

    /// Returns whether a call is recorded: its name is in `--event` or its class in `--set` (without these flags, every
    /// call is), and neither is excluded. `--set fs --event execve` records both. A flag with the call's name takes
    /// precedence over a flag with its class: `--exclude-set fs --event read` records read, and nothing else.
    pub(crate) fn wants(&self, name: &str, class: Class) -> bool {
        let all = self.events.is_empty() && self.sets.is_empty();
        if self.events_excluded.contains(name) {
            return false;
        }
        self.events.contains(name)
            || ((all || self.sets.contains(&class)) && !self.sets_excluded.contains(&class))
    }

    /// Returns whether the filters depend on the container's name, and the name is not known yet.
    pub(crate) fn needs_name(&self, known: &ContainerFacts) -> bool {
        let by_name = !self.containers.is_empty() || !self.containers_excluded.is_empty();
        let by_id = self
            .containers
            .iter()
            .any(|pattern| known.id.starts_with(pattern.as_str()));
        by_name && known.name.is_none() && !by_id
    }

    /// Returns whether a container is recorded. A pattern matches the name, a prefix of the id, or as a glob.
    pub(crate) fn wants_container(&self, known: &ContainerFacts) -> bool {
        let matches = |pattern: &String| {
            let name = known.name.as_deref().unwrap_or_default();
            pattern == name
                || (pattern.len() >= 2 && known.id.starts_with(pattern.as_str()))
                || (pattern.contains(['*', '?', '['])
                    && (fast_glob::glob_match(pattern, name)
                        || fast_glob::glob_match(pattern, &known.id)))
        };
        let wanted = self.containers.is_empty() || self.containers.iter().any(matches);
        wanted && !self.containers_excluded.iter().any(matches)
    }

    /// Returns the filters as JSON, for the metadata of the recording.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let classes = |set: &BTreeSet<Class>| set.iter().map(|c| c.as_str()).collect::<Vec<_>>();
        let comm = if self.comms_excluded {
            "exclude-comm"
        } else {
            "comm"
        };
        let mut all = serde_json::Map::new();
        let mut add = |flag: &str, value: serde_json::Value| {
            if value != serde_json::json!([]) && value != serde_json::json!(false) {
                all.insert(flag.to_string(), value);
            }
        };
        add("host", self.host.into());
        if self.counts {
            add("mode", "counts".into());
        }
        add("event", serde_json::json!(self.events));
        add("exclude-event", serde_json::json!(self.events_excluded));
        add("set", serde_json::json!(classes(&self.sets)));
        add(
            "exclude-set",
            serde_json::json!(classes(&self.sets_excluded)),
        );
        add(comm, serde_json::json!(self.comms));
        add("container", serde_json::json!(self.containers));
        add(
            "exclude-container",
            serde_json::json!(self.containers_excluded),
        );
        all.into()
    }
}

fn events(names: &[String]) -> Result<BTreeSet<String>> {
    let all = syscalls::events();
    for name in names {
        if all.binary_search(&name.as_str()).is_err() {
            bail!(
                "there is no event `{name}`{}",
                suggest(name, all.iter().copied())
            );
        }
    }
    Ok(names.iter().cloned().collect())
}

fn sets(names: &[String]) -> Result<BTreeSet<Class>> {
    let all = || Class::ALL.iter().map(|c| c.as_str());
    names
        .iter()
        .map(|name| match Class::from_name(name) {
            Some(class) => Ok(class),
            None => bail!(
                "there is no set `{name}`{}; the sets are {}",
                suggest(name, all()),
                all().collect::<Vec<_>>().join(", ")
            ),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| n.to_string()).collect()
    }

    #[test]
    fn everything_but_reads_of_fs() {
        let (set, event) = (list(&["fs"]), list(&["read"]));
        let f = Filters::new(&FilterFlags {
            set: &set,
            exclude_event: &event,
            ..FilterFlags::default()
        })
        .expect("is valid");
        assert!(f.wants("openat", Class::File));
        assert!(!f.wants("read", Class::File));
        assert!(!f.wants("connect", Class::Network));
    }

    #[test]
    fn an_event_is_recorded_in_addition_to_a_set() {
        let (set, event) = (list(&["network"]), list(&["execve"]));
        let f = Filters::new(&FilterFlags {
            set: &set,
            event: &event,
            ..FilterFlags::default()
        })
        .expect("is valid");
        assert!(f.wants("connect", Class::Network) && f.wants("execve", Class::Process));
        assert!(!f.wants("read", Class::File));
    }

    #[test]
    fn the_nearest_name_is_suggested() {
        let event = list(&["opnat"]);
        let e = Filters::new(&FilterFlags {
            event: &event,
            ..FilterFlags::default()
        })
        .expect_err("is none");
        assert_eq!(
            e.to_string(),
            "there is no event `opnat`: did you mean `openat`?"
        );
        let set = list(&["netwrk"]);
        let e = Filters::new(&FilterFlags {
            set: &set,
            ..FilterFlags::default()
        })
        .expect_err("is none");
        assert!(e.to_string().contains("did you mean `network`?"), "{e}");
    }

    #[test]
    fn containers_by_name_prefix_and_glob() {
        let known = ContainerFacts {
            id: "deadbeef01".into(),
            name: Some("web-1".into()),
            ..ContainerFacts::default()
        };
        for (pattern, wanted) in [
            ("web-1", true),
            ("dead", true),
            ("web-*", true),
            ("web", false),
            ("beef", false),
        ] {
            let container = list(&[pattern]);
            let f = Filters::new(&FilterFlags {
                container: &container,
                ..FilterFlags::default()
            })
            .expect("is valid");
            assert_eq!(f.wants_container(&known), wanted, "{pattern}");
        }
    }
}
