//! Flags that several commands have.

use clap::Args;
use ctrace_common::sizes::parse_bytes;
use ctrace_schema::syscalls::Class;

/// Containers, and a time window.
#[derive(Args, Clone, Debug, Default)]
pub(in crate::cli) struct WindowFlags {
    /// Only these containers: name, at least 4 digits of the id, or a pattern with * and ?
    #[arg(short, long = "container", value_name = "NAME", value_delimiter = ',')]
    pub(in crate::cli) containers: Vec<String>,
    /// Only containers of these Kubernetes pods: name, or a pattern with * and ?
    #[arg(long = "pod", value_name = "POD", value_delimiter = ',')]
    pub(in crate::cli) pods: Vec<String>,
    /// Only containers of pods in these Kubernetes namespaces: name, or a pattern with * and ?
    #[arg(long = "namespace", value_name = "NAMESPACE", value_delimiter = ',')]
    pub(in crate::cli) namespaces: Vec<String>,
    /// Only containers that have all of these labels, such as tier=web,team=shop; a key alone stands for any value, also for
    /// one with a comma
    #[arg(long = "label", value_name = "KEY=VALUE", value_delimiter = ',')]
    pub(in crate::cli) labels: Vec<String>,
    /// From this time: 2026-11-21T03:12:05Z, "2026-11-21 03:12", 03:12, or 10m before the end
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(in crate::cli) since: Option<String>,
    /// Up to this time, in the same formats
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(in crate::cli) until: Option<String>,
}

/// Conditions for events.
#[derive(Args, Clone, Debug, Default)]
pub(in crate::cli) struct EventFlags {
    /// Only calls of these classes: file, network, process, memory, ipc, signal, time, poll, credential, system, other
    #[arg(long = "set", value_name = "CLASS", value_delimiter = ',', value_parser = class)]
    pub(in crate::cli) sets: Vec<Class>,
    /// Only events that pass this condition of SQL, such as "error is not null"
    #[arg(long = "where", value_name = "SQL")]
    pub(in crate::cli) condition: Option<String>,
}

fn class(name: &str) -> Result<Class, String> {
    Class::from_name(name).ok_or_else(|| {
        let names: Vec<_> = Class::ALL.iter().map(|class| class.as_str()).collect();
        format!("write one of: {}", names.join(", "))
    })
}

/// The least memory with which sorts can write to temporary files.
const MIN_MEMORY_BYTES: usize = 64_000_000;

/// Parses the size of --memory, bytes.
pub(super) fn memory(text: &str) -> Result<usize, String> {
    let bytes = parse_bytes(text).map_err(|wanted| format!("write {wanted}"))? as usize;
    match bytes < MIN_MEMORY_BYTES {
        true => Err("at least 64MB".into()),
        false => Ok(bytes),
    }
}
