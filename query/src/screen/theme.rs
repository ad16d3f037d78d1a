//! The styles of the screen, with and without colours.

use ratatui::style::{Color, Modifier, Style};

/// The styles of what is shown. Without colours, as NO_COLOR asks, the weight of the font tells the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Theme {
    has_colours: bool,
}

impl Theme {
    /// Creates the theme that the environment asks for (<https://no-color.org>).
    pub(crate) fn of_environment() -> Theme {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Theme {
            has_colours: !no_color,
        }
    }

    /// Creates a theme without colours.
    #[cfg(test)]
    pub(crate) fn plain() -> Theme {
        Theme { has_colours: false }
    }

    fn with(self, color: Color, otherwise: Modifier) -> Style {
        match self.has_colours {
            true => Style::new().fg(color),
            false => Style::new().add_modifier(otherwise),
        }
    }

    /// Returns the style of a failure that matters.
    pub(crate) fn failure(self) -> Style {
        self.with(Color::Red, Modifier::BOLD)
    }

    /// Returns the style of a smaller failure, and of what has just changed.
    pub(crate) fn notice(self) -> Style {
        self.with(Color::Yellow, Modifier::BOLD)
    }

    /// Returns the style of containers and processes that begin or end.
    pub(crate) fn life(self) -> Style {
        self.with(Color::Cyan, Modifier::empty())
    }

    /// Returns the style of lost events.
    pub(crate) fn loss(self) -> Style {
        self.with(Color::Magenta, Modifier::BOLD)
    }

    /// Returns the style of keys, names and headings.
    pub(crate) fn label(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Returns the style of what matters less.
    pub(crate) fn quiet(self) -> Style {
        self.with(Color::DarkGray, Modifier::DIM)
    }

    /// Returns the style of the line at the cursor, on top of its own.
    pub(crate) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Returns the style of the bars of a chart.
    pub(crate) fn bar(self) -> Style {
        self.with(Color::Green, Modifier::empty())
    }
}
