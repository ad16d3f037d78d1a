//! `--timeout`: the longest time that an answer may take.

use std::time::Duration;

use anyhow::bail;

use crate::memory;
use crate::messages;

/// The time between the end of the limit and the end of the process, if the work does not react to the former: the planning
/// of a statement cannot be interrupted.
const GRACE: Duration = Duration::from_secs(1);

/// Does `work` until the end, or until `limit` is over.
///
/// # Errors
/// The work fails, or takes longer.
pub(crate) async fn within<T>(
    limit: Option<Duration>,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let Some(limit) = limit else {
        return work.await;
    };
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => bail!(message(limit)),
    }
}

/// Ends the process with an error if it still runs some time after `limit`.
pub(crate) fn end_process_after(limit: Duration) {
    let end = move || {
        std::thread::sleep(limit.saturating_add(GRACE));
        messages::error(&message(limit));
        memory::remove_unfinished();
        std::process::exit(2);
    };
    // Without the thread, the limit still applies to work that can be interrupted.
    let _ = std::thread::Builder::new()
        .name("timeout".into())
        .spawn(end);
}

fn message(limit: Duration) -> String {
    format!(
        "there is no answer after {} seconds (--timeout): select less, as with --since, --until and --container, or allow more time",
        limit.as_secs_f64()
    )
}
