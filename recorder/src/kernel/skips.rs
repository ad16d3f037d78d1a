//! Counts program runs that the kernel has skipped. From Linux 7 on, a BPF program on a tracepoint can be preempted;
//! until it resumes, the kernel does not run the same program for any other thread of that CPU.

use std::os::fd::AsFd;

use crate::kernel::Kernel;
use crate::kernel::probe::skipped;
use crate::wire::types::miss;

impl Kernel {
    /// Returns whether entries of calls have been missed since the previous query. If so, a return without an entry
    /// does not prove that seccomp refused the call.
    pub(crate) fn entries_missed(&mut self) -> bool {
        let missed = skipped([self.skel.progs.on_sys_enter.as_fd()]);
        std::mem::replace(&mut self.skips.entries_missed, missed) < missed
    }

    /// Returns whether the kernel has skipped any program since the previous query.
    pub(crate) fn programs_skipped(&mut self) -> bool {
        let skipped = self.skipped();
        std::mem::replace(&mut self.skips.skipped, skipped) < skipped
    }

    /// Returns the number of events that left no trace because programs were skipped: an upper bound, because filters
    /// might have excluded some of these events.
    ///
    /// A call is recorded if its entry or its return was seen. A skipped return is detected at the thread's next call
    /// (`MISS_RETURN`) if the entry was seen; all other skipped returns, and those not detected yet, count as missing.
    pub(crate) fn unseen(&self) -> u64 {
        let progs = &self.skel.progs;
        let returns = skipped([progs.on_sys_exit.as_fd()]);
        let calls = returns.saturating_sub(self.missed(miss::MISS_RETURN));
        calls + skipped([progs.on_exit.as_fd()]) + self.uring.unseen(&self.skel)
    }

    /// Returns the number of times that the kernel has skipped a program because a preempted thread of that CPU was inside
    /// the same program.
    pub(super) fn skipped(&self) -> u64 {
        let progs = &self.skel.progs;
        let all = [
            &progs.on_sys_enter,
            &progs.on_sys_exit,
            &progs.on_fork,
            &progs.on_exec,
            &progs.on_exit,
            &progs.on_sock_state,
            &progs.on_signal,
            &progs.on_oom_victim,
            &progs.on_cgroup_mkdir,
            &progs.on_cgroup_rmdir,
            &progs.on_uring_submit_req,
            &progs.on_uring_submit_sqe,
            &progs.on_uring_req_failed,
            &progs.on_uring_complete,
        ];
        skipped(all.map(|prog| prog.as_fd()))
    }
}
