//! The tracepoints of io_uring, whose names and arguments differ between kernel versions. A kernel that is built without
//! io_uring lacks them.

use std::os::fd::AsFd;

use anyhow::{Context, Result};
use libbpf_rs::Link;
use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::{FuncProto, Typedef};

use crate::kernel::probe::{can_cast, skipped, walk_tasks};
use crate::wire::{CtraceSkel, OpenCtraceSkel};

/// The tracepoints that this kernel has: include/trace/events/io_uring.h.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tracepoints {
    /// `io_uring_submit_req`, since Linux 6.4; older kernels have `io_uring_submit_sqe`.
    submit_req: bool,
    submit_sqe: bool,
    req_failed: bool,
    complete: bool,
    /// True if the ring precedes the request in the arguments: before Linux 6.0.
    pub(super) ring_first: bool,
    /// True if `io_uring_complete` has the entry of the completion queue as an argument: since Linux 6.10.
    pub(super) has_cqe: bool,
}

/// Returns the number of a tracepoint's arguments. `None`: this kernel does not have the tracepoint.
fn arguments(btf: &Btf<'_>, name: &str) -> Option<usize> {
    // BTF describes each tracepoint as a function whose first argument is the attached program's data.
    let typedef: Typedef<'_> = btf.type_by_name(&format!("btf_trace_{name}"))?;
    let function = typedef.skip_mods_and_typedefs().next_type()?;
    let function: FuncProto<'_> = function.try_into().ok()?;
    function.len().checked_sub(1)
}

impl Tracepoints {
    /// Detects the tracepoints of the kernel that `btf` describes.
    pub(super) fn detect(btf: &Btf<'_>) -> Tracepoints {
        let has = |name| arguments(btf, name).is_some();
        Tracepoints {
            submit_req: has("io_uring_submit_req"),
            submit_sqe: has("io_uring_submit_sqe"),
            // Without `bpf_rdonly_cast` the program reads fields through a helper, and exceeds the limit of the stack.
            req_failed: has("io_uring_req_failed") && can_cast(btf),
            complete: has("io_uring_complete"),
            ring_first: arguments(btf, "io_uring_submit_sqe").is_some_and(|n| n > 2),
            has_cqe: arguments(btf, "io_uring_complete") == Some(3),
        }
    }

    /// Returns whether this kernel has the tracepoints that a record of a request needs.
    fn can_record(self) -> bool {
        self.complete && (self.submit_req || self.submit_sqe)
    }

    /// Excludes the programs and maps from the load that this kernel cannot use.
    pub(super) fn set_autoload(self, open: &mut OpenCtraceSkel<'_>) -> Result<()> {
        let progs = &mut open.progs;
        let can_record = self.can_record();
        for (prog, used) in [
            (&mut progs.on_uring_submit_req, self.submit_req),
            (&mut progs.on_uring_submit_sqe, self.submit_sqe),
            (&mut progs.on_uring_req_failed, self.req_failed),
            (&mut progs.on_uring_complete, self.complete),
            (&mut progs.end_requests, true),
        ] {
            prog.set_autoload(can_record && used);
        }
        for map in [&mut open.maps.requests, &mut open.maps.request_scratch] {
            map.set_autocreate(can_record)
                .context("cannot leave out a map")?;
        }
        Ok(())
    }

    /// Attaches the loaded programs, those of submissions last: a completion without a known submission is ignored, but
    /// a submission without its completion would stay in flight.
    ///
    /// # Errors
    /// The kernel refuses to attach a program.
    pub(super) fn attach(self, skel: &CtraceSkel<'_>, links: &mut Vec<Link>) -> Result<()> {
        let progs = &skel.progs;
        for (prog, used, name) in [
            (&progs.on_uring_complete, self.complete, "io_uring_complete"),
            (
                &progs.on_uring_req_failed,
                self.req_failed,
                "io_uring_req_failed",
            ),
            (
                &progs.on_uring_submit_sqe,
                self.submit_sqe,
                "io_uring_submit_sqe",
            ),
            (
                &progs.on_uring_submit_req,
                self.submit_req,
                "io_uring_submit_req",
            ),
        ] {
            if self.can_record() && used {
                let link = prog.attach();
                links
                    .push(link.with_context(|| format!("cannot attach to the tracepoint {name}"))?);
            }
        }
        Ok(())
    }

    /// Returns the number of submitted requests that no program has seen.
    pub(super) fn unseen(self, skel: &CtraceSkel<'_>) -> u64 {
        let submit = match self.submit_req {
            true => &skel.progs.on_uring_submit_req,
            false => &skel.progs.on_uring_submit_sqe,
        };
        skipped([submit.as_fd()])
    }

    /// Makes the kernel side send the requests that are in flight.
    ///
    /// # Errors
    /// The kernel refuses the iterator over tasks.
    pub(super) fn send_in_flight(self, skel: &mut CtraceSkel<'_>) -> Result<()> {
        if self.can_record() {
            walk_tasks(&mut skel.progs.end_requests)?;
        }
        Ok(())
    }
}
