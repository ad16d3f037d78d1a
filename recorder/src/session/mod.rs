//! A recording from start to end.
//!
//! [`live::record`] records this machine, [`replay::replay`] a raw capture. Both drive the same pipeline. A live
//! recording also loads the kernel side, watches the cgroups ([`watcher`]), and runs the command of the command line.

pub(crate) mod claims;
pub(crate) mod clocks;
pub(crate) mod command;
pub(crate) mod live;
mod mounts;
pub(crate) mod replay;
pub(crate) mod rights;
pub(crate) mod updates;
pub(crate) mod watcher;
