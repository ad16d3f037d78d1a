//! The scope of the ready question `why`: the last minute of one container.

use chrono::{DateTime, TimeDelta, Utc};

use crate::engine::Engine;
use crate::questions::{ParsedScope, container_condition};

/// The last minute of a container.
pub(crate) struct LastMinute {
    pub(crate) container_id: String,
    /// The time at which the container ended, or else was seen last.
    end: DateTime<Utc>,
}

impl LastMinute {
    /// Restricts a scope to the container, and to the minute before its end unless the scope has a time window.
    pub(crate) fn scope(&self, scope: ParsedScope) -> ParsedScope {
        scope.of_container(
            &self.container_id,
            self.end - TimeDelta::minutes(1),
            self.end,
        )
    }
}

/// Restricts a scope to the first of [`last_minutes`]. Returns `None` if there is no container.
///
/// # Errors
/// A recording cannot be read.
pub(crate) async fn last_minute(
    engine: &Engine,
    scope: ParsedScope,
) -> anyhow::Result<Option<ParsedScope>> {
    let found = last_minutes(engine, &scope, 1).await?;
    Ok(found.first().map(|minute| minute.scope(scope)))
}

/// Returns the last minutes of at most `limit` of the containers that the scope names: first of those that ended badly, then of
/// those that ended, and then of the others, the last one first.
///
/// # Errors
/// A recording cannot be read.
pub(crate) async fn last_minutes(
    engine: &Engine,
    scope: &ParsedScope,
    limit: u64,
) -> anyhow::Result<Vec<LastMinute>> {
    let named = match scope.containers() {
        [] => "true".to_string(),
        // A container that was renamed is in the view with its last name only.
        names => format!(
            "container_id in (select container_id from events where {})",
            container_condition(names)
        ),
    };
    let described = scope.described("container_id");
    let described = described.as_deref().unwrap_or("true");
    // SIGINT and SIGTERM, also as exit codes of a shell, are requests to end.
    let sql = format!(
        "select container_id || ' ' || cast(cast(coalesce(stopped, last_seen) as bigint) as varchar)
        from containers
        where container_id is not null and ({named}) and {described}
        order by coalesce(exit_code, 0) not in (0, 130, 143) or coalesce(exit_signal, 15) not in (2, 15) desc,
            stopped desc nulls last, last_seen desc, container_id
        limit {limit}"
    );
    let found = engine.first_column(&sql).await?;
    let minutes = found.iter().filter_map(|text| {
        let (id, end) = text.rsplit_once(' ')?;
        Some(LastMinute {
            container_id: id.to_string(),
            end: DateTime::from_timestamp_nanos(end.parse().ok()?),
        })
    });
    Ok(minutes.collect())
}
