//! Users of rootless containers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::containers::state::files;
use crate::containers::state::files::Budget;

/// The most bytes of a user's files that are read in [`USER_INTERVAL`]: those of about a hundred containers.
const MAX_USER_BYTES: u64 = 8 << 20;
/// The time after which a user's directories are looked up again, and as much of the user's files may be read again.
const USER_INTERVAL: Duration = Duration::from_secs(1);

/// The user whose slice contains a cgroup.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) uid: u32,
    /// The home directory, from `/etc/passwd` or the name service.
    pub(crate) home: Option<PathBuf>,
    /// `/run/user/UID`, the directory for the state of rootless runtimes.
    pub(crate) runtime_dir: PathBuf,
    /// The limits of reading the user's files.
    pub(crate) budget: Budget,
}

/// The users that were looked up in the last [`USER_INTERVAL`].
#[derive(Debug, Default)]
pub(crate) struct Users(HashMap<u32, (Instant, Rc<User>)>);

impl Users {
    /// Returns the user of [`rootless_uid`].
    pub(crate) fn find(&mut self, root: &Path, path: &str) -> Option<Rc<User>> {
        let uid = rootless_uid(path)?;
        Some(self.user(root, uid, || home(root, uid)))
    }

    /// Returns the user `uid`, with the directory that `home` returns if the user was not looked up lately.
    pub(crate) fn user(
        &mut self,
        root: &Path,
        uid: u32,
        home: impl FnOnce() -> Option<PathBuf>,
    ) -> Rc<User> {
        self.0
            .retain(|_, (since, _)| since.elapsed() < USER_INTERVAL);
        let new = || {
            let user = User {
                uid,
                home: home(),
                runtime_dir: root.join(format!("run/user/{uid}")),
                budget: Budget::new(uid, MAX_USER_BYTES),
            };
            (Instant::now(), Rc::new(user))
        };
        self.0.entry(uid).or_insert_with(new).1.clone()
    }
}

/// Returns the user whose container the cgroup at `path` would be: systemd places a user's processes below
/// `user-UID.slice` (user@.service(5)). Root's session is excluded, because root's containers are the machine's.
pub(crate) fn rootless_uid(path: &str) -> Option<u32> {
    path.split('/')
        .filter_map(|part| part.strip_prefix("user-")?.strip_suffix(".slice"))
        .find_map(|uid| uid.parse().ok())
        .filter(|uid| *uid != 0)
}

/// Returns the home directory in a line of `/etc/passwd` (passwd(5)), if it is the line of the user `uid`.
pub(crate) fn home_of_entry<'a>(line: &'a str, uid: &str) -> Option<&'a str> {
    let mut fields = line.trim_end().split(':').skip(2);
    let is_user = fields.next() == Some(uid);
    fields
        .nth(2)
        .filter(|home| is_user && home.starts_with('/'))
}

/// Returns the home directory of a user in `/etc/passwd`.
pub(crate) fn home(root: &Path, uid: u32) -> Option<PathBuf> {
    let passwd = files::text(&root.join("etc/passwd"), None)?;
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
}
