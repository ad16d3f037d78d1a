//! Reports of a recording's progress: on the terminal, to systemd, and to Prometheus.

pub(crate) mod http;
pub(crate) mod prometheus;
pub(crate) mod systemd;
pub(crate) mod terminal;
pub(crate) mod warnings;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::plan::Plan;
use crate::progress::Progress;
use crate::report::prometheus::Metrics;
use crate::report::systemd::ServiceManager;
use crate::report::terminal::ProgressLine;
use crate::sink::summary::Summary;

/// Minimum time between two reports.
const REPORT_TIME: Duration = Duration::from_millis(500);

/// All receivers of reports.
pub(crate) struct Report {
    line: ProgressLine,
    manager: ServiceManager,
    metrics: Option<Metrics>,
    last_report: Instant,
}

impl Report {
    /// Creates the receivers that the plan and the environment name, for a recording to `target`. `metrics` listens at the
    /// address of `--metrics`.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn new(plan: &Plan, target: &str, metrics: Option<TcpListener>) -> Result<Report> {
        Ok(Report {
            line: ProgressLine::new(plan.quiet, target),
            manager: ServiceManager::from_env(),
            metrics: metrics.map(Metrics::serve).transpose()?,
            last_report: Instant::now(),
        })
    }

    /// Reports that the recording has begun.
    pub(crate) fn begin(&mut self) {
        self.line.begin();
        self.manager.ready();
    }

    /// Returns whether [`Report::update`] is due.
    pub(crate) fn is_due(&self) -> bool {
        self.last_report.elapsed() >= REPORT_TIME
    }

    /// Reports the progress to all receivers.
    pub(crate) fn update(&mut self, progress: &Progress) {
        self.last_report = Instant::now();
        self.line.show(progress);
        self.manager.notify(progress);
        self.update_metrics(progress);
    }

    /// Reports the progress to Prometheus only.
    pub(crate) fn update_metrics(&self, progress: &Progress) {
        if let Some(metrics) = &self.metrics {
            metrics.update(progress);
        }
    }

    /// Prints a line for the user. A warning is printed even with `--quiet`.
    pub(crate) fn print(&self, text: &str, is_warning: bool) {
        self.line.print(text, is_warning);
    }

    /// Reports that the recording stops, and that the remaining events are being written.
    pub(crate) fn stopping(&self) {
        self.manager.stopping();
    }

    /// Reports that the recording has ended.
    pub(crate) fn end(&self, summary: &Summary, bytes_written: Option<u64>) {
        self.line.end(summary, bytes_written);
    }
}
