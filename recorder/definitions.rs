//! What the kernel side has sent once and refers to by key, bounded in memory.

use rustc_hash::FxHashMap;

/// Definitions in one generation. Two generations are kept, some 300 bytes each.
const LIMIT: usize = 100_000;

/// Bytes of text in one generation: a container may give every file a name of its own, of 4 KiB.
const LIMIT_BYTES: usize = 24 << 20;

/// Definitions by key, in two generations: what is used moves to the younger, and the older is forgotten as a whole.
#[derive(Debug)]
pub struct Definitions<T> {
    young: FxHashMap<u64, T>,
    old: FxHashMap<u64, T>,
    bytes: usize,
}

impl<T> Default for Definitions<T> {
    fn default() -> Self {
        Definitions {
            young: FxHashMap::default(),
            old: FxHashMap::default(),
            bytes: 0,
        }
    }
}

impl<T> Definitions<T> {
    /// Adds a definition with `bytes` of text, unless it is there: each CPU sends its own copy.
    pub fn insert(&mut self, key: u64, value: T, bytes: usize) {
        // A copy from another CPU must not reset what is known of the first.
        if self.get_mut(key).is_none() {
            self.young.insert(key, value);
            self.bytes += bytes;
        }
    }

    /// The definition of `key`; 0 has none.
    pub fn get(&mut self, key: u64) -> Option<&T> {
        self.get_mut(key).map(|value| &*value)
    }

    /// The definition of `key`; 0 has none.
    pub fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        if !self.old.is_empty()
            && let Some(value) = self.old.remove(&key)
        {
            self.young.insert(key, value);
        }
        self.young.get_mut(&key)
    }

    /// Whether it is time to [`Definitions::age`].
    pub fn is_full(&self) -> bool {
        self.young.len() >= LIMIT || self.bytes >= LIMIT_BYTES
    }

    /// Forgets what has not been used since the last time.
    pub fn age(&mut self) {
        self.old = std::mem::take(&mut self.young);
        self.bytes = 0;
    }
}

/// Where something stands in the lists of the batch that is being filled.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    generation: u32,
    index: u32,
}

impl Sent {
    /// Its index in batch number `generation`; `add` puts it there, if it is not, and returns its index.
    pub fn index(&mut self, generation: u32, add: impl FnOnce() -> usize) -> u32 {
        if self.generation != generation {
            *self = Sent {
                generation,
                index: add() as u32,
            };
        }
        self.index
    }
}
