//! Turns the options that select events into conditions.

use anyhow::{Context, bail};
use ctrace_schema::syscalls::Class;

use crate::cli::Selection;
use crate::commands::containers::{check_container, check_descriptions};
use crate::engine::{Engine, EventSelection};
use crate::questions::ParsedScope;

/// Returns the selected events, and the scope.
///
/// # Errors
/// There is no such container, no event in the time window, or the condition is wrong.
pub(super) async fn selected(
    engine: &Engine,
    selection: &Selection,
) -> anyhow::Result<(EventSelection, ParsedScope)> {
    let scope = ParsedScope::parse(&selection.scope).map_err(anyhow::Error::msg)?;
    for wanted in scope.containers() {
        check_container(engine, wanted).await?;
    }
    check_descriptions(engine, &scope).await?;
    let span = engine.span().await?;
    scope.check_window(span).map_err(anyhow::Error::msg)?;
    if let Some(outside) = scope.outside_warning(span) {
        bail!(outside);
    }
    let described = match scope.described("container_id") {
        None => None,
        Some(condition) => {
            let sql = format!("select distinct container_id from containers where {condition}");
            Some(engine.first_column(&sql).await?)
        }
    };
    let mut rows = vec![];
    if !selection.sets.is_empty() {
        rows.push(set_condition(&selection.sets));
    }
    if let Some(condition) = &selection.condition {
        check_condition(engine, "--where", condition).await?;
        // The condition may end with a comment.
        rows.push(format!("({condition}\n)"));
    }
    let events = EventSelection {
        span: scope.window(span),
        containers: scope.containers_condition(described.as_deref()),
        rows: (!rows.is_empty()).then(|| rows.join(" and ")),
    };
    Ok((events, scope))
}

/// Returns the condition for the events of some classes: calls, and what the kernel tells about the same things.
fn set_condition(sets: &[Class]) -> String {
    let names: Vec<_> = sets
        .iter()
        .map(|class| format!("'{}'", class.as_str()))
        .collect();
    let mut any = vec![format!("class in ({})", names.join(", "))];
    for class in sets {
        match class {
            Class::Network => any.push("kind in ('connection', 'dns')".into()),
            Class::Process => any.push("kind = 'process'".into()),
            Class::Signal => any.push("kind = 'signal'".into()),
            _ => {}
        }
    }
    format!("({})", any.join(" or "))
}

/// Checks the condition of the option `flag`.
///
/// # Errors
/// The text is not a condition on an event.
pub(super) async fn check_condition(
    engine: &Engine,
    flag: &str,
    condition: &str,
) -> anyhow::Result<()> {
    let checked = engine.check_condition(condition).await;
    checked.with_context(|| format!("{flag} `{condition}`"))
}
