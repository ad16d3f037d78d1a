#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::containers::list::list;

const DOCKER: &str = "07898f0291f1eec7e4e9f9c8d46868e2cab3682d08635794737a5c21186a7b46";

/// Creates a machine with cgroup v1 and v2, a Docker container in both, a container that has ended, and one with a
/// hostile name.
fn machine() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, content: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/containers");
    for path in [
        "proc/self/mountinfo".to_string(),
        "proc/cgroups".to_string(),
        format!("var/lib/docker/containers/{DOCKER}/config.v2.json"),
        "run/runc/cont-runc/state.json".to_string(),
    ] {
        write(&path, &fs::read_to_string(testdata.join(&path)).unwrap());
    }
    for hierarchy in ["unified", "pids"] {
        let procs = |path: &str| format!("sys/fs/cgroup/{hierarchy}{path}/cgroup.procs");
        write(&procs(""), "1\n");
        write(&procs("/system.slice/cron.service"), "2\n");
        write(&procs(&format!("/docker/{DOCKER}")), "100\n");
        write(&procs(&format!("/docker/{DOCKER}/init.scope")), "101\n0\n");
        write(&procs(&format!("/docker/{}", "00".repeat(32))), "");
        write(&procs("/cont-runc"), "");
        write(&procs("/cont-runc/inner"), "102\n");
        write(&procs("/unknown"), "103\n");
        write(&procs("/lxc.payload.\x1b[31mred"), "104\n");
    }
    let stat = |ticks: u64| format!("100 (a) b) S {}{ticks} 0", "0 ".repeat(18));
    write("proc/uptime", "1000.00 1.0\n");
    write("proc/100/stat", &stat(99_000));
    write("proc/101/stat", &stat(99_999));
    root
}

#[test]
fn running_containers_are_listed() {
    let running = list(machine().path()).unwrap();
    let brief: Vec<_> = running
        .iter()
        .map(|c| (c.container.as_str(), c.pids, c.cgroup.as_str()))
        .collect();
    let docker = format!("/docker/{DOCKER}");
    assert_eq!(
        brief,
        [
            (r"\x1b[31mred", 1, r"/lxc.payload.\x1b[31mred"),
            ("cont-runc", 1, "/cont-runc"),
            ("cont-web", 2, docker.as_str()),
        ]
    );
    assert_eq!(running[2].image.as_deref(), Some("cbusy:1.0"));
    assert_eq!(running[2].labels["app"], "web");
    assert_eq!(running[1].since, None);
}

#[test]
fn since_is_the_start_of_the_oldest_process() {
    let running = list(machine().path()).unwrap();
    let since = running[2].since.as_deref().unwrap();
    let age = SystemTime::now()
        .duration_since(humantime::parse_rfc3339(since).unwrap())
        .unwrap();
    // The machine has been up for 1000 s, and the process started at 990 s.
    assert!((9..60).contains(&age.as_secs()), "{since}");
}

#[test]
fn a_machine_without_cgroups_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    assert!(matches!(list(root.path()), Err(CgroupError::Read { .. })));
}

fn sample() -> Vec<Running> {
    vec![Running {
        container_id: DOCKER.to_string(),
        container: "nginx".to_string(),
        image: None,
        runtime: Some(Runtime::Containerd),
        pids: 12,
        pod: Some("web-0".to_string()),
        namespace: Some("shop".to_string()),
        since: Some("2026-11-21T00:50:09Z".to_string()),
        cgroup: "/kubepods/x".to_string(),
        labels: BTreeMap::from([("a".to_string(), "b".to_string())]),
    }]
}

fn printed(running: &[Running], format: ListFormat) -> String {
    let mut out = Vec::new();
    print(running, format, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_table_has_a_row_for_each_container() {
    assert_eq!(
        printed(&sample(), ListFormat::Table),
        "\
CONTAINER ID  NAME   IMAGE  RUNTIME     PIDS  POD/NAMESPACE  SINCE
07898f0291f1  nginx  -      containerd  12    web-0/shop     2026-11-21T00:50:09Z
"
    );
    assert_eq!(printed(&[], ListFormat::Table).lines().count(), 1);
}

#[test]
fn json_has_a_line_for_each_container() {
    let line = printed(&sample(), ListFormat::Json);
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["container_id"], DOCKER);
    assert_eq!(value["runtime"], "containerd");
    assert_eq!(value["image"], serde_json::Value::Null);
    assert_eq!(value["labels"]["a"], "b");
    assert_eq!(printed(&[], ListFormat::Json), "");
}
