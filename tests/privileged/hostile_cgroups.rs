//! Cgroups that users and containers make, or go to, against a recorder of root.

use crate::support::command::succeeds;
use crate::support::containers::{Container, Runtime};
use crate::support::recorder::{Recorder, Recording};
use crate::support::root::require_root;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs `docker ARGS`, and returns its output.
fn docker(args: &[&str]) -> String {
    let output = Command::new("docker").args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

/// The user `nobody`.
const NOBODY: u32 = 65534;

/// Returns the mount point of the hierarchy in which the recorder looks for containers.
pub(crate) fn hierarchy() -> &'static Path {
    let pids = Path::new("/sys/fs/cgroup/pids");
    match pids.exists() {
        true => pids,
        false => Path::new("/sys/fs/cgroup"),
    }
}

/// A directory of cgroups of a user, which is removed with them when this value is dropped.
struct UserCgroups(PathBuf);

impl UserCgroups {
    fn new(uid: u32) -> UserCgroups {
        let path = hierarchy().join(format!(
            "user.slice/user-{uid}.slice/many-{}",
            std::process::id()
        ));
        fs::create_dir_all(&path).unwrap();
        chown(&path, Some(uid), Some(uid)).unwrap();
        UserCgroups(path)
    }

    /// Makes cgroups `0` to `count - 1` as the user.
    fn make(&self, count: usize) {
        let make = format!(
            "cd {} && seq 0 {} | xargs mkdir",
            self.0.display(),
            count - 1
        );
        let user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        succeeds(Command::new("setpriv").args(user).args(["sh", "-c", &make]));
    }

    /// Runs a command in the cgroup `name`.
    fn run(&self, name: &str, args: &[&str]) {
        let procs = self.0.join(name).join("cgroup.procs");
        let enter = format!("echo $$ > {}; exec \"$@\"", procs.display());
        succeeds(Command::new("sh").args(["-c", &enter, "sh"]).args(args));
    }
}

impl Drop for UserCgroups {
    fn drop(&mut self) {
        let remove = format!(
            "find {} -depth -type d -exec rmdir {{}} +",
            self.0.display()
        );
        let _ = Command::new("sh").args(["-c", &remove]).status();
        let _ = self.0.parent().map(fs::remove_dir);
    }
}

/// Returns the number of programs that a container with this name has executed.
fn execs(recording: &Recording, container: &str) -> i64 {
    recording.count(&format!(
        "select count(*) from events where container = '{container}' and syscall = 'execve' and ret = 0 and not setup"
    ))
}

/// Runs a container that executes 21 programs.
fn run_container(runtime: Runtime, stem: &str) -> String {
    let container = Container::new(runtime, stem);
    let name = container.name().to_string();
    let script = "for i in $(seq 20); do /bin/busybox true; done";
    assert_eq!(container.run(&["sh", "-c", script]).code, 0);
    name
}

#[test]
fn cgroups_of_a_user_take_no_slot_from_containers() {
    require_root();
    let mut recorder = Recorder::start(&[]);
    let cgroups = UserCgroups::new(NOBODY);
    cgroups.make(17_000);
    // The warning comes at once, and says what it is.
    recorder.wait_until("warning: too many cgroups");
    let docker = run_container(Runtime::Docker, "slots");
    let runc = run_container(Runtime::Runc, "slots");
    cgroups.run("16999", &["cat", "/etc/hostname"]);
    drop(cgroups);
    std::thread::sleep(std::time::Duration::from_secs(2));
    let after = run_container(Runtime::Runc, "slots");
    let recording = recorder.stop();
    for name in [docker, runc, after] {
        assert_eq!(execs(&recording, &name), 21, "{name}");
    }
    assert!(recording.count("select count(*) from gaps where reason = 'too many cgroups'") > 0);
    let others =
        "select distinct container, comm, kind from events where container not like 'slots%'";
    assert_eq!(recording.query(others), [] as [serde_json::Value; 0]);
}

#[test]
fn what_runs_in_a_cgroup_beyond_all_limits_is_recorded_as_unknown() {
    require_root();
    let mut recorder = Recorder::start(&[]);
    let cgroups = UserCgroups::new(NOBODY);
    // The recorder itself remembers 65,536 of them.
    cgroups.make(72_000);
    recorder.wait_until("warning: too many cgroups");
    let container = run_container(Runtime::Docker, "slots");
    cgroups.run("71999", &["cat", "/etc/hostname"]);
    drop(cgroups);
    let recording = recorder.stop();
    assert_eq!(execs(&recording, &container), 21);
    assert_eq!(execs(&recording, "unknown"), 1);
}

/// Returns the lines of a script that goes to each of `cgroups`, below /cg, and there makes a file, itself and by a child.
fn script(cgroups: &[String]) -> String {
    let go = |(i, cgroup): (usize, &String)| {
        format!(
            "mkdir -p /cg{cgroup}; echo $$ > /cg{cgroup}/cgroup.procs; : > /own-{i}; /bin/busybox touch /child-{i}\n"
        )
    };
    cgroups.iter().enumerate().map(go).collect()
}

#[test]
fn a_process_that_leaves_its_container_stays_in_it() {
    require_root();
    let recorder = Recorder::start(&[]);
    let victim = Container::new(Runtime::Docker, "victim");
    let victim_name = victim.name().to_string();
    let victim = victim.start(&["sleep", "60"]);
    let id = docker(&["inspect", "--format", "{{.Id}}", &victim_name]);
    let pid = std::process::id();
    let made = format!("/docker-{pid:0>64x}.scope");
    let new = format!("/left-{pid}");
    let fake = format!("{new}/docker-{id}.scope");
    let victims = match hierarchy().join("docker").join(&id).exists() {
        true => format!("/docker/{id}"),
        false => format!("/system.slice/docker-{id}.scope"),
    };
    let cgroups = [
        String::new(),
        new.clone(),
        victims.clone(),
        fake.clone(),
        made.clone(),
    ];
    let attacker = Container::new(Runtime::Docker, "attacker")
        .option(format!("--volume={}:/cg", hierarchy().display()));
    let name = attacker.name().to_string();
    assert_eq!(attacker.run(&["sh", "-c", &script(&cgroups)]).code, 0);
    docker(&["exec", &victim_name, "cat", "/etc/hostname"]);
    victim.kill();
    for cgroup in [&fake, &new, &made] {
        let _ = fs::remove_dir(hierarchy().join(&cgroup[1..]));
    }
    let recording = recorder.stop();
    for (i, cgroup) in cgroups.iter().enumerate() {
        for who in ["own", "child"] {
            let sql = format!(
                "select count(*) from events where path = '/{who}-{i}' and syscall in ('open', 'openat') and ret >= 0 \
                 and container = '{name}'"
            );
            assert!(recording.count(&sql) > 0, "/{who}-{i} after {cgroup}");
        }
    }
    let others = format!(
        "select count(*) from events where path like '/own-%' and container is distinct from '{name}'"
    );
    assert_eq!(recording.count(&others), 0);
    let rows = |action: &str| {
        recording.query(&format!(
            "select container, comm, to_cgroup from events where kind = 'container' and action = '{action}' order by time, seq"
        ))
    };
    let left = rows("left");
    let to: Vec<_> = left
        .iter()
        .map(|row| row["to_cgroup"].as_str().unwrap())
        .collect();
    let expected = ["/", &new, &victims, &fake, &made];
    assert_eq!(to, expected, "{left:?}");
    assert!(
        left.iter()
            .all(|row| row["container"] == name && row["comm"] == "sh")
    );
    // The attacker, and docker exec.
    let entered = rows("entered");
    let into_victim = entered.iter().filter(|row| row["container"] == victim_name);
    assert_eq!(into_victim.count(), 2, "{entered:?}");
}
