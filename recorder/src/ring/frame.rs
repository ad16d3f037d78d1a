//! Frames: rows of one container, in the journal's form and compressed, with the counts that are needed when the frame
//! is evicted without being read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use ctrace_format::unclosed::journal;
use ctrace_schema::columns::COLUMNS;
use ctrace_schema::syscalls::Class;
use rustc_hash::FxHashMap;
use zstd::bulk::Compressor;

use crate::rows::Events;
use crate::rows::arrow::field;
use crate::rows::runs::{Run, Series, for_each_common_run};
use crate::rows::stored::StoredRows;

/// The container that owns rows, as the columns `container` and `container_id` name it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ContainerRef {
    pub(crate) container: Option<Arc<str>>,
    pub(crate) container_id: Option<Arc<str>>,
}

/// The number of events of one class in a set of rows, including the lost events that gap rows among them report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) class: &'static str,
    pub(crate) events: u64,
    /// Events among `events` that were already lost and are reported by gap rows.
    pub(crate) in_gap_rows: u64,
    /// Sequence number of one of the rows, which a gap row for all of them can use: no other row has it.
    pub(crate) seq: i64,
}

/// Adds `tally` to the tally of the same class.
pub(crate) fn add_tally(tallies: &mut Vec<Tally>, tally: Tally) {
    match tallies.iter_mut().find(|t| t.class == tally.class) {
        Some(known) => {
            known.events = known.events.saturating_add(tally.events);
            known.in_gap_rows = known.in_gap_rows.saturating_add(tally.in_gap_rows);
        }
        None => tallies.push(tally),
    }
}

/// Rows that are converted to frames at a time: all of their columns are in memory at once before they are compressed.
const ROWS_AT_ONCE: usize = 32_768;

/// Approximate memory of a frame in addition to its compressed rows.
const FRAME_OVERHEAD_BYTES: usize = 320;

/// Memory of a text that was read from a frame, in addition to its own bytes.
const TEXT_OVERHEAD_BYTES: usize = 128;

/// Compressed rows of one container.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) owner: ContainerRef,
    /// Number of the batch that the rows come from. All frames of a batch cover the same time.
    pub(crate) batch: u64,
    pub(crate) rows: usize,
    /// First and last `time`, ns since 1970 UTC.
    pub(crate) span: (i64, i64),
    /// Events by class.
    pub(crate) tallies: Vec<Tally>,
    /// Memory of the rows after [`Frame::read`].
    pub(crate) unpacked_bytes: usize,
    bytes: Box<[u8]>,
    /// Total memory of all frames that are still referenced, in the ring or elsewhere.
    live_bytes: Arc<AtomicUsize>,
}

impl Frame {
    /// Returns the memory of the frame.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.len() + FRAME_OVERHEAD_BYTES
    }

    /// Decompresses the rows.
    ///
    /// # Errors
    /// The memory of the frame is damaged.
    pub(crate) fn read(&self) -> Result<RecordBatch> {
        let read = journal::read(&self.bytes)?.pop();
        read.context("a frame in memory is damaged; please report this")
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.live_bytes
            .fetch_sub(self.memory_bytes(), Ordering::AcqRel);
    }
}

/// Converts batches to frames.
pub(crate) struct Packer {
    zstd: Compressor<'static>,
    batches: u64,
    live_bytes: Arc<AtomicUsize>,
}

impl Packer {
    /// Creates a packer whose frames add their memory to `live_bytes` for as long as they are referenced.
    ///
    /// # Errors
    /// zstd cannot allocate memory.
    pub(crate) fn new(live_bytes: Arc<AtomicUsize>) -> Result<Packer> {
        Ok(Packer {
            zstd: Compressor::new(1)?,
            batches: 0,
            live_bytes,
        })
    }

    /// Converts a batch to frames, one for each container. A large batch is treated as several.
    ///
    /// # Errors
    /// zstd cannot allocate memory.
    pub(crate) fn frames(&mut self, events: &dyn Events) -> Result<Vec<Arc<Frame>>> {
        let mut frames = vec![];
        for from in (0..events.rows()).step_by(ROWS_AT_ONCE) {
            self.batches += 1;
            let rows = ROWS_AT_ONCE.min(events.rows() - from);
            for rows in split(&Slice { events, from, rows })? {
                frames.push(self.frame(rows)?);
            }
        }
        Ok(frames)
    }

    fn frame(&mut self, rows: OwnedRows) -> Result<Arc<Frame>> {
        let batch = RecordBatch::try_new(Arc::new(Schema::new(rows.fields)), rows.columns)?;
        let frame = Frame {
            owner: rows.owner,
            batch: self.batches,
            rows: batch.num_rows(),
            span: rows.span,
            tallies: rows.tallies,
            unpacked_bytes: unpacked_bytes(&batch),
            bytes: journal::frame(&batch, &mut self.zstd)?.into_boxed_slice(),
            live_bytes: self.live_bytes.clone(),
        };
        self.live_bytes
            .fetch_add(frame.memory_bytes(), Ordering::AcqRel);
        Ok(Arc::new(frame))
    }
}

/// Returns the memory of the rows of `batch` after they are read back: then there is a value for each row, even if the
/// column is stored as runs.
fn unpacked_bytes(batch: &RecordBatch) -> usize {
    let width = |field: &Arc<Field>| {
        let ty = match field.data_type() {
            DataType::RunEndEncoded(_, values) => values.data_type(),
            ty => ty,
        };
        // The 4 bytes of an index of a text, or less for a boolean.
        ty.primitive_width().unwrap_or(4)
    };
    let widths: usize = batch.schema().fields().iter().map(width).sum();
    let columns = batch.columns().iter();
    let texts = columns.filter_map(|c| Some(c.as_any_dictionary_opt()?.values()));
    let texts =
        texts.map(|values| values.get_array_memory_size() + values.len() * TEXT_OVERHEAD_BYTES);
    batch.num_rows() * widths + texts.sum::<usize>()
}

/// A range of the rows of a batch.
struct Slice<'a> {
    events: &'a dyn Events,
    from: usize,
    rows: usize,
}

impl Events for Slice<'_> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn strings(&self) -> &[Arc<str>] {
        self.events.strings()
    }

    fn column(&self, name: &str) -> Series {
        let series = self.events.column(name);
        if series.rows() == self.rows {
            return series;
        }
        let (mut slice, mut start) = (Series::default(), 0);
        for run in series.runs() {
            let end = (start + run.rows()).min(self.from + self.rows);
            slice.push(run.value(), end.saturating_sub(start.max(self.from)));
            start += run.rows();
        }
        slice
    }
}

/// The rows of one container in a batch, before they are compressed.
#[derive(Default)]
struct OwnedRows {
    owner: ContainerRef,
    fields: Vec<Field>,
    columns: Vec<ArrayRef>,
    span: (i64, i64),
    tallies: Vec<Tally>,
}

/// Divides the rows of `events` by container, one column after the other, so that no more than one column is in memory
/// in its original form.
fn split(events: &dyn Events) -> Result<Vec<OwnedRows>, ArrowError> {
    let texts = events.strings();
    let text = |value: Option<i64>| texts.get(usize::try_from(value?).ok()?).cloned();
    let (names, ids) = (events.column("container"), events.column("container_id"));
    let (mut containers, mut numbers) = (Vec::<OwnedRows>::new(), FxHashMap::default());
    let mut owners = Series::default();
    for_each_common_run(&[names.runs(), ids.runs()], |values, rows| {
        let number = *numbers.entry((values[0], values[1])).or_insert_with(|| {
            containers.push(OwnedRows {
                owner: ContainerRef {
                    container: text(values[0]),
                    container_id: text(values[1]),
                },
                ..OwnedRows::default()
            });
            containers.len() as i64 - 1
        });
        owners.push(Some(number), rows);
    });
    let mut class_columns = vec![];
    for column in COLUMNS {
        let divided = divide(&events.column(column.name), &owners, containers.len());
        for (rows, series) in containers.iter_mut().zip(&divided) {
            if column.name == "time" {
                let times = || series.runs().iter().filter_map(|run| run.value());
                rows.span = times().min().zip(times().max()).unwrap_or_default();
            }
            if let Some((field, array)) = field(column, series, texts) {
                rows.fields.push(field);
                rows.columns.push(array);
            }
        }
        if ["seq", "class", "lost"].contains(&column.name) {
            class_columns.push(divided);
        }
    }
    for (i, owned) in containers.iter_mut().enumerate() {
        let columns: Vec<&[Run]> = class_columns
            .iter()
            .map(|column| column[i].runs())
            .collect();
        for_each_common_run(&columns, |values, rows| {
            // In the order of COLUMNS: seq, class, lost.
            let [seq, class, lost] = [values[0], values[1], values[2]];
            let class = text(class).and_then(|class| Class::from_name(&class));
            let tally = Tally {
                class: class.unwrap_or(Class::Other).as_str(),
                events: lost.map_or(rows as u64, |lost| lost as u64),
                in_gap_rows: lost.map_or(0, |lost| lost as u64),
                seq: seq.unwrap_or_default(),
            };
            add_tally(&mut owned.tallies, tally);
        });
    }
    Ok(containers)
}

/// Divides a column by container. `owners` has the number of the container of each row, below `count`.
fn divide(series: &Series, owners: &Series, count: usize) -> Vec<Series> {
    let mut parts: Vec<Series> = (0..count).map(|_| Series::default()).collect();
    for_each_common_run(&[owners.runs(), series.runs()], |values, rows| {
        if let Some(part) = values[0].and_then(|number| parts.get_mut(number as usize)) {
            part.push(values[1], rows);
        }
    });
    parts
}

/// Reads the rows of `frames`, one frame after the other.
///
/// # Errors
/// The memory of a frame is damaged.
pub(crate) fn read_frames<'a>(
    frames: impl IntoIterator<Item = &'a Arc<Frame>>,
) -> Result<StoredRows> {
    let mut rows = StoredRows::default();
    for frame in frames {
        rows.push(frame.read()?);
    }
    Ok(rows)
}
