//! Limits for the resources of a recording: memory, CPU time, disk space and file descriptors.

pub(crate) mod cpu;
pub(crate) mod descriptors;
pub(crate) mod files;
pub(crate) mod memory;
