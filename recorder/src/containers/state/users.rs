//! Users of rootless containers.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::containers::state::files;

/// The largest answer of the name service that is read.
const MAX_ENTRY_BYTES: u64 = 64 << 10;

/// The user whose slice contains a cgroup.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    /// The home directory, from `/etc/passwd`.
    pub(crate) home: Option<PathBuf>,
    /// `/run/user/UID`, the directory for the state of rootless runtimes.
    pub(crate) runtime_dir: PathBuf,
}

/// Returns the user whose container the cgroup at `path` would be: systemd places a user's processes below
/// `user-UID.slice` (user@.service(5)). Root's session is excluded, because root's containers are the machine's.
pub(crate) fn rootless_uid(path: &str) -> Option<u32> {
    path.split('/')
        .filter_map(|part| part.strip_prefix("user-")?.strip_suffix(".slice"))
        .find_map(|uid| uid.parse().ok())
        .filter(|uid| *uid != 0)
}

/// Returns the user of [`rootless_uid`], with the user's directories.
pub(crate) fn find(root: &Path, path: &str) -> Option<User> {
    let uid = rootless_uid(path)?;
    Some(User {
        uid,
        home: home(root, uid),
        runtime_dir: root.join(format!("run/user/{uid}")),
    })
}

/// Asks the name service for the home directory of a user who is not in `/etc/passwd`, by getent(1), because LDAP and other
/// services need the C library's modules. Waits for the answer for up to `timeout`.
pub(crate) fn home_by_name_service(uid: u32, timeout: Duration) -> Option<PathBuf> {
    let mut child = Command::new("getent")
        .args(["passwd", &uid.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let started = Instant::now();
    while child.try_wait().ok()?.is_none() {
        if started.elapsed() > timeout {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut entry = String::new();
    let stdout = child.stdout.take()?;
    stdout
        .take(MAX_ENTRY_BYTES)
        .read_to_string(&mut entry)
        .ok()?;
    Some(PathBuf::from(home_of_entry(&entry, &uid.to_string())?))
}

/// Returns the home directory in a line of `/etc/passwd` (passwd(5)), if it is the line of the user `uid`.
fn home_of_entry<'a>(line: &'a str, uid: &str) -> Option<&'a str> {
    let mut fields = line.trim_end().split(':').skip(2);
    let is_user = fields.next() == Some(uid);
    fields
        .nth(2)
        .filter(|home| is_user && home.starts_with('/'))
}

fn home(root: &Path, uid: u32) -> Option<PathBuf> {
    let passwd = files::text(&root.join("etc/passwd"))?;
    let uid = uid.to_string();
    let home = passwd.lines().find_map(|line| home_of_entry(line, &uid))?;
    Some(root.join(home.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_of_a_user_is_found() {
        let line = "ada:x:1234:1234:Ada,,,:/srv/home/ada:/bin/sh\n";
        assert_eq!(home_of_entry(line, "1234"), Some("/srv/home/ada"));
        assert_eq!(home_of_entry(line, "123"), None);
        assert_eq!(home_of_entry("ada:x:1234:1234::relative:", "1234"), None);
        assert_eq!(home_of_entry("", ""), None);
    }

    #[test]
    fn the_name_service_knows_root() {
        let home = home_by_name_service(0, Duration::from_secs(10));
        assert_eq!(home, Some(PathBuf::from("/root")));
        assert_eq!(
            home_by_name_service(4_294_967_294, Duration::from_secs(10)),
            None
        );
    }
}
