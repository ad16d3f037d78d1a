//! The name service of the machine, which knows users who are not in `/etc/passwd`: those of LDAP, for example.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::containers::state::users::home_of_entry;

/// The longest line of an answer that is read, bytes.
const MAX_LINE_BYTES: u64 = 64 << 10;

/// The helper process: asks getent(1), because the services need modules of the C library, for the user id on each line of
/// its stdin. An answer begins with the user id, because the asker may have given up waiting for an earlier one.
const HELPER: &str =
    r#"while read -r uid; do printf '%s %s\n' "$uid" "$(getent passwd "$uid")"; done"#;

/// A client of the name service: a process that is started before the recorder gives up the right to start any. The process
/// ends when the client is dropped, or when the recorder ends.
#[derive(Debug)]
pub(crate) struct NameService {
    helper: Child,
    questions: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl NameService {
    /// Starts the helper process, with the rights of this thread. Returns `None` if the machine knows no users but those of
    /// `/etc/passwd`, or if the process cannot be started.
    pub(crate) fn start() -> Option<NameService> {
        services(Path::new("/"))
            .iter()
            .any(|service| !["files", "compat"].contains(&service.as_str()))
            .then(Self::start_helper)?
    }

    fn start_helper() -> Option<NameService> {
        let mut helper = Command::new("sh")
            .args(["-c", HELPER])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let (sender, answers) = channel();
        let mut stdout = BufReader::new(helper.stdout.take()?);
        // The thread ends with the helper.
        let read = move || {
            let mut line = String::new();
            while let Ok(1..) = (&mut stdout).take(MAX_LINE_BYTES).read_line(&mut line) {
                if sender.send(std::mem::take(&mut line)).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("names".to_string())
            .spawn(read)
            .ok()?;
        Some(NameService {
            questions: helper.stdin.take(),
            helper,
            answers,
        })
    }

    /// Returns the home directory of a user. Waits for the answer for up to `timeout`.
    pub(crate) fn home(&mut self, uid: u32, timeout: Duration) -> Option<PathBuf> {
        let uid = uid.to_string();
        writeln!(self.questions.as_mut()?, "{uid}").ok()?;
        let deadline = Instant::now() + timeout;
        loop {
            let remaining = deadline.saturating_duration_since(Instant::now());
            let line = self.answers.recv_timeout(remaining).ok()?;
            if let Some((asked, entry)) = line.split_once(' ')
                && asked == uid
            {
                return home_of_entry(entry, &uid).map(PathBuf::from);
            }
        }
    }
}

impl Drop for NameService {
    fn drop(&mut self) {
        // The helper ends at the end of its stdin, unless getent waits for an answer.
        drop(self.questions.take());
        let _ = self.helper.try_wait();
    }
}

/// Returns the services that know the users of the machine whose root directory is `root`: the line `passwd` of
/// nsswitch.conf(5).
fn services(root: &Path) -> Vec<String> {
    let text = fs::read_to_string(root.join("etc/nsswitch.conf")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("passwd:"));
    let line = line.and_then(|line| line.split('#').next());
    let words = line.unwrap_or_default().split_whitespace();
    // Reactions to answers, such as `[NOTFOUND=return]`, are no services.
    let services = words.filter(|word| !word.starts_with('['));
    services.map(String::from).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_name_service_knows_root() {
        let mut service = NameService::start_helper().unwrap();
        let timeout = Duration::from_secs(10);
        assert_eq!(service.home(0, timeout), Some(PathBuf::from("/root")));
        assert_eq!(service.home(4_294_967_294, timeout), None);
        assert_eq!(service.home(0, timeout), Some(PathBuf::from("/root")));
    }

    #[test]
    fn services_are_read() {
        let root = tempfile::tempdir().unwrap();
        assert!(services(root.path()).is_empty());
        fs::create_dir(root.path().join("etc")).unwrap();
        let text = "group: files\npasswd:   files [NOTFOUND=return] sss # all\n";
        fs::write(root.path().join("etc/nsswitch.conf"), text).unwrap();
        assert_eq!(services(root.path()), ["files", "sss"]);
    }
}
