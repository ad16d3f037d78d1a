//! A program on the whole terminal: its screen, its keys, and the state in which the terminal is left.

mod keys;
mod prompt;
mod theme;
mod widgets;

use std::io::{self, IsTerminal, Stdout, stdin, stdout};

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{Frame, Terminal};

use crate::memory;
pub(crate) use keys::Input;
use keys::Keys;
pub(crate) use prompt::{Prompt, Typed};
pub(crate) use theme::Theme;
pub(crate) use widgets::{keys_line, popup};

/// The terminal while the program has it. When the value is dropped, the terminal is as it was before, also after a panic.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    keys: Keys,
}

impl Screen {
    /// Returns whether stdin and stdout are a terminal that can be drawn on.
    pub(crate) fn is_possible() -> bool {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
        stdin().is_terminal() && stdout().is_terminal() && !is_dumb
    }

    /// Takes the terminal: keys are not echoed, and the screen is empty until the first [`Screen::draw`].
    ///
    /// # Errors
    /// The terminal cannot be set.
    pub(crate) fn enter() -> io::Result<Screen> {
        enable_raw_mode()?;
        memory::set_before_end(Some(leave));
        let taken = || {
            execute!(stdout(), EnterAlternateScreen)?;
            Ok(Screen {
                terminal: Terminal::new(CrosstermBackend::new(stdout()))?,
                keys: Keys::listen()?,
            })
        };
        taken().inspect_err(|_| leave())
    }

    /// Draws the whole screen; only cells that differ are written.
    ///
    /// # Errors
    /// The terminal cannot be written.
    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Frame)) -> io::Result<()> {
        self.terminal.draw(draw).map(|_| ())
    }

    /// Waits for a key, another size of the terminal, or a signal that ends the program.
    pub(crate) async fn input(&mut self) -> Input {
        self.keys.next().await
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
        memory::set_before_end(None);
    }
}

/// Leaves the terminal as it was. When it is closed, nobody can be informed of that.
fn leave() {
    let _ = execute!(stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}
