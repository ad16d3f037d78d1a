//! The matrix: every call of the syscall tables, with the special values of each argument, compared with strace and with
//! what the kernel says about the fds.

mod kernel;
mod named;
mod plan;
mod race;
mod values;

use crate::case::Case;
use ctrace_schema::syscalls::{self, Abi};
use std::collections::BTreeSet;
use std::fs;

/// Runs the plan of an ABI, under strace unless `alone`. strace reads the memory of each call before the recorder does,
/// so that only alone the recorder meets pages that are not there.
fn compare(abi: Abi, program: &'static str, alone: bool) {
    let plan = plan::plan(abi);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("plan"), plan::text(&plan)).unwrap();
    let calls = plan.iter().map(|group| group.calls.len()).sum();
    println!("{program}: {calls} calls in {} groups", plan.len());
    let case = Case::new(program, calls)
        .option("--cap-add=SYS_ADMIN")
        .option("--cap-add=DAC_READ_SEARCH")
        .option("--security-opt=apparmor=unconfined")
        .option(&format!("--volume={}:/plan:ro", dir.path().display()));
    let command = [program, "/plan/plan"];
    let (stdout, rows) = if alone {
        case.run_alone(&command)
    } else {
        case.run(&command)
    };
    kernel::check(abi, &plan, &stdout, &rows);
}

#[test]
fn native() {
    compare(Abi::X86_64, "matrix", false);
}

#[test]
fn native_without_strace() {
    compare(Abi::X86_64, "matrix", true);
}

#[test]
fn of_32_bits() {
    compare(Abi::X86, "matrix32", false);
}

#[test]
fn of_32_bits_without_strace() {
    compare(Abi::X86, "matrix32", true);
}

#[test]
fn each_call_is_made_or_named() {
    let mut all = BTreeSet::new();
    for abi in [Abi::X86_64, Abi::X86] {
        let made: BTreeSet<_> = plan::plan(abi).iter().map(|group| group.name).collect();
        for (_, name) in syscalls::iter(abi) {
            assert_ne!(made.contains(name), plan::is_named(name), "{name}");
            all.insert(name);
        }
    }
    let named = named::NOT_HARMLESS.iter().map(|(name, _)| *name);
    let fresh = named.chain(
        named::ALONE
            .iter()
            .chain(named::MOUNTS)
            .chain(named::FRESH)
            .copied(),
    );
    let bases = named::BASES.iter().map(|(name, ..)| *name);
    for name in fresh.chain(bases).chain(named::VALUES.iter().map(|v| v.0)) {
        assert!(all.contains(name), "the table has no {name}");
    }
}
