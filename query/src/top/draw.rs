//! Draws `top` from its state.

use chrono::DateTime;
use ctrace_schema::human;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Row as TableRow, Table, TableState};

use crate::cli::TopLevel;
use crate::screen::{Theme, keys_line, popup};
use crate::top::counts::{RECENT_SECONDS, SECOND_NS, Sums};
use crate::top::keys::HELP;
use crate::top::state::{Liveliness, Mode, Order, Row, Top};

/// The keys of the last line, the most useful ones first.
const KEYS: &[(&str, &str)] = &[
    ("Enter", "open"),
    ("Esc", "back"),
    ("?", "help"),
    ("q", "quit"),
    ("space", "pause"),
    ("<>", "sort"),
    ("/", "filter"),
    ("s", "set-up"),
    ("t", "terminal"),
];

/// The columns after the name: heading, width, order, and the screen width from which they are shown.
const COLUMNS: [(&str, u16, Order, u16); 8] = [
    ("CALLS/S", 9, Order::Rate, 0),
    ("CALLS", 12, Order::Calls, 0),
    ("ERR/S", 7, Order::ErrorRate, 0),
    ("ERRORS", 9, Order::Errors, 0),
    ("MEAN", 8, Order::Slowest, 100),
    ("MAX", 8, Order::Slowest, 80),
    ("BYTES/S", 9, Order::ByteRate, 110),
    ("BYTES", 9, Order::Bytes, 80),
];

/// Draws the whole screen.
pub(super) fn draw(frame: &mut Frame, top: &mut Top, theme: Theme, title: &str) {
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ]);
    let [header, sums, table, footer] = rows.areas(frame.area());
    let rows = top.rows();
    draw_header(frame, header, top, theme, title);
    draw_sums(frame, sums, top, &rows, theme);
    draw_table(frame, table, top, &rows, theme);
    match &top.mode {
        Mode::Filter(prompt) => prompt.draw(frame, footer, theme),
        _ => match &top.error {
            Some(error) => {
                frame.render_widget(Line::styled(error.clone(), theme.failure()), footer)
            }
            None => frame.render_widget(keys_line(KEYS, footer.width, theme), footer),
        },
    }
    if let Mode::Help = top.mode {
        let line = |(keys, what): &(&str, &str)| {
            Line::from(vec![
                Span::styled(format!("{keys:<10}"), theme.label()),
                Span::raw(what.to_string()),
            ])
        };
        popup(frame, "keys of top", HELP.iter().map(line).collect(), theme);
    }
}

fn draw_header(frame: &mut Frame, area: Rect, top: &Top, theme: Theme, title: &str) {
    let state = match (top.is_paused, top.speed, top.is_ended) {
        (true, ..) => "⏸ paused".to_string(),
        (false, Some(_), true) => "■ the end".into(),
        (false, Some(speed), false) => format!("▶ {speed}"),
        (false, None, _) => "● live".into(),
    };
    let time = match top.has_step {
        true => DateTime::from_timestamp_nanos(top.counts.now_ns)
            .format("%Y-%m-%d %H:%M:%S")
            .to_string(),
        false => "reading ...".into(),
    };
    let mut spans = vec![
        Span::styled(state, theme.label()),
        Span::raw("  "),
        Span::styled(time, theme.label()),
    ];
    if let Some(inside) = &top.inside {
        let container = top.counts.containers.get(&inside.container);
        let name = container
            .map(|container| container.name.as_str())
            .unwrap_or_default();
        let image = container.and_then(|container| container.image.as_deref());
        spans.push(Span::raw(format!("  {name}")));
        if let Some(pid) = inside.pid {
            let comm = container.and_then(|container| container.processes.get(&pid));
            let comm = comm
                .map(|process| process.comm.as_str())
                .unwrap_or_default();
            spans.push(Span::raw(format!(" / {pid} {comm}")));
        } else if let Some(image) = image {
            spans.push(Span::styled(format!(" ({image})"), theme.quiet()));
        }
    }
    if !top.filter.is_empty() {
        spans.push(Span::styled(format!("  [{}]", top.filter), theme.notice()));
    }
    spans.push(Span::styled(format!("  {title}"), theme.quiet()));
    frame.render_widget(Line::from(spans), area);
}

fn rate(count: u64) -> String {
    let rate = count as f64 / RECENT_SECONDS as f64;
    match count {
        0 => "-".into(),
        _ if rate < 10.0 => format!("{rate:.1}"),
        _ => human::count(rate.round() as u64),
    }
}

fn duration(ns: Option<u64>) -> String {
    ns.map_or("-".into(), |ns| {
        human::duration(i64::try_from(ns).unwrap_or(i64::MAX))
    })
}

fn draw_sums(frame: &mut Frame, area: Rect, top: &Top, rows: &[Row], theme: Theme) {
    let what = match top.level {
        TopLevel::Container => "containers",
        TopLevel::Process => "processes",
        TopLevel::Call => "calls",
    };
    let active = rows.iter().filter(|row| row.recent.calls > 0).count();
    let calls: u64 = rows.iter().map(|row| row.recent.calls).sum();
    let errors: u64 = rows.iter().map(|row| row.recent.errors).sum();
    let mut text = format!(
        "{} {what}, {active} active in the last {RECENT_SECONDS}s   {} calls/s   {} errors/s",
        rows.len(),
        rate(calls),
        rate(errors)
    );
    if top.setup {
        text += "   with set-up";
    }
    if top.terminal {
        text += "   with terminals";
    }
    let mut line = Line::raw(text);
    if top.counts.lost > 0 {
        let lost = format!("   {} events lost", human::count(top.counts.lost));
        line.push_span(Span::styled(lost, theme.loss()));
    }
    frame.render_widget(line, area);
}

fn draw_table(frame: &mut Frame, area: Rect, top: &mut Top, rows: &[Row], theme: Theme) {
    let columns: Vec<_> = COLUMNS
        .iter()
        .filter(|column| column.3 <= area.width)
        .collect();
    let shows_container = top.inside.is_none() && top.level != TopLevel::Container;
    let has_last = top.level == TopLevel::Container && area.width >= 100;
    let name = match top.level {
        TopLevel::Container => "CONTAINER",
        TopLevel::Process => "PID COMMAND",
        TopLevel::Call => "CALL",
    };
    let heading = |text: &str, order: Order, is_number: bool| {
        let is_order = order == top.order && text != "MEAN";
        let text = match (is_order, top.is_reversed) {
            (true, false) => format!("{text}▼"),
            (true, true) => format!("{text}▲"),
            (false, _) => text.to_string(),
        };
        let line = Line::styled(text, theme.label());
        Cell::from(if is_number {
            line.right_aligned()
        } else {
            line
        })
    };
    let mut headings = vec![heading(name, Order::Name, false)];
    headings.extend(
        columns
            .iter()
            .map(|(text, _, order, _)| heading(text, *order, true)),
    );
    let mut widths = vec![Constraint::Fill(2)];
    widths.extend(
        columns
            .iter()
            .map(|(_, width, ..)| Constraint::Length(*width)),
    );
    if has_last {
        headings.push(Cell::from(Line::styled(
            "WHAT HAPPENED LAST",
            theme.label(),
        )));
        widths.push(Constraint::Fill(3));
    }
    let now = top.counts.now_ns;
    let table_rows = rows.iter().map(|row| {
        let (mark, style) = mark(row.liveliness, theme);
        let name = match shows_container {
            true => format!("{mark} {} {}", row.container, row.name),
            false => format!("{mark} {}", row.name),
        };
        let mut cells = vec![Cell::from(Line::raw(name))];
        cells.extend(columns.iter().map(|(text, ..)| {
            Cell::from(Line::raw(number(text, &row.recent, &row.total)).right_aligned())
        }));
        if has_last {
            cells.push(Cell::from(Line::raw(last(row, now))));
        }
        TableRow::new(cells).style(style)
    });
    let table = Table::new(table_rows, widths)
        .header(TableRow::new(headings))
        .row_highlight_style(theme.selected());
    let selected = (!rows.is_empty()).then(|| top.selected(rows));
    let mut state = TableState::new()
        .with_selected(selected)
        .with_offset(top.scroll);
    frame.render_stateful_widget(table, area, &mut state);
    top.scroll = state.offset();
}

fn mark(liveliness: Liveliness, theme: Theme) -> (char, Style) {
    match liveliness {
        Liveliness::Fresh { is_failure: true } => ('!', theme.failure()),
        Liveliness::Fresh { is_failure: false } => ('*', theme.notice()),
        Liveliness::Active => (' ', Style::new()),
        Liveliness::Quiet => ('.', theme.quiet()),
        Liveliness::Stopped => ('x', theme.quiet()),
    }
}

fn number(column: &str, recent: &Sums, total: &Sums) -> String {
    match column {
        "CALLS/S" => rate(recent.calls),
        "CALLS" => human::count(total.calls),
        "ERR/S" => rate(recent.errors),
        "ERRORS" => human::count(total.errors),
        "MEAN" => duration(recent.mean_ns()),
        "MAX" => duration(Some(recent.slowest_ns).filter(|ns| *ns > 0)),
        "BYTES/S" => match recent.bytes / RECENT_SECONDS.unsigned_abs() {
            0 => "-".into(),
            bytes => human::bytes(bytes),
        },
        _ => human::bytes(total.bytes),
    }
}

/// Returns what happened last in a container, and how long ago; of a quiet one also since when.
fn last(row: &Row, now: i64) -> String {
    let ago = |time: i64| match now.saturating_sub(time).max(0) / SECOND_NS {
        0 => "now".to_string(),
        seconds @ 1..60 => format!("{seconds}s"),
        seconds => human::duration(seconds * SECOND_NS),
    };
    let quiet = match row.liveliness {
        Liveliness::Quiet if row.last_ns > 0 => format!("quiet for {}; ", ago(row.last_ns)),
        Liveliness::Stopped => "stopped; ".into(),
        _ => String::new(),
    };
    match &row.happened {
        Some((time, text)) => format!("{quiet}{}: {text}", ago(*time)),
        None => quiet.trim_end_matches("; ").to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::top::counts::Happening;
    use crate::top::counts::tests::{counted, step};

    /// Returns the lines of a screen of 120 columns.
    fn screen(top: &mut Top) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(120, 8)).unwrap();
        terminal
            .draw(|frame| draw(frame, top, Theme::plain(), "run.parquet"))
            .unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y: u16| {
            let cells = (0..120).map(|x| buffer.cell((x, y)).map_or(" ", |cell| cell.symbol()));
            cells.collect::<String>().trim_end().to_string()
        };
        (0..8).map(line).collect()
    }

    #[test]
    fn containers_and_what_happened_are_shown() {
        let mut top = Top::new(TopLevel::Container, None, false, false);
        let mut now = step(
            100,
            vec![
                counted("web", 1, "read", 100, 5000),
                counted("db", 7, "fsync", 70, 30),
            ],
        );
        now.happenings.push(Happening {
            container: now.counted[0].container.clone(),
            name: "web".into(),
            time_ns: 98 * SECOND_NS,
            text: "connect(3, ...) = -1 ECONNREFUSED".into(),
            is_failure: true,
        });
        now.lost = 7;
        top.add(&now);
        let lines = screen(&mut top);
        assert_eq!(lines[0], "● live  1970-01-01 00:01:40  run.parquet");
        assert_eq!(
            lines[1],
            "2 containers, 1 active in the last 10s   500 calls/s   50 errors/s   7 events lost"
        );
        for (line, parts) in [
            (
                2,
                &["CONTAINER", "CALLS/S▼", "MEAN", "WHAT HAPPENED LAST"][..],
            ),
            (
                3,
                &[
                    "! web",
                    "500",
                    "5,000",
                    "50 ",
                    "1µs",
                    "5µs",
                    "50.0 kB",
                    "2s: connect(3",
                ],
            ),
            (4, &[". db", "30", "quiet for 30s"]),
        ] {
            for part in parts {
                assert!(lines[line].contains(part), "{part}: {lines:#?}");
            }
        }
        assert!(lines[7].starts_with("Enter open"), "{lines:#?}");
        top.enter();
        assert!(
            screen(&mut top)[3].contains("1 p1"),
            "{:#?}",
            screen(&mut top)
        );
    }

    #[test]
    fn a_screen_of_any_size_is_drawn() {
        let mut top = Top::new(TopLevel::Container, None, false, false);
        top.add(&step(100, vec![counted("web", 1, "read", 100, 5000)]));
        for (width, height) in [(1, 1), (20, 3), (80, 24), (300, 100)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal
                .draw(|frame| draw(frame, &mut top, Theme::plain(), "run.parquet"))
                .unwrap();
        }
    }
}
