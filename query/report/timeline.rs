//! Calls over time, as bars.

use std::fmt::Write;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use ctrace_schema::human;

use super::rows;
use crate::engine::Engine;
use crate::questions::container_is;
use crate::window::Span;

/// Bars over the whole width.
const SLICES: i64 = 120;
/// Units of the drawing: the width of a bar, and the height of the highest.
const WIDTH: i64 = 10;
const HEIGHT: i64 = 200;

/// A drawing of the calls, the failed ones and the losses in a window, in SVG.
///
/// # Errors
/// That the recordings cannot be read.
pub async fn draw(engine: &Engine, containers: &[String], window: Span) -> anyhow::Result<String> {
    let ns = |time: chrono::DateTime<chrono::Utc>| time.timestamp_nanos_opt().unwrap_or(0);
    let (start, end) = (ns(window.start), ns(window.end));
    let slice = (end - start) / SLICES + 1;
    let of = match containers.is_empty() {
        true => "true".to_string(),
        false => container_is(containers),
    };
    let sql = format!(
        "select (cast(time as bigint) - {start}) / {slice} as slice,
            cast(coalesce(sum(case when kind = 'syscall' then 1 else calls end), 0) as bigint) as calls,
            cast(count(error) + coalesce(sum(errors), 0) as bigint) as failed,
            cast(coalesce(sum(lost), 0) as bigint) as lost
        from events
        where cast(time as bigint) between {start} and {end} and ({of})
        group by 1 order by 1"
    );
    let (_, batches) = rows(engine, &sql).await?;
    let mut bars = Vec::new();
    for batch in &batches {
        let column = |i: usize| batch.column(i).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            bars.push([0, 1, 2, 3].map(|i| column(i).value(row)));
        }
    }
    Ok(svg(&bars, start, slice))
}

/// `bars`: slice, calls, failed calls, lost events.
fn svg(bars: &[[i64; 4]], start: i64, slice: i64) -> String {
    let most = bars
        .iter()
        .map(|[_, calls, ..]| *calls)
        .max()
        .unwrap_or(0)
        .max(1);
    let height = |n: i64| (n as f64 / most as f64 * HEIGHT as f64).ceil();
    let mut out = format!(
        "<svg viewBox=\"0 0 {} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"calls over time\">",
        SLICES * WIDTH
    );
    for [at, calls, failed, lost] in bars {
        let time = chrono::DateTime::from_timestamp_nanos(start + at * slice);
        let time = time.format("%H:%M:%S%.3f");
        let mut bar = |class: &str, height: f64| {
            // Writing to a String cannot fail.
            let _ = write!(
                out,
                "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{height}\"><title>{time}: {calls} calls, \
                 {failed} failed, {lost} lost</title></rect>",
                at * WIDTH,
                HEIGHT as f64 - height,
                WIDTH - 2
            );
        };
        if *lost > 0 {
            bar("lost-slice", HEIGHT as f64);
        }
        bar("calls", height(*calls));
        bar("failed", height(*failed));
    }
    let (most, span) = (human::count(most.unsigned_abs()), human::duration(slice));
    out + &format!(
        "</svg>\n<p class=\"note\">Calls in each {span}, {most} at most; red: failed; yellow: events were lost.</p>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_high_as_there_are_calls() {
        let drawn = svg(&[[0, 100, 50, 0], [3, 1, 0, 7]], 0, 1_000_000_000);
        assert!(
            drawn.contains("class=\"calls\" x=\"0\" y=\"0\" width=\"8\" height=\"200\""),
            "{drawn}"
        );
        assert!(
            drawn.contains("class=\"failed\" x=\"0\" y=\"100\" width=\"8\" height=\"100\""),
            "{drawn}"
        );
        assert!(
            drawn.contains("class=\"lost-slice\" x=\"30\" y=\"0\""),
            "{drawn}"
        );
        assert!(
            drawn.contains("00:00:03.000: 1 calls, 0 failed, 7 lost"),
            "{drawn}"
        );
    }
}
