//! Changes as rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampNanosecondArray};

use crate::diff::{Change, Measure};

/// Returns the changes as rows.
///
/// # Errors
/// The columns do not fit together.
pub(super) fn batch(changes: &[Change]) -> anyhow::Result<RecordBatch> {
    let text = |text: &dyn Fn(&Change) -> Option<String>| {
        Arc::new(changes.iter().map(text).collect::<StringArray>()) as ArrayRef
    };
    let number = |number: &dyn Fn(&Change) -> Option<f64>| {
        Arc::new(changes.iter().map(number).collect::<Float64Array>()) as ArrayRef
    };
    let since: TimestampNanosecondArray = changes.iter().map(|change| change.since).collect();
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("change", text(&|c| Some(c.kind.name().into())), false),
        ("what", text(&|c| Some(c.aspect.name().into())), false),
        ("subject", text(&|c| Some(c.subject.clone())), false),
        ("action", text(&|c| c.action.clone()), true),
        ("container", text(&|c| Some(c.container.clone())), false),
        ("good", number(&|c| Some(shown(c.good, c.measure))), false),
        ("bad", number(&|c| Some(shown(c.bad, c.measure))), false),
        ("measure", text(&|c| Some(c.measure.name().into())), false),
        ("factor", number(&|c| c.factor().map(rounded)), true),
        (
            "since",
            Arc::new(since.with_timezone("UTC")) as ArrayRef,
            true,
        ),
        ("example", text(&|c| c.example.clone()), true),
    ])?)
}

fn shown(value: f64, measure: Measure) -> f64 {
    match measure {
        Measure::Count => value,
        Measure::PerSecond | Measure::PerRun | Measure::Median | Measure::P99 => rounded(value),
    }
}

/// Rounds to three digits, which is more than the noise leaves.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let magnitude = value.abs().log10().floor() as i32;
    let unit = 10f64.powi((magnitude - 2).abs());
    match magnitude >= 2 {
        true => (value / unit).round() * unit,
        false => (value * unit).round() / unit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let numbers = [0.0, 123_456.0, 1.234_5, 0.001_236, 99.96, 250.0];
        assert_eq!(
            numbers.map(rounded),
            [0.0, 123_000.0, 1.23, 0.001_24, 100.0, 250.0]
        );
    }
}
