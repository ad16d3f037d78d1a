//! Arguments whose meaning depends on another argument of the call, and arguments that the kernel then ignores.

use crate::support::command::run;
use crate::support::recorder::Recorder;
use crate::task::Task;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

const MAY_MOUNT: &[&str] = &["--cap-add=SYS_ADMIN", "--security-opt=apparmor=unconfined"];

fn arguments(task: &str) -> Task {
    Task::record("arguments", task, &[])
}

#[test]
fn a_null_path_is_that_of_the_fd() {
    let task = arguments("null_path");
    let stamped = "/tmp/stamped";
    let rows = task.rows(
        "syscall, error, path, path_arg, fd > 2 as has_fd, dev is not null and inode is not null as has_file",
        "syscall in ('utimensat', 'futimesat') or syscall = 'openat' and error = 'EFAULT'",
    );
    let by_fd = |syscall: &str| json!({"syscall": syscall, "path": stamped, "has_fd": true, "has_file": true});
    let refused = |syscall: &str| json!({"syscall": syscall, "error": "EFAULT", "has_file": false});
    let mut expected = vec![by_fd("utimensat")];
    if cfg!(target_arch = "x86_64") {
        expected.push(by_fd("futimesat"));
    }
    expected.extend([refused("utimensat"), refused("openat")]);
    assert_eq!(rows, expected);
    let changes = task.select(
        "path",
        "files",
        "operation = 'attributes' and syscall = 'utimensat' and error is null",
    );
    assert_eq!(changes, [json!({"path": stamped})]);
    // The kernel takes a null path and AT_FDCWD for the working directory, if it has the rule.
    let rows = task.rows(
        "path",
        "syscall = 'newfstatat' and ret = 0 and fd is null and path_arg is null",
    );
    let has_rule = task.container.stdout.contains("directory");
    let expected = if has_rule {
        vec![json!({"path": "/etc"})]
    } else {
        vec![]
    };
    assert_eq!(rows, expected);
}

#[test]
fn an_empty_path_is_that_of_the_fd_only_with_the_flag() {
    let task = arguments("empty_path");
    let rows = task.rows(
        "syscall, error, path, path_arg, dev, inode, fd",
        "path_arg = '' and error is not null",
    );
    let calls: Vec<_> = rows.iter().filter_map(|r| r["syscall"].as_str()).collect();
    assert_eq!(rows.len(), 7, "{calls:?}");
    for row in &rows {
        let call = &row["syscall"];
        assert_eq!(
            row,
            &json!({"syscall": call, "error": "ENOENT", "path_arg": ""})
        );
    }
    let rows = task.rows(
        "syscall, path, fd > 2 as has_fd",
        "path_arg = '' and error is null",
    );
    let row = |syscall: &str| json!({"syscall": syscall, "path": "/etc/motd", "has_fd": true});
    assert_eq!(rows, [row("newfstatat"), row("fchownat")]);
}

#[test]
fn an_fd_that_the_kernel_ignores_is_not_looked_up() {
    let task = arguments("ignored_fd");
    let rows = task.rows(
        "path, inode is not null as has_inode, fd is not null as has_fd",
        "syscall = 'mmap' and arg1 in (12288, 4096) and arg4 > 2",
    );
    assert_eq!(
        rows,
        [
            json!({"has_inode": false, "has_fd": false}),
            json!({"path": "/etc/passwd", "has_inode": true, "has_fd": true}),
        ]
    );
    let rows = task.rows("path, fd", "syscall = 'io_uring_enter'");
    assert_eq!(rows, [json!({})]);
    let maps = task.select("path", "files", "operation = 'map' and comm = 'arguments'");
    assert_eq!(maps, [json!({"path": "/etc/passwd"})]);
}

#[test]
fn a_check_of_an_exec_is_no_exec() {
    let task = arguments("check_only");
    let rows = task.rows("error, path", "syscall = 'execveat'");
    if task.container.stdout != "still here\n" {
        assert_eq!(rows, [json!({"error": "EINVAL", "path": "/bin/busybox"})]);
        return;
    }
    assert_eq!(rows, [json!({"path": "/bin/busybox"})]);
    assert_eq!(
        task.select("operation", "files", "syscall = 'execveat'"),
        [json!({"operation": "stat"})]
    );
    assert_eq!(
        task.select("exe, argv", "processes", "comm = 'arguments'"),
        [json!({"exe": "/bin/arguments", "argv": "arguments check_only"})]
    );
}

#[test]
fn an_fd_in_an_ioctl_is_the_second_path() {
    let rows =
        arguments("fd_in_ioctl").rows("path, path2", "syscall = 'ioctl' and path is not null");
    let row = json!({"path": "/tmp/clone", "path2": "/etc/motd"});
    assert_eq!(rows, [row.clone(), row]);
}

#[test]
fn a_path_below_another_root_is_null_if_it_was_not_opened() {
    let rows = arguments("other_root").rows("error, path, path_arg", "syscall = 'openat2'");
    assert_eq!(
        rows,
        [json!({"error": "ENOENT", "path_arg": "/etc/passwd"})]
    );
}

#[test]
fn the_index_of_a_registered_ring_is_no_fd() {
    let task = arguments("registered_ring");
    let rows = task.rows("ret, path, fd, inode", "syscall = 'io_uring_setup'");
    let ret: i64 = task.container.stdout.trim().parse().unwrap();
    if ret < 0 {
        assert_eq!(rows.len(), 1, "before Linux 6.5 the call fails");
        return;
    }
    assert_eq!(rows, [json!({"ret": ret})]);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn arguments_in_memory_that_cannot_be_read_are_read_at_the_return_or_null() {
    let rows = arguments("unread_arguments").rows(
        "syscall, error, fd > 2 as has_fd, arg0 > 2 as has_arg, arg1, arg2, path, family, peer_port",
        "compat",
    );
    assert_eq!(
        rows,
        [
            json!({"syscall": "connect", "has_fd": true, "has_arg": true, "arg2": 16, "family": "inet", "peer_port": 7015}),
            json!({"syscall": "shutdown", "error": "EFAULT"}),
        ]
    );
}

#[test]
fn a_namespace_has_the_name_that_proc_shows() {
    let task = Task::record("arguments", "namespaces", MAY_MOUNT);
    let shown = task.container.stdout.trim();
    let rows = task.rows("path", "syscall = 'setns'");
    assert_eq!(rows, [json!({"path": "/tmp/blue"}), json!({"path": shown})]);
    let rows = task.rows("path", "path like '%:[%' and syscall like 'open%'");
    assert_eq!(rows, [json!({"path": shown})]);
}

#[test]
fn a_file_of_a_mount_in_no_namespace_has_no_path() {
    let task = Task::record("arguments", "detached", MAY_MOUNT);
    let rows = task.rows(
        "syscall, path, path_arg, inode is not null as has_inode",
        "path_arg = 'sys/kernel/hostname' or syscall in ('pread64', 'fstat', 'newfstatat') and (path_arg is null or path_arg = '') \
         or bytes in (31, 32)",
    );
    let named: Vec<_> = rows.iter().filter(|r| r["path"] != Value::Null).collect();
    assert_eq!(rows.len(), 5, "{rows:?}");
    assert!(rows.iter().all(|r| r["has_inode"] == true), "{rows:?}");
    assert_eq!(named.len(), 1, "{named:?}");
    assert_eq!(named[0]["path"], "/tmp/mounted/file");
}

/// A file system on a loop device, which is unmounted when this value is dropped.
struct Disk<'a>(&'a Path);

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_file_that_was_opened_by_its_handle_has_no_path_until_one_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let (image, mounted) = (dir.path().join("image"), dir.path().join("disk"));
    std::fs::create_dir(&mounted).unwrap();
    run(Command::new("truncate").args(["-s", "16M"]).arg(&image));
    run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image));
    run(Command::new("mount")
        .args(["-o", "loop"])
        .arg(&image)
        .arg(&mounted));
    let _disk = Disk(&mounted);
    std::fs::create_dir_all(mounted.join("d/e")).unwrap();
    std::fs::write(mounted.join("d/e/secret"), [b'x'; 30]).unwrap();
    let volume = format!("--volume={}:/disk", mounted.display());
    let container = Task::container("arguments", &["--cap-add=DAC_READ_SEARCH", &volume]);
    let recorder = Recorder::start(&["--container", container.name()]);
    let mut running = container.start(&["arguments", "handle"]);
    assert_eq!(running.line(), "ready");
    run(Command::new("sync").args(["-f"]).arg(&mounted));
    // Directory entries and inodes that are not in use.
    std::fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
    running.write("go");
    let ended = running.finish();
    let task = Task::of("arguments", recorder.stop(), ended);
    let rows = task.rows(
        "syscall, path, dev is not null and inode is not null as has_file",
        "syscall = 'open_by_handle_at' or bytes = 30",
    );
    assert_eq!(
        rows,
        [
            json!({"syscall": "open_by_handle_at", "has_file": true}),
            json!({"syscall": "pread64", "has_file": true}),
        ]
    );
}
