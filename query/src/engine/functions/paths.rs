//! Paths: what lies below a directory, and patterns.

use datafusion::common::{ScalarValue, exec_err};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, lit};

use crate::engine::functions::scalar::{Gives, Scalar, Takes};
use crate::engine::functions::values::{each_tested, text_of};

/// `path_under(path, directory)`.
pub fn path_under() -> Scalar {
    let takes = &[Takes::Text, Takes::Text];
    Scalar::new("path_under", takes, Gives::Boolean, |args, rows| {
        let test = |directory: &String, path: &str| {
            Some(is_under(path, directory) && stays_under(path, directory))
        };
        each_tested(args, (1, 0), rows, trimmed, test)
    })
    .simplified(as_range)
}

/// Whether a path below a directory does not leave it again by `..`.
fn path_stays_under() -> Scalar {
    let takes = &[Takes::Text, Takes::Text];
    Scalar::new("path_stays_under", takes, Gives::Boolean, |args, rows| {
        let test = |directory: &String, path: &str| Some(stays_under(path, directory));
        each_tested(args, (1, 0), rows, trimmed, test)
    })
}

/// `glob(text, pattern)`.
pub fn glob() -> Scalar {
    let takes = &[Takes::Text, Takes::Text];
    Scalar::new("glob", takes, Gives::Boolean, |args, rows| {
        let read = |pattern: &str| match unclosed(pattern) {
            Some(open) => exec_err!(
                "`{pattern}` is no pattern: `{open}` is not closed; `\\{open}` stands for itself"
            ),
            None => Ok(pattern.to_string()),
        };
        each_tested(args, (1, 0), rows, read, |pattern, text| {
            Some(fast_glob::glob_match(pattern, text))
        })
    })
}

/// What a pattern opens and does not close.
fn unclosed(pattern: &str) -> Option<char> {
    let mut braces = 0_usize;
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => _ = chars.next(),
            '{' => braces += 1,
            '}' => braces = braces.saturating_sub(1),
            '[' => {
                let set = chars.as_str().trim_start_matches(['!', '^']);
                // The first one of a set stands for itself.
                let first = set.chars().next().map_or(0, char::len_utf8);
                let Some(end) = set.get(first..).and_then(|rest| rest.find(']')) else {
                    return Some('[');
                };
                chars = set[first + end + 1..].chars();
            }
            _ => {}
        }
    }
    (braces > 0).then_some('{')
}

/// A directory without the `/` at its end.
fn trimmed(directory: &str) -> Result<String> {
    Ok(match directory {
        // What has no name is no directory, and has nothing below it.
        "" => "\0".into(),
        directory => directory.trim_end_matches('/').into(),
    })
}

fn is_under(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.starts_with('/') || (rest.is_empty() && !path.is_empty()))
}

/// Of a path that [`is_under`].
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
            // There is nothing above the root.
            ".." => return directory.is_empty(),
            _ => depth += 1,
        }
    }
    true
}

/// What is below a constant directory is a range of text, which a scan compares with the bounds of its pages.
fn as_range(args: &[Expr]) -> Option<Expr> {
    let [path, Expr::Literal(directory, _)] = args else {
        return None;
    };
    let name = text_of(directory).filter(|name| !name.is_empty())?;
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
    fn a_directory_holds_itself_and_what_is_below() {
        assert!(is_under("/etc", "/etc"));
        assert!(is_under("/etc/ssl/certs", "/etc"));
        assert!(!is_under("/etcetera", "/etc"));
        assert!(!is_under("/var/etc", "/etc"));
        assert!(is_under("/anything", ""));
        assert!(!is_under("", ""));
        assert!(!is_under("pipe:[7]", ""));
    }

    #[test]
    fn a_path_may_leave_the_directory_again() {
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

    #[test]
    fn a_pattern_closes_what_it_opens() {
        for (pattern, want) in [
            ("[", Some('[')),
            ("a[!]", Some('[')),
            ("a[]]b", None),
            ("[a-z]{b,{c,d}}", None),
            ("{a,b", Some('{')),
            (r"\[\{", None),
            ("[é", Some('[')),
        ] {
            assert_eq!(unclosed(pattern), want, "{pattern}");
        }
    }
}
