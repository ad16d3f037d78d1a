//! The summary of a recording: the counts and facts that become its metadata ([`ctrace_schema::meta`]).
//!
//! The pipeline adds up one summary while it records. Dumps, segments and finished files of killed recorders count
//! their own rows with [`Summary::count`].

use std::collections::BTreeMap;
use std::fmt;

use ctrace_schema::meta;
use ctrace_schema::syscalls::Class;
use serde_json::json;

use crate::peer::Peer;
use crate::records::loss::{Cause, Faults, Misses};
use crate::records::machine::Machine;
use crate::rows::Events;
use crate::rows::runs::for_each_common_run;

/// Counts of events and losses, and facts about the recorded machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    machine: Option<Machine>,
    /// The reason of a dump, as JSON; `None` if the recording is not a dump.
    dump_json: Option<String>,
    /// Number of rows that are older than the file: [`meta::KEY_ALIVE`].
    alive: u64,
    /// First and last time, ns since 1970 UTC.
    span: Option<(i64, i64)>,
    /// Clock readings: boot time in ns, and wall clock in ns since 1970 UTC.
    pub(crate) clocks: Vec<(u64, i64)>,
    /// Events written, rows about losses included.
    pub(crate) events: u64,
    /// All lost events, by class.
    pub(crate) lost: BTreeMap<&'static str, u64>,
    /// The part of `lost` that was dropped to stay within `--max-cpu`, by class.
    pub(crate) shed: BTreeMap<&'static str, u64>,
    /// The part of `lost` for which the kernel did not run the BPF programs.
    pub(crate) not_run: u64,
    /// The part of `lost` that found no space on a full disk, by class.
    pub(crate) unwritten: BTreeMap<&'static str, u64>,
    /// Parts of events that could not be recorded: see [`meta::KEY_MISSED`].
    pub(crate) missed: Misses,
    pub(crate) faults: Faults,
}

impl Summary {
    /// Returns the summary of a recording of `machine` that has no events yet.
    pub(crate) fn new(machine: &Machine) -> Summary {
        Summary {
            machine: Some(machine.clone()),
            ..Summary::default()
        }
    }

    /// Returns the summary of a dump that begins with `alive` rows about live containers and processes.
    pub(crate) fn for_dump(machine: &Machine, request: &DumpRequest, alive: u64) -> Summary {
        Summary {
            dump_json: Some(request.to_json()),
            alive,
            ..Summary::new(machine)
        }
    }

    /// Returns the summary of a segment that begins with `alive` rows about live containers and processes.
    pub(crate) fn for_segment(machine: &Machine, alive: u64) -> Summary {
        Summary {
            alive,
            ..Summary::new(machine)
        }
    }

    /// Adds the rows about live containers and processes, whose times are older than the file.
    pub(crate) fn count_alive(&mut self, rows: &dyn Events) {
        self.alive = rows.rows() as u64;
        self.count(rows, false);
    }

    /// Returns the summary of a dump: event counts from `counted`, everything else from `self`.
    pub(crate) fn with_counts_of(self, counted: Summary, request: &DumpRequest) -> Summary {
        Summary {
            machine: self.machine,
            dump_json: Some(request.to_json()),
            clocks: self.clocks,
            missed: self.missed,
            faults: self.faults,
            ..counted
        }
    }

    /// Adds the events and losses of rows, and with `spans` their times.
    pub(crate) fn count(&mut self, events: &dyn Events, spans: bool) {
        self.events += events.rows() as u64;
        if spans {
            let times = events.column("time");
            let times = || times.runs().iter().filter_map(|run| run.value());
            for time in times().min().into_iter().chain(times().max()) {
                self.extend_to(time);
            }
        }
        let lost = events.column("lost");
        if lost.nulls() == lost.rows() {
            return;
        }
        let [class, cause] = ["class", "action"].map(|name| events.column(name));
        let text = |number: Option<i64>| {
            let text = events.strings().get(usize::try_from(number?).ok()?)?;
            Some(&**text)
        };
        let runs = [class.runs(), cause.runs(), lost.runs()];
        for_each_common_run(&runs, |values, rows| {
            let Some(lost) = values[2] else { return };
            let class = text(values[0]).and_then(Class::from_name);
            let class = class.unwrap_or(Class::Other).as_str();
            let lost = (lost as u64).saturating_mul(rows as u64);
            self.add_lost(class, text(values[1]).unwrap_or_default(), lost);
        });
    }

    /// Returns the first and the last time, ns since 1970 UTC.
    pub(crate) fn span(&self) -> Option<(i64, i64)> {
        self.span
    }

    /// Extends the span of the recording to `time`, ns since 1970 UTC.
    pub(crate) fn extend_to(&mut self, time: i64) {
        let (start, end) = self.span.get_or_insert((time, time));
        (*start, *end) = ((*start).min(time), (*end).max(time));
    }

    /// Adds lost events. `cause` is the `action` of their gap rows, [`Cause::as_str`]. An empty `class` counts as
    /// [`Class::Other`].
    pub(crate) fn add_lost(&mut self, class: &'static str, cause: &str, events: u64) {
        let class = match class {
            "" => Class::Other.as_str(),
            class => class,
        };
        if cause == Cause::NotRun.as_str() {
            self.not_run = self.not_run.saturating_add(events);
        }
        let of_cause = match cause {
            cause if cause == Cause::DiskFull.as_str() => Some(&mut self.unwritten),
            cause if cause == Cause::Shed.as_str() => Some(&mut self.shed),
            _ => None,
        };
        for counts in [Some(&mut self.lost), of_cause].into_iter().flatten() {
            let lost = counts.entry(class).or_default();
            *lost = lost.saturating_add(events);
        }
    }

    /// Returns the metadata that is known when the recording begins.
    pub(crate) fn origin(&self) -> Vec<(&'static str, String)> {
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
        if let Some(run) = self.machine.as_ref().and_then(|m| m.run) {
            all.push((meta::KEY_RUN, run.to_string()));
        }
        if self.alive > 0 {
            all.push((meta::KEY_ALIVE, self.alive.to_string()));
        }
        if let Some(dump) = &self.dump_json {
            all.push((meta::KEY_DUMP, dump.clone()));
        }
        match self.machine.as_ref().and_then(|m| m.redaction.as_ref()) {
            Some(redaction) => redaction.pairs(all),
            None => all,
        }
    }

    /// Returns the metadata that can be counted from the rows of a file.
    pub(crate) fn counted_metadata(&self) -> Vec<(&'static str, String)> {
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

    /// Returns the metadata of a finished recording.
    pub(crate) fn metadata(&self) -> Vec<(&'static str, String)> {
        let mut all = self.origin();
        all.extend(self.counted_metadata());
        all.push((meta::KEY_MISSED, json!(self.missed).to_string()));
        all.push((meta::KEY_CLOCKS, json!(self.clocks).to_string()));
        all
    }
}

/// The cause of a dump of the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DumpReason {
    /// `ctrace-rec dump` was called.
    Command(Peer),
    /// SIGUSR1 was received.
    Signal,
    /// An event met this condition.
    Trigger(String),
    /// An event met the condition of the rule with this name.
    Rule(String),
}

/// A request to dump the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DumpRequest {
    pub(crate) reason: DumpReason,
    /// The time of the request, ns since 1970 UTC; for a trigger, the `time` of the event that met its condition.
    pub(crate) time: i64,
}

impl fmt::Display for DumpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            DumpReason::Command(_) => f.write_str("ctrace-rec dump"),
            DumpReason::Signal => f.write_str("SIGUSR1"),
            DumpReason::Trigger(condition) => write!(f, "--trigger {condition}"),
            DumpReason::Rule(name) => write!(f, "rule {name}"),
        }
    }
}

impl DumpRequest {
    /// Returns the value of [`meta::KEY_DUMP`].
    pub(crate) fn to_json(&self) -> String {
        let mut dump = match &self.reason {
            DumpReason::Command(by) => json!({"reason": "dump", "uid": by.uid, "pid": by.pid}),
            DumpReason::Signal => json!({"reason": "SIGUSR1"}),
            DumpReason::Trigger(condition) => json!({"reason": "trigger", "condition": condition}),
            DumpReason::Rule(name) => json!({"reason": "rule", "rule": name}),
        };
        dump["time"] = json!(self.time);
        dump.to_string()
    }
}
