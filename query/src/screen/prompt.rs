//! A line that the user types.

use ratatui::Frame;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent};
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use tui_input::Input;
use tui_input::backend::crossterm::EventHandler;
use unicode_width::UnicodeWidthStr;

use crate::screen::theme::Theme;

/// A line with a label, which is being typed.
#[derive(Clone, Debug)]
pub(crate) struct Prompt {
    label: &'static str,
    input: Input,
}

/// The effect of a key on a [`Prompt`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// The line is not complete yet.
    More,
    /// Enter ended the line.
    Line(String),
    /// Escape ended the line.
    Nothing,
}

impl Prompt {
    pub(crate) fn new(label: &'static str, text: String) -> Prompt {
        Prompt {
            label,
            input: Input::new(text),
        }
    }

    pub(crate) fn text(&self) -> &str {
        self.input.value()
    }

    pub(crate) fn press(&mut self, key: KeyEvent) -> Typed {
        match key.code {
            KeyCode::Enter => Typed::Line(self.input.value().trim().to_string()),
            KeyCode::Esc => Typed::Nothing,
            _ => {
                let _ = self.input.handle_event(&Event::Key(key));
                Typed::More
            }
        }
    }

    /// Draws the line, and the cursor in it.
    pub(crate) fn draw(&self, frame: &mut Frame, area: Rect, theme: Theme) {
        let label = format!("{}: ", self.label);
        let start = u16::try_from(label.width()).unwrap_or(u16::MAX);
        let width = usize::from(area.width.saturating_sub(start)).saturating_sub(1);
        let hidden = self.input.visual_scroll(width);
        let mut skipped = 0;
        let shown = self.input.value().chars().skip_while(|c| {
            let is_hidden = skipped < hidden;
            skipped += unicode_width::UnicodeWidthChar::width(*c).unwrap_or(0);
            is_hidden
        });
        let shown: String = shown.collect();
        let line = Line::from(vec![Span::styled(label, theme.label()), Span::raw(shown)]);
        frame.render_widget(line, area);
        let at = self.input.visual_cursor().saturating_sub(hidden);
        let x = start.saturating_add(u16::try_from(at).unwrap_or(u16::MAX));
        let x = area.x.saturating_add(x).min(area.right().saturating_sub(1));
        frame.set_cursor_position(Position::new(x, area.y));
    }
}
