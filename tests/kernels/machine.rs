//! A virtual machine that boots one kernel, records what it was told to run, and gives back what everybody wrote.

use crate::common::{image, output, run};
use std::fmt::Write;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Outside the checkout, so that a kernel is fetched once.
const CACHE: &str = "/var/cache/ctrace-tests/kernels";

/// Where the scripts are.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernels");

/// Something to run in the machine, in a container of its own.
pub struct Workload {
    /// Its name: of the directory that its output goes to.
    pub name: &'static str,
    /// The command, split at blanks.
    pub command: String,
}

impl Workload {
    /// The id of its container, as a runtime would have made it.
    pub fn id(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.name.hash(&mut hasher);
        format!("{:016x}", hasher.finish()).repeat(4)
    }
}

/// What came out of the machine.
pub struct Outcome(TempDir);

impl Outcome {
    /// The path of a file that was written in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("out").join(name)
    }

    /// The text of a file that was written in it.
    pub fn text(&self, name: &str) -> String {
        let path = self.path(name);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}\n{}", self.console()))
    }

    fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.0.path().join("console")).unwrap()).into_owned()
    }
}

/// Boots Debian's kernel of the series, such as `6.1`, and runs the workloads one after the other.
pub fn boot(series: &str, workloads: &[Workload]) -> Outcome {
    let kernel = Path::new(CACHE).join(series);
    run(Command::new(Path::new(SCRIPTS).join("fetch.sh"))
        .arg(series)
        .arg(&kernel));
    let dir = tempfile::tempdir().unwrap();
    let initrd = initrd(dir.path(), workloads);
    let file = |name: &str| File::create(dir.path().join(name)).unwrap();
    // A processor in software, so that it runs where no KVM is. No network: the machine has none to be reached by.
    let mut qemu = Command::new("timeout");
    // One of them: with more, the kernel's patching of its own code is not emulated faithfully.
    qemu.args(["280", "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max"])
        .args(["-m", "1024", "-smp", "1", "-nic", "none"])
        .args(["-display", "none", "-no-reboot"])
        .arg("-serial")
        .arg(format!("file:{}", dir.path().join("console").display()))
        .arg("-serial")
        .arg(format!("file:{}", dir.path().join("archive").display()))
        .arg("-kernel")
        .arg(kernel.join("vmlinuz"))
        .arg("-initrd")
        .arg(initrd)
        // A busy host ticks too late for the kernel's check of its timer.
        .args(["-append", "console=ttyS0 quiet panic=-1 no_timer_check"])
        .stdin(Stdio::null())
        .stderr(file("qemu"));
    let status = output(&mut qemu).status;
    let outcome = Outcome(dir);
    assert!(
        status.success(),
        "Linux {series}: {status}\n{}\n{}",
        fs::read_to_string(outcome.0.path().join("qemu")).unwrap(),
        outcome.console()
    );
    let out = outcome.0.path().join("out");
    fs::create_dir(&out).unwrap();
    let tar = output(
        Command::new("tar")
            .arg("-xzf")
            .arg(outcome.0.path().join("archive"))
            .arg("-C")
            .arg(out),
    );
    assert!(
        tar.status.success(),
        "Linux {series} sent no whole archive: {}\n{}",
        String::from_utf8_lossy(&tar.stderr),
        outcome.console()
    );
    outcome
}

/// Builds what the machine runs: the test image, the recorder, strace, and the scripts.
fn initrd(dir: &Path, workloads: &[Workload]) -> PathBuf {
    let root = dir.join("root");
    run(Command::new("cp").arg("-a").arg(image::rootfs()).arg(&root));
    for name in ["new", "run", "usr/bin"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    let recorder = Path::new(env!("CARGO_BIN_EXE_ctrace-rec"));
    libraries(recorder, &root);
    run(Command::new("strip")
        .arg("-o")
        .arg(root.join("usr/bin/ctrace-rec"))
        .arg(recorder));
    let strace = Path::new("/usr/bin/strace");
    libraries(strace, &root);
    fs::copy(strace, root.join("usr/bin/strace")).unwrap();
    for (script, path) in [("init.sh", "init"), ("runtime.sh", "usr/bin/runc")] {
        let path = root.join(path);
        fs::copy(Path::new(SCRIPTS).join(script), &path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut cases = String::new();
    for workload in workloads {
        let (name, id, command) = (workload.name, workload.id(), &workload.command);
        writeln!(cases, "{name} {id} {command}").unwrap();
    }
    fs::write(root.join("cases"), cases).unwrap();
    let initrd = dir.join("initrd");
    let script = "find . -print0 | cpio --null --create --quiet --format=newc";
    run(Command::new("sh")
        .args(["-euc", script])
        .current_dir(&root)
        .stdout(File::create(&initrd).unwrap()));
    initrd
}

/// Copies the libraries that a program is linked with to where it looks for them.
fn libraries(program: &Path, root: &Path) {
    let ldd = output(Command::new("ldd").arg(program));
    let text = String::from_utf8(ldd.stdout).unwrap();
    for library in text.split_whitespace().filter(|word| word.starts_with('/')) {
        let to = root.join(&library[1..]);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(library, to).unwrap();
    }
}
