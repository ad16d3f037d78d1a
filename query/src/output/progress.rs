//! The progress of a long query: a line on stderr that is erased when rows arrive.

use std::future::Future;
use std::io::{IsTerminal, Write, stderr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ctrace_schema::human;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricValue;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

use crate::output::pager;

/// Shorter queries show no progress.
const PATIENCE: Duration = Duration::from_millis(500);
const REDRAW: Duration = Duration::from_millis(200);

/// The progress of the scans of a plan.
pub(crate) struct ScanProgress {
    plan: Arc<dyn ExecutionPlan>,
    start: Instant,
}

impl ScanProgress {
    /// Creates the progress of `plan`, which is about to run; `None` if stderr is not a terminal.
    pub(crate) fn new(plan: Arc<dyn ExecutionPlan>) -> Option<Self> {
        let start = Instant::now();
        stderr()
            .is_terminal()
            .then_some(ScanProgress { plan, start })
    }

    /// Waits for `next`, and shows the progress meanwhile.
    pub(crate) async fn during<T>(&self, next: impl Future<Output = T>) -> T {
        let mut next = pin!(next);
        let mut drawn = false;
        loop {
            let wait = PATIENCE.saturating_sub(self.start.elapsed()).max(REDRAW);
            tokio::select! {
                biased;
                done = &mut next => {
                    if drawn {
                        erase();
                    }
                    return done;
                }
                () = tokio::time::sleep(wait), if !pager::is_running() => {
                    draw(&scanned(self.plan.as_ref()), self.start.elapsed());
                    drawn = true;
                }
            }
        }
    }
}

/// The work of all scans of a plan so far.
#[derive(Debug, Default, PartialEq)]
struct Scanned {
    /// Rows that were read or skipped.
    rows: u64,
    bytes: u64,
    /// Rows of the scanned files, as far as the number is known.
    total: u64,
    /// Row groups of the opened files that statistics rule out, and the others.
    groups: (u64, u64),
}

impl Scanned {
    /// Returns the finished share, from 0 to 1; `None`: unknown.
    fn share(&self) -> Option<f64> {
        let (pruned, needed) = self.groups;
        let needed = match pruned + needed {
            0 => 1.0,
            all => needed as f64 / all as f64,
        };
        let total = self.total as f64 * needed;
        (total > 0.0).then(|| (self.rows as f64 / total).min(1.0))
    }
}

/// Adds up the metrics of the leaves of a plan.
fn scanned(plan: &dyn ExecutionPlan) -> Scanned {
    let mut scanned = Scanned::default();
    add(plan, &mut scanned);
    scanned
}

fn add(plan: &dyn ExecutionPlan, scanned: &mut Scanned) {
    let children = plan.children();
    for child in &children {
        add(child.as_ref(), scanned);
    }
    if !children.is_empty() {
        return;
    }
    let statistics = StatisticsContext::new().compute(plan, &StatisticsArgs::new());
    if let Ok(statistics) = statistics {
        scanned.total += statistics.num_rows.get_value().map_or(0, |n| *n as u64);
    }
    for metric in plan.metrics().iter().flat_map(|m| m.iter()) {
        match metric.value() {
            MetricValue::OutputRows(rows) => scanned.rows += rows.value() as u64,
            MetricValue::Count { name, count } if name == "bytes_scanned" => {
                scanned.bytes += count.value() as u64;
            }
            MetricValue::Count { name, count } if name == "pushdown_rows_pruned" => {
                scanned.rows += count.value() as u64;
            }
            MetricValue::PruningMetrics {
                name,
                pruning_metrics,
            } => {
                let (pruned, matched) = (pruning_metrics.pruned(), pruning_metrics.matched());
                match name.as_ref() {
                    "page_index_rows_pruned" => scanned.rows += pruned as u64,
                    "row_groups_pruned_statistics" => {
                        scanned.groups.0 += pruned as u64;
                        scanned.groups.1 += matched as u64;
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

fn draw(scanned: &Scanned, elapsed: Duration) {
    let share = scanned
        .share()
        .map_or(String::new(), |share| format!("{:.0} %, ", share * 100.0));
    // When stderr is closed, nobody can be informed of that.
    let _ = write!(
        stderr(),
        "\r\x1b[Kscanned {share}{} rows, {}, {:.0} s",
        human::count(scanned.rows),
        human::bytes(scanned.bytes),
        elapsed.as_secs_f64()
    );
}

fn erase() {
    let _ = write!(stderr(), "\r\x1b[K");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pruned_row_groups_do_not_count() {
        let scanned = |rows, total, groups| Scanned {
            rows,
            total,
            groups,
            bytes: 0,
        };
        assert_eq!(scanned(25, 100, (0, 0)).share(), Some(0.25));
        assert_eq!(scanned(25, 100, (3, 1)).share(), Some(1.0));
        assert_eq!(scanned(25, 100, (1, 1)).share(), Some(0.5));
        assert_eq!(scanned(25, 0, (0, 0)).share(), None);
    }
}
