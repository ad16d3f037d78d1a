//! Calls whose path or address another thread changes all the time: a row has one of the two values that the memory had,
//! or null, and the file that the kernel has opened.

use crate::case::Case;
use crate::support::compare::rows::Row;
use std::collections::{BTreeSet, HashMap};

const PATHS: [&str; 2] = ["/tmp/race/a", "/tmp/race/b"];
const NAMES: [&str; 2] = ["/tmp/race/1", "/tmp/race/2"];
const PORTS: [i64; 2] = [7200, 7201];

fn compare(program: &'static str) {
    let (stdout, rows) = Case::new(program, 0).run_alone(&[program]);
    let words: Vec<Vec<&str>> = stdout.lines().map(|l| l.split(' ').collect()).collect();
    let inode = |word: &str| word.parse::<i64>().unwrap();
    let files = words.iter().filter(|w| w[0] == "file");
    let files: HashMap<i64, &str> = files.map(|w| (inode(w[2]), w[1])).collect();
    let opened: Vec<i64> = words
        .iter()
        .filter(|w| w[0] == "opened")
        .map(|w| inode(w[1]))
        .collect();
    let is_changed =
        |row: &&Row| row.comm == program && row.pid == row.tid && row.kind == "syscall";
    let mut rows: Vec<&Row> = rows.iter().filter(is_changed).collect();
    rows.sort_by_key(|r| r.seq);
    let began = rows
        .iter()
        .position(|r| r.syscall.starts_with("clone"))
        .unwrap();
    let rows = &rows[began..];

    let opens = rows
        .iter()
        .filter(|r| matches!(r.syscall.as_str(), "open" | "openat"));
    let recorded: Vec<_> = opens.map(|r| (r.inode, r.path.as_deref())).collect();
    let expected: Vec<_> = opened.iter().map(|i| (Some(*i), Some(files[i]))).collect();
    assert_eq!(recorded, expected);
    let both: BTreeSet<_> = opened.iter().collect();
    assert_eq!(both.len(), 2, "the other thread changed nothing");

    let one_of =
        |value: &Option<String>, all: [&str; 2]| value.as_deref().is_none_or(|v| all.contains(&v));
    let (mut paths, mut addresses) = (0, 0);
    for row in rows
        .iter()
        .filter(|r| r.path_arg.as_ref().is_some_and(|p| !p.is_empty()))
    {
        paths += 1;
        let right =
            one_of(&row.path, PATHS) && one_of(&row.path_arg, PATHS) && one_of(&row.path2, PATHS);
        assert!(right, "{row:?}");
    }
    for row in rows.iter().filter(|r| r.syscall.starts_with("send")) {
        addresses += 1;
        let right =
            one_of(&row.peer_path, NAMES) && row.peer_port.is_none_or(|p| PORTS.contains(&p));
        assert!(right, "{row:?}");
    }
    println!("{program}: {paths} paths, {addresses} addresses");
    assert!(
        paths >= opened.len() * 7 && addresses == opened.len() * 3,
        "{paths}, {addresses}"
    );
}

#[test]
fn native() {
    compare("race");
}

#[test]
fn of_32_bits() {
    compare("race32");
}
