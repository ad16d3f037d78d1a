//! The progress of recordings that are followed: which rows were seen, and which are new.

use std::collections::HashMap;
use std::path::PathBuf;

use ctrace_format::names;
use ctrace_schema::meta;
use datafusion::logical_expr::{Expr, lit};
use datafusion::prelude::col;

use crate::source::boot::FileBoot;
use crate::source::file::OpenFile;
use crate::source::names::RECORDING;
use crate::source::repeated::newest_seq;

/// The rows of a file that were seen.
#[derive(Clone, Debug)]
struct SeenRows {
    /// The position among the files, in the order in which they were seen first.
    position: usize,
    boot: FileBoot,
    run: Option<String>,
    /// The greatest `seq`.
    last: i64,
}

/// The rows of all files that were seen. Each recorder counts `seq` from 0, so the greatest number is stored for each
/// file. A segment keeps its number when it gets its final name.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeenFiles(HashMap<PathBuf, SeenRows>);

/// The new rows of one file.
#[derive(Clone, Debug)]
struct NewRows {
    /// The value of `recording`.
    recording: String,
    /// The new rows have a greater `seq`; `None`: all rows are new.
    after: Option<i64>,
    /// The greatest `seq` of the new rows.
    last: i64,
}

/// The rows that were not seen before.
#[derive(Clone, Debug, Default)]
pub(crate) struct News {
    files: Vec<NewRows>,
    /// True if the rows about live containers and processes at the beginning of a file are new too: in the first
    /// answer, but not when a recorder begins a segment.
    pub(crate) has_alive_rows: bool,
}

impl SeenFiles {
    /// Sorts files in the order in which they were seen first, new files last: an event in several files belongs to the
    /// first of them, and must not become new.
    pub(crate) fn sort(&self, files: &mut [OpenFile]) {
        files.sort_by_key(|file| {
            let seen = self.0.get(&names::finished(&file.path));
            seen.map_or(usize::MAX, |seen| seen.position)
        });
    }

    /// Adds the rows of `files`, and returns the new ones.
    pub(crate) fn update(&mut self, files: &[OpenFile]) -> News {
        let mut news = News {
            files: vec![],
            has_alive_rows: self.0.is_empty(),
        };
        for (number, file) in files.iter().enumerate() {
            let Some(last) = newest_seq(file) else {
                continue;
            };
            let path = names::finished(&file.path);
            let position = self
                .0
                .get(&path)
                .map_or(self.0.len() + number, |seen| seen.position);
            let now = SeenRows {
                position,
                boot: file.boot().clone(),
                run: file.meta.get(meta::KEY_RUN).cloned(),
                last,
            };
            let before = self.0.insert(path, now.clone());
            // Another recording may have replaced the file.
            let is_same = |seen: &SeenRows| {
                seen.boot == now.boot && seen.run == now.run && seen.last <= now.last
            };
            let after = before.filter(is_same).map(|seen| seen.last);
            if after.is_none_or(|after| after < last) {
                news.files.push(NewRows {
                    recording: file.path.display().to_string(),
                    after,
                    last,
                });
            }
        }
        news
    }
}

impl News {
    /// Returns whether a file has new rows.
    pub(crate) fn is_in(&self, file: &OpenFile) -> bool {
        let name = file.path.display().to_string();
        self.files.iter().any(|rows| rows.recording == name)
    }

    /// Returns the condition that only new rows pass.
    pub(crate) fn condition(&self) -> Expr {
        let conditions = self.files.iter().map(|rows| {
            let of_file = col(RECORDING).eq(lit(rows.recording.as_str()));
            let of_file = of_file.and(col("seq").lt_eq(lit(rows.last)));
            match rows.after {
                Some(after) => of_file.and(col("seq").gt(lit(after))),
                None => of_file,
            }
        });
        conditions.reduce(Expr::or).unwrap_or_else(|| lit(false))
    }
}
