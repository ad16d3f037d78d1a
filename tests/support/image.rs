//! The root filesystem of the tests' containers: busybox and the programs of `tests/programs`. No registry is needed.

use super::command::run;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The directory of the tests' caches. Only root may write there, because the programs run as root in containers.
const CACHE: &str = "/var/cache/ctrace-tests";

/// The programs: an additional option of the compiler, the source, and the name in the image.
const PROGRAMS: &[(&str, &str, &str)] = &[
    ("", include_str!("../programs/arguments.c"), "arguments"),
    ("", include_str!("../programs/blocked.c"), "blocked"),
    ("", include_str!("../programs/bounds.c"), "bounds"),
    ("", include_str!("../programs/calls.c"), "calls"),
    ("", include_str!("../programs/dns.c"), "dns"),
    ("", include_str!("../programs/limits.c"), "limits"),
    ("", include_str!("../programs/matrix.c"), "matrix"),
    ("", include_str!("../programs/memory.c"), "memory"),
    ("", include_str!("../programs/messages.c"), "messages"),
    ("", include_str!("../programs/net.c"), "net"),
    ("", include_str!("../programs/outcomes.c"), "outcomes"),
    ("", include_str!("../programs/paths.c"), "paths"),
    ("", include_str!("../programs/peers.c"), "peers"),
    ("", include_str!("../programs/places.c"), "places"),
    ("", include_str!("../programs/race.c"), "race"),
    ("", include_str!("../programs/reuse.c"), "reuse"),
    ("", include_str!("../programs/rules.c"), "rules"),
    ("", include_str!("../programs/signals.c"), "signals"),
    ("", include_str!("../programs/spans.c"), "spans"),
    ("", include_str!("../programs/tasks.c"), "tasks"),
    ("", include_str!("../programs/uring.c"), "uring"),
    #[cfg(target_arch = "x86_64")]
    ("-m32", include_str!("../programs/calls.c"), "calls32"),
    #[cfg(target_arch = "x86_64")]
    ("-m32", include_str!("../programs/ipc.c"), "ipc"),
    #[cfg(target_arch = "x86_64")]
    ("-m32", include_str!("../programs/matrix.c"), "matrix32"),
    #[cfg(target_arch = "x86_64")]
    ("-m32", include_str!("../programs/messages.c"), "messages32"),
    #[cfg(target_arch = "x86_64")]
    ("-m32", include_str!("../programs/places.c"), "places32"),
    #[cfg(target_arch = "x86_64")]
    ("-m32", include_str!("../programs/race.c"), "race32"),
    #[cfg(target_arch = "x86_64")]
    ("-m32", include_str!("../programs/tasks.c"), "tasks32"),
];

/// The headers that the programs include: the name and the text of each.
const HEADERS: &[(&str, &str)] = &[
    ("addresses.h", include_str!("../programs/addresses.h")),
    ("must.h", include_str!("../programs/must.h")),
    ("objects.h", include_str!("../programs/objects.h")),
];

/// Returns the root filesystem as a directory, and builds it if a source has changed.
pub(crate) fn rootfs() -> &'static Path {
    static ROOTFS: OnceLock<PathBuf> = OnceLock::new();
    ROOTFS.get_or_init(|| {
        let dir = Path::new(CACHE).join(tag());
        fs::create_dir_all(&dir).unwrap();
        let lock = File::create(dir.join("lock")).unwrap();
        lock.lock().unwrap();
        let rootfs = dir.join("rootfs");
        if !rootfs.exists() {
            // The name is given to a complete build only, so that a build that was killed is repeated.
            let partial = dir.join("partial");
            let _ = fs::remove_dir_all(&partial);
            build(&partial);
            fs::rename(&partial, &rootfs).unwrap();
        }
        rootfs
    })
}

/// Identifies the content of the root filesystem by a hash of its sources.
pub(crate) fn tag() -> String {
    let mut hash = DefaultHasher::new();
    (PROGRAMS, HEADERS, include_str!("image.rs")).hash(&mut hash);
    format!("{:016x}", hash.finish())
}

fn build(root: &Path) {
    for dir in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    for (path, text) in [
        ("etc/passwd", "root:x:0:0:root:/:/bin/sh\n"),
        ("etc/group", "root:x:0:\n"),
        ("etc/shadow", "root:*:20000:0:99999:7:::\n"),
        ("etc/motd", "hello\n"),
    ] {
        fs::write(root.join(path), text).unwrap();
    }
    let busybox = run(Command::new("sh").args(["-c", "command -v busybox"]));
    fs::copy(busybox.trim(), root.join("bin/busybox")).unwrap();
    for applet in run(Command::new(busybox.trim()).arg("--list")).lines() {
        if applet != "busybox" {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
    }
    for (name, text) in HEADERS {
        fs::write(root.join("tmp").join(name), text).unwrap();
    }
    for (option, source, name) in PROGRAMS {
        let file = root.join(format!("tmp/{name}.c"));
        fs::write(&file, source).unwrap();
        run(Command::new("cc")
            .args([
                "-O1",
                "-static",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-Wno-missing-field-initializers",
            ])
            .args(Some(option).filter(|o| !o.is_empty()))
            .arg("-o")
            .arg(root.join("bin").join(name))
            .arg(&file));
        fs::remove_file(file).unwrap();
    }
    for (name, _) in HEADERS {
        fs::remove_file(root.join("tmp").join(name)).unwrap();
    }
}
