//! `rules`: what rules find, over recordings that the tests compose.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::story::{START, Story, footer, merge};
use crate::support::transcript::{ctrace_query_in, transcript};
use crate::{ask, recording};

/// Columns of a process in the container `web`.
fn web() -> Value {
    json!({ "container": "web", "container_id": "4f5b8c9d1e2f", "pid": 100, "tid": 100, "comm": "app", "exe": "/bin/app" })
}

/// Adds a call of the container `web`.
fn call(story: &mut Story, ms: i64, syscall: &str, ret: i64, more: Value) {
    story.call(ms, &web(), syscall, ret, more);
}

fn story() -> Story {
    let mut story = Story::default();
    footer(&mut story);
    story
}

/// Writes `run.parquet`.
fn written(story: &Story) -> TempDir {
    let dir = TempDir::new().unwrap();
    story.write(dir.path(), "run.parquet");
    dir
}

/// Returns the findings of `rules ARGS` as JSON, and the exit code.
fn findings(dir: &Path, args: &[&str]) -> (Vec<Value>, i32) {
    let mut command = ctrace_query_in(dir);
    command.args(["-r", "run.parquet", "rules", "--format", "ndjson"]);
    let output = command.args(args).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let rows = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    (rows.collect(), output.status.code().unwrap())
}

/// Returns the names of the rules in findings.
fn names(findings: &[Value]) -> Vec<&str> {
    findings
        .iter()
        .map(|row| row["rule"].as_str().unwrap())
        .collect()
}

/// Creates a recording with an alert, a warning and an event.
fn three_levels() -> TempDir {
    let mut s = story();
    let shadow = json!({ "class": "file", "path": "/etc/shadow", "flags": 0 });
    call(&mut s, 10, "openat", 3, shadow);
    let own = json!({ "class": "process", "path": "/tmp/x", "path_arg": "/tmp/x", "argv": "/tmp/x -a", "exe_origin": "container" });
    call(&mut s, 20, "execve", 0, own.clone());
    call(&mut s, 30, "execve", 0, own);
    let denied = json!({ "class": "process", "error": "EPERM", "denied": true });
    call(&mut s, 40, "personality", -1, denied);
    written(&s)
}

#[test]
fn alerts_come_first_and_set_the_exit_code() {
    let dir = three_levels();
    let (found, code) = findings(dir.path(), &[]);
    assert_eq!(
        names(&found),
        ["executed-own-file", "read-shadow", "denied-call"]
    );
    assert_eq!(code, 1);
    let first = &found[0];
    assert_eq!(
        (&first["level"], &first["count"]),
        (&json!("alert"), &json!(2))
    );
    assert_eq!(
        (&first["container"], &first["pid"]),
        (&json!("web"), &json!(100))
    );
    assert_eq!(first["subject"], "/tmp/x -a");
    let (found, code) = findings(dir.path(), &["--disable", "executed-own-file"]);
    assert_eq!(
        (names(&found), code),
        (vec!["read-shadow", "denied-call"], 0)
    );
    let said = ask(dir.path(), &["rules", "--only", "executed-own-file"]);
    assert!(said.starts_with("exit code 1\n"), "{said}");
    assert!(
        said.ends_with("--- stderr\nalert: executed-own-file\n"),
        "{said}"
    );
}

#[test]
fn an_ordinary_recording_has_no_alert() {
    let dir = recording();
    let (found, code) = findings(dir.path(), &[]);
    assert!(
        found.iter().all(|row| row["level"] != "alert"),
        "{found:#?}"
    );
    assert_eq!(code, 0);
}

#[test]
fn set_up_by_the_runtime_is_no_finding() {
    let mut s = story();
    let mount =
        json!({ "class": "file", "path": "/proc", "path2": "proc", "flags": 0, "setup": true });
    call(&mut s, 10, "mount", 0, mount);
    s.meta(ctrace_schema::meta::KEY_SCHEMA, "1.7");
    let dir = written(&s);
    assert_eq!(findings(dir.path(), &[]).0.len(), 0);
    assert_eq!(names(&findings(dir.path(), &["--setup"]).0), ["mount"]);
}

#[test]
fn files_of_rules_add_and_replace_rules_and_exceptions() {
    let dir = three_levels();
    let text = r#"
        [[rule]]
        name = "two-starts"
        level = "alert"
        description = "A program was started twice"
        references = ["T1059", "https://example.com/two"]
        calls = ["@exec"]
        where = "ret = 0 -- a comment"
        threshold = { count = 2, within = "1s" }

        [[rule]]
        name = "denied-call"
        level = "warning"
        description = "Ours"
        where = "denied"

        [[rule]]
        name = "join"
        level = "event"
        description = "A query"
        sql = "select e.time, e.host, e.container, e.container_id, e.comm, e.pid, e.exe, f.path as subject from events e join events f on e.pid = f.pid where e.syscall = 'personality' and f.syscall = 'openat'"

        [[exception]]
        rule = "read-shadow"
        name = "ours"
        where = "exe = '/bin/app'"
    "#;
    fs::write(dir.path().join("mine.toml"), text).unwrap();
    let rules = text.split("[[exception]]").next().unwrap();
    fs::write(dir.path().join("alone.toml"), rules).unwrap();
    let mine = ["--rules", "mine.toml"];
    let (found, code) = findings(dir.path(), &mine);
    assert_eq!(
        names(&found),
        ["executed-own-file", "two-starts", "denied-call", "join"]
    );
    assert_eq!(
        (&found[2]["level"], &found[3]["subject"]),
        (&json!("warning"), &json!("/etc/shadow"))
    );
    assert_eq!(code, 1);
    let (found, _) = findings(
        dir.path(),
        &[
            "--rules",
            "alone.toml",
            "--no-default-rules",
            "--only",
            "join,two-starts",
        ],
    );
    assert_eq!(names(&found), ["two-starts", "join"]);
    let list = ask(
        dir.path(),
        &[
            "rules",
            "--list",
            "--format",
            "csv",
            "--rules",
            "alone.toml",
            "--no-default-rules",
        ],
    );
    assert!(
        list.contains(
            "two-starts,alert,T1059 https://example.com/two,false,A program was started twice\n"
        ),
        "{list}"
    );
}

#[test]
fn thresholds_count_different_values_within_a_time() {
    let scan = |ports: i64, pause_ms: i64| {
        let mut s = story();
        for port in 1..=ports {
            let peer = json!({ "class": "network", "family": "inet", "peer_addr": "10.0.0.9", "peer_port": port });
            call(&mut s, port * pause_ms, "connect", -111, peer.clone());
            call(&mut s, port * pause_ms, "connect", -111, peer);
        }
        names(&findings(written(&s).path(), &["--only", "port-scan"]).0).len()
    };
    assert_eq!(scan(20, 100), 1);
    assert_eq!(scan(19, 100), 0);
    // 20 ports in a minute, which is not one of the clock.
    assert_eq!(scan(40, 3_000), 1);
    assert_eq!(scan(40, 4_000), 0);
}

#[test]
fn errors_name_the_rule_and_the_next_step() {
    let dir = three_levels();
    let with = |text: &str, args: &[&str]| {
        fs::write(dir.path().join("mine.toml"), text).unwrap();
        ask(
            dir.path(),
            &[&["rules", "--rules", "mine.toml"], args].concat(),
        )
    };
    let rule = |condition: &str| {
        format!(
            "[[rule]]\nname = 'ours'\nlevel = 'alert'\ndescription = 'd'\nwhere = \"{condition}\""
        )
    };
    let cases = [
        (with(&rule("pth = '/x'"), &[]), "rule `ours`: "),
        (
            with("[[rule]]\nname = 'ours'", &[]),
            "mine.toml: line 1: the key `level` is missing",
        ),
        (with("", &["--only", "ourss"]), "there is no rule `ourss`"),
        (with("", &["--no-default-rules"]), "no rule is left"),
        (with("", &["--list", "--format", "sarif"]), "--format sarif"),
        (
            ask(dir.path(), &["rules", "--rules", "none.toml"]),
            "none.toml: cannot read the rules",
        ),
    ];
    for (said, message) in cases {
        assert!(
            said.starts_with("exit code 2\n") && said.contains(message),
            "{message}\n{said}"
        );
    }
}

#[test]
fn rules_that_cannot_fire_are_named() {
    let mut s = story();
    call(&mut s, 10, "getpid", 1, json!({ "class": "process" }));
    s.meta(ctrace_schema::meta::KEY_FILTERS, r#"{"set":["process"]}"#);
    let dir = written(&s);
    let said = ask(
        dir.path(),
        &[
            "rules",
            "--only",
            "bpf,read-shadow,miner-pool,executed-own-file",
        ],
    );
    assert!(
        said.contains("warning: these rules cannot fire, because run.parquet was made with --set process: read-shadow, miner-pool, bpf\n"),
        "{said}"
    );
}

#[test]
fn sarif_has_rules_results_and_locations() {
    let dir = three_levels();
    let mut command = ctrace_query_in(dir.path());
    let output = command
        .args(["-r", "run.parquet", "rules", "--format", "sarif"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let log: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    let levels: Vec<_> = results
        .iter()
        .map(|result| result["level"].as_str().unwrap())
        .collect();
    assert_eq!(levels, ["error", "warning", "note"]);
    for result in results {
        let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        assert!(rule["shortDescription"]["text"].is_string());
    }
    let own = &rules[usize::try_from(results[0]["ruleIndex"].as_u64().unwrap()).unwrap()];
    assert_eq!(own["helpUri"], "https://attack.mitre.org/techniques/T1105/");
    let location = &results[0]["locations"][0];
    assert_eq!(
        location["logicalLocations"][0],
        json!({ "name": "web", "kind": "container" })
    );
    assert_eq!(
        location["physicalLocation"]["artifactLocation"],
        json!({ "uri": "run.parquet", "index": 0 })
    );
    assert_eq!(results[0]["occurrenceCount"], 2);
}

#[test]
fn hostile_names_are_escaped() {
    let mut s = story();
    let mut who = web();
    merge(&mut who, json!({ "container": "we\u{1b}[31mb'--" }));
    let own = json!({ "class": "process", "path": "/tmp/\u{202e}x", "exe_origin": "memory" });
    s.call(10, &who, "execve", 0, own);
    let dir = written(&s);
    for format in ["table", "csv", "json", "sarif"] {
        let said = ask(dir.path(), &["rules", "--format", format]);
        assert!(said.starts_with("exit code 1\n"), "{said}");
        assert!(!said.contains(['\u{1b}', '\u{202e}']), "{said}");
    }
}

#[test]
fn the_sql_is_a_statement_that_gives_the_findings() {
    let dir = three_levels();
    let sql =
        transcript(ctrace_query_in(dir.path()).args(["-r", "run.parquet", "rules", "--show-sql"]));
    let sql = sql.split_once("--- stdout\n").unwrap().1;
    fs::write(dir.path().join("rules.sql"), sql).unwrap();
    let answer = ask(dir.path(), &["--format", "csv", "-f", "rules.sql"]);
    assert_eq!(
        answer,
        ask(dir.path(), &["rules", "--format", "csv"])
            .replace("exit code 1", "exit code 0")
            .replace("--- stderr\nalert: executed-own-file\n", "")
    );
}

#[test]
fn the_window_and_the_limit_of_ready_questions_apply() {
    let dir = three_levels();
    let at = |ms: i64| {
        let time = chrono(START + ms * 1_000_000);
        findings(dir.path(), &["--since", &time]).0
    };
    assert_eq!(names(&at(35)), ["denied-call"]);
    assert_eq!(at(25)[0]["count"], 1);
    assert_eq!(findings(dir.path(), &["--limit", "1"]).0.len(), 1);
    assert_eq!(findings(dir.path(), &["--container", "none"]).1, 2);
}

/// Returns a time of the minute of [`START`] as text.
fn chrono(ns: i64) -> String {
    format!("2026-11-21T03:12:{:012.9}Z", (ns - START) as f64 / 1e9)
}
