//! Which cgroups are containers, and what the runtimes know about them: pure user space, no BPF.
//!
//! The kernel side gives a cgroup's id and path at `cgroup_mkdir`. [`classify()`] says from the path alone whether it
//! is a container; where the path cannot say, [`Resolver::find_undecided`] asks the state that runtimes keep on
//! disk. [`Resolver::describe`] then gives name, image and labels, and [`Api`] asks the runtime's socket for what
//! disk does not hold. [`list()`] is what `ctrace-rec containers` prints.

mod api;
mod cgroups;
mod classify;
pub mod facts;
mod list;
mod state;

use std::fmt;

use serde::{Serialize, Serializer};

pub use api::Api;
pub use cgroups::{Error, Hierarchies, probe, scan};
pub use classify::{Verdict, classify, creator};
pub use list::{Format, list, print};
pub use state::{Description, Resolver};

/// What made a container; its text is the value of the column `runtime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Runtime {
    /// Docker Engine, also rootless and under Kubernetes.
    Docker,
    /// containerd: CRI, nerdctl, ctr.
    Containerd,
    /// CRI-O.
    CriO,
    /// Podman, root and rootless.
    Podman,
    /// runc, run by hand or by something that is not known here.
    Runc,
    /// crun, likewise.
    Crun,
    /// LXC, LXD, Incus, Proxmox.
    Lxc,
    /// systemd-nspawn.
    Nspawn,
    /// A build step of BuildKit.
    Buildkit,
    /// Garden (Cloud Foundry, Concourse).
    Garden,
}

impl Runtime {
    /// Its name, in lower case, as the project that makes it spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Runtime::Docker => "docker",
            Runtime::Containerd => "containerd",
            Runtime::CriO => "cri-o",
            Runtime::Podman => "podman",
            Runtime::Runc => "runc",
            Runtime::Crun => "crun",
            Runtime::Lxc => "lxc",
            Runtime::Nspawn => "systemd-nspawn",
            Runtime::Buildkit => "buildkit",
            Runtime::Garden => "garden",
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Runtime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
