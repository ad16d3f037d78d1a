//! Calls over time, as bars, with times below and a scale beside them.

use std::fmt::Write;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use chrono::{DateTime, Timelike};
use ctrace_schema::human;

use crate::commands::report::clock::ns;
use crate::commands::report::{FAILED, rows};
use crate::engine::Engine;
use crate::questions::window::Span;

/// Bars over the whole width.
const SLICES: i64 = 120;
/// Units of the drawing: the width of a bar, and the height of the scale.
const WIDTH: i64 = 10;
const HEIGHT: i64 = 200;
/// The most times below it.
const TIMES: i64 = 6;

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// What was done in a window, and a drawing of it.
pub struct Timeline {
    pub calls: i64,
    /// As the ready question `errors` has it.
    pub failed: i64,
    /// Markup.
    pub drawn: String,
}

/// The calls, the failed ones and the losses in a window; `within` is true of its events.
///
/// # Errors
/// That the recordings cannot be read.
pub async fn draw(engine: &Engine, window: Span, within: &str) -> anyhow::Result<Timeline> {
    let (start, end) = (ns(window.start), ns(window.end));
    let slice = end.saturating_sub(start) / SLICES + 1;
    let sql = format!(
        "select (cast(time as bigint) - {start}) / {slice} as slice,
            cast(coalesce(sum(case when kind = 'syscall' then 1 else calls end), 0) as bigint) as calls,
            cast(count(case when {FAILED} then 1 end) + coalesce(sum(errors), 0) as bigint) as failed,
            cast(coalesce(sum(lost), 0) as bigint) as lost
        from events
        where {within}
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
    let sum = |i: usize| bars.iter().map(|bar: &[i64; 4]| bar[i]).sum();
    Ok(Timeline {
        calls: sum(1),
        failed: sum(2),
        drawn: figure(&bars, start, slice),
    })
}

/// `bars`: slice, calls, failed calls, lost events.
fn figure(bars: &[[i64; 4]], start: i64, slice: i64) -> String {
    let most = bars.iter().map(|[_, calls, ..]| *calls).max().unwrap_or(0);
    let top = scale(most.max(1));
    let times = times(start, start.saturating_add(slice * SLICES));
    let mut out = String::from("<figure class=\"timeline\">\n<div class=\"y\">");
    let ticks: &[i64] = if top > 1 { &[top, top / 2, 0] } else { &[1, 0] };
    for n in ticks {
        out += &format!("<span>{}</span>", human::count(n.unsigned_abs()));
    }
    out += "</div>\n";
    out += &svg(bars, start, slice, top, &times);
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
        human::duration(slice),
        human::count(most.unsigned_abs())
    )
}

fn svg(bars: &[[i64; 4]], start: i64, slice: i64, top: i64, times: &[(f64, String)]) -> String {
    let width = SLICES * WIDTH;
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
        let time = DateTime::from_timestamp_nanos(start.saturating_add(at.saturating_mul(slice)));
        let time = time.format("%H:%M:%S%.3f");
        let mut bar = |class: &str, height: f64| {
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
    out + "</svg>"
}

/// The end of a scale that holds `most`: a round number, the half of which is one.
fn scale(most: i64) -> i64 {
    let mut ten = 1i64;
    loop {
        for step in [1, 2, 4, 6, 8] {
            if ten.saturating_mul(step) >= most {
                return ten.saturating_mul(step);
            }
        }
        ten = ten.saturating_mul(10);
    }
}

/// Round times between two, each with its place as a share of the whole.
fn times(start: i64, end: i64) -> Vec<(f64, String)> {
    const MS: i64 = SECOND / 1000;
    const STEPS: &[i64] = &[
        MS,
        2 * MS,
        5 * MS,
        10 * MS,
        20 * MS,
        50 * MS,
        100 * MS,
        200 * MS,
        500 * MS,
        SECOND,
        2 * SECOND,
        5 * SECOND,
        10 * SECOND,
        15 * SECOND,
        30 * SECOND,
        MINUTE,
        2 * MINUTE,
        5 * MINUTE,
        10 * MINUTE,
        15 * MINUTE,
        30 * MINUTE,
        HOUR,
        2 * HOUR,
        3 * HOUR,
        6 * HOUR,
        12 * HOUR,
        DAY,
        2 * DAY,
        5 * DAY,
        10 * DAY,
        30 * DAY,
        90 * DAY,
        365 * DAY,
    ];
    let length = end.saturating_sub(start);
    let few = |step: &&i64| length / **step < TIMES;
    let step = *STEPS.iter().find(few).unwrap_or(&(length / 4));
    let mut times = Vec::new();
    let mut next = start.div_euclid(step).checked_mul(step);
    while let Some(at) = next.filter(|at| *at <= end) {
        if at >= start {
            let time = DateTime::from_timestamp_nanos(at);
            let midnight = time.num_seconds_from_midnight() == 0 && time.nanosecond() == 0;
            let format = match step {
                _ if midnight => "%-d %b",
                ..SECOND => "%H:%M:%S%.3f",
                SECOND..MINUTE => "%H:%M:%S",
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
    fn bars_are_as_high_as_there_are_calls() {
        let drawn = figure(&[[0, 100, 50, 0], [3, 1, 0, 7]], 0, SECOND);
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
            assert!(drawn.contains(part), "{part}: {drawn}");
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
        for (most, top) in pairs {
            assert_eq!(scale(most), top);
        }
        assert!(scale(i64::MAX) > 0);
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
        assert_eq!(at(7 * SECOND, 37 * SECOND), "00:00:10 00:00:20 00:00:30");
        assert_eq!(
            at(0, SECOND / 2),
            "1 Jan 00:00:00.100 00:00:00.200 00:00:00.300 00:00:00.400 00:00:00.500"
        );
        assert_eq!(at(HOUR, 2 * HOUR), "01:00 01:15 01:30 01:45 02:00");
        assert_eq!(
            at(20 * HOUR, 30 * HOUR),
            "20:00 22:00 2 Jan 02:00 04:00 06:00"
        );
        assert_eq!(at(0, 30 * DAY), "1 Jan 11 Jan 21 Jan 31 Jan");
        // An empty window, and all time.
        assert_eq!(at(5, 5), "");
        assert!(!at(0, i64::MAX - DAY).is_empty());
    }
}
