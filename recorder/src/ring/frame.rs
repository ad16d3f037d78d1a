//! Frames: rows of one container, compressed as the journal's are, with what has to be known when they are let go.

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
use crate::rows::runs::{Run, Series, stretches};
use crate::rows::stored::StoredRows;

/// Whose rows they are, as the columns `container` and `container_id` tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ContainerRef {
    pub(crate) container: Option<Arc<str>>,
    pub(crate) container_id: Option<Arc<str>>,
}

/// Events of a class, those included that gap rows among them tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Name of the class.
    pub(crate) class: &'static str,
    /// How many.
    pub(crate) events: u64,
    /// How many of them gap rows tell of.
    pub(crate) in_gap_rows: u64,
    /// Number of one of the rows, which is no other row's.
    pub(crate) seq: i64,
}

/// Adds `tally` to those of its class.
pub(crate) fn add(tallies: &mut Vec<Tally>, tally: Tally) {
    match tallies.iter_mut().find(|t| t.class == tally.class) {
        Some(known) => {
            known.events = known.events.saturating_add(tally.events);
            known.in_gap_rows = known.in_gap_rows.saturating_add(tally.in_gap_rows);
        }
        None => tallies.push(tally),
    }
}

/// Rows of a batch: all of their columns are in memory at once before they are compressed.
const ROWS: usize = 32_768;

/// Bytes of memory that a frame takes beside its rows, about.
const BESIDE: usize = 320;

/// Bytes that a text takes when it is read, beside its own.
const TEXT: usize = 128;

/// Rows of a container.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Its rows are of this one.
    pub(crate) owner: ContainerRef,
    /// Numbers the batches that were kept: the frames of one are of the same time.
    pub(crate) batch: u64,
    /// How many rows it has.
    pub(crate) rows: usize,
    /// First and last `time`, ns since 1970 UTC.
    pub(crate) span: (i64, i64),
    /// Its events by class.
    pub(crate) tallies: Vec<Tally>,
    /// Bytes that its rows take when they are read.
    pub(crate) unpacked: usize,
    bytes: Box<[u8]>,
    /// Bytes of all frames that somebody holds.
    live_bytes: Arc<AtomicUsize>,
}

impl Frame {
    /// Bytes of memory that it takes.
    pub(crate) fn cost(&self) -> usize {
        self.bytes.len() + BESIDE
    }

    /// Its rows, in the form of the journal's.
    ///
    /// # Errors
    /// None, unless memory has been damaged.
    pub(crate) fn read(&self) -> Result<RecordBatch> {
        let read = journal::read(&self.bytes)?.pop();
        read.context("a frame in memory is damaged; please report this")
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.live_bytes.fetch_sub(self.cost(), Ordering::AcqRel);
    }
}

/// Makes frames.
pub(crate) struct Packer {
    zstd: Compressor<'static>,
    batches: u64,
    live_bytes: Arc<AtomicUsize>,
}

impl Packer {
    /// Frames count in `held` as long as somebody holds them, bytes.
    ///
    /// # Errors
    /// zstd has no memory.
    pub(crate) fn new(live_bytes: Arc<AtomicUsize>) -> Result<Packer> {
        Ok(Packer {
            zstd: Compressor::new(1)?,
            batches: 0,
            live_bytes,
        })
    }

    /// The frames of the next batch, or of several where it is large.
    ///
    /// # Errors
    /// zstd has no memory.
    pub(crate) fn frames(&mut self, events: &dyn Events) -> Result<Vec<Arc<Frame>>> {
        let mut frames = vec![];
        for from in (0..events.rows()).step_by(ROWS) {
            self.batches += 1;
            let rows = ROWS.min(events.rows() - from);
            for piece in split(&Slice { events, from, rows })? {
                frames.push(self.frame(piece)?);
            }
        }
        Ok(frames)
    }

    fn frame(&mut self, piece: Piece) -> Result<Arc<Frame>> {
        let batch = RecordBatch::try_new(Arc::new(Schema::new(piece.fields)), piece.columns)?;
        let frame = Frame {
            owner: piece.owner,
            batch: self.batches,
            rows: batch.num_rows(),
            span: piece.span,
            tallies: piece.tallies,
            unpacked: unpacked(&batch),
            bytes: journal::frame(&batch, &mut self.zstd)?.into_boxed_slice(),
            live_bytes: self.live_bytes.clone(),
        };
        self.live_bytes.fetch_add(frame.cost(), Ordering::AcqRel);
        Ok(Arc::new(frame))
    }
}

/// Bytes that the rows of a batch take when they are read: there is a value for each row then, also where they have runs.
fn unpacked(batch: &RecordBatch) -> usize {
    let width = |field: &Arc<Field>| {
        let ty = match field.data_type() {
            DataType::RunEndEncoded(_, values) => values.data_type(),
            ty => ty,
        };
        // The number of a text, or less.
        ty.primitive_width().unwrap_or(4)
    };
    let widths: usize = batch.schema().fields().iter().map(width).sum();
    let columns = batch.columns().iter();
    let texts = columns.filter_map(|c| Some(c.as_any_dictionary_opt()?.values()));
    let texts = texts.map(|values| values.get_array_memory_size() + values.len() * TEXT);
    batch.num_rows() * widths + texts.sum::<usize>()
}

/// Some rows of a batch.
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
        let (mut slice, mut at) = (Series::default(), 0);
        for run in series.runs() {
            let end = (at + run.rows()).min(self.from + self.rows);
            slice.push(run.value(), end.saturating_sub(at.max(self.from)));
            at += run.rows();
        }
        slice
    }
}

/// The rows of one container in a batch.
#[derive(Default)]
struct Piece {
    owner: ContainerRef,
    fields: Vec<Field>,
    columns: Vec<ArrayRef>,
    span: (i64, i64),
    tallies: Vec<Tally>,
}

/// The rows of `events` by whose they are. A column at a time, so that no more than one is in memory as it comes.
fn split(events: &dyn Events) -> Result<Vec<Piece>, ArrowError> {
    let texts = events.strings();
    let text = |value: Option<i64>| texts.get(usize::try_from(value?).ok()?).cloned();
    let (names, ids) = (events.column("container"), events.column("container_id"));
    let (mut pieces, mut numbers) = (Vec::<Piece>::new(), FxHashMap::default());
    let mut owner = Series::default();
    stretches(&[names.runs(), ids.runs()], |values, rows| {
        let number = *numbers.entry((values[0], values[1])).or_insert_with(|| {
            pieces.push(Piece {
                owner: ContainerRef {
                    container: text(values[0]),
                    container_id: text(values[1]),
                },
                ..Piece::default()
            });
            pieces.len() as i64 - 1
        });
        owner.push(Some(number), rows);
    });
    let mut classes = vec![];
    for column in COLUMNS {
        let of = parted(&events.column(column.name), &owner, pieces.len());
        for (piece, series) in pieces.iter_mut().zip(&of) {
            if column.name == "time" {
                let times = || series.runs().iter().filter_map(|run| run.value());
                piece.span = times().min().zip(times().max()).unwrap_or_default();
            }
            if let Some((field, array)) = field(column, series, texts) {
                piece.fields.push(field);
                piece.columns.push(array);
            }
        }
        if ["seq", "class", "lost"].contains(&column.name) {
            classes.push(of);
        }
    }
    for (i, piece) in pieces.iter_mut().enumerate() {
        let columns: Vec<&[Run]> = classes.iter().map(|of| of[i].runs()).collect();
        stretches(&columns, |values, rows| {
            // In the order of the file: seq, class, lost.
            let [seq, class, lost] = [values[0], values[1], values[2]];
            let class = text(class).and_then(|class| Class::from_name(&class));
            let tally = Tally {
                class: class.unwrap_or(Class::Other).as_str(),
                events: lost.map_or(rows as u64, |lost| lost as u64),
                in_gap_rows: lost.map_or(0, |lost| lost as u64),
                seq: seq.unwrap_or_default(),
            };
            add(&mut piece.tallies, tally);
        });
    }
    Ok(pieces)
}

/// A column by whose the rows are, of which there are `count`.
fn parted(series: &Series, owner: &Series, count: usize) -> Vec<Series> {
    let mut parts: Vec<Series> = (0..count).map(|_| Series::default()).collect();
    stretches(&[owner.runs(), series.runs()], |values, rows| {
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
