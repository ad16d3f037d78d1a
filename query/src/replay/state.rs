//! The state of the player, and what changes it. Reads nothing and draws nothing: what has to be read is a [`Request`].

mod movement;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ctrace_schema::human;

use crate::cli::Speed;
use crate::replay::details::Details;
use crate::replay::filters::{Filter, Subject};
use crate::replay::pace::Pace;
use crate::replay::timeline::Timeline;
use crate::replay::window::{EventKey, Found, MAX_SLICE_ROWS, Place, Slice, Window};
use crate::screen::Prompt;

/// The most events that are passed between two drawings.
const MAX_STEPS: usize = 65_536;
/// Lines below the cursor during the playback, if there is room.
const MARGIN: usize = 2;

/// The shortest time for which details are read while events are played.
const READABLE: Duration = Duration::from_millis(200);

/// The direction of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    Backward,
}

/// The target of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A text in a line.
    Text(String),
    /// A failure of the rank 1 or 2.
    Failure,
}

/// Something that has to be read. `generation` counts the changes of the filters: answers to earlier requests are dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// The events of a slice of time.
    Slice {
        generation: u64,
        slice: (i64, i64),
    },
    /// The nearest event that is wanted, not counting the one at `from`.
    Search {
        wanted: Wanted,
        from: EventKey,
        direction: Direction,
    },
    StopSearch,
    /// The details of the event at a place.
    Details(Place),
    /// The chart of the events that pass the filters.
    Timeline {
        generation: u64,
    },
    /// Whether a condition can be a filter.
    Check(String),
}

/// The place to which the cursor goes as soon as the events have been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// The first event that is not before this, or the last event.
    From(EventKey),
    /// The last event that is before this, or the first event.
    Before(EventKey),
    Last,
    /// This many events on, or back.
    Step(i64),
}

/// A playback that is going on.
#[derive(Debug)]
struct Playback {
    pace: Pace,
    /// The time at which it began.
    began: Duration,
    /// The time at which the next event is due, if known.
    due: Option<Duration>,
}

/// The meaning of the keys now.
#[derive(Debug)]
pub(super) enum Mode {
    Events,
    Search(Prompt),
    Jump(Prompt),
    Condition(Prompt),
    /// The subjects by which can be filtered.
    Filter(Vec<Subject>),
    /// The next letter names a mark.
    SetMark,
    GoToMark,
    Help,
}

/// A line for the user, until the next key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Note(String),
    Error(String),
}

/// The search that is running.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) what: String,
    /// The time up to which it has read.
    pub(super) reached: Option<i64>,
}

/// The state of the player.
pub(super) struct Player {
    pub(super) window: Window,
    /// The first and the last time that is played, ns since 1970 UTC.
    pub(super) span: (i64, i64),
    pub(super) cursor: Option<Place>,
    goal: Option<Goal>,
    playback: Option<Playback>,
    pub(super) speed: Speed,
    idle: Option<Duration>,
    pub(super) filters: Vec<Filter>,
    pub(super) mode: Mode,
    pub(super) marks: BTreeMap<char, EventKey>,
    pub(super) message: Option<Message>,
    pub(super) last_search: Option<String>,
    pub(super) search: Option<Running>,
    pub(super) timeline: Option<Timeline>,
    /// The details of an event, and its place.
    pub(super) details: Option<(Place, Details)>,
    details_asked: Option<Place>,
    /// Lines of the details that are scrolled off.
    pub(super) details_scroll: usize,
    pub(super) shows_details: bool,
    /// The lines of events on the screen.
    height: usize,
    /// Lines above the cursor.
    above: usize,
    /// The events on the screen, from the first line on, and the line of the cursor.
    pub(super) visible: (Vec<Place>, usize),
    generation: u64,
    reading: BTreeSet<i64>,
    requests: Vec<Request>,
    pub(super) is_over: bool,
    now: Duration,
}

impl Player {
    /// Creates a player at the first event of `slices`, which follow each other and cover `span`.
    pub(super) fn new(
        span: (i64, i64),
        slices: &[(i64, i64)],
        speed: Speed,
        idle: Option<Duration>,
    ) -> Player {
        let mut player = Player {
            window: Window::new(slices),
            span,
            cursor: None,
            goal: Some(Goal::From(EventKey::at(span.0))),
            playback: None,
            speed,
            idle,
            filters: vec![],
            mode: Mode::Events,
            marks: BTreeMap::new(),
            message: None,
            last_search: None,
            search: None,
            timeline: None,
            details: None,
            details_asked: None,
            details_scroll: 0,
            shows_details: true,
            height: 1,
            above: 0,
            visible: (vec![], 0),
            generation: 0,
            reading: BTreeSet::new(),
            requests: vec![Request::Timeline { generation: 0 }],
            is_over: false,
            now: Duration::ZERO,
        };
        player.update();
        player
    }

    /// Returns what has to be read since the last call.
    pub(super) fn requests(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.requests)
    }

    pub(super) fn request(&mut self, request: Request) {
        self.requests.push(request);
    }

    /// Sets the number of lines for events.
    pub(super) fn resize(&mut self, height: usize) {
        if height != self.height {
            self.height = height.max(1);
            self.update();
        }
    }

    pub(super) fn height(&self) -> usize {
        self.height
    }

    pub(super) fn is_playing(&self) -> bool {
        self.playback.is_some()
    }

    /// Returns whether the events of the cursor are still being read.
    pub(super) fn is_reading(&self) -> bool {
        self.goal.is_some()
    }

    /// Returns the position of the cursor.
    pub(super) fn key(&self) -> Option<EventKey> {
        self.window.key(self.cursor?)
    }

    /// Returns the time until the next event, while the playback waits.
    pub(super) fn wait(&self) -> Option<Duration> {
        let due = self.playback.as_ref()?.due?;
        Some(due.saturating_sub(self.now))
    }

    /// Moves the cursor, as soon as the events have been read.
    pub(super) fn go(&mut self, goal: Goal) {
        self.goal = match (self.goal, goal) {
            // The cursor is still on its way.
            (Some(Goal::Step(left)), Goal::Step(more)) => {
                Some(Goal::Step(left.saturating_add(more)))
            }
            _ => Some(goal),
        };
        if !matches!(goal, Goal::Step(_)) {
            self.above = self.height / 3;
        }
        self.update();
        self.restart();
    }

    /// Goes to another time, relative to the cursor: to the first event then or later, or before that.
    pub(super) fn go_by(&mut self, ns: i64) {
        let Some(key) = self.key() else { return };
        let time = key.time.saturating_add(ns);
        match ns < 0 {
            true => self.go(Goal::Before(EventKey::at(time.saturating_add(1)))),
            false => self.go(Goal::From(EventKey::at(time))),
        }
    }

    /// Starts or pauses the playback.
    pub(super) fn toggle(&mut self) {
        match self.playback.take() {
            Some(_) => {}
            None => self.play(),
        }
    }

    pub(super) fn pause(&mut self) {
        self.playback = None;
    }

    pub(super) fn play(&mut self) {
        self.playback = Some(Playback {
            pace: Pace::new(self.speed, self.idle),
            began: self.now,
            due: None,
        });
        self.restart();
    }

    /// Lets the playback go on from the cursor.
    fn restart(&mut self) {
        let key = self.key();
        let (speed, idle, now) = (self.speed, self.idle, self.now);
        if let Some(playback) = &mut self.playback {
            *playback = Playback {
                pace: Pace::new(speed, idle),
                began: now,
                due: None,
            };
            if let Some(key) = key {
                playback.pace.due(key.time);
            }
        }
    }

    pub(super) fn set_speed(&mut self, speed: Speed) {
        self.speed = speed;
        self.restart();
    }

    /// Lets time pass: moves the cursor to the last event that is due at `now`.
    pub(super) fn tick(&mut self, now: Duration) {
        self.now = now;
        let Some(mut playback) = self.playback.take() else {
            return;
        };
        let mut goes_on = true;
        for _ in 0..MAX_STEPS {
            let Some(cursor) = self.cursor.filter(|_| self.goal.is_none()) else {
                break;
            };
            let next = match self.window.next(cursor) {
                Found::At(next) => next,
                Found::Unread(start) => {
                    self.want(start);
                    break;
                }
                Found::Nothing => {
                    goes_on = false;
                    self.note("the end");
                    break;
                }
            };
            if playback.due.is_none() {
                let time = self.window.key(next).map_or(0, |key| key.time);
                let due = playback.pace.due(time);
                playback.due = Some(playback.began.saturating_add(due.at));
                if let Some(pause) = due.shortened {
                    let pause = i64::try_from(pause.as_nanos()).unwrap_or(i64::MAX);
                    self.note(&format!(
                        "{} without events, shortened",
                        human::duration(pause)
                    ));
                }
            }
            if playback.due > Some(now) {
                break;
            }
            playback.due = None;
            self.cursor = Some(next);
            self.above = (self.above + 1).min(self.height.saturating_sub(1 + MARGIN));
            if self.window.stops(next) {
                goes_on = false;
                self.note("stopped here: the event passes --until-condition");
                break;
            }
        }
        if goes_on {
            self.playback = Some(playback);
        }
        if let Some(start) = self
            .cursor
            .and_then(|cursor| self.window.unread_after(cursor))
        {
            self.want(start);
        }
        self.update();
    }

    /// Takes the events of a slice that has been read.
    pub(super) fn filled(&mut self, generation: u64, start: i64, slice: Slice) {
        if generation != self.generation {
            return;
        }
        self.reading.remove(&start);
        self.window.fill(start, slice, MAX_SLICE_ROWS);
        if let Some(cursor) = self.cursor {
            self.window.bound(cursor);
        }
        self.update();
        if let Some(playback) = &self.playback
            && playback.due.is_none()
        {
            self.tick(self.now);
        }
    }

    /// Passes over a slice that cannot be read.
    pub(super) fn unreadable(&mut self, generation: u64, start: i64) {
        if generation == self.generation {
            self.reading.remove(&start);
            self.window.pass_over(start);
            self.update();
        }
    }

    /// Takes the answer to a search.
    pub(super) fn searched(&mut self, found: Option<EventKey>) {
        let Some(running) = self.search.take() else {
            return;
        };
        match found {
            Some(key) => self.go(Goal::From(key)),
            None => self.note(&format!("no {}", running.what)),
        }
    }

    /// Searches from the cursor on.
    pub(super) fn search(&mut self, wanted: Wanted, direction: Direction) {
        let Some(from) = self.key() else { return };
        self.pause();
        let side = match direction {
            Direction::Forward => "after",
            Direction::Backward => "before",
        };
        let what = match &wanted {
            Wanted::Text(text) => format!("`{text}` {side} this event"),
            Wanted::Failure => format!("failure {side} this event"),
        };
        self.search = Some(Running {
            what,
            reached: None,
        });
        self.request(Request::Search {
            wanted,
            from,
            direction,
        });
    }

    pub(super) fn stop_search(&mut self) {
        if self.search.take().is_some() {
            self.request(Request::StopSearch);
        }
    }

    pub(super) fn took_details(&mut self, place: Place, details: Details) {
        self.details_asked = None;
        self.details_scroll = 0;
        self.details = Some((place, details));
        self.update();
    }

    pub(super) fn took_timeline(&mut self, generation: u64, timeline: Timeline) {
        if generation == self.generation {
            self.timeline = Some(timeline);
        }
    }

    /// Adds a filter.
    pub(super) fn filter(&mut self, filter: Filter) {
        if !self.filters.contains(&filter) {
            self.filters.push(filter);
            self.refilter();
        }
    }

    /// Removes the last filter.
    pub(super) fn unfilter(&mut self) {
        if self.filters.pop().is_some() {
            self.refilter();
        }
    }

    /// Reads everything again, with other filters, and goes where the cursor was.
    fn refilter(&mut self) {
        let key = self.key();
        self.stop_search();
        self.generation += 1;
        self.reading.clear();
        self.window = self.window.unread();
        self.cursor = None;
        self.timeline = None;
        (self.details, self.details_asked) = (None, None);
        self.request(Request::Timeline {
            generation: self.generation,
        });
        self.go(Goal::From(key.unwrap_or(EventKey::at(self.span.0))));
    }

    pub(super) fn note(&mut self, text: &str) {
        self.message = Some(Message::Note(text.to_string()));
    }

    pub(super) fn fail(&mut self, text: &str) {
        self.message = Some(Message::Error(text.to_string()));
    }

    fn want(&mut self, start: i64) {
        if let Some(slice) = self.window.slice(start)
            && self.reading.insert(start)
        {
            self.requests.push(Request::Slice {
                generation: self.generation,
                slice,
            });
        }
    }

    /// Moves the cursor towards its goal, and finds the events on the screen. To be called after each change.
    fn update(&mut self) {
        self.pursue();
        self.find_visible();
        // Nobody can read the details of events that pass quickly.
        let is_slow = !self.is_playing() || self.wait() >= Some(READABLE);
        let at_rest = self.goal.is_none() && self.details_asked.is_none() && is_slow;
        if let Some(cursor) = self.cursor.filter(|_| at_rest)
            && self
                .details
                .as_ref()
                .is_none_or(|(place, _)| *place != cursor)
        {
            self.details_asked = Some(cursor);
            self.requests.push(Request::Details(cursor));
        }
    }
}

#[cfg(test)]
mod tests;
