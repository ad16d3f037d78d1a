//! The images, run by podman: the query program as a user without rights and without a network, and the recorder with the rights
//! that its pod has in Kubernetes.

use crate::made::{ROOT, packaging, staged};
use crate::support::command::{output, run, succeeds};
use crate::support::root::require_root;
use std::path::Path;
use std::process::Command;

/// Creates the command `podman SUBCOMMAND`. Its default runtime does not support every cgroup layout, and its default limits may
/// exceed those of the machine.
fn podman(subcommand: &str) -> Command {
    let mut command = Command::new("podman");
    command.args(["--runtime", "runc", subcommand]);
    if subcommand == "run" {
        command.args(["--rm", "--network", "none", "--read-only"]);
        command.args([
            "--ulimit",
            "nofile=1024:1024",
            "--ulimit",
            "nproc=1000:1000",
        ]);
    }
    command
}

/// An image that has been loaded, under a name of its own, until this value is dropped.
struct Image(String);

impl Image {
    fn load(dir: &Path, program: &str) -> Image {
        let version = env!("CARGO_PKG_VERSION");
        let arch = std::env::consts::ARCH;
        let archive = dir.join(format!("{program}-{version}-{arch}.oci.tar"));
        let name = format!("localhost/{program}-tested-{}", std::process::id());
        run(Command::new("skopeo")
            .arg("copy")
            .arg("--quiet")
            .arg(format!("oci-archive:{}", archive.display()))
            .arg(format!("containers-storage:{name}")));
        Image(name)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        output(podman("rmi").arg("--force").arg(&self.0));
    }
}

#[test]
fn images_run_and_are_the_same_when_made_again() {
    require_root();
    let dir = tempfile::tempdir().unwrap();
    let digests = run(packaging("image.sh").arg(staged()).arg(dir.path()));
    assert_eq!(digests.matches("sha256:").count(), 2, "{digests}");
    let again = tempfile::tempdir().unwrap();
    assert_eq!(
        run(packaging("image.sh").arg(staged()).arg(again.path())),
        digests
    );
    run(Command::new("diff")
        .arg("-r")
        .arg(dir.path())
        .arg(again.path()));

    let recorder = Image::load(dir.path(), "ctrace-rec");
    let query = Image::load(dir.path(), "ctrace-query");
    check_labels(&recorder, "ctrace-rec");
    check_labels(&query, "ctrace-query");
    record(&recorder, &query, dir.path());
    ask(&query);
}

/// Checks the labels of an image, and that it has its licences and its bill of materials.
fn check_labels(image: &Image, program: &str) {
    let label = |name: &str| {
        let format = format!("{{{{index .Labels \"org.opencontainers.image.{name}\"}}}}");
        run(podman("inspect").args(["--format", &format]).arg(&image.0))
    };
    assert_eq!(label("title").trim(), program);
    assert_eq!(label("version").trim(), env!("CARGO_PKG_VERSION"));
    assert!(label("licenses").contains("Apache-2.0"));
    let archive = succeeds(Command::new("sh").args([
        "-c",
        "podman image save \"$1\" | tar -xO --wildcards '*.tar' | tar -t",
        "sh",
        &image.0,
    ]));
    let files = String::from_utf8(archive.stdout).unwrap();
    for file in ["LICENSE", "THIRD-PARTY-LICENSES", "sbom.cdx.json"] {
        let path = format!("usr/share/doc/{program}/{file}");
        assert!(
            files.lines().any(|line| line.ends_with(&path)),
            "{path}: {files}"
        );
    }
}

/// Records a container, with the capabilities, the mounts and the profile of the pod in packaging/kubernetes/base.
fn record(recorder: &Image, query: &Image, dir: &Path) {
    let out = dir.join("recordings");
    std::fs::create_dir_all(&out).unwrap();
    std::fs::create_dir_all("/run/ctrace").unwrap();
    let name = format!("packages-{}", std::process::id());
    let mut command = podman("run");
    command
        .args([
            "--pid",
            "host",
            "--cap-drop",
            "ALL",
            "--cap-add",
            "BPF,PERFMON,DAC_READ_SEARCH",
        ])
        .args([
            "--security-opt",
            "seccomp=unconfined",
            "--security-opt",
            "no-new-privileges",
        ])
        .args([
            "--volume",
            "/sys/fs/cgroup:/sys/fs/cgroup:ro",
            "--volume",
            "/run:/run:ro",
        ])
        .args([
            "--volume",
            "/run/ctrace:/run/ctrace",
            "--volume",
            "/var/lib:/var/lib:ro",
        ])
        .arg("--volume")
        .arg(format!("{}:/recordings", out.display()))
        .arg(&recorder.0)
        .args([
            "--node",
            "node-7",
            "--out",
            "/recordings/run.parquet",
            "--container",
            &name,
        ]);
    let mut child = command.spawn().unwrap();
    // The program prints its version as often as it takes until the recorder has attached its programs and seen it.
    let file = out.join("run.parquet");
    let is_recorded = (0..60).any(|_| {
        run(podman("run")
            .args(["--name", &name])
            .arg(&query.0)
            .arg("--version"));
        std::thread::sleep(std::time::Duration::from_millis(500));
        assert!(
            child.try_wait().unwrap().is_none(),
            "the recorder has ended"
        );
        file.exists() && rows(&file, &name).is_some_and(|rows| rows.contains("podman,node-7"))
    });
    assert!(is_recorded, "{:?}", rows(&file, &name));
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&child),
        rustix::process::Signal::INT,
    )
    .unwrap();
    assert!(child.wait().unwrap().success());
}

/// Returns the runtime and the node of the container `name` in a recording that may still grow.
fn rows(file: &Path, name: &str) -> Option<String> {
    let sql = format!("select distinct runtime, host from containers where container = '{name}'");
    let output = output(
        Command::new(env!("CARGO_BIN_EXE_ctrace-query"))
            .arg("-r")
            .arg(file)
            .args(["--format", "csv", &sql]),
    );
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).unwrap())
}

/// Asks a recording in a container without any rights.
fn ask(query: &Image) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("demo.parquet");
    run(Command::new(env!("CARGO_BIN_EXE_ctrace-rec"))
        .args([
            "--quiet",
            "--from-raw",
            &format!("{ROOT}/fixtures/demo.raw"),
            "--out",
        ])
        .arg(&file));
    run(Command::new("chmod").arg("644").arg(&file));
    let answer = run(podman("run")
        .args(["--cap-drop", "ALL", "--volume"])
        .arg(format!("{}:/recordings/demo.parquet:ro", file.display()))
        .arg(&query.0)
        .args([
            "-r",
            "demo.parquet",
            "--format",
            "csv",
            "select count(*) > 0 as ok from events",
        ]));
    assert_eq!(answer, "ok\ntrue\n");
}
