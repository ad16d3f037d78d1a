#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::thread;

use super::calls::{AllowedCalls, UNLOGGED};
use super::files::{Enforced, FileRules};

/// Names the attempt that a process started by [`attempt`] makes.
const ATTEMPT: &str = "CTRACE_TEST_ATTEMPT";

/// Runs `work` in a thread that the rules confine.
fn confined<T: Send>(rules: &FileRules, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            assert_eq!(rules.confine().unwrap(), Enforced::Files);
            work()
        });
        thread.join().unwrap()
    })
}

fn is_denied<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|e| e.kind() == ErrorKind::PermissionDenied)
}

#[test]
fn a_thread_uses_the_files_of_its_rules_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for name in ["read", "list", "write", "change", "other"] {
        fs::create_dir(path(name)).unwrap();
        fs::write(path(name).join("file"), "text").unwrap();
    }
    let rules = FileRules {
        read: vec![path("read"), path("missing")],
        list: vec![path("list")],
        write: vec![path("write")],
        change: vec![path("change")],
        ..FileRules::default()
    };
    confined(&rules, || {
        let read = |name: &str| fs::read(path(name).join("file"));
        let write = |name: &str| fs::write(path(name).join("new"), "");
        let list = |name: &str| fs::read_dir(path(name));
        assert!(read("read").is_ok() && list("read").is_ok() && is_denied(write("read")));
        assert!(is_denied(read("list")) && list("list").is_ok() && is_denied(write("list")));
        assert!(is_denied(read("write")) && is_denied(list("write")) && write("write").is_ok());
        assert!(read("change").is_ok() && list("change").is_ok() && write("change").is_ok());
        assert!(is_denied(read("other")) && is_denied(list("other")) && is_denied(write("other")));
        assert!(is_denied(fs::rename(
            path("change").join("new"),
            path("other").join("new")
        )));
        assert!(is_denied(fs::remove_file(path("other").join("file"))));
        assert!(is_denied(fs::create_dir(path("other").join("directory"))));
        assert!(is_denied(std::os::unix::fs::symlink(
            "/",
            path("change").join("link")
        )));
    });
    // Other threads are as before.
    assert!(fs::read(path("other").join("file")).is_ok());
}

#[test]
fn a_thread_runs_no_program_and_opens_no_port() {
    let rules = FileRules {
        change: vec!["/".into()],
        ..FileRules::default()
    };
    confined(&rules, || {
        assert!(is_denied(Command::new("/bin/true").status()));
        assert!(is_denied(TcpListener::bind("127.0.0.1:0")));
        // The memory and the links of processes outside: ptrace(2), "Ptrace access mode checking".
        let parent = std::os::unix::process::parent_id();
        assert!(is_denied(fs::read_link(format!("/proc/{parent}/exe"))));
        assert!(is_denied(File::open(format!("/proc/{parent}/mem"))));
    });
}

/// Makes an attempt of a confined process.
fn try_to(attempt: &str) -> io::Result<()> {
    let number = |result: libc::c_long| match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    };
    // SAFETY: the calls get numbers, null pointers, and texts that end with a zero byte.
    unsafe {
        match attempt {
            "run a program" => {
                let program = c"/bin/true".as_ptr();
                let arguments = [program, std::ptr::null()];
                number(libc::execv(program, arguments.as_ptr()).into())
            }
            "trace" => number(libc::syscall(
                libc::SYS_ptrace,
                libc::PTRACE_ATTACH,
                1,
                0,
                0,
            )),
            "mount" => {
                let text = c"none".as_ptr();
                let nothing = std::ptr::null();
                number(libc::mount(text, c"/mnt".as_ptr(), c"tmpfs".as_ptr(), 0, nothing).into())
            }
            "change the user" => number(libc::syscall(libc::SYS_setuid, 0)),
            "load a module" => number(libc::syscall(libc::SYS_finit_module, -1, c"".as_ptr(), 0)),
            "enter a namespace" => number(libc::unshare(libc::CLONE_NEWNET).into()),
            "fork" => number(libc::fork().into()),
            "send a signal" => number(libc::kill(libc::getppid(), 0).into()),
            "use another device" => number(libc::ioctl(0, libc::TIOCSTI, c"x".as_ptr()).into()),
            "make code" => {
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                let access = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
                let memory = libc::mmap(std::ptr::null_mut(), 4096, access, flags, -1, 0);
                number(if memory == libc::MAP_FAILED { -1 } else { 0 })
            }
            "send to the network" => UdpSocket::bind("127.0.0.1:0").map(|_| ()),
            "change a mode" => number(libc::chmod(c"/dev/null".as_ptr(), 0o666).into()),
            "work" => {
                let dir = tempfile::tempdir()?;
                fs::write(dir.path().join("file"), "text")?;
                let sum = thread::spawn(|| (0..1000).sum::<u32>()).join().unwrap();
                assert_eq!(sum, 499_500);
                assert_eq!(fs::read(dir.path().join("file"))?, b"text");
                Ok(())
            }
            _ => panic!("{attempt}"),
        }
    }
}

/// Runs the test below again, in a process of its own that makes the attempt.
fn attempt(attempt: &str) -> ExitStatus {
    let test = "confine::tests::a_process_makes_the_calls_that_are_allowed_and_no_others";
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]);
    command.env(ATTEMPT, attempt).current_dir(Path::new("/"));
    command.output().unwrap().status
}

/// The calls of the list that 64-bit ARM does not have, each with the one that the C library makes there:
/// include/uapi/asm-generic/unistd.h leaves out the older calls.
const ONLY_X86_64: &[(&str, &str)] = &[
    ("pause", "ppoll"),
    ("time", "clock_gettime"),
    ("getpgrp", "getpgid"),
    ("dup2", "dup3"),
    ("pipe", "pipe2"),
    ("poll", "ppoll"),
    ("select", "pselect6"),
    ("epoll_create", "epoll_create1"),
    ("epoll_wait", "epoll_pwait"),
    ("eventfd", "eventfd2"),
    ("getdents", "getdents64"),
    ("open", "openat"),
    ("stat", "fstatat"),
    ("lstat", "fstatat"),
    ("newfstatat", "fstatat"),
    ("access", "faccessat"),
    ("readlink", "readlinkat"),
    ("rename", "renameat"),
    ("link", "linkat"),
    ("unlink", "unlinkat"),
    ("mkdir", "mkdirat"),
    ("rmdir", "unlinkat"),
];

#[test]
fn each_call_exists_on_both_architectures_or_has_a_replacement() {
    let is_on_x86_64 = |name: &str| name.parse::<syscalls::x86_64::Sysno>().is_ok();
    let is_on_aarch64 = |name: &str| name.parse::<syscalls::aarch64::Sysno>().is_ok();
    let names: BTreeSet<&str> = AllowedCalls::default().any(UNLOGGED).names().collect();
    let missing = |is_there: &dyn Fn(&str) -> bool| -> BTreeSet<&str> {
        names.iter().copied().filter(|it| !is_there(it)).collect()
    };
    assert_eq!(missing(&is_on_x86_64), BTreeSet::from(["fstatat"]));
    let replaced = ONLY_X86_64.iter().map(|(name, _)| *name);
    assert_eq!(missing(&is_on_aarch64), replaced.collect());
    for (name, there) in ONLY_X86_64 {
        assert!(names.contains(there) && is_on_aarch64(there), "{name}");
    }
}

#[test]
fn a_process_makes_the_calls_that_are_allowed_and_no_others() {
    if let Ok(attempt) = std::env::var(ATTEMPT) {
        AllowedCalls::default().confine().unwrap();
        match try_to(&attempt) {
            Ok(()) => std::process::exit(0),
            Err(e) if e.raw_os_error() == Some(libc::ENOSYS) => std::process::exit(1),
            Err(e) => panic!("{e}"),
        }
    }
    assert_eq!(attempt("work").code(), Some(0));
    for refused in [
        "run a program",
        "trace",
        "mount",
        "change the user",
        "load a module",
        "enter a namespace",
        "fork",
        "send a signal",
        "use another device",
        "make code",
        "send to the network",
        "change a mode",
    ] {
        assert_eq!(attempt(refused).code(), Some(1), "{refused}");
    }
}
