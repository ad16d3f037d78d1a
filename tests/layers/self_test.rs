//! The check itself: it accepts allowed imports and finds each kind of problem.

use super::{problems, table};
use std::fs;

/// Returns the problems of a crate with the given files. `table` has rows such as "a: b c".
fn problems_of(table: &[&str], files: &[(&str, &str)]) -> String {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let row = |row: &&str| {
        let (module, allowed) = row.split_once(':').unwrap();
        let allowed = allowed.split_whitespace().map(String::from);
        (module.to_string(), allowed.collect())
    };
    let problems = problems(dir.path(), &table.iter().map(row).collect());
    problems
        .join("\n")
        .replace(&format!("{}/", dir.path().display()), "")
}

#[test]
fn allowed_imports_are_no_problem() {
    let files = [
        ("lib.rs", "mod a; mod b;\nfn run() { a::start() }"),
        (
            "a/mod.rs",
            "mod c;\npub fn start() -> crate::b::B { c::d(std::mem::take) }",
        ),
        (
            "a/c.rs",
            "// crate::lib\nconst T: &str = \"super::x\"; fn d<'a>(x: &'a crate::b::B) {}",
        ),
        (
            "b.rs",
            "pub(in crate) struct B;\n#[cfg(test)] mod tests { use crate::a; }\n#[cfg(test)] use crate::a;",
        ),
        ("a/tests.rs", "use super::c;"),
    ];
    assert_eq!(problems_of(&["lib: a", "a: b", "b:"], &files), "");
}

#[test]
fn every_form_of_an_import_is_found() {
    for import in [
        "use crate::a::X;",
        "use crate::{b::Y, a};",
        "use crate::{b::Y, a::{self, X}};",
        "use super::a::X;",
        "use super::{a::X};",
        "fn f() { crate::a::g() }",
        "fn f() { println!(\"{}\", crate::a::g()) }",
        "mod inner { use super::super::a::X; }",
        "#[cfg(test)] mod tests;\nuse crate::a::*;",
        "macro_rules! m { () => { $crate::a::g() } }",
    ] {
        let files = [("lib.rs", ""), ("a.rs", ""), ("b.rs", import)];
        let line = import.lines().count();
        let expected = format!("b.rs:{line}: `b` must not import `a`");
        assert_eq!(
            problems_of(&["lib:", "a:", "b:"], &files),
            expected,
            "{import}"
        );
    }
}

#[test]
fn rows_and_modules_must_match() {
    let files = [("lib.rs", "use a::X;"), ("a.rs", ""), ("b.rs", "")];
    let expected = "the table has no row for `b`\nthe table has a row for `c`, no module";
    assert_eq!(problems_of(&["lib: a", "a:", "c:"], &files), expected);
}

#[test]
fn an_unused_direction_is_found() {
    let files = [("lib.rs", "use a::X;"), ("a.rs", ""), ("b.rs", "")];
    let expected = "the table lets `a` import `b`, which no file does";
    assert_eq!(problems_of(&["lib: a", "a: b", "b:"], &files), expected);
}

#[test]
fn a_circle_of_files_is_found_even_between_parent_and_child() {
    let files = [
        ("lib.rs", "use a::X;"),
        ("a/mod.rs", "mod c;\nuse c::X;"),
        ("a/c.rs", "mod d;\nuse d::X;"),
        ("a/c/d.rs", "\n\nuse super::super::X;"),
    ];
    let expected = "a circle of imports between files:\n    a/mod.rs:2 imports a/c.rs\n    \
        a/c.rs:2 imports a/c/d.rs\n    a/c/d.rs:3 imports a/mod.rs";
    assert_eq!(problems_of(&["lib: a", "a:"], &files), expected);
}

#[test]
fn a_circle_of_modules_is_found() {
    let files = [
        ("lib.rs", ""),
        ("a/x.rs", "use crate::b::y::Y;"),
        ("a/z.rs", ""),
        ("b/y.rs", ""),
        ("b/z.rs", "use crate::a::z::Z;"),
    ];
    let expected = "the table allows a circle: a, b";
    assert_eq!(problems_of(&["lib:", "a: b", "b: a"], &files), expected);
}

#[test]
fn a_table_is_read_from_the_section_of_its_program() {
    let page = "# The recorder and query\n| `x` | `y` |\n## Allowed directions\n### The recorder\n\n| module | may import |\n\
        |---|---|\n| `lib.rs` | `a` `b` |\n| `a`, `b/` | |\n### The query program\n| `c` | `d` |\n## Recorder\n| `e` | `f` |";
    let table = table(page, "recorder");
    let rows: Vec<String> = table
        .iter()
        .map(|(module, to)| format!("{module}{to:?}"))
        .collect();
    assert_eq!(rows, ["a{}", "b{}", "lib{\"a\", \"b\"}"]);
}
