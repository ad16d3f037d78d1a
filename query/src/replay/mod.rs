//! Plays events back in the order of time and in their rhythm: as lines, or on the whole screen.

mod details;
mod draw;
mod filters;
mod keys;
mod lines;
mod pace;
mod player;
mod playing;
mod reader;
mod state;
mod timeline;
mod window;

pub(crate) use lines::play_lines;
pub(crate) use player::play_on_screen;
pub(crate) use playing::Playing;
