//! A ring of recent events in memory: compressed frames by container, with limits on size and age.
//!
//! Memory is shared fairly. When the ring is full, the oldest frame of the container that uses most of it is evicted,
//! so a noisy container cannot displace the events of others. Evicted events are counted by container and class
//! ([`evicted`]); events that are removed because of their age are no loss and are not counted.
//!
//! The flight recorder (`--ring`) keeps the past here, and `sink/spill` keeps events here while the disk is full.

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

/// Evictions of a container that are counted separately. Beyond this number, each two adjacent ones are joined.
const MAX_EVICTED_SPANS: usize = 64;

/// Frames of recent events, by container.
pub(crate) struct Ring {
    limits: SizeAndAge,
    packer: Packer,
    containers: FxHashMap<ContainerRef, ContainerFrames>,
    bytes: usize,
    /// Memory of all frames that are still referenced, including frames that were evicted here and are being written by
    /// a dump.
    live_bytes: Arc<AtomicUsize>,
    /// Latest `time` so far, ns since 1970 UTC.
    now_ns: i64,
}

/// The frames of one container, the oldest first, and its evicted events.
#[derive(Default)]
struct ContainerFrames {
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
    evicted: VecDeque<Evicted>,
}

/// The frames that were added to and removed from the ring with a batch.
#[derive(Default)]
pub(crate) struct RingChange {
    pub(crate) added: Vec<Arc<Frame>>,
    /// Evicted and expired frames; those of one container in the order of time.
    pub(crate) removed: Vec<Arc<Frame>>,
}

impl Ring {
    /// Creates an empty ring that never exceeds `limits`.
    ///
    /// # Errors
    /// zstd cannot allocate memory.
    pub(crate) fn new(limits: SizeAndAge) -> Result<Ring> {
        let live_bytes = Arc::new(AtomicUsize::new(0));
        Ok(Ring {
            limits,
            packer: Packer::new(live_bytes.clone())?,
            containers: FxHashMap::default(),
            bytes: 0,
            live_bytes,
            now_ns: i64::MIN,
        })
    }

    /// Adds a batch, and removes the frames that exceed the limits.
    ///
    /// # Errors
    /// zstd cannot allocate memory.
    pub(crate) fn add(&mut self, events: &dyn Events) -> Result<RingChange> {
        let added = self.packer.frames(events)?;
        for frame in &added {
            self.now_ns = self.now_ns.max(frame.span.1);
            let container = self.containers.entry(frame.owner.clone()).or_default();
            container.frames.push_back(frame.clone());
            container.bytes += frame.memory_bytes();
            self.bytes += frame.memory_bytes();
        }
        let mut removed = self.expire(self.now_ns);
        while self.bytes as u64 > self.limits.bytes.unwrap_or(u64::MAX)
            && let Some(frame) = self.evict()
        {
            removed.push(frame);
        }
        Ok(RingChange { added, removed })
    }

    /// Removes and returns the frames that are too old at the wall clock time `now_ns` (since 1970 UTC).
    pub(crate) fn expire(&mut self, now_ns: i64) -> Vec<Arc<Frame>> {
        self.now_ns = self.now_ns.max(now_ns);
        let mut removed = vec![];
        let Some(age) = self.limits.age else {
            return removed;
        };
        let oldest_ns = self.now_ns.saturating_sub_unsigned(age.as_nanos() as u64);
        for container in self.containers.values_mut() {
            while let Some(frame) = container
                .frames
                .pop_front_if(|frame| frame.span.1 < oldest_ns)
            {
                container.bytes -= frame.memory_bytes();
                self.bytes -= frame.memory_bytes();
                removed.push(frame);
            }
            while container
                .evicted
                .pop_front_if(|e| e.span.1 < oldest_ns)
                .is_some()
            {}
        }
        self.containers
            .retain(|_, container| !(container.frames.is_empty() && container.evicted.is_empty()));
        removed
    }

    /// Evicts the oldest frame of the container that uses most memory.
    fn evict(&mut self) -> Option<Arc<Frame>> {
        let containers = self.containers.values_mut();
        let container =
            containers.max_by_key(|container| (container.bytes, container.frames.len()))?;
        let frame = container.frames.pop_front()?;
        container.bytes -= frame.memory_bytes();
        self.bytes -= frame.memory_bytes();
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

    /// Returns all frames in the order in which they were added.
    pub(crate) fn frames(&self) -> Vec<Arc<Frame>> {
        let frames = self
            .containers
            .values()
            .flat_map(|container| &container.frames);
        let mut frames: Vec<_> = frames.cloned().collect();
        frames.sort_by_key(|frame| frame.batch);
        frames
    }

    /// Returns the oldest `time`, ns since 1970 UTC; `None` if the ring is empty.
    pub(crate) fn start_ns(&self) -> Option<i64> {
        let oldest = self.containers.values().filter_map(|s| s.frames.front());
        oldest.map(|frame| frame.span.0).min()
    }

    /// Returns the events that were evicted and are not older than `start_ns` (since 1970 UTC), joined to one entry for
    /// each container.
    pub(crate) fn evicted(&self, start_ns: i64) -> Vec<Evicted> {
        let join = |container: &ContainerFrames| {
            let mut recent = container.evicted.iter().filter(|e| e.span.1 >= start_ns);
            let mut all = recent.next()?.clone();
            recent.for_each(|evicted| all.join(evicted));
            Some(all)
        };
        self.containers.values().filter_map(join).collect()
    }

    /// Returns the frames of the oldest batches: at least one batch, and more up to `max_rows` rows and `max_bytes`
    /// bytes after they are read.
    pub(crate) fn oldest(&self, max_rows: usize, max_bytes: usize) -> Vec<Arc<Frame>> {
        let frames = self.frames();
        let (mut count, mut rows, mut bytes) = (0, 0, 0);
        for batch in frames.chunk_by(|a, b| a.batch == b.batch) {
            rows += batch.iter().map(|frame| frame.rows).sum::<usize>();
            bytes += batch
                .iter()
                .map(|frame| frame.unpacked_bytes)
                .sum::<usize>();
            if count > 0 && (rows > max_rows || bytes > max_bytes) {
                break;
            }
            count += batch.len();
        }
        frames.into_iter().take(count).collect()
    }

    /// Removes the batches up to number `batch`, which have been written elsewhere.
    pub(crate) fn remove(&mut self, batch: u64) {
        for container in self.containers.values_mut() {
            while let Some(frame) = container.frames.pop_front_if(|frame| frame.batch <= batch) {
                container.bytes -= frame.memory_bytes();
                self.bytes -= frame.memory_bytes();
            }
        }
    }

    /// Evicts all frames, as if the ring had no space for them.
    pub(crate) fn evict_all(&mut self) -> Vec<Arc<Frame>> {
        std::iter::from_fn(|| self.evict()).collect()
    }

    /// Returns all evicted events, joined to one entry for each container, and resets their counts.
    pub(crate) fn take_evicted(&mut self) -> Vec<Evicted> {
        let evicted = self.evicted(i64::MIN);
        for container in self.containers.values_mut() {
            container.evicted.clear();
        }
        self.containers
            .retain(|_, container| !container.frames.is_empty());
        evicted
    }

    /// Returns the memory of the frames in the ring.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the time from the oldest event to the newest.
    pub(crate) fn reach_ns(&self) -> u64 {
        self.start_ns()
            .map_or(0, |start| self.now_ns.saturating_sub(start).max(0) as u64)
    }

    /// Returns whether the frames in the ring and the evicted frames that are still referenced exceed the size limit
    /// together.
    pub(crate) fn is_over(&self) -> bool {
        let live_bytes = self.live_bytes.load(Ordering::Acquire) as u64;
        live_bytes > self.limits.bytes.unwrap_or(u64::MAX) && live_bytes > self.bytes as u64
    }
}

#[cfg(test)]
mod tests;
