//! The answers of views and ready questions over a small recording.

use std::path::Path;

use ctrace_schema::meta;
use insta::assert_snapshot;
use serde_json::json;
use tempfile::TempDir;

use crate::support::incident::{WEB, incident};
use crate::support::story::{QUESTIONS, Story, footer};
use crate::support::transcript::{ctrace_query_in, transcript};
use crate::{ask, recording};

#[test]
fn ready_questions() {
    let dir = recording();
    for question in QUESTIONS {
        assert_snapshot!(*question, ask(dir.path(), &[question]));
    }
}

/// The other tests ask each of these questions.
#[test]
fn the_tests_know_every_ready_question() {
    let answer = ask(&std::env::temp_dir(), &["xyzzyxyzzy"]);
    let (_, listed) = answer.trim_end().split_once("one of: ").unwrap();
    assert_eq!(listed.split(", ").collect::<Vec<_>>(), QUESTIONS);
}

#[test]
fn sql_that_is_shown_gives_the_same_answer() {
    let dir = recording();
    let narrow = [
        "--container",
        "web,client",
        "--since",
        "03:12:01",
        "--until",
        "2026-11-21 03:12:20",
        "--limit",
        "4",
    ];
    for question in QUESTIONS {
        let args = [&[*question][..], &narrow].concat();
        let sql = ask(dir.path(), &[&args[..], &["--show-sql"]].concat());
        let sql = sql
            .strip_prefix("exit code 0\n--- stdout\n")
            .unwrap_or_else(|| panic!("{question}: {sql}"));
        assert_eq!(
            ask(dir.path(), &[sql]),
            ask(dir.path(), &args),
            "{question}: {sql}"
        );
    }
}

/// Checks a limit on the summary, which is a union sorted by the number of the part.
#[test]
fn a_limit_takes_the_first_rows() {
    let dir = recording();
    let ask = |limit: &str| {
        let args = ["summary", "--format", "tsv", "--limit", limit];
        ask(dir.path(), &args)
    };
    let whole = ask("1000");
    // The first three lines are the exit code, the name of stdout, and the header.
    let first = |rows: usize| whole.lines().take(3 + rows).collect::<Vec<_>>();
    for rows in [1, 2, 3, 5, 8, 12] {
        let limited = ask(&rows.to_string());
        let limited: Vec<&str> = limited.lines().take(3 + rows).collect();
        assert_eq!(limited, first(rows));
    }
}

#[test]
fn views() {
    let dir = recording();
    for view in ctrace_schema::views::VIEWS {
        let sql = format!(
            "select * from {} order by 1, 2, 3, 4, 5, 6, 7, 8",
            view.name
        );
        let sql = if view.name == "syscalls" || view.name == "files" {
            format!("select * from {} order by seq limit 4", view.name)
        } else {
            sql
        };
        assert_snapshot!(
            format!("view_{}", view.name),
            ask(dir.path(), &["--format", "csv", &sql])
        );
        assert_snapshot!(
            format!("describe_{}", view.name),
            ask(dir.path(), &["describe", view.name])
        );
    }
}

#[test]
fn every_column_of_every_table_is_described() {
    let dir = recording();
    let tables = ctrace_schema::views::VIEWS.iter().map(|v| v.name);
    for table in tables.chain(["events", "meta"]) {
        let answer = ask(dir.path(), &["--format", "ndjson", "describe", table]);
        assert!(answer.starts_with("exit code 0"), "{answer}");
        assert!(!answer.contains("\"comment\":\"\""), "{table}: {answer}");
    }
}

#[test]
fn narrowed_questions() {
    let dir = recording();
    let count = |args: &[&str]| {
        let answer = ask(dir.path(), &[args, &["--format", "tsv"]].concat());
        assert!(answer.starts_with("exit code 0"), "{answer}");
        answer.lines().count() - 3
    };
    assert_eq!(count(&["containers"]), 3);
    assert_eq!(count(&["containers", "-c", "w*"]), 2);
    assert_eq!(count(&["containers", "-c", "?eb"]), 1);
    assert_eq!(count(&["containers", "-c", "c11e"]), 1);
    assert_eq!(count(&["containers", "-c", "web", "-c", "client"]), 2);
    assert_eq!(count(&["containers", "--limit", "1"]), 1);
    // The recording ends at 03:13. At 03:12:08 and later only the client changes: it ends.
    assert_eq!(count(&["containers", "--since", "52s"]), 1);
    assert_eq!(count(&["processes", "--until", "03:12:01.005"]), 0);
    assert_eq!(count(&["links", "-c", "worker"]), 3);
}

#[test]
fn a_container_that_is_not_there_is_an_error() {
    let dir = recording();
    let message = |args: &[&str]| {
        let answer = ask(dir.path(), args);
        answer
            .strip_prefix("exit code 2\n--- stderr\nerror: ")
            .unwrap_or_else(|| panic!("{args:?}: {answer}"))
            .trim_end()
            .to_string()
    };
    assert_eq!(
        message(&["files", "--container", "wbe"]),
        "there is no container `wbe` in the recording: did you mean `web`?"
    );
    assert_eq!(
        message(&["summary", "-c", "web,nosuch"]),
        "there is no container `nosuch` in the recording: there are client, web, worker"
    );
    assert_eq!(
        message(&["links", "-c", "pay*"]),
        "no container in the recording matches `pay*`: there are client, web, worker"
    );
    // Four digits of an id must match a container of the recording.
    assert!(message(&["gaps", "-c", "4f5c"]).starts_with("there is no container `4f5c`"));
    assert!(ask(dir.path(), &["gaps", "-c", "4f5b"]).starts_with("exit code 0"));
}

#[test]
fn a_profile_lists_what_it_may_lack() {
    let dir = TempDir::new().unwrap();
    let mut story = incident();
    story.gap(3000, Some("web"), "file", 1234);
    story.meta(meta::KEY_FILTERS, "{\"exclude-set\":[\"memory\"]}");
    story.write(dir.path(), "run.parquet");
    let profile = ask(dir.path(), &["seccomp", "--container", "web"]);
    assert_snapshot!(profile);
    // Containers that lost nothing, one of which started during the recording. A refused call is not in the profile.
    let worker = ask(dir.path(), &["seccomp", "-c", "client,worker"]);
    assert!(
        !worker.contains("events were lost") && !worker.contains("ptrace"),
        "{worker}"
    );
    assert!(
        worker.contains("missing in this profile: worker ran already"),
        "{worker}"
    );
    assert_eq!(
        ask(dir.path(), &["seccomp", "-c", "wbe"]),
        "exit code 2\n--- stderr\nerror: there is no container `wbe` in the recording: did you mean `web`?\n"
    );
}

/// Creates a directory with a recording in which names are HTML and control characters.
fn hostile_recording() -> TempDir {
    let dir = TempDir::new().unwrap();
    let mut story = incident();
    story.gap(3000, Some("web"), "file", 1234);
    let evil = "<script>alert(1)</script>\u{1b}[31m\" onload='x'";
    let who = json!({ "container": evil, "pid": 9, "tid": 9, "comm": evil, "exe": evil });
    for i in 0..30 {
        story.call(
            50 + i,
            &who,
            "openat",
            -2,
            json!({ "class": "file", "path": format!("/{i}/{evil}"), "error": "ENOENT" }),
        );
    }
    story.write(dir.path(), "run.parquet");
    dir
}

/// Parts that the report of [`hostile_recording`] must have.
const REPORT: &[&str] = &[
    "<h1>What happened</h1>\n<p class=\"when\">21 November 2026, 03:12:00.000 to 03:13:00.000 UTC (1m 00s)</p>",
    "<dt>Containers</dt><dd>&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[31m&quot; onload=&#39;x&#39;, client (curlimages/curl:8), web (nginx:1.27), worker (shop/worker:7)</dd>",
    "<dt>Recording</dt><dd>run.parquet</dd>",
    "<dt>Events lost</dt><dd>1,234</dd>",
    "Killed by a signal</h3>",
    "1,234 events were lost",
    "172.17.0.2",
    "/srv/index.html",
    "connect ECONNREFUSED",
    // Times in the tables are without the day.
    "<td class=\"w\" data-h=\"When\">03:12:00.050</td>",
    "sleep 9",
    "ring full",
    "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[31m",
    "<code data-question=\"files\">ctrace-query files</code>",
    "<summary><b>client (c11e",
    "default-src 'none'; script-src 'sha256-",
];

#[test]
fn a_report_is_one_page_and_escapes_all_text_of_the_recording() {
    let dir = hostile_recording();
    let output = ask(dir.path(), &["report", "--output", "incident.html"]);
    assert_eq!(output, "exit code 0\n--- stderr\nwrote: incident.html\n");
    let page = std::fs::read_to_string(dir.path().join("incident.html")).unwrap();
    for part in REPORT {
        assert!(page.contains(part), "{part}: {page}");
    }
    // The page has no script but its own, and fetches nothing.
    let markup = [
        "<script>alert",
        "onload='",
        "<link",
        " src=",
        " style=",
        "\u{1b}",
    ];
    let own = page.split("<script>").count() - 1;
    assert_eq!(own, 8, "{page}");
    let (before, _) = page.split_once("<script>").unwrap();
    for markup in markup {
        assert!(!before.contains(markup), "{markup}: {before}");
    }
    // Links lead to sections of the page.
    for link in before.split("href=\"").skip(1) {
        let (id, _) = link.strip_prefix('#').unwrap().split_once('"').unwrap();
        assert!(page.contains(&format!(" id=\"{id}\"")), "{id}");
    }
    let overwriting = ask(dir.path(), &["report", "-o", "./run.parquet"]);
    assert!(
        overwriting.contains("error: ./run.parquet is the recording that is read"),
        "{overwriting}"
    );
    let narrow = ask(
        dir.path(),
        &[
            "report", "-c", "client", "--since", "03:12:01", "--limit", "3",
        ],
    );
    assert!(
        narrow.contains("What happened in client, 21 November 2026, 03:12:01.000 to")
            && !narrow.contains("worker"),
        "{narrow}"
    );
}

#[test]
fn the_summary_reports_how_processes_ended() {
    let dir = TempDir::new().unwrap();
    let mut story = incident();
    let exit = |story: &mut Story, pid: i64, how: serde_json::Value| {
        let mut row = json!({ "kind": "process", "action": "exit", "container": "web", "pid": pid,
            "comm": format!("job{}", pid % 7), "exe": format!("/bin/job{}", pid % 7) });
        row.as_object_mut()
            .unwrap()
            .extend(how.as_object().unwrap().clone());
        story.row(4000 + pid, row);
    };
    // Many ordinary failures do not hide a crash.
    for pid in 0..70 {
        exit(&mut story, pid, json!({ "exit_code": 1 + pid % 7 }));
    }
    exit(&mut story, 100, json!({ "exit_signal": 11 }));
    story.write(dir.path(), "run.parquet");
    let summary = ask(dir.path(), &["--format", "csv", "summary"]);
    assert!(
        summary.contains("\nkilled by a signal,web job2,1 with SIGSEGV\n"),
        "{summary}"
    );
    assert!(
        summary.contains("\nkilled by a signal,client sleep,1 with SIGKILL\n"),
        "{summary}"
    );
    assert!(
        summary.contains("\nended badly,web job0,10 with exit code 1\n"),
        "{summary}"
    );
}

/// Creates two seconds of counts, as `ctrace-rec --mode counts` writes them.
fn counts() -> Story {
    let mut story = Story::default();
    footer(&mut story);
    story.meta(meta::KEY_FILTERS, "{\"mode\":\"counts\"}");
    story.row(
        0,
        json!({ "kind": "container", "action": "found", "container": "web", "container_id": WEB }),
    );
    for (ms, syscall, calls, errors) in [
        (0, "read", 70, 0),
        (0, "openat", 20, 5),
        (1000, "read", 30, 0),
    ] {
        story.row(ms, json!({ "kind": "counts", "container": "web", "container_id": WEB, "comm": "nginx",
            "class": "file", "syscall": syscall, "calls": calls, "errors": errors, "bytes": calls * 2,
            "duration": calls * 1000, "latency": "[0,0,1]" }));
    }
    story
}

#[test]
fn questions_about_counts_are_answered_or_refused() {
    let dir = TempDir::new().unwrap();
    counts().write(dir.path(), "run.parquet");
    for question in QUESTIONS {
        assert_snapshot!(format!("counts_{question}"), ask(dir.path(), &[question]));
    }
    // Together with a recording of calls.
    incident().write(dir.path(), "calls.parquet");
    let both = ask(
        dir.path(),
        &["-r", "calls.parquet", "syscalls", "--limit", "1"],
    );
    assert!(
        both.contains("warning: 1 of 2 recordings contain only counts of calls"),
        "{both}"
    );
    assert!(both.contains("connect"), "{both}");
}

#[test]
fn the_most_frequent_calls_are_ranked_by_their_counts() {
    let dir = TempDir::new().unwrap();
    let mut story = counts();
    for calls in 6..11 {
        let row = json!({ "kind": "counts", "container": "web", "syscall": format!("call{calls}"), "calls": calls,
            "errors": calls, "duration": calls });
        story.row(500, row);
    }
    story.write(dir.path(), "run.parquet");
    let summary = ask(dir.path(), &["--format", "csv", "summary"]);
    for row in [
        "top calls,read,100",
        "top calls,openat,20",
        "failed calls,web call10,10",
    ] {
        assert!(summary.contains(row), "{row}: {summary}");
    }
    assert!(!summary.contains("top calls,call6"), "{summary}");
    let page = ask(dir.path(), &["report"]);
    for part in ["Most frequent calls</h3>", "<dt>Calls</dt><dd>160</dd>"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("EAGAIN"), "{page}");
}

#[test]
fn two_recordings_are_one_table() {
    let dir = recording();
    incident().write(dir.path(), "again.parquet");
    let sql = "select count(*) from events";
    let one: i64 = number(dir.path(), &[sql]);
    assert_eq!(number(dir.path(), &["-r", "again.parquet", sql]), 2 * one);
    assert_eq!(
        number(dir.path(), &["select count(*) from 'again.parquet'"]),
        one
    );
    assert_eq!(
        number(
            dir.path(),
            &["select count(*) from events e join 'again.parquet' a using (seq)"]
        ),
        one
    );
}

fn number(dir: &Path, args: &[&str]) -> i64 {
    let answer = ask(dir, args);
    answer
        .lines()
        .last()
        .unwrap()
        .trim()
        .parse()
        .unwrap_or_else(|e| panic!("{e}: {answer}"))
}

#[test]
fn a_warning_names_the_gaps_that_overlap_the_answer() {
    let dir = TempDir::new().unwrap();
    let mut story = incident();
    story.gap(3000, Some("web"), "file", 1234);
    story.write(dir.path(), "run.parquet");
    let warning = |args: &[&str]| {
        let answer = ask(dir.path(), args);
        assert!(answer.starts_with("exit code 0"), "{answer}");
        answer
            .split_once("warning: ")
            .map(|(_, warning)| warning.to_string())
    };
    assert_snapshot!(warning(&["select count(*) from events"]).unwrap(), @"1,234 events were lost between 2026-11-21 03:12:03.000 and 2026-11-21 03:12:03.500 (container web, class file): this answer may be incomplete");
    let affected: &[&[&str]] = &[
        &["files"],
        &["processes"],
        &["links"],
        &["files", "--container", "web"],
        &["files", "--since", "03:12:03.400"],
        &["files", "--until", "03:12:03"],
        &["select count(*) from events where class = 'file' and syscall = 'read'"],
        &["select container, count(*) from syscalls group by 1"],
    ];
    for args in affected {
        assert!(warning(args).is_some(), "{args:?}");
    }
    let unaffected: &[&[&str]] = &[
        &["gaps"],
        &["files", "--container", "client"],
        &["files", "--since", "03:12:03.501"],
        &["files", "--until", "03:12:02"],
        &["select count(*) from events where class = 'network'"],
        &["select 1"],
        &["explain select * from events"],
    ];
    for args in unaffected {
        assert_eq!(warning(args), None, "{args:?}");
    }
}

#[test]
fn restart_errors_and_eagain_are_not_failures() {
    let dir = TempDir::new().unwrap();
    let mut story = incident();
    let who = json!({ "container": "web", "pid": 1, "tid": 1, "comm": "nginx" });
    for error in ["ERESTARTSYS", "ERESTARTNOHAND", "EAGAIN", "EBADF"] {
        story.call(20_000, &who, "accept4", -9, json!({ "error": error }));
    }
    story.write(dir.path(), "run.parquet");
    for question in ["errors", "summary"] {
        let answer = ask(dir.path(), &[question]);
        assert!(
            answer.contains("EBADF") && !answer.contains("ERESTART") && !answer.contains("EAGAIN"),
            "{answer}"
        );
    }
}

#[test]
fn a_report_of_many_recordings_names_the_first_and_the_last() {
    let dir = TempDir::new().unwrap();
    for i in 10..50 {
        incident().write(dir.path(), &format!("{i}.parquet"));
    }
    let page = transcript(ctrace_query_in(dir.path()).args(["-r", ".", "report"]));
    assert!(
        page.contains("<dd>40 files, 10.parquet to 49.parquet</dd>"),
        "{page}"
    );
    // At the top and in the last section; a warning names the first once more, because it has no digest, and one file is the part
    // that the page's command cuts.
    assert_eq!(page.matches(".parquet").count(), 6, "{page}");
}

#[test]
fn columns_are_named_as_the_statement_spells_them() {
    let dir = recording();
    let first = |sql: &str| {
        let output = ask(dir.path(), &["--format", "csv", sql]);
        let line = output.lines().nth(2).map(String::from);
        line.unwrap_or_else(|| panic!("{sql}: {output}"))
    };
    for (sql, want) in [
        ("select 1", "1"),
        (
            "select errno_name(13), path, count(*) from events group by path",
            "errno_name(13),path,count(*)",
        ),
        (
            "select strace() from events where error = 'ENOENT' order by strace()",
            "strace()",
        ),
        ("select strace(e), e.pid as p from events e", "strace(e),p"),
        (
            "select p50(duration) filter (where ret > 0) from syscalls",
            "p50(duration) FILTER (WHERE ret > 0)",
        ),
        (
            "select time >= ago('10m') from events",
            "time >= ago('10m')",
        ),
        ("select human_bytes(1e300)", "human_bytes(1e300)"),
        ("select interval '1 day'", "INTERVAL '1 day'"),
        ("(select 1 + 1) union all select 3", "1 + 1"),
        (
            "with c as (select count(*) from events) select * from c",
            "count(*)",
        ),
        (
            "select distinct lower(comm) from events order by lower(comm)",
            "lower(comm)",
        ),
        (
            "select lower(comm), count(*) from events group by lower(comm) having count(*) > 1 order by count(*) desc",
            "lower(comm),count(*)",
        ),
        (
            "select * exclude (time), 1 from (select time, seq from events)",
            "seq,1",
        ),
    ] {
        let got = first(sql);
        assert_eq!(got.replace('"', ""), want, "{sql}");
    }
}
