//! A virtual machine that boots one kernel, records workloads, and returns the output of all programs.

use crate::support::command::{output, run};
use crate::support::image;
use crate::support::programs::ctrace_rec;
use std::fmt::Write;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The directory of the kernels, outside the checkout so that each kernel is fetched once.
const CACHE: &str = "/var/cache/ctrace-tests/kernels";

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scripts");

/// A command to run in the machine, in a container of its own.
pub(crate) struct Workload {
    /// The name of the workload, and of the directory for its output.
    pub(crate) name: &'static str,
    /// The command; blanks separate its arguments.
    pub(crate) command: String,
}

/// Returns the id of the container of a workload, in the form of a runtime's id.
pub(crate) fn container_id(name: &str) -> String {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    format!("{:016x}", hasher.finish()).repeat(4)
}

/// The output of the machine.
pub(crate) struct Outcome(TempDir);

impl Outcome {
    /// Returns the path of a file that the machine wrote.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("out").join(name)
    }

    /// Returns the text of a file that the machine wrote.
    pub(crate) fn text(&self, name: &str) -> String {
        let path = self.path(name);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}\n{}", self.console()))
    }

    /// Unpacks the archive that the machine sent.
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
            "Linux {series} sent no complete archive: {}\n{}",
            String::from_utf8_lossy(&tar.stderr),
            self.console()
        );
    }

    /// Returns the output on the console, by the kernel and by processes.
    fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.0.path().join("console")).unwrap()).into_owned()
    }
}

/// The root filesystem of a machine: the test image, the recorder, and additional files.
pub(crate) struct Root(TempDir);

impl Root {
    /// Creates a root with the recorder at the path `recorder`, and with the list of workloads for the scripts.
    pub(crate) fn new(recorder: &str, workloads: &[Workload]) -> Root {
        let root = Root(tempfile::tempdir().unwrap());
        run(Command::new("cp")
            .arg("-a")
            .arg(image::rootfs())
            .arg(root.path("/")));
        for name in ["/new", "/run", "/usr/bin", "/usr/lib", "/usr/lib64"] {
            fs::create_dir_all(root.path(name)).unwrap();
        }
        // The libraries are found as on this machine.
        for name in ["lib", "lib64"] {
            symlink(Path::new("usr").join(name), root.path(&format!("/{name}"))).unwrap();
        }
        root.program(Path::new(ctrace_rec().get_program()), recorder);
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

    /// Returns the path on this machine of a path in the virtual machine.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.0.path().join("root").join(&path[1..])
    }

    /// Writes a file.
    pub(crate) fn text(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Copies one of the scripts of `tests/scripts/machine/`.
    pub(crate) fn script(&self, name: &str, path: &str) {
        let path = self.path(path);
        fs::copy(Path::new(SCRIPTS).join("machine").join(name), &path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Copies a program of this machine, and the libraries that it is linked with.
    pub(crate) fn program(&self, program: &Path, path: &str) {
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

    /// Boots Debian's kernel of a series such as `6.1`, and waits until the machine has finished.
    pub(crate) fn boot(self, series: &str) -> Outcome {
        let kernel = Path::new(CACHE).join(series);
        run(Command::new(Path::new(SCRIPTS).join("fetch-kernel.sh"))
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

/// Creates the command that runs QEMU with the kernel of one directory, and with its other files in `dir`.
fn qemu(kernel: &Path, dir: &Path) -> Command {
    // An emulated processor, so that the test works without KVM. The machine has no network.
    let mut qemu = Command::new("timeout");
    // One processor: with more, the kernel's patching of its own code is not emulated correctly.
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
        // On a busy host the timer interrupts come too late for the kernel's check of its timer.
        .args(["-append", "console=ttyS0 quiet panic=-1 no_timer_check"])
        .stdin(Stdio::null())
        .stderr(File::create(dir.join("qemu")).unwrap());
    qemu
}
