//! What a cgroup is, from its path alone.

use crate::containers::runtime::Runtime;

/// What a cgroup's path says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is a container's, or is nested below a container's and so belongs to it. With a container in a container
    /// (Docker in Docker, kind, systemd with its units) the outermost counts.
    Container {
        /// The id that the runtime gave it; LXC and systemd-nspawn: its name.
        id: String,
        /// Which runtime it looks like, where the path says so.
        runtime_hint: Option<Runtime>,
        /// The container's own cgroup: `path` up to and with the component that made it a container.
        cgroup: String,
    },
    /// No container: a systemd unit, a session, a runtime's monitor, a directory that groups containers.
    Host,
    /// The path cannot say: `runc run NAME` makes `/NAME`. [`super::Resolver::find_undecided`] knows more.
    Undecided,
}

/// What one component of a path says.
enum Component<'a> {
    /// It makes everything from here on a container.
    Container(std::borrow::Cow<'a, str>, Option<Runtime>),
    /// It makes everything from here on a runtime's own process: conmon, the LXC monitor.
    Monitor,
    /// It is a systemd unit or groups containers.
    Unit,
    /// Anything else.
    Unknown,
}

/// Says what the cgroup at `path` is. `path` is below the hierarchy's root, as `cgroup_mkdir` and
/// `/proc/PID/cgroup` give it.
pub fn classify(path: &str) -> Verdict {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    let mut last = Component::Unit;
    for (i, part) in parts.iter().enumerate() {
        last = component(&parts[..i], part);
        match last {
            // Where systemd-nspawn splits its unit, it stays in `supervisor` and the container is in `payload`.
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

/// The low-level runtime that a process is, by its comm: with the cgroupfs driver it makes the cgroup itself.
///
/// An undecided cgroup made by one, which a process then enters, is a container's, and the last component of its path
/// is the id unless the user set a cgroupsPath. This alone is left of a container that is gone, state and all, before
/// [`super::Resolver::find_undecided`] could look.
pub fn creator(comm: &str) -> Option<Runtime> {
    match comm {
        "runc" => Some(Runtime::Runc),
        "crun" => Some(Runtime::Crun),
        _ => None,
    }
}

/// Suffixes of systemd units that can have a cgroup (systemd.unit(5)).
const UNITS: [&str; 6] = [".service", ".slice", ".scope", ".mount", ".socket", ".swap"];

/// Directories that group containers and are none.
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
    // A pod that podman made has 64 hex digits as well, and its containers are below it.
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

/// 64 hex digits: the id of a container in Docker, containerd's CRI, nerdctl, CRI-O and podman.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// BuildKit's `identity.NewID`: 25 digits of base 36.
fn is_buildkit_id(text: &str) -> bool {
    text.len() == 25
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// The cgroups that runtimes keep for themselves.
fn is_monitor(part: &str) -> bool {
    part.starts_with("crio-conmon-")
        || part.starts_with("libpod-conmon-")
        || part.starts_with("lxc.monitor")
        || part == "lxc.pivot"
}

/// Bare ids, which mean something by the directory that they are in.
fn by_parent<'a>(before: &[&str], part: &'a str) -> Option<(&'a str, Option<Runtime>)> {
    let parent = before.last().copied().unwrap_or_default();
    let hint = match parent {
        "garden" if part != "good" && part != "bad" => return Some((part, Some(Runtime::Garden))),
        // Garden sorts containers by how much CPU they use, and so `good` and `bad` are no containers themselves.
        "good" | "bad" if before.ends_with(&["garden", parent]) => {
            return Some((part, Some(Runtime::Garden)));
        }
        "buildkit" => return Some((part, Some(Runtime::Buildkit))),
        // Fargate: 32 hex digits of the task, and a number.
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

/// LXC: `lxc.payload.NAME` since 4.0, `lxc.payload/NAME` in 3.1, `lxc/NAME` before.
fn lxc<'a>(before: &[&str], part: &'a str) -> Option<(&'a str, Option<Runtime>)> {
    let name = match before {
        [.., "lxc.payload"] | ["lxc"] => part,
        _ => part
            .strip_prefix("lxc.payload.")
            .filter(|name| !name.is_empty())?,
    };
    Some((name, Some(Runtime::Lxc)))
}

/// `PREFIX-ID.scope` and `PREFIX-ID` (systemd and cgroupfs driver), and `SLICE:PREFIX:ID`, which comes about where
/// the kubelet uses systemd's driver and the runtime does not.
fn prefixed(part: &str) -> Option<(&str, Option<Runtime>)> {
    let scope = part.strip_suffix(".scope");
    let stem = scope.unwrap_or(part);
    if let Some((prefix, name)) = stem.split_once('-')
        && scope.is_some()
        && !name.is_empty()
    {
        match prefix {
            // `--systemd-cgroup` without a cgroupsPath; the id is whatever the user chose.
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

/// What systemd-machined registers: `machine-NAME.scope`, and the template `systemd-nspawn@NAME.service`.
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
    // libvirt registers virtual machines (qemu-N-NAME) in the same place, and its own kind of LXC (lxc-PID-NAME).
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

/// Undoes systemd's escape of a byte as `\x2d` (systemd-escape(1)).
fn unescape_unit(name: &str) -> String {
    String::from_utf8_lossy(&ctrace_schema::text::unescape(name)).into_owned()
}

#[cfg(test)]
mod tests;
