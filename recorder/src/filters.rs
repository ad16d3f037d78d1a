//! The filters of a recording: `--event`, `--set`, `--comm`, `--container` and their `--exclude-` counterparts, and
//! `--pod`, `--namespace` and `--label`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use ctrace_common::nearest::{nearest, suggest};
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
    pods: Vec<String>,
    namespaces: Vec<String>,
    labels: Vec<LabelFilter>,
}

/// A label that a container must have.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LabelFilter {
    key: String,
    /// The value that the label must have; `None`: any.
    value: Option<String>,
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
    pub(crate) pod: &'a [String],
    pub(crate) namespace: &'a [String],
    pub(crate) label: &'a [String],
}

impl Filters {
    /// Checks the flags.
    ///
    /// # Errors
    /// `--comm` and `--exclude-comm` are both given, a label has no key, or an event or a set does not exist; the error
    /// suggests the nearest name.
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
            pods: flags.pod.to_vec(),
            namespaces: flags.namespace.to_vec(),
            labels: flags
                .label
                .iter()
                .map(|text| label(text))
                .collect::<Result<_>>()?,
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

    /// Returns whether the events of a thread with the name `comm` are recorded, as the kernel side decides (`is_comm_wanted`).
    pub(crate) fn wants_comm(&self, comm: &[u8]) -> bool {
        // TASK_COMM_LEN of the kernel, without the NUL.
        const MAX_COMM_BYTES: usize = 15;
        let cut = |name: &String| name.len().min(MAX_COMM_BYTES);
        let mut names = self.comms.iter();
        let is_named = names.any(|name| name.as_bytes()[..cut(name)] == *comm);
        self.comms.is_empty() || is_named != self.comms_excluded
    }

    /// Returns whether the answer of a runtime's socket may decide whether a container is recorded: the filters depend on
    /// facts that are not known.
    pub(crate) fn needs_answer(&self, known: &ContainerFacts) -> bool {
        let by_name = !self.containers.is_empty() || !self.containers_excluded.is_empty();
        let by_id = self
            .containers
            .iter()
            .any(|pattern| known.id.starts_with(pattern.as_str()));
        let by_pod = !self.pods.is_empty() || !self.namespaces.is_empty();
        by_name && known.name.is_none() && !by_id
            || by_pod && known.pod.is_none()
            || !self.wants_labels(known)
    }

    /// Returns whether a container is recorded: it matches one of the patterns of each flag, and all labels.
    pub(crate) fn wants_container(&self, known: &ContainerFacts) -> bool {
        let name = |pattern: &String| matches_container(pattern, known);
        let any = |patterns: &[String], value: &Option<String>| {
            let value = value.as_deref();
            patterns.is_empty()
                || value.is_some_and(|value| patterns.iter().any(|p| matches_text(p, value)))
        };
        let wanted = self.containers.is_empty() || self.containers.iter().any(name);
        wanted
            && !self.containers_excluded.iter().any(name)
            && any(&self.pods, &known.pod)
            && any(&self.namespaces, &known.namespace)
            && self.wants_labels(known)
    }

    fn wants_labels(&self, known: &ContainerFacts) -> bool {
        if self.labels.is_empty() {
            return true;
        }
        let labels = known.labels.as_deref();
        let labels: BTreeMap<String, String> = labels
            .and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or_default();
        self.labels.iter().all(|wanted| {
            let value = labels.get(&wanted.key);
            value.is_some_and(|value| wanted.value.as_ref().is_none_or(|wanted| wanted == value))
        })
    }

    /// Returns a warning for each pattern of `--container`, `--pod` and `--namespace`, and each label, that no container
    /// of `running` has. A container that starts later may have it, unless the recording `has_ended`.
    pub(crate) fn unmatched<'a>(
        &self,
        running: impl Iterator<Item = &'a ContainerFacts> + Clone,
        has_ended: bool,
    ) -> Vec<String> {
        let no_match = |what: &str, flag: &str, pattern: &str, all: &BTreeSet<String>| {
            no_match(what, (flag, pattern), all, has_ended)
        };
        let names = |of: fn(&ContainerFacts) -> Option<String>| -> BTreeSet<String> {
            running.clone().filter_map(of).collect()
        };
        let is_running = |matches: &dyn Fn(&ContainerFacts) -> bool| running.clone().any(matches);
        let mut warnings = vec![];
        for pattern in &self.containers {
            if !is_running(&|known| matches_container(pattern, known)) {
                let all = names(|known| Some(known.display_name()));
                warnings.push(no_match("container", "container", pattern, &all));
            }
        }
        let pods = self.pods.iter().map(|pattern| ("pod", pattern));
        let namespaces = self.namespaces.iter().map(|p| ("namespace", p));
        for (flag, pattern) in pods.chain(namespaces) {
            let of: fn(&ContainerFacts) -> Option<String> = match flag {
                "pod" => |known| known.pod.clone(),
                _ => |known| known.namespace.clone(),
            };
            let all = names(of);
            if !all.iter().any(|value| matches_text(pattern, value)) {
                warnings.push(no_match(flag, flag, pattern, &all));
            }
        }
        if !self.labels.is_empty() && !is_running(&|known| self.wants_labels(known)) {
            let all = BTreeSet::new();
            warnings.push(no_match("container", "label", &self.label_text(), &all));
        }
        warnings
    }

    fn label_text(&self) -> String {
        let texts = self.labels.iter().map(|label| match &label.value {
            Some(value) => format!("{}={value}", label.key),
            None => label.key.clone(),
        });
        texts.collect::<Vec<_>>().join(",")
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
        add("pod", serde_json::json!(self.pods));
        add("namespace", serde_json::json!(self.namespaces));
        let labels = (!self.labels.is_empty()).then(|| self.label_text());
        add("label", serde_json::json!(Vec::from_iter(labels)));
        all.into()
    }
}

/// Returns whether a text is `pattern`, or matches it as a glob.
fn matches_text(pattern: &str, text: &str) -> bool {
    pattern == text || (pattern.contains(['*', '?', '[']) && fast_glob::glob_match(pattern, text))
}

/// Returns whether a pattern is the name of a container, the beginning of its id, or a glob that matches one of them.
fn matches_container(pattern: &str, known: &ContainerFacts) -> bool {
    matches_text(pattern, known.name.as_deref().unwrap_or_default())
        || matches_text(pattern, &known.id)
        || (pattern.len() >= 2 && known.id.starts_with(pattern))
}

/// The most names that a warning lists.
const MAX_LISTED: usize = 10;

/// Returns the warning that no `what` matches the value of a flag, with the similar name, and all names. `has_ended`: no
/// other can start.
fn no_match(
    what: &str,
    (flag, pattern): (&str, &str),
    all: &BTreeSet<String>,
    has_ended: bool,
) -> String {
    let (ran, that_runs, later) = match has_ended {
        true => ("ran", "that ran", ""),
        false => (
            "running",
            "that runs now",
            "; one that starts later is recorded",
        ),
    };
    let lower: BTreeMap<String, &String> = all.iter().map(|n| (n.to_lowercase(), n)).collect();
    let near = nearest(pattern, lower.keys().map(String::as_str));
    let near = near.and_then(|near| lower.get(near));
    let near = near.map_or(String::new(), |near| format!(": did you mean `{near}`?"));
    let listed: Vec<&str> = all.iter().take(MAX_LISTED).map(String::as_str).collect();
    let more = all.len().saturating_sub(MAX_LISTED);
    let running = match (listed.as_slice(), more) {
        ([], _) => String::new(),
        (names, 0) => format!("; {ran}: {}", names.join(", ")),
        (names, more) => format!("; {ran}: {} and {more} more", names.join(", ")),
    };
    format!("no {what} {that_runs} matches `--{flag} {pattern}`{near}{running}{later}")
}

/// Parses `KEY=VALUE`, or `KEY` for any value.
fn label(text: &str) -> Result<LabelFilter> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value.to_string())),
        None => (text, None),
    };
    if key.is_empty() {
        bail!(
            "--label {text} has no key: write `--label KEY=VALUE`, or `--label KEY` for any value"
        );
    }
    Ok(LabelFilter {
        key: key.to_string(),
        value,
    })
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
    fn threads_are_selected_by_name() {
        let names = list(&["sh", "a-name-of-more-than-15-bytes"]);
        let flags = |comm, exclude_comm| {
            let flags = FilterFlags {
                comm,
                exclude_comm,
                ..FilterFlags::default()
            };
            Filters::new(&flags).expect("is valid")
        };
        let comms = [&b"sh"[..], b"a-name-of-more-", b"s"];
        let wanted = |f: Filters| comms.map(|comm| f.wants_comm(comm));
        assert_eq!(wanted(flags(&names, &[])), [true, true, false]);
        assert_eq!(wanted(flags(&[], &names)), [false, false, true]);
        assert_eq!(wanted(flags(&[], &[])), [true; 3]);
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
    fn containers_by_pod_namespace_and_label() {
        let known = ContainerFacts {
            name: Some("app".into()),
            pod: Some("pay-0".into()),
            namespace: Some("shop".into()),
            labels: Some(r#"{"tier":"web","team":"a=b"}"#.into()),
            ..ContainerFacts::default()
        };
        let wants = |pod: &[&str], namespace: &[&str], label: &[&str]| {
            let (pod, namespace, label) = (list(pod), list(namespace), list(label));
            let f = Filters::new(&FilterFlags {
                pod: &pod,
                namespace: &namespace,
                label: &label,
                ..FilterFlags::default()
            })
            .expect("is valid");
            let running = [&known].into_iter();
            (f.wants_container(&known), f.unmatched(running, false))
        };
        for (pod, namespace, label) in [
            (&["pay-*"][..], &["shop"][..], &["tier=web"][..]),
            (&["pay-0"], &[], &["tier", "team=a=b"]),
        ] {
            let expected = (true, vec![]);
            assert_eq!(wants(pod, namespace, label), expected, "{pod:?}");
        }
        let (is_wanted, warnings) = wants(&["x", "pay-0"], &[], &[]);
        assert!(
            is_wanted && warnings[0].contains("`--pod x`"),
            "{warnings:?}"
        );
        for (pod, namespace, label, warning) in [
            (
                &["pay-1"][..],
                &["shop"][..],
                &[][..],
                "no pod that runs now matches `--pod pay-1`: did you mean `pay-0`?; running: pay-0; one that starts \
                 later is recorded",
            ),
            (
                &[],
                &[],
                &["tier=web", "team=c"],
                "no container that runs now matches `--label tier=web,team=c`; one that starts later is recorded",
            ),
        ] {
            assert_eq!(
                wants(pod, namespace, label),
                (false, vec![warning.to_string()])
            );
        }
        let label = list(&["=x"]);
        let flags = FilterFlags {
            label: &label,
            ..FilterFlags::default()
        };
        assert!(Filters::new(&flags).is_err());
    }

    #[test]
    fn a_pattern_that_matched_nothing_is_told_at_the_end() {
        let web = ContainerFacts {
            name: Some("web".into()),
            ..ContainerFacts::default()
        };
        let container = list(&["wbe"]);
        let flags = FilterFlags {
            container: &container,
            ..FilterFlags::default()
        };
        let filters = Filters::new(&flags).expect("is valid");
        let warning =
            "no container that ran matches `--container wbe`: did you mean `web`?; ran: web";
        assert_eq!(filters.unmatched([&web].into_iter(), true), [warning]);
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
