//! Batches on their way to the encoder: whole, or in parts where they fill slowly, so that what happened is soon in a file.

use std::time::{Duration, Instant};

use crate::batch::Batch;
use crate::columns::ContainerName;
use crate::resolve::Resolver;
use crate::sink::{Sink, Summary};

/// A batch that fills within this time is not cut into parts: its rows are written once.
const SOON: Duration = Duration::from_millis(700);
/// How long a row may wait in all, unless the encoder is behind: less than a second, which is what a kill may cost.
const LONGEST: Duration = Duration::from_millis(900);

/// When batches are cut, as the sink wants it.
#[derive(Clone, Copy, Debug)]
pub struct Cutter {
    /// Rows that make a batch.
    pub rows: usize,
    patience: Option<Duration>,
    gathers: bool,
    /// When the part began that is being filled.
    began: Instant,
    turns_after: Option<Duration>,
    /// When the sink turned last.
    turned: Instant,
    /// Whether somebody wants it to.
    turn: bool,
}

/// A batch or a part of one, with whom its rows belong to still to be decided.
#[derive(Debug)]
pub struct Held {
    /// Its rows.
    pub part: Part,
    /// It is handed on then in any case.
    pub until: Instant,
    /// Rows by container.
    rows: Vec<u64>,
    /// Container, class and number of events that were lost.
    lost: Vec<(u32, &'static str, u64)>,
}

/// A batch, or a part of one.
#[derive(Debug)]
pub struct Part {
    /// Its rows.
    pub batch: Batch,
    /// Whether it ends a batch.
    pub last: bool,
    /// Whether the sink is to turn after it.
    pub turn: bool,
}

impl Cutter {
    /// For `sink`.
    pub fn new(sink: &dyn Sink) -> Cutter {
        Cutter {
            rows: sink.rows(),
            patience: sink.patience(),
            gathers: sink.gathers(),
            began: Instant::now(),
            turns_after: sink.turns_after(),
            turned: Instant::now(),
            turn: false,
        }
    }

    /// The sink is to turn after the rows of now.
    pub fn turn(&mut self) {
        self.turn = true;
    }

    /// Takes the rows of `resolver` that have waited long enough; `doubt` says that they may wait longer yet.
    pub fn due(&mut self, resolver: &mut Resolver, hold: Duration, doubt: bool) -> Option<Held> {
        let old = |after| self.turned.elapsed() >= after;
        if self.turn || self.turns_after.is_some_and(old) {
            (self.turn, self.turned) = (false, Instant::now());
            let mut held = self.cut(resolver, hold, true);
            held.part.turn = true;
            return Some(held);
        }
        let waited = self.began.elapsed();
        if self.patience.is_none_or(|patience| waited < patience) {
            return None;
        }
        let batch = &resolver.batch;
        let missing = self.rows.saturating_sub(batch.len()) as f64;
        let rate = batch.rows.len() as f64 / waited.as_secs_f64();
        let left = SOON.saturating_sub(waited).as_secs_f64();
        if batch.rows.is_empty() {
            self.began = Instant::now();
            None
        } else if self.gathers && !doubt && rate * left > missing {
            None
        } else {
            Some(self.cut(resolver, hold, !self.gathers))
        }
    }

    /// Takes the rows of `resolver`, to be handed on after `hold` at the latest; `last`: they end a batch.
    pub fn cut(&mut self, resolver: &mut Resolver, hold: Duration, last: bool) -> Held {
        let (mut rows, mut lost) = (vec![], vec![]);
        let batch = &mut resolver.batch;
        for row in &batch.rows {
            let container = batch.container(row);
            let index = container as usize;
            if index >= rows.len() {
                rows.resize(index + 1, 0);
            }
            rows[index] += 1;
            lost.extend(
                batch
                    .lost(row)
                    .map(|(class, events)| (container, class, events)),
            );
        }
        let batch = if last { resolver.take() } else { batch.part() };
        let now = Instant::now();
        let began = std::mem::replace(&mut self.began, now);
        Held {
            part: Part {
                batch,
                last,
                turn: false,
            },
            until: (now + hold).min(began + LONGEST.max(hold)),
            rows,
            lost,
        }
    }
}

impl Held {
    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.part.batch.rows.len()
    }

    /// Adds what is kept of it to `summary`.
    pub fn count(&self, names: &[ContainerName], summary: &mut Summary) {
        let kept = |container: usize| names.get(container).is_none_or(|name| name.keep);
        for (container, rows) in self.rows.iter().enumerate() {
            if kept(container) {
                summary.events += rows;
            }
        }
        for (container, class, events) in &self.lost {
            if kept(*container as usize) {
                summary.lose(class, *events);
            }
        }
    }
}
