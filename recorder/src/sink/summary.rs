//! The summary of a recording: what its metadata say.

use std::collections::BTreeMap;
use std::fmt;

use ctrace_schema::meta;
use ctrace_schema::syscalls::Class;
use serde_json::json;

use crate::records::loss::{Cause, Faults, Misses};
use crate::records::machine::Machine;
use crate::rows::Events;
use crate::rows::runs::{Series, stretches};

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
    pub fn of_dump(machine: &Machine, why: &DumpRequest) -> Summary {
        Summary {
            dump: Some(why.to_json()),
            ..Summary::new(machine)
        }
    }

    /// That of a dump, for this reason, whose rows `counted` has counted: what is known beside them is as here.
    pub fn counting(self, counted: Summary, why: &DumpRequest) -> Summary {
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
            let times = events.column("time");
            let times = || times.runs().iter().filter_map(|run| run.value());
            for time in times().min().into_iter().chain(times().max()) {
                self.span(time);
            }
        }
        let lost = events.column("lost");
        if lost.nulls() == lost.rows() {
            return;
        }
        let columns: [Series; 2] = ["class", "action"].map(|name| events.column(name));
        let text = |number: Option<i64>| {
            let text = events.strings().get(usize::try_from(number?).ok()?)?;
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
            why if why == Cause::DiskFull.as_str() => Some(&mut self.unwritten),
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

/// What had the ring written out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DumpReason {
    /// `ctrace-rec dump`.
    Asked,
    /// SIGUSR1.
    Signal,
    /// An event met this condition.
    Trigger(String),
}

/// Why it is written out, and when that was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpRequest {
    /// Why.
    pub reason: DumpReason,
    /// Then, ns since 1970 UTC: of a condition, the `time` of the event that met it.
    pub time: i64,
}

impl fmt::Display for DumpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            DumpReason::Asked => f.write_str("ctrace-rec dump"),
            DumpReason::Signal => f.write_str("SIGUSR1"),
            DumpReason::Trigger(condition) => write!(f, "--trigger {condition}"),
        }
    }
}

impl DumpRequest {
    /// As [`ctrace_schema::meta::KEY_DUMP`] says it.
    pub fn to_json(&self) -> String {
        let (reason, condition) = match &self.reason {
            DumpReason::Asked => ("dump", None),
            DumpReason::Signal => ("SIGUSR1", None),
            DumpReason::Trigger(condition) => ("trigger", Some(condition)),
        };
        let mut why = json!({"reason": reason, "time": self.time});
        if let Some(condition) = condition {
            why["condition"] = json!(condition);
        }
        why.to_string()
    }
}
