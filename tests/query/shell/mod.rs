//! The interactive shell of `ctrace-query`, on a terminal.

mod terminal;

use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;
use terminal::{CTRL_A, CTRL_C, CTRL_D, CTRL_R, CTRL_U, ENTER, PROMPT, RIGHT, UP};

pub(crate) use terminal::{Terminal, process_in};

use crate::support::incident::incident;
use crate::support::transcript::{ctrace_query_in, transcript};
use crate::{recording, write_calls};

/// Starts the shell over `run.parquet`.
fn shell(dir: &Path) -> Terminal {
    Terminal::new(dir, "-r run.parquet")
}

#[test]
fn statements_and_ready_questions_are_answered() {
    let dir = recording();
    let mut shell = shell(dir.path());
    shell.expect("run.parquet: 2026-11-21 03:12:00 to 2026-11-21 03:13:00 UTC.");
    // A statement may have several lines, and a line several statements.
    shell
        .enter("select container, count(*) as n")
        .press("from events where container = 'web'");
    shell
        .press(ENTER)
        .press("group by 1; select 6 * 7 as answer;")
        .press(ENTER);
    shell
        .expect("web")
        .expect("13")
        .expect("answer")
        .expect("42");
    shell
        .enter("files --container web --limit 1")
        .expect("/srv/in");
    shell.enter("\\gaps").expect("reason");
    shell.enter("\\d").expect("connections").expect("meta");
    shell.enter("\\d gaps").expect("number of lost events");
    shell
        .enter("describe gaps;")
        .expect("number of lost events");
    shell.enter("help functions").expect("path_under(path text");
    shell.enter("\\?").expect("\\watch [SECONDS]");
    shell.expect(PROMPT).press(CTRL_D);
    assert_eq!(shell.exit().0, 0);
}

#[test]
fn errors_are_reported_and_the_shell_continues() {
    let dir = recording();
    let mut shell = shell(dir.path());
    shell.enter("select container,\ncontaner from events;");
    shell
        .expect("error: there is no column `contaner`")
        .expect("at line 2, column 1:");
    shell
        .expect("| contaner")
        .expect("| ^")
        .expect("Did you mean `container`?");
    shell
        .enter("files --since yesterday")
        .expect("error: --since: cannot read `yesterday`");
    shell
        .enter("files --sinc 03:10")
        .expect("error: unexpected argument '--sinc' found");
    shell
        .enter("files 'x")
        .expect("error: the quote ' is not closed");
    shell.enter("\\tming").expect("did you mean `\\timing`?");
    shell
        .enter("\\watch")
        .expect("there is no query to repeat yet");
    shell
        .enter("drop table events;")
        .expect("ctrace-query only reads");
    shell
        .enter("\\r nothing.parquet")
        .expect("error: there is no file nothing.parquet: there are run.parquet");
    // The recording stays open. Statements after an error on the same line are not run.
    shell
        .enter("select x; select 'never' as n;")
        .expect("no column `x`");
    shell
        .enter("select count(*) as n from syscalls;")
        .expect("--")
        .expect("33");
    shell.enter("\\q");
    let (code, rest) = shell.exit();
    assert_eq!(code, 0);
    assert!(!rest.contains("never"), "{rest}");
}

#[test]
fn tab_completes_what_the_context_allows() {
    let dir = recording();
    let mut shell = shell(dir.path());
    shell.expect(PROMPT);
    for (keys, line) in [
        ("sel", "select "),
        ("select dns_n", "select dns_name"),
        ("select * from conn", "select * from connections"),
        (
            "select * from connections where dns",
            "select * from connections where dns_name",
        ),
        (
            "select * from files as f where f.opera",
            "select * from files as f where f.operation",
        ),
        ("select path_und", "select path_under("),
        ("select DATE_TRU", "select DATE_TRUNC("),
        ("select * from events ORD", "select * from events ORDER"),
        (
            "select 1 from events where container = 'cl",
            "container = 'client'",
        ),
        (
            "select 1 from events where syscall in ('openat', 'recvf",
            "'recvfrom'",
        ),
        ("select 1 from events where error = 'ECONNRE", "'ECONNRE"),
        ("summ", "summary"),
        ("files --con", "files --container"),
        ("files --container wo", "files --container worker"),
        ("\\timing of", "\\timing off"),
        ("\\format vert", "\\format vertical"),
        ("\\summ", "\\summary"),
        ("\\d conn", "\\d connections"),
        ("\\r run.par", "\\r run.parquet"),
        ("select * from 'run.par", "select * from 'run.parquet"),
    ] {
        shell.press(keys).tab(line.trim_end()).press(CTRL_U);
    }
    // Several candidates are listed.
    shell
        .press("select * from events where container = 'w")
        .tab("web'")
        .expect("worker'")
        .press(CTRL_U)
        .press(CTRL_D);
    assert_eq!(shell.exit().0, 0);
}

#[test]
fn hints_show_what_comes_next() {
    let dir = recording();
    let mut shell = shell(dir.path());
    shell.enter("select 40 + 2 as answer;").expect("42");
    // A hint from the history. The right arrow accepts it.
    shell
        .expect(PROMPT)
        .press("select 4")
        .expect("0 + 2 as answer;");
    shell.press(RIGHT).press(ENTER).expect("42");
    shell
        .expect(PROMPT)
        .press("\\watch ")
        .expect("[SECONDS]")
        .press(CTRL_U);
    shell
        .press("select glob(")
        .expect("text text, pattern text) -> boolean")
        .press(CTRL_C);
    shell.expect(PROMPT).press(CTRL_D);
    assert_eq!(shell.exit().0, 0);
}

#[test]
fn the_history_is_kept_for_the_next_session() {
    let dir = recording();
    let mut first = shell(dir.path());
    first
        .enter("select 'first' as which,\n1 as one;")
        .expect("first  ");
    first
        .enter("select 'second' as which;")
        .expect("second")
        .enter("\\q");
    assert_eq!(first.exit().0, 0);
    assert!(dir.path().join("ctrace/query_history").exists());
    let mut again = shell(dir.path());
    again
        .expect(PROMPT)
        .press(CTRL_R)
        .press("first")
        .expect("1 as one;")
        .press(ENTER);
    again.expect("which").expect("one").expect("first  ");
    again
        .expect(PROMPT)
        .press(UP)
        .press(UP)
        .press(UP)
        .expect("\\q")
        .press(UP)
        .expect("second");
    again
        .press(CTRL_A)
        .press(ENTER)
        .expect("which")
        .expect("second");
    again.enter("\\q");
    assert_eq!(again.exit().0, 0);
}

#[test]
fn the_shell_works_without_a_history() {
    let dir = recording();
    fs::write(dir.path().join("ctrace"), "in the way").unwrap();
    let mut shell = shell(dir.path());
    shell.expect("warning: the history is not saved: cannot use ");
    shell
        .enter("select 6 * 7 as answer;")
        .expect("42")
        .enter("\\q");
    assert_eq!(shell.exit().0, 0);
}

#[test]
fn ctrl_c_stops_the_query_and_not_the_shell() {
    let dir = recording();
    let mut shell = shell(dir.path());
    for endless in [
        "select count(*) as n from generate_series(1, 1000000000000000);",
        // Computes without a pause.
        "select count(*) as n from generate_series(1, 9000000) as a(v) \
         join generate_series(1, 9000000) as b(v) on a.v * b.v % 7 = 8;",
    ] {
        // The query would take days.
        shell.enter(endless);
        shell
            .expect("scanned ")
            .expect(" rows, ")
            .press(CTRL_C)
            .expect("stopped");
    }
    // Ctrl-C discards a line.
    shell
        .expect(PROMPT)
        .press("select 'given up")
        .press(ENTER)
        .press(CTRL_C);
    shell.enter("select 6 * 7 as answer;").expect("42");
    shell.expect(PROMPT).press(CTRL_D);
    assert_eq!(shell.exit().0, 0);
}

#[test]
fn watch_answers_again_as_the_recording_grows() {
    let dir = TempDir::new().unwrap();
    write_calls(dir.path(), 1111, |i| i);
    let mut shell = shell(dir.path());
    shell
        .enter("select count(*) as n from events;")
        .expect("1111");
    shell
        .enter("\\watch 0.1")
        .expect("every 100ms")
        .expect("1111")
        .expect("every 100ms");
    write_calls(dir.path(), 2222, |i| i);
    shell.expect("2222").press(CTRL_C).expect("stopped");
    // The shell keeps the recording as it was opened, until `\r` opens it again.
    shell
        .enter("select count(*) - 1 as n from events;")
        .expect("1110");
    shell
        .enter("\\r")
        .enter("select count(*) - 1 as n from events;")
        .expect("2221");
    shell
        .enter("syscalls --follow")
        .expect("2222")
        .press(CTRL_C);
    shell.enter("\\q");
    assert_eq!(shell.exit().0, 0);
}

#[test]
fn settings_apply_to_the_answers_that_follow() {
    let dir = recording();
    let mut shell = shell(dir.path());
    shell.enter("\\format csv").enter("\\o out.csv");
    shell
        .enter("select 1 as one, 2 as two;")
        .expect("wrote: out.csv");
    // `\o` applies to one answer; the second is shown.
    shell.enter("select 3 as three;").expect("three\n3");
    shell
        .enter("\\format")
        .expect("The format is csv; there are table, vertical, csv");
    shell
        .enter("\\timing on")
        .enter("select 4 as four;")
        .expect("took: ")
        .expect(" ms");
    shell
        .enter("containers --format json --output c.json")
        .expect("wrote: c.json");
    shell
        .enter("\\format parquet")
        .enter("select 1;")
        .expect("--format parquet is not for a terminal");
    shell
        .enter("\\o run.parquet")
        .enter("select * from events;")
        .expect("run.parquet is the recording that is read");
    shell.enter("\\q");
    assert_eq!(shell.exit().0, 0);
    assert_eq!(
        fs::read_to_string(dir.path().join("out.csv")).unwrap(),
        "one,two\n1,2\n"
    );
    assert!(
        fs::read_to_string(dir.path().join("c.json"))
            .unwrap()
            .starts_with("[{")
    );
}

#[test]
fn long_answers_are_paged() {
    let dir = recording();
    let mut shell = Terminal::of_size(dir.path(), "-r run.parquet", 80, 10);
    shell.enter("select value + 700 as n from generate_series(1, 50) order by 1;");
    shell
        .expect("paged:   n")
        .expect("paged: 701")
        .expect("paged: 750");
    // An answer that fits the screen is not paged.
    shell
        .enter("select value + 800 as n from generate_series(1, 5) order by 1;")
        .expect("\n801");
    shell.enter("\\pager off");
    shell
        .enter("select value + 900 as n from generate_series(1, 50) order by 1;")
        .expect("\n950");
    shell.enter("\\q");
    assert_eq!(shell.exit().0, 0);
}

#[test]
fn a_narrow_terminal_shows_rows_as_lists() {
    let dir = recording();
    let mut shell = Terminal::of_size(dir.path(), "-r run.parquet", 30, 12);
    shell.enter(
        "select container, path, syscall from files where path = '/srv/index.html' limit 1;",
    );
    // Rows are printed as lists before any value is cut.
    shell
        .expect("\nas lists, because the terminal")
        .expect("\npath       /srv/index.html");
    shell.enter("\\q");
    assert_eq!(shell.exit().0, 0);
}

/// Checks that no line is longer than the terminal, and that numbers, times and names stay readable.
#[test]
fn answers_fit_the_terminal() {
    let dir = recording();
    for columns in [80, 110, 160] {
        let mut shell = Terminal::of_size(dir.path(), "-r run.parquet", columns, 200);
        for question in [
            "containers",
            "files",
            "peers",
            "links",
            "errors",
            "processes",
            "strace",
        ] {
            shell.enter(&format!("{question};"));
        }
        shell.enter("\\q");
        let (code, shown) = shell.exit();
        assert_eq!(code, 0);
        for line in shown.lines().filter(|line| !line.contains("ctrace> ")) {
            assert!(line.chars().count() <= columns.into(), "{columns}: {line}");
            assert!(
                !line.contains("2026-11-2…") && !line.contains("2026…"),
                "{columns}: {line}"
            );
        }
    }
}

#[test]
fn the_shell_confirms_settings_and_suggests_names() {
    let dir = recording();
    let mut shell = shell(dir.path());
    shell
        .enter("sumary")
        .expect("`sumary` is not a question: did you mean `summary`?");
    shell.enter("\\timing").expect("\nTiming is on.");
    shell.enter("\\timing off").expect("\nTiming is off.");
    shell.enter("\\pager").expect("\nThe pager is off.");
    shell
        .enter("\\h strace")
        .expect("Usage: ctrace-query strace [OPTIONS]");
    shell
        .enter("\\d filez")
        .expect("error: there is no table `filez`\nDid you mean `files`?");
    shell.enter("explain select count(*) from events where pid = 1;");
    shell
        .expect("\nlogical_plan\n  ")
        .expect("\nphysical_plan\n  ");
    shell.enter("exit");
    let (code, rest) = shell.exit();
    assert_eq!(code, 0);
    assert!(!rest.contains("x0a"), "{rest}");
}

#[test]
fn lost_events_are_reported() {
    let dir = TempDir::new().unwrap();
    incident()
        .gap(3000, Some("web"), "file", 1234)
        .write(dir.path(), "run.parquet");
    let mut shell = shell(dir.path());
    shell
        .enter("select count(*) as n from files;")
        .expect("warning: 1,234 events were lost");
    shell.enter("\\q");
    assert_eq!(shell.exit().0, 0);
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let dir = TempDir::new().unwrap();
    let mut story = incident();
    let evil = "web\u{1b}[31mred\u{7}\u{202e}";
    let who = json!({ "container": evil, "pid": 9, "tid": 9, "comm": evil });
    story.call(
        50,
        &who,
        evil,
        0,
        json!({ "class": "file", "path": "/x\u{1b}]0;title\u{7}" }),
    );
    story.write(dir.path(), "run.parquet");
    fs::copy(
        dir.path().join("run.parquet"),
        dir.path().join("run\u{1b}[31m.parquet"),
    )
    .unwrap();
    let mut shell = shell(dir.path());
    shell.expect(PROMPT);
    for (line, offered) in [
        ("select * from events where container = 'w", "worker'"),
        ("select * from events where syscall = 'w", "writev'"),
        ("files --container w", "worker"),
        ("\\r run", "\\r run.parquet"),
    ] {
        shell.press(line).tab(offered).press(CTRL_U);
    }
    shell.press("\\timing").press(ENTER);
    shell
        .enter("select container, comm, syscall, path from events where pid = 9;")
        .expect("web\\x1b[31m…");
    shell
        .enter("\\r run*.parquet")
        .expect("run\\x1b[31m.parquet is damaged");
    shell.enter("\\q").expect("\n");
    let raw = String::from_utf8_lossy(&shell.raw).into_owned();
    assert!(
        !raw.contains("\u{1b}[31m") && !raw.contains("\u{202e}"),
        "{raw:?}"
    );
    assert!(!raw.contains("\u{1b}]"), "{raw:?}");
    assert_eq!(shell.exit().0, 0);
}

#[test]
fn without_a_recording_there_is_no_shell() {
    let dir = TempDir::new().unwrap();
    for (args, why) in [
        ("", "error: no recording here"),
        (
            "-r nothing.parquet",
            "error: there is no file nothing.parquet",
        ),
        ("--follow", "error: --follow needs a question"),
    ] {
        let (code, output) = Terminal::new(dir.path(), args).exit();
        assert_eq!(code, 2, "{output}");
        assert!(output.contains(why), "{output}");
    }
    // Nor without a terminal.
    let piped = transcript(ctrace_query_in(dir.path()).stdin(std::process::Stdio::null()));
    assert!(piped.contains("there is no question: write SQL"), "{piped}");
}
