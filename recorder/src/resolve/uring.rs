//! Requests of io_uring: each becomes a row when it completes.

use crate::calls::operation;
use crate::records::decode::{Args, Head, StructFlags};
use crate::resolve::Resolver;
use crate::resolve::in_flight::{Request, Requests};
use crate::resolve::threads::Pending;
use crate::rows::batch::{CallDetail, EventKind, Row};
use crate::wire::types::{limits, sys_flag};

/// Returns the call number under which a thread announces the data of a request: `REQUEST_COUNT` plus low bits of the
/// time of submission.
fn request_count(submitted: u64) -> u16 {
    let bit = limits::REQUEST_COUNT.0;
    (bit | submitted as u32 & (bit - 1)) as u16
}

impl Resolver {
    /// Handles the submission of a request.
    pub(super) fn request(&mut self, head: Head, submitted: u64, args: Args<'_>) {
        let Some(thread) = self.threads.get_mut(head.tid.into()) else {
            self.faults.orphans += 1;
            return;
        };
        // The thread may have announcements of its current call as well.
        let is_of_request = |(count, _): &mut (u16, Pending)| *count == request_count(submitted);
        let request = Request {
            identity: thread.identity.clone(),
            op: head.nr,
            args: args.iter().collect(),
            announced: thread.pending.extract_if(.., is_of_request).collect(),
        };
        let Requests {
            by_submission,
            max_requests,
        } = &mut self.requests;
        by_submission.insert((submitted, head.tid), request);
        if by_submission.len() > *max_requests {
            by_submission.pop_first();
        }
    }

    /// Handles the completion of a request, or the end of a request whose completion will not be seen.
    pub(super) fn complete(&mut self, head: Head, submitted: u64, ret: i64, key: u64) {
        let Some(mut request) = self.requests.by_submission.remove(&(submitted, head.tid)) else {
            self.faults.orphans += 1;
            return;
        };
        let compat = u32::from(head.flags) & sys_flag::SYS_COMPAT.0 != 0;
        let number = operation(request.op);
        let Some(call) = self.calls.get(compat, number) else {
            self.faults.broken += 1;
            return;
        };
        let mut row = Row::new(self.clock.wall(submitted), EventKind::Syscall);
        row.duration = head.time.saturating_sub(submitted);
        row.ret = ret;
        row.flags = head.flags;
        row.call = number;
        let receives_open_how = call.receives_open_how();
        let args = call.values(request.args.iter().copied());
        self.batch.set_args(&mut row, args);
        let (batch, registry) = (&mut self.batch, &mut self.registry);
        row.task = request
            .identity
            .index(head.tid, self.generation, batch, registry);
        let mut detail = CallDetail::NONE;
        self.set_object(&mut row, &mut detail, key);
        // The kernel has already read the struct open_how.
        let how = match request.args[..] {
            [_, _, flags, mode, resolve, ..] if receives_open_how => Some(StructFlags {
                flags,
                mode,
                resolve,
            }),
            _ => None,
        };
        let announced = request.announced.into_iter().map(|(_, pending)| pending);
        self.push_call(row, detail, announced.chain(how.map(Pending::Flags)));
        self.follow_queries(head.tid, submitted, head.time);
    }
}
