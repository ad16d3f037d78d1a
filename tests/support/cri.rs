//! Pods, which containerd runs by the Container Runtime Interface as it does for the kubelet.

use super::command::run;
use super::containers::{Runtime, image_name};
use super::image;
use super::recorder::KillOnDrop;
use super::wait::wait_for;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The socket of a Kubernetes distribution's containerd, whose state the recorder reads beside it. A daemon of Docker that
/// starts meanwhile would use a containerd at the default socket.
const SOCKET: &str = "/run/k3s/containerd/containerd.sock";
/// The directory of the state.
const STATE: &str = "/run/k3s/containerd";

/// The ids of a container and of the sandbox of its pod.
#[derive(Clone, Debug)]
pub(crate) struct PodIds {
    pub(crate) container: String,
    pub(crate) sandbox: String,
}

/// Running pods.
pub(crate) struct Pods {
    /// The containers, in the order in which they were wanted.
    pub(crate) containers: Vec<PodIds>,
    client: KillOnDrop,
    _containerd: Containerd,
}

/// A containerd, with its data in a directory of its own. Only one can run at a time.
struct Containerd {
    child: KillOnDrop,
    _lock: fs::File,
    _dir: TempDir,
}

impl Containerd {
    fn start() -> Containerd {
        let lock = fs::File::create(image::rootfs().with_file_name("containerd")).unwrap();
        lock.lock().unwrap();
        assert!(
            UnixStream::connect(SOCKET).is_err(),
            "a containerd listens at {SOCKET}: stop it for this test"
        );
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config.toml");
        let text = format!(
            "version = 2\nroot = \"{}\"\nstate = \"{STATE}\"\n[grpc]\naddress = \"{SOCKET}\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"localhost/ctrace-pause:1\"\n\
             restrict_oom_score_adj = true\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\nsnapshotter = \"native\"\n",
            dir.path().join("root").display()
        );
        fs::write(&config, text).unwrap();
        let child = Command::new("containerd")
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let containerd = Containerd {
            child: KillOnDrop(child),
            _lock: lock,
            _dir: dir,
        };
        wait_for("containerd listens", || UnixStream::connect(SOCKET).ok());
        containerd.import();
        containerd
    }

    /// Imports the test image from Docker, and the same with a command as the image of sandboxes.
    fn import(&self) {
        let image = image_name(Runtime::Docker);
        let dir = self._dir.path();
        let pause = "localhost/ctrace-pause:1";
        let id = run(Command::new("docker").args(["create", &image, "true"]));
        run(Command::new("docker").args([
            "commit",
            "--change",
            "CMD [\"/bin/sleep\", \"1000\"]",
            id.trim(),
            pause,
        ]));
        run(Command::new("docker").args(["rm", id.trim()]));
        let archive = dir.join("images.tar");
        run(Command::new("docker")
            .args(["save", &image, pause, "--output"])
            .arg(&archive));
        run(Command::new("ctr")
            .args([
                "--address",
                SOCKET,
                "--namespace",
                "k8s.io",
                "images",
                "import",
                "--snapshotter",
                "native",
            ])
            .arg(&archive));
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.child.0.kill();
    }
}

impl Pods {
    /// Runs `command` in containers, given by namespace, pod and name.
    pub(crate) fn run(wanted: &[(&str, &str, &str)], command: &[&str]) -> Pods {
        let containerd = Containerd::start();
        let names = wanted
            .iter()
            .map(|(namespace, pod, name)| format!("{namespace}/{pod}/{name}"));
        let mut client = super::python::script("cri.py")
            .arg(SOCKET)
            .arg(image_name(Runtime::Docker))
            .args(names)
            .arg("--")
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(client.stdout.take().unwrap());
        let client = KillOnDrop(client);
        let lines = stdout.lines().take(wanted.len()).map(Result::unwrap);
        let ids = |line: String| {
            let (container, sandbox) = line.split_once(' ').unwrap();
            PodIds {
                container: container.to_string(),
                sandbox: sandbox.to_string(),
            }
        };
        let containers: Vec<_> = lines.map(ids).collect();
        assert_eq!(containers.len(), wanted.len(), "not all containers started");
        Pods {
            containers,
            client,
            _containerd: containerd,
        }
    }

    /// Removes the pods.
    pub(crate) fn remove(mut self) {
        drop(self.client.0.stdin.take());
        let status = self.client.0.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}
