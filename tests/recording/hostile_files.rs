//! Files, links and directories that somebody has laid where the recorder writes.

use crate::support::command::{run, succeeds};
use crate::support::paused::{Paused, files_below};
use crate::support::programs::ctrace_rec;
use crate::support::refusal::refused;
use crate::support::replay::{ask, fixture, record_fixture, replay};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the name of the directory of segments that begin now.
fn today() -> String {
    let mut command = Command::new("date");
    run(command.args(["-u", "+date=%Y-%m-%d"]))
        .trim()
        .to_string()
}

/// The number of events in the fixture.
const EVENTS: &str = "3975";

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o7777
}

/// A file that nobody may touch.
struct Victim {
    path: PathBuf,
}

impl Victim {
    fn new(dir: &Path) -> Victim {
        let path = dir.join("victim");
        fs::write(&path, "precious").unwrap();
        Victim { path }
    }

    fn is_whole(&self) {
        assert_eq!(fs::read(&self.path).unwrap(), b"precious");
    }
}

/// Returns the directory of the host in a directory of segments.
fn node(out: &Path) -> PathBuf {
    let entries = fs::read_dir(out)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut nodes = entries.filter(|path| path.is_dir());
    nodes.next().unwrap()
}

#[test]
fn only_the_recorders_user_reads_what_is_recorded_whatever_the_umask() {
    for umask in ["000", "022", "277"] {
        let dir = tempfile::tempdir().unwrap();
        for name in ["run.parquet", "run.sqlite", "out/", "deep/er/"] {
            let out = dir.path().join(name);
            let mut command = Command::new("sh");
            command.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"]);
            command.arg(ctrace_rec().get_program()).arg("--from-raw");
            succeeds(command.arg(fixture()).arg("--out").arg(&out));
        }
        for file in files_below(dir.path()) {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
        let day = node(&dir.path().join("out")).join(today());
        for directory in [&day, day.parent().unwrap(), &dir.path().join("out")] {
            assert_eq!(mode(directory), 0o700, "{}", directory.display());
        }
        assert_eq!(mode(&dir.path().join("deep/er")), 0o700);
    }
    let dir = tempfile::tempdir().unwrap();
    let paused = Paused::recording(":", &dir.path().join("run.parquet"), &["--quiet"]);
    let files = files_below(dir.path());
    assert!(
        files
            .iter()
            .any(|file| file.extension().unwrap() == "journal")
    );
    assert!(files.iter().all(|file| mode(file) == 0o600), "{files:?}");
    assert_eq!(paused.resume().code, Some(0));
}

#[test]
fn nothing_is_written_through_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let victim = Victim::new(dir.path());
    let out = dir.path().join("run.parquet");
    for laid in [".run.parquet.partial", "run.parquet.journal", "run.parquet"] {
        let laid = dir.path().join(laid);
        symlink(&victim.path, &laid).unwrap();
        record_fixture(&out, &["--force"]);
        victim.is_whole();
        assert!(out.symlink_metadata().unwrap().is_file());
        assert_eq!(ask(&out, "select count(*) from events"), [EVENTS]);
        let _ = fs::remove_file(&laid);
        let _ = fs::remove_file(&out);
    }
    // Without --force, a link is a name that exists, even if it leads nowhere.
    symlink(dir.path().join("nowhere"), &out).unwrap();
    assert!(refused(&mut replay(&fixture(), &out)).contains("exists: add --force"));
    let sqlite = dir.path().join("run.sqlite");
    symlink(&victim.path, &sqlite).unwrap();
    record_fixture(&sqlite, &["--force"]);
    victim.is_whole();
}

#[test]
fn a_pipe_that_nobody_reads_does_not_stop_the_recorder() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run.parquet");
    for laid in [".run.parquet.partial", "run.parquet.journal"] {
        let made = Command::new("mkfifo").arg(dir.path().join(laid)).status();
        assert!(made.unwrap().success());
    }
    record_fixture(&out, &["--force"]);
    assert_eq!(ask(&out, "select count(*) from events"), [EVENTS]);
}

#[test]
fn links_in_a_directory_of_segments_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let victim = Victim::new(dir.path());
    let out = dir.path().join("out/");
    record_fixture(&out, &[]);
    let node = node(&out);
    let segments = || files_below(&node).len();
    let before = segments();

    // The lock's content is left alone, and a link is no lock.
    fs::remove_file(node.join(".lock")).unwrap();
    symlink(&victim.path, node.join(".lock")).unwrap();
    let message = refused(&mut replay(&fixture(), &out));
    assert!(message.contains(".lock"), "{message}");
    victim.is_whole();
    fs::remove_file(node.join(".lock")).unwrap();

    // A day of another user's choice: nothing is deleted and nothing finished there.
    let elsewhere = dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("precious.parquet"), "precious").unwrap();
    fs::write(elsewhere.join(".a.parquet.open"), "precious").unwrap();
    symlink(&elsewhere, node.join("date=2020-01-01")).unwrap();
    record_fixture(&out, &["--keep", "1KB"]);
    for name in ["precious.parquet", ".a.parquet.open"] {
        assert_eq!(fs::read(elsewhere.join(name)).unwrap(), b"precious");
    }

    // A left-over that is a link is neither finished nor renamed.
    let day = node.join(today());
    symlink(&victim.path, day.join(".b.parquet.open")).unwrap();
    symlink(&victim.path, day.join(".c.parquet.open.partial")).unwrap();
    let made = Command::new("mkfifo")
        .arg(day.join(".d.parquet.open"))
        .status();
    assert!(made.unwrap().success());
    record_fixture(&out, &[]);
    victim.is_whole();
    for name in [
        ".b.parquet.open",
        ".c.parquet.open.partial",
        ".d.parquet.open",
    ] {
        assert!(day.join(name).symlink_metadata().is_ok(), "{name}");
    }

    // The day of today leads elsewhere: no segment goes there.
    fs::rename(&day, dir.path().join("moved")).unwrap();
    symlink(&elsewhere, &day).unwrap();
    let ended = Paused::start(":", &["--out", out.to_str().unwrap()]).resume();
    let wanted = "is not a directory of this user";
    assert!(ended.stderr.contains(wanted), "{}", ended.stderr);
    assert_eq!(files_below(&elsewhere).len(), 2);
    assert!(before > 0);
}

#[test]
fn a_segment_never_takes_the_name_of_another_file() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out/");
    record_fixture(&out, &[]);
    let day = node(&out).join(today());
    let finished = files_below(&day).remove(0);
    fs::copy(&finished, day.join(".a.parquet.open")).unwrap();
    fs::write(day.join("a.parquet"), "precious").unwrap();
    let said = record_fixture(&out, &[]);
    assert_eq!(fs::read(day.join("a.parquet")).unwrap(), b"precious");
    assert!(said.contains("cannot rename it to"), "{said}");
    assert!(day.join(".a.parquet.open.damaged").exists());
}

#[test]
fn a_directory_that_others_can_write_to_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("shared/");
    fs::create_dir(&out).unwrap();
    let set = |mode| fs::set_permissions(&out, fs::Permissions::from_mode(mode)).unwrap();
    set(0o777);
    let message = refused(&mut replay(&fixture(), &out));
    assert!(
        message.contains("can be written to by all users"),
        "{message}"
    );
    assert_eq!(files_below(&out).len(), 0);
    // A file is written there, with a warning.
    let said = record_fixture(&out.join("run.parquet"), &[]);
    assert!(said.contains("warning: the directory of"), "{said}");
    // Nobody can rename the files of others in a sticky directory.
    set(0o1777);
    let said = record_fixture(&out.join("sticky.parquet"), &[]);
    assert!(!said.contains("warning"), "{said}");
}

#[test]
fn a_directory_that_an_access_control_list_opens_to_others_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("shared/");
    fs::create_dir(&out).unwrap();
    // Tag, permissions and id of each entry: linux/posix_acl_xattr.h. 16 is the mask.
    let set = |user: u32, mask: u16| {
        let none = u32::MAX;
        let entries = [
            (1, 7, none),
            (2, 7, user),
            (4, 5, none),
            (16, mask, none),
            (32, 0, none),
        ];
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            list.extend([u16::to_le_bytes(tag), u16::to_le_bytes(permissions)].concat());
            list.extend(u32::to_le_bytes(id));
        }
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(&out, "system.posix_acl_access", &list, flags).unwrap();
    };
    set(12345, 7);
    let message = refused(&mut replay(&fixture(), &out));
    assert!(
        message.contains("can be written to by the user 12345"),
        "{message}"
    );
    // The mask takes the right to write from the list, and root has it anyway.
    for (user, mask) in [(12345, 5), (0, 7)] {
        set(user, mask);
        let said = record_fixture(&out.join(format!("{user}.parquet")), &[]);
        assert!(!said.contains("warning"), "{said}");
    }
}
