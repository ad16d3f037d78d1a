//! Classifies cgroups by their path alone.
//!
//! The path is read from the root down. The first component that names a container decides: all cgroups below belong to
//! that container. `classify/tests.rs` lists the paths of every known runtime.

use crate::containers::runtime::Runtime;

/// The result of [`classify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A container's cgroup or a descendant of it. For nested containers (Docker in Docker, kind, systemd with its
    /// units) the outermost container is the owner.
    Container {
        /// The id that the runtime assigned; for LXC and systemd-nspawn the name.
        id: String,
        /// The runtime, if the path identifies it.
        runtime_hint: Option<Runtime>,
        /// The container's own cgroup: `path` up to and including the component that names the container.
        cgroup: String,
    },
    /// No container: a systemd unit, a session, a runtime's monitor, or a directory that groups containers.
    Host,
    /// An ambiguous path: for example, `runc run NAME` creates `/NAME`. The runtime's state on disk can decide, see
    /// [`crate::containers::state::RuntimeState::find_undecided`].
    Undecided,
}

/// The meaning of one component of a path.
enum Component<'a> {
    /// A container, which owns this cgroup and all cgroups below.
    Container(std::borrow::Cow<'a, str>, Option<Runtime>),
    /// A runtime's own process, such as conmon or the LXC monitor, which owns this cgroup and all cgroups below.
    Monitor,
    /// A systemd unit, or a directory that groups containers.
    Unit,
    Unknown,
}

/// Classifies the cgroup at `path`, a path below the hierarchy's root as in `cgroup_mkdir` and `/proc/PID/cgroup`.
pub(crate) fn classify(path: &str) -> Verdict {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    let mut last = Component::Unit;
    for (i, part) in parts.iter().enumerate() {
        last = component(&parts[..i], part);
        match last {
            // If systemd-nspawn splits its unit, its own process is in `supervisor` and the container in `payload`.
            Component::Container(_, Some(Runtime::Nspawn))
                if parts.get(i + 1) == Some(&"supervisor") =>
            {
                return Verdict::Host;
            }
            Component::Container(id, runtime_hint) => {
                return Verdict::Container {
                    id: id.into_owned(),
                    runtime_hint,
                    cgroup: format!("/{}", parts[..=i].join("/")),
                };
            }
            Component::Monitor => return Verdict::Host,
            Component::Unit | Component::Unknown => {}
        }
    }
    match last {
        Component::Unknown => Verdict::Undecided,
        _ => Verdict::Host,
    }
}

/// Recognises a low-level runtime by the comm of the thread that created a cgroup. With the cgroupfs driver, the runtime
/// creates the cgroup itself.
///
/// An undecided cgroup that a low-level runtime created and that a process then entered is a container's. The last
/// component of its path is the id, unless the user set a cgroupsPath. For a container that ended and lost its state
/// before [`crate::containers::state::RuntimeState::find_undecided`] ran, no other evidence exists.
pub(crate) fn creator(comm: &[u8]) -> Option<Runtime> {
    match comm {
        b"runc" => Some(Runtime::Runc),
        b"crun" => Some(Runtime::Crun),
        _ => None,
    }
}

/// Recognises a low-level runtime by the comm of the first thread in a cgroup that another program created, as
/// [`creator`] does. runc's process is `runc:[2:INIT]` until it executes the container's program.
pub(crate) fn first_thread(comm: &[u8]) -> Option<Runtime> {
    if comm.starts_with(b"runc:[") {
        return Some(Runtime::Runc);
    }
    creator(comm)
}

/// Suffixes of systemd units that can have a cgroup (systemd.unit(5)).
const UNITS: [&str; 6] = [".service", ".slice", ".scope", ".mount", ".socket", ".swap"];

/// Directories that group containers and are not containers themselves.
const GROUPS: [&str; 8] = [
    "docker",
    "ecs",
    "kubepods",
    "libpod_parent",
    "lxc",
    "lxc.payload",
    "garden",
    "buildkit",
];

fn component<'a>(before: &[&str], part: &'a str) -> Component<'a> {
    if is_monitor(part) {
        return Component::Monitor;
    }
    if let Some((id, hint)) = by_parent(before, part) {
        return Component::Container(id.into(), hint);
    }
    if let Some((id, hint)) = lxc(before, part).or_else(|| prefixed(part)) {
        return Component::Container(id.into(), hint);
    }
    if let Some(found) = machine(part) {
        return found;
    }
    let kubernetes = before.iter().any(|p| p.starts_with("kubepods"));
    // A pod of podman also has 64 hex digits. The containers of a pod are below it.
    let podman_pod = before.last() == Some(&"libpod_parent") && (is_id(part) || part == "conmon");
    if podman_pod
        || UNITS.iter().any(|u| part.ends_with(u))
        || GROUPS.contains(&part)
        || (before.last() == Some(&"garden"))
        || (kubernetes && (part == "besteffort" || part == "burstable" || part.starts_with("pod")))
    {
        return Component::Unit;
    }
    Component::Unknown
}

/// Recognises a container id of Docker, containerd's CRI, nerdctl, CRI-O or podman: 64 hex digits.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Recognises an id of BuildKit's `identity.NewID`: 25 digits of base 36.
fn is_buildkit_id(text: &str) -> bool {
    text.len() == 25
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// Recognises the cgroups of the runtimes' own processes.
fn is_monitor(part: &str) -> bool {
    part.starts_with("crio-conmon-")
        || part.starts_with("libpod-conmon-")
        || part.starts_with("lxc.monitor")
        || part == "lxc.pivot"
}

/// Recognises bare ids by the directory that contains them.
fn by_parent<'a>(before: &[&str], part: &'a str) -> Option<(&'a str, Option<Runtime>)> {
    let parent = before.last().copied().unwrap_or_default();
    let hint = match parent {
        "garden" if part != "good" && part != "bad" => return Some((part, Some(Runtime::Garden))),
        // Garden sorts containers by their CPU use into `good` and `bad`, which are not containers themselves.
        "good" | "bad" if before.ends_with(&["garden", parent]) => {
            return Some((part, Some(Runtime::Garden)));
        }
        "buildkit" => return Some((part, Some(Runtime::Buildkit))),
        // Fargate: the task's 32 hex digits, a hyphen and a number.
        _ if before.first() == Some(&"ecs") && is_fargate_id(part) => return Some((part, None)),
        "libpod_parent" => return None,
        "docker" => Some(Runtime::Docker),
        "default" | "k8s.io" => Some(Runtime::Containerd),
        _ => None,
    };
    is_id(part).then_some((part, hint))
}

fn is_fargate_id(part: &str) -> bool {
    part.split_once('-').is_some_and(|(task, number)| {
        task.len() == 32
            && task.bytes().all(|b| b.is_ascii_hexdigit())
            && !number.is_empty()
            && number.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Recognises LXC: `lxc.payload.NAME` since 4.0, `lxc.payload/NAME` in 3.1, `lxc/NAME` before.
fn lxc<'a>(before: &[&str], part: &'a str) -> Option<(&'a str, Option<Runtime>)> {
    let name = match before {
        [.., "lxc.payload"] | ["lxc"] => part,
        _ => part
            .strip_prefix("lxc.payload.")
            .filter(|name| !name.is_empty())?,
    };
    Some((name, Some(Runtime::Lxc)))
}

/// Recognises `PREFIX-ID.scope` (systemd driver), `PREFIX-ID` (cgroupfs driver), and `SLICE:PREFIX:ID`, which results
/// if the kubelet uses the systemd driver and the runtime does not.
fn prefixed(part: &str) -> Option<(&str, Option<Runtime>)> {
    let scope = part.strip_suffix(".scope");
    let stem = scope.unwrap_or(part);
    if let Some((prefix, name)) = stem.split_once('-')
        && scope.is_some()
        && !name.is_empty()
    {
        match prefix {
            // `--systemd-cgroup` without a cgroupsPath. The user chose the id freely.
            "runc" => return Some((name, Some(Runtime::Runc))),
            "crun" => return Some((name, Some(Runtime::Crun))),
            // The builder inside dockerd.
            "docker" | "buildkit" if is_buildkit_id(name) => {
                return Some((name, Some(Runtime::Buildkit)));
            }
            _ => {}
        }
    }
    let (prefix, id) = stem.rsplit_once([':', '-'])?;
    if !is_id(id) {
        return None;
    }
    let prefix = prefix.rsplit(':').next().unwrap_or(prefix);
    let hint = match prefix {
        "docker" => Some(Runtime::Docker),
        "cri-containerd" | "nerdctl" => Some(Runtime::Containerd),
        "crio" => Some(Runtime::CriO),
        "libpod" | "libpod-payload" => Some(Runtime::Podman),
        _ => None,
    };
    Some((id, hint))
}

/// Recognises the units of systemd-machined: `machine-NAME.scope` and the template `systemd-nspawn@NAME.service`.
fn machine(part: &str) -> Option<Component<'_>> {
    let service = part
        .strip_prefix("systemd-nspawn@")
        .and_then(|p| p.strip_suffix(".service"));
    if let Some(name) = service.filter(|n| !n.is_empty()) {
        return Some(Component::Container(
            unescape_unit(name).into(),
            Some(Runtime::Nspawn),
        ));
    }
    let scope = part.strip_prefix("machine-")?.strip_suffix(".scope")?;
    let name = unescape_unit(scope);
    // libvirt registers virtual machines (qemu-N-NAME) and its own LXC containers (lxc-PID-NAME) in the same place.
    if name.starts_with("qemu-") {
        return Some(Component::Unit);
    }
    if let Some((pid, libvirt)) = name.strip_prefix("lxc-").and_then(|n| n.split_once('-'))
        && pid.parse::<u32>().is_ok()
    {
        return Some(Component::Container(
            libvirt.to_string().into(),
            Some(Runtime::Lxc),
        ));
    }
    Some(Component::Container(name.into(), Some(Runtime::Nspawn)))
}

/// Decodes systemd's escapes of bytes, such as `\x2d` (systemd-escape(1)).
fn unescape_unit(name: &str) -> String {
    String::from_utf8_lossy(&ctrace_schema::text::unescape(name)).into_owned()
}

#[cfg(test)]
mod tests;
