//! Which cgroups are containers, and what the runtimes know about them: pure user space, no BPF.
//!
//! The kernel side gives a cgroup's id and path at `cgroup_mkdir`. [`classify::classify`] says from the path alone whether it
//! is a container; where the path cannot say, [`state::RuntimeState::find_undecided`] asks the state that runtimes keep on
//! disk. [`state::RuntimeState::describe`] then gives name, image and labels, and [`api::Api`] asks the runtime's socket for what
//! disk does not hold. [`list::list`] is what `ctrace-rec containers` prints.

pub mod api;
pub mod cgroups;
pub mod classify;
pub mod facts;
pub mod list;
pub mod runtime;
pub mod state;
