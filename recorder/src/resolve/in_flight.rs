//! Requests of io_uring that have been submitted and have not completed.

use std::collections::BTreeMap;

use crate::resolve::threads::{Identity, Pending};

/// What was told of a request when it was submitted.
#[derive(Debug)]
pub(super) struct Request {
    /// Who submitted it: the thread may be gone, or be another, when it completes.
    pub(super) identity: Identity,
    pub(super) op: u16,
    pub(super) args: Vec<u64>,
    pub(super) announced: Vec<(u16, Pending)>,
}

/// Requests in flight, by when and by which thread they were submitted. Where there are too many the oldest is forgotten.
/// The kernel side keeps 32,768 in flight; beyond that are those whose completion was lost.
#[derive(Debug)]
pub(super) struct Requests {
    pub(super) all: BTreeMap<(u64, u32), Request>,
    pub(super) most: usize,
}

impl Requests {
    /// None yet; they may take up to `memory` bytes.
    pub(super) fn new(memory: usize) -> Requests {
        Requests {
            all: BTreeMap::new(),
            most: memory / BYTES,
        }
    }
}

/// What a request takes, with its arguments and what was announced of it, bytes.
pub(super) const BYTES: usize = size_of::<Request>() + 2 * size_of::<(u16, Pending)>() + 64;
