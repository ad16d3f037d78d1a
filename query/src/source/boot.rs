//! The column `boot_id` of a file. Most files are of one boot, and then the value is known without reading the column.

use std::collections::BTreeMap;

use ctrace_schema::meta;
use datafusion::common::ScalarValue;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;

use crate::source::names::BOOT_ID;

/// The boot of the events of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FileBoot {
    /// All events have this id; `None`: the id is not known.
    One(Option<String>),
    /// The events are of several boots: the column of the file has the ids.
    Column,
}

impl FileBoot {
    /// Determines the boot of a Parquet file from its statistics, or from its metadata if the column is missing or
    /// null.
    pub(crate) fn of_parquet(
        footer: &ParquetMetaData,
        pairs: &BTreeMap<String, String>,
    ) -> FileBoot {
        let of_file = || FileBoot::One(pairs.get(meta::KEY_BOOT_ID).cloned());
        let columns = footer.file_metadata().schema_descr().columns();
        let Some(at) = columns.iter().position(|column| column.name() == BOOT_ID) else {
            return of_file();
        };
        let mut ids = footer.row_groups().iter().map(|group| {
            let rows = group.num_rows() as u64;
            single_value(group.column(at).statistics(), rows)
        });
        match ids.next() {
            None => of_file(),
            Some(first) if ids.all(|id| id == first) => match first {
                Some(None) => of_file(),
                Some(id) => FileBoot::One(id),
                None => FileBoot::Column,
            },
            Some(_) => FileBoot::Column,
        }
    }

    /// Returns the value that the column has in all rows; `None`: the column must be read.
    pub(crate) fn constant(&self) -> Option<ScalarValue> {
        match self {
            FileBoot::One(id) => Some(ScalarValue::Utf8View(id.clone())),
            FileBoot::Column => None,
        }
    }
}

/// Returns the only value, perhaps null, of a column with `rows` rows; `None`: the column may have several values.
fn single_value(statistics: Option<&Statistics>, rows: u64) -> Option<Option<String>> {
    let statistics = statistics?;
    match statistics.null_count_opt()? {
        nulls if nulls == rows => Some(None),
        0 if statistics.min_is_exact() && statistics.max_is_exact() => {
            let (min, max) = (statistics.min_bytes_opt()?, statistics.max_bytes_opt()?);
            let text = std::str::from_utf8(min).ok()?;
            (min == max).then(|| Some(text.to_string()))
        }
        _ => None,
    }
}
