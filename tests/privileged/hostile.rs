//! Attempts of users and containers against a recorder of root.

use crate::support::command::succeeds;
use crate::support::dump::dump;
use crate::support::programs::ctrace_rec;
use crate::support::query::query;
use crate::support::recorder::{MEMORY, Recorder};
use crate::support::refusal::refused;
use crate::support::root::require_root;
use crate::support::wait::wait_for;
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
    // Somebody else has made the directory, for all to enter.
    fs::create_dir_all("/run/ctrace").unwrap();
    fs::set_permissions("/run/ctrace", fs::Permissions::from_mode(0o755)).unwrap();
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

/// Returns the number of bytes that a recorder has read from files and sockets.
fn read_bytes(recorder: &Recorder) -> u64 {
    let io = fs::read_to_string(format!("/proc/{}/io", recorder.pid())).unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("rchar: "));
    line.unwrap().parse().unwrap()
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
    let before = read_bytes(&recorder);
    let cgroup = Cgroup::new(&format!("user.slice/user-{uid}.slice/undecided"));
    std::thread::sleep(std::time::Duration::from_secs(3));
    let read = read_bytes(&recorder) - before;
    drop(cgroup);
    fs::remove_dir_all(&runtime).unwrap();
    assert!(read < 50_000_000, "{read} bytes");
    assert_eq!(recorder.stop().code, 0);
}

#[test]
fn large_configurations_of_a_user_do_not_occupy_the_recorder() {
    require_root();
    let uid = 65_532;
    let runtime = PathBuf::from(format!("/run/user/{uid}"));
    let crun = runtime.join("crun");
    let ids: Vec<String> = (0..30).map(|n| format!("{n:0>64x}")).collect();
    let config = vec![b' '; 3_000_000];
    for id in &ids {
        let container = crun.join(id);
        fs::create_dir_all(&container).unwrap();
        fs::write(container.join("status"), r#"{"cgroup-path":"/x"}"#).unwrap();
        fs::write(container.join("config.json"), &config).unwrap();
    }
    let recorder = Recorder::start(&[]);
    let before = read_bytes(&recorder);
    let slice = format!("user.slice/user-{uid}.slice");
    for _ in 0..3 {
        let scopes = ids.iter().map(|id| format!("{slice}/crun-{id}.scope"));
        let cgroups: Vec<Cgroup> = scopes.map(|scope| Cgroup::new(&scope)).collect();
        std::thread::sleep(std::time::Duration::from_secs(1));
        drop(cgroups);
    }
    let read = read_bytes(&recorder) - before;
    fs::remove_dir_all(&runtime).unwrap();
    // Three times 30 files of 3 MB, without a limit.
    assert!(read < 100_000_000, "{read} bytes");
    assert_eq!(recorder.stop().code, 0);
}

#[test]
fn lists_of_a_million_items_in_a_configuration_take_no_memory() {
    require_root();
    let uid = 65_531;
    let runtime = PathBuf::from(format!("/run/user/{uid}"));
    let many = |item: &str| vec![item; 1_300_000].join(",");
    // Each file has at most 4 MiB, as much as is read.
    let configs = [
        format!(r#"{{"mounts":[{}]}}"#, many("{}")),
        format!(r#"{{"mounts":[{{"options":[{}]}}]}}"#, many(r#""""#)),
        format!(
            r#"{{"linux":{{"resources":{{"devices":[{}]}}}}}}"#,
            many("{}")
        ),
        "[".repeat(1_300_000),
    ];
    let recorder = Recorder::start(&[]);
    for (n, config) in configs.iter().enumerate() {
        let id = format!("{n:0>64x}");
        let container = runtime.join("crun").join(&id);
        fs::create_dir_all(&container).unwrap();
        fs::write(container.join("status"), r#"{"cgroup-path":"/x"}"#).unwrap();
        fs::write(container.join("config.json"), config).unwrap();
        let before = read_bytes(&recorder);
        let scope = format!("user.slice/user-{uid}.slice/crun-{id}.scope");
        let cgroup = Cgroup::new(&scope);
        wait_for("the recorder reads the configuration", || {
            (read_bytes(&recorder) - before > config.len() as u64).then_some(())
        });
        drop(cgroup);
        // Of a user's files, 8 MiB are read in a second.
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    fs::remove_dir_all(&runtime).unwrap();
    assert_eq!(recorder.stop_within(MEMORY).code, 0);
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
