//! `top`: what containers, their processes and their calls do, as a recording grows or is played back.

mod counts;
mod draw;
mod feed;
mod keys;
mod state;
mod table;

use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::screen::{Input, Screen, Theme};
use draw::draw;
pub(crate) use feed::{Feed, Selected};
pub(crate) use state::Top;
use state::Wish;
pub(crate) use table::table;

/// The longest time between two drawings.
const REDRAW: Duration = Duration::from_millis(500);

/// Shows `top` on the whole screen, until the user ends that. `delay`: the time between two steps.
///
/// # Errors
/// A recording cannot be read at first, or the terminal fails.
pub(crate) async fn top_on_screen(
    mut top: Top,
    mut feed: Feed,
    mut selected: Selected,
    delay: Duration,
    title: &str,
) -> anyhow::Result<()> {
    let mut view = View {
        screen: Screen::enter().context("cannot set the terminal")?,
        theme: Theme::of_environment(),
        title,
    };
    let mut stepped: Option<Instant> = None;
    while !top.is_over {
        for wish in top.wishes() {
            match wish {
                Wish::BeginAgain => {
                    (selected.setup, selected.terminal) = (top.setup, top.terminal);
                    feed.begin_again();
                    stepped = None;
                }
                Wish::Rewind => {
                    feed.rewind();
                    stepped = None;
                }
                Wish::Speed(speed) => feed.set_speed(speed),
                Wish::Resume => feed.resume(),
            }
        }
        let due = stepped.map_or(Duration::ZERO, |at| delay.saturating_sub(at.elapsed()));
        if !due.is_zero() {
            view.wait(&mut top, due.min(REDRAW)).await?;
            continue;
        }
        if top.is_paused || top.is_ended && top.speed.is_some() {
            view.wait(&mut top, REDRAW).await?;
            continue;
        }
        match view.during(&mut top, feed.step(&selected)).await? {
            Some(Ok(step)) => top.add(&step),
            Some(Err(error)) if !top.has_step => return Err(error),
            Some(Err(error)) => top.error = Some(format!("{error:#}")),
            None => {}
        }
        stepped = Some(Instant::now());
    }
    Ok(())
}

/// The screen, and what is the same in all drawings.
struct View<'a> {
    screen: Screen,
    theme: Theme,
    title: &'a str,
}

impl View<'_> {
    /// Draws, and waits for one key or until `duration` has passed.
    async fn wait(&mut self, top: &mut Top, duration: Duration) -> anyhow::Result<()> {
        self.draw(top)?;
        tokio::select! {
            biased;
            input = self.screen.input() => self.react(top, input),
            () = tokio::time::sleep(duration) => Ok(()),
        }
    }

    /// Answers keys until `work` is done; `None`: the user has ended the program before.
    async fn during<T>(
        &mut self,
        top: &mut Top,
        work: impl Future<Output = T>,
    ) -> anyhow::Result<Option<T>> {
        let mut work = pin!(work);
        while !top.is_over {
            tokio::select! {
                biased;
                done = &mut work => return Ok(Some(done)),
                waited = self.wait(top, REDRAW) => waited?,
            }
        }
        Ok(None)
    }

    fn draw(&mut self, top: &mut Top) -> anyhow::Result<()> {
        let (theme, title) = (self.theme, self.title);
        Ok(self.screen.draw(|frame| draw(frame, top, theme, title))?)
    }

    fn react(&mut self, top: &mut Top, input: Input) -> anyhow::Result<()> {
        match input {
            Input::Key(key) => top.press(key),
            Input::Resized => {}
            Input::Interrupted => top.is_over = true,
            Input::Ended(signal) => bail!("ended by {signal}"),
            Input::Failed(error) => return Err(error).context("cannot read the terminal"),
        }
        Ok(())
    }
}
