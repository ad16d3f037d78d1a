//! The scripts of packaging/, run on the programs of this build.

use crate::support::command::run;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Returns the build directory.
fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}

/// Returns a tool of packaging/requirements.txt, which packaging/setup.sh installs.
pub(crate) fn tool(name: &str) -> PathBuf {
    target().join("packaging/bin").join(name)
}

/// Creates the command that runs a script of packaging/. Its files are compressed quickly rather than well.
pub(crate) fn packaging(script: &str) -> Command {
    let mut command = Command::new(format!("{ROOT}/packaging/{script}"));
    command
        .env("CARGO_TARGET_DIR", target())
        .env("COMPRESSION", "gzip")
        .env("XZ_OPT", "-0")
        .env("SOURCE_DATE_EPOCH", "1767225600");
    command
}

/// Creates the command that makes a release, which is signed with the secret key in the file `key`.
pub(crate) fn release(key: &Path) -> Command {
    let mut command = packaging("release.sh");
    command.env("KEY", key);
    command
}

/// Returns the directory that packages are made of. It is made once for each build of the programs, because each test is a
/// process.
pub(crate) fn staged() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages");
    fs::create_dir_all(&dir).unwrap();
    let lock = File::create(dir.join("lock")).unwrap();
    lock.lock().unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_ctrace-rec"))
        .parent()
        .unwrap();
    let built = [programs.join("ctrace-rec"), programs.join("ctrace-query")]
        .map(|program| fs::metadata(program).unwrap().modified().unwrap());
    let scripts = run(Command::new("git").args([
        "-C",
        ROOT,
        "hash-object",
        "packaging/stage.sh",
        "packaging/common.sh",
        "packaging/licences.py",
    ]));
    let state = format!("{built:?}\n{scripts}");
    let (root, mark) = (dir.join("root"), dir.join("made-of"));
    if fs::read_to_string(&mark).ok().as_ref() != Some(&state) {
        run(packaging("stage.sh").arg(programs).arg(&root));
        fs::write(mark, state).unwrap();
    }
    root
}
