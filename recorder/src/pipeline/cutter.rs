//! Decides when a batch ends and is sent to the encoder.
//!
//! A batch ends when it is full. A batch that fills slowly is cut into parts before, so that events reach the file
//! early: a kill costs less than a second of events. A cut part is pending while it is undecided which container its
//! rows belong to.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use crate::resolve::Resolver;
use crate::rows::batch::{Batch, ContainerName, Row};
use crate::sink::summary::Summary;
use crate::sink::{BatchPolicy, SinkCommand};

/// A batch that will be full within this time is not cut into parts, so that its rows are written only once.
const FILL_TIME: Duration = Duration::from_millis(700);
/// Maximum time that a row waits in total, unless the encoder is behind: less than a second, so that a kill costs no more.
const MAX_WAIT: Duration = Duration::from_millis(900);

/// Cuts batches according to the policy of the sink.
#[derive(Debug)]
pub(crate) struct Cutter {
    pub(crate) policy: BatchPolicy,
    /// Start of the part that is being filled.
    began: Instant,
    /// Time of the sink's last command.
    last_command: Instant,
    /// Command that the sink receives after the next cut.
    command: Option<SinkCommand>,
}

/// A part that waits until it is decided which containers its rows belong to.
#[derive(Debug)]
pub(crate) struct PendingPart {
    pub(crate) part: BatchPart,
    /// Time when the part is sent even if a container is still undecided.
    pub(crate) send_at: Instant,
    /// Number of rows by container.
    rows: FxHashMap<u32, u64>,
    /// Container, class, reason and number of lost events of each gap row.
    lost: Vec<(u32, &'static str, &'static str, u64)>,
}

/// A whole batch, or a part of a batch.
#[derive(Debug)]
pub(crate) struct BatchPart {
    pub(crate) batch: Batch,
    /// True if the part ends a batch.
    pub(crate) last: bool,
    /// Command for the sink after this part.
    pub(crate) command: Option<SinkCommand>,
}

impl Cutter {
    pub(crate) fn new(policy: BatchPolicy) -> Cutter {
        Cutter {
            policy,
            began: Instant::now(),
            last_command: Instant::now(),
            command: None,
        }
    }

    /// Schedules a command for the sink, after the rows that exist now.
    pub(crate) fn command(&mut self, command: SinkCommand) {
        // `Next` and `Retry` do not replace a scheduled command, which ends the batch as well.
        if !self.has_command() || !matches!(command, SinkCommand::Next | SinkCommand::Retry) {
            self.command = Some(command);
        }
    }

    /// Returns whether a command is scheduled that the sink has not received.
    pub(crate) fn has_command(&self) -> bool {
        self.command.is_some()
    }

    /// Cuts the rows of `resolver` if they have waited long enough, or if a command for the sink is due. `undecided`
    /// says that a container is undecided, so that a part would be pending.
    pub(crate) fn cut_if_due(
        &mut self,
        resolver: &mut Resolver,
        max_hold: Duration,
        undecided: bool,
    ) -> Option<PendingPart> {
        let BatchPolicy {
            max_rows,
            max_wait,
            regroups,
            command_after,
        } = self.policy;
        let is_due = |after| self.last_command.elapsed() >= after;
        if self.has_command() || command_after.is_some_and(is_due) {
            self.last_command = Instant::now();
            let command = self.command.take().unwrap_or(SinkCommand::Next);
            let mut pending = self.cut(resolver, max_hold, true);
            pending.part.command = Some(command);
            return Some(pending);
        }
        let waited = self.began.elapsed();
        if max_wait.is_none_or(|max_wait| waited < max_wait) {
            return None;
        }
        let batch = &resolver.batch;
        let missing_rows = max_rows.saturating_sub(batch.len()) as f64;
        let rows_per_second = batch.rows.len() as f64 / waited.as_secs_f64();
        let seconds_left = FILL_TIME.saturating_sub(waited).as_secs_f64();
        if batch.rows.is_empty() {
            self.began = Instant::now();
            None
        } else if regroups && !undecided && rows_per_second * seconds_left > missing_rows {
            None
        } else {
            Some(self.cut(resolver, max_hold, !regroups))
        }
    }

    /// Cuts the rows of `resolver`, to be sent after `max_hold` at the latest. With `last`, they end a batch.
    pub(crate) fn cut(
        &mut self,
        resolver: &mut Resolver,
        max_hold: Duration,
        last: bool,
    ) -> PendingPart {
        let (mut rows, mut lost) = (FxHashMap::default(), vec![]);
        let batch = &mut resolver.batch;
        let same_container = |a: &Row, b: &Row| batch.container(a) == batch.container(b);
        for adjacent in batch.rows.chunk_by(same_container) {
            let container = batch.container(&adjacent[0]);
            *rows.entry(container).or_default() += adjacent.len() as u64;
            let gaps = adjacent.iter().filter_map(|row| batch.lost(row));
            lost.extend(gaps.map(|(class, cause, events)| (container, class, cause, events)));
        }
        let batch = if last {
            resolver.take_batch()
        } else {
            batch.cut_part()
        };
        let now = Instant::now();
        let began = std::mem::replace(&mut self.began, now);
        PendingPart {
            part: BatchPart {
                batch,
                last,
                command: None,
            },
            // If the encoder is behind, MAX_WAIT is over already: a quarter of the time remains to decide the
            // container.
            send_at: (now + max_hold).min((began + MAX_WAIT).max(now + max_hold / 4)),
            rows,
            lost,
        }
    }
}

impl PendingPart {
    pub(crate) fn len(&self) -> usize {
        self.part.batch.rows.len()
    }

    /// Returns the number of events by container, including the lost events that gap rows report.
    pub(crate) fn events(&self) -> impl Iterator<Item = (u32, u64)> {
        self.rows.iter().map(|(container, rows)| {
            let gaps = self.lost.iter().filter(|(owner, ..)| owner == container);
            let gaps = gaps.map(|(.., lost)| *lost);
            let add = |(n, sum): (u64, u64), lost| (n + 1, sum.saturating_add(lost));
            let (gap_rows, lost) = gaps.fold((0, 0), add);
            (*container, (rows - gap_rows).saturating_add(lost))
        })
    }

    /// Adds the recorded rows of the part to `summary`.
    pub(crate) fn count(&self, names: &[ContainerName], summary: &mut Summary) {
        // A loss without a container is recorded.
        let is_recorded = |container: u32| {
            let name = names.get(container as usize);
            name.is_none_or(|name| name.recorded)
        };
        for (container, rows) in &self.rows {
            if is_recorded(*container) {
                summary.events += rows;
            }
        }
        for (container, class, cause, events) in &self.lost {
            if is_recorded(*container) {
                summary.add_lost(class, cause, *events);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ctrace_schema::syscalls::Class;

    use super::*;
    use crate::calls::Calls;
    use crate::containers::facts::{CgroupFact, CgroupKind};
    use crate::limits::memory::Memory;
    use crate::records::loss::{Cause, Loss};
    use crate::resolve::registry::Registry;

    #[test]
    fn a_loss_without_a_container_counts_and_a_loss_of_the_host_does_not() {
        let calls = Calls::new("x86_64").expect("is known");
        let memory = Memory::for_tests();
        let mut resolver = Resolver::new(Arc::new(calls), Registry::new(false), memory);
        let loss = |cgroup, class, cause, events| Loss {
            cgroup,
            class: Some(class),
            cause,
            cpu: None,
            events,
        };
        resolver.gap(&loss(0, Class::File, Cause::Ring, 7), (1, 2));
        let host = CgroupFact {
            boot_ns: 0,
            cgroup: 5,
            path: "/a.service".to_string(),
            kind: CgroupKind::Host,
        };
        resolver.registry.learn(&host);
        resolver.gap(&loss(5, Class::Network, Cause::Shed, 3), (1, 2));
        let mut cutter = Cutter::new(BatchPolicy::batches(1, None));
        let pending = cutter.cut(&mut resolver, Duration::ZERO, true);
        let mut summary = Summary::default();
        pending.count(&resolver.registry.names(), &mut summary);
        assert_eq!(pending.len(), 2);
        assert_eq!(summary.events, 1);
        assert_eq!(summary.lost.get("file"), Some(&7));
        assert!(summary.shed.is_empty());
    }
}
