//! The values of a facet in the rows of one rollup, which outlive the batches that they come from.

use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, StringArray};
use arrow::datatypes::UInt32Type;
use ctrace_schema::columns::Type;
use ctrace_schema::rollups::{Facet, directory};
use rustc_hash::FxHashMap;

use crate::rollups::facet::{FoundFacets, Set, Sets, start, ty};
use crate::rows::arrow::{array, unsigned};

/// No number yet.
const NONE: u32 = u32::MAX;
/// Bytes that a text takes beside its own, about: its places in both directions, and the set that it makes.
const TEXT: usize = 300;

/// The values that a facet has had so far.
#[derive(Debug)]
pub(crate) struct FacetValues {
    facet: Facet,
    /// Text is told by its place in `texts`.
    sets: Sets,
    texts: Vec<Arc<str>>,
    places: FxHashMap<Arc<str>, u32>,
    bytes: usize,
}

impl FacetValues {
    /// None so far.
    pub(crate) fn new(facet: Facet) -> FacetValues {
        FacetValues {
            facet,
            sets: Sets::default(),
            texts: vec![],
            places: FxHashMap::default(),
            bytes: 0,
        }
    }

    /// Bytes that their text takes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of a set of values of a batch.
    pub(crate) fn number(&mut self, set: &Set, found: &FoundFacets<'_>) -> u32 {
        let own = self.facet.columns().iter().zip(set).map(|(column, value)| {
            let value = (*value)?;
            match (self.facet, ty(column)) {
                (Facet::Directory, _) => Some(self.place(directory(found.text(value)?))),
                (_, Type::Text) => Some(self.place(found.text(value)?)),
                _ => Some(value),
            }
        });
        let own: Vec<Option<i64>> = own.collect();
        self.sets.number(&own)
    }

    fn place(&mut self, text: &str) -> i64 {
        if let Some(place) = self.places.get(text) {
            return i64::from(*place);
        }
        let place = self.texts.len() as u32;
        self.bytes += text.len() + TEXT;
        // A copy: what is kept of a batch keeps the pages from being given back that the rest of it was in.
        let text: Arc<str> = Arc::from(text);
        self.texts.push(text.clone());
        self.places.insert(text, place);
        i64::from(place)
    }

    /// Of slices of time, the same with longer ones, and the new number of each.
    pub(crate) fn lengthened(&self, slice: i64) -> (FacetValues, Vec<u32>) {
        let mut values = FacetValues::new(self.facet);
        let numbers = self.sets.iter().map(|set| {
            let set: Vec<_> = set
                .iter()
                .map(|time| Some(start((*time)?, slice)))
                .collect();
            values.sets.number(&set)
        });
        let numbers = numbers.collect();
        (values, numbers)
    }

    /// A column of these sets, with text as a dictionary.
    pub(crate) fn column(&self, column: &str, sets: &[u32]) -> ArrayRef {
        let at = self.facet.columns().iter().position(|name| *name == column);
        let value = |set: &u32| *self.sets.get(*set).get(at?)?;
        let values = || sets.iter().map(value);
        array(ty(column), values()).unwrap_or_else(|| self.text_column(values()))
    }

    /// Only those texts that are used.
    fn text_column(&self, values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
        let mut used = vec![NONE; self.texts.len()];
        let mut texts = vec![];
        let mut key = |value: Option<i64>| {
            let value = value? as usize;
            if *used.get(value)? == NONE {
                used[value] = texts.len() as u32;
                texts.push(self.texts[value].as_ref());
            }
            Some(i64::from(used[value]))
        };
        let keys = unsigned(values.map(&mut key));
        let texts = StringArray::from_iter_values(texts);
        Arc::new(DictionaryArray::<UInt32Type>::new(keys, Arc::new(texts)))
    }
}
