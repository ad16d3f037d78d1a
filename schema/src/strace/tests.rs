//! The expected lines are the output of strace 6.1 for the same calls, except for the contents of user memory.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod socket;

use super::*;
use crate::syscalls::{self, spec};

/// Creates a call on x86-64 with these arguments and result.
fn call<'a>(name: &'a str, args: &[i64], ret: i64) -> Call<'a> {
    let mut call = Call::new(name, spec(name), Abi::X86_64);
    for (slot, arg) in call.args.iter_mut().zip(args) {
        *slot = Some(*arg);
    }
    // Pointers are not recorded, and neither are arguments that the call does not have.
    for (i, slot) in call.args.iter_mut().enumerate() {
        if call
            .spec
            .args
            .get(i)
            .is_none_or(|(_, arg)| arg.is_pointer())
        {
            *slot = None;
        }
    }
    call.ret = Some(ret);
    call
}

fn line(name: &str, args: &[i64], ret: i64) -> String {
    call(name, args, ret).to_string()
}

/// Formats a call with a path that the caller passed.
fn on_path(name: &str, path: &str, args: &[i64], ret: i64) -> String {
    Call {
        path_arg: Some(path),
        ..call(name, args, ret)
    }
    .to_string()
}

const CWD: i64 = -100;
const ENOENT: i64 = -2;

#[test]
fn texts_that_nobody_has_escaped_do_not_control_the_terminal() {
    let forged = Call {
        argv: Some("\u{1b}[2J"),
        ..call("\u{1a}exec\n", &[], 0)
    };
    let line = forged.to_string();
    assert!(
        line.starts_with(r"\x1aexec\n(") || line.starts_with(r"\x1aexec\x0a("),
        "{line}"
    );
    let forged = Call {
        path: Some("/\u{1b}[2J"),
        path_arg: Some("\u{202e}txt"),
        ..call("openat", &[CWD, 0, 0, 0], 3)
    };
    assert!(
        !forged.to_string().chars().any(crate::text::is_control),
        "{forged}"
    );
}

#[test]
fn open_shows_paths_and_flags() {
    let open = Call {
        path_arg: Some("/etc/hosts"),
        path: Some("/etc/hosts"),
        ..call("openat", &[CWD, 0, 0o2000000, 0], 3)
    };
    assert_eq!(
        open.to_string(),
        r#"openat(AT_FDCWD, "/etc/hosts", O_RDONLY|O_CLOEXEC) = 3</etc/hosts>"#
    );
    // AT_FDCWD as a 32-bit number, as some programs pass it
    assert_eq!(
        on_path("openat", "/tmp", &[0xffff_ff9c, 0, 0o2204000], 4),
        r#"openat(AT_FDCWD, "/tmp", O_RDONLY|O_NONBLOCK|O_CLOEXEC|O_DIRECTORY) = 4"#
    );
    assert_eq!(
        on_path("openat", "/tmp", &[CWD, 0, 0o20200002, 0o600], 5),
        r#"openat(AT_FDCWD, "/tmp", O_RDWR|O_TMPFILE, 0600) = 5"#
    );
    assert_eq!(
        on_path("openat", "/tmp/zz1", &[CWD, 0, 0o1101, 0o644], 6),
        r#"openat(AT_FDCWD, "/tmp/zz1", O_WRONLY|O_CREAT|O_TRUNC, 0644) = 6"#
    );
    assert_eq!(
        on_path("open", "/nonex", &[0, 0x40000000], ENOENT),
        r#"open("/nonex", O_RDONLY|0x40000000) = -1 ENOENT (No such file or directory)"#
    );
}

#[test]
fn open_flags_depend_on_the_architecture() {
    let flags = 0o40000;
    let mut open = Call {
        path_arg: Some("/"),
        ..call("openat", &[CWD, 0, flags], 3)
    };
    assert_eq!(
        open.to_string(),
        r#"openat(AT_FDCWD, "/", O_RDONLY|O_DIRECT) = 3"#
    );
    open.abi = Abi::Aarch64;
    assert_eq!(
        open.to_string(),
        r#"openat(AT_FDCWD, "/", O_RDONLY|O_DIRECTORY) = 3"#
    );
}

#[test]
fn the_tables_have_the_flags_of_this_machine() {
    let arm = cfg!(any(target_arch = "aarch64", target_arch = "arm"));
    let open = names::table(Names::Open, arm, None).unwrap();
    for (flag, name) in [
        (general::O_DIRECT, "O_RDONLY|O_DIRECT"),
        (general::O_LARGEFILE, "O_RDONLY|O_LARGEFILE"),
        (general::O_DIRECTORY, "O_RDONLY|O_DIRECTORY"),
        (general::O_NOFOLLOW, "O_RDONLY|O_NOFOLLOW"),
    ] {
        assert_eq!(open.text(flag), name);
    }
}

#[test]
fn fds_show_their_file() {
    let mut read = call("read", &[3, 0, 4096], 120);
    read.path = Some("/etc/hosts");
    assert_eq!(read.to_string(), "read(3</etc/hosts>, ..., 4096) = 120");
    let mut dup = call("fcntl", &[3, 1030, 10], 11);
    dup.path = Some("/etc/hosts");
    assert_eq!(
        dup.to_string(),
        "fcntl(3</etc/hosts>, F_DUPFD_CLOEXEC, 10) = 11"
    );
    let mut dup = call("dup2", &[3, 1], 1);
    dup.path = Some("/x");
    assert_eq!(dup.to_string(), "dup2(3</x>, 1) = 1</x>");
    assert_eq!(
        line("close", &[-1], -9),
        "close(-1) = -1 EBADF (Bad file descriptor)"
    );
}

#[test]
fn calls_on_paths() {
    let enoent = "= -1 ENOENT (No such file or directory)";
    for (name, args, shown) in [
        ("chmod", &[0_i64, 0o4755][..], r#""/nonex", 04755"#),
        ("chmod", &[0, 0], r#""/nonex", 000"#),
        ("access", &[0, 6], r#""/nonex", R_OK|W_OK"#),
        ("access", &[0, 0], r#""/nonex", F_OK"#),
        (
            "mknodat",
            &[CWD, 0, 0o20600, 0x103],
            r#"AT_FDCWD, "/nonex", S_IFCHR|0600, makedev(0x1, 0x3)"#,
        ),
        (
            "mknodat",
            &[CWD, 0, 0o100600, 0],
            r#"AT_FDCWD, "/nonex", S_IFREG|0600"#,
        ),
        (
            "unlinkat",
            &[CWD, 0, 0x200],
            r#"AT_FDCWD, "/nonex", AT_REMOVEDIR"#,
        ),
        ("unlinkat", &[CWD, 0, 0], r#"AT_FDCWD, "/nonex", 0"#),
        (
            "newfstatat",
            &[CWD, 0, 1, 0x900],
            r#"AT_FDCWD, "/nonex", ..., AT_SYMLINK_NOFOLLOW|AT_NO_AUTOMOUNT"#,
        ),
        (
            "faccessat2",
            &[CWD, 0, 4, 0x200],
            r#"AT_FDCWD, "/nonex", R_OK, AT_EACCESS"#,
        ),
        ("umount2", &[0, 2], r#""/nonex", MNT_DETACH"#),
        ("chown", &[0, -1, 1000], r#""/nonex", -1, 1000"#),
        (
            "chown",
            &[0, 0xffff_ffff, 4294967294],
            r#""/nonex", -1, 4294967294"#,
        ),
    ] {
        assert_eq!(
            on_path(name, "/nonex", args, ENOENT),
            format!("{name}({shown}) {enoent}")
        );
    }
    assert_eq!(
        on_path("mkdir", r#"a"\x1b"#, &[0, 0o700], 0),
        r#"mkdir("a\"\x1b", 0700) = 0"#
    );
    assert_eq!(line("umask", &[0o22], 0o22), "umask(022) = 022");
}

#[test]
fn calls_on_two_paths() {
    let two = |name, args| Call {
        path2: Some("b"),
        ..call(name, args, 0)
    };
    let rename = Call {
        path_arg: Some("a"),
        ..two("renameat2", &[CWD, 0, CWD, 0, 1])
    };
    assert_eq!(
        rename.to_string(),
        r#"renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE) = 0"#
    );
    let link = Call {
        path_arg: Some("a"),
        ..two("symlink", &[])
    };
    assert_eq!(link.to_string(), r#"symlink("b", "a") = 0"#);
    let mount = Call {
        path_arg: Some("/m"),
        ..two("mount", &[0, 0, 0, 6, 0])
    };
    assert_eq!(
        mount.to_string(),
        r#"mount("b", "/m", ..., MS_NOSUID|MS_NODEV, ...) = 0"#
    );
}

#[test]
fn memory_calls() {
    assert_eq!(
        line("mmap", &[0, 4096, 0, 0x4022, -1, 0], 0x7fd8a320c000),
        "mmap(..., 4096, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE, -1, 0) = 0x7fd8a320c000"
    );
    let mut mmap = call("mmap", &[0, 4096, 3, 1, 3, 4096], -13);
    mmap.args[0] = Some(0);
    mmap.path = Some("/etc/hosts");
    assert_eq!(
        mmap.to_string(),
        "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 3</etc/hosts>, 0x1000) = -1 EACCES (Permission denied)"
    );
    assert_eq!(
        line("mremap", &[0, 4096, 8192, 1, 0], -22),
        "mremap(..., 4096, 8192, MREMAP_MAYMOVE) = -1 EINVAL (Invalid argument)"
    );
    assert_eq!(
        line("madvise", &[0, 1, 4], 0),
        "madvise(..., 1, MADV_DONTNEED) = 0"
    );
    assert_eq!(
        line("memfd_create", &[0, 1], 15),
        "memfd_create(..., MFD_CLOEXEC) = 15"
    );
}

#[test]
fn fcntl_and_ioctl_show_their_commands() {
    for (args, ret, shown) in [
        (&[3_i64, 1, 0][..], 1, "fcntl(3, F_GETFD) = 1"),
        (&[3, 2, 1], 0, "fcntl(3, F_SETFD, FD_CLOEXEC) = 0"),
        (&[3, 2, 0], 0, "fcntl(3, F_SETFD, 0) = 0"),
        (
            &[3, 4, 0o4000],
            0,
            "fcntl(3, F_SETFL, O_RDONLY|O_NONBLOCK) = 0",
        ),
        (&[3, 6, 0x7fff0000], 0, "fcntl(3, F_SETLK, ...) = 0"),
        (
            &[3, 77, 5],
            -22,
            "fcntl(3, 0x4d /* F_??? */, ...) = -1 EINVAL (Invalid argument)",
        ),
    ] {
        assert_eq!(line("fcntl", args, ret), shown);
    }
    let enotty = "= -1 ENOTTY (Inappropriate ioctl for device)";
    assert_eq!(
        line("ioctl", &[3, 0x5401], -25),
        format!("ioctl(3, TCGETS, ...) {enotty}")
    );
    assert_eq!(
        line("ioctl", &[3, 0x89123456], -25),
        format!("ioctl(3, _IOC(_IOC_READ, 0x34, 0x56, 0x912), ...) {enotty}")
    );
    assert_eq!(line("flock", &[3, 6], 0), "flock(3, LOCK_EX|LOCK_NB) = 0");
    assert_eq!(
        line("lseek", &[3, -1, 2], 48),
        "lseek(3, -1, SEEK_END) = 48"
    );
    assert_eq!(
        line("lseek", &[3, 5, 9], -22),
        "lseek(3, 5, 0x9 /* SEEK_??? */) = -1 EINVAL (Invalid argument)"
    );
}

#[test]
fn network_calls() {
    for (args, ret, shown) in [
        (
            &[2_i64, 0o2004001, 0][..],
            7,
            "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK, IPPROTO_IP) = 7",
        ),
        (&[1, 2, 0], 8, "socket(AF_UNIX, SOCK_DGRAM, 0) = 8"),
        (
            &[16, 0o2000003, 0],
            9,
            "socket(AF_NETLINK, SOCK_RAW|SOCK_CLOEXEC, NETLINK_ROUTE) = 9",
        ),
        (
            &[10, 2, 17],
            12,
            "socket(AF_INET6, SOCK_DGRAM, IPPROTO_UDP) = 12",
        ),
        (
            &[77, 9, 3],
            -97,
            "socket(0x4d /* AF_??? */, 0x9 /* SOCK_??? */, 3) = -1 EAFNOSUPPORT (Address family not supported by protocol)",
        ),
    ] {
        assert_eq!(line("socket", args, ret), shown);
    }
    assert_eq!(
        line("accept4", &[4, 0, 0, 0o2000000], 6),
        "accept4(4, ..., ..., SOCK_CLOEXEC) = 6"
    );
    assert_eq!(
        line("setsockopt", &[7, 1, 2, 0, 4], 0),
        "setsockopt(7, SOL_SOCKET, SO_REUSEADDR, ..., 4) = 0"
    );
    assert_eq!(
        line("setsockopt", &[7, 6, 1, 0, 4], 0),
        "setsockopt(7, SOL_TCP, TCP_NODELAY, ..., 4) = 0"
    );
    assert_eq!(
        line("setsockopt", &[7, 41, 26, 0, 4], 0),
        "setsockopt(7, SOL_IPV6, IPV6_V6ONLY, ..., 4) = 0"
    );
    assert_eq!(
        line("sendto", &[7, 0, 5, 0x4040, 0, 0], -32),
        "sendto(7, ..., 5, MSG_DONTWAIT|MSG_NOSIGNAL, ..., 0) = -1 EPIPE (Broken pipe)"
    );
    assert_eq!(line("shutdown", &[7, 1], 0), "shutdown(7, SHUT_WR) = 0");
}

#[test]
fn processes_and_signals() {
    assert_eq!(
        line("clone", &[0x01200011, 0, 0, 0, 0], 25046),
        "clone(CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, ..., ..., ..., ...) = 25046"
    );
    assert_eq!(
        line("clone", &[17], 2),
        "clone(SIGCHLD, ..., ..., ..., ...) = 2"
    );
    assert_eq!(
        line("unshare", &[0x40020000], 0),
        "unshare(CLONE_NEWNS|CLONE_NEWNET) = 0"
    );
    assert_eq!(line("kill", &[25045, 18], 0), "kill(25045, SIGCONT) = 0");
    assert_eq!(
        line("kill", &[-1, 99], -22),
        "kill(-1, 99) = -1 EINVAL (Invalid argument)"
    );
    assert_eq!(
        line("tgkill", &[0, 0, 34], -22),
        "tgkill(0, 0, SIGRT_2) = -1 EINVAL (Invalid argument)"
    );
    assert_eq!(
        line("wait4", &[-1, 0, 3, 0], -10),
        "wait4(-1, ..., WNOHANG|WSTOPPED, ...) = -1 ECHILD (No child processes)"
    );
    assert_eq!(
        line("waitid", &[1, 5, 0, 5, 0], -10),
        "waitid(P_PID, 5, ..., WNOHANG|WEXITED, ...) = -1 ECHILD (No child processes)"
    );
    assert_eq!(
        line("rt_sigprocmask", &[0, 0, 0, 8], 0),
        "rt_sigprocmask(SIG_BLOCK, ..., ..., 8) = 0"
    );
}

#[test]
fn attributes_and_programs_of_processes() {
    assert_eq!(
        line("prctl", &[38, 1, 0, 0, 0], 0),
        "prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) = 0"
    );
    assert_eq!(line("prctl", &[3], 1), "prctl(PR_GET_DUMPABLE) = 1");
    assert_eq!(
        line("prctl", &[1, 9, 7, 7, 7], 0),
        "prctl(PR_SET_PDEATHSIG, SIGKILL) = 0"
    );
    assert_eq!(
        line("prctl", &[15, 0x7fff0000], 0),
        "prctl(PR_SET_NAME, ...) = 0"
    );
    assert_eq!(
        line("prlimit64", &[0, 7, 0, 0], 0),
        "prlimit64(0, RLIMIT_NOFILE, ..., ...) = 0"
    );
    let exec = Call {
        path_arg: Some("/bin/ls"),
        argv: Some(r"ls -l 'a b'\''c\x1b\\'"),
        ..call("execve", &[], 0)
    };
    assert_eq!(
        exec.to_string(),
        r#"execve("/bin/ls", ["ls", "-l", "a b'c\x1b\\"], ...) = 0"#
    );
    assert_eq!(
        line("arch_prctl", &[0x1002], 0),
        "arch_prctl(ARCH_SET_FS, ...) = 0"
    );
    assert_eq!(
        line("arch_prctl", &[0x3001], -22),
        "arch_prctl(0x3001 /* ARCH_??? */, ...) = -1 EINVAL (Invalid argument)"
    );
}

#[test]
fn new_fds() {
    assert_eq!(
        line("pipe2", &[0, 0o2000000], 0),
        "pipe2(..., O_CLOEXEC) = 0"
    );
    assert_eq!(line("pipe2", &[0, 0], 0), "pipe2(..., 0) = 0");
    assert_eq!(
        line("dup3", &[3, 4, 0o2000000], 4),
        "dup3(3, 4, O_CLOEXEC) = 4"
    );
}

#[test]
fn futex_shows_the_arguments_of_its_operation() {
    assert_eq!(
        line("futex", &[0, 129, 1, 0, 0, 0], 1),
        "futex(..., FUTEX_WAKE_PRIVATE, 1) = 1"
    );
    assert_eq!(
        line("futex", &[0, 0, 1, 0, 0, 0], -11),
        "futex(..., FUTEX_WAIT, 1, ...) = -1 EAGAIN (Resource temporarily unavailable)"
    );
    assert_eq!(
        line("futex", &[0, 9 | 128 | 256, 1, 0, 0, -1], -110),
        "futex(..., FUTEX_WAIT_BITSET_PRIVATE|FUTEX_CLOCK_REALTIME, 1, ..., FUTEX_BITSET_MATCH_ANY) = -1 ETIMEDOUT (Connection timed out)"
    );
    assert_eq!(
        line("futex", &[0, 77, 1, 0, 0, 0], -38),
        "futex(..., 0x4d /* FUTEX_??? */, 1, ..., ..., 0) = -1 ENOSYS (Function not implemented)"
    );
}

#[test]
fn time_and_events() {
    assert_eq!(
        line("clock_nanosleep", &[1, 1, 0, 0], 0),
        "clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, ..., ...) = 0"
    );
    assert_eq!(
        line("clock_gettime", &[77, 0], -22),
        "clock_gettime(0x4d /* CLOCK_??? */, ...) = -1 EINVAL (Invalid argument)"
    );
    assert_eq!(
        line("epoll_create1", &[0x80000], 13),
        "epoll_create1(EPOLL_CLOEXEC) = 13"
    );
    assert_eq!(
        line("epoll_ctl", &[13, 1, 7, 0], 0),
        "epoll_ctl(13, EPOLL_CTL_ADD, 7, ...) = 0"
    );
    assert_eq!(
        line("eventfd2", &[0, 0o2000001], 4),
        "eventfd2(0, EFD_SEMAPHORE|EFD_CLOEXEC) = 4"
    );
    assert_eq!(
        line("getrandom", &[0, 1, 1], 1),
        "getrandom(..., 1, GRND_NONBLOCK) = 1"
    );
    assert_eq!(
        line("shmget", &[0, 4096, 0o1600], 5),
        "shmget(0, 4096, IPC_CREAT|0600) = 5"
    );
}

#[test]
fn results() {
    let mut exit = call("exit_group", &[0], 0);
    exit.ret = None;
    assert_eq!(exit.to_string(), "exit_group(0) = ?");
    assert_eq!(
        line("pause", &[], -514),
        "pause() = ? ERESTARTNOHAND (To be restarted if no handler)"
    );
    assert_eq!(line("pause", &[], -4000), "pause() = -1 (errno 4000)");
    let denied = Call {
        denied: true,
        ..call("getpid", &[], -1)
    };
    assert_eq!(
        denied.to_string(),
        "getpid() = -1 EPERM (Operation not permitted) (refused by seccomp)"
    );
    let mut unread = call("read", &[], -4);
    unread.args = [None; 6];
    assert_eq!(
        unread.to_string(),
        "read(?, ..., ?) = -1 EINTR (Interrupted system call)"
    );
}

#[test]
fn calls_of_32_bit_callers() {
    let call_of = |abi, name, args: [i64; 6], ret: i64| Call {
        spec: syscalls::spec_of(abi, syscalls::number(abi, name).unwrap()),
        abi,
        args: args.map(Some),
        ..call(name, &[], ret)
    };
    let read = call_of(Abi::X86, "pread64", [3, 0x1000, 10, 1, 2, 0], 10);
    assert_eq!(read.to_string(), "pread64(3, ..., 10, 8589934593) = 10");
    let read = call_of(Abi::Arm, "pread64", [3, 0x1000, 10, 99, 1, 2], 10);
    assert_eq!(read.to_string(), "pread64(3, ..., 10, 8589934593) = 10");
    let seek = call_of(Abi::X86, "lseek", [3, 0xffff_ffff, 2, 0, 0, 0], 0xffff_ffea);
    assert_eq!(
        seek.to_string(),
        "lseek(3, -1, SEEK_END) = -1 EINVAL (Invalid argument)"
    );
    let mmap = call_of(Abi::X86, "mmap2", [0, 8, 1, 2, 3, 0], 0xf7f0_0000);
    assert_eq!(
        mmap.to_string(),
        "mmap2(NULL, 8, PROT_READ, MAP_PRIVATE, 3, 0) = 0xf7f00000"
    );
    let socket = call_of(Abi::X86, "socketcall", [3, 0x1000, 0, 0, 0, 0], 0);
    assert_eq!(socket.to_string(), "socketcall(SYS_CONNECT, ...) = 0");
}

#[test]
fn an_unknown_call_is_printed_by_its_number() {
    let call = Call {
        ret: Some(-38),
        ..Call::new("syscall_999", spec("syscall_999"), Abi::X86_64)
    };
    assert_eq!(
        call.to_string(),
        "syscall_999(...) = -1 ENOSYS (Function not implemented)"
    );
}

/// Checks that formatting does not fail for any values, because recordings may come from anyone.
#[test]
fn every_call_is_printed_with_any_arguments() {
    for abi in Abi::ALL {
        for (nr, name) in syscalls::iter(abi) {
            for v in [
                None,
                Some(0),
                Some(-1),
                Some(i64::MIN),
                Some(i64::MAX),
                Some(0x5555),
            ] {
                let spec = syscalls::spec_of(abi, nr);
                let call = Call {
                    args: [v; 6],
                    ret: v,
                    ..Call::new(name, spec, abi)
                };
                assert!(call.to_string().starts_with(name));
            }
        }
    }
}
