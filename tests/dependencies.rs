//! The crates that the programs are built of: each is named with a reason, the checks of deny.toml find what they look for,
//! and the bills of materials are complete.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support"]
mod support {
    pub(crate) mod command;
}

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::command::{output, run};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The name that cargo-deny gives the directory of RustSec's database.
const DATABASE: &str = "advisory-db-3157b0e258782691";

/// Creates the command `cargo SUBCOMMAND`, which packaging/setup.sh installs.
fn cargo(subcommand: &str) -> Command {
    let mut command = Command::new(env!("CARGO"));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", target.join("tools/bin").display());
    command.arg(subcommand).env("PATH", path).current_dir(ROOT);
    command
}

#[test]
fn every_dependency_is_named_with_a_reason() {
    let mut metadata = cargo("metadata");
    let metadata = run(metadata.args(["--no-deps", "--offline", "--format-version", "1"]));
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let dependencies = packages.flat_map(|package| package["dependencies"].as_array().unwrap());
    let foreign = dependencies.filter(|dependency| dependency["path"].is_null());
    let used = foreign.map(|dependency| dependency["name"].as_str().unwrap().to_string());
    let used: BTreeSet<String> = used.collect();
    assert!(used.contains("datafusion") && used.contains("tempfile"));
    let page = fs::read_to_string(Path::new(ROOT).join("docs/dependencies.md")).unwrap();
    let mut named = BTreeSet::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", names, what, why, ""] = cells[..] else {
            panic!("{line}");
        };
        assert!(!what.is_empty() && !why.is_empty(), "{line}");
        named.extend(names.split('`').skip(1).step_by(2).map(str::to_string));
    }
    assert_eq!(used, named, "docs/dependencies.md and the manifests differ");
}

#[test]
fn the_libraries_of_the_report_are_those_that_are_named() {
    let folder = Path::new(ROOT).join("query/src/commands/report/assets/lib");
    let page = fs::read_to_string(Path::new(ROOT).join("docs/dependencies.md")).unwrap();
    let (_, page) = page.split_once("## Libraries in the report").unwrap();
    let mut named = BTreeSet::new();
    for line in page
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains(".min."))
    {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", file, library, _, _, digest, ""] = cells[..] else {
            panic!("{line}");
        };
        let bytes = fs::read(folder.join(file)).unwrap();
        let found = Sha256::digest(&bytes);
        let found: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, format!("`{found}`"), "{file} is another one");
        // The authors write the version into their scripts.
        let (_, version) = library.split_once(' ').unwrap();
        let is_script = file.ends_with(".js");
        assert!(
            !is_script || String::from_utf8_lossy(&bytes[..200]).contains(&format!("v{version}")),
            "{line}"
        );
        named.insert(file.to_string());
    }
    let files = fs::read_dir(folder).unwrap();
    let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<String> = files.filter(|name| !name.starts_with("LICENSE-")).collect();
    assert_eq!(files, named, "docs/dependencies.md and the files differ");
}

/// A small workspace that breaks a rule.
struct Planted {
    dir: tempfile::TempDir,
}

impl Planted {
    /// Creates a crate with a licence, and with `dependencies` on crates in its directory, each a path and a version.
    fn new(licence: &str, dependencies: &[(&str, &str)]) -> Planted {
        let dir = tempfile::tempdir().unwrap();
        let mut own = manifest("planted", "1.0.0", licence);
        own += "[dependencies]\n";
        for (n, (path, version)) in dependencies.iter().enumerate() {
            let name = path.split('/').next_back().unwrap();
            own += &format!(
                "d{n} = {{ path = \"{path}\", package = \"{name}\", version = \"{version}\" }}\n"
            );
            write_crate(&dir.path().join(path), &manifest(name, version, "MIT"));
        }
        write_crate(dir.path(), &own);
        Planted { dir }
    }

    /// Runs `cargo deny check CHECK` with this project's rules, and returns whether it has passed, and its output.
    fn check(&self, check: &str) -> (bool, String) {
        let deny = Path::new(ROOT).join("deny.toml");
        let manifest = self.dir.path().join("Cargo.toml");
        deny_check(
            &deny,
            &["--manifest-path", manifest.to_str().unwrap()],
            check,
        )
    }
}

fn manifest(name: &str, version: &str, licence: &str) -> String {
    format!(
        "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2024\"\nlicense = \"{licence}\"\npublish = false\n"
    )
}

fn write_crate(directory: &Path, manifest: &str) {
    fs::create_dir_all(directory.join("src")).unwrap();
    fs::write(directory.join("Cargo.toml"), manifest).unwrap();
    fs::write(directory.join("src/lib.rs"), "").unwrap();
}

fn deny_check(deny: &Path, flags: &[&str], check: &str) -> (bool, String) {
    let mut command = cargo("deny");
    command
        .args(["--offline", "--all-features", "--config"])
        .arg(deny);
    // A rule that this small workspace does not need is no error of it.
    let unused = ["license-not-encountered", "unmatched-skip"];
    command
        .args(flags)
        .arg("check")
        .args(unused.iter().flat_map(|lint| ["--allow", lint]));
    let checked = output(command.arg(check));
    let text = String::from_utf8([checked.stdout, checked.stderr].concat()).unwrap();
    assert!(text.contains(check), "cargo deny has not run: {text}");
    (checked.status.success(), text)
}

#[test]
fn a_licence_that_is_not_allowed_is_found() {
    assert!(Planted::new("MIT", &[]).check("licenses").0);
    let (passed, said) = Planted::new("GPL-3.0-only", &[]).check("licenses");
    assert!(!passed && said.contains("GPL-3.0-only"), "{said}");
}

#[test]
fn a_crate_that_is_banned_and_a_crate_in_two_versions_are_found() {
    let (passed, said) = Planted::new("MIT", &[("one", "1.0.0"), ("two", "1.0.0")]).check("bans");
    assert!(passed, "{said}");
    let (passed, said) = Planted::new("MIT", &[("tiny_http", "0.12.0")]).check("bans");
    assert!(!passed && said.contains("tiny_http"), "{said}");
    let twice = [("old/twice", "1.0.0"), ("new/twice", "2.0.0")];
    let (passed, said) = Planted::new("MIT", &twice).check("bans");
    assert!(!passed && said.contains("twice"), "{said}");
}

#[test]
fn a_crate_that_is_not_from_the_registry_is_found() {
    let planted = Planted::new("MIT", &[]);
    assert!(planted.check("sources").0);
    let foreign = tempfile::tempdir().unwrap();
    write_crate(foreign.path(), &manifest("foreign", "1.0.0", "MIT"));
    let git = |args: &[&str]| {
        let identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"];
        let mut command = Command::new("git");
        run(command
            .arg("-C")
            .arg(foreign.path())
            .args(identity)
            .args(args));
    };
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "foreign"]);
    let own = planted.dir.path().join("Cargo.toml");
    let url = foreign.path().display();
    let text = fs::read_to_string(&own).unwrap();
    fs::write(
        &own,
        format!("{text}foreign = {{ git = \"file://{url}\" }}\n"),
    )
    .unwrap();
    // Cargo keeps a copy of the repository, here not that of the user.
    let home = tempfile::tempdir().unwrap();
    let mut fetch = cargo("fetch");
    run(fetch
        .arg("--manifest-path")
        .arg(&own)
        .env("CARGO_HOME", home.path()));
    let mut command = cargo("deny");
    command.env("CARGO_HOME", home.path());
    command
        .args(["--offline", "--config"])
        .arg(Path::new(ROOT).join("deny.toml"));
    let checked = output(
        command
            .arg("--manifest-path")
            .arg(&own)
            .args(["check", "sources"]),
    );
    let said = String::from_utf8(checked.stderr).unwrap();
    assert!(
        !checked.status.success() && said.contains("source-not-allowed"),
        "{said}"
    );
}

#[test]
fn an_advisory_against_a_crate_of_the_lock_file_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let database = dir.path().join(DATABASE);
    fs::create_dir_all(database.join("crates/anyhow")).unwrap();
    fs::create_dir(database.join(".git")).unwrap();
    // Its time is that of the database.
    fs::write(database.join(".git/FETCH_HEAD"), "").unwrap();
    let deny = fs::read_to_string(Path::new(ROOT).join("deny.toml")).unwrap();
    let path = format!("[advisories]\ndb-path = {:?}", dir.path());
    let config = dir.path().join("deny.toml");
    fs::write(&config, deny.replace("[advisories]", &path)).unwrap();
    let advise = |patched: &str| {
        let advisory = format!(
            "```toml\n[advisory]\nid = \"RUSTSEC-2026-9999\"\npackage = \"anyhow\"\ndate = \"2026-01-01\"\n\
             [versions]\npatched = [\"{patched}\"]\n```\n\n# A planted fault\n\nAn error that is none.\n"
        );
        fs::write(
            database.join("crates/anyhow/RUSTSEC-2026-9999.md"),
            advisory,
        )
        .unwrap();
        deny_check(&config, &["--locked"], "advisories")
    };
    let (passed, said) = advise(">= 1.0.1");
    assert!(passed, "{said}");
    let (passed, said) = advise(">= 999.0.0");
    assert!(!passed && said.contains("RUSTSEC-2026-9999"), "{said}");
}

#[test]
fn the_bill_of_each_program_names_each_of_its_crates() {
    let dir = tempfile::tempdir().unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut sbom = Command::new(Path::new(ROOT).join("packaging/sbom.sh"));
    run(sbom.arg(dir.path()).env("CARGO_TARGET_DIR", target));
    for (program, feature) in [("ctrace-rec", "record"), ("ctrace-query", "query")] {
        let path: PathBuf = dir.path().join(format!("{program}.cdx.json"));
        let text = fs::read_to_string(path).unwrap();
        assert!(
            !text.contains(ROOT),
            "the directory of the sources is in {program}"
        );
        let bill: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(bill["bomFormat"], "CycloneDX");
        let root = &bill["metadata"]["component"];
        assert_eq!(root["name"], program);
        let components = bill["components"].as_array().unwrap().iter();
        let named = components.map(|component| {
            assert!(component["licenses"].is_array(), "{component}");
            let text = |key: &str| component[key].as_str().unwrap().to_string();
            format!("{} v{}", text("name"), text("version"))
        });
        let named: BTreeSet<String> = named.collect();
        let mut tree = cargo("tree");
        tree.args(["--locked", "--no-default-features", "--features", feature]);
        let tree = run(tree.args([
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ]));
        // "NAME vVERSION", and for crates of the workspace a path.
        let linked = tree.lines().skip(1).filter(|line| !line.is_empty());
        let linked = linked.map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "));
        let linked: BTreeSet<String> = linked.collect();
        assert!(linked.len() > 50);
        let missing: Vec<_> = linked.difference(&named).collect();
        assert!(missing.is_empty(), "{program}: {missing:?}");
    }
}
