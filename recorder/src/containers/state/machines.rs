//! LXC and systemd-nspawn: containers that are identified by the name that the user chose.

use std::path::Path;

use crate::containers::runtime::Runtime;
use crate::containers::state::description::ContainerInfo;
use crate::containers::state::files;

/// Describes an LXC container. The comments in LXC's own configuration name the template; LXD and Incus have no such
/// file.
pub(crate) fn lxc(root: &Path, name: &str) -> ContainerInfo {
    let config = files::text(&root.join("var/lib/lxc").join(name).join("config"), None);
    ContainerInfo {
        image: config.as_deref().and_then(lxc_image),
        ..ContainerInfo::named(name, Runtime::Lxc)
    }
}

/// Returns the image of an LXC container from the two comments that lxc-create(1) writes: distribution and release
/// that the `download` template fetched (`debian/bookworm`), else the template's name.
fn lxc_image(config: &str) -> Option<String> {
    let comment = |head: &str| {
        let line = config.lines().find_map(|line| line.strip_prefix(head));
        line.map(str::trim).filter(|rest| !rest.is_empty())
    };
    let template = comment("# Template used to create this container:")?;
    let parameters: Vec<&str> = comment("# Parameters passed to the template:")
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let option = |long: &str, short: &str| {
        let found = parameters
            .windows(2)
            .find(|w| w[0] == long || w[0] == short);
        found.map(|w| w[1])
    };
    match (option("--dist", "-d"), option("--release", "-r")) {
        (Some(dist), Some(release)) => Some(format!("{dist}/{release}")),
        _ => {
            let file = template.rsplit('/').next()?;
            Some(file.strip_prefix("lxc-").unwrap_or(file).to_string())
        }
    }
}

/// Describes a container that systemd-machined has registered or that nspawn's own unit runs. The image is the
/// container's root directory.
pub(crate) fn nspawn(root: &Path, name: &str) -> ContainerInfo {
    let machine = files::text(&root.join("run/systemd/machines").join(name), None);
    let directory = machine
        .as_deref()
        .and_then(|text| text.lines().find_map(|line| line.strip_prefix("ROOT=")));
    ContainerInfo {
        image: directory.map(str::to_string),
        ..ContainerInfo::named(name, Runtime::Nspawn)
    }
}
