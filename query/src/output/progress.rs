//! The progress of long work: a line with a bar on stderr, if that is a terminal. The line is erased when the work is done, or rows
//! arrive.

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
/// Characters of a bar.
const BAR_WIDTH: usize = 20;

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
        let draw = || draw_scan(&scanned(self.plan.as_ref()), self.start);
        drawing(self.start, next, draw).await
    }
}

/// Waits for `next`, and calls `draw` meanwhile, from some time after `start` on.
async fn drawing<T>(start: Instant, next: impl Future<Output = T>, draw: impl Fn()) -> T {
    let mut next = pin!(next);
    let mut drawn = false;
    loop {
        let wait = PATIENCE.saturating_sub(start.elapsed()).max(REDRAW);
        tokio::select! {
            biased;
            done = &mut next => {
                if drawn {
                    erase();
                }
                return done;
            }
            () = tokio::time::sleep(wait), if !pager::is_running() => {
                draw();
                drawn = true;
            }
        }
    }
}

/// Work that is counted in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BytesDone {
    pub(crate) done: u64,
    pub(crate) total: u64,
}

/// Waits for `work`, and shows the progress that `done` tells meanwhile. `verb` says what was done, such as `verified`.
pub(crate) async fn during_bytes<T>(
    verb: &str,
    done: impl Fn() -> BytesDone,
    work: impl Future<Output = T>,
) -> T {
    if !stderr().is_terminal() {
        return work.await;
    }
    let start = Instant::now();
    let draw = || {
        let BytesDone { done, total } = done();
        let share = (total > 0).then(|| (done as f64 / total as f64).min(1.0));
        draw_line(verb, share, &human::bytes(done), start);
    };
    drawing(start, work, draw).await
}

/// The progress of the sums that a recording gets at its end.
pub(crate) struct SumProgress {
    start: Instant,
    /// The number of all sums.
    total: usize,
}

impl SumProgress {
    /// Creates the progress of `total` sums, the first of which is about to be computed.
    pub(crate) fn new(total: usize) -> Self {
        SumProgress {
            start: Instant::now(),
            total,
        }
    }

    /// Waits for the sum behind the first `done`, and shows the progress meanwhile.
    pub(crate) async fn during<T>(&self, done: usize, sum: impl Future<Output = T>) -> T {
        if !stderr().is_terminal() {
            return sum.await;
        }
        let share = done as f64 / self.total as f64;
        let sums = format!("{done} of {} sums", self.total);
        let draw = || draw_line("computed", Some(share), &sums, self.start);
        drawing(self.start, sum, draw).await
    }
}

/// The progress of a copy of events in the order of time.
pub(crate) struct CopyProgress {
    is_terminal: bool,
    start: Instant,
    drawn: Instant,
    /// The first and the last time of the events, ns since 1970 UTC.
    span: (i64, i64),
    /// The time that the copy has reached.
    reached: i64,
    rows: u64,
}

impl CopyProgress {
    /// Creates the progress of a copy of the events of a span of time, which is about to begin.
    pub(crate) fn new(span: (i64, i64)) -> Self {
        CopyProgress {
            is_terminal: stderr().is_terminal(),
            start: Instant::now(),
            drawn: Instant::now(),
            span,
            reached: span.0,
            rows: 0,
        }
    }

    /// Waits for `next`, and shows the progress meanwhile.
    pub(crate) async fn during<T>(&self, next: impl Future<Output = T>) -> T {
        match self.is_terminal {
            true => drawing(self.start, next, || self.draw()).await,
            false => next.await,
        }
    }

    /// Adds `rows` copied events, the last of which began at `reached`.
    pub(crate) fn add(&mut self, rows: usize, reached: i64) {
        self.rows += rows as u64;
        self.reached = self.reached.max(reached);
        // Rows may arrive faster than the wait for the next ones could be drawn.
        let is_due = self.start.elapsed() >= PATIENCE && self.drawn.elapsed() >= REDRAW;
        if self.is_terminal && is_due {
            self.drawn = Instant::now();
            self.draw();
        }
    }

    /// Erases the line.
    pub(crate) fn finish(self) {
        if self.is_terminal {
            erase();
        }
    }

    fn draw(&self) {
        let events = format!("{} events", human::count(self.rows));
        draw_line("copied", Some(self.share()), &events, self.start);
    }

    /// Returns the finished share of the time, from 0 to 1.
    fn share(&self) -> f64 {
        let length = self.span.1.saturating_sub(self.span.0).max(1);
        let done = self.reached.saturating_sub(self.span.0);
        (done as f64 / length as f64).clamp(0.0, 1.0)
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

fn draw_scan(scanned: &Scanned, start: Instant) {
    let done = format!(
        "{} rows, {}",
        human::count(scanned.rows),
        human::bytes(scanned.bytes)
    );
    draw_line("scanned", scanned.share(), &done, start);
}

/// Draws the line: what was done, its share as a bar if the share is known, how much was done, and the time that it took.
fn draw_line(verb: &str, share: Option<f64>, done: &str, start: Instant) {
    let bar = share.map_or(String::new(), bar);
    let seconds = start.elapsed().as_secs_f64();
    // When stderr is closed, nobody can be informed of that.
    let _ = write!(stderr(), "\r\x1b[K{verb} {bar}{done}, {seconds:.0} s");
}

/// Returns a share from 0 to 1 as a bar and in percent.
fn bar(share: f64) -> String {
    let full = (share * BAR_WIDTH as f64) as usize;
    let (full, empty) = (
        "#".repeat(full),
        "-".repeat(BAR_WIDTH - full.min(BAR_WIDTH)),
    );
    format!("[{full}{empty}] {:.0} %, ", share * 100.0)
}

fn erase() {
    let _ = write!(stderr(), "\r\x1b[K");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_counts_time_and_rows() {
        let mut progress = CopyProgress::new((1000, 2000));
        assert_eq!(progress.share(), 0.0);
        progress.add(10, 1250);
        progress.add(10, 1100);
        assert_eq!((progress.share(), progress.rows), (0.25, 20));
        progress.add(1, 5000);
        assert_eq!(progress.share(), 1.0);
        assert_eq!(CopyProgress::new((7, 7)).share(), 0.0);
    }

    #[test]
    fn a_bar_grows_from_left_to_right() {
        assert_eq!(bar(0.0), "[--------------------] 0 %, ");
        assert_eq!(bar(0.5), "[##########----------] 50 %, ");
        assert_eq!(bar(1.0), "[####################] 100 %, ");
    }

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
