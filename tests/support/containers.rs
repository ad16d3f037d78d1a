//! Containers of the three runtimes that the tests drive.

use super::{docker, image, run, unique};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// What makes a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// The Docker daemon, which is started where none runs.
    Docker,
    /// podman, with runc below it.
    Podman,
    /// runc by itself, with a bundle.
    Runc,
}

impl Runtime {
    /// Every one.
    pub const ALL: [Runtime; 3] = [Runtime::Docker, Runtime::Podman, Runtime::Runc];

    /// Its program; also what the column `runtime` says.
    pub fn program(self) -> &'static str {
        match self {
            Runtime::Docker => "docker",
            Runtime::Podman => "podman",
            Runtime::Runc => "runc",
        }
    }
}

/// A container to be: it runs in a network namespace of its own, and is removed when it ends.
pub struct Container {
    runtime: Runtime,
    name: String,
    network: String,
    options: Vec<String>,
}

/// A container that runs, in the foreground of the runtime's own command.
pub struct Running {
    /// What the runtime calls it.
    pub name: String,
    /// The id that the runtime gave it; runc has no other name than that.
    pub id: String,
    runtime: Runtime,
    child: Child,
    stdout: BufReader<ChildStdout>,
    _dir: TempDir,
}

/// A container that has ended.
#[derive(Debug)]
pub struct Ended {
    /// What the runtime called it.
    pub name: String,
    /// The id that the runtime gave it.
    pub id: String,
    /// Its exit code, as the runtime passes it on.
    pub code: i32,
    /// What it wrote to stdout after what was read before.
    pub stdout: String,
}

impl Container {
    /// A container whose name begins with `stem`.
    pub fn new(runtime: Runtime, stem: &str) -> Self {
        let name = unique(stem);
        Container {
            runtime,
            name,
            network: "none".to_owned(),
            options: Vec::new(),
        }
    }

    /// Its name, which is known before it runs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Joins a network of Docker's or podman's; without one it has only its loopback.
    pub fn network(mut self, network: &str) -> Self {
        assert_ne!(self.runtime, Runtime::Runc, "runc knows no networks");
        self.network = network.to_owned();
        self
    }

    /// Adds an option of `docker run` and `podman run`; runc has no such thing.
    pub fn option(mut self, option: impl Into<String>) -> Self {
        assert_ne!(self.runtime, Runtime::Runc, "runc takes a config.json");
        self.options.push(option.into());
        self
    }

    /// Runs a command in it to its end.
    pub fn run(self, args: &[&str]) -> Ended {
        self.start(args).finish()
    }

    /// Starts it. Its stdin stays open until [`Running::finish`].
    pub fn start(self, args: &[&str]) -> Running {
        let dir = tempfile::tempdir().unwrap();
        let mut command = match self.runtime {
            Runtime::Docker | Runtime::Podman => self.engine(dir.path()),
            Runtime::Runc => self.runc(dir.path(), args),
        };
        if self.runtime != Runtime::Runc {
            command.arg(image::name(self.runtime)).args(args);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let id = match self.runtime {
            Runtime::Runc => self.name.clone(),
            _ => super::wait_for(&format!("the id of {}", self.name), super::LIMIT, || {
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
            // Docker switches IPv6 off in a container without an IPv6 network.
            command.args(["run", "--sysctl=net.ipv6.conf.all.disable_ipv6=0"]);
        } else {
            // The default limits are above what a test machine may grant.
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
        // One root for all, read only, so that no bundle needs a copy; what is written goes to /tmp.
        config["root"]["path"] = image::rootfs().to_str().unwrap().into();
        config["root"]["readonly"] = true.into();
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.push(serde_json::json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}));
        fs::write(&file, config.to_string()).unwrap();
        let mut command = Command::new("runc");
        command.args(["run", "--bundle"]).arg(dir).arg(&self.name);
        command
    }
}

impl Running {
    /// The next line that it prints.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "{} ended early: `{line}`", self.name);
        line.trim_end().to_owned()
    }

    /// Writes a line to its stdin.
    pub fn tell(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Ended {
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

    /// Kills it and waits for its end.
    pub fn kill(self) -> Ended {
        let mut kill = Command::new(self.runtime.program());
        // runc sends SIGTERM unless told, which the first process of a pid namespace does not hear.
        match self.runtime {
            Runtime::Runc => kill.args(["kill", &self.name, "KILL"]),
            _ => kill.args(["kill", &self.name]),
        };
        run(&mut kill);
        self.finish()
    }
}

impl Drop for Running {
    /// A test that failed leaves nothing behind.
    fn drop(&mut self) {
        let remove = match self.runtime {
            Runtime::Runc => "delete",
            _ => "rm",
        };
        // Again and again, as there may be nothing to remove yet.
        while self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = Command::new(self.runtime.program())
                .args([remove, "--force", &self.name])
                .output();
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
