//! Definitions: objects that the kernel side sends once and then refers to by key (threads, files, sockets), within a
//! limit of memory.
//!
//! Entries live in two generations. An entry that is used moves to the young generation. When that is full, the old
//! generation is dropped and the young one becomes old; the kernel side then sends definitions again that it uses.

use rustc_hash::FxHashMap;

/// Memory of an entry besides the value and its text: hash table space and headers of allocations.
const OVERHEAD_BYTES: usize = 64;

/// Definitions by key, in two generations.
#[derive(Debug)]
pub(super) struct Definitions<T> {
    /// Values with the size of their text in bytes.
    young: FxHashMap<u64, (T, u32)>,
    old: FxHashMap<u64, (T, u32)>,
    /// Memory of the young generation, and its limit.
    young_bytes: usize,
    max_young_bytes: usize,
}

impl<T> Definitions<T> {
    /// Returns an empty collection for up to `max_bytes`, both generations together.
    pub(super) fn new(max_bytes: usize) -> Definitions<T> {
        Definitions {
            young: FxHashMap::default(),
            old: FxHashMap::default(),
            young_bytes: 0,
            max_young_bytes: max_bytes / 2,
        }
    }

    /// Adds a definition with `text_bytes` of text, unless the key exists: each CPU sends its own copy, and a second
    /// copy must not reset the state of the first.
    pub(super) fn insert(&mut self, key: u64, value: T, text_bytes: usize) {
        if self.get_mut(key).is_none() {
            self.put(key, value, text_bytes);
        }
    }

    /// Adds or replaces a definition with `text_bytes` of text.
    pub(super) fn put(&mut self, key: u64, value: T, text_bytes: usize) {
        self.put_entry(key, (value, text_bytes as u32));
    }

    fn put_entry(&mut self, key: u64, entry: (T, u32)) {
        self.young_bytes += entry_bytes::<T>(entry.1);
        if let Some((_, old_text_bytes)) = self.young.insert(key, entry) {
            self.young_bytes -= entry_bytes::<T>(old_text_bytes);
        }
    }

    pub(super) fn remove(&mut self, key: u64) -> Option<T> {
        self.get_mut(key)?;
        let (value, text_bytes) = self.young.remove(&key)?;
        self.young_bytes -= entry_bytes::<T>(text_bytes);
        Some(value)
    }

    /// Returns the definition of `key`. Key 0 never has one.
    pub(super) fn get(&mut self, key: u64) -> Option<&T> {
        self.get_mut(key).map(|value| &*value)
    }

    /// Returns the definition of `key`. Key 0 never has one.
    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        if !self.old.is_empty()
            && let Some(entry) = self.old.remove(&key)
        {
            self.put_entry(key, entry);
        }
        self.young.get_mut(&key).map(|(value, _)| value)
    }

    /// Returns whether [`Definitions::age`] is due.
    pub(super) fn is_full(&self) -> bool {
        self.young_bytes >= self.max_young_bytes
    }

    /// Drops the definitions that have not been used since the previous call.
    pub(super) fn age(&mut self) {
        self.old = std::mem::take(&mut self.young);
        self.young_bytes = 0;
    }
}

fn entry_bytes<T>(text_bytes: u32) -> usize {
    size_of::<(u64, (T, u32))>() + OVERHEAD_BYTES + text_bytes as usize
}

/// The index of a definition in a list of the current batch, if the batch contains the definition already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BatchIndex {
    generation: u32,
    index: u32,
}

impl BatchIndex {
    /// Returns the index in batch number `generation`. If the batch does not contain the definition, `add` adds it and
    /// returns its index.
    pub(super) fn get_or_add(&mut self, generation: u32, add: impl FnOnce() -> usize) -> u32 {
        if self.generation != generation {
            *self = BatchIndex {
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
    fn used_definitions_stay_and_others_are_dropped() {
        let mut definitions = Definitions::new(100_000);
        let mut age_count = 0;
        for key in 1..100_000 {
            definitions.put(key, key, 100);
            assert!(definitions.get(1).is_some(), "used in every round");
            if definitions.is_full() {
                definitions.age();
                age_count += 1;
            }
            let entries = definitions.young.len() + definitions.old.len();
            assert!(entries * entry_bytes::<u64>(100) <= 100_000 + 1000);
        }
        assert!(age_count > 100);
        assert!(definitions.get(2).is_none());
        assert_eq!(definitions.remove(1), Some(1));
        assert!(definitions.get(1).is_none());
    }
}
