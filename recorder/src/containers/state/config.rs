//! The OCI runtime configuration of a container: `config.json`, in which every runtime tells runc or crun what to start (OCI
//! runtime-spec, `config.md` and `config-linux.md`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use crate::containers::state::users::User;
use crate::containers::state::{bounded, files};

/// Annotations or labels by key.
pub(crate) type Labels = BTreeMap<String, String>;

/// The fields of a configuration that are needed here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct OciConfig {
    #[serde(deserialize_with = "bounded::map::<{ bounded::TEXTS }, _, _>")]
    pub(super) annotations: Labels,
    pub(super) process: Process,
    #[serde(deserialize_with = "bounded::list::<{ bounded::OBJECTS }, _, _>")]
    pub(super) mounts: Vec<Mount>,
    pub(super) linux: Linux,
    /// True if only the annotations and the path of the cgroup could be parsed.
    #[serde(skip)]
    pub(super) is_partial: bool,
}

/// The fields that name a container.
#[derive(Deserialize)]
struct Identity {
    #[serde(default, deserialize_with = "bounded::map::<{ bounded::TEXTS }, _, _>")]
    annotations: Labels,
    linux: Option<IdentityLinux>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdentityLinux {
    cgroups_path: Option<String>,
}

/// Reads a configuration, which is a file of `user`, or of root. If it describes the powers of the container in an unexpected
/// form, the fields that name the container are read.
pub(crate) fn read(file: &Path, user: Option<&User>) -> Option<OciConfig> {
    let bytes = files::bytes(file, user.map(|user| &user.budget))?;
    if let Ok(config) = serde_json::from_slice(&bytes) {
        return Some(config);
    }
    let Identity { annotations, linux } = serde_json::from_slice(&bytes).ok()?;
    let linux = Linux {
        cgroups_path: linux.and_then(|linux| linux.cgroups_path),
        ..Linux::default()
    };
    Some(OciConfig {
        annotations,
        linux,
        is_partial: true,
        ..OciConfig::default()
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Process {
    #[serde(deserialize_with = "bounded::list::<{ bounded::TEXTS }, _, _>")]
    pub(super) args: Vec<String>,
    pub(super) user: ProcessUser,
    pub(super) capabilities: Capabilities,
    pub(super) apparmor_profile: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ProcessUser {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Capabilities {
    #[serde(deserialize_with = "bounded::list::<{ bounded::OBJECTS }, _, _>")]
    pub(super) bounding: BTreeSet<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Mount {
    pub(super) destination: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) source: String,
    #[serde(deserialize_with = "bounded::list::<{ bounded::WORDS }, _, _>")]
    pub(super) options: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Linux {
    pub(super) cgroups_path: Option<String>,
    #[serde(deserialize_with = "bounded::list::<{ bounded::OBJECTS }, _, _>")]
    pub(super) namespaces: Vec<Namespace>,
    pub(super) seccomp: Option<Seccomp>,
    pub(super) resources: Resources,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Namespace {
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// An existing namespace that the container joins; empty: a new one.
    pub(super) path: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Seccomp {
    pub(super) default_action: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Resources {
    #[serde(deserialize_with = "bounded::list::<{ bounded::OBJECTS }, _, _>")]
    pub(super) devices: Vec<DeviceRule>,
    pub(super) memory: Memory,
    pub(super) cpu: Cpu,
    pub(super) pids: Pids,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DeviceRule {
    pub(super) allow: bool,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) major: Option<i64>,
    pub(super) minor: Option<i64>,
    pub(super) access: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    pub(super) limit: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Cpu {
    pub(super) quota: Option<i64>,
    pub(super) period: Option<u64>,
    pub(super) cpus: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pids {
    pub(super) limit: Option<i64>,
}
