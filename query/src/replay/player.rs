//! The player: connects the screen, the state and the recordings.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures::StreamExt;
use futures::future::{LocalBoxFuture, OptionFuture};
use futures::stream::FuturesUnordered;

use crate::engine::{Engine, QueryError};
use crate::replay::details::Details;
use crate::replay::draw::{View, draw};
use crate::replay::filters::Filter;
use crate::replay::playing::Playing;
use crate::replay::reader::{Reader, details, search};
use crate::replay::state::{Player, Request};
use crate::replay::timeline::{self, Timeline};
use crate::replay::window::{EventKey, Place, Slice};
use crate::screen::{Input, Screen, Theme};
use crate::source::clamped_ns;

/// Number of events that are read at once.
const SLICE_ROWS: u64 = 16_384;
/// The shortest time between two drawings.
const FRAME: Duration = Duration::from_millis(33);
/// The longest time between two drawings while something is going on.
const REDRAW: Duration = Duration::from_millis(250);

/// Something that was read.
enum Reply {
    Slice(u64, i64, Result<Box<Slice>, QueryError>),
    Details(Place, Result<Details, QueryError>),
    Timeline(u64, Result<Timeline, QueryError>),
    Failures(u64, Timeline, Result<Vec<u64>, QueryError>),
    Checked(String, Result<(), QueryError>),
}

/// The readings that are under way.
struct Tasks<'a> {
    engine: &'a Engine,
    reader: Reader<'a>,
    span: (i64, i64),
    /// The first and the last time of the recordings.
    recorded: (i64, i64),
    generation: u64,
    running: FuturesUnordered<LocalBoxFuture<'a, Reply>>,
    search: Option<LocalBoxFuture<'a, Result<Option<EventKey>, QueryError>>>,
    reached: Arc<AtomicI64>,
}

/// Plays events on the whole screen, until the user ends that.
///
/// # Errors
/// A recording cannot be opened, or the terminal fails.
pub(crate) async fn play_on_screen(engine: &Engine, playing: &Playing) -> anyhow::Result<()> {
    let span = playing.events.span;
    let slices = engine.time_slices(span, SLICE_ROWS).await?;
    let recorded = engine.span().await?;
    let mut tasks = Tasks {
        engine,
        reader: Reader::new(engine, playing).await?,
        span,
        recorded: (clamped_ns(recorded.start), clamped_ns(recorded.end)),
        generation: 0,
        running: FuturesUnordered::new(),
        search: None,
        reached: Arc::default(),
    };
    let mut player = Player::new(span, &slices, playing.speed, playing.idle);
    player.play();
    let view = View {
        theme: Theme::of_environment(),
        architectures: &playing.architectures,
        title: &playing.title,
    };
    let mut screen = Screen::enter().context("cannot set the terminal")?;
    let start = Instant::now();
    let (mut is_drawn, mut drawn) = (false, None::<Instant>);
    while !player.is_over {
        tasks.start(&mut player).await;
        if !is_drawn && drawn.is_none_or(|drawn| drawn.elapsed() >= FRAME) {
            screen.draw(|frame| draw(frame, &mut player, &view))?;
            (is_drawn, drawn) = (true, Some(Instant::now()));
            // Another size of the screen may need other events.
            tasks.start(&mut player).await;
        }
        let since = drawn.map_or(FRAME, |drawn| drawn.elapsed());
        let next = match is_drawn {
            true => player.wait().unwrap_or(REDRAW).clamp(FRAME, REDRAW),
            false => FRAME,
        };
        tokio::select! {
            biased;
            input = screen.input() => match input {
                Input::Key(key) => player.press(key),
                Input::Resized => {}
                Input::Interrupted => break,
                Input::Ended(signal) => {
                    drop(screen);
                    bail!("ended by {signal}");
                }
                Input::Failed(error) => return Err(error).context("cannot read the terminal"),
            },
            Some(reply) = tasks.running.next() => tasks.take(reply, &mut player),
            Some(found) = OptionFuture::from(tasks.search.as_mut()) => {
                tasks.search = None;
                match found {
                    Ok(found) => player.searched(found),
                    Err(error) => {
                        player.searched(None);
                        player.fail(&error.to_string());
                    }
                }
            }
            () = tokio::time::sleep(next.saturating_sub(since)) => {}
        }
        if let Some(running) = &mut player.search {
            running.reached = Some(tasks.reached.load(Ordering::Relaxed));
        }
        player.tick(start.elapsed());
        is_drawn = false;
    }
    Ok(())
}

impl<'a> Tasks<'a> {
    /// Starts to read what the player asks for.
    async fn start(&mut self, player: &mut Player) {
        for request in player.requests() {
            match request {
                Request::Timeline { generation } => {
                    if generation != self.generation {
                        self.generation = generation;
                        if let Err(error) = self.reader.filter(&player.filters).await {
                            player.fail(&error.to_string());
                        }
                    }
                    self.timeline(generation);
                }
                Request::Slice { generation, slice } => {
                    let read = self.reader.slice(slice);
                    let reply =
                        async move { Reply::Slice(generation, slice.0, read.await.map(Box::new)) };
                    self.running.push(Box::pin(reply));
                }
                Request::Search {
                    wanted,
                    from,
                    direction,
                } => {
                    self.reached.store(from.time, Ordering::Relaxed);
                    self.search = Some(Box::pin(search(
                        self.engine,
                        self.reader.condition(),
                        self.span,
                        wanted,
                        from,
                        direction,
                        self.reached.clone(),
                    )));
                }
                Request::StopSearch => self.search = None,
                Request::Details(place) => {
                    let Some(event) = player.window.event(place) else {
                        continue;
                    };
                    let read = details(self.engine, self.reader.all_columns(), event);
                    let reply = async move { Reply::Details(place, read.await) };
                    self.running.push(Box::pin(reply));
                }
                Request::Check(condition) => {
                    let engine = self.engine;
                    self.running.push(Box::pin(async move {
                        let checked = engine.check_condition(&condition).await;
                        Reply::Checked(condition, checked)
                    }));
                }
            }
        }
    }

    fn timeline(&mut self, generation: u64) {
        let condition = self.reader.timeline_condition(self.recorded);
        let (engine, span) = (self.engine, self.span);
        let reply = async move {
            Reply::Timeline(generation, timeline::events(engine, span, &condition).await)
        };
        self.running.push(Box::pin(reply));
    }

    /// Gives what was read to the player.
    fn take(&mut self, reply: Reply, player: &mut Player) {
        match reply {
            Reply::Slice(generation, start, Ok(slice)) => player.filled(generation, start, *slice),
            Reply::Slice(generation, start, Err(error)) => {
                player.fail(&error.to_string());
                player.unreadable(generation, start);
            }
            Reply::Details(place, Ok(details)) => player.took_details(place, details),
            Reply::Details(place, Err(error)) => {
                player.fail(&error.to_string());
                player.took_details(place, Details::default());
            }
            Reply::Timeline(generation, Ok(timeline)) => {
                player.took_timeline(generation, timeline.clone());
                let (engine, span) = (self.engine, self.span);
                let condition = self.reader.timeline_condition(self.recorded);
                if generation == self.generation {
                    self.running.push(Box::pin(async move {
                        let failures = timeline::failures(engine, span, &condition).await;
                        Reply::Failures(generation, timeline, failures)
                    }));
                }
            }
            Reply::Failures(generation, timeline, Ok(failures)) => {
                player.took_timeline(generation, timeline.with_failures(failures));
            }
            Reply::Timeline(_, Err(error)) | Reply::Failures(_, _, Err(error)) => {
                player.fail(&error.to_string());
            }
            Reply::Checked(condition, Ok(())) => player.filter(Filter {
                // The condition may end with a comment.
                sql: format!("({condition}\n)"),
                text: condition,
            }),
            Reply::Checked(_, Err(error)) => player.fail(&error.to_string()),
        }
    }
}
