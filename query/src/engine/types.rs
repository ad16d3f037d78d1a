//! The SQL names of Arrow types.

use arrow::datatypes::DataType;

pub(crate) fn name(ty: &DataType) -> String {
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
        DataType::Decimal128(precision, scale) => format!("decimal({precision}, {scale})"),
        other => other.to_string().to_lowercase(),
    }
}

/// SQL names of the types in DataFusion's messages.
const SQL_NAMES: &[(&str, &str)] = &[
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

/// Replaces the names of types in a message of DataFusion by their SQL names.
pub(crate) fn with_sql_names(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(at) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        match SQL_NAMES.iter().find(|(theirs, _)| *theirs == word) {
            Some((_, name)) => {
                out.push_str(name);
                rest = without_parameters(word, rest);
            }
            None => out.push_str(word),
        }
    }
    out + rest
}

/// Returns the text after a type name, without the unit and time zone in parentheses that follow temporal types.
fn without_parameters<'a>(word: &str, rest: &'a str) -> &'a str {
    match matches!(word, "Duration" | "Interval" | "Timestamp") && rest.starts_with('(') {
        true => rest.find(')').map_or(rest, |end| &rest[end + 1..]),
        false => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_their_sql_names() {
        assert_eq!(
            with_sql_names(
                "cannot add Utf8View, Timestamp(ns, \"UTC\") and Duration(ns) to Int64_x"
            ),
            "cannot add text, timestamp and interval to Int64_x"
        );
        assert_eq!(with_sql_names("p99(Utf8)"), "p99(text)");
        assert_eq!(with_sql_names(""), "");
    }
}
