//! The container runtimes that are recognised.

use std::fmt;

use serde::{Serialize, Serializer};

/// A container runtime, whose text is the value of the column `runtime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Runtime {
    /// Docker Engine, including rootless Docker and Docker under Kubernetes.
    Docker,
    /// containerd, as used by the CRI, nerdctl and ctr.
    Containerd,
    /// CRI-O.
    CriO,
    /// Podman, with or without root.
    Podman,
    /// runc, started by hand or by an unknown program.
    Runc,
    /// crun, started by hand or by an unknown program.
    Crun,
    /// LXC, LXD, Incus and Proxmox.
    Lxc,
    Nspawn,
    /// A build step of BuildKit.
    Buildkit,
    /// Garden (Cloud Foundry, Concourse).
    Garden,
}

impl Runtime {
    /// Returns the name as its project spells it, in lower case.
    pub(crate) fn as_str(self) -> &'static str {
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
