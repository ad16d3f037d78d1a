//! The confinement of a recording: the files that it may use, and the steps once everything is attached.

use std::path::PathBuf;
use std::process::Child;

use ctrace_common::confine::files::Enforced;

use crate::confine::{self, MainCalls, Reach, rights};
use crate::kernel::{self, Kernel};
use crate::output::Output;
use crate::report::Report;

/// Returns the files of a live recording. The state of containers can be anywhere: in the homes of users, in the data directory
/// of Docker, in the bundle of a container of runc.
pub(super) fn reach(output: &Output<'_>) -> Reach {
    Reach {
        state: vec![PathBuf::from("/")],
        output: output.directories(),
        sockets: output.socket_directories(),
    }
}

/// Confines a live recording, once all programs are attached and the command, if there is one, has been started.
pub(super) fn confine_main(kernel: &Kernel, report: &Report, command: Option<&Child>) {
    if command.is_some() {
        rights::keep_least();
    }
    rights::keep_to_record(|| kernel.reads_maps());
    confine_to(
        &MainCalls {
            bpf: &kernel::COMMANDS,
            command: command.map(Child::id),
        },
        report,
    );
}

/// Confines a replay, once its capture and its output are open. A fuzz target replays one capture after the other.
pub(super) fn confine_replay(report: &Report) {
    if cfg!(feature = "fuzzing") {
        return;
    }
    confine_to(&MainCalls::default(), report);
}

/// A recording continues if the kernel cannot confine it.
fn confine_to(calls: &MainCalls<'_>, report: &Report) {
    match confine::main_thread(calls) {
        Ok(Enforced::Files) => {}
        Ok(Enforced::Nothing) => report.print(
            "this kernel has no Landlock: it does not confine the recorder to the files of the recording",
            false,
        ),
        Err(e) => report.print(&format!("{e:#}; the recording continues"), true),
    }
}
