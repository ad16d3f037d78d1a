//! The player of `replay`, on a terminal.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::recording;
use crate::shell::{Terminal, process_in};
use crate::support::incident::incident;
use crate::support::wait::wait_for;

const ESCAPE: &str = "\x1b";
const ENTER: &str = "\r";
const DOWN: &str = "\x1b[B";
const UP: &str = "\x1b[A";
const RIGHT: &str = "\x1b[C";
const LEFT: &str = "\x1b[D";
const END: &str = "\x1b[F";
const HOME: &str = "\x1b[H";

/// Starts the player over `run.parquet`, and pauses it at the first event.
fn paused(dir: &TempDir, args: &str) -> Terminal {
    let mut player = Terminal::of_size(
        dir.path(),
        &format!("-r run.parquet replay {args}"),
        120,
        40,
    );
    player
        .expect_on_screen("▶ ")
        .press(" ")
        .expect_on_screen("⏸ ");
    player.press(HOME).expect_on_screen("03:12:00.000  0ns of");
    player
}

/// Waits until the cursor is at a time.
fn at<'a>(player: &'a mut Terminal, clock: &str) -> &'a mut Terminal {
    player.expect_screen(clock, |screen| {
        screen
            .lines()
            .next()
            .is_some_and(|header| header.contains(clock))
    })
}

#[test]
fn events_are_played_and_the_keys_move() {
    let dir = recording();
    let mut player = paused(&dir, "");
    // The first events, and the details of the first one.
    player.expect_on_screen("--- container found nginx:1.27 ---");
    player.expect_on_screen("image nginx:1.27");
    player.press(RIGHT);
    at(&mut player, "03:12:01.000").press(DOWN);
    at(&mut player, "03:12:01.010").press(UP);
    at(&mut player, "03:12:01.000").press(LEFT);
    at(&mut player, "03:12:00.000").press(END);
    at(&mut player, "03:12:09.000")
        .press(" ")
        .expect_on_screen("the end");
    player.press(HOME);
    // The times of the recording pass.
    player.press("++++").expect_on_screen("⏸ 16x");
    // Slowly enough for a busy machine to show each second.
    player.press("------").expect_on_screen("⏸ 1/4x").press(" ");
    player.expect_screen("event at second 1", |screen| {
        screen.contains("▶ 1/4x  2026-11-21 03:12:01")
    });
    player.press("q");
    assert_eq!(player.exit().0, 0);
}

#[test]
fn events_are_searched_and_failures_found() {
    let dir = recording();
    let mut player = paused(&dir, "");
    player.press("n");
    player.expect_screen("a failure", |screen| {
        !screen.contains("03:12:00.000  0ns of")
    });
    player
        .press("g")
        .expect_on_screen("go to: ")
        .press("03:12:01.5")
        .press(ENTER);
    player
        .press("/")
        .expect_on_screen("search: ")
        .press("/srv/in")
        .press(ENTER);
    player.expect_on_screen("/srv/in");
    player.press("/").press("no such text").press(ENTER);
    player.expect_on_screen("no `no such text` after this event");
    player
        .press("g")
        .press("tomorrow")
        .press(ENTER)
        .expect_on_screen("cannot read `tomorrow` as a time");
    player
        .press("?")
        .expect_on_screen("keys of the player")
        .press(ESCAPE);
    // An escape with a letter right after it would be Alt and the letter.
    player.expect_screen("no help", |screen| !screen.contains("keys of the player"));
    player.press("q");
    assert_eq!(player.exit().0, 0);
}

#[test]
fn events_are_filtered_and_marked() {
    let dir = recording();
    let mut player = paused(&dir, "");
    player.press("ma").press(RIGHT);
    at(&mut player, "03:12:01.000")
        .press("f")
        .expect_on_screen("c  container = client");
    player.press("c").expect_on_screen("[container = client]");
    player.expect_screen("only the client", |screen| !screen.contains("nginx"));
    player
        .press("w")
        .expect_on_screen("only events where: ")
        .press("eror is null")
        .press(ENTER);
    player.expect_on_screen("no column `eror`");
    player
        .press("w")
        .press("error is not null")
        .press(ENTER)
        .expect_on_screen("[error is not null]");
    player.press("F").press("F");
    player.expect_screen("no filter", |screen| !screen.contains("[container"));
    player.press("'a");
    at(&mut player, "03:12:00.000");
    player.press("q");
    assert_eq!(player.exit().0, 0);
}

#[test]
fn the_playback_stops_at_a_condition() {
    let dir = recording();
    let mut player = Terminal::of_size(
        dir.path(),
        "-r run.parquet replay --speed max --until-condition \"syscall = 'accept4'\"",
        100,
        30,
    );
    player
        .expect_on_screen("⏸ max")
        .expect_on_screen("--until-condition");
    at(&mut player, "03:12:01.101").press(" ");
    player.expect_on_screen("the end").press("q");
    assert_eq!(player.exit().0, 0);
}

#[test]
fn the_terminal_is_restored() {
    for end in ["q", "\x03", "SIGTERM"] {
        let dir = recording();
        let program = env!("CARGO_BIN_EXE_ctrace-query");
        let script = format!(
            "stty -g > before; {program} -r run.parquet replay; code=$?; stty -g > after; echo over; exit $code"
        );
        let mut player = Terminal::running(dir.path(), &script, 80, 24);
        player.expect_on_screen("container found");
        match end {
            "SIGTERM" => {
                let process = process_in(dir.path()).unwrap().to_string();
                assert!(
                    Command::new("kill")
                        .arg(process)
                        .status()
                        .unwrap()
                        .success()
                );
            }
            key => {
                player.press(key);
            }
        }
        player.expect("over\n");
        // The other screen is left, so what stood there before the player is there again.
        assert!(
            !player.screen().contains("container found"),
            "{}",
            player.screen()
        );
        let code = player.exit().0;
        assert_eq!(code, if end == "SIGTERM" { 2 } else { 0 }, "{end}");
        let modes =
            ["before", "after"].map(|name| fs::read_to_string(dir.path().join(name)).unwrap());
        assert_eq!(modes[0], modes[1], "{end}");
    }
}

/// A terminal is closed, or the connection to it ends: the program gets SIGHUP, but not outside the terminal's session.
#[test]
fn the_player_ends_with_its_terminal() {
    for before in ["", "setsid --wait"] {
        let dir = recording();
        let program = env!("CARGO_BIN_EXE_ctrace-query");
        let script = format!("{before} {program} -r run.parquet replay");
        let mut player = Terminal::running(dir.path(), &script, 80, 24);
        player.expect_on_screen("container found");
        assert!(process_in(dir.path()).is_some());
        drop(player);
        wait_for("the player ends", || {
            process_in(dir.path()).is_none().then_some(())
        });
    }
}

#[test]
fn texts_of_recordings_do_not_control_the_terminal() {
    let dir = TempDir::new().unwrap();
    let mut story = incident();
    for row in &mut story.rows {
        row["container"] = "a\u{1b}]0;title\u{7}\u{202e}b".into();
        row["comm"] = "\u{1b}[2J".into();
        row["image"] = "\u{1b}c".into();
    }
    story.write(dir.path(), "run.parquet");
    let mut player = paused(&dir, "");
    player
        .expect_on_screen("a\\x1b]0;title\\x07")
        .press("f")
        .expect_on_screen("only events with");
    player.press("c").expect_on_screen("[container");
    player.press("q");
    for control in ["\x1b]0;title", "\x1bc", "\u{202e}"] {
        assert!(
            !String::from_utf8_lossy(&player.raw).contains(control),
            "{control:?}"
        );
    }
    assert_eq!(player.exit().0, 0);
}

#[test]
fn a_small_screen_has_the_events() {
    let dir = recording();
    for (columns, rows) in [(80, 24), (40, 8), (20, 3), (8, 2)] {
        let mut player = Terminal::of_size(dir.path(), "-r run.parquet replay", columns, rows);
        player
            .expect_on_screen("▶ 1x")
            .press("?")
            .press(" ")
            .press("q");
        assert_eq!(player.exit().0, 0, "{columns} columns, {rows} rows");
    }
}
