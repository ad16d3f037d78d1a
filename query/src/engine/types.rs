//! Types as SQL names them.

use arrow::datatypes::DataType;

/// The name of a type in SQL.
pub fn name(ty: &DataType) -> String {
    match ty {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "text".into(),
        DataType::Dictionary(_, value) => name(value),
        DataType::Timestamp(..) => "timestamp".into(),
        DataType::Duration(_) | DataType::Interval(_) => "interval".into(),
        DataType::Date32 | DataType::Date64 => "date".into(),
        DataType::Float64 => "double".into(),
        DataType::Float32 => "real".into(),
        DataType::Int64 => "bigint".into(),
        DataType::Int32 => "integer".into(),
        DataType::Int16 => "smallint".into(),
        DataType::Int8 => "tinyint".into(),
        DataType::UInt64 => "bigint unsigned".into(),
        DataType::UInt32 => "integer unsigned".into(),
        DataType::Boolean => "boolean".into(),
        other => other.to_string().to_lowercase(),
    }
}

/// Types by the names that DataFusion's messages have for them.
const SPELLED: &[(&str, &str)] = &[
    ("Utf8View", "text"),
    ("LargeUtf8", "text"),
    ("Utf8", "text"),
    ("Int64", "bigint"),
    ("Int32", "integer"),
    ("Int16", "smallint"),
    ("Int8", "tinyint"),
    ("UInt64", "bigint unsigned"),
    ("UInt32", "integer unsigned"),
    ("Float64", "double"),
    ("Float32", "real"),
    ("Boolean", "boolean"),
    ("Duration", "interval"),
    ("Interval", "interval"),
    ("Timestamp", "timestamp"),
    ("Date32", "date"),
];

/// A message of DataFusion with the types as SQL names them. What stands in quotes is the user's own and stays.
pub fn spelled(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(at) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        match SPELLED.iter().find(|(theirs, _)| *theirs == word) {
            Some((_, name)) => {
                out.push_str(name);
                rest = without_unit(word, rest);
            }
            None => out.push_str(word),
        }
    }
    out + rest
}

/// What follows a type of time, without its unit and zone in parentheses.
fn without_unit<'a>(word: &str, rest: &'a str) -> &'a str {
    match matches!(word, "Duration" | "Interval" | "Timestamp") && rest.starts_with('(') {
        true => rest.find(')').map_or(rest, |end| &rest[end + 1..]),
        false => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_spelled_as_in_sql() {
        assert_eq!(
            spelled("cannot add Utf8View, Timestamp(ns, \"UTC\") and Duration(ns) to Int64_x"),
            "cannot add text, timestamp and interval to Int64_x"
        );
        assert_eq!(spelled("p99(Utf8)"), "p99(text)");
        assert_eq!(spelled(""), "");
    }
}
