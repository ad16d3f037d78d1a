//! Parts of screens: a line of keys, and a box above the rest.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Clear, Paragraph};

use crate::screen::theme::Theme;

/// Returns as many keys and their meanings as a line of `width` columns has room for.
pub(crate) fn keys_line<'a>(keys: &[(&'a str, &'a str)], width: u16, theme: Theme) -> Line<'a> {
    let mut line = Line::default();
    for (key, meaning) in keys {
        let mut more = line.clone();
        if !more.spans.is_empty() {
            more.push_span("  ");
        }
        more.push_span(Span::styled(*key, theme.label()));
        more.push_span(format!(" {meaning}"));
        if more.width() > usize::from(width) {
            break;
        }
        line = more;
    }
    line
}

/// Draws a box with lines in the middle of the screen, above everything else.
pub(crate) fn popup(frame: &mut Frame, title: &str, lines: Vec<Line<'_>>, theme: Theme) {
    let screen = frame.area();
    let text = Text::from(lines);
    let size = |length: usize, most: u16| {
        let length = u16::try_from(length.saturating_add(2)).unwrap_or(u16::MAX);
        length.min(most)
    };
    let (width, height) = (
        size(text.width() + 2, screen.width),
        size(text.height(), screen.height),
    );
    let area = Rect {
        x: screen.x + (screen.width - width) / 2,
        y: screen.y + (screen.height - height) / 2,
        width,
        height,
    };
    let title = Span::styled(format!(" {title} "), theme.label());
    frame.render_widget(Clear, area);
    frame.render_widget(
        Paragraph::new(text).block(Block::bordered().title(title)),
        area,
    );
}
