//! Proof of recordings: damage, exchanged and forged segments, and signatures, as an attacker or a disk would make them.

use crate::support::capture::Capture;
use crate::support::command::{output, run, succeeds};
use crate::support::programs::ctrace_query;
use crate::support::random::Random;
use crate::support::refusal::refused;
use crate::support::replay::{fixture, record_fixture, replay};
use ctrace_format::digest::{self, Digest};
use ctrace_format::manifest::{self, Segment};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Files of one call of the program.
const FILES: usize = 100;

/// Verifies files, and returns the exit code, and the findings as pairs of the path and the status.
fn verify(names: &[&Path], flags: &[&str]) -> (i32, Vec<(PathBuf, String, Value)>) {
    let mut command = ctrace_query();
    command.arg("verify").args(names).args(flags);
    let output = output(command.args(["--format", "ndjson"]));
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code().unwrap();
    assert!(code < 2 && !stderr.contains("panicked"), "{code}: {stderr}");
    let finding = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| row[key].as_str().unwrap().to_string();
        (text("file").into(), text("status"), row.clone())
    };
    (code, stdout.lines().map(finding).collect())
}

/// Returns the exit code, and the statuses other than `ok`.
fn problems(name: &Path, flags: &[&str]) -> (i32, Vec<String>) {
    let (code, findings) = verify(&[name], flags);
    let statuses = findings.into_iter().map(|(_, status, _)| status);
    (code, statuses.filter(|status| status != "ok").collect())
}

/// Checks that each of 1,000 files with one wrong bit is found.
fn every_flip_is_found(name: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    record_fixture(&path, &[]);
    assert_eq!(problems(&path, &[]), (0, vec![]));
    let original = fs::read(&path).unwrap();
    let mut random = Random(15);
    for _ in 0..10 {
        let copies: Vec<PathBuf> = (0..FILES)
            .map(|i| dir.path().join(format!("{i}-{name}")))
            .collect();
        let mut places = vec![];
        for copy in &copies {
            let mut bytes = original.clone();
            let (at, bit) = (random.below(bytes.len()), random.below(8));
            bytes[at] ^= 1 << bit;
            fs::write(copy, bytes).unwrap();
            places.push((at, bit));
        }
        let names: Vec<&Path> = copies.iter().map(PathBuf::as_path).collect();
        let (code, findings) = verify(&names, &[]);
        assert_eq!(code, 1);
        for (copy, place) in copies.iter().zip(places) {
            let found = findings.iter().find(|(path, ..)| path == copy);
            let (_, status, row) = found.unwrap_or_else(|| panic!("no finding about {place:?}"));
            assert!(status != "ok", "{place:?}: {row}");
        }
        // As files of a directory, too.
        let (_, of_directory) = verify(&[dir.path()], &[]);
        let ok = of_directory.iter().filter(|(_, status, _)| status == "ok");
        let ok: Vec<&PathBuf> = ok.map(|(path, ..)| path).collect();
        assert_eq!(ok, [&path]);
    }
}

#[test]
fn each_of_1000_wrong_bits_in_parquet_is_found() {
    every_flip_is_found("run.parquet");
}

#[test]
fn each_of_1000_wrong_bits_in_sqlite_is_found() {
    every_flip_is_found("run.sqlite");
}

#[test]
fn a_file_that_was_cut_or_extended_is_found() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["run.parquet", "run.sqlite"] {
        let path = dir.path().join(name);
        record_fixture(&path, &[]);
        let original = fs::read(&path).unwrap();
        for len in [0, 3, 100, original.len() / 2, original.len() - 1] {
            fs::write(&path, &original[..len]).unwrap();
            assert_eq!(problems(&path, &[]).0, 1, "{name} of {len} bytes");
        }
        fs::write(&path, [original.as_slice(), b"\0"].concat()).unwrap();
        assert_eq!(problems(&path, &[]).0, 1, "{name}");
        fs::write(&path, &original).unwrap();
        assert_eq!(problems(&path, &[]).0, 0, "{name}");
    }
    // A log beside a database changes what a reader sees.
    let log = dir.path().join("run.sqlite-wal");
    fs::write(&log, "rows").unwrap();
    assert_eq!(problems(&dir.path().join("run.sqlite"), &[]).0, 1);
}

/// Makes a directory with the segments of three runs. Returns it and the directory of the host.
fn segments(flags: &[&str]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out/");
    for _ in 0..3 {
        record_fixture(&out, flags);
    }
    assert_eq!(problems(&out, &[]).0, 0);
    let host = fs::read_dir(&out).unwrap().next().unwrap().unwrap().path();
    (dir, host)
}

fn lines(host: &Path) -> Vec<Segment> {
    manifest::parse(&fs::read_to_string(host.join(manifest::NAME)).unwrap()).unwrap()
}

fn write_lines(host: &Path, lines: &[Segment]) {
    fs::write(host.join(manifest::NAME), manifest::to_text(lines).unwrap()).unwrap();
}

/// Replaces a digest by that of the file: what an attacker does who has changed the file.
fn forge(path: &Path, old: &Digest, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Digest {
    let mut bytes = change(fs::read(path).unwrap());
    let text = old.as_str().as_bytes();
    let at = bytes
        .windows(64)
        .rposition(|window| window == text)
        .unwrap();
    let mut content = bytes.as_slice();
    let new = digest::read(&mut content, old, |_| Ok(())).unwrap().digest;
    bytes[at..at + 64].copy_from_slice(new.as_str().as_bytes());
    fs::write(path, bytes).unwrap();
    new
}

/// Replaces a text of the recording by another of the same length, with right checksums of the digest only.
fn changed(mut bytes: Vec<u8>) -> Vec<u8> {
    // The padding of the magic block's compressed metadata is not read: any byte will do.
    bytes[40] ^= 1;
    bytes
}

#[test]
fn segments_that_are_missing_exchanged_repeated_or_replaced_are_found() {
    let (_dir, host) = segments(&[]);
    let manifest = lines(&host);
    assert_eq!(manifest.len(), 3);
    assert_eq!(manifest[0].previous, None);
    assert_eq!(manifest[2].previous, Some(manifest[1].digest));
    let path = |i: usize| host.join(&manifest[i].segment);
    let found = |expected: &[&str]| {
        let (code, mut statuses) = problems(&host, &[]);
        statuses.retain(|status| status != "overlap" && status != "gap");
        assert_eq!(
            (code, statuses),
            (1, expected.iter().map(|s| s.to_string()).collect())
        );
    };
    let aside = host.join("aside");
    for i in 0..3 {
        fs::rename(path(i), &aside).unwrap();
        found(&["missing"]);
        fs::rename(&aside, path(i)).unwrap();
    }
    // Exchanged.
    fs::rename(path(0), &aside).unwrap();
    fs::rename(path(1), path(0)).unwrap();
    fs::rename(&aside, path(1)).unwrap();
    found(&["damaged", "damaged"]);
    let (_, findings) = verify(&[&path(0)], &[]);
    let exchanged = findings.iter().find(|(found, ..)| *found == path(0));
    let detail = exchanged.unwrap().2["detail"].to_string();
    assert!(detail.contains(&manifest[1].segment), "{detail}");
    fs::rename(path(0), &aside).unwrap();
    fs::rename(path(1), path(0)).unwrap();
    fs::rename(&aside, path(1)).unwrap();
    // Repeated.
    let again = path(1).with_file_name("20990101T000000.000000Z-0.parquet");
    fs::copy(path(1), &again).unwrap();
    found(&["not listed"]);
    fs::remove_file(again).unwrap();
    // Replaced by another recording.
    let original = fs::read(path(1)).unwrap();
    let other = host.join("other.parquet");
    let capture = Capture::read().with_losses();
    let raw = host.join("capture.raw");
    fs::write(&raw, [&capture.begin_boot(), capture.round()].concat()).unwrap();
    succeeds(&mut replay(&raw, &other));
    fs::rename(other, path(1)).unwrap();
    found(&["damaged"]);
    fs::write(path(1), original).unwrap();
    assert_eq!(problems(&host, &[]).0, 0);
}

#[test]
fn forged_digests_and_manifests_are_found_by_the_chain() {
    let (_dir, host) = segments(&[]);
    let manifest = lines(&host);
    let path = |i: usize| host.join(&manifest[i].segment);
    let is_found = |what: &str| assert_eq!(problems(&host, &[]).0, 1, "{what}");
    // A line is removed with its file, in the middle and at the start.
    for i in [0, 1] {
        let aside = host.join("aside");
        fs::rename(path(i), &aside).unwrap();
        let mut others = manifest.clone();
        others.remove(i);
        write_lines(&host, &others);
        if i > 0 {
            is_found("a removed line");
        }
        // The middle one as if by --keep, which removes the oldest.
        let mut kept = manifest.clone();
        kept[i].removed = true;
        write_lines(&host, &kept);
        match i {
            0 => assert_eq!(problems(&host, &[]).0, 0),
            _ => is_found("a line as if by --keep"),
        }
        fs::rename(&aside, path(i)).unwrap();
    }
    write_lines(&host, &manifest);
    assert_eq!(problems(&host, &[]).0, 0);

    // The attacker corrects the digest in the file, then in the manifest, then in the next line.
    let digest = forge(&path(1), &manifest[1].digest, changed);
    is_found("a file");
    let mut forged = manifest.clone();
    forged[1].digest = digest;
    write_lines(&host, &forged);
    is_found("a line");
    forged[2].previous = Some(digest);
    write_lines(&host, &forged);
    is_found("a link");
    // The file alone is consistent.
    fs::remove_file(host.join(manifest::NAME)).unwrap();
    assert_eq!(problems(&path(1), &[]).0, 0);
    is_found("no manifest");
    fs::write(host.join(manifest::NAME), "{}\n").unwrap();
    is_found("no segment in a line");
}

/// Makes a key pair, and returns the paths of its secret and public part.
fn key(dir: &Path, name: &str) -> [String; 2] {
    let [secret, public] = ["key", "pub"].map(|end| dir.join(format!("{name}.{end}")));
    let mut command = Command::new("minisign");
    command.args(["-G", "-W", "-s"]).arg(&secret);
    succeeds(command.arg("-p").arg(&public));
    [secret, public].map(|path| path.to_str().unwrap().to_string())
}

/// Runs the stock program on a file.
fn minisign_accepts(path: &Path, public: &str) -> bool {
    let mut command = Command::new("minisign");
    let output = output(command.arg("-Vm").arg(path).args(["-p", public]));
    output.status.success()
}

#[test]
fn signatures_are_those_of_minisign() {
    let dir = tempfile::tempdir().unwrap();
    let [secret, public] = key(dir.path(), "own");
    let [_, other] = key(dir.path(), "other");
    let (own, other) = (["--public-key", &public], ["--public-key", &other]);
    for name in ["run.parquet", "run.sqlite"] {
        let path = dir.path().join(name);
        record_fixture(&path, &["--sign", &secret]);
        assert!(minisign_accepts(&path, &public));
        assert_eq!(problems(&path, &own), (0, vec![]));
        assert_eq!(problems(&path, &other), (1, vec!["not signed".into()]));
        // An attacker who corrects the digest has no key.
        let digest = verify(&[&path], &[]).1[0].2["digest"].to_string();
        let digest = Digest::parse(digest.trim_matches('"')).unwrap();
        forge(&path, &digest, |bytes| bytes);
        assert_eq!(problems(&path, &own).0, 0);
        let log = fs::read(&path).unwrap();
        let changed = if name == "run.parquet" {
            changed
        } else {
            changed_page
        };
        forge(&path, &digest, changed);
        assert_eq!(problems(&path, &[]), (0, vec![]), "{name}");
        assert_eq!(problems(&path, &own), (1, vec!["not signed".into()]));
        assert!(!minisign_accepts(&path, &public));
        fs::write(&path, log).unwrap();
        // A recording that the stock program has signed.
        fs::remove_file(dir.path().join(format!("{name}.minisig"))).unwrap();
        assert_eq!(problems(&path, &own), (1, vec!["not signed".into()]));
        let mut sign = Command::new("minisign");
        succeeds(sign.arg("-Sm").arg(&path).args(["-s", &secret]));
        assert_eq!(problems(&path, &own), (0, vec![]));
    }
}

/// Changes the version of SQLite that has written a database last, which readers do not use.
fn changed_page(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[99] ^= 1;
    bytes
}

#[test]
fn a_signed_directory_is_proved_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let [secret, public] = key(dir.path(), "own");
    let own = ["--public-key", &public];
    let out = dir.path().join("out/");
    for _ in 0..3 {
        record_fixture(&out, &["--sign", &secret]);
    }
    let (code, findings) = verify(&[&out], &own);
    assert_eq!(code, 0);
    let ok = findings.iter().filter(|(_, status, _)| status == "ok");
    let ok: Vec<_> = ok.collect();
    assert_eq!(ok.len(), 4);
    for (path, _, row) in ok {
        assert!(minisign_accepts(path, &public), "{path:?}");
        assert!(row["signed"].as_str().unwrap().contains("timestamp:"));
    }
    // The oldest segment is removed as if by --keep.
    let host = fs::read_dir(&out).unwrap().next().unwrap().unwrap().path();
    let mut manifest = lines(&host);
    manifest[0].removed = true;
    fs::remove_file(host.join(&manifest[0].segment)).unwrap();
    write_lines(&host, &manifest);
    assert_eq!(problems(&out, &[]).0, 0);
    assert_eq!(problems(&out, &own).0, 1);
    // The next recorder says so.
    let stderr = record_fixture(&out, &["--sign", &secret]);
    assert!(
        stderr.contains("not as the key of --sign has signed it"),
        "{stderr}"
    );
}

#[test]
fn newest_segments_that_are_removed_with_an_old_manifest_leave_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let [secret, public] = key(dir.path(), "own");
    let out = dir.path().join("out/");
    record_fixture(&out, &["--sign", &secret]);
    let host = fs::read_dir(&out).unwrap().next().unwrap().unwrap().path();
    let names = [
        manifest::NAME.to_string(),
        format!("{}.minisig", manifest::NAME),
    ];
    let old = names
        .each_ref()
        .map(|name| fs::read(host.join(name)).unwrap());
    record_fixture(&out, &["--sign", &secret]);
    fs::remove_file(host.join(&lines(&host)[1].segment)).unwrap();
    assert_eq!(problems(&out, &["--public-key", &public]).0, 1);
    for (name, content) in names.iter().zip(old) {
        fs::write(host.join(name), content).unwrap();
    }
    assert_eq!(problems(&out, &["--public-key", &public]).0, 0);
}

#[test]
fn keys_that_cannot_sign_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run.parquet");
    let refusal = |key: &str| refused(replay(&fixture(), &out).args(["--sign", key]));
    let [secret, public] = key(dir.path(), "own");
    assert!(refusal("nothing").contains("cannot read the key"));
    assert!(refusal(&public).contains("is not a secret key"));
    let text = fs::read_to_string(&secret).unwrap();
    fs::write(&secret, text.replacen("RWQAAEIy", "RWRTY0Iy", 1)).unwrap();
    assert!(refusal(&secret).contains("has a password"));
    fs::write(&secret, &text).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refusal(&secret).contains("can be read by other users"));
    assert!(!out.exists());
    let mut verify = ctrace_query();
    let verify = verify.args(["verify", "--public-key", &secret]).arg(&out);
    assert!(refused(verify).contains("is not a public key"));
}

#[test]
fn keep_is_no_damage_and_the_manifest_says_what_it_removed() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out/");
    for _ in 0..4 {
        record_fixture(&out, &["--keep", "250kB"]);
    }
    let (code, statuses) = problems(&out, &[]);
    assert_eq!(code, 0);
    assert!(statuses.contains(&"removed".to_string()), "{statuses:?}");
}

#[test]
fn gaps_and_overlaps_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let record = |directory: &str, name: &str, parts: [&[u8]; 2]| {
        let directory = dir.path().join(directory);
        fs::create_dir_all(&directory).unwrap();
        let raw = directory.join("capture.raw");
        fs::write(&raw, parts.concat()).unwrap();
        succeeds(&mut replay(&raw, &directory.join(name)));
    };
    let whole = Capture::read().with_losses();
    for name in ["a.parquet", "b.parquet"] {
        record("same", name, [&whole.begin_boot(), whole.round()]);
    }
    let found = |directory: &str| problems(&dir.path().join(directory), &[]);
    let expected = |statuses: &[&str]| (0, statuses.iter().map(ToString::to_string).collect());
    assert_eq!(found("same"), expected(&["gap", "gap", "overlap"]));
}

#[test]
fn what_is_made_of_a_recording_has_its_own_digest() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    record_fixture(&path("a.parquet"), &[]);
    for (from, to) in [("a.parquet", "b.sqlite"), ("b.sqlite", "c.parquet")] {
        succeeds(ctrace_query().arg("convert").args([path(from), path(to)]));
    }
    let mut part = ctrace_query();
    part.arg("-r").arg(path("a.parquet"));
    succeeds(
        part.args(["--format", "parquet", "select * from events limit 100"])
            .arg("-o")
            .arg(path("d.parquet")),
    );
    let (code, findings) = verify(&[dir.path()], &[]);
    assert_eq!(code, 0, "{findings:?}");
    let mut digests: Vec<_> = findings
        .iter()
        .map(|(.., row)| row["digest"].as_str())
        .collect();
    digests.retain(Option::is_some);
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), 4, "{findings:?}");
    // The formula of the documentation.
    let script = "import hashlib, sys\nfile, digest = open(sys.argv[1], 'rb').read(), sys.argv[2].encode()\n\
                  print(hashlib.sha256(file.replace(digest, b'0' * 64)).hexdigest())";
    for (file, _, row) in findings.iter().filter(|(_, status, _)| status == "ok") {
        let digest = row["digest"].as_str().unwrap();
        let mut python = Command::new("python3");
        let actual = run(python.args(["-c", script]).arg(file).arg(digest));
        assert_eq!(actual.trim(), digest);
    }
}

#[test]
fn a_report_is_made_of_proved_recordings() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.parquet");
    record_fixture(&path, &[]);
    let digest = verify(&[&path], &[]).1[0].2["digest"].to_string();
    let report = |flags: &[&str]| {
        let mut command = ctrace_query();
        output(command.arg("report").arg("-r").arg(&path).args(flags))
    };
    let page = String::from_utf8(report(&[]).stdout).unwrap();
    assert!(page.contains(digest.trim_matches('"')), "{page}");
    let mut bytes = fs::read(&path).unwrap();
    bytes[40] ^= 1;
    fs::write(&path, bytes).unwrap();
    let refused = report(&[]);
    let message = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{message}");
    assert!(
        message.contains("damaged") && message.contains("--no-verify"),
        "{message}"
    );
    let page = report(&["--no-verify"]);
    assert!(page.status.success());
    assert!(String::from_utf8_lossy(&page.stdout).contains("not verified"));
}

#[test]
fn an_unfinished_recording_is_checked_by_its_checksums() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.parquet");
    record_fixture(&path, &[]);
    // Without its footer, the file is that of a killed recorder.
    let bytes = fs::read(&path).unwrap();
    let end = bytes
        .windows(8)
        .rposition(|window| window == b"ctraceRG")
        .unwrap()
        + 8;
    fs::write(&path, &bytes[..end]).unwrap();
    assert_eq!(problems(&path, &[]), (1, vec!["no digest".into()]));
    let mut damaged = 0;
    for at in (4..end - 8).step_by(end / 50) {
        let mut wrong = bytes[..end].to_vec();
        wrong[at] ^= 4;
        fs::write(&path, wrong).unwrap();
        let (code, statuses) = problems(&path, &[]);
        // Without its block, a row group looks like one that the recorder was writing.
        assert!(code == 1 && statuses.len() == 1, "byte {at}: {statuses:?}");
        damaged += usize::from(statuses == ["damaged"]);
    }
    assert!(damaged > 20, "{damaged}");
    fs::write(&path, &bytes[..end]).unwrap();
    succeeds(ctrace_query().arg("recover").arg(&path));
    assert_eq!(problems(&path, &[]), (0, vec![]));
}
