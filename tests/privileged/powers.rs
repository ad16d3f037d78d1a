//! Powers of containers, under each runtime.

use crate::support::command::run;
use crate::support::containers::{Container, Ended, Runtime, unique};
use crate::support::cri::Pods;
use crate::support::recorder::{Recorder, Recording};
use crate::support::root::require_root;
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

/// Returns the row of a container in the view `containers`.
fn container(recording: &Recording, id: &str) -> Value {
    let sql = format!("select * from containers where container_id = '{id}'");
    let rows = recording.query(&sql);
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0].clone()
}

/// Checks some columns of a row.
fn check(row: &Value, expected: &Value) {
    for (column, value) in expected.as_object().unwrap() {
        assert_eq!(&row[column], value, "{column} of {row}");
    }
}

fn capabilities(row: &Value) -> Vec<&str> {
    row["capabilities"].as_str().unwrap().split(' ').collect()
}

/// Returns the mount at `target`, as source and the first option.
fn mount(row: &Value, target: &str) -> Option<(String, String)> {
    let mounts: Vec<Value> = serde_json::from_str(row["mounts"].as_str()?).unwrap();
    let mount = mounts.into_iter().find(|mount| mount["target"] == target)?;
    let text = |field: &str| mount[field].as_str().unwrap().to_string();
    let access = text("options").split(',').next().unwrap().to_string();
    Some((text("source"), access))
}

fn options(container: Container, options: &[&str]) -> Container {
    options
        .iter()
        .fold(container, |c, option| c.option(*option))
}

/// Returns the containers of the question `powers` in the order of the answer.
fn by_power(recording: &Recording) -> Vec<String> {
    let answer = run(crate::support::programs::ctrace_query()
        .arg("-r")
        .arg(&recording.path)
        .args(["powers", "--format", "ndjson"]));
    let rows = answer
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| row["container"].as_str().unwrap().to_string())
        .collect()
}

#[test]
fn the_powers_of_containers_of_docker_and_podman_are_recorded() {
    require_root();
    for runtime in [Runtime::Docker, Runtime::Podman] {
        let recorder = Recorder::start(&[]);
        let weak = options(
            Container::new(runtime, "weak"),
            &[
                "--user=1000:7",
                "--cap-drop=ALL",
                "--cap-add=NET_ADMIN",
                "--memory=64m",
                "--volume=/etc:/config:ro",
            ],
        )
        .run(&["echo", "a b"]);
        let strong = options(
            Container::new(runtime, "strong").network("host"),
            &[
                "--pid=host",
                "--security-opt=seccomp=unconfined",
                "--volume=/:/h",
            ],
        )
        .run(&["sh", "-c", "exit 3"]);
        let recording = recorder.stop();
        let row = container(&recording, &weak.id);
        check(
            &row,
            &json!({ "command": "echo 'a b'", "run_as": "1000:7", "privileged": false, "seccomp_profile": "SCMP_ACT_ERRNO",
                "capabilities": "CAP_NET_ADMIN", "reason": "exited", "exit_code": 0 }),
        );
        assert!(
            row["limits"]
                .as_str()
                .unwrap()
                .contains("\"memory\":67108864"),
            "{row}"
        );
        assert_eq!(mount(&row, "/config"), Some(("/etc".into(), "ro".into())));
        assert_eq!(mount(&row, "/etc/hosts"), None, "{row}");
        assert!(
            row["image_digest"].as_str().unwrap().starts_with("sha256:"),
            "{row}"
        );
        let row = container(&recording, &strong.id);
        check(
            &row,
            &json!({ "run_as": "0:0", "privileged": false, "seccomp_profile": "unconfined" }),
        );
        let shared = row["host_namespaces"].as_str().unwrap();
        assert!(shared.starts_with("network pid "), "{shared}");
        assert!(capabilities(&row).contains(&"CAP_CHOWN"), "{row}");
        assert_eq!(mount(&row, "/h"), Some(("/".into(), "rw".into())));
        // Other tests have containers at the same time.
        let wanted = [strong.name, weak.name];
        let mut names = by_power(&recording);
        names.retain(|name| wanted.contains(name));
        assert_eq!(names, wanted);
    }
}

#[test]
fn a_privileged_container_is_told_by_what_it_has() {
    require_root();
    let recorder = Recorder::start(&[]);
    // podman gives what the machine's own first process has.
    let privileged = Container::new(Runtime::Podman, "all")
        .option("--privileged")
        .run(&["true"]);
    let recording = recorder.stop();
    check(
        &container(&recording, &privileged.id),
        &json!({ "privileged": true, "seccomp_profile": "unconfined" }),
    );
}

#[test]
fn the_powers_of_a_container_of_runc_are_in_its_bundle() {
    require_root();
    let recorder = Recorder::start(&[]);
    let ended = Container::new(Runtime::Runc, "bundle").run(&["sh", "-c", "sleep 0.3; kill -9 $$"]);
    let recording = recorder.stop();
    check(
        &container(&recording, &ended.id),
        &json!({ "command": "sh -c 'sleep 0.3; kill -9 $$'", "run_as": "0:0", "privileged": false,
            "seccomp_profile": "unconfined", "capabilities": "CAP_AUDIT_WRITE CAP_KILL CAP_NET_BIND_SERVICE" }),
    );
}

#[test]
fn why_a_container_stopped_is_recorded() {
    require_root();
    let recorder = Recorder::start(&[]);
    let killed = Container::new(Runtime::Docker, "killed")
        .start(&["sleep", "100"])
        .kill();
    let starved = Container::new(Runtime::Docker, "starved")
        .option("--memory=16m")
        .option("--memory-swap=16m")
        .run(&["sh", "-c", "exec tail -c 100m /dev/zero"]);
    assert_eq!(starved.code, 137);
    let recording = recorder.stop();
    let reason = |ended: &Ended| container(&recording, &ended.id)["reason"].clone();
    assert_eq!(reason(&killed), "killed by a signal");
    assert_eq!(reason(&starved), "out of memory");
}

#[test]
fn addresses_and_restarts_are_recorded() {
    require_root();
    let name = unique("again");
    let recorder = Recorder::start(&["--container", "again-*"]);
    let image = crate::support::containers::image_name(Runtime::Docker);
    let script = "sleep 2; exit 1";
    run(Command::new("docker").args([
        "run",
        "--detach",
        "--restart=on-failure:1",
        "--name",
        &name,
        &image,
        "sh",
        "-c",
        script,
    ]));
    std::thread::sleep(Duration::from_secs(8));
    run(Command::new("docker").args(["rm", "--force", &name]));
    let recording = recorder.stop();
    let rows = recording.query("select restarts, addresses, reason from containers");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["restarts"], 1, "{rows:?}");
    assert_eq!(rows[0]["reason"], "exited", "{rows:?}");
    let address = rows[0]["addresses"].as_str().unwrap();
    assert!(address.parse::<std::net::IpAddr>().is_ok(), "{address}");
}

#[test]
fn what_ran_before_the_recording_has_its_arguments_and_its_start() {
    require_root();
    for runtime in Runtime::ALL {
        let mut running =
            Container::new(runtime, "earlier").start(&["sh", "-c", "echo up; read x; echo 'a b'"]);
        assert_eq!(running.line(), "up");
        std::thread::sleep(Duration::from_millis(200));
        let recorder = Recorder::start(&[]);
        running.write("go");
        let ended = running.finish();
        let recording = recorder.stop();
        let sql = format!(
            "select argv, comm, started < first_seen as earlier, exited is not null as ended from processes \
             where container_id = '{}'",
            ended.id
        );
        let argv = "sh -c 'echo up; read x; echo '\\''a b'\\'''";
        assert_eq!(
            recording.query(&sql),
            [json!({ "argv": argv, "comm": "sh", "earlier": true, "ended": true })],
            "{runtime:?}"
        );
        let sql = format!(
            "select started < first_seen as earlier from containers where container_id = '{}'",
            ended.id
        );
        assert_eq!(
            recording.query(&sql),
            [json!({ "earlier": true })],
            "{runtime:?}"
        );
    }
}

#[test]
fn containers_of_two_pods_with_one_name_are_two() {
    require_root();
    let (first, second) = (unique("pay"), unique("web"));
    let recorder = Recorder::start(&[]);
    let pods = Pods::run(
        &[("shop", &first, "app"), ("front", &second, "app")],
        &["sh", "-c", "cat /etc/motd; sleep 100"],
    );
    std::thread::sleep(Duration::from_secs(2));
    let ids = pods.containers.clone();
    pods.remove();
    let recording = recorder.stop();
    let read = "select namespace, pod, pod_uid, pod_container, container, container_id from events \
                where path = '/etc/motd' and syscall in ('open', 'openat') group by all order by namespace desc";
    let expected: Vec<_> = [("shop", &first), ("front", &second)]
        .iter()
        .zip(&ids)
        .map(|((namespace, pod), id)| {
            json!({ "namespace": namespace, "pod": pod, "pod_uid": format!("uid-{pod}"), "pod_container": "app",
                "container": "app", "container_id": id.container })
        })
        .collect();
    assert_eq!(recording.query(read), expected);
    for ((namespace, pod), ids) in [("shop", &first), ("front", &second)].iter().zip(&ids) {
        let app = container(&recording, &ids.container);
        check(
            &app,
            &json!({ "runtime": "containerd", "command": "sh -c 'cat /etc/motd; sleep 100'", "restarts": 0,
                "reason": "killed by a signal" }),
        );
        // The labels of the container and of its pod.
        let labels: Value = serde_json::from_str(app["labels"].as_str().unwrap()).unwrap();
        assert_eq!(labels, json!({ "tier": "app", "pod": pod }));
        assert!(
            app["host_namespaces"].as_str().unwrap().contains("network"),
            "{app}"
        );
        let sandbox = container(&recording, &ids.sandbox);
        check(
            &sandbox,
            &json!({ "container": pod, "pod": pod, "namespace": namespace, "pod_container": null }),
        );
    }
    let names = |options: &[&str]| {
        let answer = run(crate::support::programs::ctrace_query()
            .arg("-r")
            .arg(&recording.path)
            .arg("containers")
            .args(options)
            .args(["--format", "ndjson"]));
        let rows = answer
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let pods = rows.map(|row| row["pod"].as_str().unwrap().to_string());
        pods.collect::<Vec<_>>()
    };
    assert_eq!(
        names(&["--namespace", "shop"]),
        [first.clone(), first.clone()]
    );
    assert_eq!(
        names(&["--pod", &second, "--label", "tier=app"]),
        std::slice::from_ref(&second)
    );
}

#[test]
fn pods_are_filtered_by_pod_namespace_and_label() {
    require_root();
    let (first, second) = (unique("pay"), unique("web"));
    // Other tests run pods at the same time.
    let namespace = unique("front");
    let pattern = format!("pay-{}-*", std::process::id());
    let label = format!("pod={second}");
    for (flags, wanted) in [
        (["--pod", &pattern], &first),
        (["--namespace", &namespace], &second),
        (["--label", &label], &second),
    ] {
        let recorder = Recorder::start(&flags);
        let wanted_pods = [
            ("shop", first.as_str(), "app"),
            (namespace.as_str(), second.as_str(), "app"),
        ];
        let pods = Pods::run(
            &wanted_pods,
            &["sh", "-c", "sleep 1; cat /etc/motd; sleep 100"],
        );
        std::thread::sleep(Duration::from_secs(3));
        pods.remove();
        let recording = recorder.stop();
        let rows = recording.query("select distinct pod from events where path = '/etc/motd'");
        assert_eq!(rows, [json!({ "pod": wanted })], "{flags:?}");
    }
}

#[test]
fn pods_that_ran_before_the_recording_are_found_when_their_labels_are_known() {
    require_root();
    let (first, second) = (unique("pay"), unique("web"));
    let pods = Pods::run(
        &[("shop", &first, "app"), ("front", &second, "app")],
        &["sh", "-c", "while true; do cat /etc/motd; sleep 0.2; done"],
    );
    let label = format!("pod={second}");
    let recorder = Recorder::start(&["--label", &label]);
    std::thread::sleep(Duration::from_secs(3));
    let id = pods.containers[1].container.clone();
    pods.remove();
    let recording = recorder.stop();
    assert!(
        !recording.stderr.contains("no container that runs now"),
        "{}",
        recording.stderr
    );
    let row = container(&recording, &id);
    check(&row, &json!({ "pod": second, "pod_container": "app" }));
    let sql = format!(
        "select action, started is not null and started < time as earlier, count(*) as rows from events \
         where kind = 'container' and container_id = '{id}' and action in ('started', 'found') group by all"
    );
    let expected = [json!({ "action": "found", "earlier": true, "rows": 1 })];
    assert_eq!(recording.query(&sql), expected);
    let sql = format!(
        "select comm, started < first_seen as earlier from processes where container_id = '{id}' and ns_pid = 1"
    );
    assert_eq!(
        recording.query(&sql),
        [json!({ "comm": "sh", "earlier": true })]
    );
    let sql =
        "select count(*) from events where kind = 'process' and action = 'found' and ns_pid = 1";
    // The first processes of the container and of the sandbox.
    assert_eq!(recording.count(sql), 2);
    let pods = recording.query("select distinct pod from events where kind = 'syscall'");
    assert_eq!(pods, [json!({ "pod": second })]);
}

#[test]
fn processes_that_ran_before_the_recording_are_selected_by_their_name() {
    require_root();
    for (flag, expected) in [("--comm", "cat"), ("--exclude-comm", "sh")] {
        let script = "mkfifo /f; echo up; cat /f; true";
        let mut running = Container::new(Runtime::Docker, "selected").start(&["sh", "-c", script]);
        assert_eq!(running.line(), "up");
        std::thread::sleep(Duration::from_millis(300));
        let recorder = Recorder::start(&[flag, "cat"]);
        let id = running.id.clone();
        running.kill();
        let recording = recorder.stop();
        let sql = format!(
            "select comm from events where kind = 'process' and action = 'found' and container_id = '{id}'"
        );
        assert_eq!(
            recording.query(&sql),
            [json!({ "comm": expected })],
            "{flag}"
        );
    }
}
