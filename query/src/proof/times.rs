//! The times of recordings: the time between two recordings of a machine, the time that two of them share, and events that
//! were lost.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat};
use ctrace_schema::text::path_text;
use ctrace_schema::{human, meta};

use crate::proof::finding::{Checked, Finding, Status};

/// A recording with its time.
struct Timed<'a> {
    file: &'a Checked,
    host: Option<&'a String>,
    /// The run of a recorder: its boot and its start.
    run: [Option<&'a String>; 2],
    is_dump: bool,
    start: i64,
    end: i64,
}

impl<'a> Timed<'a> {
    fn new(file: &'a Checked) -> Option<Timed<'a>> {
        let (start, end) = file.span?;
        let meta = |key| file.meta.get(key);
        Some(Timed {
            file,
            host: meta(meta::KEY_HOST),
            run: [meta(meta::KEY_BOOT_ID), meta(meta::KEY_RUN)],
            is_dump: meta(meta::KEY_DUMP).is_some(),
            start,
            end,
        })
    }

    fn finding(&self, status: Status, detail: String) -> Finding {
        Finding::new(&self.file.finding.path, status, detail)
    }

    fn name(&self) -> String {
        path_text(&self.file.finding.path)
    }
}

/// Returns findings about lost events, and about the times between and in several recordings of a machine.
pub(super) fn gaps_and_overlaps(files: &[Checked]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = files.iter().filter_map(lost).collect();
    let mut timed: Vec<Timed<'_>> = files.iter().filter_map(Timed::new).collect();
    timed.sort_by_key(|file| (file.host, file.start, file.end));
    for of_host in timed.chunk_by(|a, b| a.host == b.host) {
        let mut latest: Option<&Timed<'_>> = None;
        for file in of_host {
            if let Some(before) = latest {
                findings.extend(between(before, file));
            }
            if latest.is_none_or(|latest| latest.end < file.end) {
                latest = Some(file);
            }
        }
    }
    findings
}

/// Returns a finding about the time between two recordings, of which `before` ends last of those that start earlier.
fn between(before: &Timed<'_>, file: &Timed<'_>) -> Option<Finding> {
    let is_same_run = before.run == file.run && before.run[1].is_some();
    // The segments of a run share some time: a call is in the segment in which it ended, with the time at which it began.
    // Dumps are no such segments.
    let are_parts = before.file.is_listed && file.file.is_listed;
    if is_same_run && are_parts && !before.is_dump && !file.is_dump {
        return None;
    }
    let (first, second) = (file.start, before.end);
    match second.checked_sub(first)? {
        0.. => {
            let end = second.min(file.end);
            let detail = format!(
                "{} to {} is in {} too",
                instant(first),
                instant(end),
                before.name()
            );
            Some(file.finding(Status::Overlap, detail))
        }
        _ if is_same_run => None,
        gap => {
            let detail = format!(
                "nothing is recorded for {} before it, from {}, the end of {}",
                human::duration(gap.saturating_neg()),
                instant(second),
                before.name()
            );
            Some(file.finding(Status::Gap, detail))
        }
    }
}

/// Returns a finding about the events that a recording has lost.
fn lost(file: &Checked) -> Option<Finding> {
    let by_class = file.meta.get(meta::KEY_LOST)?;
    let by_class: BTreeMap<String, u64> = serde_json::from_str(by_class).ok()?;
    let lost = by_class
        .values()
        .fold(0u64, |sum, n| sum.saturating_add(*n));
    let detail = format!("{} events were lost", human::count(lost));
    (lost > 0).then(|| Finding::new(&file.finding.path, Status::Gap, detail))
}

fn instant(ns: i64) -> String {
    DateTime::from_timestamp_nanos(ns).to_rfc3339_opts(SecondsFormat::Millis, true)
}
