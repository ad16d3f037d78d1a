//! `ctrace-rec containers`: lists the running containers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use ctrace_schema::text::{escape, short_id};
use serde::Serialize;

use crate::containers::api::Api;
use crate::containers::cgroups::{Cgroup, CgroupError, probe, scan};
use crate::containers::classify::{Verdict, classify};
use crate::containers::name_service::NameService;
use crate::containers::namespaces;
use crate::containers::processes::started_ns;
use crate::containers::runtime::Runtime;
use crate::containers::state::RuntimeState;
use crate::containers::state::description::ContainerInfo;

/// The output format of `ctrace-rec containers`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ListFormat {
    /// Columns for people.
    #[default]
    Table,
    /// One JSON object per line.
    Json,
}

/// A container with at least one process. Texts are escaped by [`ctrace_schema::text`], as in a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Running {
    /// The id that the runtime assigned.
    pub(crate) container_id: String,
    /// The name, or the short id if the name is unknown.
    pub(crate) container: String,
    pub(crate) image: Option<String>,
    pub(crate) runtime: Option<Runtime>,
    /// The number of processes.
    pub(crate) pids: usize,
    /// The Kubernetes pod.
    pub(crate) pod: Option<String>,
    /// The Kubernetes namespace.
    pub(crate) namespace: Option<String>,
    /// The start time of the oldest process, RFC 3339, UTC.
    pub(crate) since: Option<String>,
    /// The container's cgroup, a path below the mount of the hierarchy.
    pub(crate) cgroup: String,
    pub(crate) labels: BTreeMap<String, String>,
}

/// The container's data from its cgroups, before the runtime's state is read.
struct Found {
    hint: Option<Runtime>,
    cgroup: String,
    pids: BTreeSet<u32>,
}

/// Lists the running containers of the machine whose root directory is `root`, sorted by name.
///
/// # Errors
/// `/proc` cannot be read, or no cgroup filesystem is mounted.
pub(crate) fn list(root: &Path) -> Result<Vec<Running>, CgroupError> {
    let hierarchies = probe(root)?;
    let mut resolver = RuntimeState::new(root, &hierarchies);
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    for cgroup in scan(&hierarchies) {
        let Some((id, hint, own)) = identify(&mut resolver, &cgroup) else {
            continue;
        };
        // A container has a cgroup in each hierarchy, with the same processes in all of them.
        let container = found.entry(id).or_insert_with(|| Found {
            hint,
            cgroup: own,
            pids: BTreeSet::new(),
        });
        container.pids.extend(processes(&cgroup));
    }
    for container in namespaces::scan(root) {
        let is_known = |found: &Found| found.pids.contains(&container.first);
        if !found.values().any(is_known) {
            let (id, container) = without_cgroup(&mut resolver, container);
            found.insert(id, container);
        }
    }
    let mut api = Api::new(root, NameService::start());
    let mut running: Vec<Running> = found
        .into_iter()
        .filter(|(_, container)| !container.pids.is_empty())
        .map(|(id, container)| describe(root, &mut resolver, &mut api, &id, &container))
        .collect();
    running.sort_by(|a, b| (&a.container, &a.container_id).cmp(&(&b.container, &b.container_id)));
    Ok(running)
}

fn identify(
    resolver: &mut RuntimeState,
    cgroup: &Cgroup,
) -> Option<(String, Option<Runtime>, String)> {
    match classify(&cgroup.path) {
        Verdict::Container {
            id,
            runtime_hint,
            cgroup,
        } => Some((id, runtime_hint, cgroup)),
        Verdict::Host => None,
        Verdict::Undecided => {
            let owner = resolver.find_undecided(&cgroup.path)?;
            Some((owner.id, Some(owner.runtime), owner.cgroup))
        }
    }
}

/// Returns the id of a container without a cgroup; that of a container that no runtime knows is its mount namespace.
fn without_cgroup(resolver: &mut RuntimeState, container: namespaces::Found) -> (String, Found) {
    let namespaces::Found { path, first, pids } = container;
    resolver.begin(&path, first);
    let id = match resolver.find_undecided(&path) {
        Some(owner) => owner.id,
        None => path.rsplit('/').next().unwrap_or_default().to_string(),
    };
    let container = Found {
        hint: None,
        cgroup: path,
        pids: pids.into_iter().collect(),
    };
    (id, container)
}

/// Lists the processes of the cgroup itself. A threaded cgroup of v2 does not list processes; its parent does.
fn processes(cgroup: &Cgroup) -> Vec<u32> {
    let list = fs::read_to_string(cgroup.dir.join("cgroup.procs")).unwrap_or_default();
    // 0 is a process outside this pid namespace. Several such processes cannot be distinguished.
    list.lines()
        .filter_map(|pid| pid.parse().ok())
        .filter(|pid| *pid != 0)
        .collect()
}

fn describe(
    root: &Path,
    resolver: &mut RuntimeState,
    api: &mut Api,
    id: &str,
    container: &Found,
) -> Running {
    let known = resolver.describe(id, container.hint, &container.cgroup);
    let answer = match &known {
        Some(known) if known.complete => None,
        _ => {
            let answer = api.describe(id, container.hint, &container.cgroup);
            answer.ok().flatten()
        }
    };
    let runtime = known.as_ref().or(answer.as_ref()).map(|k| k.runtime);
    let known = known.map(ContainerInfo::into_facts).unwrap_or_default();
    let known = match answer {
        Some(answer) => answer.into_facts().completed_by(&known),
        None => known,
    };
    let labels = known.labels.as_deref();
    let labels = labels.and_then(|json| serde_json::from_str(json).ok());
    let container_id = escape(id.as_bytes()).into_owned();
    Running {
        container: known
            .name
            .unwrap_or_else(|| short_id(&container_id).to_string()),
        image: known.image,
        runtime: runtime.or(container.hint),
        pids: container.pids.len(),
        pod: known.pod,
        namespace: known.namespace,
        since: since(root, &container.pids),
        cgroup: escape(container.cgroup.as_bytes()).into_owned(),
        labels: labels.unwrap_or_default(),
        container_id,
    }
}

/// Returns the start time of the oldest process, RFC 3339.
fn since(root: &Path, pids: &BTreeSet<u32>) -> Option<String> {
    let uptime = fs::read_to_string(root.join("proc/uptime")).ok()?;
    let uptime: f64 = uptime.split(' ').next()?.parse().ok()?;
    let starts = pids.iter().filter_map(|pid| started_ns(root, *pid));
    let start = Duration::from_nanos(starts.min()?);
    let age = Duration::try_from_secs_f64(uptime)
        .ok()?
        .checked_sub(start)?;
    let since = SystemTime::now().checked_sub(age)?;
    Some(humantime::format_rfc3339_seconds(since).to_string())
}

/// Prints the containers in `format`.
pub(crate) fn print(
    running: &[Running],
    format: ListFormat,
    out: &mut impl Write,
) -> io::Result<()> {
    match format {
        ListFormat::Table => print_table(running, out),
        ListFormat::Json => running.iter().try_for_each(|container| {
            serde_json::to_writer(&mut *out, container)?;
            out.write_all(b"\n")
        }),
    }
}

const HEAD: [&str; 7] = [
    "CONTAINER ID",
    "NAME",
    "IMAGE",
    "RUNTIME",
    "PIDS",
    "POD/NAMESPACE",
    "SINCE",
];

fn print_table(running: &[Running], out: &mut impl Write) -> io::Result<()> {
    let mut rows = vec![HEAD.map(str::to_string)];
    rows.extend(running.iter().map(row));
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max();
    let widths: [usize; 7] = std::array::from_fn(|column| width(column).unwrap_or(0));
    for row in &rows {
        let cells = row.iter().zip(widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        writeln!(out, "{}", line.join("  ").trim_end())?;
    }
    Ok(())
}

fn row(container: &Running) -> [String; 7] {
    let or_dash = |text: Option<&str>| text.unwrap_or("-").to_string();
    let pod = match (&container.pod, &container.namespace) {
        (Some(pod), Some(namespace)) => Some(format!("{pod}/{namespace}")),
        (pod, _) => pod.clone(),
    };
    [
        short_id(&container.container_id).to_string(),
        container.container.clone(),
        or_dash(container.image.as_deref()),
        or_dash(container.runtime.map(Runtime::as_str)),
        container.pids.to_string(),
        or_dash(pod.as_deref()),
        or_dash(container.since.as_deref()),
    ]
}

#[cfg(test)]
mod tests;
