//! Batches on their way to the encoder: whole, or in parts where they fill slowly, so that what happened is soon in a file.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use crate::resolve::Resolver;
use crate::rows::batch::{Batch, ContainerName, Row};
use crate::sink::summary::Summary;
use crate::sink::{BatchPolicy, SinkCommand};

/// A batch that fills within this time is not cut into parts: its rows are written once.
const SOON: Duration = Duration::from_millis(700);
/// How long a row may wait in all, unless the encoder is behind: less than a second, which is what a kill may cost.
const LONGEST: Duration = Duration::from_millis(900);

/// When batches are cut, as the sink policy it.
#[derive(Debug)]
pub(crate) struct Cutter {
    /// What makes a batch.
    pub(crate) policy: BatchPolicy,
    /// When the part began that is being filled.
    began: Instant,
    /// When the sink last_command last.
    last_command: Instant,
    /// What somebody policy it to do then.
    command: Option<SinkCommand>,
}

/// A batch or a part of one, with whom its rows belong to still to be decided.
#[derive(Debug)]
pub(crate) struct PendingPart {
    /// Its rows.
    pub(crate) part: BatchPart,
    /// It is handed on then in any case.
    pub(crate) until: Instant,
    /// Rows by container.
    rows: FxHashMap<u32, u64>,
    /// Container, class, reason and number of events that were lost.
    lost: Vec<(u32, &'static str, &'static str, u64)>,
}

/// A batch, or a part of one.
#[derive(Debug)]
pub(crate) struct BatchPart {
    /// Its rows.
    pub(crate) batch: Batch,
    /// Whether it ends a batch.
    pub(crate) last: bool,
    /// What the sink is to do after it.
    pub(crate) command: Option<SinkCommand>,
}

impl Cutter {
    /// For a sink that policy them so.
    pub(crate) fn new(policy: BatchPolicy) -> Cutter {
        Cutter {
            policy,
            began: Instant::now(),
            last_command: Instant::now(),
            command: None,
        }
    }

    /// Sets the command that the sink receives after the rows so far.
    pub(crate) fn command(&mut self, command: SinkCommand) {
        // A later command to begin another file is covered by the pending one.
        if !self.has_command() || !matches!(command, SinkCommand::Next | SinkCommand::Retry) {
            self.command = Some(command);
        }
    }

    /// Whether a command is pending.
    pub(crate) fn has_command(&self) -> bool {
        self.command.is_some()
    }

    /// Takes the rows of `resolver` that have waited long enough; `doubt` says that they may wait longer yet.
    pub(crate) fn due(
        &mut self,
        resolver: &mut Resolver,
        hold: Duration,
        doubt: bool,
    ) -> Option<PendingPart> {
        let BatchPolicy {
            max_rows,
            max_wait,
            regroups,
            command_after,
        } = self.policy;
        let old = |after| self.last_command.elapsed() >= after;
        if self.has_command() || command_after.is_some_and(old) {
            self.last_command = Instant::now();
            let command = self.command.take().unwrap_or(SinkCommand::Next);
            let mut held = self.cut(resolver, hold, true);
            held.part.command = Some(command);
            return Some(held);
        }
        let waited = self.began.elapsed();
        if max_wait.is_none_or(|max_wait| waited < max_wait) {
            return None;
        }
        let batch = &resolver.batch;
        let missing = max_rows.saturating_sub(batch.len()) as f64;
        let rate = batch.rows.len() as f64 / waited.as_secs_f64();
        let left = SOON.saturating_sub(waited).as_secs_f64();
        if batch.rows.is_empty() {
            self.began = Instant::now();
            None
        } else if regroups && !doubt && rate * left > missing {
            None
        } else {
            Some(self.cut(resolver, hold, !regroups))
        }
    }

    /// Takes the rows of `resolver`, to be handed on after `hold` at the latest; `last`: they end a batch.
    pub(crate) fn cut(
        &mut self,
        resolver: &mut Resolver,
        hold: Duration,
        last: bool,
    ) -> PendingPart {
        let (mut rows, mut lost) = (FxHashMap::default(), vec![]);
        let batch = &mut resolver.batch;
        let same = |a: &Row, b: &Row| batch.container(a) == batch.container(b);
        for neighbours in batch.rows.chunk_by(same) {
            let container = batch.container(&neighbours[0]);
            *rows.entry(container).or_default() += neighbours.len() as u64;
            let gaps = neighbours.iter().filter_map(|row| batch.lost(row));
            lost.extend(gaps.map(|(class, why, events)| (container, class, why, events)));
        }
        let batch = if last { resolver.take() } else { batch.part() };
        let now = Instant::now();
        let began = std::mem::replace(&mut self.began, now);
        PendingPart {
            part: BatchPart {
                batch,
                last,
                command: None,
            },
            // Where the encoder is behind it is late already, but whose they are can still be learnt.
            until: (now + hold).min((began + LONGEST).max(now + hold / 4)),
            rows,
            lost,
        }
    }
}

impl PendingPart {
    /// How many rows it has.
    pub(crate) fn len(&self) -> usize {
        self.part.batch.rows.len()
    }

    /// Events by container, those that its gap rows say were lost included.
    pub(crate) fn events(&self) -> impl Iterator<Item = (u32, u64)> {
        self.rows.iter().map(|(container, rows)| {
            let gaps = self.lost.iter().filter(|(of, ..)| of == container);
            let gaps = gaps.map(|(.., lost)| *lost);
            let all = |(n, sum): (u64, u64), lost| (n + 1, sum.saturating_add(lost));
            let (rows_of_gaps, lost) = gaps.fold((0, 0), all);
            (*container, (rows - rows_of_gaps).saturating_add(lost))
        })
    }

    /// Adds what is kept of it to `summary`.
    pub(crate) fn count(&self, names: &[ContainerName], summary: &mut Summary) {
        // A loss that is no container's is kept.
        let kept = |container: u32| {
            let name = names.get(container as usize);
            name.is_none_or(|name| name.recorded)
        };
        for (container, rows) in &self.rows {
            if kept(*container) {
                summary.events += rows;
            }
        }
        for (container, class, why, events) in &self.lost {
            if kept(*container) {
                summary.add_lost(class, why, *events);
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
    use crate::limits::memory::Memory;
    use crate::records::loss::{Cause, Loss};
    use crate::resolve::registry::Registry;

    #[test]
    fn a_loss_of_no_container_counts_and_that_of_the_host_does_not() {
        let calls = Calls::new("x86_64").expect("is known");
        let memory = Memory::for_tests();
        let mut resolver = Resolver::new(Arc::new(calls), Registry::new(false), memory);
        let loss = |cgroup, class, why, events| Loss {
            cgroup,
            class: Some(class),
            why,
            cpu: None,
            events,
        };
        resolver.gap(&loss(0, Class::File, Cause::Ring, 7), (1, 2));
        resolver.registry.enter(5);
        resolver.gap(&loss(5, Class::Network, Cause::Shed, 3), (1, 2));
        let mut cutter = Cutter::new(BatchPolicy::batches(1, None));
        let held = cutter.cut(&mut resolver, Duration::ZERO, true);
        let mut summary = Summary::default();
        held.count(&resolver.registry.names(), &mut summary);
        assert_eq!(held.len(), 2);
        assert_eq!(summary.events, 1);
        assert_eq!(summary.lost.get("file"), Some(&7));
        assert!(summary.shed.is_empty());
    }
}
