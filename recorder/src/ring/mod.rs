//! The recent past in memory: frames of events by container, of which the oldest go where there are more than there may be.
//!
//! Each container has a fair share: the one that holds most lets go first, so that one that is noisy evicts nobody else.

pub(crate) mod evicted;
pub(crate) mod frame;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use frame::{ContainerRef, Frame, Packer};
use rustc_hash::FxHashMap;

use crate::limits::files::SizeAndAge;
use crate::ring::evicted::Evicted;
use crate::rows::Events;

/// Stretches of what was evicted that are told apart, for each container.
const MAX_EVICTED_SPANS: usize = 64;

/// The recent past.
pub(crate) struct Ring {
    limits: SizeAndAge,
    packer: Packer,
    containers: FxHashMap<ContainerRef, ContainerFrames>,
    bytes: usize,
    /// Bytes of frames that somebody holds: also those that are evicted here while they are being written elsewhere.
    live_bytes: Arc<AtomicUsize>,
    /// The latest time, ns since 1970 UTC.
    now: i64,
}

/// What there is of a container.
#[derive(Default)]
struct ContainerFrames {
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
    evicted: VecDeque<Evicted>,
}

/// What changed by a batch.
#[derive(Default)]
pub(crate) struct RingChange {
    /// Frames that are new.
    pub(crate) added: Vec<Arc<Frame>>,
    /// Frames that are in the ring no more, those of a container in the order of time.
    pub(crate) removed: Vec<Arc<Frame>>,
}

impl Ring {
    /// Nothing yet, and no more than `limits` ever.
    ///
    /// # Errors
    /// zstd has no memory.
    pub(crate) fn new(limits: SizeAndAge) -> Result<Ring> {
        let live_bytes = Arc::new(AtomicUsize::new(0));
        Ok(Ring {
            limits,
            packer: Packer::new(live_bytes.clone())?,
            containers: FxHashMap::default(),
            bytes: 0,
            live_bytes,
            now: i64::MIN,
        })
    }

    /// Adds a batch, and lets go of what is beyond the limits.
    ///
    /// # Errors
    /// zstd has no memory.
    pub(crate) fn add(&mut self, events: &dyn Events) -> Result<RingChange> {
        let new = self.packer.frames(events)?;
        for frame in &new {
            self.now = self.now.max(frame.span.1);
            let container = self.containers.entry(frame.owner.clone()).or_default();
            container.frames.push_back(frame.clone());
            container.bytes += frame.cost();
            self.bytes += frame.cost();
        }
        let mut removed = self.expire(self.now);
        while self.bytes as u64 > self.limits.bytes.unwrap_or(u64::MAX)
            && let Some(frame) = self.evict()
        {
            removed.push(frame);
        }
        Ok(RingChange {
            added: new,
            removed,
        })
    }

    /// Lets go of what is too old at the time `now`, ns since 1970 UTC.
    pub(crate) fn expire(&mut self, now: i64) -> Vec<Arc<Frame>> {
        self.now = self.now.max(now);
        let mut removed = vec![];
        let Some(age) = self.limits.age else {
            return removed;
        };
        let least = self.now.saturating_sub_unsigned(age.as_nanos() as u64);
        for container in self.containers.values_mut() {
            while let Some(frame) = container.frames.pop_front_if(|frame| frame.span.1 < least) {
                container.bytes -= frame.cost();
                self.bytes -= frame.cost();
                removed.push(frame);
            }
            while container
                .evicted
                .pop_front_if(|e| e.span.1 < least)
                .is_some()
            {}
        }
        self.containers
            .retain(|_, container| !(container.frames.is_empty() && container.evicted.is_empty()));
        removed
    }

    /// Lets go of the oldest frame of the container that holds most.
    fn evict(&mut self) -> Option<Arc<Frame>> {
        let containers = self.containers.values_mut();
        let container =
            containers.max_by_key(|container| (container.bytes, container.frames.len()))?;
        let frame = container.frames.pop_front()?;
        container.bytes -= frame.cost();
        self.bytes -= frame.cost();
        container.evicted.push_back(Evicted {
            owner: frame.owner.clone(),
            span: frame.span,
            rows: frame.rows as u64,
            tallies: frame.tallies.clone(),
        });
        if container.evicted.len() > MAX_EVICTED_SPANS {
            let mut pairs = std::mem::take(&mut container.evicted).into_iter();
            while let Some(mut first) = pairs.next() {
                if let Some(second) = pairs.next() {
                    first.join(&second);
                }
                container.evicted.push_back(first);
            }
        }
        Some(frame)
    }

    /// All frames, in the order in which they came.
    pub(crate) fn frames(&self) -> Vec<Arc<Frame>> {
        let frames = self
            .containers
            .values()
            .flat_map(|container| &container.frames);
        let mut frames: Vec<_> = frames.cloned().collect();
        frames.sort_by_key(|frame| frame.batch);
        frames
    }

    /// The oldest time, ns since 1970 UTC; None: there is nothing.
    pub(crate) fn start(&self) -> Option<i64> {
        let oldest = self.containers.values().filter_map(|s| s.frames.front());
        oldest.map(|frame| frame.span.0).min()
    }

    /// What was evicted since `start`, a container after the other: one stretch for each.
    pub(crate) fn evicted(&self, start: i64) -> Vec<Evicted> {
        let of = |container: &ContainerFrames| {
            let mut late = container.evicted.iter().filter(|e| e.span.1 >= start);
            let mut all = late.next()?.clone();
            late.for_each(|evicted| all.join(evicted));
            Some(all)
        };
        self.containers.values().filter_map(of).collect()
    }

    /// The oldest batches, whole ones: at least one, and more as long as they have no more than `rows` rows that take no more
    /// than `bytes` when they are read.
    pub(crate) fn oldest(&self, rows: usize, bytes: usize) -> Vec<Arc<Frame>> {
        let frames = self.frames();
        let (mut count, mut of_rows, mut of_bytes) = (0, 0, 0);
        for batch in frames.chunk_by(|a, b| a.batch == b.batch) {
            of_rows += batch.iter().map(|frame| frame.rows).sum::<usize>();
            of_bytes += batch.iter().map(|frame| frame.unpacked).sum::<usize>();
            if count > 0 && (of_rows > rows || of_bytes > bytes) {
                break;
            }
            count += batch.len();
        }
        frames.into_iter().take(count).collect()
    }

    /// Lets go of the batches up to this one, which are kept elsewhere now.
    pub(crate) fn remove(&mut self, batch: u64) {
        for container in self.containers.values_mut() {
            while let Some(frame) = container.frames.pop_front_if(|frame| frame.batch <= batch) {
                container.bytes -= frame.cost();
                self.bytes -= frame.cost();
            }
        }
    }

    /// Lets go of everything, as if there were no room for it.
    pub(crate) fn evict_all(&mut self) -> Vec<Arc<Frame>> {
        std::iter::from_fn(|| self.evict()).collect()
    }

    /// Takes what was evicted, and forgets it: one stretch for each container.
    pub(crate) fn take_evicted(&mut self) -> Vec<Evicted> {
        let evicted = self.evicted(i64::MIN);
        for container in self.containers.values_mut() {
            container.evicted.clear();
        }
        self.containers
            .retain(|_, container| !container.frames.is_empty());
        evicted
    }

    /// Bytes of its frames.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How far it reaches back, ns.
    pub(crate) fn reach(&self) -> u64 {
        self.start()
            .map_or(0, |start| self.now.saturating_sub(start).max(0) as u64)
    }

    /// Whether its frames and those that somebody else still holds are more than there may be.
    pub(crate) fn is_over(&self) -> bool {
        let live_bytes = self.live_bytes.load(Ordering::Acquire) as u64;
        live_bytes > self.limits.bytes.unwrap_or(u64::MAX) && live_bytes > self.bytes as u64
    }
}

#[cfg(test)]
mod tests;
