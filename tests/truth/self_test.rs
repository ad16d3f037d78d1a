//! The comparison itself: it accepts equal runs and finds each kind of difference.

use crate::support::compare::{calls::compare, rows::Row, strace};
use serde_json::{Value, json};

const STRACE: &str = r#"execve("\x2f\x61", ["\x61", "\x20"], [], 0) = 0
openat(-100<\x2f>, "\x62", 0x80000) = 3<\x2f\x62>
read(3<\x2f\x62>, "\x78", 5) = 1
connect(4<TCP:[7]>, {sa_family=0x2, sin_port="\x00\x50", sin_addr="\x7f\x00\x00\x01"}, 16) = -1 ECONNREFUSED (Connection refused)
readlink("\x2f\x70\x72\x6f\x63\x2f\x73\x65\x6c\x66\x2f\x65\x78\x65", "\x2f\x61", 4096) = 2
exit_group(3) = ?
+++ exited with 3 +++
"#;

/// Returns the row of a call by thread 9 with `more` columns.
fn call(seq: i64, name: &str, ret: Option<i64>, more: Value) -> Value {
    let mut row = json!({"seq": seq, "kind": "syscall", "tid": 9, "pid": 9, "comm": "a", "syscall": name,
        "ret": ret, "duration": 1});
    let more = more.as_object().unwrap().clone();
    row.as_object_mut().unwrap().extend(more);
    row
}

fn rows() -> Vec<Value> {
    vec![
        call(
            0,
            "execve",
            Some(0),
            json!({"path": "/a", "path_arg": "/a", "argv": "a ' '"}),
        ),
        call(
            1,
            "openat",
            Some(3),
            json!({"arg0": -100, "arg2": 0x80000, "path": "/b", "path_arg": "b"}),
        ),
        call(
            2,
            "read",
            Some(1),
            json!({"arg0": 3, "arg2": 5, "path": "/b"}),
        ),
        call(
            3,
            "connect",
            Some(-111),
            json!({"arg0": 4, "arg2": 16, "error": "ECONNREFUSED", "inode": 7,
            "family": "inet", "protocol": "tcp", "peer_addr": "127.0.0.1", "peer_port": 80}),
        ),
        call(
            4,
            "readlink",
            Some(2),
            json!({"arg2": 4096, "path": "/proc/self/exe", "path_arg": "/proc/self/exe"}),
        ),
        call(5, "exit_group", None, json!({"arg0": 3})),
        json!({"seq": 6, "kind": "process", "action": "exit", "tid": 9, "pid": 9, "comm": "a", "exit_code": 3}),
    ]
}

fn differences(rows: &[Value]) -> Vec<String> {
    differences_from(STRACE, rows)
}

fn differences_from(strace: &str, rows: &[Value]) -> Vec<String> {
    let rows = rows
        .iter()
        .map(|r| serde_json::from_value::<Row>(r.clone()).unwrap());
    let report = compare(&[strace::thread(9, strace)], rows.collect(), false);
    report.differences
}

#[test]
fn the_same_is_no_difference() {
    assert_eq!(differences(&rows()), Vec::<String>::new());
}

#[test]
fn each_difference_is_found() {
    let changes = [
        (0, "argv", json!("a")),
        (0, "path_arg", json!("a")),
        (0, "path", json!("/b")),
        (1, "path", json!("/c")),
        (1, "arg2", json!(0)),
        (1, "ret", json!(4)),
        (1, "path_arg", Value::Null),
        (2, "path", json!("/c")),
        (2, "path", Value::Null),
        (2, "arg2", json!(6)),
        (2, "denied", json!(true)),
        (2, "syscall", json!("write")),
        (3, "error", json!("EPERM")),
        (3, "ret", json!(0)),
        (3, "family", json!("inet6")),
        (3, "inode", json!(8)),
        (3, "peer_port", json!(81)),
        (3, "peer_addr", Value::Null),
        (5, "ret", json!(0)),
        (6, "exit_code", json!(0)),
        (6, "kind", json!("gap")),
        (2, "tid", json!(10)),
    ];
    for (i, column, value) in changes {
        let mut rows = rows();
        rows[i][column] = value.clone();
        assert_ne!(
            differences(&rows),
            Vec::<String>::new(),
            "{column} of {i}: {value}"
        );
    }
}

/// Calls of a 32-bit program that are compared by rules of their own.
const STRACE_OF_32_BITS: &str = r#"mmap2(NULL, 4096, 0x1, 0x2, 3<\x2f\x62>, 0x2000) = 0xf7000000
ssetmask(0x80000001) = 2147483649
fstat64(3<\x2f\x62>, {st_dev=0xfe01, st_ino=7, st_size=1}) = 0
+++ exited with 0 +++
"#;

#[test]
fn the_rules_of_32_bit_calls_accept_nothing_else() {
    let mapped = json!({"arg1": 4096, "arg2": 1, "arg3": 2, "arg4": 3, "arg5": 2, "path": "/b"});
    let mut rows = vec![
        call(0, "mmap2", Some(0xf700_0000), mapped),
        call(
            1,
            "ssetmask",
            Some(-0x7fff_ffff),
            json!({"arg0": -0x7fff_ffff}),
        ),
        call(2, "fstat64", Some(0), json!({"arg0": 3, "path": "/b"})),
        call(
            3,
            "",
            None,
            json!({"kind": "process", "action": "exit", "exit_code": 0}),
        ),
    ];
    for row in &mut rows {
        row["compat"] = json!(true);
    }
    let differences = |rows: &[Value]| differences_from(STRACE_OF_32_BITS, rows);
    assert_eq!(differences(&rows), Vec::<String>::new());
    for (i, column, value) in [
        (0, "arg5", json!(3)),
        (1, "ret", json!(1)),
        (2, "dev", json!("254:2")),
        (2, "inode", json!(8)),
    ] {
        let mut rows = rows.clone();
        rows[i][column] = value.clone();
        assert_ne!(
            differences(&rows),
            Vec::<String>::new(),
            "{column} of {i}: {value}"
        );
    }
}

#[test]
fn a_missing_row_is_found() {
    for i in 0..rows().len() {
        let mut rows = rows();
        rows.remove(i);
        assert_ne!(differences(&rows), Vec::<String>::new(), "without {i}");
        rows.insert(i, rows[0].clone());
        rows.insert(i, rows[0].clone());
        assert_ne!(
            differences(&rows),
            Vec::<String>::new(),
            "with one more at {i}"
        );
    }
}
