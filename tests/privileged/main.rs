//! Records real containers with the real programs and asks the recordings. Needs root; without it every test fails.

// A test that cannot go on stops with the reason.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod bounds;
mod calls;
mod cli;
mod containers;
mod counts;
mod disk;
mod dns;
mod files;
mod filters;
mod kernel_count;
mod killed;
mod limits;
mod network;
mod processes;
mod reuse;
mod ring;
mod seccomp;
mod service;

mod uring;
