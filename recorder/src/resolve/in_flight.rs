//! Requests of io_uring that have been submitted and have not completed. Each becomes a row when it completes.

use std::collections::BTreeMap;

use crate::resolve::threads::{Identity, Pending};

/// A submitted request.
#[derive(Debug)]
pub(super) struct Request {
    /// The thread that submitted the request. When the request completes, the thread may have ended and its id may be
    /// reused.
    pub(super) identity: Identity,
    pub(super) op: u16,
    pub(super) args: Vec<u64>,
    pub(super) announced: Vec<(u16, Pending)>,
}

/// Requests in flight by time of submission and thread. Above the limit, the oldest request is dropped: the kernel side
/// tracks at most 32,768 requests, so the others are requests whose completion was lost.
#[derive(Debug)]
pub(super) struct Requests {
    pub(super) by_submission: BTreeMap<(u64, u32), Request>,
    pub(super) max_requests: usize,
}

impl Requests {
    /// Returns an empty collection for up to `max_bytes`.
    pub(super) fn new(max_bytes: usize) -> Requests {
        Requests {
            by_submission: BTreeMap::new(),
            max_requests: max_bytes / REQUEST_BYTES,
        }
    }
}

/// Memory of a request, with its arguments and announcements.
const REQUEST_BYTES: usize = size_of::<Request>() + 2 * size_of::<(u16, Pending)>() + 64;
