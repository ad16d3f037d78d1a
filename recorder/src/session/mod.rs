//! A recording from start to end.
//!
//! [`live::record`] records this machine, [`replay::replay`] a raw capture. Both drive the same pipeline. A live
//! recording also loads the kernel side, watches the cgroups ([`watcher`]), and runs the command of the command line.

pub(crate) mod claims;
pub(crate) mod clocks;
pub(crate) mod command;
mod confinement;
pub(crate) mod live;
mod mounts;
mod queries;
mod raw_capture;
pub(crate) mod replay;
pub(crate) mod undecided;
mod updates;
pub(crate) mod watcher;
