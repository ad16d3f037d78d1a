//! `replay`: plays the events back in the order of time and in their rhythm.

use anyhow::bail;

use crate::cli::Replay;
use crate::commands::containers::tells_setup;
use crate::commands::filters::filter_warnings;
use crate::commands::query::setup_note;
use crate::commands::selection::{check_condition, selected};
use crate::engine::Engine;
use crate::messages;
use crate::output::LineFormat;
use crate::questions::RecordingContents;
use crate::replay::{Playing, play_lines, play_on_screen};
use crate::screen::Screen;
use crate::source::parse_duration;

/// Plays the selected events: in the player on a terminal, and else as lines on stdout, until the last one or Ctrl-C.
///
/// # Errors
/// The selection is wrong, a recording cannot be read, or the terminal or stdout cannot be written.
pub(super) async fn replay(engine: &Engine, replay: &Replay) -> anyhow::Result<()> {
    let idle = match &replay.idle {
        None => None,
        Some(text) => match parse_duration(text) {
            Ok(idle) => Some(idle),
            Err(error) => bail!("--idle: {}", error.message(text)),
        },
    };
    let (mut events, scope) = selected(engine, &replay.selection).await?;
    if let Some(condition) = &replay.until {
        check_condition(engine, "--until-condition", condition).await?;
    }
    let recordings = engine.recordings().await?;
    let (counts, all) = (recordings.count_recordings(), recordings.files.len());
    if counts == all {
        bail!(
            "the recording contains only counts of calls (ctrace-rec --mode counts), without the events that a replay needs"
        );
    }
    for warning in filter_warnings("strace", recordings) {
        messages::warning(&warning);
    }
    let contents = RecordingContents {
        tells_setup: tells_setup(recordings),
        ..RecordingContents::default()
    };
    let shown = format!("kind <> 'counts' and {}", scope.not_setup(&contents));
    events.rows = Some(match events.rows {
        None => shown,
        Some(rows) => format!("{rows} and {shown}"),
    });
    let limit = replay.selection.scope.limit;
    let playing = Playing {
        events,
        speed: replay.speed,
        idle,
        format: replay.format,
        until: replay.until.clone(),
        limit: limit.unwrap_or(u64::MAX),
        architectures: recordings.architectures(),
        title: recordings.title(),
    };
    let is_plain = replay.lines || limit.is_some() || replay.format == LineFormat::Json;
    if !is_plain && Screen::is_possible() {
        return play_on_screen(engine, &playing).await;
    }
    if play_lines(engine, &playing).await?
        && let Some(note) = setup_note(engine, &scope, engine.span().await?, &contents).await?
    {
        messages::status("runtime set-up", &note);
    }
    Ok(())
}
