//! A bar chart of the calls over time.

use std::fmt::Write;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use chrono::{DateTime, Timelike};
use ctrace_schema::human;

use crate::commands::report::clock::{SECOND_NS, ns};
use crate::engine::Engine;
use crate::questions::FAILED_CALL;
use crate::source::TimeSpan;

/// Number of bars.
const BARS: i64 = 120;
/// The width of a bar and the height of the chart, in SVG units.
const BAR_WIDTH: i64 = 10;
const HEIGHT: i64 = 200;
/// Maximum number of labels on the time axis.
const MAX_TIMES: i64 = 6;

const MINUTE_NS: i64 = 60 * SECOND_NS;
const HOUR_NS: i64 = 60 * MINUTE_NS;
const DAY_NS: i64 = 24 * HOUR_NS;

/// The calls in a time window, and their chart.
pub(crate) struct Timeline {
    pub(crate) calls: i64,
    /// The failed calls, as in the ready question `errors`.
    pub(crate) failed: i64,
    pub(crate) html: String,
}

/// Charts the calls, failed calls and lost events in a time window. `condition` selects the events.
///
/// # Errors
/// A recording cannot be read.
pub(crate) async fn timeline(
    engine: &Engine,
    window: TimeSpan,
    condition: &str,
) -> anyhow::Result<Timeline> {
    let (start, end) = (ns(window.start), ns(window.end));
    let slice_ns = end.saturating_sub(start) / BARS + 1;
    let sql = format!(
        "select (cast(time as bigint) - {start}) / {slice_ns} as slice,
            cast(coalesce(sum(case when kind = 'syscall' then 1 else calls end), 0) as bigint) as calls,
            cast(count(case when {FAILED_CALL} then 1 end) + coalesce(sum(errors), 0) as bigint) as failed,
            cast(coalesce(sum(lost), 0) as bigint) as lost
        from events
        where {condition}
        group by 1 order by 1"
    );
    let (_, batches) = engine.collect(&sql).await?;
    let mut bars = Vec::new();
    for batch in &batches {
        let column = |i: usize| batch.column(i).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            bars.push([0, 1, 2, 3].map(|i| column(i).value(row)));
        }
    }
    let sum = |i: usize| bars.iter().map(|bar: &[i64; 4]| bar[i]).sum();
    Ok(Timeline {
        calls: sum(1),
        failed: sum(2),
        html: figure(&bars, start, slice_ns),
    })
}

/// Draws the chart as HTML. Each bar is the number of its time slice, calls, failed calls and lost events.
fn figure(bars: &[[i64; 4]], start: i64, slice_ns: i64) -> String {
    let max = bars.iter().map(|[_, calls, ..]| *calls).max().unwrap_or(0);
    let top = scale_end(max.max(1));
    let times = times(start, start.saturating_add(slice_ns * BARS));
    let mut out = String::from("<figure class=\"timeline\">\n<div class=\"y\">");
    let ticks: &[i64] = if top > 1 { &[top, top / 2, 0] } else { &[1, 0] };
    for n in ticks {
        out += &format!("<span>{}</span>", human::count(n.unsigned_abs()));
    }
    out += "</div>\n";
    out += &svg(bars, start, slice_ns, top, &times);
    out += "\n<div class=\"x\">";
    for (share, time) in &times {
        out += &format!("<span style=\"left:{:.2}%\">{time}</span>", share * 100.0);
    }
    let lost = match bars.iter().any(|[.., lost]| *lost > 0) {
        true => "<span><i class=\"k lost-slice\"></i>events were lost</span>",
        false => "",
    };
    out + &format!(
        "</div>\n<figcaption><span><i class=\"k calls\"></i>calls</span><span><i class=\"k failed\"></i>failed</span>\
         {lost}<span>each bar is {}, the highest {} calls; times are UTC</span></figcaption>\n</figure>",
        human::duration(slice_ns),
        human::count(max.unsigned_abs())
    )
}

fn svg(bars: &[[i64; 4]], start: i64, slice_ns: i64, top: i64, times: &[(f64, String)]) -> String {
    let width = BARS * BAR_WIDTH;
    let mut out = format!(
        "<svg viewBox=\"0 0 {width} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"calls over time\">"
    );
    // Writing to a String cannot fail.
    for y in [0, HEIGHT / 2] {
        let _ = write!(out, "<path class=\"grid\" d=\"M0 {y}H{width}\"/>");
    }
    for (share, _) in times {
        let x = (share * width as f64).round();
        let _ = write!(out, "<path class=\"grid\" d=\"M{x} 0V{HEIGHT}\"/>");
    }
    let height = |n: i64| (n as f64 / top as f64 * HEIGHT as f64).ceil();
    for [at, calls, failed, lost] in bars {
        let time =
            DateTime::from_timestamp_nanos(start.saturating_add(at.saturating_mul(slice_ns)));
        let time = time.format("%H:%M:%S%.3f");
        let mut bar = |class: &str, height: f64| {
            let _ = write!(
                out,
                "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{height}\"><title>{time}: {calls} calls, \
                 {failed} failed, {lost} lost</title></rect>",
                at * BAR_WIDTH,
                HEIGHT as f64 - height,
                BAR_WIDTH - 2
            );
        };
        if *lost > 0 {
            bar("lost-slice", HEIGHT as f64);
        }
        bar("calls", height(*calls));
        bar("failed", height(*failed));
    }
    out + "</svg>"
}

/// Returns the end of a scale up to at least `max`: a round number whose half is also round.
fn scale_end(max: i64) -> i64 {
    let mut ten = 1i64;
    loop {
        for step in [1, 2, 4, 6, 8] {
            if ten.saturating_mul(step) >= max {
                return ten.saturating_mul(step);
            }
        }
        ten = ten.saturating_mul(10);
    }
}

/// Returns round times between two times, each with its position from 0 to 1.
fn times(start: i64, end: i64) -> Vec<(f64, String)> {
    const MS_NS: i64 = SECOND_NS / 1000;
    const STEPS: &[i64] = &[
        MS_NS,
        2 * MS_NS,
        5 * MS_NS,
        10 * MS_NS,
        20 * MS_NS,
        50 * MS_NS,
        100 * MS_NS,
        200 * MS_NS,
        500 * MS_NS,
        SECOND_NS,
        2 * SECOND_NS,
        5 * SECOND_NS,
        10 * SECOND_NS,
        15 * SECOND_NS,
        30 * SECOND_NS,
        MINUTE_NS,
        2 * MINUTE_NS,
        5 * MINUTE_NS,
        10 * MINUTE_NS,
        15 * MINUTE_NS,
        30 * MINUTE_NS,
        HOUR_NS,
        2 * HOUR_NS,
        3 * HOUR_NS,
        6 * HOUR_NS,
        12 * HOUR_NS,
        DAY_NS,
        2 * DAY_NS,
        5 * DAY_NS,
        10 * DAY_NS,
        30 * DAY_NS,
        90 * DAY_NS,
        365 * DAY_NS,
    ];
    let length = end.saturating_sub(start);
    let is_coarse = |step: &&i64| length / **step < MAX_TIMES;
    let step = *STEPS.iter().find(is_coarse).unwrap_or(&(length / 4));
    let mut times = Vec::new();
    let mut next = start.div_euclid(step).checked_mul(step);
    while let Some(at) = next.filter(|at| *at <= end) {
        if at >= start {
            let time = DateTime::from_timestamp_nanos(at);
            let midnight = time.num_seconds_from_midnight() == 0 && time.nanosecond() == 0;
            let format = match step {
                _ if midnight => "%-d %b",
                ..SECOND_NS => "%H:%M:%S%.3f",
                SECOND_NS..MINUTE_NS => "%H:%M:%S",
                _ => "%H:%M",
            };
            let share = (at - start) as f64 / length.max(1) as f64;
            times.push((share, time.format(format).to_string()));
        }
        next = at.checked_add(step);
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_proportional_to_calls() {
        let html = figure(&[[0, 100, 50, 0], [3, 1, 0, 7]], 0, SECOND_NS);
        for part in [
            "class=\"calls\" x=\"0\" y=\"0\" width=\"8\" height=\"200\"",
            "class=\"failed\" x=\"0\" y=\"100\" width=\"8\" height=\"100\"",
            "class=\"lost-slice\" x=\"30\" y=\"0\"",
            "00:00:03.000: 1 calls, 0 failed, 7 lost",
            "<span>100</span><span>50</span><span>0</span>",
            "<span style=\"left:50.00%\">00:01:00</span>",
            "events were lost",
            "each bar is 1.00s, the highest 100 calls",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
    }

    #[test]
    fn a_scale_ends_at_a_round_number() {
        let pairs = [
            (1, 1),
            (2, 2),
            (3, 4),
            (9, 10),
            (101, 200),
            (4_993_848, 6_000_000),
        ];
        for (max, top) in pairs {
            assert_eq!(scale_end(max), top);
        }
        assert!(scale_end(i64::MAX) > 0);
    }

    #[test]
    fn times_are_round_and_few() {
        let at = |start: i64, end: i64| {
            let times = times(start, end);
            times
                .into_iter()
                .map(|(_, time)| time)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            at(7 * SECOND_NS, 37 * SECOND_NS),
            "00:00:10 00:00:20 00:00:30"
        );
        assert_eq!(
            at(0, SECOND_NS / 2),
            "1 Jan 00:00:00.100 00:00:00.200 00:00:00.300 00:00:00.400 00:00:00.500"
        );
        assert_eq!(at(HOUR_NS, 2 * HOUR_NS), "01:00 01:15 01:30 01:45 02:00");
        assert_eq!(
            at(20 * HOUR_NS, 30 * HOUR_NS),
            "20:00 22:00 2 Jan 02:00 04:00 06:00"
        );
        assert_eq!(at(0, 30 * DAY_NS), "1 Jan 11 Jan 21 Jan 31 Jan");
        // An empty window, and the largest one.
        assert_eq!(at(5, 5), "");
        assert!(!at(0, i64::MAX - DAY_NS).is_empty());
    }
}
