//! Attempts of a recorder that somebody has taken over, each in a process of its own that is confined as a recorder is.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use ctrace_common::confine::calls::AllowedCalls;
use ctrace_schema::syscalls::{Abi, number};

use super::{MainCalls, Needs, Reach, main_thread, set_reach, spawn};

/// Names the attempt, and the directory of the output.
const ATTEMPT: &str = "CTRACE_TEST_ATTEMPT";
const OUTPUT: &str = "CTRACE_TEST_OUTPUT";

/// BPF_MAP_LOOKUP_ELEM and BPF_PROG_LOAD of linux/bpf.h.
const LOOKUP: u64 = 1;
const LOAD: u64 = 5;

fn bpf(command: u64) -> io::Result<()> {
    // SAFETY: without attributes, the kernel reads and writes no memory of this process.
    match unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::null::<u8>(), 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn try_to(attempt: &str, output: &Path) -> io::Result<()> {
    let inside = output.join("file");
    match attempt {
        "write to the output" => {
            fs::write(&inside, "text")?;
            fs::set_permissions(&inside, Permissions::from_mode(0o600))?;
            assert_eq!(fs::read(&inside)?, b"text");
            fs::rename(&inside, output.join("other"))?;
            fs::remove_file(output.join("other"))
        }
        "read the state of runtimes" => fs::read("/proc/1/status").map(|_| ()),
        "connect to a runtime" => UnixStream::pair().map(|_| ()),
        "write outside" => fs::write(output.with_extension("outside"), "text"),
        "read outside" => File::open(std::env::current_exe()?).map(|_| ()),
        "read the memory of a process" => File::open("/proc/1/mem").map(|_| ()),
        "make a program setuid" => {
            fs::write(&inside, "text")?;
            fs::set_permissions(&inside, Permissions::from_mode(0o4755))
        }
        "connect to the network" => TcpStream::connect("127.0.0.1:1").map(|_| ()),
        "use a map" => match bpf(LOOKUP) {
            Err(e) if e.raw_os_error() != Some(libc::ENOSYS) => Ok(()),
            other => other,
        },
        "load a BPF program" => bpf(LOAD),
        "run a program" => Err(Command::new("/bin/true").exec()),
        "start a program" => Command::new("/bin/true").status().map(|_| ()),
        "end another process" => rustix::process::kill_process(
            rustix::process::Pid::from_raw(std::os::unix::process::parent_id() as i32).unwrap(),
            rustix::process::Signal::TERM,
        )
        .map_err(Into::into),
        "write in a thread of the metrics" => {
            let path = inside.clone();
            let thread = spawn("metrics", Needs::Nothing, move || fs::write(path, "text"))?;
            thread.join().unwrap()
        }
        "write in a thread of the output" => {
            let path = inside.clone();
            let thread = spawn("encoder", Needs::Output, move || fs::write(path, "text"))?;
            thread.join().unwrap()
        }
        "read the state in a thread of the output" => {
            let read = || File::open("/proc/1/status").map(|_| ());
            spawn("encoder", Needs::Output, read)?.join().unwrap()
        }
        _ => panic!("{attempt}"),
    }
}

/// Runs the test below again, in a process that makes the attempt.
fn attempt(attempt: &str, output: &Path) -> ExitStatus {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "confine::tests::a_recorder_that_was_taken_over_can_do_little",
        "--exact",
        "--nocapture",
    ]);
    command.env(ATTEMPT, attempt).env(OUTPUT, output);
    command.output().unwrap().status
}

#[test]
fn a_recorder_that_was_taken_over_can_do_little() {
    if let (Ok(attempt), Some(output)) = (std::env::var(ATTEMPT), std::env::var_os(OUTPUT)) {
        set_reach(Reach {
            state: vec!["/proc".into()],
            output: vec![PathBuf::from(&output)],
            sockets: vec![],
        });
        let calls = MainCalls {
            bpf: &[LOOKUP],
            command: None,
        };
        main_thread(&calls).unwrap();
        let tried = try_to(&attempt, Path::new(&output));
        std::process::exit(i32::from(tried.is_err()));
    }
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("output");
    fs::create_dir(&output).unwrap();
    for needed in [
        "write to the output",
        "read the state of runtimes",
        "connect to a runtime",
        "use a map",
        "write in a thread of the output",
    ] {
        assert_eq!(attempt(needed, &output).code(), Some(0), "{needed}");
    }
    for refused in [
        "write outside",
        "read outside",
        "read the memory of a process",
        "make a program setuid",
        "connect to the network",
        "load a BPF program",
        "start a program",
        "run a program",
        "end another process",
        "write in a thread of the metrics",
        "read the state in a thread of the output",
    ] {
        assert_eq!(attempt(refused, &output).code(), Some(1), "{refused}");
    }
}

#[test]
fn the_recorder_allows_calls_of_both_architectures() {
    let calls = MainCalls {
        bpf: &[LOOKUP],
        command: Some(1),
    };
    let common: BTreeSet<&str> = AllowedCalls::default().names().collect();
    let names: BTreeSet<&str> = super::allowed(&calls).names().collect();
    let own: Vec<_> = names.difference(&common).copied().collect();
    assert!(own.contains(&"bpf"), "{own:?}");
    for name in own {
        assert!(number(Abi::X86_64, name).is_some(), "{name}");
        // The C library calls fchmodat on 64-bit ARM, which has no chmod.
        let is_on_aarch64 = number(Abi::Aarch64, name).is_some();
        assert_eq!(is_on_aarch64, name != "chmod", "{name}");
    }
    assert!(names.contains("fchmodat"));
}
