//! Evaluates functions over columns. A function of text is evaluated once for each distinct value, because the values in a
//! batch are few.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringViewArray};
use arrow::compute::{cast, take};
use arrow::datatypes::DataType;
use datafusion::common::{ScalarValue, exec_err};
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;

/// An array that collects the results of a function.
pub(crate) trait ResultArray<R>: Array + FromIterator<Option<R>> + 'static {}
impl ResultArray<bool> for BooleanArray {}
impl<R: AsRef<str>> ResultArray<R> for StringViewArray {}

/// Returns argument `i` as an array of `rows` rows.
///
/// # Errors
/// There is no such argument.
pub(crate) fn array(args: &[ColumnarValue], i: usize, rows: usize) -> Result<ArrayRef> {
    match args.get(i) {
        Some(value) => value.to_array(rows),
        None => exec_err!("argument {} is missing", i + 1),
    }
}

/// Returns whether a row passes the `filter` of an aggregate.
pub(crate) fn passes(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

/// Casts text of any Arrow type to views.
///
/// # Errors
/// The array is not text.
pub(crate) fn views(texts: &ArrayRef) -> Result<StringViewArray> {
    Ok(cast(texts, &DataType::Utf8View)?.as_string_view().clone())
}

/// Applies `f` to each text; the result for null is null.
///
/// # Errors
/// The array is not text.
pub(crate) fn each_text<R: Clone, A: ResultArray<R>>(
    texts: &ArrayRef,
    f: impl Fn(&str) -> Option<R>,
) -> Result<ArrayRef> {
    if let Some(dictionary) = texts.as_any_dictionary_opt() {
        let values = each_text::<R, A>(dictionary.values(), f)?;
        return Ok(take(&values, dictionary.keys(), None)?);
    }
    let texts = views(texts)?;
    let mut known: HashMap<&str, Option<R>> = HashMap::new();
    // Rows of a thread follow each other, so most texts repeat the previous row.
    let mut last: Option<(&str, Option<R>)> = None;
    let results: A = texts
        .iter()
        .map(|text| {
            let text = text?;
            match &last {
                Some((before, result)) if *before == text => result.clone(),
                _ => {
                    let result = known.entry(text).or_insert_with(|| f(text)).clone();
                    last = Some((text, result.clone()));
                    result
                }
            }
        })
        .collect();
    Ok(Arc::new(results))
}

/// Applies `test` to each text of argument `text`, with the rule that `parse` reads from argument `rule`. A rule is usually
/// a constant, and parsed once.
///
/// # Errors
/// `parse` rejects a rule.
pub(crate) fn each_tested<P>(
    args: &[ColumnarValue],
    (rule, text): (usize, usize),
    rows: usize,
    parse: impl Fn(&str) -> Result<P>,
    test: impl Fn(&P, &str) -> Option<bool>,
) -> Result<ArrayRef> {
    let texts = array(args, text, rows)?;
    if let Some(ColumnarValue::Scalar(constant)) = args.get(rule) {
        let Some(constant) = constant_text(constant) else {
            return Ok(Arc::new(BooleanArray::new_null(rows)));
        };
        let rule = parse(constant)?;
        return each_text::<bool, BooleanArray>(&texts, |text| test(&rule, text));
    }
    let rules = views(&array(args, rule, rows)?)?;
    let mut last: Option<(&str, P)> = None;
    let mut passes = Vec::with_capacity(rows);
    for (rule, text) in rules.iter().zip(&views(&texts)?) {
        let (Some(rule), Some(text)) = (rule, text) else {
            passes.push(None);
            continue;
        };
        if last.as_ref().is_none_or(|(before, _)| *before != rule) {
            last = Some((rule, parse(rule)?));
        }
        passes.push(last.as_ref().and_then(|(_, rule)| test(rule, text)));
    }
    Ok(Arc::new(BooleanArray::from(passes)))
}

/// Returns the text of a constant; `None`: null.
pub(crate) fn constant_text(constant: &ScalarValue) -> Option<&str> {
    match constant {
        ScalarValue::Dictionary(_, value) => constant_text(value),
        other => other.try_as_str().flatten(),
    }
}

#[cfg(test)]
mod tests {
    // A test that cannot unwrap its own constants should fail there.
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::cell::Cell;

    use arrow::array::DictionaryArray;
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn a_text_is_evaluated_once() {
        let count = Cell::new(0);
        let long = |text: &str| {
            count.set(count.get() + 1);
            Some(text.len() > 3)
        };
        let rows = [Some("a"), Some("a"), None, Some("long"), Some("a")];
        let want = BooleanArray::from(vec![
            Some(false),
            Some(false),
            None,
            Some(true),
            Some(false),
        ]);
        let texts: ArrayRef = Arc::new(StringViewArray::from_iter(rows));
        let results = each_text::<_, BooleanArray>(&texts, long).unwrap();
        assert_eq!((results.as_boolean(), count.take()), (&want, 2));
        let dictionary: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::from_iter(rows));
        let results = each_text::<_, BooleanArray>(&dictionary, long).unwrap();
        assert_eq!((results.as_boolean(), count.take()), (&want, 2));
    }
}
