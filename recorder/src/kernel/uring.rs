//! The tracepoints of io_uring, which differ between kernels in name and arguments, and are missing where it is not built.

use std::os::fd::AsFd;

use anyhow::{Context, Result};
use libbpf_rs::Link;
use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::{FuncProto, Typedef};

use crate::kernel::probe::{can_cast, skipped, walk_tasks};
use crate::wire::{CtraceSkel, OpenCtraceSkel};

/// What this kernel has: include/trace/events/io_uring.h.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tracepoints {
    /// `io_uring_submit_req`, Linux 6.4; before, `io_uring_submit_sqe`.
    submit_req: bool,
    submit_sqe: bool,
    req_failed: bool,
    complete: bool,
    /// Whether they have the ring before the request: before Linux 6.0.
    pub ring_first: bool,
    /// Whether a completion has its entry in the completion queue: since Linux 6.10.
    pub has_cqe: bool,
}

/// How many arguments a tracepoint has; None: this kernel does not have it.
fn arguments(btf: &Btf<'_>, name: &str) -> Option<usize> {
    // The kernel describes each by a function that takes a pointer to what is attached, and then its arguments.
    let of: Typedef<'_> = btf.type_by_name(&format!("btf_trace_{name}"))?;
    let function = of.skip_mods_and_typedefs().next_type()?;
    let function: FuncProto<'_> = function.try_into().ok()?;
    function.len().checked_sub(1)
}

impl Tracepoints {
    /// What the kernel of this BTF has.
    pub fn of(btf: &Btf<'_>) -> Tracepoints {
        let has = |name| arguments(btf, name).is_some();
        Tracepoints {
            submit_req: has("io_uring_submit_req"),
            submit_sqe: has("io_uring_submit_sqe"),
            // Where fields are read by helper, the program needs more stack than there is.
            req_failed: has("io_uring_req_failed") && can_cast(btf),
            complete: has("io_uring_complete"),
            ring_first: arguments(btf, "io_uring_submit_sqe").is_some_and(|n| n > 2),
            has_cqe: arguments(btf, "io_uring_complete") == Some(3),
        }
    }

    /// Whether requests can be recorded.
    fn enough(self) -> bool {
        self.complete && (self.submit_req || self.submit_sqe)
    }

    /// Leaves out of the load what this kernel has no use for.
    ///
    /// # Errors
    /// None that a user can cause.
    pub fn choose(self, open: &mut OpenCtraceSkel<'_>) -> Result<()> {
        let progs = &mut open.progs;
        let enough = self.enough();
        for (prog, used) in [
            (&mut progs.on_uring_submit_req, self.submit_req),
            (&mut progs.on_uring_submit_sqe, self.submit_sqe),
            (&mut progs.on_uring_req_failed, self.req_failed),
            (&mut progs.on_uring_complete, self.complete),
            (&mut progs.end_requests, true),
        ] {
            prog.set_autoload(enough && used);
        }
        for map in [&mut open.maps.requests, &mut open.maps.request_scratch] {
            map.set_autocreate(enough)
                .context("cannot leave out a map")?;
        }
        Ok(())
    }

    /// Attaches what was loaded, what submits last: what completes without having been submitted is nobody's.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn attach(self, skel: &CtraceSkel<'_>, links: &mut Vec<Link>) -> Result<()> {
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
            if self.enough() && used {
                let link = prog.attach_raw_tracepoint(name);
                links
                    .push(link.with_context(|| format!("cannot attach to the tracepoint {name}"))?);
            }
        }
        Ok(())
    }

    /// How many requests were submitted that no program has seen.
    pub fn unseen(self, skel: &CtraceSkel<'_>) -> u64 {
        let submit = match self.submit_req {
            true => &skel.progs.on_uring_submit_req,
            false => &skel.progs.on_uring_submit_sqe,
        };
        skipped([submit.as_fd()])
    }

    /// Has the requests sent that are in flight.
    ///
    /// # Errors
    /// The kernel refuses the iterator.
    pub fn end(self, skel: &mut CtraceSkel<'_>) -> Result<()> {
        if self.enough() {
            walk_tasks(&mut skel.progs.end_requests)?;
        }
        Ok(())
    }
}
