//! Limits for the resources of a recording: memory, CPU time and disk space.

pub(crate) mod cpu;
pub(crate) mod files;
pub(crate) mod memory;
