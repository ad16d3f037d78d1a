//! The facet keys in the rows of one rollup. Unlike [`PieceFacets`], they outlive the batch that they come from, so
//! text values are copied.

use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, StringArray};
use arrow::datatypes::UInt32Type;
use ctrace_schema::columns::Type;
use ctrace_schema::rollups::{Facet, directory};
use rustc_hash::FxHashMap;

use crate::rollups::facet::{FacetKey, FacetKeys, NONE, PieceFacets, column_type, slice_start};
use crate::rows::arrow::{array, unsigned};

/// The approximate overhead of a string in bytes: its entries in `texts` and `indices`, and the key that contains it.
const TEXT_BYTES: usize = 300;

/// The keys of a facet so far.
#[derive(Debug)]
pub(super) struct FacetValues {
    facet: Facet,
    /// The keys; text values are indices into `texts`.
    keys: FacetKeys,
    texts: Vec<Arc<str>>,
    indices: FxHashMap<Arc<str>, u32>,
    text_bytes: usize,
}

impl FacetValues {
    pub(super) fn new(facet: Facet) -> FacetValues {
        FacetValues {
            facet,
            keys: FacetKeys::default(),
            texts: vec![],
            indices: FxHashMap::default(),
            text_bytes: 0,
        }
    }

    /// Returns the approximate memory of the strings in bytes.
    pub(super) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// Returns the id of the key of a piece, whose text values are indices into the strings of the piece.
    pub(super) fn id(&mut self, key: &FacetKey, piece: &PieceFacets<'_>) -> u32 {
        let own = self.facet.columns().iter().zip(key).map(|(column, value)| {
            let value = (*value)?;
            match (self.facet, column_type(column)) {
                (Facet::Directory, _) => Some(self.text_index(directory(piece.text(value)?))),
                (_, Type::Text) => Some(self.text_index(piece.text(value)?)),
                _ => Some(value),
            }
        });
        let own: Vec<Option<i64>> = own.collect();
        self.keys.id(&own)
    }

    fn text_index(&mut self, text: &str) -> i64 {
        if let Some(index) = self.indices.get(text) {
            return i64::from(*index);
        }
        let index = self.texts.len() as u32;
        self.text_bytes += text.len() + TEXT_BYTES;
        // A copy: a string that stays allocated would keep the memory pages of its batch from being returned to the
        // kernel.
        let text: Arc<str> = Arc::from(text);
        self.texts.push(text.clone());
        self.indices.insert(text, index);
        i64::from(index)
    }

    /// Returns the keys of [`Facet::Slice`] with longer slices, and the new id of each old one.
    pub(super) fn with_longer_slices(&self, slice_ns: i64) -> (FacetValues, Vec<u32>) {
        let mut values = FacetValues::new(self.facet);
        let ids = self.keys.iter().map(|key| {
            let key: Vec<_> = key
                .iter()
                .map(|time| Some(slice_start((*time)?, slice_ns)))
                .collect();
            values.keys.id(&key)
        });
        let ids = ids.collect();
        (values, ids)
    }

    /// Returns the values of a column for the keys `ids`, with text as a dictionary.
    pub(super) fn array(&self, column: &str, ids: &[u32]) -> ArrayRef {
        let position = self.facet.columns().iter().position(|name| *name == column);
        let value = |id: &u32| *self.keys.get(*id).get(position?)?;
        let values = || ids.iter().map(value);
        array(column_type(column), values()).unwrap_or_else(|| self.text_array(values()))
    }

    /// Returns a dictionary array whose dictionary contains only the strings in use.
    fn text_array(&self, values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
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
