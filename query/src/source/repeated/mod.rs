//! Events that several files have. Each counts once, in the first file that has it.
//!
//! An event is the same in two files if host, boot and `seq` are equal ([`ctrace_schema::identity`]), and the files are
//! from the same run of the recorder: each run counts `seq` from 0. If a file does not name its run, the time of the
//! event decides. Files whose statistics show that they have no event in common are not read: segments follow each
//! other. The rows about live containers and processes at the beginning of a file are older than the file, and may be
//! in an earlier file too.

mod decide;
mod keys;
mod left_out;
mod part;
mod parts;

use std::collections::HashMap;

use crate::source::file::OpenFile;
use ctrace_schema::text::path_text;
use decide::Decision;
use keys::Contents;
pub(crate) use left_out::Repeated;
use parts::{Overlaps, parts};
pub(crate) use parts::{newest_seq, time_ranges};

/// Number of rows up to which all columns of events with the same key are compared. Above it, only times are compared.
const MAX_COMPARED_ROWS: u64 = 2_000_000;

impl Repeated {
    /// Compares `files`, and returns the events that are left out.
    pub(crate) fn find(files: &[OpenFile]) -> Repeated {
        let mut warnings = vec![];
        let Overlaps {
            parts,
            to_read,
            certain,
        } = parts(files, &mut warnings);
        if to_read.is_empty() && certain.is_empty() {
            return Repeated::new(HashMap::new(), warnings);
        }
        let rows: u64 = to_read.iter().map(|part| parts[*part].rows).sum();
        let contents = match rows <= MAX_COMPARED_ROWS {
            true => Contents::common(files, to_read.iter().map(|part| parts[*part].file)),
            false => Contents::default(),
        };
        let mut decision = Decision::new(files, &parts, &certain);
        // Rows that are not older than their file come first: the file's rollups are of no use if one of them is left out.
        let (alive, own): (Vec<_>, Vec<_>) =
            to_read.into_iter().partition(|part| parts[*part].is_alive);
        for part in own.into_iter().chain(alive) {
            match keys::read(files, &parts[part], &contents) {
                Ok(keys) => decision.add(part, keys),
                Err(error) => {
                    let name = path_text(&files[parts[part].file].path);
                    warnings.push(format!(
                        "{name} cannot be compared with the other recordings: {error}; events that both have count twice"
                    ));
                }
            }
        }
        decision.finish(warnings)
    }
}
