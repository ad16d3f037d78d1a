//! A Docker daemon for the tests: the machine's own, or one that runs as long as tests use it.

use super::wait::wait_for;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

const DIR: &str = "/run/ctrace-tests";

/// Starts a daemon and ends it when no test has held the shared lock on `users` for ten seconds. The daemon ends under
/// the exclusive lock, so that a test that starts meanwhile waits and then starts another daemon. The daemon makes no
/// firewall rules: the tests need none, and small kernels cannot make them.
const KEEPER: &str = r#"
dockerd --iptables=false --ip6tables=false &
daemon=$!
until flock --exclusive --nonblock users sh -c "kill $daemon; while kill -0 $daemon; do sleep 0.1; done"; do
    sleep 10
done
"#;

/// Makes sure that a daemon answers until this process ends.
pub(crate) fn daemon() {
    static USING: OnceLock<File> = OnceLock::new();
    USING.get_or_init(|| {
        fs::create_dir_all(DIR).unwrap();
        let users = File::create(Path::new(DIR).join("users")).unwrap();
        users.lock_shared().unwrap();
        // If several tests begin together, one starts the daemon and the others wait here.
        let starting = File::create(Path::new(DIR).join("starting")).unwrap();
        starting.lock().unwrap();
        if !answers() {
            start();
        }
        users
    });
}

fn answers() -> bool {
    Command::new("docker")
        .args(["version", "--format", "{{.Server.Version}}"])
        .output()
        .is_ok_and(|o| o.status.success())
}

fn start() {
    let path = Path::new(DIR).join("dockerd.log");
    let log = File::create(&path).unwrap();
    // In a session of its own, because the daemon outlives the test that started it.
    let forked = Command::new("setsid")
        .args(["--fork", "sh", "-c", KEEPER])
        .current_dir(DIR)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .status()
        .unwrap();
    assert!(forked.success());
    let what = format!("dockerd answers (see {})", path.display());
    wait_for(&what, || answers().then_some(()));
}
