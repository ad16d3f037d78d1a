//! The columns that rules apply to.

use ctrace_schema::columns::{COLUMNS, Type};

/// Columns of text whose values are words of the format, the kernel or the runtimes, or numbers.
const FIXED: &[&str] = &[
    "boot_id",
    "kind",
    "action",
    "class",
    "syscall",
    "error",
    "exe_origin",
    "dev",
    "dev2",
    "family",
    "protocol",
    "dns_type",
    "dns_code",
    "socket_error",
    "direction",
    "runtime",
    "capabilities",
    "host_namespaces",
    "limits",
    "reason",
    "latency",
];

/// The column of user ids, the only number that rules apply to.
pub(crate) const UID: &str = "uid";

/// Returns whether a column holds text that comes from outside, so that a rule may apply to it.
pub(crate) fn is_redactable(column: &str) -> bool {
    let of_text = |name: &str| {
        let mut columns = COLUMNS.iter();
        columns.any(|column| column.name == name && column.ty == Type::Text)
    };
    of_text(column) && !FIXED.contains(&column)
}

/// The columns of numbers in which user and group ids are.
pub const ID_COLUMNS: [&str; 8] = [UID, "arg0", "arg1", "arg2", "arg3", "arg4", "arg5", "ret"];

/// Returns whether the number in a column of [`ID_COLUMNS`], in a row about the call `syscall`, is a user or group id. The names of
/// 32-bit calls end in `32`.
pub fn is_id(column: &str, syscall: &str) -> bool {
    let columns: &[&str] = match syscall.strip_suffix("32").unwrap_or(syscall) {
        "getuid" | "geteuid" | "getgid" | "getegid" => &["ret"],
        "setuid" | "setgid" => &["arg0"],
        "setfsuid" | "setfsgid" => &["arg0", "ret"],
        "setreuid" | "setregid" => &["arg0", "arg1"],
        "setresuid" | "setresgid" => &["arg0", "arg1", "arg2"],
        "chown" | "lchown" | "fchown" => &["arg1", "arg2"],
        "fchownat" => &["arg2", "arg3"],
        _ => &[],
    };
    column == UID || columns.contains(&column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_columns_are_columns_of_text() {
        for name in FIXED {
            let index = ctrace_schema::columns::index(name).expect(name);
            assert_eq!(COLUMNS[index].ty, Type::Text, "{name}");
        }
        assert!(is_redactable("argv") && !is_redactable("kind") && !is_redactable("pid"));
    }

    #[test]
    fn ids_are_in_arguments_and_results() {
        let ids = |call| ID_COLUMNS.iter().filter(move |column| is_id(column, call));
        assert!(ids("fchownat").eq(&["uid", "arg2", "arg3"]));
        assert!(ids("setresuid32").eq(&["uid", "arg0", "arg1", "arg2"]));
        assert!(ids("getuid").eq(&["uid", "ret"]));
        assert!(ids("read").eq(&["uid"]));
    }
}
