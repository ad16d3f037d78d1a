//! Containers of the three runtimes that the tests use.

use super::command::{output, run};
use super::wait::wait_for;
use super::{docker, image};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// A container runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    /// The Docker daemon, which is started if none runs.
    Docker,
    /// podman, which uses runc.
    Podman,
    /// runc alone, with a bundle.
    Runc,
}

impl Runtime {
    /// Every runtime.
    pub(crate) const ALL: [Runtime; 3] = [Runtime::Docker, Runtime::Podman, Runtime::Runc];

    /// Returns the name of the runtime's program, which is also the runtime's name in the column `runtime`.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Runtime::Docker => "docker",
            Runtime::Podman => "podman",
            Runtime::Runc => "runc",
        }
    }
}

/// Returns a name for a container that no other test on this machine uses.
pub(crate) fn unique(stem: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{stem}-{}-{next}", std::process::id())
}

/// A container that is not started yet. The container runs in a network namespace of its own and is removed when it ends.
pub(crate) struct Container {
    runtime: Runtime,
    name: String,
    network: String,
    options: Vec<String>,
    config: Vec<(String, String, serde_json::Value)>,
}

/// A running container, in the foreground of the runtime's command.
pub(crate) struct Running {
    /// The container's name in the runtime.
    pub(crate) name: String,
    /// The id that the runtime gave the container. For runc this is the name.
    pub(crate) id: String,
    pub(crate) runtime: Runtime,
    child: Child,
    stdout: BufReader<ChildStdout>,
    _dir: TempDir,
}

/// A container that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The container's name in the runtime.
    pub(crate) name: String,
    /// The id that the runtime gave the container.
    pub(crate) id: String,
    /// The container's exit code, as returned by the runtime.
    pub(crate) code: i32,
    /// The rest of the container's stdout, without the lines that were read while the container ran.
    pub(crate) stdout: String,
}

impl Container {
    /// Creates a container whose name begins with `stem`.
    pub(crate) fn new(runtime: Runtime, stem: &str) -> Self {
        let name = unique(stem);
        Container {
            runtime,
            name,
            network: "none".to_owned(),
            options: Vec::new(),
            config: Vec::new(),
        }
    }

    /// Returns the container's name, which is known before the container starts.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Joins a network of Docker or podman. Without a network the container has only its loopback.
    pub(crate) fn network(mut self, network: &str) -> Self {
        assert_ne!(self.runtime, Runtime::Runc, "runc has no networks");
        self.network = network.to_owned();
        self
    }

    /// Adds an option of `docker run` or `podman run`. runc has no such options.
    pub(crate) fn option(mut self, option: impl Into<String>) -> Self {
        assert_ne!(self.runtime, Runtime::Runc, "runc takes a config.json");
        self.options.push(option.into());
        self
    }

    /// Chooses the container's cgroup.
    pub(crate) fn cgroup(self, path: &str) -> Self {
        self.config("/linux", "cgroupsPath", path)
    }

    /// Sets the member `name` of the object at `pointer` (RFC 6901) of runc's config.json.
    pub(crate) fn config(
        mut self,
        pointer: &str,
        name: &str,
        value: impl Into<serde_json::Value>,
    ) -> Self {
        assert_eq!(self.runtime, Runtime::Runc, "other runtimes write it");
        self.config
            .push((pointer.to_owned(), name.to_owned(), value.into()));
        self
    }

    /// Returns the name of the container's image, which Docker or podman has.
    pub(crate) fn image(&self) -> String {
        image_name(self.runtime)
    }

    /// Runs a command in the container to its end.
    pub(crate) fn run(self, args: &[&str]) -> Ended {
        self.start(args).finish()
    }

    /// Starts the container, whose stdin stays open until [`Running::finish`].
    pub(crate) fn start(self, args: &[&str]) -> Running {
        let dir = tempfile::tempdir().unwrap();
        let mut command = match self.runtime {
            Runtime::Docker | Runtime::Podman => self.engine(dir.path()),
            Runtime::Runc => self.runc(dir.path(), args),
        };
        if self.runtime != Runtime::Runc {
            command.arg(image_name(self.runtime)).args(args);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let id = match self.runtime {
            Runtime::Runc => self.name.clone(),
            _ => wait_for(&format!("the id of {}", self.name), || {
                fs::read_to_string(dir.path().join("id"))
                    .ok()
                    .filter(|id| !id.is_empty())
            }),
        };
        Running {
            name: self.name,
            id,
            runtime: self.runtime,
            child,
            stdout,
            _dir: dir,
        }
    }

    fn engine(&self, dir: &Path) -> Command {
        let mut command = Command::new(self.runtime.program());
        if self.runtime == Runtime::Docker {
            docker::daemon();
            command.arg("run");
            // Docker disables IPv6 in a container without an IPv6 network.
            if self.network != "host" {
                command.arg("--sysctl=net.ipv6.conf.all.disable_ipv6=0");
            }
        } else {
            // A test machine may not grant the default limits.
            command.args(["--runtime=runc", "run"]);
            command.args(["--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000"]);
        }
        command
            .args(["--rm", "--interactive", "--stop-signal=KILL"])
            .args(["--name", &self.name, "--cidfile"])
            .arg(dir.join("id"))
            .args(["--network", &self.network])
            .args(&self.options);
        command
    }

    fn runc(&self, dir: &Path, args: &[&str]) -> Command {
        run(Command::new("runc").args(["spec", "--bundle"]).arg(dir));
        let file = dir.join("config.json");
        let mut config: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        config["process"]["args"] = args.into();
        config["process"]["terminal"] = false.into();
        config["process"]["rlimits"] = serde_json::json!([]);
        // All bundles share one read-only root, so that no bundle needs a copy. Programs write to /tmp.
        config["root"]["path"] = image::rootfs().to_str().unwrap().into();
        config["root"]["readonly"] = true.into();
        for (pointer, name, value) in &self.config {
            config.pointer_mut(pointer).unwrap()[name] = value.clone();
        }
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.push(serde_json::json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}));
        fs::write(&file, config.to_string()).unwrap();
        let mut command = Command::new("runc");
        command.args(["run", "--bundle"]).arg(dir).arg(&self.name);
        command
    }
}

impl Running {
    /// Returns the next line of the container's stdout.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "{} ended early: `{line}`", self.name);
        line.trim_end().to_owned()
    }

    /// Writes a line to the container's stdin.
    pub(crate) fn write(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
    }

    /// Closes the container's stdin and waits for the container's end.
    pub(crate) fn finish(mut self) -> Ended {
        drop(self.child.stdin.take());
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).unwrap();
        let code = self.child.wait().unwrap().code().unwrap();
        Ended {
            name: self.name.clone(),
            id: self.id.clone(),
            code,
            stdout,
        }
    }

    /// Kills the container and waits for its end.
    pub(crate) fn kill(self) -> Ended {
        let mut kill = Command::new(self.runtime.program());
        // runc sends SIGTERM by default, which the first process of a pid namespace ignores.
        match self.runtime {
            Runtime::Runc => kill.args(["kill", &self.name, "KILL"]),
            _ => kill.args(["kill", &self.name]),
        };
        run(&mut kill);
        self.finish()
    }
}

impl Drop for Running {
    /// Removes the container of a test that failed.
    fn drop(&mut self) {
        let remove = match self.runtime {
            Runtime::Runc => "delete",
            _ => "rm",
        };
        // Repeated, because the container may not exist yet.
        while self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = Command::new(self.runtime.program())
                .args([remove, "--force", &self.name])
                .output();
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Returns the name of the test image in the runtime's store, and imports the image if it is new.
pub(crate) fn image_name(runtime: Runtime) -> String {
    let name = format!("localhost/ctrace-test:{}", image::tag());
    let program = runtime.program();
    if runtime == Runtime::Docker {
        docker::daemon();
    }
    let lock = File::create(image::rootfs().with_file_name(program)).unwrap();
    lock.lock().unwrap();
    let known = output(Command::new(program).args(["image", "inspect", &name]));
    if !known.status.success() {
        let mut tar = Command::new("tar")
            .args(["-c", "-C"])
            .arg(image::rootfs())
            .arg(".")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        run(Command::new(program)
            .args(["import", "-", &name])
            .stdin(tar.stdout.take().unwrap()));
        assert!(tar.wait().unwrap().success());
    }
    name
}
