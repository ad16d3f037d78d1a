//! Facts about cgroups and containers.

use ctrace_schema::text::{escape, printable};
use serde::{Deserialize, Serialize};

/// What somebody who looked (the watcher, or a raw capture that kept it) says of a cgroup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupFact {
    /// When it became so, CLOCK_BOOTTIME in ns: when the cgroup was made, found or removed.
    pub boot: u64,
    /// The cgroup's key on the wire.
    pub cgroup: u64,
    /// Its path below the hierarchy's mount.
    pub path: String,
    /// What it is.
    pub is: CgroupKind,
}

impl CgroupFact {
    /// A fact of a stranger's may hold anything: nothing of it may drive a terminal.
    pub fn tame(&mut self) {
        if let CgroupKind::Container(known) = &mut self.is {
            known.tame();
        }
    }
}

/// What a cgroup is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CgroupKind {
    /// Not a container's.
    Host,
    /// Not known yet.
    Undecided,
    /// A container that a filter leaves out.
    Excluded,
    /// A container's own.
    Container(Box<ContainerFacts>),
    /// Removed.
    Removed,
}

/// What is known of a container. The text is escaped already.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerFacts {
    /// The id that the runtime gave it.
    pub id: String,
    /// Its name, where it is known.
    pub name: Option<String>,
    /// The image it runs.
    pub image: Option<String>,
    /// What made it.
    pub runtime: Option<String>,
    /// Kubernetes pod.
    pub pod: Option<String>,
    /// Kubernetes namespace.
    pub namespace: Option<String>,
    /// Labels, as a JSON object.
    pub labels: Option<String>,
}

impl ContainerFacts {
    /// Escapes what is left of control characters; text that is escaped already stays as it is.
    pub fn tame(&mut self) {
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

    /// What the column `container` says: the name, or the id as `docker ps` shortens it.
    pub fn display_name(&self) -> String {
        let short = || {
            let hex = self.id.len() == 64 && self.id.bytes().all(|b| b.is_ascii_hexdigit());
            if hex {
                self.id[..12].to_string()
            } else {
                escape(self.id.as_bytes()).into_owned()
            }
        };
        self.name.clone().unwrap_or_else(short)
    }
}
