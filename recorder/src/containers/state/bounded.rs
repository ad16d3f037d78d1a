//! Lists and maps in others' JSON files that have a greatest length. Three bytes of a file, such as `{},`, can become an
//! entry of a hundred bytes in memory: a file of 4 MiB with a million mounts took 200 MB. A longer list is malformed.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The greatest length of a list of mounts, devices or namespaces.
pub(super) const OBJECTS: usize = 1 << 12;
/// The greatest length of the list of options of one mount, or of names of one container.
pub(super) const WORDS: usize = 1 << 6;
/// The greatest number of containers in a list, which has about 700 bytes for each.
pub(super) const CONTAINERS: usize = 1 << 14;
/// The greatest number of labels, annotations or arguments.
pub(super) const TEXTS: usize = 1 << 16;

/// Deserializes a list of at most `MAX` items.
pub(super) fn list<'de, const MAX: usize, C, D>(deserializer: D) -> Result<C, D::Error>
where
    C: Default + Extend<C::Item> + IntoIterator<Item: Deserialize<'de>>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_seq(Items::<C, MAX>(PhantomData))
}

/// Deserializes a map of texts with at most `MAX` entries. Go writes an empty map as null.
pub(super) fn map<'de, const MAX: usize, V, D>(
    deserializer: D,
) -> Result<BTreeMap<String, V>, D::Error>
where
    V: Deserialize<'de>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(Entries::<V, MAX>(PhantomData))
}

struct Items<C, const MAX: usize>(PhantomData<C>);

impl<'de, C, const MAX: usize> Visitor<'de> for Items<C, MAX>
where
    C: Default + Extend<C::Item> + IntoIterator<Item: Deserialize<'de>>,
{
    type Value = C;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<C, A::Error> {
        let (mut read, mut count) = (C::default(), 0);
        while let Some(item) = items.next_element()? {
            count += 1;
            if count > MAX {
                return Err(Error::invalid_length(count, &self));
            }
            read.extend([item]);
        }
        Ok(read)
    }
}

struct Entries<V, const MAX: usize>(PhantomData<V>);

impl<'de, V: Deserialize<'de>, const MAX: usize> Visitor<'de> for Entries<V, MAX> {
    type Value = BTreeMap<String, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a map of at most {MAX} entries")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(BTreeMap::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut read = BTreeMap::new();
        while let Some((key, value)) = entries.next_entry()? {
            read.insert(key, value);
            if read.len() > MAX {
                return Err(Error::invalid_length(read.len(), &self));
            }
        }
        Ok(read)
    }
}
