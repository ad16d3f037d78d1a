//! Docker: `<data root>/containers/<id>/config.v2.json`, and the same structure from the API.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::containers::runtime::Runtime;
use crate::containers::state::description::ContainerInfo;
use crate::containers::state::users::User;
use crate::containers::state::{bounded, config, files, oci, powers};

/// A container in the structure that Docker's `config.v2.json` and the answer to `GET /containers/<id>/json` share.
/// Podman's API answers with the same structure.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Inspect {
    name: Option<String>,
    config: Option<Config>,
    /// The id of the image, which is a digest.
    image: Option<String>,
    restart_count: Option<i64>,
    network_settings: Option<NetworkSettings>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings {
    #[serde(
        default,
        deserialize_with = "bounded::map::<{ bounded::OBJECTS }, _, _>"
    )]
    networks: BTreeMap<String, Option<Network>>,
}

#[derive(Debug, Deserialize)]
struct Network {
    #[serde(rename = "IPAddress")]
    ipv4: Option<String>,
    #[serde(rename = "GlobalIPv6Address")]
    ipv6: Option<String>,
}

impl NetworkSettings {
    fn addresses(self) -> Vec<String> {
        let networks = self.networks.into_iter();
        let of = |network: Network| [network.ipv4, network.ipv6];
        let texts = networks.filter_map(|(_, network)| network).flat_map(of);
        texts
            .flatten()
            .filter(|text| oci::is_address(text))
            .collect()
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    image: Option<String>,
    #[serde(default, deserialize_with = "bounded::map::<{ bounded::TEXTS }, _, _>")]
    labels: BTreeMap<String, String>,
}

impl Inspect {
    /// Converts the inspection into the description of the container `id`.
    pub(crate) fn describe(self, id: &str, runtime: Runtime) -> ContainerInfo {
        let (image, labels) = match self.config {
            Some(config) => (config.image, config.labels),
            None => (None, BTreeMap::new()),
        };
        // cri-dockerd names a container k8s_NAME_POD_..., and has the parts of the name in labels.
        let kubernetes = oci::kubernetes(&labels);
        let name = self.name.map(|n| n.trim_start_matches('/').to_string());
        ContainerInfo {
            name: kubernetes.name().or(name),
            image,
            image_digest: self.image.map(oci::digest),
            restarts: self.restart_count,
            addresses: self
                .network_settings
                .map(NetworkSettings::addresses)
                .unwrap_or_default(),
            pod_container: kubernetes.container,
            pod: kubernetes.pod,
            namespace: kubernetes.namespace,
            pod_uid: kubernetes.pod_uid,
            labels,
            complete: true,
            ..ContainerInfo::new(id, runtime)
        }
    }
}

#[derive(Deserialize)]
struct Daemon {
    #[serde(rename = "data-root")]
    data_root: Option<String>,
    /// The name of data-root before Docker 17.05.
    graph: Option<String>,
}

/// Returns Docker's data directories: those of running daemons, the configured directory, the default, and that of the
/// snap; and below each of them the directories of remapped user namespaces.
pub(crate) fn data_roots(root: &Path) -> Vec<PathBuf> {
    let daemon: Option<Daemon> = files::json(&root.join("etc/docker/daemon.json"), None);
    let configured = daemon.and_then(|d| d.data_root.or(d.graph));
    let known = ["var/lib/docker", "var/snap/docker/common/var-lib-docker"];
    let mut roots: Vec<PathBuf> = vec![];
    let paths = running_data_roots(root).into_iter().chain(configured);
    for path in paths.chain(known.map(String::from)) {
        let path = root.join(path.trim_start_matches('/'));
        if !roots.contains(&path) {
            roots.push(path);
        }
    }
    let remapped: Vec<PathBuf> = roots.iter().flat_map(|path| remapped_roots(path)).collect();
    roots.extend(remapped);
    roots
}

/// Returns the directories `UID.GID` of a data directory, in which `dockerd --userns-remap` keeps its state.
fn remapped_roots(data_root: &Path) -> impl Iterator<Item = PathBuf> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    files::subdirs(data_root)
        .filter(move |(name, _)| {
            name.split_once('.')
                .is_some_and(|(uid, gid)| is_number(uid) && is_number(gid))
        })
        .map(|(_, path)| path)
}

/// Returns the data directories on the command lines of running daemons.
fn running_data_roots(root: &Path) -> Vec<String> {
    let is_daemon = |process: &PathBuf| {
        files::text(&process.join("comm"), None).is_some_and(|comm| comm.trim_end() == "dockerd")
    };
    files::subdirs(&root.join("proc"))
        .filter(|(name, _)| name.bytes().all(|b| b.is_ascii_digit()))
        .map(|(_, process)| process)
        .filter(is_daemon)
        .filter_map(|process| data_root_of(&files::text(&process.join("cmdline"), None)?))
        .collect()
}

/// Returns the data directory on a daemon's command line, whose arguments end in NUL (dockerd(8)).
fn data_root_of(cmdline: &str) -> Option<String> {
    const FLAGS: [&str; 3] = ["--data-root", "--graph", "-g"];
    let mut arguments = cmdline.split('\0');
    while let Some(argument) = arguments.next() {
        let (flag, value) = match argument.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (argument, None),
        };
        if FLAGS.contains(&flag) {
            return value.or_else(|| arguments.next()).map(str::to_string);
        }
    }
    None
}

/// Returns the files that may describe the container `id`.
pub(crate) fn name_files(roots: &[PathBuf], user: Option<&User>, id: &str) -> Vec<PathBuf> {
    let rootless = user
        .and_then(|u| u.home.as_ref())
        .map(|home| home.join(".local/share/docker"));
    let places = match user {
        Some(_) => rootless.as_slice(),
        None => roots,
    };
    let file = |place: &PathBuf| place.join("containers").join(id).join("config.v2.json");
    places.iter().map(file).collect()
}

/// Describes the container `id` from Docker's state in `roots`, without its powers.
pub(crate) fn inspect(roots: &[PathBuf], user: Option<&User>, id: &str) -> Option<ContainerInfo> {
    let candidates = name_files(roots, user, id);
    let budget = user.map(|user| &user.budget);
    let read = |file: &PathBuf| files::json::<Inspect>(file, budget);
    let inspect = candidates.iter().find_map(read)?;
    Some(inspect.describe(id, Runtime::Docker))
}

/// Describes the container `id` from Docker's state in `roots` and the bundle below `root`.
pub(crate) fn describe(
    root: &Path,
    roots: &[PathBuf],
    user: Option<&User>,
    id: &str,
) -> Option<ContainerInfo> {
    let info = inspect(roots, user, id)?;
    let config = oci::docker_config(root, user, id);
    let config = config.and_then(|file| config::read(&file, user));
    let powers = config.map(|config| powers::read(root, &config, user, id));
    Some(ContainerInfo {
        powers: powers.unwrap_or_default(),
        ..info
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_root_of_a_command_line_is_found() {
        for (cmdline, expected) in [
            ("dockerd\0--data-root\0/srv/docker\0", Some("/srv/docker")),
            ("dockerd\0--debug\0--data-root=/srv\0", Some("/srv")),
            ("/usr/bin/dockerd\0-g\0/x\0-H\0fd://\0", Some("/x")),
            ("dockerd\0-H\0fd://\0", None),
        ] {
            assert_eq!(data_root_of(cmdline).as_deref(), expected, "{cmdline:?}");
        }
    }
}
