//! The rows of a file that a table has: all of them, or those that no other file has too.

use std::sync::Arc;

use datafusion::datasource::physical_plan::parquet::RowGroupAccess;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};

use crate::source::parquet::file::ParquetFile;
use crate::source::row_set::RowSet;

/// The rows of a Parquet file that a table has.
#[derive(Clone, Debug)]
pub(crate) struct FileRows {
    pub(crate) file: Arc<ParquetFile>,
    /// The rows of each row group; `None`: all rows.
    pub(crate) selection: Option<Arc<[RowGroupAccess]>>,
    /// Whether all rows of the file's own time are among them, so that its rollups are true of them.
    pub(crate) has_own_rows: bool,
}

impl FileRows {
    /// All rows of a file.
    pub(crate) fn all(file: Arc<ParquetFile>) -> FileRows {
        FileRows {
            file,
            selection: None,
            has_own_rows: true,
        }
    }

    /// The rows of a file without the positions `left_out`, for each row group. `None`: no row is left.
    pub(crate) fn without(file: Arc<ParquetFile>, left_out: &[RowSet]) -> Option<FileRows> {
        if left_out.iter().all(RowSet::is_empty) {
            return Some(FileRows::all(file));
        }
        let groups = file.footer.metadata().row_groups().iter().zip(left_out);
        let selection: Arc<[RowGroupAccess]> = groups
            .map(|(group, left_out)| access(group.num_rows() as usize, left_out))
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

    /// Adds rows to a list, together with other rows of the same file if the list has some.
    pub(crate) fn add(list: &mut Vec<FileRows>, rows: FileRows) {
        let is_same = |other: &&mut FileRows| Arc::ptr_eq(&other.file, &rows.file);
        let Some(other) = list.iter_mut().find(is_same) else {
            return list.push(rows);
        };
        let access = |rows: &FileRows, group: usize| match &rows.selection {
            Some(selection) => selection[group].clone(),
            None => RowGroupAccess::Scan,
        };
        let groups = other.file.footer.metadata().num_row_groups();
        // Each row group is in one of them.
        let joined = (0..groups).map(|group| match access(other, group) {
            RowGroupAccess::Skip => access(&rows, group),
            present => present,
        });
        let joined: Arc<[RowGroupAccess]> = joined.collect();
        other.selection = Some(joined);
    }

    /// Those of the rows that are older than the file: what lived when it began. `None`: there are none.
    pub(crate) fn alive_rows(&self) -> Option<FileRows> {
        let groups = self.file.footer.metadata().num_row_groups();
        let access = |group: usize| match &self.selection {
            _ if group >= self.file.alive_groups => RowGroupAccess::Skip,
            Some(selection) => selection[group].clone(),
            None => RowGroupAccess::Scan,
        };
        let selection: Arc<[RowGroupAccess]> = (0..groups).map(access).collect();
        let is_any = selection.iter().any(RowGroupAccess::should_scan);
        is_any.then_some(FileRows {
            file: self.file.clone(),
            selection: Some(selection),
            has_own_rows: false,
        })
    }

    /// The other rows, of the time of the file. `None`: there are none.
    pub(crate) fn own_rows(&self) -> Option<FileRows> {
        if self.file.alive_groups == 0 {
            return Some(self.clone());
        }
        let groups = self.file.footer.metadata().num_row_groups();
        let access = |group: usize| match &self.selection {
            _ if group < self.file.alive_groups => RowGroupAccess::Skip,
            Some(selection) => selection[group].clone(),
            None => RowGroupAccess::Scan,
        };
        let selection: Arc<[RowGroupAccess]> = (0..groups).map(access).collect();
        let is_any = selection.iter().any(RowGroupAccess::should_scan);
        is_any.then_some(FileRows {
            file: self.file.clone(),
            selection: Some(selection),
            has_own_rows: self.has_own_rows,
        })
    }
}

/// The access to a row group of `rows` rows without those at the positions `left_out`.
fn access(rows: usize, left_out: &RowSet) -> RowGroupAccess {
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
