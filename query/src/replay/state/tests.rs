//! Tests of the player without a terminal and without a recording.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::*;
use crate::replay::window::tests::slice;

const SECOND: Duration = Duration::from_secs(1);
const SECOND_NS: i64 = 1_000_000_000;

/// Answers all requests for slices with the events at `times`.
fn read(player: &mut Player, times: &[i64]) -> Vec<Request> {
    let mut others = vec![];
    loop {
        let requests = player.requests();
        if requests.is_empty() {
            return others;
        }
        for request in requests {
            match request {
                Request::Slice {
                    generation,
                    slice: (first, last),
                } => {
                    let own = times.iter().filter(|time| (first..=last).contains(*time));
                    let own: Vec<i64> = own.copied().collect();
                    player.filled(generation, first, slice(&own));
                }
                other => others.push(other),
            }
        }
    }
}

/// Returns a player of events at whole seconds, in slices of ten seconds, of which the first ones have been read.
fn player(seconds: &[i64]) -> (Player, Vec<i64>) {
    let times: Vec<i64> = seconds.iter().map(|second| second * SECOND_NS).collect();
    let slices: Vec<(i64, i64)> = (0..10)
        .map(|i| (i * 10 * SECOND_NS, (i + 1) * 10 * SECOND_NS - 1))
        .collect();
    let span = (0, 100 * SECOND_NS - 1);
    let mut player = Player::new(span, &slices, Speed::Times(1.0), None);
    player.resize(5);
    read(&mut player, &times);
    (player, times)
}

fn second(player: &Player) -> Option<i64> {
    Some(player.key()?.time / SECOND_NS)
}

fn press(player: &mut Player, keys: &str) {
    for key in keys.chars() {
        let code = if key == '\n' {
            KeyCode::Enter
        } else {
            KeyCode::Char(key)
        };
        player.press(KeyEvent::new(code, KeyModifiers::NONE));
    }
}

#[test]
fn the_cursor_moves_by_events_and_by_time() {
    let (mut player, times) = player(&[1, 2, 35, 36, 99]);
    let mut go = |goal: Goal| {
        player.go(goal);
        read(&mut player, &times);
        second(&player)
    };
    assert_eq!(go(Goal::Step(0)), Some(1));
    assert_eq!(go(Goal::Step(1)), Some(2));
    assert_eq!(go(Goal::Step(1)), Some(35));
    assert_eq!(go(Goal::Step(-2)), Some(1));
    assert_eq!(go(Goal::Step(-2)), Some(1));
    assert_eq!(go(Goal::Step(100)), Some(99));
    assert_eq!(go(Goal::From(EventKey::at(3 * SECOND_NS))), Some(35));
    assert_eq!(go(Goal::From(EventKey::at(i64::MAX))), Some(99));
    assert_eq!(go(Goal::Before(EventKey::at(35 * SECOND_NS))), Some(2));
    assert_eq!(go(Goal::Before(EventKey::at(0))), Some(1));
    assert_eq!(go(Goal::Last), Some(99));
    player.go_by(-SECOND_NS);
    read(&mut player, &times);
    assert_eq!(second(&player), Some(36));
}

#[test]
fn events_around_the_cursor_are_visible() {
    let (mut player, times) = player(&[1, 2, 35, 36, 99]);
    assert_eq!(player.visible.0.len(), 5);
    assert_eq!(player.visible.1, 0);
    player.resize(3);
    player.go(Goal::Step(2));
    read(&mut player, &times);
    // The cursor is on the last of three lines.
    assert_eq!((player.visible.0.len(), player.visible.1), (3, 2));
    assert_eq!(player.visible.0[2], player.cursor.unwrap());
}

#[test]
fn events_are_played_when_they_are_due() {
    let (mut player, times) = player(&[1, 2, 5, 36]);
    player.play();
    let at = |seconds: u32, player: &mut Player| {
        player.tick(SECOND * seconds);
        read(player, &times);
        second(player)
    };
    assert_eq!(at(0, &mut player), Some(1));
    assert_eq!(at(1, &mut player), Some(2));
    assert_eq!(at(3, &mut player), Some(2));
    assert_eq!(player.wait(), Some(SECOND));
    assert_eq!(at(4, &mut player), Some(5));
    // Twice as fast: the next event is due after half of 31 seconds.
    player.set_speed(Speed::Times(2.0));
    assert_eq!(at(19, &mut player), Some(5));
    assert_eq!(at(20, &mut player), Some(36));
    assert_eq!(at(21, &mut player), Some(36));
    assert!(!player.is_playing());
    assert_eq!(player.message, Some(Message::Note("the end".into())));
}

#[test]
fn the_playback_stops_at_an_event_that_stops_it() {
    // Events stop the playback whose time ends with 49.
    let times = [1, 10, 49, 60];
    let mut player = Player::new((0, 99), &[(0, 99)], Speed::Max, None);
    read(&mut player, &times);
    player.play();
    player.tick(SECOND);
    assert_eq!(player.key().unwrap().time, 49);
    assert!(!player.is_playing());
    player.play();
    player.tick(SECOND);
    assert_eq!(player.key().unwrap().time, 60);
}

#[test]
fn filters_keep_the_place() {
    let (mut player, times) = player(&[1, 2, 35, 36, 99]);
    player.go(Goal::From(EventKey::at(35 * SECOND_NS)));
    read(&mut player, &times);
    let filter = Filter {
        text: "even".into(),
        sql: "time % 2 = 0".into(),
    };
    player.filter(filter.clone());
    assert_eq!(second(&player), None);
    // An answer to an earlier request is dropped.
    player.filled(0, 30 * SECOND_NS, slice(&[35 * SECOND_NS]));
    assert_eq!(second(&player), None);
    let even: Vec<i64> = times
        .iter()
        .copied()
        .filter(|t| t / SECOND_NS % 2 == 0)
        .collect();
    read(&mut player, &even);
    assert_eq!(second(&player), Some(36));
    player.filter(filter);
    assert_eq!(player.filters.len(), 1);
    player.unfilter();
    read(&mut player, &times);
    assert_eq!(second(&player), Some(36));
    assert!(player.filters.is_empty());
    // Nothing passes.
    player.filter(Filter {
        text: "none".into(),
        sql: "false".into(),
    });
    read(&mut player, &[]);
    assert_eq!((player.cursor, player.is_reading()), (None, false));
}

#[test]
fn keys_search_mark_and_jump() {
    let (mut player, times) = player(&[1, 2, 35, 36, 99]);
    press(&mut player, "n");
    let wanted = Request::Search {
        wanted: Wanted::Failure,
        from: player.key().unwrap(),
        direction: Direction::Forward,
    };
    assert!(player.requests().contains(&wanted));
    let found = EventKey {
        time: 36 * SECOND_NS,
        seq: 36 * SECOND_NS,
    };
    player.searched(Some(found));
    read(&mut player, &times);
    assert_eq!(second(&player), Some(36));
    press(&mut player, "ma''");
    read(&mut player, &times);
    assert_eq!(second(&player), Some(1));
    press(&mut player, "'a");
    read(&mut player, &times);
    assert_eq!(second(&player), Some(36));
    press(&mut player, "'b");
    assert_eq!(
        player.message,
        Some(Message::Note("there is no mark `b`".into()))
    );
    press(&mut player, "/shadow\n");
    let requests = read(&mut player, &times);
    assert!(
        matches!(&requests[..], [Request::Search { wanted: Wanted::Text(text), .. }, ..] if text == "shadow")
    );
    player.searched(None);
    assert_eq!(
        player.message,
        Some(Message::Note("no `shadow` after this event".into()))
    );
    press(&mut player, "g+60s\n");
    read(&mut player, &times);
    assert_eq!(second(&player), Some(99));
    press(&mut player, "gsoon\n");
    assert!(matches!(player.message, Some(Message::Error(_))));
    press(&mut player, "?x");
    assert!(!player.is_over);
    press(&mut player, "q");
    assert!(player.is_over);
}
