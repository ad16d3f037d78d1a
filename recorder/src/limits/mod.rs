//! Limits of what a recording may use: memory, CPU time, files.

pub mod cpu;
pub mod files;
pub mod memory;
