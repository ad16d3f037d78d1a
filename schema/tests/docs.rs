//! `docs/schema.md` and the code agree.

use ctrace_schema::columns::{COLUMNS, Type};
use ctrace_schema::{meta, views};

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schema.md"));
const CHANGES: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../docs/schema-changes.md"
));

/// Returns the lines of the page between this heading and the next one of the same level.
fn section(heading: &str) -> impl Iterator<Item = &'static str> {
    let heading = format!("## {heading}");
    let lines = PAGE.lines().skip_while(move |line| *line != heading);
    lines.skip(1).take_while(|line| !line.starts_with("## "))
}

/// Returns the rows of the tables in a section, without their headers.
fn rows(heading: &str) -> Vec<&'static str> {
    section(heading)
        .filter(|line| line.starts_with("| `"))
        .collect()
}

fn type_name(ty: Type) -> &'static str {
    match ty {
        Type::Time => "timestamp",
        Type::Int64 => "int64",
        Type::Int32 => "int32",
        Type::UInt32 => "uint32",
        Type::Bool => "bool",
        Type::Text => "text",
    }
}

#[test]
fn every_column_is_described_in_order() {
    let expected: Vec<String> = COLUMNS
        .iter()
        .map(|c| format!("| `{}` | {} | {} |", c.name, type_name(c.ty), c.comment))
        .collect();
    assert_eq!(rows("Columns"), expected);
}

#[test]
fn the_columns_that_are_never_null_are_named() {
    let names: Vec<String> = COLUMNS
        .iter()
        .filter(|c| !c.nullable)
        .map(|c| format!("`{}`", c.name))
        .collect();
    let (last, first) = names.split_last().expect("some columns are never null");
    let sentence = format!("{} and {last} are never null", first.join(", "));
    assert!(PAGE.contains(&sentence), "{sentence}");
}

#[test]
fn every_view_is_described() {
    let expected: Vec<String> = views::VIEWS
        .iter()
        .map(|v| format!("| `{}` | {} |", v.name, v.comment))
        .collect();
    assert_eq!(rows("Views"), expected);
}

#[test]
fn every_metadata_key_is_described() {
    let keys: Vec<&str> = rows("About the recording itself")
        .iter()
        .filter_map(|row| row.split('`').nth(1))
        .collect();
    let expected = [
        meta::KEY_SCHEMA,
        meta::KEY_PRODUCER,
        meta::KEY_HOST,
        meta::KEY_BOOT_ID,
        meta::KEY_KERNEL,
        meta::KEY_ARCH,
        meta::KEY_START,
        meta::KEY_END,
        meta::KEY_CLOCKS,
        meta::KEY_FILTERS,
        meta::KEY_EVENTS,
        meta::KEY_LOST,
        meta::KEY_SHED,
        meta::KEY_DUMP,
        meta::KEY_RUN,
        meta::KEY_ALIVE,
        meta::KEY_DIGEST,
        meta::KEY_PREVIOUS,
        meta::KEY_CUT,
        meta::KEY_MERGED,
        meta::KEY_REDACTED,
        meta::KEY_MISSED,
    ];
    assert_eq!(keys, expected);
}

#[test]
fn the_version_is_current() {
    let (major, minor) = meta::SCHEMA_VERSION;
    assert!(PAGE.contains(&format!("describes version {major}.{minor} of the format")));
    assert!(CHANGES.contains(&format!("- {major}.{minor}: ")));
}
