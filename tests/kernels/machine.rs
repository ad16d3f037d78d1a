//! A virtual machine that boots one kernel, records what it was told to run, and gives back what everybody wrote.

use crate::common::{image, output, run};
use std::fmt::Write;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{PermissionsExt, symlink};
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

/// The id of the container of the workload with this name, as a runtime would have made it.
pub fn container_id(name: &str) -> String {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    format!("{:016x}", hasher.finish()).repeat(4)
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

    /// Unpacks what the machine sent.
    fn unpack(&self, series: &str) {
        let out = self.path("");
        fs::create_dir(&out).unwrap();
        let tar = output(
            Command::new("tar")
                .arg("-xzf")
                .arg(self.0.path().join("archive"))
                .arg("-C")
                .arg(out),
        );
        assert!(
            tar.status.success(),
            "Linux {series} sent no whole archive: {}\n{}",
            String::from_utf8_lossy(&tar.stderr),
            self.console()
        );
    }

    /// What the kernel, and processes that write there, said on its console.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.0.path().join("console")).unwrap()).into_owned()
    }
}

/// What a machine has: the test image, the recorder, and what is added.
pub struct Root(TempDir);

impl Root {
    /// With the recorder at this path, and the workloads for the scripts to run.
    pub fn new(recorder: &str, workloads: &[Workload]) -> Root {
        let root = Root(tempfile::tempdir().unwrap());
        run(Command::new("cp")
            .arg("-a")
            .arg(image::rootfs())
            .arg(root.path("/")));
        for name in ["/new", "/run", "/usr/bin", "/usr/lib", "/usr/lib64"] {
            fs::create_dir_all(root.path(name)).unwrap();
        }
        // As on the machine that the libraries are from.
        for name in ["lib", "lib64"] {
            symlink(Path::new("usr").join(name), root.path(&format!("/{name}"))).unwrap();
        }
        root.program(Path::new(env!("CARGO_BIN_EXE_ctrace-rec")), recorder);
        for (script, path) in [
            ("init.sh", "/init"),
            ("runtime.sh", "/usr/bin/runc"),
            ("finish.sh", "/usr/bin/finish"),
        ] {
            root.script(script, path);
        }
        let mut cases = String::new();
        for workload in workloads {
            let (name, command) = (workload.name, &workload.command);
            let id = container_id(name);
            writeln!(cases, "{name} {id} {command}").unwrap();
        }
        root.text("/cases", &cases);
        root
    }

    /// Where a path of the machine is here.
    pub fn path(&self, path: &str) -> PathBuf {
        self.0.path().join("root").join(&path[1..])
    }

    /// Puts a file there.
    pub fn text(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Puts one of the scripts there.
    pub fn script(&self, name: &str, path: &str) {
        let path = self.path(path);
        fs::copy(Path::new(SCRIPTS).join(name), &path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Puts a program of this machine there, and the libraries that it is linked with where it looks for them.
    pub fn program(&self, program: &Path, path: &str) {
        let ldd = output(Command::new("ldd").arg(program));
        let text = String::from_utf8(ldd.stdout).unwrap();
        for library in text.split_whitespace().filter(|word| word.starts_with('/')) {
            let to = self.path(library);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(library, to).unwrap();
        }
        let to = self.path(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        run(Command::new("strip").arg("-o").arg(to).arg(program));
    }

    /// Boots Debian's kernel of the series, such as `6.1`, and waits until the machine has finished.
    pub fn boot(self, series: &str) -> Outcome {
        let kernel = Path::new(CACHE).join(series);
        run(Command::new(Path::new(SCRIPTS).join("fetch.sh"))
            .arg(series)
            .arg(&kernel));
        let script = "find . -print0 | cpio --null --create --quiet --format=newc";
        let dir = self.0;
        run(Command::new("sh")
            .args(["-euc", script])
            .current_dir(dir.path().join("root"))
            .stdout(File::create(dir.path().join("initrd")).unwrap()));
        let status = output(&mut qemu(&kernel, dir.path())).status;
        let outcome = Outcome(dir);
        assert!(
            status.success(),
            "Linux {series}: {status}\n{}\n{}",
            fs::read_to_string(outcome.0.path().join("qemu")).unwrap(),
            outcome.console()
        );
        outcome.unpack(series);
        outcome
    }
}

/// The machine with this kernel, which reads and writes in the directory.
fn qemu(kernel: &Path, dir: &Path) -> Command {
    // A processor in software, so that it runs where no KVM is. No network: the machine has none to be reached by.
    let mut qemu = Command::new("timeout");
    // One of them: with more, the kernel's patching of its own code is not emulated faithfully.
    qemu.args(["280", "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max"])
        .args(["-m", "1024", "-smp", "1", "-nic", "none"])
        .args(["-display", "none", "-no-reboot"])
        .arg("-serial")
        .arg(format!("file:{}", dir.join("console").display()))
        .arg("-serial")
        .arg(format!("file:{}", dir.join("archive").display()))
        .arg("-kernel")
        .arg(kernel.join("vmlinuz"))
        .arg("-initrd")
        .arg(dir.join("initrd"))
        // A busy host ticks too late for the kernel's check of its timer.
        .args(["-append", "console=ttyS0 quiet panic=-1 no_timer_check"])
        .stdin(Stdio::null())
        .stderr(File::create(dir.join("qemu")).unwrap());
    qemu
}
