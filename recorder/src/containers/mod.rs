//! Decides which cgroups are containers, and reads the containers' names from their runtimes. Pure user space, no BPF.
//!
//! The kernel side reports a cgroup's id and path at `cgroup_mkdir`. [`classify::classify`] decides from the path alone
//! whether the cgroup is a container's. If the path is ambiguous, [`state::RuntimeState::find_undecided`] searches the
//! state that runtimes keep on disk. [`state::RuntimeState::describe`] then reads name, image and labels from that
//! state, and [`api::Api`] asks the runtime's socket for the rest, that of containerd by [`cri`]. [`list::list`] collects
//! the output of `ctrace-rec containers`.

pub(crate) mod api;
pub(crate) mod cgroups;
pub(crate) mod classify;
pub(crate) mod cri;
pub(crate) mod facts;
pub(crate) mod list;
pub(crate) mod mounts;
pub(crate) mod name_service;
pub(crate) mod namespaces;
pub(crate) mod processes;
pub(crate) mod runtime;
pub(crate) mod state;
