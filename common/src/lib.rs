//! Code that both programs need.

#[cfg(target_os = "linux")]
pub mod confine;
pub mod man;
pub mod nearest;
pub mod paths;
pub mod sizes;
