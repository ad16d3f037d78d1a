//! The rows of files that are left out of the table of events.

use std::collections::HashMap;

use arrow::array::RecordBatch;

use crate::source::file::{FileContent, OpenFile};
use crate::source::row_set::RowSet;

/// The rows of one file that are left out.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    /// The positions in each row group of a Parquet file; empty: no row is left out.
    pub(crate) groups: Vec<RowSet>,
    /// The positions in the journal.
    pub(crate) journal: RowSet,
    /// The ids in an SQLite database.
    pub(crate) ids: RowSet,
}

/// The rows that are left out, because another file has the same events.
#[derive(Debug, Default)]
pub(crate) struct Repeated {
    files: HashMap<usize, LeftOut>,
    nothing: LeftOut,
    /// Sentences about files that contradict each other, or that could not be compared.
    pub(crate) warnings: Vec<String>,
}

impl Repeated {
    pub(super) fn new(files: HashMap<usize, LeftOut>, warnings: Vec<String>) -> Repeated {
        Repeated {
            files,
            warnings,
            ..Repeated::default()
        }
    }

    /// Leaves out the rows about the containers and processes that were alive when `file` began, or, with `alive`, all
    /// other rows. The file has the number 0.
    pub(crate) fn part(file: &OpenFile, alive: bool) -> Repeated {
        let (FileContent::Parquet(parquet) | FileContent::Unclosed(parquet, _)) = &file.content
        else {
            return Repeated::default();
        };
        let groups = parquet.footer.metadata().row_groups().iter().enumerate();
        let groups = groups.map(
            |(number, group)| match (number < parquet.alive_groups) != alive {
                true => RowSet::all(group.num_rows() as u64),
                false => RowSet::default(),
            },
        );
        let mut left_out = LeftOut {
            groups: groups.collect(),
            ..LeftOut::default()
        };
        if let FileContent::Unclosed(_, rows) = &file.content
            && alive
        {
            let rows = rows.iter().map(RecordBatch::num_rows).sum::<usize>();
            left_out.journal = RowSet::all(rows as u64);
        }
        Repeated {
            files: HashMap::from([(0, left_out)]),
            ..Repeated::default()
        }
    }

    /// Returns the rows of file `number` that are left out.
    pub(crate) fn of_file(&self, number: usize) -> &LeftOut {
        self.files.get(&number).unwrap_or(&self.nothing)
    }
}
