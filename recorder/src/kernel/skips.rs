//! Programs that the kernel did not run. From Linux 7 on it may preempt one, and then runs it for no other thread of that
//! CPU until it goes on.

use std::os::fd::AsFd;

use crate::kernel::Kernel;
use crate::kernel::probe::skipped;
use crate::wire::types::miss;

impl Kernel {
    /// Whether entries of calls have been missed since the last time. So a return without an entry need not be that of a
    /// call which seccomp refused.
    pub fn entries_missed(&mut self) -> bool {
        let missed = skipped([self.skel.progs.on_sys_enter.as_fd()]);
        std::mem::replace(&mut self.skips.entries, missed) < missed
    }

    /// Whether any program was not run since the last time.
    pub fn programs_skipped(&mut self) -> bool {
        let skipped = self.skipped();
        std::mem::replace(&mut self.skips.all, skipped) < skipped
    }

    /// How many events have left no trace because programs were not run; at most, for nobody knows whether they were wanted.
    /// A call of which the entry or the return was seen is recorded. So those are missing whose return was not seen, and
    /// that did not show either when the thread called again. Until then they count as missing.
    pub fn unseen(&self) -> u64 {
        let progs = &self.skel.progs;
        let returns = skipped([progs.on_sys_exit.as_fd()]);
        let calls = returns.saturating_sub(self.missed(miss::MISS_RETURN));
        calls + skipped([progs.on_exit.as_fd()]) + self.uring.unseen(&self.skel)
    }

    /// How often the kernel did not run a program because a thread that it had preempted was in the same one.
    pub(super) fn skipped(&self) -> u64 {
        let progs = &self.skel.progs;
        let all = [
            &progs.on_sys_enter,
            &progs.on_sys_exit,
            &progs.on_fork,
            &progs.on_exec,
            &progs.on_exit,
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
