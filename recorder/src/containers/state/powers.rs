//! The command and the powers of a container, from its OCI runtime configuration.

use std::fs;
use std::path::Path;

use ctrace_schema::text::{escape, shell_join};
use serde::Serialize;

use crate::containers::facts::Powers;
use crate::containers::processes::{identity, machine_namespace, network_of};
use crate::containers::state::config::{
    Cpu, DeviceRule, Mount, Namespace, OciConfig, Process, Resources,
};
use crate::containers::state::description::MAX_JSON_BYTES;
use crate::containers::state::users::User;

/// The longest command that is stored, bytes.
const MAX_COMMAND_BYTES: usize = 4096;

/// The namespaces of an OCI runtime configuration, and their names in `/proc/PID/ns` (namespaces(7)).
const NAMESPACES: [(&str, &str); 7] = [
    ("mount", "mnt"),
    ("network", "net"),
    ("pid", "pid"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("cgroup", "cgroup"),
    ("user", "user"),
];

/// Files that a runtime mounts into each container from its own directories.
const OF_RUNTIME: [&str; 7] = [
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/dev/shm",
    "/dev/termination-log",
    "/run/.containerenv",
    "/run/secrets",
];

/// An element of the column `mounts`. The first option is `ro` or `rw`.
#[derive(Serialize)]
struct StoredMount {
    source: String,
    target: String,
    options: String,
}

/// The column `limits`.
#[derive(Serialize)]
struct StoredLimits {
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<i64>,
    /// Number of CPUs whose time the container may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<f64>,
    /// CPUs on which the container may run, as in cpuset(7).
    #[serde(skip_serializing_if = "Option::is_none")]
    cpus: Option<String>,
    /// Number of processes and threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pids: Option<i64>,
}

/// Reads the command and the powers of the container `id`, which `user` or root has configured. `root` is the machine's root
/// directory. A malformed configuration tells nothing.
pub(crate) fn read(root: &Path, config: &OciConfig, user: Option<&User>, id: &str) -> Powers {
    if config.is_partial {
        return Powers::default();
    }
    let Process {
        args,
        user: run_as,
        capabilities,
        apparmor_profile,
    } = &config.process;
    let joined: String = args.iter().map(|arg| format!("{arg}\0")).collect();
    let mut command = shell_join(joined.as_bytes());
    command.truncate(command.floor_char_boundary(MAX_COMMAND_BYTES));
    let text = |text: &str| escape(text.as_bytes()).into_owned();
    let names: Vec<&str> = capabilities.bounding.iter().map(String::as_str).collect();
    let seccomp = config.linux.seccomp.as_ref();
    Powers {
        command: (!args.is_empty()).then_some(command),
        run_as: Some(format!("{}:{}", run_as.uid, run_as.gid)),
        privileged: Some(is_privileged(root, config)),
        capabilities: Some(match names.as_slice() {
            [] => "none".to_string(),
            names => text(&names.join(" ")),
        }),
        mounts: mounts(&config.mounts, id),
        host_namespaces: host_namespaces(root, &config.linux.namespaces, user),
        seccomp_profile: Some(match seccomp {
            Some(seccomp) => text(&seccomp.default_action),
            None => "unconfined".to_string(),
        }),
        apparmor_profile: match apparmor_profile.as_str() {
            "" => has_apparmor(root).then(|| "unconfined".to_string()),
            profile => Some(text(profile)),
        },
        limits: limits(&config.linux.resources),
    }
}

/// Returns whether nothing is withheld from root in the container: it has all capabilities that the machine's first process
/// can give, all devices, and no seccomp filter. Runtimes that do not know the capabilities of [`SPLIT_OFF`] do not give them.
fn is_privileged(root: &Path, config: &OciConfig) -> bool {
    let bounding = &config.process.capabilities.bounding;
    let is_everything = |rule: &&DeviceRule| {
        matches!(rule.kind.as_deref(), None | Some("a" | ""))
            && rule.major.is_none_or(|major| major < 0)
            && rule.minor.is_none_or(|minor| minor < 0)
    };
    let rules = config.linux.resources.devices.iter();
    // The last rule about all devices applies (cgroup-v1/devices.rst).
    let has_devices = rules.rev().find(is_everything).is_some_and(|rule| {
        let access = rule.access.as_deref().unwrap_or("rwm");
        rule.allow && "rwm".chars().all(|c| access.contains(c))
    });
    let unconfined = config.linux.seccomp.is_none();
    let all = machine_capabilities(root);
    let is_given = |name: &&str| SPLIT_OFF.contains(name) || bounding.contains(*name);
    has_devices && unconfined && all.iter().all(is_given)
}

/// Names of the capabilities, by number: include/uapi/linux/capability.h.
const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// The capabilities that CAP_SYS_ADMIN contains, from which Linux 5.8 and 5.9 split them off: see capabilities(7).
const SPLIT_OFF: [&str; 3] = ["CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE"];

/// Returns the capabilities that processes of the machine can have: the bounding set of its first process (`CapBnd` in
/// proc_pid_status(5)), or, if it cannot be read, all.
fn machine_capabilities(root: &Path) -> Vec<&'static str> {
    let status = fs::read_to_string(root.join("proc/1/status")).unwrap_or_default();
    let mut lines = status.lines();
    let set = lines.find_map(|line| line.strip_prefix("CapBnd:"));
    let set = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    let set = set.unwrap_or(u64::MAX);
    let numbered = CAPABILITIES.iter().enumerate();
    let has = |(number, _): &(usize, &&str)| set & 1 << number != 0;
    numbered.filter(has).map(|(_, name)| *name).collect()
}

/// Returns the bind mounts and volumes as a JSON array, without the files that each container gets from its runtime.
fn mounts(mounts: &[Mount], id: &str) -> Option<String> {
    let is_bind = |mount: &&Mount| {
        mount.kind == "bind" || mount.options.iter().any(|o| o == "bind" || o == "rbind")
    };
    let of_runtime = |mount: &&Mount| {
        let source = &mount.source;
        let marks = [id, "/sandboxes/", "/kubelet/pods/"];
        OF_RUNTIME.contains(&mount.destination.as_str())
            && marks.iter().any(|mark| source.contains(mark))
    };
    let mut left = MAX_JSON_BYTES;
    let mut stored = vec![];
    for mount in mounts.iter().filter(|m| is_bind(m) && !of_runtime(m)) {
        let is_access = |option: &&String| *option == "ro" || *option == "rw";
        let read_only = mount.options.iter().rfind(is_access);
        let access = read_only.map_or("rw", |option| option.as_str());
        let others = mount.options.iter().filter(|o| !is_access(o));
        let options: Vec<&str> = [access].into_iter().chain(others.map(|o| &**o)).collect();
        let mount = StoredMount {
            source: escape(mount.source.as_bytes()).into_owned(),
            target: escape(mount.destination.as_bytes()).into_owned(),
            options: escape(options.join(",").as_bytes()).into_owned(),
        };
        let size = mount.source.len() + mount.target.len() + mount.options.len() + 40;
        if size > left {
            break;
        }
        left -= size;
        stored.push(mount);
    }
    let json = serde_json::to_string(&stored).ok();
    json.filter(|_| !stored.is_empty())
}

/// Returns the namespaces that a container shares with the machine's first process: those that the configuration does not
/// mention, and those that it joins by a path. A path that a user has chosen may lead to a file system that does not answer,
/// so that only paths of procfs are followed, and others are taken for namespaces of the user.
fn host_namespaces(root: &Path, namespaces: &[Namespace], user: Option<&User>) -> Option<String> {
    let is_shared = |(kind, name): &&(&str, &str)| {
        let Some(own) = namespaces.iter().find(|own| own.kind == *kind) else {
            return true;
        };
        let Some(path) = own.path.strip_prefix('/') else {
            return false;
        };
        if user.is_some() && process_in(path).is_none() {
            return false;
        }
        match process_in(path) {
            // A recorder that is confined cannot follow the links of other processes.
            Some(pid) if *name == "net" => {
                let joined = network_of(root, pid);
                joined.is_some() && joined == network_of(root, "1")
            }
            _ => {
                let joined = identity(&root.join(path));
                joined.is_some() && joined == machine_namespace(root, name)
            }
        }
    };
    let shared = NAMESPACES.iter().filter(is_shared).map(|(kind, _)| *kind);
    let shared: Vec<&str> = shared.collect();
    (!shared.is_empty()).then(|| shared.join(" "))
}

/// Returns the PID in a path without its first slash, if it is `proc/PID/ns/NAME`.
fn process_in(path: &str) -> Option<&str> {
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        ["proc", pid, "ns", name] => {
            let is_namespace = NAMESPACES.iter().any(|(_, known)| *known == name);
            (pid.parse::<u32>().is_ok() && is_namespace).then_some(pid)
        }
        _ => None,
    }
}

/// Returns whether the kernel enforces AppArmor profiles.
fn has_apparmor(root: &Path) -> bool {
    let enabled = root.join("sys/module/apparmor/parameters/enabled");
    fs::read(enabled).is_ok_and(|text| text.starts_with(b"Y"))
}

/// Returns the limits as a JSON object; `None`: no limits.
fn limits(resources: &Resources) -> Option<String> {
    let positive = |value: Option<i64>| value.filter(|value| *value > 0);
    let Cpu {
        quota,
        period,
        cpus,
    } = &resources.cpu;
    // cpu.cfs_period_us of the kernel is 100 ms if it is not set.
    let period = period.filter(|period| *period > 0).unwrap_or(100_000);
    let limits = StoredLimits {
        memory: positive(resources.memory.limit),
        cpu: positive(*quota).map(|quota| quota as f64 / period as f64),
        cpus: cpus
            .as_deref()
            .filter(|cpus| !cpus.is_empty())
            .map(|cpus| escape(cpus.as_bytes()).into_owned()),
        pids: positive(resources.pids.limit),
    };
    let json = serde_json::to_string(&limits).ok();
    json.filter(|json| json != "{}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::{Value, json};

    use super::*;
    use crate::containers::state::config;
    use crate::containers::state::users::Users;

    /// Returns the powers by a configuration, on a machine whose first process has two capabilities.
    fn powers(config: &Value) -> Powers {
        powers_of(config, None)
    }

    /// Returns the powers by a configuration of `user`.
    fn powers_of(config: &Value, user: Option<&User>) -> Powers {
        let root = tempfile::tempdir().unwrap();
        let file = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        file("proc/1/status", "Name:\tinit\nCapBnd:\t000001c000000021\n");
        file("proc/1/ns/net", "");
        file("proc/1/net/dev", "");
        file("other/net", "");
        fs::hard_link(
            root.path().join("proc/1/ns/net"),
            root.path().join("host-net"),
        )
        .unwrap();
        file("config.json", &config.to_string());
        let file = root.path().join("config.json");
        match config::read(&file, user) {
            Some(config) => read(root.path(), &config, user, "c0ffee"),
            None => Powers::default(),
        }
    }

    /// Returns the configuration of a container of Docker with few rights.
    fn config() -> Value {
        json!({
            "process": {
                "args": ["sh", "-c", "echo 'a b'\n"],
                "user": {"uid": 1000, "gid": 7},
                "capabilities": {"bounding": ["CAP_KILL", "CAP_CHOWN"]},
            },
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/etc/hosts", "type": "bind", "source": "/var/lib/docker/containers/c0ffee/hosts",
                    "options": ["rbind", "rprivate"]},
                {"destination": "/h", "type": "bind", "source": "/", "options": ["rbind"]},
                {"destination": "/q\"", "source": "/srv\u{1b}", "options": ["bind", "ro"]},
            ],
            "linux": {
                "namespaces": [
                    {"type": "mount"}, {"type": "pid"}, {"type": "network", "path": "/other/net"},
                    {"type": "ipc"}, {"type": "uts"},
                ],
                "seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []},
                "resources": {
                    "devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 3,
                        "access": "rwm"}],
                    "memory": {"limit": 67_108_864}, "cpu": {"quota": 50_000, "period": 100_000}, "pids": {"limit": -1},
                },
            },
        })
    }

    #[test]
    fn the_powers_of_a_container_are_read() {
        let read = powers(&config());
        let text = |text: &str| Some(text.to_string());
        let expected = Powers {
            command: text("sh -c 'echo '\\''a b'\\''\\x0a'"),
            run_as: text("1000:7"),
            privileged: Some(false),
            capabilities: text("CAP_CHOWN CAP_KILL"),
            mounts: text(
                r#"[{"source":"/","target":"/h","options":"rw,rbind"},{"source":"/srv\\x1b","target":"/q\"","options":"ro,bind"}]"#,
            ),
            host_namespaces: text("cgroup user"),
            seccomp_profile: text("SCMP_ACT_ERRNO"),
            apparmor_profile: None,
            limits: text(r#"{"memory":67108864,"cpu":0.5}"#),
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn a_container_is_privileged_by_what_it_has() {
        let all = |seccomp: bool, devices: Value, capabilities: Value| {
            let mut config = config();
            config["process"]["capabilities"]["bounding"] = capabilities;
            config["linux"]["resources"]["devices"] = devices;
            if !seccomp {
                config["linux"].as_object_mut().unwrap().remove("seccomp");
            }
            powers(&config).privileged
        };
        // The bits 0 and 5 of the first process; Docker 20.10 does not know 38 to 40.
        let capabilities = json!(["CAP_CHOWN", "CAP_KILL"]);
        let every = json!([{"allow": false, "access": "rwm"}, {"allow": true, "access": "rwm"}]);
        let read_only = json!([{"allow": true, "type": "a", "access": "r"}]);
        assert_eq!(all(false, every.clone(), capabilities.clone()), Some(true));
        assert_eq!(all(true, every.clone(), capabilities.clone()), Some(false));
        assert_eq!(all(false, read_only, capabilities.clone()), Some(false));
        assert_eq!(all(false, json!([]), capabilities), Some(false));
        assert_eq!(all(false, every, json!(["CAP_CHOWN"])), Some(false));
    }

    #[test]
    fn a_namespace_that_is_joined_by_its_path_may_be_the_machines() {
        let mut config = config();
        config["linux"]["namespaces"] = json!([
            {"type": "mount"}, {"type": "network", "path": "/host-net"}, {"type": "user"}, {"type": "cgroup"},
        ]);
        let shared = powers(&config).host_namespaces;
        assert_eq!(shared.as_deref(), Some("network pid ipc uts"));
        // The path of a user is not followed, unless it is one of the kernel's own.
        let user = Users::default().find(Path::new("/nonexistent"), "/user.slice/user-1000.slice");
        let shared = powers_of(&config, user.as_deref()).host_namespaces;
        assert_eq!(shared.as_deref(), Some("pid ipc uts"));
        config["linux"]["namespaces"][1]["path"] = json!("/proc/1/ns/net");
        let shared = powers_of(&config, user.as_deref()).host_namespaces;
        assert_eq!(shared.as_deref(), Some("network pid ipc uts"));
        for path in [
            "proc/1/root/x",
            "proc/x/ns/net",
            "proc/1/ns/../root",
            "run/proc/1/ns/net",
        ] {
            assert_eq!(process_in(path), None, "{path}");
        }
    }

    #[test]
    fn powers_in_an_unexpected_form_leave_the_name() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("config.json");
        let text = r#"{"annotations": {"a": "b"}, "mounts": null, "linux": {"cgroupsPath": "/x"}}"#;
        fs::write(&file, text).unwrap();
        let config = config::read(&file, None).unwrap();
        assert_eq!(config.annotations["a"], "b");
        assert_eq!(config.linux.cgroups_path.as_deref(), Some("/x"));
        assert_eq!(
            read(root.path(), &config, None, "c0ffee"),
            Powers::default()
        );
    }

    #[test]
    fn a_malformed_configuration_tells_nothing() {
        assert_eq!(powers(&json!([1, 2])), Powers::default());
        let hostile = json!({"process": {"args": vec!["x".repeat(1000); 1000]}, "mounts": vec![
            json!({"destination": "y".repeat(1000), "type": "bind", "source": "z".repeat(1000)}); 1000]});
        let read = powers(&hostile);
        assert_eq!(read.command.unwrap().len(), MAX_COMMAND_BYTES);
        let mounts = read.mounts.unwrap();
        assert!(mounts.len() < MAX_JSON_BYTES);
        assert!(serde_json::from_str::<Value>(&mounts).is_ok());
    }
}
