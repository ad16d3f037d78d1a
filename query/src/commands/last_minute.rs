//! The scope of the ready question `why`: the last minute of one container.

use anyhow::bail;
use chrono::{DateTime, TimeDelta, Utc};

use crate::engine::Engine;
use crate::questions::{ParsedScope, container_condition};

/// Restricts a scope to one container, and to the minute before its end unless the scope has a time window. The container is one
/// of those that the scope names. Of several, it is the one that ended badly last; without one, the one that ended last, and
/// without one, the one that was seen last.
///
/// # Errors
/// A recording cannot be read, or has no container.
pub(crate) async fn last_minute(
    engine: &Engine,
    scope: ParsedScope,
) -> anyhow::Result<ParsedScope> {
    let condition = match scope.containers() {
        [] => "true".to_string(),
        names => container_condition(names),
    };
    // SIGINT and SIGTERM, also as exit codes of a shell, are requests to end.
    let sql = format!(
        "select container_id || ' ' || cast(cast(coalesce(stopped, last_seen) as bigint) as varchar)
        from containers
        where container_id is not null and ({condition})
        order by coalesce(exit_code, 0) not in (0, 130, 143) or coalesce(exit_signal, 15) not in (2, 15) desc,
            stopped desc nulls last, last_seen desc, container_id
        limit 1"
    );
    let found = engine.first_column(&sql).await?;
    let found = found.first().and_then(|text| text.rsplit_once(' '));
    let Some((id, end)) = found.and_then(|(id, end)| Some((id, end.parse().ok()?))) else {
        bail!("the recording has no container: `ctrace-query summary` tells what it has");
    };
    let end: DateTime<Utc> = DateTime::from_timestamp_nanos(end);
    Ok(scope.of_container(id, end - TimeDelta::minutes(1), end))
}
