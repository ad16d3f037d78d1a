//! The confinement of a process to what it needs, so that a fault in a reader of hostile bytes is worth little: rules of
//! Landlock on files ([`files`], landlock(7)) and a filter of seccomp on system calls ([`calls`], seccomp(2)).
//!
//! Neither can be taken back, and the processes that a confined process starts inherit both.

pub mod calls;
pub mod files;

#[cfg(test)]
mod tests;
