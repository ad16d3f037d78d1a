//! Checks of the containers that a command names, and of the kind of the recordings.

use anyhow::bail;
use ctrace_common::nearest::suggest;
use ctrace_schema::text::printable;

use crate::engine::Engine;
use crate::questions::{ParsedScope, RecordingContents, container_condition};
use crate::source::{OpenFile, Recordings};

/// Checks that the recordings have events of a container.
///
/// # Errors
/// There is no such container; the message suggests the nearest name.
pub(crate) async fn check_container(engine: &Engine, wanted: &str) -> anyhow::Result<()> {
    let condition = container_condition(&[wanted.to_string()]);
    let sql = format!("select 1 from events where {condition} limit 1");
    match engine.first_column(&sql).await?.is_empty() {
        true => bail!(missing_container(engine, wanted).await?),
        false => Ok(()),
    }
}

/// Checks that the recordings have a container for each of `--pod`, `--namespace` and `--label`.
///
/// # Errors
/// There is no such container; the message suggests the nearest pod or namespace.
pub(crate) async fn check_descriptions(engine: &Engine, scope: &ParsedScope) -> anyhow::Result<()> {
    for (flag, values, condition) in scope.descriptions() {
        let sql = format!("select 1 from containers where {condition} limit 1");
        if !engine.first_column(&sql).await?.is_empty() {
            continue;
        }
        let names = match flag {
            "label" => vec![],
            column => {
                let sql = format!(
                    "select {column} from containers where {column} is not null group by {column} order by {column}"
                );
                engine.first_column(&sql).await?
            }
        };
        let values = printable(&values);
        let suggestion = suggest(&values, names.iter().map(String::as_str));
        bail!("no container in the recording has the {flag} `{values}`{suggestion}");
    }
    Ok(())
}

async fn missing_container(engine: &Engine, wanted: &str) -> anyhow::Result<String> {
    const MAX_LISTED: usize = 10;
    let sql = "select container from events where container is not null group by container order by container";
    let names = engine.first_column(sql).await?;
    // A name may contain a newline.
    let names: Vec<_> = names
        .iter()
        .map(|name| printable(name).into_owned())
        .collect();
    let wanted = &*printable(wanted);
    let message = match wanted.contains(['*', '?']) {
        true => format!("no container in the recording matches `{wanted}`"),
        false => format!("there is no container `{wanted}` in the recording"),
    };
    let suggestion = suggest(wanted, names.iter().map(String::as_str));
    Ok(match names.len() {
        _ if !suggestion.is_empty() => message + &suggestion,
        0 => format!("{message}: the recording contains no containers"),
        n if n > MAX_LISTED => format!("{message}: `ctrace-query containers` lists all {n}"),
        _ => format!("{message}: there are {}", names.join(", ")),
    })
}

/// Returns the facts about the recordings that ready questions depend on. Recordings that cannot be opened are an error of
/// the answer.
pub(crate) async fn recording_contents(engine: &Engine) -> RecordingContents {
    let Ok(recordings) = engine.recordings().await else {
        return RecordingContents::default();
    };
    let several_hosts = engine.has_several_hosts().await.unwrap_or(false);
    let only_counts = recordings.count_recordings() == recordings.files.len();
    RecordingContents {
        only_counts,
        several_hosts,
        same_names: engine.has_same_names().await.unwrap_or(false),
        pods: engine.pods().await.unwrap_or_default(),
        tells_setup: !only_counts && tells_setup(recordings),
    }
}

/// Returns whether the column `setup` tells the set-up of containers in all recordings.
pub(super) fn tells_setup(recordings: &Recordings) -> bool {
    recordings.files.iter().all(OpenFile::tells_setup)
}
