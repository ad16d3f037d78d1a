//! The keys of the player.

use chrono::DateTime;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::cli::Speed;
use crate::replay::filters::subjects;
use crate::replay::state::{Direction, Goal, Mode, Player, Request, Wanted};
use crate::replay::window::EventKey;
use crate::screen::{Prompt, Typed};
use crate::source::{TimeSpan, WindowEnd, clamped_ns, parse_duration, parse_time, resolve_time};

const SECOND_NS: i64 = 1_000_000_000;
const MINUTE_NS: i64 = 60 * SECOND_NS;

/// All keys and what they do, for the help.
pub(super) const HELP: &[(&str, &str)] = &[
    ("space", "play or pause"),
    ("+ -  1", "play twice or half as fast, in real time"),
    ("↑ ↓  k j", "one event back or on"),
    ("PgUp PgDn", "one page of events back or on"),
    ("← →  h l", "one second back or on"),
    ("shift ← →", "one minute back or on"),
    ("Home End", "the first or the last event"),
    ("n N", "the next or the previous failure"),
    (
        "/",
        "search a text in events; without a text, the last one again",
    ),
    ("> <", "the next or the previous event with the text"),
    (
        "g",
        "go to a time: 03:12:05, 10m (before the end), +5s, -1m",
    ),
    ("f", "filter by what the event is about"),
    ("w", "filter by a condition in SQL"),
    ("F", "remove the last filter"),
    ("m '", "set a mark, go to a mark; '' goes back"),
    ("d", "show or hide the details"),
    ("[ ]", "scroll the details"),
    ("Esc", "end a search"),
    ("q", "quit"),
];

/// The mark of the place before the last jump.
pub(super) const BACK: char = '\'';

impl Player {
    /// Does what a key means.
    pub(super) fn press(&mut self, key: KeyEvent) {
        self.message = None;
        let mode = std::mem::replace(&mut self.mode, Mode::Events);
        match mode {
            Mode::Events => self.press_on_events(key),
            // Any key closes the help.
            Mode::Help => {}
            Mode::Search(prompt) => {
                if let Some(text) = self.typed(prompt, key, Mode::Search) {
                    self.search_text(text, Direction::Forward);
                }
            }
            Mode::Jump(prompt) => {
                if let Some(text) = self.typed(prompt, key, Mode::Jump) {
                    self.jump(&text);
                }
            }
            Mode::Condition(prompt) => {
                if let Some(text) = self.typed(prompt, key, Mode::Condition)
                    && !text.is_empty()
                {
                    self.request(Request::Check(text));
                }
            }
            Mode::Filter(subjects) => {
                let KeyCode::Char(letter) = key.code else {
                    return;
                };
                let is_left_out = letter.is_uppercase();
                let chosen = letter.to_ascii_lowercase();
                if let Some(subject) = subjects.iter().find(|subject| subject.key == chosen) {
                    self.filter(subject.filter(is_left_out));
                }
            }
            Mode::SetMark => {
                if let (KeyCode::Char(letter), Some(at)) = (key.code, self.key()) {
                    self.marks.insert(letter, at);
                }
            }
            Mode::GoToMark => {
                let KeyCode::Char(letter) = key.code else {
                    return;
                };
                match self.marks.get(&letter).copied() {
                    Some(mark) => self.leap(Goal::From(mark)),
                    None => self.note(&format!("there is no mark `{letter}`")),
                }
            }
        }
    }

    /// Returns the line that a key has ended. `mode` stays if the line is not complete.
    fn typed(
        &mut self,
        mut prompt: Prompt,
        key: KeyEvent,
        mode: impl Fn(Prompt) -> Mode,
    ) -> Option<String> {
        match prompt.press(key) {
            Typed::Line(text) => Some(text),
            Typed::Nothing => None,
            Typed::More => {
                self.mode = mode(prompt);
                None
            }
        }
    }

    fn press_on_events(&mut self, key: KeyEvent) {
        let has_shift = key.modifiers.contains(KeyModifiers::SHIFT);
        let step = if has_shift { MINUTE_NS } else { SECOND_NS };
        let page = i64::try_from(self.height().saturating_sub(1).max(1)).unwrap_or(1);
        match key.code {
            KeyCode::Char('q') => self.is_over = true,
            KeyCode::Char(' ') => self.toggle(),
            KeyCode::Char('+' | '=') => self.set_speed(self.speed.faster()),
            KeyCode::Char('-') => self.set_speed(self.speed.slower()),
            KeyCode::Char('1') => self.set_speed(Speed::Times(1.0)),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::PageUp => self.step(-page),
            KeyCode::PageDown => self.step(page),
            KeyCode::Left | KeyCode::Char('h') => self.go_by(-step),
            KeyCode::Right | KeyCode::Char('l') => self.go_by(step),
            KeyCode::Home => self.leap(Goal::From(EventKey::at(self.span.0))),
            KeyCode::End => self.leap(Goal::Last),
            KeyCode::Char('n') => self.search_from_here(Wanted::Failure, Direction::Forward),
            KeyCode::Char('N') => self.search_from_here(Wanted::Failure, Direction::Backward),
            KeyCode::Char('/') => {
                self.mode = Mode::Search(Prompt::new("search", String::new()));
            }
            KeyCode::Char('>') => self.search_text(String::new(), Direction::Forward),
            KeyCode::Char('<') => self.search_text(String::new(), Direction::Backward),
            KeyCode::Char('g') => {
                self.mode = Mode::Jump(Prompt::new("go to", String::new()));
            }
            KeyCode::Char('f') => {
                let event = self.cursor.and_then(|cursor| self.window.event(cursor));
                if let Some(event) = event {
                    self.pause();
                    self.mode = Mode::Filter(subjects(&event));
                }
            }
            KeyCode::Char('w') => {
                self.pause();
                self.mode = Mode::Condition(Prompt::new("only events where", String::new()));
            }
            KeyCode::Char('F') => self.unfilter(),
            KeyCode::Char('m') => self.mode = Mode::SetMark,
            KeyCode::Char('\'') => self.mode = Mode::GoToMark,
            KeyCode::Char('d') | KeyCode::Enter => self.shows_details = !self.shows_details,
            KeyCode::Char('[') => self.details_scroll = self.details_scroll.saturating_sub(1),
            KeyCode::Char(']') => self.details_scroll = self.details_scroll.saturating_add(1),
            KeyCode::Char('?') | KeyCode::F(1) => self.mode = Mode::Help,
            KeyCode::Esc => self.stop_search(),
            _ => {}
        }
    }

    /// Moves by events, which ends the playback.
    fn step(&mut self, count: i64) {
        self.pause();
        self.go(Goal::Step(count));
    }

    /// Moves far, and marks where the cursor was.
    fn leap(&mut self, goal: Goal) {
        if let Some(key) = self.key() {
            self.marks.insert(BACK, key);
        }
        self.go(goal);
    }

    fn search_from_here(&mut self, wanted: Wanted, direction: Direction) {
        if let Some(key) = self.key() {
            self.marks.insert(BACK, key);
        }
        self.search(wanted, direction);
    }

    /// Searches a text; without one, the text of the last search.
    fn search_text(&mut self, text: String, direction: Direction) {
        let text = match text.is_empty() {
            true => self.last_search.clone(),
            false => Some(text),
        };
        match text {
            None => self.note("nothing was searched yet: / searches"),
            Some(text) => {
                self.last_search = Some(text.clone());
                self.search_from_here(Wanted::Text(text), direction);
            }
        }
    }

    /// Goes to a time as it was written: one of `--since`, or relative to the cursor with a sign.
    fn jump(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let relative = [('+', 1), ('-', -1)].iter().find_map(|(sign, factor)| {
            let duration = parse_duration(text.strip_prefix(*sign)?).ok()?;
            let ns = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
            Some(ns.saturating_mul(*factor))
        });
        if let Some(ns) = relative {
            if let Some(key) = self.key() {
                self.marks.insert(BACK, key);
            }
            return self.go_by(ns);
        }
        let span = TimeSpan {
            start: DateTime::from_timestamp_nanos(self.span.0),
            end: DateTime::from_timestamp_nanos(self.span.1),
        };
        match parse_time(text) {
            Ok(time) => {
                let time = clamped_ns(resolve_time(time, WindowEnd::Since, span));
                self.leap(Goal::From(EventKey::at(time)));
            }
            Err(error) => self.fail(&error),
        }
    }
}
