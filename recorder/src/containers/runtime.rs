//! The runtimes that make containers.

use std::fmt;

use serde::{Serialize, Serializer};

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
