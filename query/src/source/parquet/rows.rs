//! The rows of a file that are in a table: all of them, or those that no earlier file has.

use std::ops::Range;
use std::sync::Arc;

use datafusion::datasource::physical_plan::parquet::RowGroupAccess;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};

use crate::source::parquet::file::ParquetFile;
use crate::source::row_set::RowSet;

/// The rows of a Parquet file that are in a table.
#[derive(Clone, Debug)]
pub(crate) struct FileRows {
    pub(crate) file: Arc<ParquetFile>,
    /// The rows of each row group; `None`: all rows.
    pub(crate) selection: Option<Arc<[RowGroupAccess]>>,
    /// True if all rows that are not older than the file are selected, so that the file's rollups are true of them.
    pub(crate) has_own_rows: bool,
}

impl FileRows {
    /// Returns all rows of a file.
    pub(crate) fn all(file: Arc<ParquetFile>) -> FileRows {
        FileRows {
            file,
            selection: None,
            has_own_rows: true,
        }
    }

    /// Returns the rows of a file without those at the positions `left_out` of each row group. `None`: no row is left.
    pub(crate) fn without(file: Arc<ParquetFile>, left_out: &[RowSet]) -> Option<FileRows> {
        if left_out.iter().all(RowSet::is_empty) {
            return Some(FileRows::all(file));
        }
        let groups = file.footer.metadata().row_groups().iter().zip(left_out);
        let selection: Arc<[RowGroupAccess]> = groups
            .map(|(group, left_out)| access_without(group.num_rows() as usize, left_out))
            .collect();
        let is_any = selection.iter().any(RowGroupAccess::should_scan);
        let has_own_rows = left_out
            .iter()
            .skip(file.alive_groups)
            .all(RowSet::is_empty);
        is_any.then_some(FileRows {
            file,
            selection: Some(selection),
            has_own_rows,
        })
    }

    /// Adds rows to a list. If the list has other rows of the same file, joins them.
    pub(crate) fn add(list: &mut Vec<FileRows>, rows: FileRows) {
        let is_same = |other: &&mut FileRows| Arc::ptr_eq(&other.file, &rows.file);
        let Some(other) = list.iter_mut().find(is_same) else {
            return list.push(rows);
        };
        let groups = other.file.footer.metadata().num_row_groups();
        // Each row group is selected in one of the two.
        let joined = (0..groups).map(|group| match other.access(group) {
            RowGroupAccess::Skip => rows.access(group),
            present => present,
        });
        let joined: Arc<[RowGroupAccess]> = joined.collect();
        other.selection = Some(joined);
    }

    /// Returns the rows that are older than the file, about the containers and processes that were alive when the file
    /// began. `None`: there are none.
    pub(crate) fn alive_rows(&self) -> Option<FileRows> {
        self.of_groups(0..self.file.alive_groups, false)
    }

    /// Returns the rows that are not older than the file. `None`: there are none.
    pub(crate) fn own_rows(&self) -> Option<FileRows> {
        if self.file.alive_groups == 0 {
            return Some(self.clone());
        }
        self.of_groups(self.file.alive_groups..usize::MAX, self.has_own_rows)
    }

    /// Returns the rows in some row groups. `None`: there are none.
    fn of_groups(&self, wanted: Range<usize>, has_own_rows: bool) -> Option<FileRows> {
        let groups = self.file.footer.metadata().num_row_groups();
        let selection = (0..groups).map(|group| match wanted.contains(&group) {
            true => self.access(group),
            false => RowGroupAccess::Skip,
        });
        let selection: Arc<[RowGroupAccess]> = selection.collect();
        let is_any = selection.iter().any(RowGroupAccess::should_scan);
        is_any.then_some(FileRows {
            file: self.file.clone(),
            selection: Some(selection),
            has_own_rows,
        })
    }

    fn access(&self, group: usize) -> RowGroupAccess {
        match &self.selection {
            Some(selection) => selection[group].clone(),
            None => RowGroupAccess::Scan,
        }
    }
}

/// Returns the access to a row group of `rows` rows without the rows at the positions `left_out`.
fn access_without(rows: usize, left_out: &RowSet) -> RowGroupAccess {
    if left_out.is_empty() {
        return RowGroupAccess::Scan;
    }
    let (mut selectors, mut at) = (vec![], 0);
    for (start, end) in left_out.ranges() {
        let (start, end) = (*start as usize, *end as usize);
        if start > at {
            selectors.push(RowSelector::select(start - at));
        }
        selectors.push(RowSelector::skip(end - start));
        at = end;
    }
    if at < rows {
        selectors.push(RowSelector::select(rows - at));
    }
    match selectors.iter().all(|selector| selector.skip) {
        true => RowGroupAccess::Skip,
        false => RowGroupAccess::Selection(RowSelection::from(selectors)),
    }
}
