//! Tests with the state in `fixtures/containers`. The README there names its sources.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use Runtime::*;

use super::*;
use crate::containers::cgroups::probe;
use crate::containers::state::description::MAX_NAME_BYTES;

const DOCKER: &str = "07898f0291f1eec7e4e9f9c8d46868e2cab3682d08635794737a5c21186a7b46";
const PODMAN: &str = "efc1d39e3855264bcf153b0dd46c5d7c960d9537c6224975d2d8bfbe8978cf8d";

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/containers")
}

fn resolver() -> RuntimeState {
    RuntimeState::new(&testdata(), &probe(&testdata()).unwrap())
}

/// Name, image, runtime, pod/namespace, complete.
type Short = (String, String, Runtime, String, bool);

fn short(d: ContainerInfo) -> Short {
    let text = |t: Option<String>| t.unwrap_or("-".to_string());
    let pod = format!("{}/{}", text(d.pod), text(d.namespace));
    (text(d.name), text(d.image), d.runtime, pod, d.complete)
}

/// Id, hint, path, and the expected description.
type Sample = (String, Option<Runtime>, &'static str, Expected);
/// [`Short`] with static texts.
type Expected = (&'static str, &'static str, Runtime, &'static str, bool);

#[rustfmt::skip]
fn samples() -> Vec<Sample> {
    let twice = |byte: &str| byte.repeat(32);
    vec![
        (DOCKER.into(), Some(Docker), "/docker/x", ("cont-web", "cbusy:1.0", Docker, "-/-", true)),
        (DOCKER.into(), None, "/mygroup/x", ("cont-web", "cbusy:1.0", Docker, "-/-", true)),
        (PODMAN.into(), Some(Podman), "/libpod_parent/x", ("cont-pod", "localhost/cbusy:1.0", Podman, "-/-", false)),
        (PODMAN.into(), None, "/x", ("cont-pod", "localhost/cbusy:1.0", Podman, "-/-", false)),
        ("cont-runc".into(), Some(Runc), "/cont-runc", ("cont-runc", "-", Runc, "-/-", true)),
        ("cont-crun".into(), Some(Crun), "/x", ("cont-crun", "-", Crun, "-/-", true)),
        ("cont-ctr".into(), Some(Containerd), "/x", ("cont-ctr", "-", Containerd, "-/-", true)),
        (twice("2d"), Some(Containerd), "/x", ("nginx", "docker.io/library/nginx:1.25", Containerd, "web-7d4b9c6f5-abcde/shop", false)),
        (twice("2d"), None, "/kubepods/x", ("nginx", "docker.io/library/nginx:1.25", Containerd, "web-7d4b9c6f5-abcde/shop", false)),
        (twice("1c"), None, "/kubepods/x", ("web-7d4b9c6f5-abcde", "-", Containerd, "web-7d4b9c6f5-abcde/shop", false)),
        (twice("6b"), Some(Containerd), "/default/x", ("redis-1", "-", Containerd, "-/-", true)),
        (twice("3e"), Some(CriO), "/x", ("app", "quay.io/shop/pay:2.1", CriO, "pay-0/shop", true)),
        (twice("5a"), Some(Podman), "/user.slice/user-1000.slice/x", ("alices-db", "docker.io/library/postgres:16", Podman, "-/-", false)),
        ("alices-job".into(), Some(Crun), "/user.slice/user-1000.slice/x", ("alices-job", "job:3", Crun, "-/-", true)),
        ("cont-lxc".into(), Some(Lxc), "/x", ("cont-lxc", "busybox", Lxc, "-/-", true)),
        ("mail".into(), Some(Lxc), "/x", ("mail", "debian/bookworm", Lxc, "-/-", true)),
        ("in-lxd".into(), Some(Lxc), "/x", ("in-lxd", "-", Lxc, "-/-", true)),
        ("deb-12".into(), Some(Nspawn), "/x", ("deb-12", "/var/lib/machines/deb-12", Nspawn, "-/-", true)),
    ]
}

#[test]
fn each_runtime_describes_its_containers() {
    let mut resolver = resolver();
    for (id, hint, path, expected) in samples() {
        let found = resolver.describe(&id, hint, path).map(short);
        let (name, image, runtime, pod, complete) = expected;
        let expected = (name.into(), image.into(), runtime, pod.into(), complete);
        assert_eq!(found, Some(expected), "{id}");
    }
}

#[test]
fn each_runtime_has_the_labels_of_its_containers() {
    let mut resolver = resolver();
    let mut labels = |id: &str, hint| {
        let found = resolver.describe(id, Some(hint), "/x").unwrap();
        found.labels.into_iter().collect::<Vec<_>>()
    };
    let pair = |key: &str, value: &str| (key.to_string(), value.to_string());
    assert_eq!(
        labels(DOCKER, Docker),
        [pair("app", "web"), pair("tier", "front")]
    );
    let team = [pair("com.example.team", "pay")];
    assert_eq!(labels("cont-crun", Crun), team);
    assert_eq!(labels("cont-ctr", Containerd), team);
    assert!(labels(&"3e".repeat(32), CriO).contains(&pair("tier", "back")));
    assert_eq!(labels("cont-runc", Runc), []);
}

#[test]
fn a_container_without_state_has_no_description() {
    let mut resolver = resolver();
    for hint in [
        None,
        Some(Docker),
        Some(Podman),
        Some(Containerd),
        Some(Runc),
    ] {
        assert_eq!(resolver.describe(&"00".repeat(32), hint, "/x"), None);
    }
}

#[test]
fn state_of_a_user_is_used_for_that_users_cgroups_only() {
    let id = "5a".repeat(32);
    let mut resolver = resolver();
    let mut describe = |path| resolver.describe(&id, Some(Podman), path);
    assert_eq!(describe("/machine.slice/x"), None);
    assert_eq!(describe("/user.slice/user-1001.slice/x"), None);
    assert!(describe("/user.slice/user-1000.slice/user@1000.service/x").is_some());
}

#[test]
fn undecided_cgroups_are_decided_by_state() {
    let mut resolver = resolver();
    let session = "/user.slice/user-1000.slice/session-3.scope/alices-job";
    let samples = [
        ("/cont-runc", "cont-runc", Runc, "/cont-runc"),
        ("/cont-runc/init.scope", "cont-runc", Runc, "/cont-runc"),
        ("/somewhere/deep", "cont-runc3", Runc, "/somewhere/deep"),
        (
            "/cont-crun-group/inner",
            "cont-crun",
            Crun,
            "/cont-crun-group/inner",
        ),
        (
            "/default/cont-ctr",
            "cont-ctr",
            Containerd,
            "/default/cont-ctr",
        ),
        (session, "alices-job", Crun, session),
    ];
    // Twice: from the files, and from the cache.
    for (path, id, runtime, cgroup) in samples.iter().chain(&samples) {
        let expected = Owner {
            id: id.to_string(),
            runtime: *runtime,
            cgroup: cgroup.to_string(),
        };
        assert_eq!(resolver.find_undecided(path), Some(expected), "{path}");
    }
    for path in [
        "/",
        "/somewhere",
        "/deep",
        "/cont-runc2",
        "/cont-crun-group",
        "/batch/nightly",
        "/unknown",
    ] {
        assert_eq!(resolver.find_undecided(path), None, "{path}");
    }
}

#[test]
fn changed_state_is_read_again() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("run/runc/a");
    std::fs::create_dir_all(&dir).unwrap();
    let hierarchies = Hierarchies {
        v2: Some(root.path().join("sys/fs/cgroup")),
        v1: None,
    };
    let mut resolver = RuntimeState::new(root.path(), &hierarchies);
    let write = |cgroup: &str| {
        let json = format!(r#"{{"cgroup_paths":{{"":"/sys/fs/cgroup{cgroup}"}}}}"#);
        std::fs::write(dir.join("state.json"), json).unwrap();
    };
    std::fs::write(dir.join("state.json"), r#"{"cgroup_pa"#).unwrap();
    assert_eq!(resolver.find_undecided("/one"), None);
    write("/one");
    assert_eq!(resolver.find_undecided("/one").unwrap().id, "a");
    write("/other");
    assert_eq!(resolver.find_undecided("/one"), None);
    assert_eq!(resolver.find_undecided("/other").unwrap().id, "a");
    std::fs::remove_dir_all(&dir).unwrap();
    assert_eq!(resolver.find_undecided("/other"), None);
}

#[test]
fn dockers_data_root_is_configurable() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("srv/docker/containers/abc");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::create_dir_all(root.path().join("etc/docker")).unwrap();
    let daemon = r#"{"data-root": "/srv/docker"}"#;
    std::fs::write(root.path().join("etc/docker/daemon.json"), daemon).unwrap();
    std::fs::write(
        dir.join("config.v2.json"),
        r#"{"Name":"/k8s_app_pay-0_shop_1_0","Config":{"Image":"pay","Labels":{
            "io.kubernetes.container.name":"app","io.kubernetes.pod.name":"pay-0",
            "io.kubernetes.pod.namespace":"shop"}}}"#,
    )
    .unwrap();
    let mut resolver = RuntimeState::new(root.path(), &Hierarchies::default());
    let found = resolver.describe("abc", Some(Docker), "/docker/abc");
    let expected = (
        "app".into(),
        "pay".into(),
        Docker,
        "pay-0/shop".into(),
        true,
    );
    assert_eq!(found.map(short), Some(expected));
}

#[test]
fn a_running_docker_has_another_data_root_and_user_namespaces() {
    let root = tempfile::tempdir().unwrap();
    let mut resolver = RuntimeState::new(root.path(), &Hierarchies::default());
    let file = |path: &str, text: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    // Docker was started after the recorder.
    file("proc/77/comm", "dockerd\n");
    file("proc/77/cmdline", "dockerd\0--data-root\0/srv/data\0");
    file("proc/78/comm", "sh\n");
    file("proc/78/cmdline", "sh\0--data-root\0/tmp\0");
    file("srv/data/containers/a/config.v2.json", r#"{"Name":"/web"}"#);
    let remapped = "srv/data/100000.100000/containers/b/config.v2.json";
    file(remapped, r#"{"Name":"/remapped"}"#);
    file("tmp/containers/c/config.v2.json", r#"{"Name":"/fake"}"#);
    let mut name = |id: &str| resolver.describe(id, Some(Docker), "/x")?.name;
    assert_eq!(name("a").as_deref(), Some("web"));
    assert_eq!(name("b").as_deref(), Some("remapped"));
    assert_eq!(name("c"), None);
}

#[test]
fn podman_lists_containers_that_it_removes_at_their_end_apart() {
    let root = tempfile::tempdir().unwrap();
    let storage = root
        .path()
        .join("var/lib/containers/storage/overlay-containers");
    let id = "ab".repeat(32);
    std::fs::create_dir_all(storage.join(&id).join("userdata")).unwrap();
    std::fs::write(storage.join(&id).join("userdata/config.json"), "{}").unwrap();
    std::fs::write(storage.join("containers.json"), "[]").unwrap();
    std::fs::write(
        storage.join("volatile-containers.json"),
        format!(
            r#"[{{"id":"{id}","names":["brief"],"metadata":"{{\"image-name\":\"busybox\"}}"}}]"#
        ),
    )
    .unwrap();
    let mut resolver = RuntimeState::new(root.path(), &Hierarchies::default());
    let found = resolver.describe(&id, Some(Podman), "/x").unwrap();
    assert_eq!(
        (found.name.as_deref(), found.image.as_deref()),
        (Some("brief"), Some("busybox"))
    );
}

#[test]
fn hostile_state_is_ignored() {
    let root = tempfile::tempdir().unwrap();
    let containers = root.path().join("var/lib/docker/containers");
    let file = |id: &str, content: &[u8]| {
        std::fs::create_dir_all(containers.join(id)).unwrap();
        std::fs::write(containers.join(id).join("config.v2.json"), content).unwrap();
    };
    file("secret", br#"{"Name":"/secret"}"#);
    file("broken", b"{\"Name\":");
    file("other", b"[1,2,3]");
    file("deep", &b"[".repeat(100_000));
    file("huge", &[b" ".repeat(5 << 20), b"{}".to_vec()].concat());
    let long = format!(r#"{{"Name":"/{}"}}"#, "é".repeat(100_000));
    file("long", long.as_bytes());
    std::fs::create_dir_all(containers.join("link")).unwrap();
    std::os::unix::fs::symlink(
        containers.join("secret/config.v2.json"),
        containers.join("link/config.v2.json"),
    )
    .unwrap();
    std::fs::create_dir_all(containers.join("directory/config.v2.json")).unwrap();
    let mut resolver = RuntimeState::new(root.path(), &Hierarchies::default());
    let mut describe = |id| resolver.describe(id, Some(Docker), "/x");
    assert!(describe("secret").is_some());
    for id in [
        "broken",
        "other",
        "deep",
        "huge",
        "link",
        "directory",
        "",
        ".",
        "..",
        "x/../secret",
        "../containers/secret",
        "/etc",
        "secret\0",
    ] {
        assert_eq!(describe(id), None, "{id:?}");
    }
    let name = describe("long").unwrap().name.unwrap();
    assert!(name.len() <= MAX_NAME_BYTES && name.starts_with('é'));
}

#[test]
fn a_fifo_in_place_of_a_file_does_not_block() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("run/crun/a");
    std::fs::create_dir_all(&dir).unwrap();
    let made = std::process::Command::new("mkfifo")
        .args([dir.join("status"), dir.join("state.json")])
        .status();
    assert!(made.unwrap().success());
    let mut resolver = RuntimeState::new(root.path(), &Hierarchies::default());
    assert_eq!(resolver.find_undecided("/a"), None);
    assert_eq!(resolver.describe("a", None, "/a"), None);
}

/// Writes podman's list of the containers with the numbers below `count`, with 40 KB of names, and their configurations.
fn write_list(storage: &Path, count: usize, name: &str) -> Vec<String> {
    let ids: Vec<String> = (0..count).map(|n| format!("{n:064x}")).collect();
    let padding = "x".repeat(40_000 / count);
    let entries = ids.iter().map(|id| {
        let names = [format!("{name}-{id}"), padding.clone()];
        serde_json::json!({ "id": id, "names": names, "image": "i" })
    });
    let json = serde_json::Value::from_iter(entries).to_string();
    for id in &ids {
        let dir = storage.join(id).join("userdata");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("config.json"), "{}").unwrap();
    }
    // As podman replaces its lists.
    let new = storage.join("new");
    std::fs::write(&new, json).unwrap();
    std::fs::rename(&new, storage.join("containers.json")).unwrap();
    ids
}

#[test]
fn a_list_of_podmans_is_read_once_after_a_change() {
    let root = tempfile::tempdir().unwrap();
    let storage = "home/ada/.local/share/containers/storage/overlay-containers";
    let storage = root.path().join(storage);
    std::fs::create_dir_all(root.path().join("etc")).unwrap();
    let passwd = "ada:x:1234:1234::/home/ada:/bin/sh\n";
    std::fs::write(root.path().join("etc/passwd"), passwd).unwrap();
    let mut state = RuntimeState::new(root.path(), &Hierarchies::default());
    let path = "/user.slice/user-1234.slice/x";
    let count = 1000;
    let ids = write_list(&storage, count, "first");
    // With the configurations, less than what may be read of a user in a second; not, if the list is read for each.
    for id in &ids {
        let name = state.describe(id, Some(Podman), path).unwrap().name;
        assert_eq!(name, Some(format!("first-{id}")));
    }
    write_list(&storage, count, "second");
    let mut names = |prefix: &str| {
        let is_named = |id: &&String| {
            let name = state.named(id, Podman, path).unwrap().name;
            name == Some(format!("{prefix}-{id}"))
        };
        let named = ids.iter().filter(is_named).count();
        state.expire_names();
        named
    };
    assert_eq!(names("first"), count);
    assert_eq!(names("second"), count);
    // A list that is larger than a user's may be.
    let large = [b" ".repeat(2 << 20), b"[]".to_vec()].concat();
    std::fs::write(storage.join("containers.json"), large).unwrap();
    state.expire_names();
    assert_eq!(state.named(&ids[0], Podman, path), None);
}

#[test]
fn what_a_user_keeps_is_read_within_a_budget() {
    let root = tempfile::tempdir().unwrap();
    let state_dir = root.path().join("run/user/1234/crun");
    let describe = |state: &mut RuntimeState, id: &str| {
        state.describe(id, Some(Crun), "/user.slice/user-1234.slice/x")
    };
    let config = [b" ".repeat(3 << 20), b"{}".to_vec()].concat();
    for id in ["a", "b", "c", "d"] {
        let dir = state_dir.join(id);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("status"), r#"{"cgroup-path":"/x"}"#).unwrap();
        std::fs::write(dir.join("config.json"), &config).unwrap();
    }
    let mut state = RuntimeState::new(root.path(), &Hierarchies::default());
    let begin = std::time::Instant::now();
    let all = ["a", "b", "c", "d"].map(|id| describe(&mut state, id).is_some());
    assert!(begin.elapsed() < std::time::Duration::from_secs(1));
    assert_eq!(all, [true, true, false, false]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert!(describe(&mut state, "c").is_some());
}

/// Creates a container of crun with a `config.json`, and describes it.
fn described(config: &str) -> Option<ContainerInfo> {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("run/crun/hostile");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("status"), r#"{"cgroup-path":"/x"}"#).unwrap();
    std::fs::write(dir.join("config.json"), config).unwrap();
    let mut state = RuntimeState::new(root.path(), &Hierarchies::default());
    state.describe("hostile", Some(Crun), "/x")
}

#[test]
fn a_list_longer_than_any_runtime_writes_is_malformed() {
    let of = |item: &str, count: usize| vec![item; count].join(",");
    let named = r#""annotations":{"org.opencontainers.image.ref.name":"busybox"}"#;
    let command = r#""process":{"args":["sleep"]}"#;
    // Each of these would take many times the memory of the file.
    for (list, fits) in [
        (format!(r#""mounts":[{}]"#, of("{}", 4096)), true),
        (format!(r#""mounts":[{}]"#, of("{}", 1_000_000)), false),
        (
            format!(r#""mounts":[{{"options":[{}]}}]"#, of(r#""""#, 64)),
            true,
        ),
        (
            format!(r#""mounts":[{{"options":[{}]}}]"#, of(r#""""#, 1_000_000)),
            false,
        ),
        (
            format!(r#""linux":{{"namespaces":[{}]}}"#, of("{}", 1_000_000)),
            false,
        ),
        (
            format!(
                r#""linux":{{"resources":{{"devices":[{}]}}}}"#,
                of("{}", 1_000_000)
            ),
            false,
        ),
    ] {
        let config = format!("{{{named},{command},{list}}}");
        let info = described(&config).unwrap();
        assert_eq!(info.image.as_deref(), Some("busybox"));
        assert_eq!(info.powers.command.is_some(), fits, "{:.40}", list);
    }
}

#[test]
fn a_million_labels_are_none() {
    let labels = |count: usize| {
        let entries: Vec<_> = (0..count).map(|n| format!(r#""{n}":"""#)).collect();
        format!(r#"{{"annotations":{{{}}}}}"#, entries.join(","))
    };
    assert_eq!(described(&labels(65_536)).unwrap().labels.len(), 65_536);
    assert_eq!(described(&labels(65_537)), None);
    // A file of this size is not read at all.
    assert_eq!(described(&labels(1_000_000)), None);
}
