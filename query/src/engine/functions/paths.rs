//! The function on paths below a directory.

use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, lit};

use crate::engine::functions::scalar::{ArgType, ResultType, ScalarFn};
use crate::engine::functions::values::{constant_text, each_tested};

/// Defines `path_under(path, directory)`.
pub(crate) fn path_under() -> ScalarFn {
    let takes = &[ArgType::Text, ArgType::Text];
    ScalarFn::new("path_under", takes, ResultType::Boolean, |args, rows| {
        let test = |directory: &String, path: &str| {
            Some(is_under(path, directory) && stays_under(path, directory))
        };
        each_tested(args, (1, 0), rows, trimmed, test)
    })
    .simplified(as_range)
}

/// Defines the function for the condition that a path below a directory does not leave the directory by `..`.
fn path_stays_under() -> ScalarFn {
    let takes = &[ArgType::Text, ArgType::Text];
    ScalarFn::new(
        "path_stays_under",
        takes,
        ResultType::Boolean,
        |args, rows| {
            let test = |directory: &String, path: &str| Some(stays_under(path, directory));
            each_tested(args, (1, 0), rows, trimmed, test)
        },
    )
}

/// Returns a directory without the `/` at its end.
fn trimmed(directory: &str) -> Result<String> {
    Ok(match directory {
        // An empty text is not a directory, so no path is below it.
        "" => "\0".into(),
        directory => directory.trim_end_matches('/').into(),
    })
}

fn is_under(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.starts_with('/') || (rest.is_empty() && !path.is_empty()))
}

/// Returns whether a path that [`is_under`] a directory does not leave the directory by `..`.
fn stays_under(path: &str, directory: &str) -> bool {
    let Some(rest) = path
        .get(directory.len()..)
        .filter(|rest| rest.contains(".."))
    else {
        return true;
    };
    let mut depth = 0_usize;
    for name in rest.split('/') {
        match name {
            "" | "." => {}
            ".." if depth > 0 => depth -= 1,
            // The parent of the root is the root.
            ".." => return directory.is_empty(),
            _ => depth += 1,
        }
    }
    true
}

/// Returns the paths below a constant directory as a range of text, which a scan can compare with page statistics.
fn as_range(args: &[Expr]) -> Option<Expr> {
    let [path, Expr::Literal(directory, _)] = args else {
        return None;
    };
    let name = constant_text(directory).filter(|name| !name.is_empty())?;
    let name = name.trim_end_matches('/');
    let text = |end: &str| lit(ScalarValue::Utf8View(Some(format!("{name}{end}"))));
    // `0` is the character after `/`.
    let below = path
        .clone()
        .gt_eq(text("/"))
        .and(path.clone().lt(text("0")));
    let under = match name {
        "" => return Some(below),
        _ => path.clone().eq(text("")).or(below),
    };
    Some(under.and(path_stays_under().udf().call(args.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_contains_itself_and_paths_below() {
        assert!(is_under("/etc", "/etc"));
        assert!(is_under("/etc/ssl/certs", "/etc"));
        assert!(!is_under("/etcetera", "/etc"));
        assert!(!is_under("/var/etc", "/etc"));
        assert!(is_under("/anything", ""));
        assert!(!is_under("", ""));
        assert!(!is_under("pipe:[7]", ""));
    }

    #[test]
    fn a_path_may_leave_the_directory() {
        for (path, want) in [
            ("/etc/ssl/../passwd", true),
            ("/etc/./a/b/../..", true),
            ("/etc/..hidden", true),
            ("/etc/../root", false),
            ("/etc/a/../../root", false),
            ("/etc/..", false),
        ] {
            assert!(is_under(path, "/etc"));
            assert_eq!(stays_under(path, "/etc"), want, "{path}");
        }
        assert!(stays_under("/../etc", ""));
    }
}
