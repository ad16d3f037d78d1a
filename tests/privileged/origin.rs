//! Origins: of threads (the runtime's set-up, `docker exec`, nsenter), of executables, and of files on the machine.

use crate::support::command::run;
use crate::support::containers::{Container, Runtime};
use crate::support::recorder::{Recorder, Recording};
use crate::support::root::require_root;
use serde_json::json;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

/// A shell that takes the name of runc's thread, reads a file and executes a program.
const FORGER: &str =
    "echo -n 'runc:[2:INIT]' > /proc/self/comm; read line < /etc/passwd; calls getppid=1";

/// Returns the number of rows of a container for which `condition` holds.
fn count(recording: &Recording, container: &str, condition: &str) -> i64 {
    let rows = recording.query(&format!(
        "select count(*) as n from events where container = '{container}' and ({condition})"
    ));
    rows[0]["n"].as_i64().unwrap()
}

#[test]
fn set_up_ends_with_the_first_program_whatever_its_name() {
    require_root();
    for runtime in Runtime::ALL {
        let recorder = Recorder::start(&[]);
        let ended = Container::new(runtime, "setup").run(&["sh", "-c", FORGER]);
        assert_eq!(ended.code, 0);
        let recording = recorder.stop();
        let count = |condition: &str| count(&recording, &ended.name, condition);
        assert!(count("setup") > 0, "{runtime:?}");
        let of_set_up = "setup and (exe in ('/bin/busybox', '/bin/calls') or pid is null)";
        assert_eq!(count(of_set_up), 0, "{runtime:?}");
        let first = format!(
            "(select min(seq) from events where argv like 'sh -c%' and container = '{}')",
            ended.name
        );
        assert_eq!(count(&format!("setup and seq > {first}")), 0, "{runtime:?}");
        let opened = "comm = 'runc:[2:INIT]' and not setup and path = '/etc/passwd' and syscall in ('open', 'openat')";
        assert_eq!(count(opened), 1, "{runtime:?}");
        assert_eq!(count("entered"), 0, "{runtime:?}");
        assert_eq!(
            count("pid is not null and (setup is null or entered is null)"),
            0
        );
    }
}

#[test]
fn programs_that_are_brought_in_later_are_marked() {
    require_root();
    for runtime in Runtime::ALL {
        for old in [false, true] {
            let container = Container::new(runtime, "entered");
            let start = |container: Container| {
                let script = "echo ready; read line; calls getppid=1";
                let mut running = container.start(&["sh", "-c", script]);
                assert_eq!(running.line(), "ready");
                running
            };
            let name = container.name().to_owned();
            let (recorder, mut running) = if old {
                let running = start(container);
                (Recorder::start(&[]), running)
            } else {
                let recorder = Recorder::start(&[]);
                (recorder, start(container))
            };
            let exec = ["exec", &name, "sh", "-c", "calls getuid=1"];
            run(Command::new(runtime.program()).args(exec));
            let recording_pid = first_process(runtime, &name);
            run(Command::new("nsenter")
                .args(["-t", &recording_pid, "-m", "-p"])
                .args(["/bin/calls", "getgid=1"]));
            running.write("go");
            assert_eq!(running.finish().code, 0);
            let recording = recorder.stop();
            let rows = recording.query(&format!(
                "select syscall, setup, entered, count(*) as calls from events where container = '{name}' \
                 and syscall in ('getppid', 'getuid', 'getgid') and exe = '/bin/calls' group by 1, 2, 3 order by 1"
            ));
            let rows: Vec<_> = rows
                .iter()
                .map(|r| {
                    (
                        r["syscall"].as_str().unwrap(),
                        r["setup"] == true,
                        r["entered"] == true,
                    )
                })
                .collect();
            let expected = [
                ("getgid", false, true),
                ("getppid", false, false),
                ("getuid", false, true),
            ];
            assert_eq!(
                rows, expected,
                "{runtime:?}, older than the recording: {old}"
            );
            let set_up = count(&recording, &name, "setup and entered");
            assert!(set_up > 0, "{runtime:?}, {old}");
        }
    }
}

#[test]
fn a_process_that_joins_only_the_ipc_and_uts_namespaces_of_a_container_is_the_hosts() {
    require_root();
    let container = Container::new(Runtime::Docker, "joined");
    let name = container.name().to_owned();
    let mut running = container.start(&["sh", "-c", "echo ready; read line"]);
    assert_eq!(running.line(), "ready");
    let recorder = Recorder::start(&["--host", "--event", "setns,sethostname"]);
    let pid = first_process(Runtime::Docker, &name);
    let namespace = |kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
    let joined = ["ipc", "uts"].map(|kind| namespace(kind).display().to_string());
    run(Command::new("nsenter").args(["-t", &pid, "-i", "-u", "hostname", "intruder"]));
    running.write("go");
    assert_eq!(running.finish().code, 0);
    let recording = recorder.stop();
    let rows = recording.query(&format!(
        "select container, path from events where syscall = 'setns' and path in ('{}', '{}') order by seq",
        joined[0], joined[1]
    ));
    let expected = joined.map(|path| json!({"container": "host", "path": path}));
    assert_eq!(rows, expected);
    assert_eq!(
        count(
            &recording,
            "host",
            "syscall = 'sethostname' and comm = 'hostname'"
        ),
        1
    );
    assert_eq!(
        count(
            &recording,
            &name,
            "syscall = 'sethostname' and comm = 'hostname'"
        ),
        0
    );
}

/// Returns the pid of the first process of a running container.
fn first_process(runtime: Runtime, name: &str) -> String {
    let mut command = Command::new(runtime.program());
    match runtime {
        Runtime::Runc => {
            let state = run(command.args(["state", name]));
            let state: serde_json::Value = serde_json::from_str(&state).unwrap();
            state["pid"].to_string()
        }
        _ => run(command.args(["inspect", "--format={{.State.Pid}}", name]))
            .trim()
            .to_owned(),
    }
}

#[test]
fn files_of_bind_mounts_have_their_path_on_the_machine() {
    require_root();
    for runtime in [Runtime::Docker, Runtime::Podman] {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("so urce");
        fs::create_dir_all(source.join("sub")).unwrap();
        fs::write(source.join("sub/file"), "text\n").unwrap();
        let recorder = Recorder::start(&[]);
        let container = Container::new(runtime, "hostpath")
            .option(format!("--volume={}:/data", source.display()))
            .option(format!("--volume={}/sub/file:/single", source.display()))
            .option("--volume=/:/h:ro")
            .option("--tmpfs=/scratch");
        let script = "read a < /data/sub/file; read a < /single; read a < /h/etc/shadow; read a < /etc/passwd; \
                      echo 1 > /scratch/own; echo 1 > /data/new";
        let ended = container.run(&["sh", "-c", script]);
        assert_eq!(ended.code, 0);
        let recording = recorder.stop();
        let rows = recording.query(&format!(
            "select path, host_path from events where container = '{}' and not setup and syscall in ('open', 'openat') \
             and error is null and path in ('/data/sub/file', '/single', '/h/etc/shadow', '/etc/passwd', \
             '/scratch/own', '/data/new') order by seq",
            ended.name
        ));
        let source = source.display();
        let expected = [
            json!({"path": "/data/sub/file", "host_path": format!("{source}/sub/file")}),
            json!({"path": "/single", "host_path": format!("{source}/sub/file")}),
            json!({"path": "/h/etc/shadow", "host_path": "/etc/shadow"}),
            json!({"path": "/etc/passwd"}),
            json!({"path": "/scratch/own"}),
            json!({"path": "/data/new", "host_path": format!("{source}/new")}),
        ];
        assert_eq!(rows, expected, "{runtime:?}");
    }
}

#[test]
fn executables_say_where_they_come_from() {
    require_root();
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::start(&[]);
    let container = Container::new(Runtime::Docker, "exeorigin")
        .option(format!("--volume={}:/data", dir.path().display()))
        .option("--tmpfs=/scratch:exec");
    let script = "calls getppid=1; for dir in /tmp /data /scratch; do cp /bin/calls $dir/copy; $dir/copy getppid=1; done; \
                  chroot /data /copy getppid=2; mkdir /new; cp /bin/calls /new; chroot /new /calls getppid=2; chmod 700 /bin/memory; memory";
    let ended = container.run(&["sh", "-c", script]);
    assert_eq!(ended.code, 0);
    let recording = recorder.stop();
    let rows = recording.query(&format!(
        "select argv, exe_origin from events where container = '{}' and not setup and syscall in ('execve', 'execveat') \
         and error is null and argv not like '%child%' and argv not like 'chmod%' and argv not like 'cp %' \
         and argv not like 'mkdir%' and argv not like 'chroot%' order by seq",
        ended.name
    ));
    let origins: Vec<_> = rows
        .iter()
        .map(|r| (r["argv"].as_str().unwrap(), r["exe_origin"].as_str()))
        .collect();
    let expected = [
        (format!("sh -c '{script}'"), Some("image")),
        ("calls getppid=1".to_owned(), Some("image")),
        ("/tmp/copy getppid=1".to_owned(), Some("container")),
        ("/data/copy getppid=1".to_owned(), Some("mount")),
        ("/scratch/copy getppid=1".to_owned(), Some("mount")),
        ("/copy getppid=2".to_owned(), Some("mount")),
        ("/calls getppid=2".to_owned(), Some("container")),
        // A file whose mode was changed is in the upper layer too.
        ("memory".to_owned(), Some("container")),
        ("memory again".to_owned(), Some("memory")),
    ];
    let expected: Vec<_> = expected.iter().map(|(a, o)| (a.as_str(), *o)).collect();
    assert_eq!(origins, expected);
}

#[test]
fn both_files_of_a_copy_are_known() {
    require_root();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("source"), "text\n").unwrap();
    let recorder = Recorder::start(&[]);
    let container = Container::new(Runtime::Docker, "copy")
        .option(format!("--volume={}:/data", dir.path().display()));
    let script = "cp /data/source /data/target; cat /data/source | wc -c";
    let ended = container.run(&["sh", "-c", script]);
    assert_eq!(ended.code, 0);
    let recording = recorder.stop();
    // busybox copies with sendfile(2), whose first argument is the target.
    let rows = recording.query(&format!(
        "select regexp_replace(path, '[0-9]+', 'N') as path, path2, inode, inode2, bytes from events \
         where container = '{}' and syscall = 'sendfile' and ret > 0 order by seq",
        ended.name
    ));
    let inode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().ino();
    assert_eq!(rows.len(), 2, "{rows:#?}");
    assert_eq!(
        rows[0],
        json!({"path": "/data/target", "path2": "/data/source", "inode": inode("target"), "inode2": inode("source"), "bytes": 5})
    );
    assert_eq!(
        (&rows[1]["path"], &rows[1]["path2"], &rows[1]["inode2"]),
        (
            &json!("pipe:[N]"),
            &json!("/data/source"),
            &json!(inode("source"))
        )
    );
}
