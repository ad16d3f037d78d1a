//! Warnings on stderr about events and values that a recording lacks.

use std::collections::BTreeMap;

use ctrace_schema::human::count;
use ctrace_schema::syscalls::Class;

use crate::sink::summary::Summary;

/// Prints a warning for each kind of loss in `summary`. Events lost for a known reason have a warning of their own.
pub(crate) fn warn(summary: &Summary) {
    let mut lost = summary.lost.clone();
    for (class, shed) in &summary.shed {
        let all = lost.entry(class).or_default();
        *all = all.saturating_sub(*shed);
    }
    if let Some(other) = lost.get_mut(Class::Other.as_str()) {
        *other = other.saturating_sub(summary.not_run);
    }
    for (class, unwritten) in &summary.unwritten {
        let all = lost.entry(class).or_default();
        *all = all.saturating_sub(*unwritten);
    }
    warn_of_lost(&lost, "because the recorder could not keep up");
    if summary.not_run > 0 {
        say!(
            "warning: up to {} events were lost because the kernel did not run the programs that see them",
            count(summary.not_run)
        );
    }
    warn_of_lost(&summary.shed, "to keep within --max-cpu");
    warn_of_lost(&summary.unwritten, "because the disk was full");
    let missed = |part: &str| summary.missed.get(part).copied().unwrap_or(0);
    let (definitions, threads) = (missed("definitions"), missed("threads"));
    if definitions > 0 {
        say!(
            "warning: {} paths and addresses of recorded events were lost",
            count(definitions)
        );
    }
    if threads > 0 {
        say!(
            "warning: {} threads could not be watched because the kernel had no memory",
            count(threads)
        );
    }
    if missed("cgroups") > 0 {
        say!(
            "warning: there was no slot for {} cgroups: what ran in them is recorded, perhaps as container `unknown`",
            count(missed("cgroups"))
        );
    }
    if missed("programs") > 0 {
        say!(
            "warning: the kernel skipped a BPF program {} times: as many calls have no duration or no result",
            count(missed("programs"))
        );
    }
    let faults = summary.faults;
    if faults.orphans + faults.broken > 0 {
        say!(
            "warning: {} records could not be understood and {} calls have no process; please report this",
            count(faults.broken),
            count(faults.orphans)
        );
    }
}

fn warn_of_lost(lost: &BTreeMap<&'static str, u64>, reason: &str) {
    let lost: Vec<_> = lost.iter().filter(|(_, n)| **n > 0).collect();
    if lost.is_empty() {
        return;
    }
    let total = lost
        .iter()
        .fold(0u64, |sum, (_, n)| sum.saturating_add(**n));
    let by_class: Vec<_> = lost
        .iter()
        .map(|(class, n)| format!("{class} {}", count(**n)))
        .collect();
    say!(
        "warning: {} events were lost {reason} ({}); `ctrace-query gaps` shows the times",
        count(total),
        by_class.join(", ")
    );
}
