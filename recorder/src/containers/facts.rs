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
    /// The labels as a JSON object.
    pub(crate) labels: Option<String>,
}

impl ContainerFacts {
    /// Escapes the remaining control characters. Text that is already escaped does not change.
    pub(crate) fn escape_controls(&mut self) {
        let texts = [
            &mut self.name,
            &mut self.image,
            &mut self.runtime,
            &mut self.pod,
            &mut self.namespace,
            &mut self.labels,
        ];
        for text in texts.into_iter().flatten() {
            *text = printable(text).into_owned();
        }
    }

    /// Returns the value of the column `container`: the name, or the id shortened as in `docker ps`.
    pub(crate) fn display_name(&self) -> String {
        let short = || escape(short_id(&self.id).as_bytes()).into_owned();
        self.name.clone().unwrap_or_else(short)
    }
}
