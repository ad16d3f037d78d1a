//! What the kernel side has sent once and refers to by key, bounded in memory.

use rustc_hash::FxHashMap;

/// What an entry takes beside itself and its text: its place in the table, and the headers of what is allocated, bytes.
const OVERHEAD: usize = 64;

/// Definitions by key, in two generations: what is used moves to the younger, and the older is forgotten as a whole.
#[derive(Debug)]
pub struct Definitions<T> {
    /// With the bytes of their text.
    young: FxHashMap<u64, (T, u32)>,
    old: FxHashMap<u64, (T, u32)>,
    /// What the younger takes, and may take, bytes.
    bytes: usize,
    limit: usize,
}

impl<T> Definitions<T> {
    /// None yet; they may take up to `limit` bytes.
    pub fn new(limit: usize) -> Definitions<T> {
        Definitions {
            young: FxHashMap::default(),
            old: FxHashMap::default(),
            bytes: 0,
            limit: limit / 2,
        }
    }

    /// Adds a definition with `text` bytes of text, unless it is there: each CPU sends its own copy.
    pub fn insert(&mut self, key: u64, value: T, text: usize) {
        // A copy from another CPU must not reset what is known of the first.
        if self.get_mut(key).is_none() {
            self.put(key, value, text);
        }
    }

    /// Sets a definition with `text` bytes of text.
    pub fn put(&mut self, key: u64, value: T, text: usize) {
        self.put_entry(key, (value, text as u32));
    }

    fn put_entry(&mut self, key: u64, entry: (T, u32)) {
        self.bytes += entry_bytes::<T>(entry.1);
        if let Some((_, before)) = self.young.insert(key, entry) {
            self.bytes -= entry_bytes::<T>(before);
        }
    }

    /// Takes the definition of `key` away.
    pub fn remove(&mut self, key: u64) -> Option<T> {
        self.get_mut(key)?;
        let (value, text) = self.young.remove(&key)?;
        self.bytes -= entry_bytes::<T>(text);
        Some(value)
    }

    /// The definition of `key`; 0 has none.
    pub fn get(&mut self, key: u64) -> Option<&T> {
        self.get_mut(key).map(|value| &*value)
    }

    /// The definition of `key`; 0 has none.
    pub fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        if !self.old.is_empty()
            && let Some(entry) = self.old.remove(&key)
        {
            self.put_entry(key, entry);
        }
        self.young.get_mut(&key).map(|(value, _)| value)
    }

    /// Whether it is time to [`Definitions::age`].
    pub fn is_full(&self) -> bool {
        self.bytes >= self.limit
    }

    /// Forgets what has not been used since the last time.
    pub fn age(&mut self) {
        self.old = std::mem::take(&mut self.young);
        self.bytes = 0;
    }
}

/// What an entry takes, bytes.
fn entry_bytes<T>(text: u32) -> usize {
    size_of::<(u64, (T, u32))>() + OVERHEAD + text as usize
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_forgotten() {
        let mut all = Definitions::new(100_000);
        let mut aged = 0;
        for key in 1..100_000 {
            all.put(key, key, 100);
            assert!(all.get(1).is_some(), "used all the time");
            if all.is_full() {
                all.age();
                aged += 1;
            }
            let entries = all.young.len() + all.old.len();
            assert!(entries * entry_bytes::<u64>(100) <= 100_000 + 1000);
        }
        assert!(aged > 100);
        assert!(all.get(2).is_none());
        assert_eq!(all.remove(1), Some(1));
        assert!(all.get(1).is_none());
    }
}
