//! A name server for a container: tests/scripts/name_server.py.

use super::command::run;
use super::containers::Running;
use super::python::script;
use super::wait::wait_for;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A name server at 127.0.0.1 in the network of a container. The server itself is not in the container.
pub(crate) struct NameServer(Child);

impl NameServer {
    /// Starts the server for a container of Docker or podman.
    pub(crate) fn start(container: &Running) -> Self {
        let mut inspect = Command::new(container.runtime.program());
        inspect.args(["inspect", "--format={{.State.Pid}}", &container.name]);
        // A container that has an id, but does not run yet, has the pid 0.
        let pid = wait_for("the pid of the container", || {
            Some(run(&mut inspect)).filter(|pid| pid.trim() != "0")
        });
        let server = script("name_server.py");
        let mut child = Command::new("nsenter")
            .arg(format!("--net=/proc/{}/ns/net", pid.trim()))
            .arg(server.get_program())
            .args(server.get_args())
            .arg("127.0.0.1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        NameServer(child)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
