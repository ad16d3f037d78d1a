//! Attempts of users and containers against a recorder of root, and the rights that the recorder keeps.

use crate::support::command::succeeds;
use crate::support::containers::{Container, Runtime};
use crate::support::dump::dump;
use crate::support::programs::ctrace_rec;
use crate::support::query::query;
use crate::support::recorder::Recorder;
use crate::support::refusal::refused;
use crate::support::root::require_root;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The user `nobody`.
const NOBODY: u32 = 65534;

fn as_nobody(script: &str) -> Output {
    let mut command = Command::new("setpriv");
    let user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    command
        .args(user)
        .args(["sh", "-c", script])
        .output()
        .unwrap()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn no_other_user_and_no_container_reaches_the_socket_of_dump() {
    require_root();
    let recorder = Recorder::start(&["--ring", "1m", "--after", "0s"]);
    let socket = format!("/run/ctrace/{}.sock", recorder.pid());
    assert_eq!(mode(Path::new(&socket)), 0o600);
    assert_eq!(mode(Path::new("/run/ctrace")), 0o700);
    let connect = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])";
    let tried = as_nobody(&format!("python3 -c '{connect}' {socket}"));
    let error = String::from_utf8(tried.stderr).unwrap();
    assert!(error.contains("PermissionError"), "{error}");
    // There is no name that a container with the network of the host could use.
    let names = fs::read_to_string("/proc/net/unix").unwrap();
    assert!(!names.contains("@ctrace"), "{names}");
    let path = dump(recorder.pid());
    let sql = "select value from meta where key = 'ctrace.dump'";
    let by = query(&path, sql)[0]["value"].to_string();
    assert!(
        by.contains(r#"\"uid\":0"#) && by.contains(r#"\"pid\":"#),
        "{by}"
    );
    assert_eq!(mode(&path), 0o600);
    assert_eq!(recorder.stop().code, 0);
    assert!(!Path::new(&socket).exists());
}

#[test]
fn the_socket_of_a_killed_recorder_is_removed_by_the_next_one() {
    require_root();
    let recorder = Recorder::start(&["--ring", "1m"]);
    let socket = format!("/run/ctrace/{}.sock", recorder.pid());
    recorder.kill();
    assert!(Path::new(&socket).exists());
    let next = Recorder::start(&["--ring", "1m"]);
    assert!(!Path::new(&socket).exists());
    next.stop();
}

/// A cgroup in the hierarchy that the recorder reads, which is removed with its parents when this value is dropped.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(path: &str) -> Cgroup {
        let pids = Path::new("/sys/fs/cgroup/pids");
        let root = match pids.exists() {
            true => pids,
            false => Path::new("/sys/fs/cgroup"),
        };
        let path = root.join(path);
        fs::create_dir_all(&path).unwrap();
        Cgroup(path)
    }

    /// Runs a command in the cgroup.
    fn run(&self, args: &[&str]) {
        let enter = format!("echo $$ > {}/cgroup.procs; exec \"$@\"", self.0.display());
        succeeds(Command::new("sh").args(["-c", &enter, "sh"]).args(args));
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let parents = self.0.ancestors().take(3);
        parents
            .take_while(|path| fs::remove_dir(path).is_ok())
            .count();
    }
}

#[test]
fn a_second_cgroup_with_the_id_of_a_container_is_not_that_container() {
    require_root();
    let id = format!("{:0>64x}", std::process::id());
    let slice = "user.slice/user-65534.slice";
    let victim = Cgroup::new(&format!("docker/{id}"));
    let recorder = Recorder::start(&[]);
    victim.run(&["cat", "/etc/hostname"]);
    let theirs = Cgroup::new(&format!("{slice}/docker-{id}.scope"));
    let machine = Cgroup::new(&format!("{slice}/machine-innocent.scope"));
    for cgroup in [&theirs, &machine, &victim] {
        cgroup.run(&["cat", "/etc/hostname"]);
    }
    // Longer than a name could arrive late.
    std::thread::sleep(std::time::Duration::from_secs(1));
    victim.run(&["cat", "/etc/hostname"]);
    drop((theirs, machine));
    let recording = recorder.stop();
    let sql = format!(
        "select container, count(*) as execs from events where container_id = '{id}' and syscall = 'execve' and ret = 0 group by 1"
    );
    let rows = recording.query(&sql);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["container"], id[..12], "{rows:?}");
    // The shell executes cat, and is executed before it enters the cgroup.
    assert_eq!(rows[0]["execs"], 3, "{rows:?}");
    for name in [
        format!("docker-{id}.scope"),
        "machine-innocent.scope".to_string(),
    ] {
        let own = format!("/{slice}/{name}");
        let sql = format!(
            "select count(*) from events where container = '{own}' and syscall = 'execve' and ret = 0"
        );
        assert_eq!(recording.count(&sql), 1, "{own}");
    }
}

#[test]
fn state_of_a_user_that_is_linked_or_large_does_not_occupy_the_recorder() {
    require_root();
    let uid = 65_533;
    let runtime = PathBuf::from(format!("/run/user/{uid}"));
    let state = runtime.join("runc");
    fs::create_dir_all(&state).unwrap();
    let large = runtime.join("large");
    fs::write(&large, vec![b' '; 4_000_000]).unwrap();
    chown(&large, Some(uid), None).unwrap();
    for n in 0..1000 {
        let container = state.join(n.to_string());
        fs::create_dir_all(&container).unwrap();
        fs::hard_link(&large, container.join("state.json")).unwrap();
    }
    let recorder = Recorder::start(&[]);
    let read_bytes = || {
        let io = fs::read_to_string(format!("/proc/{}/io", recorder.pid())).unwrap();
        let line = io.lines().find_map(|line| line.strip_prefix("rchar: "));
        line.unwrap().parse::<u64>().unwrap()
    };
    let before = read_bytes();
    let cgroup = Cgroup::new(&format!("user.slice/user-{uid}.slice/undecided"));
    std::thread::sleep(std::time::Duration::from_secs(3));
    let read = read_bytes() - before;
    drop(cgroup);
    fs::remove_dir_all(&runtime).unwrap();
    assert!(read < 50_000_000, "{read} bytes");
    assert_eq!(recorder.stop().code, 0);
}

#[test]
fn a_command_that_cannot_start_leaves_the_old_recording() {
    require_root();
    for name in ["run.parquet", "run.sqlite"] {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join(name);
        let raw = dir.path().join("run.raw");
        let journal = dir.path().join("run.parquet.journal");
        for old in [&out, &raw, &journal] {
            fs::write(old, "an old recording").unwrap();
        }
        let script = dir.path().join("script");
        fs::write(&script, "#!/no/such/interpreter\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        for command in ["nosuchcommand", script.to_str().unwrap(), "/etc/passwd"] {
            let mut recorder = ctrace_rec();
            recorder.arg("--out").arg(&out).arg("--raw").arg(&raw);
            let message = refused(recorder.args(["--quiet", "--force", "--", command]));
            assert!(
                message.contains(&format!("cannot run `{command}`")),
                "{message}"
            );
            let kept = [&out, &raw, &journal];
            for old in kept
                .into_iter()
                .filter(|old| name == "run.parquet" || *old != &journal)
            {
                assert_eq!(fs::read(old).unwrap(), b"an old recording", "{old:?}");
            }
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4);
        }
    }
}

#[test]
fn what_another_user_has_laid_is_neither_written_nor_trusted() {
    require_root();
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let short = ["--quiet", "--duration", "1s", "--out"];
    // Files of nobody, in a directory of nobody.
    let theirs = dir.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    chown(&theirs, Some(NOBODY), Some(NOBODY)).unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, "precious").unwrap();
    let (out, raw) = (theirs.join("run.parquet"), theirs.join("run.raw"));
    let partial = theirs.join(".run.parquet.partial");
    fs::write(&partial, "").unwrap();
    fs::set_permissions(&partial, fs::Permissions::from_mode(0o666)).unwrap();
    chown(&partial, Some(NOBODY), Some(NOBODY)).unwrap();
    symlink(&secret, &raw).unwrap();
    symlink(&secret, theirs.join("run.parquet.journal")).unwrap();
    let mut command = ctrace_rec();
    command
        .args(short)
        .arg(&out)
        .arg("--force")
        .arg("--raw")
        .arg(&raw);
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("belongs to the user 65534"), "{stderr}");
    assert_eq!(fs::read(&secret).unwrap(), b"precious");
    for file in [&out, &raw] {
        let metadata = file.symlink_metadata().unwrap();
        assert!(metadata.is_file() && metadata.uid() == 0 && mode(file) == 0o600);
    }
    // A directory of nobody is no place for segments, nor is one that nobody has made in a directory of root.
    let message = refused(
        ctrace_rec()
            .args(short)
            .arg(format!("{}/", theirs.display())),
    );
    assert!(message.contains("belongs to the user 65534"), "{message}");
    let out = dir.path().join("out/");
    assert!(
        ctrace_rec()
            .args(short)
            .arg(&out)
            .status()
            .unwrap()
            .success()
    );
    let node = fs::read_dir(&out).unwrap().next().unwrap().unwrap().path();
    chown(&node, Some(NOBODY), Some(NOBODY)).unwrap();
    let message = refused(ctrace_rec().args(short).arg(&out));
    assert!(
        message.contains("is not a directory of this user"),
        "{message}"
    );
}

#[test]
fn the_recorder_keeps_the_rights_that_it_needs() {
    require_root();
    let recorder = Recorder::start(&[]);
    let read = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", recorder.pid())).unwrap();
    let tasks = fs::read_dir(format!("/proc/{}/task", recorder.pid())).unwrap();
    let tasks: Vec<_> = tasks
        .map(|task| task.unwrap().path().join("status"))
        .collect();
    assert!(tasks.len() > 1);
    for status in tasks.iter().map(|task| fs::read_to_string(task).unwrap()) {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
        };
        // dac_override, dac_read_search, sys_ptrace, sys_resource, perfmon, bpf
        let kept = [1, 2, 19, 24, 38, 39]
            .iter()
            .fold(0, |kept, bit| kept | 1u64 << bit);
        for set in ["CapEff:", "CapPrm:", "CapBnd:"] {
            assert_eq!(field(set) & !kept, 0, "{status}");
        }
        assert_eq!(field("NoNewPrivs:"), 1);
    }
    let limits = read("limits");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    assert_eq!(
        core.unwrap().split_whitespace().nth(4),
        Some("0"),
        "{limits}"
    );
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let files: Vec<&str> = files.unwrap().split_whitespace().collect();
    assert_eq!(files[3], files[4], "{limits}");
    // It works with these rights.
    Container::new(Runtime::Runc, "rights").run(&["cat", "/etc/hostname"]);
    let recording = recorder.stop();
    let sql = "select count(*) from events where path like '%/etc/hostname'";
    assert!(recording.count(sql) > 0);
}

#[test]
fn a_command_has_the_rights_of_the_shell() {
    require_root();
    let limit = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let is_right = |line: &&str| line.starts_with("Cap") || line.starts_with("NoNewPrivs");
        status
            .lines()
            .filter(is_right)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let dir = tempfile::tempdir().unwrap();
    let mut command = ctrace_rec();
    command
        .args(["--quiet", "--out"])
        .arg(dir.path().join("run.parquet"));
    let shell = "ulimit -n; grep -e ^Cap -e ^NoNewPrivs /proc/self/status";
    let output = command.args(["--", "sh", "-c", shell]).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let own = Command::new("sh").args(["-c", shell]).output().unwrap();
    assert_eq!(stdout, String::from_utf8(own.stdout).unwrap());
    assert!(stdout.contains(&limit()), "{stdout}");
}
