//! A name server for a container: tests/scripts/name_server.py.

use super::command::run;
use super::containers::Running;
use super::python::script;
use super::ready::started;
use super::wait::wait_for;
use std::process::{Child, Command};

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
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/proc/{}/ns/net", pid.trim()))
            .arg(server.get_program())
            .args(server.get_args())
            .arg("127.0.0.1");
        NameServer(started(&mut command))
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
