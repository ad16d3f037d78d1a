//! Recordings of real containers with the real programs. Needs root; without it every test fails.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support"]
mod support {
    pub(crate) mod command;
    pub(crate) mod containers;
    pub(crate) mod cri;
    pub(crate) mod docker;
    pub(crate) mod dump;
    pub(crate) mod image;
    pub(crate) mod metrics;
    pub(crate) mod name_server;
    pub(crate) mod programs;
    pub(crate) mod python;
    pub(crate) mod query;
    pub(crate) mod ready;
    pub(crate) mod recorder;
    pub(crate) mod refusal;
    pub(crate) mod root;
    pub(crate) mod wait;
}

mod arguments;
mod bounds;
mod calls;
mod capabilities;
mod cli;
mod connections;
mod containers;
mod counts;
mod diff;
mod disk;
mod dns;
mod files;
mod filters;
mod hostile;
mod hostile_cgroups;
mod incidents;
mod kernel_count;
mod killed;
mod limits;
mod network;
mod origin;
mod peers;
mod powers;
mod processes;
mod reuse;
mod rights;
mod ring;
mod rootless;
mod rules;
mod seccomp;
mod service;
mod signals;
mod spans;
mod task;
mod uring;
