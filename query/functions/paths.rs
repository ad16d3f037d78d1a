//! Paths: what lies below a directory, and patterns.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, lit};

use super::scalar::{Gives, Scalar, Takes};
use super::values::{each_tested, text_of};

/// `path_under(path, directory)`.
pub fn path_under() -> Scalar {
    let takes = &[Takes::Text, Takes::Text];
    Scalar::new("path_under", takes, Gives::Boolean, |args, rows| {
        let read = |directory: &str| Ok(directory.trim_end_matches('/').to_string());
        each_tested(args, (1, 0), rows, read, |directory, path| {
            Some(is_under(path, directory))
        })
    })
    .simplified(as_range)
}

/// `glob(text, pattern)`.
pub fn glob() -> Scalar {
    let takes = &[Takes::Text, Takes::Text];
    Scalar::new("glob", takes, Gives::Boolean, |args, rows| {
        let read = |pattern: &str| Ok(pattern.to_string());
        each_tested(args, (1, 0), rows, read, |pattern, text| {
            Some(fast_glob::glob_match(pattern, text))
        })
    })
}

fn is_under(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.starts_with('/') || (rest.is_empty() && !path.is_empty()))
}

/// What is below a constant directory is a range of text, which a scan compares with the bounds of its pages.
fn as_range(args: &[Expr]) -> Option<Expr> {
    let [path, Expr::Literal(directory, _)] = args else {
        return None;
    };
    let directory = text_of(directory)?.trim_end_matches('/');
    let text = |end: &str| lit(ScalarValue::Utf8View(Some(format!("{directory}{end}"))));
    // `0` is the character after `/`.
    let below = path
        .clone()
        .gt_eq(text("/"))
        .and(path.clone().lt(text("0")));
    Some(match directory {
        "" => below,
        _ => path.clone().eq(text("")).or(below),
    })
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
}
