//! Requests of io_uring: a row each, when they have completed.

use crate::calls::operation;
use crate::records::decode::{Args, Head};
use crate::resolve::Resolver;
use crate::resolve::in_flight::{Request, Requests};
use crate::resolve::threads::Pending;
use crate::rows::batch::{CallDetail, EventKind, Row};
use crate::wire::types::{limits, sys_flag};

/// The number under which a thread announces what a request is about.
fn count(submitted: u64) -> u16 {
    let bit = limits::REQUEST_COUNT.0;
    (bit | submitted as u32 & (bit - 1)) as u16
}

impl Resolver {
    /// A thread has submitted a request.
    pub(super) fn request(&mut self, head: Head, submitted: u64, args: Args<'_>) {
        let Some(thread) = self.threads.get_mut(head.tid.into()) else {
            self.faults.orphans += 1;
            return;
        };
        // The thread is in a call, of which it may have announced something too.
        let ours = |(number, _): &mut (u16, Pending)| *number == count(submitted);
        let request = Request {
            identity: thread.identity.clone(),
            op: head.nr,
            args: args.iter().collect(),
            announced: thread.pending.extract_if(.., ours).collect(),
        };
        let Requests { all, most } = &mut self.requests;
        all.insert((submitted, head.tid), request);
        if all.len() > *most {
            all.pop_first();
        }
    }

    /// A request has completed, or will never be known to have.
    pub(super) fn complete(&mut self, head: Head, submitted: u64, ret: i64, key: u64) {
        let Some(mut request) = self.requests.all.remove(&(submitted, head.tid)) else {
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
        let args = call.values(request.args.iter().copied());
        self.batch.set_args(&mut row, args);
        let (batch, registry) = (&mut self.batch, &mut self.registry);
        row.task = request
            .identity
            .index(head.tid, self.generation, batch, registry);
        row.object = self.object(key, &row);
        let announced = request.announced.into_iter().map(|(_, pending)| pending);
        self.push_call(row, CallDetail::NONE, announced);
    }
}
