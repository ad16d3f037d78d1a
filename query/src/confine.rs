//! The confinement of the program, before it opens a recording: recordings and statements may come from strangers.
//!
//! A process that answers one question may read the recordings that were named, and write the output and temporary files; it
//! can open no other file. A shell reads and writes the files that its user names later, so it may open any file. Neither can
//! run a program, listen or connect to anything, or trace or signal another process.

use std::path::{Path, PathBuf};

use ctrace_common::confine::calls::AllowedCalls;
use ctrace_common::confine::files::FileRules;
use ctrace_common::paths::directory_of;

use crate::cli::{CliCommand, CliTask, Invocation, Query};
use crate::engine::{is_file_name, named_tables};
use crate::memory::on_deep_stack;
use crate::messages;
use crate::output;
use crate::shell;
use crate::source::{Footprint, named};

/// Files of the system that the program and its libraries read: the memory and the CPUs that may be used, the time zone, random
/// bytes, and the program itself for the names in a backtrace.
const SYSTEM: [&str; 9] = [
    "/proc/self",
    "/proc/meminfo",
    "/proc/self/exe",
    "/proc/sys/vm/overcommit_memory",
    "/sys/fs/cgroup",
    "/sys/devices/system/cpu",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/dev/urandom",
];

/// Requests of ioctl(2) that set the modes of a terminal, for the line editor of the shell and for the player.
#[allow(clippy::unnecessary_cast, reason = "musl has these numbers as `int`")]
const TERMINAL_REQUESTS: [u64; 6] = [
    libc::TCSETS as u64,
    libc::TCSETSW as u64,
    libc::TCSETSF as u64,
    // TCSETS2, TCSETSW2 and TCSETSF2 of asm-generic/ioctls.h, which glibc uses since 2.42.
    0x402c_542b,
    0x402c_542c,
    0x402c_542d,
];

/// Confines this process to what the invocation needs. To be called before this process starts a thread.
pub(crate) fn begin(invocation: &Invocation) {
    let is_shell = shell::is_wanted(&invocation.task);
    if is_shell {
        output::start_pagers_apart();
    }
    let rules = match is_shell {
        true => FileRules {
            change: vec!["/".into()],
            ..FileRules::default()
        },
        false => rules(invocation),
    };
    // A kernel without Landlock restricts the calls alone.
    if let Err(error) = rules.confine() {
        messages::warning(&format!("cannot confine the program to its files: {error}"));
    }
    let has_screen = is_shell
        || matches!(
            invocation.task,
            CliTask::Command(CliCommand::Replay(_) | CliCommand::Top(_))
        );
    let mut calls = AllowedCalls::default()
        // The history of the shell is its user's alone. SQLite gives the files beside a database its mode and, if the user is
        // root, its owner; no file can be made executable.
        .with_bits("fchmod", 1, 0o7111, false)
        .any("fchown");
    if has_screen {
        calls = calls.with("ioctl", 1, &TERMINAL_REQUESTS);
    }
    if let Err(error) = calls.confine() {
        messages::warning(&format!("cannot confine the program to its calls: {error}"));
    }
}

/// Returns the files that a query names like tables.
fn tables(task: &CliTask) -> Vec<PathBuf> {
    let names = match task {
        // The query itself reports errors.
        CliTask::Query(Query::Sql(sql)) => {
            let named = on_deep_stack(|| named_tables(sql));
            named.ok().and_then(Result::ok).unwrap_or_default()
        }
        CliTask::Query(Query::Describe {
            table: Some(table), ..
        }) => vec![table.clone()],
        _ => vec![],
    };
    names
        .into_iter()
        .filter(|name| is_file_name(name))
        .map(PathBuf::from)
        .collect()
}

/// Returns the rules for a process that answers one question.
fn rules(invocation: &Invocation) -> FileRules {
    let Invocation { task, options } = invocation;
    let recordings = match task {
        CliTask::Command(CliCommand::Convert(conversion)) => vec![conversion.from.clone()],
        CliTask::Command(CliCommand::Recover(recovery)) => vec![recovery.recording.clone()],
        _ => named(&options.recordings),
    };
    let mut footprint = Footprint::find(&recordings, options.follow);
    footprint.add(&tables(task), options.follow);
    let Footprint {
        mut read,
        list,
        mut change,
    } = footprint;
    read.extend(SYSTEM.iter().map(PathBuf::from));
    if let CliTask::Command(CliCommand::Verify {
        public_key: Some(key),
    }) = task
    {
        read.push(key.clone());
    }
    if let CliTask::Command(
        CliCommand::Redact { redaction, .. }
        | CliCommand::Cut {
            redaction: Some(redaction),
            ..
        },
    ) = task
    {
        read.extend(redaction.rules.iter().chain(&redaction.key).cloned());
    }
    if let CliTask::Command(CliCommand::Rules(rules)) = task {
        read.extend(rules.choice.files.iter().cloned());
    }
    change.push(std::env::temp_dir());
    change.push("/dev/null".into());
    let mut write = vec![];
    let mut written = |path: &Path, places: &mut Vec<PathBuf>| {
        places.push(directory_of(path).to_path_buf());
        // A device or a pipe is written as it is, and a file is examined before it is replaced.
        read.push(path.to_path_buf());
        places.push(path.to_path_buf());
    };
    if let Some(path) = &options.output {
        written(path, &mut write);
    }
    // A recording is read while it is written.
    match task {
        CliTask::Command(CliCommand::Convert(conversion)) => {
            written(&conversion.to, &mut change);
        }
        CliTask::Command(
            CliCommand::Cut { target, .. }
            | CliCommand::Redact { target, .. }
            | CliCommand::Merge { target, .. },
        ) => {
            written(&target.path, &mut change);
        }
        CliTask::Command(CliCommand::Recover(recovery)) => {
            let to = recovery.output.as_ref();
            written(to.unwrap_or(&recovery.recording), &mut change);
        }
        _ => {}
    }
    FileRules {
        read,
        list,
        write,
        change,
        ..FileRules::default()
    }
}

#[cfg(test)]
mod tests;
