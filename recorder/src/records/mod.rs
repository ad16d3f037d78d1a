//! Records as the kernel sends them, decoded into types.

pub mod capture;
pub mod decode;
pub mod merge;
