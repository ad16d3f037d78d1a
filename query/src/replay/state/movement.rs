//! The way of the cursor to its goal, and the events around it.

use crate::replay::state::{Goal, Player};
use crate::replay::window::{EventKey, Found};

impl Player {
    /// Moves the cursor towards its goal as far as events have been read.
    pub(super) fn pursue(&mut self) {
        while let Some(goal) = self.goal {
            let found = match (goal, self.cursor) {
                (Goal::Step(0), _) | (Goal::Step(_), None) => {
                    self.goal = None;
                    return;
                }
                (Goal::Step(1..), Some(cursor)) => self.window.next(cursor),
                (Goal::Step(_), Some(cursor)) => self.window.previous(cursor),
                (Goal::From(key), _) => match self.window.first_from(key) {
                    Found::Nothing => self.window.last(),
                    found => found,
                },
                (Goal::Before(key), _) => self.before(key),
                (Goal::Last, _) => self.window.last(),
            };
            match (found, goal) {
                (Found::Unread(start), _) => {
                    self.want(start);
                    return;
                }
                (Found::Nothing, _) => self.goal = None,
                (Found::At(place), Goal::Step(left)) => {
                    self.cursor = Some(place);
                    self.goal = Some(Goal::Step(left - left.signum()));
                    self.above = match left > 0 {
                        true => (self.above + 1).min(self.height.saturating_sub(1)),
                        false => self.above.saturating_sub(1),
                    };
                }
                (Found::At(place), _) => {
                    self.cursor = Some(place);
                    self.goal = None;
                    // The playback goes on from here, not from where the cursor was.
                    self.restart();
                }
            }
        }
    }

    /// Returns the last event before `key`, or the first event.
    fn before(&self, key: EventKey) -> Found {
        let first = || self.window.first_from(EventKey::at(i64::MIN));
        let previous = match self.window.first_from(key) {
            Found::At(place) => self.window.previous(place),
            Found::Nothing => self.window.last(),
            unread => return unread,
        };
        match previous {
            Found::Nothing => first(),
            found => found,
        }
    }

    /// Finds the events on the screen, around the cursor.
    pub(super) fn find_visible(&mut self) {
        let Some(cursor) = self.cursor else {
            self.visible = (vec![], 0);
            return;
        };
        let mut before = vec![];
        let mut at = cursor;
        while before.len() < self.above {
            match self.window.previous(at) {
                Found::At(place) => {
                    before.push(place);
                    at = place;
                }
                Found::Unread(start) => {
                    self.want(start);
                    break;
                }
                Found::Nothing => {
                    self.above = before.len();
                    break;
                }
            }
        }
        before.reverse();
        let line = before.len();
        let mut visible = before;
        visible.push(cursor);
        at = cursor;
        while visible.len() < self.height {
            match self.window.next(at) {
                Found::At(place) => {
                    visible.push(place);
                    at = place;
                }
                Found::Unread(start) => {
                    self.want(start);
                    break;
                }
                Found::Nothing => break,
            }
        }
        self.visible = (visible, line);
    }
}
