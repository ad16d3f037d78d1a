//! Headings of answers: the output of statements that fail, or have no rows.

use crate::ask;
use crate::statements::calls;

#[test]
fn a_failed_query_writes_nothing_to_stdout() {
    let dir = calls();
    for format in [
        "csv", "tsv", "markdown", "arrow", "parquet", "json", "table",
    ] {
        let said = ask(
            dir.path(),
            &["--format", format, "select mod(5, ret-ret) from events"],
        );
        assert!(
            said.starts_with("exit code 2\n--- stderr\nerror: this divides by zero"),
            "{format}: {said}"
        );
    }
    let none = ["csv", "tsv", "markdown"].map(|format| {
        ask(
            dir.path(),
            &[
                "--format",
                format,
                "select pid, tid from events where false",
            ],
        )
    });
    assert_eq!(none[0], "exit code 0\n--- stdout\npid,tid\n");
    assert_eq!(none[1], "exit code 0\n--- stdout\npid\ttid\n");
    assert!(none[2].contains("pid"), "{}", none[2]);
}
