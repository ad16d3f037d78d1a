//! Where a recording goes.

pub mod json;
pub mod parquet;
pub mod segments;
pub mod spill;
pub mod sqlite;
pub mod strace;

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use anyhow::Result;
use ctrace_schema::meta;
use ctrace_format::sqlite::WriteError;
use ctrace_schema::syscalls::Class;
use serde_json::json;

use crate::rows::batch;
use crate::rows::Events;
use crate::kernel::{Cause, Misses};
use crate::pipeline::cutter::Turn;
use crate::records::capture::Machine;
use crate::resolve::Faults;
use crate::sink::spill::disk::DISK_FULL;
use crate::flight::dump::Why;
use crate::rows::runs::{Series, stretches};

/// Something that events are written to.
pub trait Sink: Send {
    /// How it wants them.
    fn wants(&self) -> Wants;

    /// Does what is due between batches: what it was given was whole ones.
    ///
    /// # Errors
    /// A file could not be ended.
    fn turn(&mut self, _: Turn) -> Result<()> {
        Ok(())
    }

    /// Keeps rows that will come again in a whole batch.
    ///
    /// # Errors
    /// They cannot be written. What was written before is kept.
    fn keep(&mut self, _: &dyn Events) -> Result<()> {
        Ok(())
    }

    /// Writes the rows of a batch.
    ///
    /// # Errors
    /// It cannot be written. What was written before is kept, and can be read. [`Full`]: it can be tried again.
    fn write(&mut self, columns: &dyn Events) -> Result<()>;

    /// Ends the output, and returns how many bytes it has.
    ///
    /// # Errors
    /// It cannot be written.
    fn finish(self: Box<Self>, summary: &Summary) -> Result<u64>;
}

/// How events are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wants {
    /// Rows at a time.
    pub rows: usize,
    /// How long rows may wait until there are so many; `None`: as long as that takes.
    pub patience: Option<Duration>,
    /// Whether rows that have waited so long are still wanted together with those that follow, rows of a thread and a call
    /// beside each other; until then they are given to [`Sink::keep`].
    pub gathers: bool,
    /// After how long a batch is to end, whatever it holds, with [`Turn::Next`].
    pub turns_after: Option<Duration>,
}

impl Wants {
    /// Batches as they come, of so many rows at most.
    pub const fn batches(rows: usize, patience: Option<Duration>) -> Wants {
        Wants {
            rows,
            patience,
            gathers: false,
            turns_after: None,
        }
    }

    /// Lines that somebody watches.
    const LINES: Wants = Wants::batches(8192, Some(SHOWN_AFTER));

    /// Row groups.
    const GROUPS: Wants = Wants {
        gathers: true,
        ..Wants::batches(batch::ROWS, Some(KEPT_AFTER))
    };
}

/// What is known at the end.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    machine: Option<Machine>,
    /// Why a ring was written out, where it is that.
    dump: Option<String>,
    /// First and last instant, ns since 1970 UTC.
    span: Option<(i64, i64)>,
    /// Clock readings: boot time and wall clock, ns.
    pub clocks: Vec<(u64, i64)>,
    /// Events written.
    pub events: u64,
    /// Events lost, by class, and of them those that were given up to keep within --max-cpu.
    pub lost: BTreeMap<&'static str, u64>,
    pub shed: BTreeMap<&'static str, u64>,
    /// And of them those for which the kernel did not run the programs.
    pub not_run: u64,
    /// Likewise those for which there was no room on the disk.
    pub unwritten: BTreeMap<&'static str, u64>,
    /// Parts of events that could not be recorded: see [`ctrace_schema::meta::KEY_MISSED`].
    pub missed: Misses,
    /// What did not come as it should.
    pub faults: Faults,
}

impl Summary {
    /// Of a recording of `machine` that begins.
    pub fn new(machine: &Machine) -> Summary {
        Summary {
            machine: Some(machine.clone()),
            ..Summary::default()
        }
    }

    /// Of a dump that is begun, for this reason.
    pub fn of_dump(machine: &Machine, why: &Why) -> Summary {
        Summary {
            dump: Some(why.to_json()),
            ..Summary::new(machine)
        }
    }

    /// That of a dump, for this reason, whose rows `counted` has counted: what is known beside them is as here.
    pub fn counting(self, counted: Summary, why: &Why) -> Summary {
        Summary {
            machine: self.machine,
            dump: Some(why.to_json()),
            clocks: self.clocks,
            missed: self.missed,
            faults: self.faults,
            ..counted
        }
    }

    /// Takes rows into account; `spans`: also when they began.
    pub fn count(&mut self, events: &dyn Events, spans: bool) {
        self.events += events.rows() as u64;
        if spans {
            let times = events.series("time");
            let times = || times.runs().iter().filter_map(|run| run.value());
            for time in times().min().into_iter().chain(times().max()) {
                self.span(time);
            }
        }
        let lost = events.series("lost");
        if lost.nulls() == lost.rows() {
            return;
        }
        let columns: [Series; 2] = ["class", "action"].map(|name| events.series(name));
        let text = |number: Option<i64>| {
            let text = events.texts().get(usize::try_from(number?).ok()?)?;
            Some(&**text)
        };
        let runs = [columns[0].runs(), columns[1].runs(), lost.runs()];
        stretches(&runs, |values, rows| {
            let Some(lost) = values[2] else { return };
            let class = text(values[0]).and_then(Class::from_name);
            let class = class.unwrap_or(Class::Other).as_str();
            let lost = (lost as u64).saturating_mul(rows as u64);
            self.lose(class, text(values[1]).unwrap_or_default(), lost);
        });
    }

    /// The recording reaches to this instant.
    pub fn span(&mut self, wall: i64) {
        let (start, end) = self.span.get_or_insert((wall, wall));
        (*start, *end) = ((*start).min(wall), (*end).max(wall));
    }

    /// Events were lost. Those whose class nobody knows are among the others.
    pub fn lose(&mut self, class: &'static str, why: &str, events: u64) {
        let class = match class {
            "" => Class::Other.as_str(),
            class => class,
        };
        if why == Cause::NotRun.as_str() {
            self.not_run = self.not_run.saturating_add(events);
        }
        let of_reason = match why {
            DISK_FULL => Some(&mut self.unwritten),
            why if why == Cause::Shed.as_str() => Some(&mut self.shed),
            _ => None,
        };
        for counts in [Some(&mut self.lost), of_reason].into_iter().flatten() {
            let lost = counts.entry(class).or_default();
            *lost = lost.saturating_add(events);
        }
    }

    /// The metadata that is known from the beginning, by the keys of [`ctrace_schema::meta`].
    pub fn origin(&self) -> Vec<(&'static str, String)> {
        let (major, minor) = meta::SCHEMA_VERSION;
        let producer = concat!("ctrace-rec ", env!("CARGO_PKG_VERSION"));
        let mut all = vec![
            (meta::KEY_SCHEMA, format!("{major}.{minor}")),
            (meta::KEY_PRODUCER, producer.to_string()),
        ];
        if let Some(m) = &self.machine {
            all.push((meta::KEY_HOST, m.host.clone()));
            all.push((meta::KEY_BOOT_ID, m.boot_id.clone()));
            all.push((meta::KEY_KERNEL, m.kernel.clone()));
            all.push((meta::KEY_ARCH, m.arch.clone()));
            all.push((meta::KEY_FILTERS, m.filters.to_string()));
        }
        if let Some(dump) = &self.dump {
            all.push((meta::KEY_DUMP, dump.clone()));
        }
        all
    }

    /// The metadata that its rows tell.
    pub fn counted(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![
            (meta::KEY_EVENTS, self.events.to_string()),
            (meta::KEY_LOST, json!(self.lost).to_string()),
        ];
        if !self.shed.is_empty() {
            all.push((meta::KEY_SHED, json!(self.shed).to_string()));
        }
        if let Some((start, end)) = self.span {
            all.push((meta::KEY_START, start.to_string()));
            all.push((meta::KEY_END, end.to_string()));
        }
        all
    }

    /// The metadata of the whole recording.
    pub fn metadata(&self) -> Vec<(&'static str, String)> {
        let mut all = self.origin();
        all.extend(self.counted());
        all.push((meta::KEY_MISSED, json!(self.missed).to_string()));
        all.push((meta::KEY_CLOCKS, json!(self.clocks).to_string()));
        all
    }
}

/// There is no room on the disk.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Full(String);

impl Full {
    /// `e` as it is, or as this where it says that there is no room.
    pub fn or(e: anyhow::Error) -> anyhow::Error {
        match no_room(&e) {
            true => Full(format!("{e:#}")).into(),
            false => e,
        }
    }
}

/// Whether an error is for want of room.
fn no_room(e: &anyhow::Error) -> bool {
    e.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let sqlite = cause.downcast_ref::<WriteError>();
        matches!(
            io,
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        ) || sqlite.is_some_and(WriteError::is_full)
    })
}

/// How long rows wait until they are in a file, beside the time for which they are held while it is undecided whose they
/// are: together less than a second, which is what a kill may cost.
pub const KEPT_AFTER: Duration = Duration::from_millis(250);
/// How long rows wait that somebody watches.
const SHOWN_AFTER: Duration = Duration::from_millis(100);

/// Writes to stdout that stop quietly where its reader has gone (`| head`), which is no error.
fn closed_pipe_is_the_end(result: io::Result<()>) -> Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(crate::Closed.into()),
        other => Ok(other?),
    }
}
