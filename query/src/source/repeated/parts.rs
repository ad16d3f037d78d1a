//! Finds the parts of files that may have events in common.

use std::collections::{BTreeSet, HashMap};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::{cast, max, min};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use ctrace_schema::columns::Type;
use ctrace_schema::meta;
use ctrace_schema::text::path_text;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;

use crate::source::boot::FileBoot;
use crate::source::file::{FileContent, OpenFile};
use crate::source::parquet::ParquetFile;
use crate::source::repeated::keys::{self, Contents};
use crate::source::repeated::part::{ANY, Part, Place, overlap};

/// The parts of some files, and which of them may have events in common.
#[derive(Debug, Default)]
pub(super) struct Overlaps {
    pub(super) parts: Vec<Part>,
    /// The parts whose keys must be read, in the order of the files.
    pub(super) to_read: BTreeSet<usize>,
    /// Rows that are certainly in another file too, as is known without reading that file.
    pub(super) certain: HashMap<usize, Vec<u64>>,
}

/// Finds the parts of `files` that may have events in common. Adds a warning for each file that cannot be read.
pub(super) fn parts(files: &[OpenFile], warnings: &mut Vec<String>) -> Overlaps {
    let mut overlaps = Overlaps::default();
    let is_known = |file: &&OpenFile| file.boot() != &FileBoot::One(None);
    // A single file has each event once.
    if files.iter().filter(is_known).count() < 2 {
        return overlaps;
    }
    for (number, file) in files.iter().enumerate() {
        if is_known(&file) {
            overlaps.parts.extend(parts_of(number, file));
        }
    }
    let Overlaps { parts, to_read, .. } = &mut overlaps;
    let mut own: Vec<usize> = (0..parts.len())
        .filter(|part| !parts[*part].is_alive)
        .collect();
    own.sort_by_key(|part| parts[*part].seq.0);
    let mut before: Vec<usize> = vec![];
    for part in &own {
        before.retain(|other| parts[*other].seq.1 >= parts[*part].seq.0);
        let shared = before
            .iter()
            .filter(|other| parts[**other].may_share(&parts[*part]));
        let shared: Vec<usize> = shared.copied().collect();
        if !shared.is_empty() {
            to_read.insert(*part);
            to_read.extend(shared);
        }
        before.push(*part);
    }
    let alive = (0..parts.len()).filter(|part| parts[*part].is_alive);
    for part in alive.collect::<Vec<_>>() {
        if let Err(error) = overlaps.add_alive(files, part, &own) {
            let name = path_text(&files[overlaps.parts[part].file].path);
            warnings.push(format!(
                "{name} cannot be compared with the other recordings: {error}"
            ));
        }
    }
    overlaps
}

impl Overlaps {
    /// Finds the parts in `own` that may have rows of the part `alive`. A part without a hole certainly has the rows in
    /// its range.
    fn add_alive(&mut self, files: &[OpenFile], alive: usize, own: &[usize]) -> Result<(), String> {
        let part = &self.parts[alive];
        // Other files began with rows about the same containers and processes.
        let others = self.parts.iter().filter(|other| other.is_alive);
        let is_shared = others.clone().any(|other| part.may_share(other));
        let candidates = own
            .iter()
            .filter(|other| part.may_share(&self.parts[**other]));
        let candidates: Vec<usize> = candidates.copied().collect();
        if candidates.is_empty() && !is_shared {
            return Ok(());
        }
        let keys = keys::read(files, part, &Contents::default())?;
        let mut certain = vec![];
        for (row, key) in keys.rows.iter().enumerate() {
            for other in &candidates {
                let other_part = &self.parts[*other];
                if !overlap((key.seq, key.seq), other_part.seq) {
                    continue;
                }
                if part.is_same_run(other_part) && other_part.is_whole() {
                    certain.push(row as u64);
                } else if overlap((key.micros, key.micros), other_part.micros) {
                    self.to_read.insert(*other);
                }
            }
        }
        self.to_read.insert(alive);
        if !certain.is_empty() {
            self.certain.insert(alive, certain);
        }
        Ok(())
    }
}

/// Returns the greatest `seq` of a file; `None`: the file has no events, or no statistics.
pub(crate) fn newest_seq(file: &OpenFile) -> Option<i64> {
    let last = parts_of(0, file).into_iter().map(|part| part.seq.1).max();
    last.filter(|last| *last != ANY.1)
}

/// Returns the number of rows, and the least and the greatest `time` in ns since 1970 UTC, of each part of a file, without the
/// rows that are older than the file. The ends are those of `i64` if they are not known.
pub(crate) fn time_ranges(file: &OpenFile) -> Vec<(u64, (i64, i64))> {
    if let FileContent::Sqlite(database) = &file.content {
        let all = u64::try_from(database.last_id).unwrap_or(0);
        return database.time_ranges().unwrap_or(vec![(all, ANY)]);
    }
    let own = parts_of(0, file).into_iter().filter(|part| !part.is_alive);
    let range = |part: Part| {
        let (first, last) = part.micros;
        // The last ns of the µs.
        let last = last.saturating_mul(1000).saturating_add(999);
        (part.rows, (first.saturating_mul(1000), last))
    };
    own.map(range).collect()
}

fn parts_of(number: usize, file: &OpenFile) -> Vec<Part> {
    let boot = match file.boot() {
        FileBoot::One(id) => id.clone(),
        FileBoot::Column => None,
    };
    let part = |place, rows, seq, micros| Part {
        file: number,
        place,
        rows,
        is_alive: false,
        boot: boot.clone(),
        host: None,
        run: file.meta.get(meta::KEY_RUN).cloned(),
        seq,
        micros,
    };
    match &file.content {
        FileContent::Sqlite(database) => {
            let rows = u64::try_from(database.last_id).unwrap_or(0);
            let range = database.key_ranges().unwrap_or((ANY, ANY));
            vec![part(Place::Database, rows, range.0, micros(range.1))]
        }
        FileContent::Parquet(parquet) => groups(file, parquet, &part),
        FileContent::Unclosed(parquet, rows) => {
            let mut parts = groups(file, parquet, &part);
            let count = rows.iter().map(RecordBatch::num_rows).sum::<usize>();
            if count > 0 {
                let seq = range(rows, "seq");
                parts.push(part(
                    Place::Journal,
                    count as u64,
                    seq,
                    micros(range(rows, "time")),
                ));
            }
            parts
        }
    }
}

fn micros(ns: (i64, i64)) -> (i64, i64) {
    (ns.0.div_euclid(1000), ns.1.div_euclid(1000))
}

/// Returns the parts of a Parquet file: its row groups.
fn groups(
    file: &OpenFile,
    parquet: &ParquetFile,
    part: &dyn Fn(Place, u64, (i64, i64), (i64, i64)) -> Part,
) -> Vec<Part> {
    let unit = file
        .schema
        .field_with_name("time")
        .map(|field| field.data_type().clone());
    let is_micros = matches!(unit, Ok(DataType::Timestamp(TimeUnit::Microsecond, _)));
    let groups = parquet.footer.metadata().row_groups().iter().enumerate();
    let groups = groups.map(|(number, group)| {
        let rows = group.num_rows() as u64;
        let time = numbers(group, "time");
        let micros = if is_micros || time == ANY {
            time
        } else {
            micros(time)
        };
        Part {
            is_alive: number < parquet.alive_groups,
            host: only_text(group, "host"),
            ..part(Place::Group(number), rows, numbers(group, "seq"), micros)
        }
    });
    groups.collect()
}

fn statistics<'a>(group: &'a RowGroupMetaData, column: &str) -> Option<&'a Statistics> {
    let mut columns = group.columns().iter();
    let column = columns.find(|c| c.column_descr().name() == column)?;
    column.statistics()
}

/// Returns the least and the greatest number of a column of a row group.
fn numbers(group: &RowGroupMetaData, column: &str) -> (i64, i64) {
    match statistics(group, column) {
        Some(Statistics::Int64(numbers)) => {
            let ends = numbers.min_opt().zip(numbers.max_opt());
            ends.map_or(ANY, |(min, max)| (*min, *max))
        }
        _ => ANY,
    }
}

/// Returns the text that all rows of a row group have in a column.
fn only_text(group: &RowGroupMetaData, column: &str) -> Option<String> {
    let statistics = statistics(group, column)?;
    let is_exact = statistics.min_is_exact() && statistics.max_is_exact();
    let (min, max) = (statistics.min_bytes_opt()?, statistics.max_bytes_opt()?);
    let text = std::str::from_utf8(min).ok()?;
    (is_exact && min == max).then(|| text.to_string())
}

/// Returns the least and the greatest number of a column of a journal.
fn range(rows: &[RecordBatch], column: &str) -> (i64, i64) {
    let ends = rows.iter().map(|rows| {
        let numbers = cast(rows.column_by_name(column)?, &Type::Int64.arrow()).ok()?;
        let numbers = numbers.as_primitive_opt::<Int64Type>()?;
        (numbers.null_count() == 0).then_some(())?;
        min(numbers).zip(max(numbers))
    });
    let ends: Option<Vec<_>> = ends.collect();
    let all = ends.and_then(|ends| ends.into_iter().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))));
    all.unwrap_or(ANY)
}
