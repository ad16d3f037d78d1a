//! Works functions out over columns: text once for each distinct value, for a batch names the same few again and again.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringViewArray};
use arrow::compute::{cast, take};
use arrow::datatypes::DataType;
use datafusion::common::{ScalarValue, exec_err};
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;

/// Collects what a function gave for each row.
pub trait Results<R>: Array + FromIterator<Option<R>> + 'static {}
impl Results<bool> for BooleanArray {}
impl<R: AsRef<str>> Results<R> for StringViewArray {}

/// Argument `i` as an array of `rows` rows.
pub fn array(args: &[ColumnarValue], i: usize, rows: usize) -> Result<ArrayRef> {
    match args.get(i) {
        Some(value) => value.to_array(rows),
        None => exec_err!("argument {} is missing", i + 1),
    }
}

/// Text in whatever form, as views.
pub fn views(texts: &ArrayRef) -> Result<StringViewArray> {
    Ok(cast(texts, &DataType::Utf8View)?.as_string_view().clone())
}

/// What `f` gives for each text; null for null.
pub fn each_text<R: Clone, A: Results<R>>(
    texts: &ArrayRef,
    f: impl Fn(&str) -> Option<R>,
) -> Result<ArrayRef> {
    if let Some(dictionary) = texts.as_any_dictionary_opt() {
        let values = each_text::<R, A>(dictionary.values(), f)?;
        return Ok(take(&values, dictionary.keys(), None)?);
    }
    let texts = views(texts)?;
    let mut known: HashMap<&str, Option<R>> = HashMap::new();
    // Rows of a thread follow each other: most texts are those of the row before.
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

/// Whether each text of argument `text` passes the `test` of argument `rule`, which `read` understands. A rule is most
/// often a constant and read once.
pub fn each_tested<P>(
    args: &[ColumnarValue],
    (rule, text): (usize, usize),
    rows: usize,
    read: impl Fn(&str) -> Result<P>,
    test: impl Fn(&P, &str) -> Option<bool>,
) -> Result<ArrayRef> {
    let texts = array(args, text, rows)?;
    if let Some(ColumnarValue::Scalar(constant)) = args.get(rule) {
        let Some(constant) = text_of(constant) else {
            return Ok(Arc::new(BooleanArray::new_null(rows)));
        };
        let rule = read(constant)?;
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
            last = Some((rule, read(rule)?));
        }
        passes.push(last.as_ref().and_then(|(_, rule)| test(rule, text)));
    }
    Ok(Arc::new(BooleanArray::from(passes)))
}

/// The text of a constant; none: it is null.
pub fn text_of(constant: &ScalarValue) -> Option<&str> {
    match constant {
        ScalarValue::Dictionary(_, value) => text_of(value),
        other => other.try_as_str().flatten(),
    }
}

#[cfg(test)]
mod tests {
    // A test that cannot unwrap its own constants should fail there.
    #![allow(clippy::unwrap_used)]
    use std::cell::Cell;

    use arrow::array::DictionaryArray;
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn a_text_is_worked_out_once() {
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
