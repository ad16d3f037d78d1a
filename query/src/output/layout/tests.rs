// A test that cannot unwrap its own constants should fail there.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::*;

fn rows(cells: &[&[&str]]) -> Vec<TextRow> {
    let row = |cells: &&[&str]| cells.iter().map(|c| c.to_string()).collect();
    cells.iter().map(row).collect()
}

fn shown(columns: &[(&str, CellKind)], rows: &[TextRow], max_width: usize) -> Option<String> {
    let names: Vec<_> = columns.iter().map(|(name, _)| name.to_string()).collect();
    let kinds: Vec<_> = columns.iter().map(|(_, kind)| *kind).collect();
    let layout = TableLayout::fitted(&names, &kinds, rows, true, max_width)?;
    let mut lines = layout.header(Some(max_width));
    lines.extend(rows.iter().map(|row| layout.row(row)));
    for line in &lines {
        assert!(line.width() <= max_width, "{line}");
    }
    Some(lines.join("\n"))
}

#[test]
fn cells_are_cut_in_the_middle() {
    assert_eq!(cut("/etc/hosts", 10), "/etc/hosts");
    assert_eq!(cut("/etc/hosts.allow", 10), "/etc/h…low");
    // A wide character needs two columns.
    assert_eq!(cut("漢字漢字", 5), "漢…");
    assert_eq!(cut("漢字漢字", 6), "漢…字");
    assert_eq!(cut("ab", 1), "…");
}

#[test]
fn a_table_that_fits_is_shown_in_full() {
    let rows = rows(&[&["2026-11-21 03:12:05.000000000", "7"]]);
    let columns = [("time", CellKind::Time), ("n", CellKind::Number)];
    assert_eq!(
        shown(&columns, &rows, 32).unwrap(),
        "time                           n\n-----------------------------  -\n2026-11-21 03:12:05.000000000  7"
    );
}

#[test]
fn times_are_shown_without_a_shared_date_and_zeros() {
    let rows = rows(&[
        &[
            "2026-11-21 03:12:05.123456789",
            "2026-11-21 03:12:05.000000000",
        ],
        &["2026-11-21 03:12:05.123999789", ""],
    ]);
    let columns = [("first_seen", CellKind::Time), ("exited", CellKind::Time)];
    assert_eq!(
        shown(&columns, &rows, 40).unwrap(),
        "all times are on 2026-11-21 UTC\n\
         first_seen       exited\n\
         ---------------  --------\n\
         03:12:05.123456  03:12:05\n\
         03:12:05.123999"
    );
    // A narrower table shows milliseconds.
    assert!(
        shown(&columns, &rows, 22)
            .unwrap()
            .contains("\n03:12:05.123  03:12:05\n")
    );
}

#[test]
fn times_of_several_dates_are_shown_with_them() {
    let rows = rows(&[
        &["2026-11-21 23:59:59.100000000"],
        &["2026-11-22 00:00:00.200000000"],
    ]);
    let shown = shown(&[("time", CellKind::Time)], &rows, 25).unwrap();
    assert!(shown.ends_with("\n2026-11-21 23:59:59.100\n2026-11-22 00:00:00.200"));
}

#[test]
fn ids_are_shortened_as_docker_prints_them() {
    let id = "2a3b30b270cf".to_string() + &"0".repeat(52);
    let rows = rows(&[&[&id]]);
    let shown = shown(&[("container_id", CellKind::Text)], &rows, 20).unwrap();
    assert!(shown.ends_with("\n2a3b30b270cf"), "{shown}");
}

#[test]
fn values_that_all_rows_share_are_shown_once() {
    let rows = rows(&[
        &[
            "demo-client",
            "docker",
            "",
            "/usr/share/nginx/html/index.html",
            "1633",
        ],
        &["demo-web", "docker", "", "/etc/hosts", "7"],
    ]);
    let columns = [
        ("container", CellKind::Text),
        ("runtime", CellKind::Text),
        ("pod", CellKind::Text),
        ("path", CellKind::Text),
        ("bytes_received", CellKind::Number),
    ];
    assert_eq!(
        shown(&columns, &rows, 40).unwrap(),
        "every row: runtime docker\n\
         empty: pod\n\
         \u{20}                                 bytes_\n\
         container    path               received\n\
         -----------  -----------------  --------\n\
         demo-client  /usr/share…x.html      1633\n\
         demo-web     /etc/hosts                7"
    );
}

#[test]
fn numbers_are_not_cut_and_text_has_a_minimum_width() {
    let long = "x".repeat(80);
    let rows = rows(&[&[&long, &long, "1234567890123"]]);
    let columns = [
        ("a", CellKind::Text),
        ("b", CellKind::Text),
        ("n", CellKind::Number),
    ];
    let table = shown(&columns, &rows, 49).unwrap();
    assert!(table.ends_with("  1234567890123"), "{table}");
    // One row is easier to read as a list than cut further.
    assert_eq!(shown(&columns, &rows, 48), None);
}

#[test]
fn columns_of_many_rows_are_left_out_times_first() {
    let row = |i: usize| {
        let second = format!("2026-11-21 03:12:{i:02}.123456789");
        vec![
            format!("container-{i:010}"),
            i.to_string(),
            second.clone(),
            second,
        ]
    };
    let rows: Vec<TextRow> = (10..30).map(row).collect();
    let columns = [
        ("container", CellKind::Text),
        ("calls", CellKind::Number),
        ("first_seen", CellKind::Time),
        ("last_seen", CellKind::Time),
    ];
    let table = shown(&columns, &rows, 40).unwrap();
    assert!(table.starts_with(
        "all times are on 2026-11-21 UTC\ncolumns left out to fit the terminal:\n  last_seen (`--format vertical` shows\n  them)\n"
    ), "{table}");
    assert!(
        table.ends_with("\ncontainer-0…0000029     29  03:12:29.123"),
        "{table}"
    );
    // With the first column alone, the table would be useless.
    assert_eq!(shown(&columns, &rows, 12), None);
}

#[test]
fn numbers_and_times_of_later_rows_are_not_cut() {
    let first = rows(&[&["2026-11-21 03:12:05.100000000", "1"]]);
    let kinds = [CellKind::Time, CellKind::Number];
    let names = ["time", "n"].map(String::from);
    let layout = TableLayout::fitted(&names, &kinds, &first, false, 20).unwrap();
    assert_eq!(layout.row(&first[0]), "03:12:05.100  1");
    let later = &rows(&[&["2026-11-22 03:12:05.100000000", "12345678"]])[0];
    assert_eq!(layout.row(later), "2026-11-22 03:12:05.100  12345678");
}

#[test]
fn columns_that_answer_the_question_are_left_out_last() {
    let row = |i: usize| {
        let text = |name: &str| format!("{name}-with-a-long-text-{i}");
        ["container", "error", "comm", "exe"].map(text).to_vec()
    };
    let rows: Vec<TextRow> = (10..30).map(row).collect();
    let columns = ["container", "error", "comm", "exe"].map(|name| (name, CellKind::Text));
    let table = shown(&columns, &rows, 60).unwrap();
    assert!(
        table.contains("left out to fit the terminal: exe "),
        "{table}"
    );
    let table = shown(&columns, &rows, 40).unwrap();
    assert!(
        table.contains("comm, exe") && table.contains("error-w"),
        "{table}"
    );
}
