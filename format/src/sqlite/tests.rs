#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use super::*;

#[test]
fn every_column_is_in_exactly_one_table() {
    let sides = SIDES.iter().flat_map(|s| s.columns.iter().map(|c| c.name));
    let mut names: Vec<&str> = sides.chain(EVENT_COLUMNS.iter().copied()).collect();
    names.sort_unstable();
    let all: BTreeSet<&str> = COLUMNS.iter().map(|c| c.name).collect();
    assert_eq!(names, all.into_iter().collect::<Vec<_>>());
}

#[test]
fn the_statements_create_every_view() {
    let db = rusqlite::Connection::open_in_memory().unwrap();
    db.execute_batch(&ddl()).unwrap();
    let names = |table: &str| -> Vec<String> {
        let statement = db.prepare(&format!("select * from {table}")).unwrap();
        statement.column_names().map(ToString::to_string).collect()
    };
    let all: Vec<&str> = COLUMNS.iter().map(|c| c.name).collect();
    assert_eq!(names("events"), all);
    for view in VIEWS {
        let columns = names(view.name);
        for key in view.entity.key() {
            assert!(
                columns.iter().any(|name| name == key),
                "{} lacks {key}",
                view.name
            );
        }
    }
}
