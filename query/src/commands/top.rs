//! `top`: what containers do, as a recording grows or as it happened.

use std::pin::pin;

use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;

use crate::cli::{AnswerOptions, Selection, TopTask};
use crate::commands::containers::tells_setup;
use crate::commands::follow::begin_answer;
use crate::commands::selection::selected;
use crate::engine::Engine;
use crate::output::{self, AnswerDestination, AnswerFormat};
use crate::questions::{RecordingContents, not_setup};
use crate::screen::Screen;
use crate::top::{Feed, Selected, Top, table, top_on_screen};

/// Shows the activity of containers: on the whole screen of a terminal, and else as tables.
///
/// # Errors
/// The selection is wrong, a recording cannot be read, or the terminal or the destination cannot be written.
pub(super) async fn top(
    engine: &Engine,
    task: &TopTask,
    options: &AnswerOptions,
    to: AnswerDestination<'_>,
) -> anyhow::Result<()> {
    let selection = Selection {
        scope: task.scope.clone(),
        ..Selection::default()
    };
    let (events, scope) = selected(engine, &selection).await?;
    let recordings = engine.recordings().await?;
    let contents = RecordingContents {
        tells_setup: tells_setup(recordings),
        ..RecordingContents::default()
    };
    let has_window = scope.since.or(scope.until).is_some();
    let selected = Selected {
        condition: events.events(),
        not_setup: not_setup(&contents),
        setup: scope.setup,
        terminal: task.terminal,
        span: has_window.then_some(events.span),
    };
    let feed = match task.speed {
        Some(speed) => Feed::replay(engine.reopened(), events.span, speed),
        None => Feed::growing(engine.reopened()),
    };
    let top = Top::new(task.level, task.speed, scope.setup, task.terminal);
    let is_plain =
        task.iterations.is_some() || options.format.is_some() || options.output.is_some();
    if !is_plain && Screen::is_possible() {
        let title = recordings.title();
        return top_on_screen(top, feed, selected, task.delay, &title).await;
    }
    let printed = print_tables(top, feed, &selected, task, options, to);
    let mut interrupt = pin!(tokio::signal::ctrl_c());
    tokio::select! {
        // Ctrl-C is awaited first, so that its handler is installed before the first table.
        biased;
        _ = &mut interrupt => Ok(()),
        printed = printed => printed,
    }
}

/// Prints tables, one after each delay.
async fn print_tables(
    mut top: Top,
    mut feed: Feed,
    selected: &Selected,
    task: &TopTask,
    options: &AnswerOptions,
    to: AnswerDestination<'_>,
) -> anyhow::Result<()> {
    let format = options.format.unwrap_or(AnswerFormat::Table);
    let iterations = task.iterations.unwrap_or(1);
    for iteration in 0..iterations {
        if iteration > 0 {
            tokio::time::sleep(task.delay).await;
        }
        let step = feed.step(selected).await?;
        top.add(&step);
        if iterations > 1 && matches!(to, AnswerDestination::Stdout) {
            begin_answer(format, iteration == 0);
        }
        let rows = table(&top)?;
        let schema = rows.schema();
        let rows = RecordBatchStreamAdapter::new(schema, stream::iter([Ok(rows)]));
        output::write(Box::pin(rows), format, to.open(format)?, vec![], None).await?;
        if step.is_last {
            break;
        }
    }
    Ok(())
}
