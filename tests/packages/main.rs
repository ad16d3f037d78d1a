//! The packages, images, manifests and releases that packaging/ makes, of the programs of this build. Needs root: the packages
//! are installed, run and removed in releases of Debian, and the images are run.
//!
//! `make test` checks the packages on Debian 12, the images, and the manifests. `make test-all` also runs the tests that
//! are marked `ignored`: Debian 13, and that a release is made twice with the same bytes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support"]
mod support {
    pub(crate) mod command;
    pub(crate) mod root;
}

mod images;
mod made;

use made::{ROOT, packaging, release, staged, tool};
use std::path::Path;
use std::process::Command;
use support::command::run;
use support::root::require_root;

/// Makes the packages, and checks, installs, runs, upgrades and removes them on a release of Debian.
fn on(codename: &str) {
    require_root();
    let dir = tempfile::tempdir().unwrap();
    run(packaging("packages.sh").arg(staged()).arg(dir.path()));
    print!(
        "{}",
        run(Command::new(format!("{ROOT}/tests/scripts/packages.sh"))
            .arg(dir.path())
            .arg(codename))
    );
}

#[test]
fn packages_are_installed_upgraded_and_removed_on_debian_12() {
    on("bookworm");
}

#[test]
#[ignore = "takes minutes: make test-all"]
fn packages_are_installed_upgraded_and_removed_on_debian_13() {
    on("trixie");
}

#[test]
fn manifests_are_valid_and_give_the_recorder_what_it_needs() {
    let script = format!("{ROOT}/tests/scripts/kubernetes.py");
    print!(
        "{}",
        run(Command::new(tool("python"))
            .arg(script)
            .arg(env!("CARGO_BIN_EXE_ctrace-rec")))
    );
}

#[test]
fn a_wheel_gives_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let wheel = run(packaging("wheel.sh").arg(staged()).arg(dir.path()));
    let wheel = wheel.lines().last().unwrap();
    let environment = dir.path().join("environment");
    run(Command::new(tool("python"))
        .args(["-m", "venv"])
        .arg(&environment));
    let bin = environment.join("bin");
    run(Command::new(bin.join("pip"))
        .args(["install", "--quiet", "--no-index", "--no-deps"])
        .arg(dir.path().join(Path::new(wheel).file_name().unwrap())));
    let version = run(Command::new(bin.join("ctrace-query")).arg("--version"));
    assert_eq!(
        version.trim(),
        concat!("ctrace-query ", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
#[ignore = "takes minutes: make test-all"]
fn a_release_is_made_twice_with_the_same_bytes_and_signed() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    run(Command::new("minisign")
        .args(["-G", "-W", "-p"])
        .arg(at("key.pub"))
        .arg("-s")
        .arg(at("key")));
    for name in ["first", "second"] {
        run(release(&at("key")).arg(staged()).arg(at(name)));
    }
    run(Command::new("diff")
        .arg("-r")
        .arg(at("first"))
        .arg(at("second")));
    let first = at("first");
    run(Command::new("minisign")
        .args(["-V", "-q", "-m", "SHA256SUMS", "-p"])
        .arg(at("key.pub"))
        .current_dir(&first));
    let checked = run(Command::new("sha256sum")
        .args(["--check", "SHA256SUMS"])
        .current_dir(&first));
    // Two debs, two rpms, two images, two bills of materials, a wheel, a chart, and two tarballs.
    assert_eq!(checked.lines().count(), 12, "{checked}");
    let tarball = format!(
        "ctrace-{}-{}-linux",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH
    );
    run(Command::new("tar")
        .arg("-xf")
        .arg(first.join(format!("{tarball}.tar.xz")))
        .current_dir(dir.path()));
    run(Command::new(at(&tarball).join("bin/ctrace-rec")).arg("--version"));
}
