//! The SQL functions of `ctrace-query`: each is listed with an example that works.

use insta::assert_snapshot;
use tempfile::TempDir;

use crate::support::story::{Story, footer};
use crate::support::transcript::{ctrace_query_in, transcript};
use crate::{ask, recording};

/// Returns the only value of an answer as text.
fn value(dir: &TempDir, sql: &str) -> String {
    let answer = ask(dir.path(), &["--format", "ndjson", sql]);
    let row = answer.strip_prefix("exit code 0\n--- stdout\n");
    let row = row.unwrap_or_else(|| panic!("{sql}: {answer}"));
    let row: serde_json::Value = serde_json::from_str(row).unwrap();
    match row.as_object().unwrap().values().next().unwrap() {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[test]
fn every_function_is_listed_with_an_example_that_runs() {
    let dir = recording();
    let help = transcript(ctrace_query_in(dir.path()).args(["help", "functions"]));
    assert_snapshot!("help_functions", help);
    let docs = include_str!("../../docs/asking.md");
    let mut answers = String::new();
    let (_, list) = help.split_once("\n\n").unwrap();
    for entry in list
        .trim()
        .split("\n\n")
        .filter(|e| !e.starts_with("DataFusion"))
    {
        let lines: Vec<&str> = entry.lines().map(str::trim).collect();
        let [signature, about, example] = lines[..] else {
            panic!("{entry}");
        };
        let (name, _) = signature.split_once('(').unwrap();
        assert!(
            !about.is_empty() && example.contains(&format!("{name}(")),
            "{entry}"
        );
        assert!(
            docs.contains(&format!("| `{name}(")),
            "docs/asking.md lacks {name}"
        );
        let answer = ask(dir.path(), &[example]);
        assert!(answer.starts_with("exit code 0"), "{example}: {answer}");
        assert!(
            answer.lines().count() > 4,
            "{example} has no rows: {answer}"
        );
        answers += &format!("$ {example}\n{answer}\n");
    }
    assert_snapshot!("function_examples", answers);
}

#[test]
fn strace_prints_a_call_from_every_table_with_its_columns() {
    let dir = recording();
    let want = r#"openat(?, "favicon.ico", ?, ?) = -1 ENOENT (No such file or directory)"#;
    for sql in [
        "select strace() from events where error = 'ENOENT'",
        "select strace(*) from syscalls where error = 'ENOENT'",
        "select strace(e) from events as e where e.error = 'ENOENT'",
        "select strace(e.*) from events as e where e.error = 'ENOENT'",
        "select strace() from run where error = 'ENOENT'",
        "with part as (select * from syscalls where error = 'ENOENT') select STRACE() from part",
        "select strace(a) from syscalls a join syscalls b using (seq) where b.error = 'ENOENT'",
        "select max(strace()) from events where error = 'ENOENT' having max(strace()) is not null",
    ] {
        let sql = sql.replace("from run", "from 'run.parquet'");
        assert_eq!(value(&dir, &sql), want, "{sql}");
    }
    assert_eq!(
        value(
            &dir,
            "select count(strace()) from events where kind <> 'syscall'"
        ),
        "0"
    );
}

#[test]
fn flags_are_decoded_for_the_architecture_of_the_recording() {
    let dir = TempDir::new().unwrap();
    // 0o200000 is O_DIRECTORY on x86-64 and O_DIRECT on ARM.
    let call = serde_json::json!({ "arg2": 0o200000, "path_arg": "d" });
    for (name, host, arch) in [
        ("x.parquet", "x", "x86_64"),
        ("arm.parquet", "arm", "aarch64"),
    ] {
        let mut story = Story::default();
        footer(&mut story);
        story.call(
            0,
            &serde_json::json!({ "host": host }),
            "openat",
            3,
            call.clone(),
        );
        story.meta("ctrace.host", host).meta("ctrace.arch", arch);
        story.write(dir.path(), name);
    }
    let sql = "select host, strace() from events order by host";
    assert_snapshot!(transcript(ctrace_query_in(dir.path()).args([
        "-r",
        "x.parquet",
        "-r",
        "arm.parquet",
        sql
    ])));
}

#[test]
fn a_null_or_invalid_argument_gives_null() {
    let dir = recording();
    for call in [
        "errno_name(null)",
        "errno_name(0)",
        "errno_text('EWHAT')",
        "cidr_contains(null, '10.0.0.1')",
        "cidr_contains('10.0.0.0/8', null)",
        "cidr_contains('10.0.0.0/8', 'web')",
        "is_private('@abstract')",
        "path_under(null, '/etc')",
        "glob('/etc', null)",
        "human_bytes(null)",
        "ago(null)",
        "p99(cast(null as bigint))",
    ] {
        assert_eq!(
            value(&dir, &format!("select {call} is null")),
            "true",
            "{call}"
        );
    }
}

#[test]
fn columns_and_constants_as_arguments_give_the_same_result() {
    let dir = recording();
    let rows = "(values ('/etc/passwd', '/etc'), ('/etc', '/etc/'), ('/etcetera', '/etc'), ('/a', '/'), (null, '/'))";
    let by_row = value(
        &dir,
        &format!("select count(*) filter (where path_under(p, d)) from {rows} as t(p, d)"),
    );
    assert_eq!(by_row, "3");
    for (path, directory, want) in [
        ("/etc/passwd", "/etc", "true"),
        ("/etc", "/etc/", "true"),
        ("/etcetera", "/etc", "false"),
        ("/a", "/", "true"),
    ] {
        let sql = format!("select path_under('{path}', '{directory}')");
        assert_eq!(value(&dir, &sql), want, "{sql}");
    }
    let rows = "(values ('10.0.0.0/8', '10.1.1.1'), ('10.0.0.0/8', '11.1.1.1'), ('::/0', '::1')) as t(n, a)";
    let sql = format!("select count(*) from {rows} where cidr_contains(n, a)");
    assert_eq!(value(&dir, &sql), "2");
}

#[test]
fn edge_cases() {
    let dir = recording();
    for (call, want) in [
        ("human_bytes(999999)", "1.0 MB"),
        ("human_bytes(1e300)", "1.00e282 EB"),
        ("human_bytes(-2048)", "-2.0 kB"),
        ("human_duration(999999999)", "1.00s"),
        ("human_duration(1.5)", "1.5ns"),
        ("human_duration(interval '90 seconds')", "1m 30s"),
        (
            "human_duration(timestamp '2026-01-02' - timestamp '2026-01-01')",
            "1d 00h",
        ),
        ("signal_name(0) is null", "true"),
        ("signal_name(99) is null", "true"),
        ("signal_name(35)", "SIGRT_3"),
        ("path_under('/x', '')", "false"),
        ("path_under('/etc/../root', '/etc')", "false"),
        ("path_under('/etc/a/../b', '/etc')", "true"),
        ("ago('60y') < timestamp '1970-01-01'", "true"),
        ("date_part('year', ago('60y'))", "1966"),
        ("cast(ago('400y') as bigint)", "-9223372036854775808"),
        ("date_part('year', ago('99999999999d'))", "1677"),
    ] {
        // `ago` counts from the end of the recording.
        assert_eq!(value(&dir, &format!("select {call}")), want, "{call}");
    }
    let longest = "select human_duration(max(time) - min(time)) from events";
    assert!(value(&dir, longest).ends_with('s'));
    // A column instead of a constant: it is compared as a range first.
    let paths = "(values ('/etc/../root'), ('/etc/a/../b'), ('/etc'), ('/etcetera')) as t(p)";
    let sql = format!("select count(*) from {paths} where path_under(p, '/etc')");
    assert_eq!(value(&dir, &sql), "2");
}

#[test]
fn percentiles_have_an_error_of_less_than_one_part_in_64() {
    let dir = recording();
    let numbers =
        "select value % 7 as g, value * value % 100003 + 1 as x from generate_series(1, 20000)";
    for (name, percent) in [("p50", 50), ("p90", 90), ("p95", 95), ("p99", 99)] {
        // The number at that rank of each group, compared with the function's result.
        let sql = format!(
            "with n as ({numbers}), r as (select g, x, row_number() over (partition by g order by x) as r, \
             count(*) over (partition by g) as c from n), e as (select g, min(x) as exact from r where r * 100 >= c * {percent} \
             group by g) select max(abs(p / exact - 1) * 64) < 1 from e join (select g, {name}(x) as p from n group by g) as a \
             on a.g = e.g"
        );
        assert_eq!(value(&dir, &sql), "true", "{name}");
    }
    let some = format!("select p50(x) filter (where g = 8) is null from ({numbers})");
    assert_eq!(value(&dir, &some), "true");
    let over = "select p50(seq) over () between 492 and 508 from (select value as seq from generate_series(0, 1000)) limit 1";
    assert_eq!(value(&dir, over), "true");
}

#[test]
fn wrong_arguments_are_explained() {
    let dir = recording();
    let mut output = String::new();
    for sql in [
        "select strace() from files",
        "select strace(1) from events",
        "select is_private(1)",
        "select path\nfrom files\nwhere glob(path)",
        "select human_bytes('many')",
        "select ago(10) from events",
        "select ago('soon') from events",
        "select ago()",
        "select cidr_contains('10.0/8', peer_addr) from events",
        "select isprivate(peer_addr) from events",
        "select p99(path) from events",
        "select p99(duration, 2) from events",
        "select p42(duration) from events",
        "select cidr_contains('10.0.0.0/33', peer_addr) from events",
        "select glob(path, '[') from events",
        "select human_duration('long')",
        "select strace() from events a join events b using (seq)",
    ] {
        output += &format!("$ {sql}\n{}\n", ask(dir.path(), &[sql]));
    }
    assert_snapshot!(output);
}
