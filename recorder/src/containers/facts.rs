//! Facts about cgroups and containers.

use ctrace_schema::text::{escape, printable, short_id};
use serde::{Deserialize, Serialize};

/// A decision about a cgroup, from the watcher or from a raw capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CgroupFact {
    /// The time at which the cgroup was created, found or removed: CLOCK_BOOTTIME in ns.
    #[serde(rename = "boot")]
    pub(crate) boot_ns: u64,
    /// The key of the cgroup in the wire format.
    pub(crate) cgroup: u64,
    /// The path below the hierarchy's mount.
    pub(crate) path: String,
    #[serde(rename = "is")]
    pub(crate) kind: CgroupKind,
}

impl CgroupFact {
    /// Escapes control characters, so that a fact from an untrusted capture cannot control a terminal.
    pub(crate) fn escape_controls(&mut self) {
        if let CgroupKind::Container(known) = &mut self.kind {
            known.escape_controls();
        }
    }
}

/// The kind of a cgroup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CgroupKind {
    /// A cgroup of the host.
    Host,
    /// A cgroup that may turn out to be a container's.
    Undecided,
    /// A cgroup of a container that the filters exclude.
    Excluded,
    /// A cgroup of a container that is recorded.
    Container(Box<ContainerFacts>),
    /// A cgroup of which it stays unknown whose it is, because there are too many.
    Unknown,
    /// A cgroup that has been removed.
    Removed,
}

/// The facts about a container that a recording contains. All texts are escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContainerFacts {
    /// The id that the runtime assigned.
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    pub(crate) image: Option<String>,
    pub(crate) runtime: Option<String>,
    /// The Kubernetes pod.
    pub(crate) pod: Option<String>,
    /// The Kubernetes namespace.
    pub(crate) namespace: Option<String>,
    #[serde(default)]
    pub(crate) pod_uid: Option<String>,
    /// The name in the Kubernetes pod; `None` for the pod's sandbox.
    #[serde(default)]
    pub(crate) pod_container: Option<String>,
    /// The labels as a JSON object.
    pub(crate) labels: Option<String>,
    #[serde(default)]
    pub(crate) image_digest: Option<String>,
    /// The number of times that the runtime has restarted the container.
    #[serde(default)]
    pub(crate) restarts: Option<i64>,
    /// The time from boot to the start of the container's oldest process, ns, if the container ran before the recording.
    #[serde(default)]
    pub(crate) started_ns: Option<u64>,
    /// Network addresses, separated by spaces.
    #[serde(default)]
    pub(crate) addresses: Option<String>,
    #[serde(flatten)]
    pub(crate) powers: Powers,
}

/// The command of a container, and what the container may do and use. The fields are the values of the columns of these
/// names, with escaped texts; `None` if the runtime's state does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Powers {
    pub(crate) command: Option<String>,
    pub(crate) run_as: Option<String>,
    pub(crate) privileged: Option<bool>,
    pub(crate) capabilities: Option<String>,
    pub(crate) mounts: Option<String>,
    pub(crate) host_namespaces: Option<String>,
    pub(crate) seccomp_profile: Option<String>,
    pub(crate) apparmor_profile: Option<String>,
    pub(crate) limits: Option<String>,
}

/// Lists the texts that only rows about the container itself have. The fields have the names of their columns.
macro_rules! text_columns {
    ($($own:ident)*; powers: $($power:ident)*) => {
        /// The columns of [`ContainerFacts::texts`], in the same order.
        pub(crate) const TEXT_COLUMNS: &[&str] = &[$(stringify!($own),)* $(stringify!($power),)*];

        impl ContainerFacts {
            /// Returns the texts that only rows about the container itself have, in the order of [`TEXT_COLUMNS`].
            pub(crate) fn texts(&self) -> [Option<&str>; TEXT_COLUMNS.len()] {
                [$(self.$own.as_deref(),)* $(self.powers.$power.as_deref(),)*]
            }

            fn texts_mut(&mut self) -> [&mut Option<String>; TEXT_COLUMNS.len()] {
                [$(&mut self.$own,)* $(&mut self.powers.$power,)*]
            }
        }
    };
}

text_columns! {
    image runtime labels image_digest addresses;
    powers: command run_as capabilities mounts host_namespaces seccomp_profile apparmor_profile limits
}

impl ContainerFacts {
    /// Escapes the remaining control characters. Text that is already escaped does not change.
    pub(crate) fn escape_controls(&mut self) {
        let names = [
            &mut self.name,
            &mut self.pod,
            &mut self.namespace,
            &mut self.pod_uid,
            &mut self.pod_container,
        ];
        let escape = |text: &mut String| *text = printable(text).into_owned();
        names.into_iter().flatten().for_each(escape);
        self.texts_mut().into_iter().flatten().for_each(escape);
    }

    /// Takes what is missing from earlier facts about the same container: neither the state on disk nor the runtime's socket
    /// has everything.
    pub(crate) fn completed_by(mut self, earlier: &ContainerFacts) -> ContainerFacts {
        let texts = [
            (&mut self.name, &earlier.name),
            (&mut self.image, &earlier.image),
            (&mut self.runtime, &earlier.runtime),
            (&mut self.pod, &earlier.pod),
            (&mut self.namespace, &earlier.namespace),
            (&mut self.pod_uid, &earlier.pod_uid),
            (&mut self.pod_container, &earlier.pod_container),
            (&mut self.labels, &earlier.labels),
            (&mut self.image_digest, &earlier.image_digest),
            (&mut self.addresses, &earlier.addresses),
        ];
        for (text, earlier) in texts {
            if text.is_none() {
                text.clone_from(earlier);
            }
        }
        self.restarts = self.restarts.or(earlier.restarts);
        self.started_ns = self.started_ns.or(earlier.started_ns);
        if self.powers == Powers::default() {
            self.powers = earlier.powers.clone();
        }
        self
    }

    /// Returns the value of the column `container`: the name, or the id shortened as in `docker ps`.
    pub(crate) fn display_name(&self) -> String {
        let short = || escape(short_id(&self.id).as_bytes()).into_owned();
        self.name.clone().unwrap_or_else(short)
    }
}

#[cfg(test)]
mod tests {
    use ctrace_schema::rollups::Facet;

    use super::*;

    #[test]
    fn every_text_has_its_column_and_is_escaped() {
        let state = Facet::State.columns();
        for column in TEXT_COLUMNS {
            assert!(state.contains(column), "{column} is in no rollup");
        }
        let mut facts = ContainerFacts::default();
        for (text, column) in facts.texts_mut().into_iter().zip(TEXT_COLUMNS) {
            *text = Some(format!("{column}\u{1b}"));
        }
        facts.escape_controls();
        let json = serde_json::to_value(&facts).unwrap_or_default();
        for (text, column) in facts.texts().into_iter().zip(TEXT_COLUMNS) {
            let escaped = format!("{column}\\x1b");
            assert_eq!(text, Some(&*escaped));
            assert_eq!(json[column], escaped, "the field has another name");
        }
    }
}
