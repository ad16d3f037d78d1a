//! The keys of `top`.

use ratatui::crossterm::event::{KeyCode, KeyEvent};

use crate::cli::Speed;
use crate::screen::{Prompt, Typed};
use crate::top::state::{Mode, Order, Top, Wish};

/// Rows of a page.
const PAGE: i64 = 10;

/// All keys and what they do, for the help.
pub(super) const HELP: &[(&str, &str)] = &[
    ("↑ ↓  k j", "select a row"),
    (
        "Enter →",
        "the processes of a container, the calls of a process",
    ),
    ("Esc ←", "back"),
    ("< >", "sort by another column"),
    ("c C", "sort by calls: of the last minute, in total"),
    ("e E", "sort by errors"),
    ("b B", "sort by bytes"),
    ("l", "sort by the slowest call"),
    ("n", "sort by name"),
    ("r", "reverse the order"),
    ("/", "only rows with a text"),
    ("space", "pause"),
    ("+ - 1", "a replay: twice or half as fast, in real time"),
    ("0", "a replay: from the beginning"),
    ("s", "show or hide the set-up by the container runtime"),
    ("t", "show or hide what programs do with their terminal"),
    ("q", "quit"),
];

impl Top {
    /// Does what a key means.
    pub(super) fn press(&mut self, key: KeyEvent) {
        match std::mem::replace(&mut self.mode, Mode::Rows) {
            // Any key closes the help.
            Mode::Help => {}
            Mode::Filter(mut prompt) => match prompt.press(key) {
                Typed::Line(text) => self.filter = text,
                Typed::Nothing => self.filter.clear(),
                Typed::More => {
                    // The rows follow each letter.
                    self.filter = prompt.text().to_string();
                    self.mode = Mode::Filter(prompt);
                }
            },
            Mode::Rows => self.press_on_rows(key),
        }
    }

    fn press_on_rows(&mut self, key: KeyEvent) {
        match key.code {
            KeyCode::Char('q') => self.is_over = true,
            KeyCode::Up | KeyCode::Char('k') => self.select(-1),
            KeyCode::Down | KeyCode::Char('j') => self.select(1),
            KeyCode::PageUp => self.select(-PAGE),
            KeyCode::PageDown => self.select(PAGE),
            KeyCode::Home => self.select(i64::MIN),
            KeyCode::End => self.select(i64::MAX),
            KeyCode::Enter | KeyCode::Right => self.enter(),
            KeyCode::Esc | KeyCode::Left | KeyCode::Backspace => self.leave(),
            KeyCode::Char('<') => self.reorder(false),
            KeyCode::Char('>') => self.reorder(true),
            KeyCode::Char('c') => self.order = Order::Rate,
            KeyCode::Char('C') => self.order = Order::Calls,
            KeyCode::Char('e') => self.order = Order::ErrorRate,
            KeyCode::Char('E') => self.order = Order::Errors,
            KeyCode::Char('b') => self.order = Order::ByteRate,
            KeyCode::Char('B') => self.order = Order::Bytes,
            KeyCode::Char('l') => self.order = Order::Slowest,
            KeyCode::Char('n') => self.order = Order::Name,
            KeyCode::Char('r') => self.is_reversed = !self.is_reversed,
            KeyCode::Char('/') => {
                self.mode = Mode::Filter(Prompt::new("only rows with", self.filter.clone()));
            }
            KeyCode::Char(' ') => {
                self.is_paused = !self.is_paused;
                if !self.is_paused {
                    self.wish(Wish::Resume);
                }
            }
            KeyCode::Char('+' | '=') => self.change_speed(Speed::faster),
            KeyCode::Char('-') => self.change_speed(Speed::slower),
            KeyCode::Char('1') => self.change_speed(|_| Speed::Times(1.0)),
            KeyCode::Char('0') if self.speed.is_some() => self.wish(Wish::Rewind),
            KeyCode::Char('s') => {
                self.setup = !self.setup;
                self.wish(Wish::BeginAgain);
            }
            KeyCode::Char('t') => {
                self.terminal = !self.terminal;
                self.wish(Wish::BeginAgain);
            }
            KeyCode::Char('?') | KeyCode::F(1) => self.mode = Mode::Help,
            _ => {}
        }
    }

    fn change_speed(&mut self, change: impl Fn(Speed) -> Speed) {
        if let Some(speed) = self.speed {
            let speed = change(speed);
            self.speed = Some(speed);
            self.wish(Wish::Speed(speed));
        }
    }
}
