//! The places of rollups in a Parquet file, which its footer lists under [`KEY_ROLLUPS`].

use ctrace_schema::rollups::KEY_ROLLUPS;
use parquet::file::metadata::KeyValue;
use serde::{Deserialize, Serialize};

/// The place of one frame of a rollup: a zstd frame with an Arrow IPC stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The length of the frame, in bytes.
    pub length: u64,
    /// The name of the rollup: see [`ctrace_schema::rollups::ROLLUPS`].
    pub name: String,
    /// The offset of the frame in the file, in bytes.
    pub offset: u64,
    /// The length of the decompressed stream, in bytes.
    pub size: u64,
    /// The length of a time slice in ns; `None`: the rollup has no slices.
    pub slice: Option<i64>,
}

/// Returns the entry of the footer that lists `places`.
///
/// # Errors
/// The places cannot be written as JSON.
pub fn footer_entry(places: &[Place]) -> Result<KeyValue, serde_json::Error> {
    let places = serde_json::to_string(places)?;
    Ok(KeyValue::new(KEY_ROLLUPS.to_string(), places))
}

/// Returns the places that the entries of a footer list; none if the list is missing or invalid.
pub fn places(entries: Option<&Vec<KeyValue>>) -> Vec<Place> {
    let entry = entries
        .into_iter()
        .flatten()
        .find(|entry| entry.key == KEY_ROLLUPS);
    let places = entry.and_then(|entry| serde_json::from_str(entry.value.as_deref()?).ok());
    places.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_come_back() -> Result<(), serde_json::Error> {
        let place = Place {
            length: 5,
            name: "calls".to_string(),
            offset: 4,
            size: 6,
            slice: None,
        };
        let entry = footer_entry(std::slice::from_ref(&place))?;
        assert_eq!(
            entry.value.as_deref(),
            Some(r#"[{"length":5,"name":"calls","offset":4,"size":6,"slice":null}]"#)
        );
        assert_eq!(places(Some(&vec![entry])), [place]);
        Ok(())
    }
}
