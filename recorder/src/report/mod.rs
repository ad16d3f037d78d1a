//! All who want to know how a recording goes: whoever reads stderr, a service manager, a monitoring system.

pub(crate) mod prometheus;
pub(crate) mod systemd;
pub(crate) mod terminal;
pub(crate) mod warnings;

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::plan::Plan;
use crate::progress::Progress;
use crate::report::prometheus::Metrics;
use crate::report::systemd::ServiceManager;
use crate::report::terminal::ProgressLine;
use crate::sink::summary::Summary;

/// How often they are told.
const EVERY: Duration = Duration::from_millis(500);

/// They.
pub(crate) struct Report {
    status: ProgressLine,
    manager: ServiceManager,
    metrics: Option<Metrics>,
    told: Instant,
}

impl Report {
    /// Those whom the flags and the environment name, for a recording to `target`.
    ///
    /// # Errors
    /// Nobody can listen where metrics are to be served.
    pub(crate) fn new(plan: &Plan, target: &str) -> Result<Report> {
        Ok(Report {
            status: ProgressLine::new(plan.quiet, target),
            manager: ServiceManager::from_env(),
            metrics: plan.metrics.map(Metrics::serve).transpose()?,
            told: Instant::now(),
        })
    }

    /// Recording has begun.
    pub(crate) fn begin(&mut self) {
        self.status.begin();
        self.manager.ready();
    }

    /// Whether it is time to [`Report::update`].
    pub(crate) fn is_due(&self) -> bool {
        self.told.elapsed() >= EVERY
    }

    /// Recording goes on.
    pub(crate) fn update(&mut self, progress: &Progress) {
        self.told = Instant::now();
        self.status.show(progress);
        self.manager.notify(progress);
        self.serve(progress);
    }

    /// Likewise, but to the monitoring system alone.
    pub(crate) fn serve(&self, progress: &Progress) {
        if let Some(metrics) = &self.metrics {
            metrics.update(progress);
        }
    }

    /// Something has happened that is worth a line; `error`: that nobody may silence.
    pub(crate) fn print(&self, text: &str, error: bool) {
        self.status.print(text, error);
    }

    /// Recording stops; what is left is being written.
    pub(crate) fn stopping(&self) {
        self.manager.stopping();
    }

    /// Recording has ended.
    pub(crate) fn end(&self, summary: &Summary, bytes_written: Option<u64>) {
        self.status.end(summary, bytes_written);
    }
}
