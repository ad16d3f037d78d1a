//! Draws the player from its state.

use std::collections::BTreeMap;

use chrono::DateTime;
use ctrace_schema::human;
use ctrace_schema::text::printable;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Borders, Paragraph, Sparkline, Wrap};

use crate::output::{EventLines, LineFormat};
use crate::replay::filters::value;
use crate::replay::keys::{BACK, HELP};
use crate::replay::state::{Message, Mode, Player};
use crate::replay::timeline::{Timeline, column};
use crate::replay::window::Place;
use crate::screen::{Theme, keys_line, popup};

/// The parts that all drawings share.
pub(super) struct View<'a> {
    pub(super) theme: Theme,
    /// The architecture of each host.
    pub(super) architectures: &'a BTreeMap<String, String>,
    /// The name of the recordings.
    pub(super) title: &'a str,
}

/// The keys of the last line, the most useful ones first.
const KEYS: &[(&str, &str)] = &[
    ("space", "pause"),
    ("?", "help"),
    ("q", "quit"),
    ("↑↓", "event"),
    ("←→", "second"),
    ("n", "failure"),
    ("/", "search"),
    ("f", "filter"),
    ("g", "go to"),
    ("+-", "speed"),
    ("m", "mark"),
    ("d", "details"),
];

/// The areas of the screen.
struct Areas {
    header: Rect,
    timeline: Rect,
    events: Rect,
    details: Option<Rect>,
    footer: Rect,
}

impl Areas {
    fn new(area: Rect, shows_details: bool) -> Areas {
        /// The narrowest screen that has the details beside the events.
        const WIDE: u16 = 160;
        let timeline = match area.height {
            ..10 => 0,
            10..20 => 2,
            20..40 => 4,
            _ => 6,
        };
        let rows = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(timeline),
            Constraint::Fill(1),
            Constraint::Length(1),
        ]);
        let [header, timeline, body, footer] = rows.areas(area);
        let parts = match area.width >= WIDE {
            true => Layout::horizontal([Constraint::Percentage(62), Constraint::Percentage(38)]),
            false => Layout::vertical([Constraint::Fill(11), Constraint::Fill(9)]),
        };
        let [events, details] = parts.areas(body);
        match shows_details && body.height >= 8 {
            true => Areas {
                header,
                timeline,
                events,
                details: Some(details),
                footer,
            },
            false => Areas {
                header,
                timeline,
                events: body,
                details: None,
                footer,
            },
        }
    }
}

/// Draws the whole screen, and tells the player how many events it shows.
pub(super) fn draw(frame: &mut Frame, player: &mut Player, view: &View<'_>) {
    let areas = Areas::new(frame.area(), player.shows_details);
    // The first line of an area is its title.
    player.resize(usize::from(areas.events.height.saturating_sub(1)));
    draw_header(frame, areas.header, player, view);
    draw_timeline(frame, areas.timeline, player, view.theme);
    draw_events(frame, areas.events, player, view);
    if let Some(area) = areas.details {
        draw_details(frame, area, player, view);
    }
    draw_footer(frame, areas.footer, player, view.theme);
    draw_popup(frame, player, view.theme);
}

/// Returns a time of the day, to microseconds.
fn clock(ns: i64) -> String {
    DateTime::from_timestamp_nanos(ns)
        .format("%H:%M:%S%.6f")
        .to_string()
}

fn draw_header(frame: &mut Frame, area: Rect, player: &Player, view: &View<'_>) {
    let theme = view.theme;
    let state = match player.is_playing() {
        true => format!("▶ {}", player.speed),
        false => format!("⏸ {}", player.speed),
    };
    let mut spans = vec![Span::styled(state, theme.label()), Span::raw("  ")];
    match player.key() {
        Some(key) => {
            let time = DateTime::from_timestamp_nanos(key.time);
            let passed = key.time.saturating_sub(player.span.0).max(0);
            let length = player.span.1.saturating_sub(player.span.0);
            spans.push(Span::styled(
                time.format("%Y-%m-%d %H:%M:%S%.3f").to_string(),
                theme.label(),
            ));
            let of = format!(
                "  {} of {}",
                human::duration(passed),
                human::duration(length)
            );
            spans.push(Span::raw(of));
        }
        None if player.is_reading() => spans.push(Span::raw("reading ...")),
        None => spans.push(Span::raw("no events")),
    }
    if let Some(wait) = player.wait().filter(|wait| wait.as_secs() > 0) {
        spans.push(Span::styled(
            format!("  next event in {}s", wait.as_secs()),
            theme.quiet(),
        ));
    }
    for filter in &player.filters {
        spans.push(Span::raw("  "));
        spans.push(Span::styled(
            format!("[{}]", printable(&filter.text)),
            theme.notice(),
        ));
    }
    spans.push(Span::styled(format!("  {}", view.title), theme.quiet()));
    frame.render_widget(Line::from(spans), area);
}

/// Draws the events over time, the failures below, and an axis with the cursor and the marks.
fn draw_timeline(frame: &mut Frame, area: Rect, player: &Player, theme: Theme) {
    if area.is_empty() {
        return;
    }
    let failures = u16::from(area.height > 2);
    let rows = Layout::vertical([
        Constraint::Fill(1),
        Constraint::Length(failures),
        Constraint::Length(1),
    ]);
    let [events, failed, axis] = rows.areas(area);
    if let Some(timeline) = &player.timeline {
        let sums = |values| timeline.columns(values, player.span, usize::from(area.width));
        chart(frame, events, &sums(&timeline.events), theme.bar());
        if let Some(counts) = &timeline.failures {
            chart(frame, failed, &sums(counts), theme.failure());
        }
        draw_losses(frame, events, timeline, player.span, theme);
    }
    draw_axis(frame, axis, player, theme);
}

/// Draws bars whose highest one fills the area. The lowest bar can be seen.
fn chart(frame: &mut Frame, area: Rect, values: &[u64], style: Style) {
    let highest = values.iter().copied().max().unwrap_or(0).max(1);
    let least = highest.div_ceil(u64::from(area.height.max(1)) * 8);
    let values = values.iter().map(|value| match value {
        0 => 0,
        value => (*value).max(least),
    });
    let bars = Sparkline::default()
        .data(values.collect::<Vec<u64>>())
        .max(highest)
        .style(style);
    frame.render_widget(bars, area);
}

/// Marks the columns in which events were lost.
fn draw_losses(frame: &mut Frame, area: Rect, timeline: &Timeline, span: (i64, i64), theme: Theme) {
    let lost = timeline.columns(&timeline.lost, span, usize::from(area.width));
    for (x, _) in (area.x..).zip(&lost).filter(|(_, lost)| **lost > 0) {
        if let Some(cell) = frame.buffer_mut().cell_mut((x, area.y)) {
            cell.set_symbol("!").set_style(theme.loss());
        }
    }
}

fn draw_axis(frame: &mut Frame, area: Rect, player: &Player, theme: Theme) {
    let (start, end) = (clock(player.span.0), clock(player.span.1));
    let width = usize::from(area.width);
    let gap = width.saturating_sub(start.len() + end.len());
    let axis = format!("{start}{:gap$}{end}", "");
    frame.render_widget(Line::styled(axis, theme.quiet()), area);
    let mut put = |time: i64, symbol: &str, style: Style| {
        let x = area.x + u16::try_from(column(time, player.span, width)).unwrap_or(0);
        if let Some(cell) = frame.buffer_mut().cell_mut((x, area.y)) {
            cell.set_symbol(symbol).set_style(style);
        }
    };
    for (mark, key) in player.marks.iter().filter(|(mark, _)| **mark != BACK) {
        put(key.time, &printable(&mark.to_string()), theme.notice());
    }
    if let Some(key) = player.key() {
        put(key.time, "▲", theme.label());
    }
}

fn titled<'a>(title: String, theme: Theme) -> Block<'a> {
    let title = Span::styled(format!(" {title} "), theme.label());
    Block::new()
        .borders(Borders::TOP)
        .border_style(theme.quiet())
        .title(title)
}

/// Returns the line of an event, without a line break.
fn text(player: &Player, place: Place, view: &View<'_>) -> Option<String> {
    let event = player.window.event(place)?;
    let lines = EventLines::new(&event, LineFormat::Table, view.architectures).ok()?;
    Some(
        String::from_utf8_lossy(lines.text(0, 1))
            .trim_end()
            .to_string(),
    )
}

fn draw_events(frame: &mut Frame, area: Rect, player: &Player, view: &View<'_>) {
    let theme = view.theme;
    let title = match player.is_reading() {
        true => "events (reading ...)",
        false => "events",
    };
    let block = titled(title.into(), theme);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let (visible, at_line) = &player.visible;
    let marks: BTreeMap<_, _> = player
        .marks
        .iter()
        .map(|(mark, key)| (*key, *mark))
        .collect();
    for (i, place) in visible.iter().take(usize::from(inner.height)).enumerate() {
        let Some(text) = text(player, *place, view) else {
            continue;
        };
        let mark = player
            .window
            .key(*place)
            .and_then(|key| marks.get(&key).copied());
        let mark = mark.filter(|mark| *mark != BACK).unwrap_or(' ');
        let style = style(player, *place, theme);
        let style = match i == *at_line {
            true => style.patch(theme.selected()),
            false => style,
        };
        let row = Rect {
            y: inner.y + u16::try_from(i).unwrap_or(0),
            height: 1,
            ..inner
        };
        frame.render_widget(Line::styled(format!("{mark} {text}"), style), row);
    }
}

/// Returns the style of the line of an event.
fn style(player: &Player, place: Place, theme: Theme) -> Style {
    let kind = player
        .window
        .event(place)
        .and_then(|event| value(&event, "kind"));
    match (player.window.failure(place), kind.as_deref()) {
        (Some(1), _) => theme.failure(),
        (Some(2), _) => theme.notice(),
        (Some(_), _) => theme.quiet(),
        (None, Some("gap")) => theme.loss(),
        (None, Some("container" | "process")) => theme.life(),
        _ => Style::new(),
    }
}

fn draw_details(frame: &mut Frame, area: Rect, player: &Player, view: &View<'_>) {
    let theme = view.theme;
    let mut lines = vec![];
    if let Some(text) = player.cursor.and_then(|cursor| text(player, cursor, view)) {
        lines.push(Line::raw(text));
    }
    let current = player
        .details
        .as_ref()
        .filter(|(place, _)| Some(*place) == player.cursor);
    if let Some((_, details)) = current {
        let columns = details.columns.iter().flat_map(|(name, value)| {
            [
                Span::styled(format!("{name} "), theme.quiet()),
                Span::raw(format!("{value}   ")),
            ]
        });
        let mut processes = vec![];
        for (i, (pid, command)) in details.processes.iter().enumerate() {
            let relation = if i == 0 { "process" } else { "parent" };
            processes.push(Line::from(vec![
                Span::styled(format!("{relation:<9} "), theme.label()),
                Span::raw(format!("{:i$}{pid} {command}", "")),
            ]));
        }
        lines.append(&mut processes);
        let columns: Vec<Span> = columns.collect();
        if !columns.is_empty() {
            let mut line = vec![Span::styled("event     ", theme.label())];
            line.extend(columns);
            lines.push(Line::from(line));
        }
        if !details.container.is_empty() {
            let mut line = vec![Span::styled("container ", theme.label())];
            for (name, value) in &details.container {
                line.push(Span::styled(format!("{name} "), theme.quiet()));
                line.push(Span::raw(format!("{value}   ")));
            }
            lines.push(Line::from(line));
        }
    }
    let scroll = u16::try_from(player.details_scroll).unwrap_or(u16::MAX);
    let paragraph = Paragraph::new(Text::from(lines))
        .wrap(Wrap { trim: false })
        .scroll((scroll, 0))
        .block(titled("details".into(), theme));
    frame.render_widget(paragraph, area);
}

fn draw_footer(frame: &mut Frame, area: Rect, player: &Player, theme: Theme) {
    let line = match &player.mode {
        Mode::Search(prompt) | Mode::Jump(prompt) | Mode::Condition(prompt) => {
            return prompt.draw(frame, area, theme);
        }
        Mode::SetMark => Line::raw("mark this event with the letter ..."),
        Mode::GoToMark => Line::raw("go to the mark ..."),
        _ => match (&player.search, &player.message) {
            (Some(search), _) => {
                let reached = search.reached.map(clock).unwrap_or_default();
                Line::raw(format!(
                    "searching {} ... {reached}  Esc stops",
                    printable(&search.what)
                ))
            }
            (None, Some(Message::Note(text))) => {
                Line::styled(printable(text).into_owned(), theme.notice())
            }
            (None, Some(Message::Error(text))) => {
                Line::styled(printable(text).into_owned(), theme.failure())
            }
            (None, None) => keys_line(KEYS, area.width, theme),
        },
    };
    frame.render_widget(line, area);
}

fn draw_popup(frame: &mut Frame, player: &Player, theme: Theme) {
    match &player.mode {
        Mode::Help => {
            let line = |(keys, what): &(&str, &str)| {
                Line::from(vec![
                    Span::styled(format!("{keys:<12}"), theme.label()),
                    Span::raw(what.to_string()),
                ])
            };
            popup(
                frame,
                "keys of the player",
                HELP.iter().map(line).collect(),
                theme,
            );
        }
        Mode::Filter(subjects) => {
            let mut lines: Vec<_> = subjects
                .iter()
                .map(|subject| {
                    Line::from(vec![
                        Span::styled(format!("{}  ", subject.key), theme.label()),
                        Span::raw(subject.label()),
                    ])
                })
                .collect();
            lines.push(Line::raw(""));
            lines.push(Line::styled(
                "a letter chooses, its capital letter leaves out",
                theme.quiet(),
            ));
            popup(frame, "only events with", lines, theme);
        }
        _ => {}
    }
}
