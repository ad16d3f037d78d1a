//! Recordings of real containers with the real programs. Needs root; without it every test fails.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on stops with the reason"
)]

#[path = "../support"]
mod support {
    pub mod command;
    pub mod containers;
    pub mod docker;
    pub mod image;
    pub mod metrics;
    pub mod programs;
    pub mod python;
    pub mod query;
    pub mod recorder;
    pub mod refusal;
    pub mod root;
    pub mod wait;
}

mod arguments;
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
mod peers;
mod processes;
mod reuse;
mod ring;
mod seccomp;
mod service;
mod spans;
mod task;
mod uring;
