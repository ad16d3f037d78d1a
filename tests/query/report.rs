//! The report: its page in a browser, and its numbers by time.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::ask;
use crate::support::command::run;
use crate::support::incident::incident;
use crate::support::python::script;
use crate::support::story::{Story, footer};

/// Text that is hostile to a page: markup, quotes, a control character, and one that turns the direction of text.
const EVIL: &str = "<script>alert(1)</script>\u{1b}[31m\" onload='x' \u{202e}&amp;";
/// The same text as the page shows it.
const SHOWN: &str = "<script>alert(1)</script>\\x1b[31m\" onload='x' \\xe2\\x80\\xae&amp;";

/// Creates a recording of a minute, with names that are markup.
fn hostile() -> Story {
    let mut story = incident();
    story.gap(3000, Some("web"), "file", 1234);
    let who = json!({ "container": EVIL, "container_id": "e".repeat(64), "pid": 9, "tid": 9, "comm": EVIL, "exe": EVIL });
    for i in 0..60 {
        let path = format!("/{i}/{EVIL}");
        let call = json!({ "class": "file", "path": path, "error": "ENOENT" });
        story.call(1000 * i, &who, "openat", -2, call);
        story.call(
            1000 * i + 500,
            &who,
            "close",
            0,
            json!({ "class": "file", "path": path }),
        );
    }
    story
}

#[test]
fn a_page_is_worked_with_in_a_browser() {
    let dir = TempDir::new().unwrap();
    hostile().write(dir.path(), "run.parquet");
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report");
    std::fs::create_dir_all(&pictures).unwrap();
    let mut command = script("report.py");
    command.arg(env!("CARGO_BIN_EXE_ctrace-query"));
    command.arg(dir.path().join("run.parquet"));
    let said = run(command.arg(&pictures).arg(SHOWN));
    let checks = said.trim().strip_suffix(" checks").unwrap();
    assert!(checks.parse::<u32>().unwrap() > 40, "{said}");
}

/// Returns the data of the page that `args` make.
fn page_data(dir: &Path, args: &[&str]) -> Value {
    let page = ask(dir, args);
    let (_, data) = page
        .split_once("<script type=\"application/json\" id=\"data\">")
        .unwrap();
    serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap()
}

/// Returns the sum of counts in the form of the page's data.
fn total(runs: &Value) -> i64 {
    let runs = runs.as_array().unwrap().iter();
    runs.map(|n| n.as_i64().unwrap().max(0)).sum()
}

/// Returns a cell's number, or the text without separators of thousands.
fn number(cell: &Value) -> i64 {
    cell.as_i64().unwrap_or(0)
}

#[test]
fn counts_by_time_add_up_to_the_counts_of_the_tables() {
    let dir = TempDir::new().unwrap();
    hostile().write(dir.path(), "run.parquet");
    for args in [
        &["report"][..],
        &["report", "-c", "web", "--since", "03:12:01"],
        &["report", "--setup", "--limit", "7"],
    ] {
        let data = page_data(dir.path(), args);
        let mut compared = vec![];
        for table in data["tables"].as_array().unwrap() {
            let Some(counts) = table["counts"].as_array() else {
                continue;
            };
            let rows = table["rows"].as_array().unwrap();
            assert_eq!(rows.len(), counts.len());
            for (place, column) in table["columns"].as_array().unwrap().iter().enumerate() {
                let Some(count) = column["count"].as_u64() else {
                    continue;
                };
                for (row, counts) in rows.iter().zip(counts) {
                    let count = total(&counts[count as usize]);
                    assert_eq!(
                        number(&row[place]),
                        count,
                        "{args:?} {} {row}",
                        table["question"]
                    );
                }
                compared.push(table["question"].as_str().unwrap());
            }
        }
        for question in ["containers", "errors", "files", "peers", "syscalls"] {
            assert!(compared.contains(&question), "{compared:?}");
        }
        let series = data["timeline"]["series"].as_array().unwrap().iter();
        let calls: i64 = series.map(|series| total(&series["calls"])).sum();
        let mut tables = data["tables"].as_array().unwrap().iter();
        let containers = tables.find(|table| table["question"] == "containers");
        let containers = containers.unwrap()["counts"].as_array().unwrap().iter();
        let of_containers: i64 = containers.map(|counts| total(&counts[0])).sum();
        assert!(
            calls > 0 && calls == of_containers,
            "{calls} {of_containers}"
        );
    }
}

#[test]
fn a_page_of_many_rows_stays_small() {
    let dir = TempDir::new().unwrap();
    let mut story = Story::default();
    footer(&mut story);
    for i in 0..3_000i64 {
        let container = format!("container-{}", i % 60);
        let who = json!({ "container": container, "container_id": format!("{:064x}", i % 60), "pid": i % 60 + 1, "tid": i % 60 + 1 });
        let path = format!("/data/{}/{}", i % 300, "x".repeat(700));
        let call = json!({ "class": "file", "path": path, "error": "ENOENT" });
        story.call(i * 200, &who, "openat", -2, call);
    }
    story.write(dir.path(), "run.parquet");
    let page = ask(dir.path(), &["report"]);
    assert!(
        page.starts_with("exit code 0"),
        "{}",
        &page[..page.len().min(500)]
    );
    assert!(page.len() < 2_000_000, "{}", page.len());
    assert!(page.contains("These are the first 200. All of them: "));
}
