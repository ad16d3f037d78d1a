//! The recent past in memory: frames of events by container, of which the oldest go where there are more than there may be.
//!
//! Each container has a fair share: the one that holds most lets go first, so that one that is noisy evicts nobody else.

pub mod evicted;
pub mod frame;

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
const STRETCHES: usize = 64;

/// The recent past.
pub struct Ring {
    limits: SizeAndAge,
    packer: Packer,
    shelves: FxHashMap<ContainerRef, Shelf>,
    bytes: usize,
    /// Bytes of frames that somebody holds: also those that are evicted here while they are being written elsewhere.
    held: Arc<AtomicUsize>,
    /// The latest time, ns since 1970 UTC.
    now: i64,
}

/// What there is of a container.
#[derive(Default)]
struct Shelf {
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
    evicted: VecDeque<Evicted>,
}

/// What changed by a batch.
#[derive(Default)]
pub struct Change {
    /// Frames that are new.
    pub new: Vec<Arc<Frame>>,
    /// Frames that are in the ring no more, those of a container in the order of time.
    pub gone: Vec<Arc<Frame>>,
}

impl Ring {
    /// Nothing yet, and no more than `limits` ever.
    ///
    /// # Errors
    /// zstd has no memory.
    pub fn new(limits: SizeAndAge) -> Result<Ring> {
        let held = Arc::new(AtomicUsize::new(0));
        Ok(Ring {
            limits,
            packer: Packer::new(held.clone())?,
            shelves: FxHashMap::default(),
            bytes: 0,
            held,
            now: i64::MIN,
        })
    }

    /// Adds a batch, and lets go of what is beyond the limits.
    ///
    /// # Errors
    /// zstd has no memory.
    pub fn add(&mut self, events: &dyn Events) -> Result<Change> {
        let new = self.packer.frames(events)?;
        for frame in &new {
            self.now = self.now.max(frame.span.1);
            let shelf = self.shelves.entry(frame.whose.clone()).or_default();
            shelf.frames.push_back(frame.clone());
            shelf.bytes += frame.cost();
            self.bytes += frame.cost();
        }
        let mut gone = self.expire(self.now);
        while self.bytes as u64 > self.limits.bytes.unwrap_or(u64::MAX)
            && let Some(frame) = self.evict()
        {
            gone.push(frame);
        }
        Ok(Change { new, gone })
    }

    /// Lets go of what is too old at the time `now`, ns since 1970 UTC.
    pub fn expire(&mut self, now: i64) -> Vec<Arc<Frame>> {
        self.now = self.now.max(now);
        let mut gone = vec![];
        let Some(age) = self.limits.age else {
            return gone;
        };
        let least = self.now.saturating_sub_unsigned(age.as_nanos() as u64);
        for shelf in self.shelves.values_mut() {
            while let Some(frame) = shelf.frames.pop_front_if(|frame| frame.span.1 < least) {
                shelf.bytes -= frame.cost();
                self.bytes -= frame.cost();
                gone.push(frame);
            }
            while shelf.evicted.pop_front_if(|e| e.span.1 < least).is_some() {}
        }
        self.shelves
            .retain(|_, shelf| !(shelf.frames.is_empty() && shelf.evicted.is_empty()));
        gone
    }

    /// Lets go of the oldest frame of the container that holds most.
    fn evict(&mut self) -> Option<Arc<Frame>> {
        let shelves = self.shelves.values_mut();
        let shelf = shelves.max_by_key(|shelf| (shelf.bytes, shelf.frames.len()))?;
        let frame = shelf.frames.pop_front()?;
        shelf.bytes -= frame.cost();
        self.bytes -= frame.cost();
        shelf.evicted.push_back(Evicted {
            whose: frame.whose.clone(),
            span: frame.span,
            rows: frame.rows as u64,
            tallies: frame.tallies.clone(),
        });
        if shelf.evicted.len() > STRETCHES {
            let mut pairs = std::mem::take(&mut shelf.evicted).into_iter();
            while let Some(mut first) = pairs.next() {
                if let Some(second) = pairs.next() {
                    first.join(&second);
                }
                shelf.evicted.push_back(first);
            }
        }
        Some(frame)
    }

    /// All frames, in the order in which they came.
    pub fn frames(&self) -> Vec<Arc<Frame>> {
        let frames = self.shelves.values().flat_map(|shelf| &shelf.frames);
        let mut frames: Vec<_> = frames.cloned().collect();
        frames.sort_by_key(|frame| frame.batch);
        frames
    }

    /// The oldest time, ns since 1970 UTC; None: there is nothing.
    pub fn start(&self) -> Option<i64> {
        let oldest = self.shelves.values().filter_map(|s| s.frames.front());
        oldest.map(|frame| frame.span.0).min()
    }

    /// What was evicted since `start`, a container after the other: one stretch for each.
    pub fn evicted(&self, start: i64) -> Vec<Evicted> {
        let of = |shelf: &Shelf| {
            let mut late = shelf.evicted.iter().filter(|e| e.span.1 >= start);
            let mut all = late.next()?.clone();
            late.for_each(|evicted| all.join(evicted));
            Some(all)
        };
        self.shelves.values().filter_map(of).collect()
    }

    /// The oldest batches, whole ones: at least one, and more as long as they have no more than `rows` rows that take no more
    /// than `bytes` when they are read.
    pub fn oldest(&self, rows: usize, bytes: usize) -> Vec<Arc<Frame>> {
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
    pub fn remove(&mut self, batch: u64) {
        for shelf in self.shelves.values_mut() {
            while let Some(frame) = shelf.frames.pop_front_if(|frame| frame.batch <= batch) {
                shelf.bytes -= frame.cost();
                self.bytes -= frame.cost();
            }
        }
    }

    /// Lets go of everything, as if there were no room for it.
    pub fn evict_all(&mut self) -> Vec<Arc<Frame>> {
        std::iter::from_fn(|| self.evict()).collect()
    }

    /// Takes what was evicted, and forgets it: one stretch for each container.
    pub fn take_evicted(&mut self) -> Vec<Evicted> {
        let evicted = self.evicted(i64::MIN);
        for shelf in self.shelves.values_mut() {
            shelf.evicted.clear();
        }
        self.shelves.retain(|_, shelf| !shelf.frames.is_empty());
        evicted
    }

    /// Bytes of its frames.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How far it reaches back, ns.
    pub fn reach(&self) -> u64 {
        self.start()
            .map_or(0, |start| self.now.saturating_sub(start).max(0) as u64)
    }

    /// Whether its frames and those that somebody else still holds are more than there may be.
    pub fn is_over(&self) -> bool {
        let held = self.held.load(Ordering::Acquire) as u64;
        held > self.limits.bytes.unwrap_or(u64::MAX) && held > self.bytes as u64
    }
}

#[cfg(test)]
mod tests;
