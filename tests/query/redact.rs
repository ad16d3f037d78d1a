//! `redact` and `cut --redact`: recordings without the texts that rules find.

use std::fs;
use std::path::Path;

use ctrace_schema::columns::{COLUMNS, Type};
use ctrace_schema::meta;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::recording;
use super::support::bytes::{contains, uncompressed};
use super::support::incident::incident;
use super::support::story::{QUESTIONS, Story, footer};
use super::support::transcript::{ctrace_query_in, transcript};

/// Text columns with a fixed set of words, or with numbers, to which no rule applies.
const FIXED: [&str; 21] = [
    "boot_id",
    "kind",
    "action",
    "class",
    "syscall",
    "error",
    "exe_origin",
    "dev",
    "dev2",
    "family",
    "protocol",
    "dns_type",
    "dns_code",
    "socket_error",
    "direction",
    "runtime",
    "capabilities",
    "host_namespaces",
    "limits",
    "reason",
    "latency",
];

/// A rule for a text that the tests plant, in each column that has texts from outside.
const RULES: &str = "[rules.planted]\npatterns = ['planted[0-9a-z_]*']\n";

fn run(dir: &Path, args: &[&str]) -> String {
    let text = transcript(ctrace_query_in(dir).args(args));
    assert!(text.starts_with("exit code 0\n"), "{args:?}: {text}");
    text
}

/// Returns the rows of an answer as JSON.
fn rows(dir: &Path, recording: &str, sql: &str) -> Vec<Value> {
    let mut command = ctrace_query_in(dir);
    let output = command
        .args(["-r", recording, "--format", "json", sql])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn redactions(dir: &Path, recording: &str) -> Vec<Value> {
    let sql = "select value from meta where key = 'ctrace.redacted'";
    let rows = rows(dir, recording, sql);
    serde_json::from_str(rows[0]["value"].as_str().unwrap()).unwrap()
}

/// Returns a recording with a planted text in each column, in metadata, and in many rows, so that it has rollups.
fn planted() -> Story {
    let mut story = Story::default();
    footer(&mut story);
    for n in 0..200 {
        let kind = ["syscall", "container"][n % 2];
        let mut row = json!({ "kind": kind, "action": "found", "class": "file", "syscall": "openat",
            "ret": 0, "host": "planted_host", "setup": false });
        for column in COLUMNS
            .iter()
            .filter(|column| column.ty == Type::Text && !FIXED.contains(&column.name))
        {
            let text = format!("planted_{}_{}", column.name, n % 3);
            let text = match column.name {
                "argv" | "command" => format!("run '--word={text}' 'the {text}'"),
                "labels" => json!({ "planted_key": text }).to_string(),
                "mounts" => {
                    json!([{ "source": format!("/{text}"), "target": text, "options": "ro" }])
                        .to_string()
                }
                "dns_answers" => json!([text, "10.0.0.1"]).to_string(),
                "addresses" => format!("10.0.0.1 {text}"),
                name if name.contains("path") || name == "exe" => format!("/srv/{text}/file"),
                _ => text,
            };
            row[column.name] = text.into();
        }
        story.row(n as i64, row);
    }
    let filters = json!({ "container": ["planted_container"], "label": ["team=planted_label"], "set": ["file"] });
    let cut = json!({ "from": [{ "name": "planted_name.parquet", "sha256": null }],
        "conditions": { "where": "path = 'planted_where'", "container": ["planted_container"] }, "time": 1 });
    story
        .meta(meta::KEY_HOST, "planted_host")
        .meta(meta::KEY_FILTERS, &filters.to_string())
        .meta(
            meta::KEY_DUMP,
            r#"{"reason":"trigger","condition":"path = 'planted_condition'","time":1}"#,
        )
        .meta(meta::KEY_CUT, &cut.to_string())
        .meta("planted.key", "planted_value");
    story
}

#[test]
fn no_column_keeps_a_text_that_a_rule_finds() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    fs::write(dir.join("rules.toml"), RULES).unwrap();
    planted().write(dir, "plain.parquet");
    // With rollups, and as a database.
    run(dir, &["convert", "plain.parquet", "run.parquet"]);
    run(dir, &["convert", "plain.parquet", "run.sqlite"]);
    for source in ["run.parquet", "run.sqlite"] {
        let bytes = uncompressed(&dir.join(source));
        for column in COLUMNS
            .iter()
            .filter(|column| column.ty == Type::Text && !FIXED.contains(&column.name))
        {
            let text = format!("planted_{}", column.name);
            assert!(
                contains(&bytes, &text),
                "{text}: the test would find nothing"
            );
        }
        for to in ["new.parquet", "new.sqlite", "part.parquet", "part.sqlite"] {
            let how: &[&str] = match to.starts_with("part") {
                true => &[
                    "cut",
                    "--redact=rules.toml",
                    "--where",
                    "path like '%planted%'",
                    "--container",
                    "planted*",
                ],
                false => &["redact", "--rules", "rules.toml"],
            };
            run(
                dir,
                &[&["-r", source], how, &["-o", to, "--force"]].concat(),
            );
            let bytes = uncompressed(&dir.join(to));
            assert!(contains(&bytes, "<redacted:planted:"), "{to}");
            assert!(!contains(&bytes, "planted_"), "{source} to {to}");
            let count = "select count(*) as n from events";
            assert_eq!(rows(dir, to, count), rows(dir, source, count), "{to}");
            run(dir, &["verify", to]);
        }
        let files = fs::read_dir(dir)
            .unwrap()
            .map(|file| file.unwrap().file_name());
        assert!(
            files
                .into_iter()
                .all(|name| !name.to_string_lossy().ends_with(".partial"))
        );
    }
    // Sums are of the redacted rows: a group of paths stays a group.
    let sql = "select count(distinct path) as paths, count(*) as n from events where path like '%<redacted:planted:%'";
    assert_eq!(
        rows(dir, "new.parquet", sql),
        [json!({ "paths": 3, "n": 200 })]
    );
}

#[test]
fn the_metadata_tell_which_rules_ran() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    fs::write(dir.join("rules.toml"), RULES).unwrap();
    planted().write(dir, "run.parquet");
    run(
        dir,
        &[
            "redact",
            "--rules",
            "rules.toml",
            "--off",
            "jwt",
            "-r",
            "run.parquet",
            "-o",
            "new.parquet",
        ],
    );
    let [redaction] = &redactions(dir, "new.parquet")[..] else {
        panic!("one redaction");
    };
    assert_eq!(redaction["random"], true);
    assert!(
        redaction["rules"]["planted"].as_u64().unwrap() > 1000,
        "{redaction}"
    );
    assert_eq!(redaction["rules"]["password"], 0);
    assert_eq!(redaction["rules"]["jwt"], Value::Null);
    let summary = run(dir, &["-r", "new.parquet", "summary"]);
    assert!(
        summary.contains("redacted") && summary.contains("planted:"),
        "{summary}"
    );
    run(
        dir,
        &["-r", "new.parquet", "report", "--output", "report.html"],
    );
    let report = fs::read_to_string(dir.join("report.html")).unwrap();
    assert!(report.contains("Redacted by") && !report.contains("planted_"));
    // A part, a copy and a second redaction tell it too.
    run(dir, &["-r", "new.parquet", "cut", "-o", "part.parquet"]);
    run(dir, &["convert", "new.parquet", "copy.sqlite"]);
    for copy in ["part.parquet", "copy.sqlite"] {
        assert_eq!(
            redactions(dir, copy),
            std::slice::from_ref(redaction),
            "{copy}"
        );
    }
    run(
        dir,
        &[
            "-r",
            "new.parquet",
            "redact",
            "--rules",
            "rules.toml",
            "-o",
            "again.parquet",
        ],
    );
    let again = redactions(dir, "again.parquet");
    assert_eq!((again.len(), &again[0]), (2, redaction));
    assert_eq!(
        again[1]["rules"]["planted"], 0,
        "what stands for a text is not replaced"
    );
    let texts = "select argv, path, labels, container from events order by seq";
    assert_eq!(
        rows(dir, "again.parquet", texts),
        rows(dir, "new.parquet", texts)
    );
}

#[test]
fn equal_keys_give_equal_hashes() {
    let dir = recording();
    let dir = dir.path();
    fs::write(dir.join("key"), "0123456789abcdef0123456789abcdef\n").unwrap();
    let paths = |name: &str, args: &[&str]| {
        let redact = ["-r", "run.parquet", "redact", "--on", "peers", "-o", name];
        run(dir, &[&redact[..], args].concat());
        rows(dir, name, "select peer_addr from events order by seq")
    };
    let first = paths("a.parquet", &["--key", "key"]);
    assert_eq!(first, paths("b.parquet", &["--key", "key"]));
    let random = paths("c.parquet", &[]);
    assert_ne!(first, random);
    assert_ne!(random, paths("d.parquet", &[]));
}

#[test]
fn questions_work_on_a_redacted_recording() {
    let dir = recording();
    let dir = dir.path();
    let all = "peers,names,url-hosts,users,homes,containers,hosts,environment";
    run(
        dir,
        &[
            "-r",
            "run.parquet",
            "redact",
            "--on",
            all,
            "-o",
            "new.parquet",
        ],
    );
    for text in ["pay.example.com", "203.0.113.9", "172.17.0.", "node1"] {
        assert!(
            !contains(&uncompressed(&dir.join("new.parquet")), text),
            "{text}"
        );
    }
    for question in QUESTIONS {
        run(dir, &["-r", "new.parquet", question]);
    }
    // Addresses, names and containers join as before.
    for sql in [
        "select protocol, connections, failed, bytes_sent from links order by 1, 2, 3, 4",
        "select count(*) as n from connections where failed > 0 and peer_addr is not null",
        "select count(distinct container) as n, count(distinct peer_addr) as peers from events",
        "select count(*) as n from events a join events b on a.peer_addr = b.local_addr and a.peer_port = b.local_port",
    ] {
        assert_eq!(
            rows(dir, "new.parquet", sql),
            rows(dir, "run.parquet", sql),
            "{sql}"
        );
    }
}

#[test]
fn user_ids_are_replaced_in_rows_and_arguments() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let mut story = Story::default();
    footer(&mut story);
    let who = json!({ "container": "app", "pid": 5, "tid": 5, "uid": 4242, "comm": "app" });
    story.call(
        1,
        &who,
        "setuid",
        0,
        json!({ "class": "credential", "arg0": 4242 }),
    );
    story.call(2, &who, "getuid", 4242, json!({ "class": "credential" }));
    story.call(
        3,
        &who,
        "read",
        4242,
        json!({ "class": "file", "arg2": 4242 }),
    );
    story.row(
        4,
        json!({ "kind": "container", "action": "found", "container": "app", "run_as": "4242:0" }),
    );
    story.write(dir, "run.parquet");
    run(
        dir,
        &[
            "-r",
            "run.parquet",
            "redact",
            "--on",
            "users",
            "-o",
            "new.parquet",
        ],
    );
    let sql = "select uid, arg0, arg2, ret, run_as from events order by seq";
    let rows = rows(dir, "new.parquet", sql);
    let id = &rows[0]["uid"];
    assert!(id.as_i64().unwrap() >= 1 << 31, "{rows:?}");
    assert_eq!((&rows[0]["arg0"], &rows[1]["ret"]), (id, id));
    assert_eq!(
        (&rows[2]["ret"], &rows[2]["arg2"]),
        (&json!(4242), &json!(4242))
    );
    assert_eq!(rows[3]["run_as"], format!("{id}:0"));
}

#[test]
fn several_recordings_become_one() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let mut other = incident();
    other.meta(meta::KEY_BOOT_ID, "b").write(dir, "a.parquet");
    for row in &mut other.rows {
        row["host"] = "other-host".into();
    }
    other
        .meta(meta::KEY_HOST, "other-host")
        .write(dir, "b.parquet");
    run(
        dir,
        &[
            "-r",
            "a.parquet",
            "-r",
            "b.parquet",
            "redact",
            "--on",
            "hosts",
            "-o",
            "all.parquet",
        ],
    );
    let hosts = rows(dir, "all.parquet", "select distinct host from events");
    assert_eq!(hosts.len(), 2);
    let bytes = uncompressed(&dir.join("all.parquet"));
    for host in ["node1", "other-host"] {
        assert!(!contains(&bytes, host), "{host}");
    }
    assert!(contains(&bytes, "ctrace.merged"));
}

#[test]
fn mistakes_are_explained() {
    let dir = recording();
    let dir = dir.path();
    fs::write(dir.join("wrong.toml"), "[rules.a]\npatterns = ['(']\n").unwrap();
    fs::write(dir.join("short"), "hunter2\n").unwrap();
    let refusals: [(&[&str], &str); 7] = [
        (&["redact"], "--show-rules"),
        (
            &["redact", "-o", "new.parquet", "--rules", "none.toml"],
            "none.toml",
        ),
        (
            &["redact", "-o", "new.parquet", "--rules", "wrong.toml"],
            "wrong.toml: rule `a`",
        ),
        (
            &["redact", "-o", "new.parquet", "--on", "adresses"],
            "there is no rule `adresses`",
        ),
        (
            &["redact", "-o", "new.parquet", "--key", "short"],
            "openssl rand",
        ),
        (&["cut", "-o", "new.parquet", "--key", "short"], "--redact"),
        (
            &["redact", "-o", "run.parquet", "--force"],
            "is the recording that is read",
        ),
    ];
    for (args, word) in refusals {
        let text = transcript(ctrace_query_in(dir).args(["-r", "run.parquet"]).args(args));
        assert!(
            text.starts_with("exit code 2\n") && text.contains(word),
            "{args:?}: {text}"
        );
        assert!(!dir.join("new.parquet").exists() && !dir.join("new.parquet.partial").exists());
    }
}

#[test]
fn the_default_rules_are_a_file_of_rules() {
    let dir = recording();
    let dir = dir.path();
    let output = ctrace_query_in(dir)
        .args(["redact", "--show-rules"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("[rules.password]"), "{text}");
    fs::write(dir.join("rules.toml"), text).unwrap();
    run(
        dir,
        &[
            "-r",
            "run.parquet",
            "redact",
            "--rules",
            "rules.toml",
            "-o",
            "new.parquet",
        ],
    );
}
