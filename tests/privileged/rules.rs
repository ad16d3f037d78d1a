//! The default rules: each fires for a container that does the thing, and not for one beside it that does something harmless.

use crate::support::command::{output, run};
use crate::support::containers::{Container, Running, Runtime, image_name};
use crate::support::image::rootfs;
use crate::support::programs::ctrace_query;
use crate::support::query::query;
use crate::support::recorder::{Recorder, Recording};
use crate::support::root::require_root;
use crate::support::wait::wait_for;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What two containers do, and the rules that fire for each.
struct Group {
    name: &'static str,
    /// Options of `docker run`. `{dir}` is a directory of the machine with the test programs.
    options: &'static [&'static str],
    script: &'static str,
    fires: &'static [&'static str],
    harmless: &'static str,
    /// The rules about something else that the harmless container makes fire.
    beside: &'static [&'static str],
}

const GROUPS: &[Group] = &[
    Group {
        name: "execution",
        options: &["--volume={dir}:/mnt"],
        script: "sh -c /bin/true; /bin/rpm --version; cp /bin/calls /tmp/own; /tmp/own getppid=1; /mnt/rules nothing; rules memory kernel-name attach",
        fires: &[
            "executed-from-memory",
            "executed-from-mount",
            "executed-own-file",
            "kernel-thread-name",
            "package-manager-in-container",
            "ptrace",
            "shell-in-container",
        ],
        harmless: "/bin/true; cat /etc/motd; cp /bin/calls /tmp/own; calls getppid=1; ls /mnt; rules memory-only name traceme",
        beside: &[],
    },
    Group {
        name: "files",
        options: &[],
        script: "mkdir -p /usr/bin /root/.ssh /etc/cron.d; echo x > /etc/app.conf; echo x >> /etc/passwd; echo > /etc/ld.so.preload; \
                 cp /bin/calls /usr/bin/tool; echo k > /root/.ssh/authorized_keys; echo x > /etc/cron.d/job; rm -f /root/.ash_history; \
                 echo > /root/.ash_history; rm /root/.ash_history",
        fires: &[
            "remove-shell-history",
            "write-accounts",
            "write-below-bin",
            "write-below-etc",
            "write-cron",
            "write-preload",
            "write-ssh-files",
        ],
        harmless: "cat /etc/passwd; mkdir -p /srv/etc /root/.ssh; echo x > /srv/etc/conf; echo x > /tmp/app; mv /tmp/app /tmp/app2; \
                   echo > /root/.ssh/known_hosts; echo nameserver 127.0.0.1 > /etc/resolv.conf; echo > /root/notes; rm /root/notes",
        beside: &[],
    },
    Group {
        name: "secrets",
        options: &["--volume=/etc/shadow:/mnt/shadow:ro"],
        script: "T=/var/run/secrets/kubernetes.io/serviceaccount; mkdir -p $T /root/.aws /etc/ssh; echo x > $T/token; \
                 echo x > /root/.aws/credentials; echo x > /etc/ssh/ssh_host_rsa_key; cat /etc/shadow $T/token /root/.aws/credentials \
                 /etc/ssh/ssh_host_rsa_key /mnt/shadow > /dev/null",
        fires: &[
            "read-cloud-credentials",
            "read-machine-secrets",
            "read-service-account-token",
            "read-shadow",
            "read-ssh-keys",
            "service-account-token-by-tool",
            "write-below-etc",
        ],
        harmless: "T=/var/run/secrets/kubernetes.io/serviceaccount; mkdir -p $T /root/.aws; echo x > $T/namespace; echo x > $T/token; \
                   echo > /root/.aws/config; cat $T/namespace /etc/passwd /root/.aws/config /etc/group; ls -l /mnt",
        beside: &[],
    },
    Group {
        name: "network",
        options: &["--volume=/var/run/docker.sock:/run/docker.sock"],
        script: "echo nameserver 127.0.0.1 > /etc/resolv.conf; rules reverse-shell scan refused runtime; \
                 nc -w 1 169.254.169.254 80 < /dev/null; nslookup -type=a xmr-eu1.nanopool.org; \
                 L=aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeee; for i in $(seq 21); do nslookup -type=a $i$L.t.example.com; done; \
                 /bin/true -o stratum+tcp://pool.example.com:3333",
        fires: &[
            "dns-tunnel",
            "many-refused-connections",
            "metadata-service",
            "miner-command-line",
            "miner-pool",
            "port-scan",
            "reverse-shell",
            "runtime-socket",
            "shell-in-container",
        ],
        harmless: "echo nameserver 127.0.0.1 > /etc/resolv.conf; rules serve few-refused unix; nc -w 1 169.254.1.1 80 < /dev/null; \
                   nslookup -type=a www.example.com; for i in $(seq 21); do nslookup -type=a $i.t.example.com; done; \
                   /bin/true -o tcp://pool.example.com:3333",
        beside: &[],
    },
    Group {
        name: "escape",
        options: &["--volume={dir}:/machine"],
        script: "rules setns unshare-user module bpf keys mount; echo x > /proc/sys/kernel/core_pattern; mkdir /tmp/cg; \
                 echo > /tmp/cg/release_agent; echo x > /machine/file; mknod /dev/sdzz b 8 0; cat /dev/sdzz",
        fires: &[
            "bpf",
            "core-pattern",
            "denied-call",
            "kernel-module",
            "keyctl",
            "mount",
            "open-disk",
            "release-agent",
            "setns",
            "unshare-user-namespace",
            "write-machine-files",
        ],
        harmless: "rules namespace unshare-files bpf-list keyring private; cat /proc/sys/kernel/core_pattern /proc/modules > /dev/null; \
                   ls /machine /dev; cat /machine/rules > /dev/null",
        // The calls of the harmless container are refused too.
        beside: &["denied-call"],
    },
    Group {
        name: "health",
        options: &["--memory=16m", "--memory-swap=16m"],
        script: "rules crash keys; for i in 1 2 3; do head -c 100000000 /dev/zero | sort > /dev/null; done",
        fires: &[
            "crash",
            "crash-loop",
            "denied-call",
            "keyctl",
            "out-of-memory-loop",
        ],
        harmless: "rules fail; head -c 100000 /dev/zero | sort > /dev/null",
        beside: &[],
    },
];

/// The rules with tests of their own.
const ALONE: &[&str] = &["entered-from-outside", "restart-loop"];

/// A directory of the machine's system with the test programs, which is removed at the end.
fn machine_directory() -> tempfile::TempDir {
    let dir = tempfile::Builder::new()
        .prefix("ctrace-rules-")
        .tempdir_in("/usr/local/share")
        .unwrap();
    fs::copy(rootfs().join("bin/rules"), dir.path().join("rules")).unwrap();
    dir
}

/// Starts a container that runs a script.
fn start(name: &str, options: &[&str], dir: &Path, script: &str) -> Running {
    let dir = dir.to_str().unwrap();
    let container = options
        .iter()
        .fold(Container::new(Runtime::Docker, name), |c, option| {
            c.option(option.replace("{dir}", dir))
        });
    container.start(&["sh", "-c", script])
}

/// Returns the names of the rules that fire for a container, and the exit code.
fn fired(recording: &Recording, container: &str) -> (BTreeSet<String>, i32) {
    let mut command = ctrace_query();
    command.arg("-r").arg(&recording.path);
    command.args(["rules", "--format", "ndjson", "--container", container]);
    let answer = output(&mut command);
    let stdout = String::from_utf8(answer.stdout).unwrap();
    let rows = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let names = rows.map(|row: Value| row["rule"].as_str().unwrap().to_string());
    (names.collect(), answer.status.code().unwrap())
}

/// Returns the names of all rules, or of those of the level `alert`.
fn rules(only_alerts: bool) -> BTreeSet<String> {
    let list = run(ctrace_query().args(["rules", "--list", "--format", "ndjson"]));
    let rows = list.lines().map(|line| serde_json::from_str(line).unwrap());
    let wanted = rows.filter(|row: &Value| !only_alerts || row["level"] == "alert");
    wanted
        .map(|row| row["rule"].as_str().unwrap().to_string())
        .collect()
}

#[test]
fn each_rule_fires_for_the_thing_and_not_beside_it() {
    require_root();
    let dir = machine_directory();
    let recorder = Recorder::start(&["--container", "each-rule-*"]);
    let running = GROUPS.iter().map(|group| {
        let name = format!("each-rule-{}", group.name);
        let start = |script| start(&name, group.options, dir.path(), script);
        (group, start(group.script), start(group.harmless))
    });
    let running: Vec<_> = running.collect();
    let ended = running.into_iter();
    let ended =
        ended.map(|(group, thing, harmless)| (group, thing.finish().id, harmless.finish().id));
    let containers: Vec<_> = ended.collect();
    let recording = recorder.stop();
    let alerts = rules(true);
    let mut tested: BTreeSet<_> = ALONE.iter().map(|name| name.to_string()).collect();
    for (group, thing, harmless) in containers {
        for (container, expected) in [(thing, group.fires), (harmless, group.beside)] {
            let (names, code) = fired(&recording, &container);
            let expected: BTreeSet<_> = expected.iter().map(|name| name.to_string()).collect();
            assert_eq!(names, expected, "{}", group.name);
            assert_eq!(
                code,
                i32::from(!names.is_disjoint(&alerts)),
                "{}",
                group.name
            );
            tested.extend(names);
        }
    }
    assert_eq!(tested, rules(false), "each rule has a test");
    // The summary tells of alerts first.
    let summary = run(ctrace_query()
        .arg("-r")
        .arg(&recording.path)
        .args(["summary", "--format", "csv"]));
    let lines: Vec<_> = summary.lines().skip(1).take(5).collect();
    assert!(
        lines.iter().all(|line| line.starts_with("rule fired,")),
        "{summary}"
    );
    assert!(lines[0].starts_with("rule fired,alert: "), "{summary}");
}

#[test]
fn a_program_from_outside_and_a_container_that_restarts_fire() {
    require_root();
    let dir = machine_directory();
    let recorder = Recorder::start(&["--container", "from-outside-*"]);
    let mut entered = start(
        "from-outside-entered",
        &[],
        dir.path(),
        "echo started; cat /etc/motd; read x",
    );
    assert_eq!(entered.line(), "started");
    run(Command::new("docker").args(["exec", &entered.name, "cat", "/etc/motd"]));
    entered.write("end");
    let entered = entered.finish();
    let (restarts, once) = (
        crate::support::containers::unique("from-outside-restarts"),
        crate::support::containers::unique("from-outside-once"),
    );
    for (name, policy) in [
        (&restarts, "--restart=on-failure:4"),
        (&once, "--restart=no"),
    ] {
        run(Command::new("docker")
            .args(["run", "--detach", "--network=none", policy, "--name", name])
            .args([&image_name(Runtime::Docker), "sh", "-c", "exit 3"]));
    }
    wait_for("the container has given up", || {
        let state = [
            "inspect",
            "--format={{.State.Running}} {{.RestartCount}}",
            &restarts,
        ];
        (run(Command::new("docker").args(state)).trim() == "false 4").then_some(())
    });
    let recording = recorder.stop();
    run(Command::new("docker").args(["rm", &restarts, &once]));
    let names = |container: &str| {
        fired(&recording, container)
            .0
            .into_iter()
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&entered.id), ["entered-from-outside"]);
    assert_eq!(names(&restarts), ["restart-loop"]);
    assert_eq!(names(&once), [""; 0]);
}

#[test]
fn alerts_come_within_a_second_while_it_records() {
    require_root();
    let recorder = Recorder::start(&["--container", "rules-follow-*"]);
    let script = "echo started; while read x; do cp /bin/calls /tmp/$x; /tmp/$x getppid=1 > /dev/null; echo done; done";
    let mut container =
        Container::new(Runtime::Docker, "rules-follow").start(&["sh", "-c", script]);
    assert_eq!(container.line(), "started");
    let mut follower = ctrace_query()
        .arg("-r")
        .arg(recorder.beside("run.parquet"))
        .args([
            "rules",
            "--follow",
            "--format",
            "ndjson",
            "--only",
            "executed-own-file",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    for (round, name) in ["first", "second", "third"].into_iter().enumerate() {
        container.write(name);
        assert_eq!(container.line(), "done");
        let begin = Instant::now();
        // The program has a child, which is another finding.
        let subject = format!("/tmp/{name} getppid=1");
        let is_wanted = |line: &String| {
            let finding: Value = serde_json::from_str(line).unwrap();
            finding["subject"] == subject
        };
        lines.by_ref().map(Result::unwrap).find(is_wanted).unwrap();
        eprintln!("an alert after {:?}", begin.elapsed());
        // The start of the program counts only for the first alert. The limit leaves room for other tests on the machine.
        assert!(
            round == 0 || begin.elapsed() < Duration::from_secs(5),
            "{:?}",
            begin.elapsed()
        );
    }
    run(Command::new("kill").args(["-INT", &follower.id().to_string()]));
    assert_eq!(follower.wait().unwrap().code(), Some(1));
    container.kill();
    recorder.stop();
}

#[test]
fn a_rule_dumps_the_ring_and_the_dump_names_the_rule() {
    require_root();
    let flags = [
        "--container",
        "rules-ring-*",
        "--ring",
        "1m",
        "--after",
        "1s",
        "--trigger-rules",
        "default",
    ];
    let mut recorder = Recorder::start(&flags);
    let script = "echo started; read x; cat /etc/motd; rules module; echo done; read x";
    let mut container = Container::new(Runtime::Docker, "rules-ring").start(&["sh", "-c", script]);
    assert_eq!(container.line(), "started");
    container.write("go");
    recorder.wait_until("dumped");
    container.kill();
    let recording = recorder.stop();
    let (rule, stderr) = ("kernel-module", &recording.stderr);
    assert!(stderr.contains(": rule kernel-module\n"), "{stderr}");
    assert!(
        stderr.contains("no triggers: ") && stderr.contains("crash-loop"),
        "{stderr}"
    );
    let dump = query(
        &recording.path,
        "select value from meta where key = 'ctrace.dump'",
    );
    let dump: Value = serde_json::from_str(dump[0]["value"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&dump["reason"], &dump["rule"]),
        (&"rule".into(), &rule.into())
    );
    let before = "select count(*) as n from events where path = '/etc/motd' and syscall = 'openat'";
    assert_eq!(recording.count(before), 1);
}
