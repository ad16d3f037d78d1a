//! The needs of a service, without privileges: the configuration file and the metrics.

use crate::support::metrics;
use crate::support::programs::ctrace_rec;
use crate::support::refusal::{refusal, refused};
use crate::support::replay::{fixture, replay};
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs `ctrace-rec --config FILE ARGS` with `text` in the file. Returns the output and the path of the file.
fn configured(text: &str, args: &[&str]) -> (Output, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rec.toml");
    fs::write(&path, text).unwrap();
    let mut command = ctrace_rec();
    command.arg("--config").arg(&path).args(args);
    (command.output().unwrap(), path.display().to_string())
}

#[test]
fn configuration_keys_are_flags_and_flags_take_precedence() {
    let raw = fixture();
    let text = format!("from-raw = {raw:?}\nformat = 'json' # lines\nquiet = true\n");
    let plain = ctrace_rec()
        .arg("--from-raw")
        .arg(&raw)
        .args(["--format", "json", "--quiet"])
        .output()
        .unwrap();
    let (same, _) = configured(&text, &[]);
    assert!(same.status.success() && !same.stdout.is_empty());
    assert!(same.stdout == plain.stdout && same.stderr.is_empty());
    let (table, _) = configured(&text, &["--format", "table"]);
    assert!(table.status.success());
    assert!(!table.stdout.starts_with(b"{") && !table.stdout.is_empty());
}

#[test]
fn errors_in_a_configuration_are_shown_with_their_position() {
    let (output, path) = configured("quiet = true\nformta = 'json'\n", &[]);
    let wanted =
        format!("ctrace-rec: {path}:2:1: there is no key `formta`: did you mean `format`?");
    assert_eq!(refusal(output), wanted);
    let (output, path) = configured("quiet = 1\n", &["--out", "x.parquet"]);
    let wanted =
        format!("ctrace-rec: {path}:1:9: `quiet` takes true or false, not a value of type integer");
    assert_eq!(refusal(output), wanted);
    let (output, path) = configured("quiet = \n", &[]);
    assert!(refusal(output).starts_with(&format!("ctrace-rec: {path}:1:")));
    let raw = fixture();
    let (output, path) = configured("host = true\n", &["--from-raw", raw.to_str().unwrap()]);
    let wanted = format!(
        "ctrace-rec: {path} conflicts with the command line: the argument '--host' cannot be used with '--from-raw <FILE>'"
    );
    assert_eq!(refusal(output), wanted);
    let message = refused(ctrace_rec().args(["--config", "/no/such.toml"]));
    let wanted = "cannot read the configuration /no/such.toml: No such file";
    assert!(message.contains(wanted));
}

#[test]
fn the_installed_configuration_is_valid() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/ctrace-rec.toml");
    let dir = tempfile::tempdir().unwrap();
    let mut command = replay(&fixture(), dir.path());
    command.arg("--config").arg(config);
    command.args(["--quiet", "--metrics", &metrics::free_address()]);
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
}

#[test]
fn metrics_report_the_progress_of_a_replay() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("demo.raw");
    let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let address = metrics::free_address();
    let mut child = ctrace_rec()
        .arg("--from-raw")
        .arg(&fifo)
        .args(["--quiet", "--format", "json", "--metrics", &address])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // With half of the capture the replay waits for the rest and serves metrics meanwhile.
    let whole = fs::read(fixture()).unwrap();
    let (first, rest) = whole.split_at(whole.len() / 2);
    let mut to = fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    to.write_all(first).unwrap();
    let metrics = metrics::wait_until(&address, |m| m["ctrace_events_total"] > 100.0);
    assert_eq!(metrics["ctrace_containers"], 2.0);
    assert_eq!(metrics["ctrace_lost_events_total/file"], 0.0);
    assert!(
        metrics["process_resident_memory_bytes"] > 1e6
            && metrics["process_resident_memory_bytes"] < 1e9
    );
    assert!(metrics["process_cpu_seconds_total"] > 0.0);
    let (status, _) = metrics::get(&address, "/other").unwrap();
    assert_eq!(status, 404);
    to.write_all(rest).unwrap();
    drop(to);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_port_in_use_is_reported_before_anything_is_written() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run.parquet");
    let mut command = replay(&fixture(), &out);
    let message = refused(command.args(["--metrics", &address]));
    let wanted = format!("cannot serve metrics at {address}: Address already in use");
    assert!(
        message.contains(&wanted) && message.contains("another address"),
        "{message}"
    );
    assert!(!out.exists());
}
