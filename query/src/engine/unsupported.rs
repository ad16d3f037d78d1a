//! Plain sentences for the messages in which DataFusion shows its syntax trees, its plans, or the source of a library.

/// Returns the message and the advice for a message of DataFusion; `None`: the message is plain enough.
pub(super) fn described(text: &str) -> Option<(String, &'static str)> {
    const SUBQUERY: [&str; 4] = [
        "does not support logical expression ScalarSubquery",
        "does not support logical expression Exists",
        "does not support logical expression InSubquery",
        "does not support logical expression OuterReferenceColumn",
    ];
    if SUBQUERY.iter().any(|part| text.contains(part)) {
        return Some((
            "this subquery cannot be answered for each row: here, a subquery may compare columns of the outer query with `=` only".into(),
            "Write a join with `group by`, or a window function such as lag() or sum() over (...).",
        ));
    }
    if text.contains("regex parse error") || text.contains("Regular expression did not compile") {
        let reason = text.rsplit_once("error: ").map(|(_, reason)| reason);
        let reason = reason.and_then(|reason| reason.split(['\n', '"']).next());
        let reason = reason.map(str::trim).unwrap_or("it does not parse");
        return Some((
            format!("this is not a regular expression: {reason}"),
            "A backslash before one of ( ) [ ] { } * + ? . | ^ $ stands for the character itself.",
        ));
    }
    if text.contains("retract_batch") {
        let before = text.split('(').next().unwrap_or_default();
        let mut words = before.rsplit(|c: char| !c.is_alphanumeric() && c != '_');
        let name = words.next().filter(|name| !name.is_empty());
        let name = name.map_or("this function".into(), |name| format!("{name}()"));
        return Some((
            format!("{name} cannot be computed for frames that begin after the first row"),
            "Begin the frame with `unbounded preceding`, or join the table with itself and `group by`.",
        ));
    }
    let tree = [
        "Unsupported ast node",
        "Unsupported SQL",
        "Unsupported JOIN operator",
    ];
    if tree.iter().any(|part| text.contains(part)) {
        let construct = construct(text);
        return Some((
            format!("{construct} is not supported"),
            "docs/asking.md says what SQL ctrace-query understands.",
        ));
    }
    None
}

/// Returns the name of the syntax tree in a message, in words: `is normalized` for `IsNormalized { expr: ...`.
fn construct(text: &str) -> String {
    let word = |word: &&str| word.starts_with(char::is_uppercase);
    let words = text.split(|c: char| !c.is_alphanumeric());
    let name = words
        .filter(word)
        .find(|word| !matches!(*word, "Unsupported" | "SQL" | "JOIN"));
    let mut out = String::new();
    for c in name.unwrap_or("this syntax").chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push(' ');
        }
        out.extend(c.to_lowercase());
    }
    match name {
        Some(_) => format!("the syntax `{out}`"),
        None => out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_become_names() {
        for (text, want) in [
            (
                "Unsupported ast node in sqltorel: IsNormalized { expr: Identifier(Ident",
                "the syntax `is normalized` is not supported",
            ),
            (
                "Unsupported ast node Pivot { table: x } in create_relation",
                "the syntax `pivot` is not supported",
            ),
            (
                "Unsupported JOIN operator AsOf { match",
                "the syntax `as of` is not supported",
            ),
        ] {
            assert_eq!(
                described(text).map(|(message, _)| message).as_deref(),
                Some(want)
            );
        }
    }

    #[test]
    fn causes_are_named() {
        for (text, want) in [
            (
                "Aggregate can not be used as a sliding accumulator because `retract_batch` is not implemented: bool_or(t.x) ROWS",
                "bool_or() cannot be computed for frames that begin after the first row",
            ),
            (
                "Regular expression did not compile: regex parse error:\n    (\n    ^\nerror: unclosed group",
                "this is not a regular expression: unclosed group",
            ),
        ] {
            assert_eq!(
                described(text).map(|(message, _)| message).as_deref(),
                Some(want)
            );
        }
    }

    #[test]
    fn other_messages_remain() {
        assert_eq!(described("table 'x' not found"), None);
    }
}
