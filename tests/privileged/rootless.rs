//! Containers of users who may not make cgroups: they are found by their namespaces.

use crate::support::command::run;
use crate::support::containers::unique;
use crate::support::image::rootfs;
use crate::support::programs::ctrace_rec;
use crate::support::ready::started;
use crate::support::recorder::{Recorder, Recording};
use crate::support::root::require_root;
use serde_json::json;
use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A user of the machine, who is removed in the end.
struct User {
    name: String,
    uid: u32,
    runtime_dir: PathBuf,
}

impl User {
    /// Adds a user with a home directory, subordinate user ids (subuid(5)) and the directory for the state of runtimes.
    fn add() -> User {
        let name = unique("ctrace-user");
        run(Command::new("useradd").args(["--create-home", "--shell", "/bin/sh", &name]));
        let uid = run(Command::new("id").args(["-u", &name]));
        let uid: u32 = uid.trim().parse().unwrap();
        let runtime_dir = PathBuf::from(format!("/run/user/{uid}"));
        fs::create_dir_all(&runtime_dir).unwrap();
        chown(&runtime_dir, Some(uid), Some(uid)).unwrap();
        let ids = [
            "--add-subuids",
            "2000000-2065535",
            "--add-subgids",
            "2000000-2065535",
        ];
        run(Command::new("usermod").args(ids).arg(&name));
        User {
            name,
            uid,
            runtime_dir,
        }
    }

    fn home(&self) -> PathBuf {
        PathBuf::from("/home").join(&self.name)
    }

    /// Returns a command that the user runs.
    fn command(&self, program: &str) -> Command {
        let uid = self.uid.to_string();
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", &uid, "--regid", &uid, "--init-groups", program])
            .current_dir(self.home())
            .env("HOME", self.home())
            .env("XDG_RUNTIME_DIR", &self.runtime_dir);
        command
    }

    fn podman(&self, args: &[&str]) -> Command {
        let mut command = self.command("podman");
        command
            .args(["--runtime", "runc", "--cgroup-manager", "cgroupfs"])
            .args(args);
        command
    }

    /// Makes an image of the tests' root filesystem.
    fn import_image(&self) {
        let mut tar = Command::new("tar")
            .arg("-C")
            .arg(rootfs())
            .args(["-c", "."])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut import = self.podman(&["import", "-", "tests"]);
        run(import.stdin(tar.stdout.take().unwrap()));
        assert!(tar.wait().unwrap().success());
    }

    /// Starts a container without a network of its own that runs a script, and waits for the script's first line.
    fn start(&self, name: &str, script: &str) -> Child {
        let limits = [
            "--ulimit",
            "nofile=1024:1024",
            "--ulimit",
            "nproc=1000:1000",
        ];
        let mut command =
            self.podman(&["run", "--rm", "--interactive", "--net=host", "--name", name]);
        command.args(limits).args(["tests", "sh", "-c", script]);
        started(&mut command)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // podman keeps a process that holds the user's namespaces.
        let _ = Command::new("pkill")
            .args(["-KILL", "-u", &self.uid.to_string()])
            .status();
        let _ = Command::new("userdel")
            .args(["--force", "--remove", &self.name])
            .output();
        let _ = fs::remove_dir_all(&self.runtime_dir);
    }
}

/// Returns the rows of a container's programs: arguments, and whether they came in from outside.
fn programs(recording: &Recording, name: &str) -> Vec<serde_json::Value> {
    recording.query(&format!(
        "select argv, entered from events where container = '{name}' and syscall = 'execve' and ret = 0 order by time"
    ))
}

#[test]
fn a_container_of_rootless_podman_is_found_by_its_namespaces() {
    require_root();
    let user = User::add();
    user.import_image();
    let (before, later) = (unique("before"), unique("later"));
    let script = "echo ready; read x; cat /etc/motd; exit 3";
    let first = user.start(&before, script);
    let listed = run(ctrace_rec().args(["containers", "--format", "json"]));
    let listed = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let listed: Vec<serde_json::Value> = listed.collect();
    let own = listed.iter().find(|c| c["container"] == json!(before));
    let own = own.unwrap_or_else(|| panic!("{listed:?}"));
    assert_eq!(
        (&own["runtime"], &own["pids"]),
        (&json!("podman"), &json!(1))
    );

    let recorder = Recorder::start(&["--container", &before, "--container", &later]);
    let second = user.start(&later, script);
    run(&mut user.podman(&["exec", &later, "cat", "/etc/hosts"]));
    for container in [first, second] {
        // The end of its input ends `read`.
        assert_eq!(container.wait_with_output().unwrap().status.code(), Some(3));
    }
    let recording = recorder.stop();

    let row = |argv: &str, entered: bool| json!({ "argv": argv, "entered": entered });
    assert_eq!(programs(&recording, &before), [row("cat /etc/motd", false)]);
    let of_later = [
        row(&format!("sh -c '{script}'"), false),
        row("cat /etc/hosts", true),
        row("cat /etc/motd", false),
    ];
    assert_eq!(programs(&recording, &later), of_later);
    for (name, action) in [(&before, "found"), (&later, "started")] {
        let rows = recording.query(&format!(
            "select action, runtime, exit_code from events where container = '{name}' and kind = 'container' order by time"
        ));
        let first = json!({ "action": action, "runtime": "podman" });
        let last = json!({ "action": "stopped", "runtime": "podman", "exit_code": 3 });
        assert_eq!(rows, [first, last]);
    }
    // A process that ran before the recording has its arguments.
    let sql =
        format!("select argv from events where container = '{before}' and argv like 'sh -c%'");
    assert_eq!(recording.query(&sql).len(), 1);
    let others = "select distinct container from events where container_id is not null";
    assert_eq!(recording.query(others).len(), 2);
}

#[test]
fn a_container_that_no_runtime_knows_is_called_after_its_namespace() {
    require_root();
    let user = User::add();
    let root = user.home().join("root");
    run(Command::new("cp").arg("-r").arg(rootfs()).arg(&root));
    let recorder = Recorder::start(&[]);
    let script = "echo ready; read x; cat /etc/motd";
    let inside = format!("exec chroot {} sh -c '{script}'", root.to_str().unwrap());
    let mut command = user.command("unshare");
    command.args(["-Urmpf", "sh", "-c", &inside]);
    let unshare = started(&mut command);
    assert!(unshare.wait_with_output().unwrap().status.success());
    let recording = recorder.stop();
    let sql = "select distinct container, container_id, uid from events \
               where argv = 'cat /etc/motd' and container like 'mnt:%'";
    let rows = recording.query(sql);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["container"], rows[0]["container_id"]);
    assert_eq!(rows[0]["uid"], json!(user.uid));
}
