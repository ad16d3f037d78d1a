//! The events around the cursor of the player: slices of time that have been read, as many as memory allows.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema};
use arrow::error::ArrowError;

/// The name of the column with the rank of a failure, as [`crate::questions::failure`] has it.
pub(super) const FAILURE: &str = "ctrace failure";
/// The name of the column that is true for events at which the playback stops.
pub(super) const STOP: &str = "ctrace stop";

/// The most events of one slice. A slice with more is divided.
pub(super) const MAX_SLICE_ROWS: usize = 65_536;
/// The most events in memory, beyond the slices around the cursor.
const MAX_ROWS: usize = 131_072;

/// The position of an event in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EventKey {
    /// ns since 1970 UTC.
    pub(super) time: i64,
    pub(super) seq: i64,
}

impl EventKey {
    /// Returns the position before all events that began at `time` or later.
    pub(super) fn at(time: i64) -> EventKey {
        EventKey {
            time,
            seq: i64::MIN,
        }
    }
}

/// The place of an event in a [`Window`]: the start of its slice, and its row there. Places have the order of the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    slice: i64,
    row: usize,
}

/// The place that a search has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    At(Place),
    /// The slice that starts at this time must be read first.
    Unread(i64),
    /// There is no such event.
    Nothing,
}

/// The events of a slice of time, sorted by `time` and `seq`.
#[derive(Debug)]
pub(super) struct Slice {
    batch: RecordBatch,
    times: Int64Array,
    seqs: Int64Array,
    failures: Int64Array,
    stops: BooleanArray,
}

impl Slice {
    /// # Errors
    /// A column has another type than in a recording.
    pub(super) fn new(batch: RecordBatch) -> Result<Slice, ArrowError> {
        let column = |name: &str, ty: &DataType| {
            let column = batch.column_by_name(name);
            let missing = || ArrowError::SchemaError(format!("there is no column {name}"));
            cast(column.ok_or_else(missing)?, ty)
        };
        let numbers = |name: &str| {
            let column = column(name, &DataType::Int64)?;
            Ok::<_, ArrowError>(column.as_primitive::<Int64Type>().clone())
        };
        Ok(Slice {
            times: numbers("time")?,
            seqs: numbers("seq")?,
            failures: numbers(FAILURE)?,
            stops: column(STOP, &DataType::Boolean)?.as_boolean().clone(),
            batch,
        })
    }

    fn empty() -> Slice {
        Slice {
            batch: RecordBatch::new_empty(Arc::new(Schema::empty())),
            times: Int64Array::from(Vec::<i64>::new()),
            seqs: Int64Array::from(Vec::<i64>::new()),
            failures: Int64Array::from(Vec::<i64>::new()),
            stops: BooleanArray::from(Vec::<bool>::new()),
        }
    }

    fn len(&self) -> usize {
        self.batch.num_rows()
    }

    fn key(&self, row: usize) -> EventKey {
        EventKey {
            time: self.times.value(row),
            seq: self.seqs.value(row),
        }
    }

    /// Returns the first row that is not before `key`.
    fn first_from(&self, key: EventKey) -> usize {
        let (mut first, mut end) = (0, self.len());
        while first < end {
            let middle = first + (end - first) / 2;
            match self.key(middle) < key {
                true => first = middle + 1,
                false => end = middle,
            }
        }
        first
    }

    fn first_rows(&self, count: usize) -> Slice {
        Slice {
            batch: self.batch.slice(0, count),
            times: self.times.slice(0, count),
            seqs: self.seqs.slice(0, count),
            failures: self.failures.slice(0, count),
            stops: self.stops.slice(0, count),
        }
    }
}

/// A slice of time, up to `end`.
#[derive(Debug)]
struct Part {
    end: i64,
    /// `None`: not read.
    slice: Option<Slice>,
}

/// All slices of the time that is played, by their start. The events of some of them are in memory.
#[derive(Debug)]
pub(super) struct Window {
    parts: BTreeMap<i64, Part>,
}

impl Window {
    /// Creates a window of slices that follow each other, none of which has been read.
    pub(super) fn new(slices: &[(i64, i64)]) -> Window {
        let unread = |(start, end): &(i64, i64)| {
            let part = Part {
                end: *end,
                slice: None,
            };
            (*start, part)
        };
        Window {
            parts: slices.iter().map(unread).collect(),
        }
    }

    /// Returns the same slices of time, none of which has been read.
    pub(super) fn unread(&self) -> Window {
        let slices: Vec<_> = self.parts.iter().map(|(s, part)| (*s, part.end)).collect();
        Window::new(&slices)
    }

    /// Returns the first and the last time of the slice that starts at `start`.
    pub(super) fn slice(&self, start: i64) -> Option<(i64, i64)> {
        Some((start, self.parts.get(&start)?.end))
    }

    /// Stores the events of the slice that starts at `start`. If they are `limit` or more, there may be others: the slice is
    /// divided at the time of the last one.
    pub(super) fn fill(&mut self, start: i64, slice: Slice, limit: usize) {
        let Some(part) = self.parts.get_mut(&start) else {
            return;
        };
        let count = slice.len();
        if count < limit || count == 0 {
            part.slice = Some(slice);
            return;
        }
        let last = slice.key(count - 1).time;
        let kept = slice.first_from(EventKey::at(last));
        let rest = Part {
            end: part.end,
            slice: None,
        };
        // So many events of one time are in one slice.
        let (kept, next) = match kept {
            0 => (count, last.saturating_add(1)),
            kept => (kept, last),
        };
        part.slice = Some(slice.first_rows(kept));
        if next <= rest.end && next > start {
            part.end = next - 1;
            self.parts.insert(next, rest);
        }
    }

    /// Treats a slice that cannot be read as one without events.
    pub(super) fn pass_over(&mut self, start: i64) {
        if let Some(part) = self.parts.get_mut(&start) {
            part.slice = Some(Slice::empty());
        }
    }

    /// Forgets the slices that are farthest from `place`, if there are too many events in memory.
    pub(super) fn bound(&mut self, place: Place) {
        let size = |part: &Part| part.slice.as_ref().map_or(0, Slice::len);
        let mut rows: usize = self.parts.values().map(size).sum();
        let near = |start: i64| {
            let before = self.parts.range(..place.slice).next_back();
            let after = self.parts.range((Excluded(place.slice), Unbounded)).next();
            let sides = before.into_iter().chain(after).any(|(s, _)| *s == start);
            start == place.slice || sides
        };
        let read = self.parts.iter().filter(|(_, part)| size(part) > 0);
        let mut far: Vec<_> = read
            .map(|(start, part)| (start.abs_diff(place.slice), *start, size(part)))
            .filter(|(_, start, _)| !near(*start))
            .collect();
        far.sort_unstable();
        while rows > MAX_ROWS
            && let Some((_, start, size)) = far.pop()
        {
            rows -= size;
            if let Some(part) = self.parts.get_mut(&start) {
                part.slice = None;
            }
        }
    }

    /// Returns the first event that is not before `key`.
    pub(super) fn first_from(&self, key: EventKey) -> Found {
        let holds = self.parts.range(..=key.time).next_back();
        let Some((start, part)) = holds.or_else(|| self.parts.iter().next()) else {
            return Found::Nothing;
        };
        let Some(slice) = &part.slice else {
            return Found::Unread(*start);
        };
        match slice.first_from(key) {
            row if row < slice.len() => Found::At(Place { slice: *start, row }),
            _ => self.first_after(*start),
        }
    }

    /// Returns the last event.
    pub(super) fn last(&self) -> Found {
        self.last_of(self.parts.iter().rev())
    }

    /// Returns the event after `place`.
    pub(super) fn next(&self, place: Place) -> Found {
        let Some(slice) = self.read(place.slice) else {
            return Found::Unread(place.slice);
        };
        match place.row + 1 < slice.len() {
            true => Found::At(Place {
                row: place.row + 1,
                ..place
            }),
            false => self.first_after(place.slice),
        }
    }

    /// Returns the event before `place`.
    pub(super) fn previous(&self, place: Place) -> Found {
        match place.row.checked_sub(1) {
            Some(row) => Found::At(Place { row, ..place }),
            None => self.last_of(self.parts.range(..place.slice).rev()),
        }
    }

    /// Returns the slice after that of `place`, if it has not been read.
    pub(super) fn unread_after(&self, place: Place) -> Option<i64> {
        let after = self.parts.range((Excluded(place.slice), Unbounded)).next();
        after.and_then(|(start, part)| part.slice.is_none().then_some(*start))
    }

    fn first_after(&self, start: i64) -> Found {
        for (start, part) in self.parts.range((Excluded(start), Unbounded)) {
            match &part.slice {
                None => return Found::Unread(*start),
                Some(slice) if slice.len() > 0 => {
                    return Found::At(Place {
                        slice: *start,
                        row: 0,
                    });
                }
                Some(_) => {}
            }
        }
        Found::Nothing
    }

    fn last_of<'a>(&self, parts: impl Iterator<Item = (&'a i64, &'a Part)>) -> Found {
        for (start, part) in parts {
            match &part.slice {
                None => return Found::Unread(*start),
                Some(slice) if slice.len() > 0 => {
                    return Found::At(Place {
                        slice: *start,
                        row: slice.len() - 1,
                    });
                }
                Some(_) => {}
            }
        }
        Found::Nothing
    }

    fn read(&self, start: i64) -> Option<&Slice> {
        self.parts.get(&start)?.slice.as_ref()
    }

    fn with<T>(&self, place: Place, value: impl FnOnce(&Slice, usize) -> T) -> Option<T> {
        let slice = self.read(place.slice)?;
        (place.row < slice.len()).then(|| value(slice, place.row))
    }

    /// Returns the position of an event in the order of time.
    pub(super) fn key(&self, place: Place) -> Option<EventKey> {
        self.with(place, Slice::key)
    }

    /// Returns an event as a batch of one row.
    pub(super) fn event(&self, place: Place) -> Option<RecordBatch> {
        self.with(place, |slice, row| slice.batch.slice(row, 1))
    }

    /// Returns the rank of a failure, from 1; `None`: no failure.
    pub(super) fn failure(&self, place: Place) -> Option<i64> {
        let rank = |slice: &Slice, row| {
            let ranks = &slice.failures;
            ranks.is_valid(row).then(|| ranks.value(row))
        };
        self.with(place, rank).flatten()
    }

    /// Returns whether the playback stops at an event.
    pub(super) fn stops(&self, place: Place) -> bool {
        let stops = |slice: &Slice, row| slice.stops.is_valid(row) && slice.stops.value(row);
        self.with(place, stops).unwrap_or(false)
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use arrow::array::ArrayRef;

    use super::*;

    /// Returns a slice of events at `times`, with equal numbers. Each third event is a failure of rank 1.
    pub(in crate::replay) fn slice(times: &[i64]) -> Slice {
        let numbers = |values: Vec<Option<i64>>| Arc::new(Int64Array::from(values)) as ArrayRef;
        let all =
            |value: fn(i64) -> Option<i64>| numbers(times.iter().map(|t| value(*t)).collect());
        let stops = times.iter().map(|time| Some(time % 50 == 49));
        let stops: ArrayRef = Arc::new(stops.collect::<BooleanArray>());
        let columns = [
            ("time", all(Some)),
            ("seq", all(Some)),
            (FAILURE, all(|time| (time % 3 == 0).then_some(1))),
            (STOP, stops),
        ];
        Slice::new(RecordBatch::try_from_iter(columns).unwrap()).unwrap()
    }

    fn times(window: &Window) -> Vec<i64> {
        let mut all = vec![];
        let mut found = window.first_from(EventKey::at(i64::MIN));
        while let Found::At(place) = found {
            all.push(window.key(place).unwrap().time);
            found = window.next(place);
        }
        all
    }

    #[test]
    fn events_follow_each_other_across_slices() {
        let mut window = Window::new(&[(0, 9), (10, 19), (20, 29)]);
        assert_eq!(window.first_from(EventKey::at(12)), Found::Unread(10));
        window.fill(0, slice(&[1, 5]), 100);
        window.fill(10, slice(&[]), 100);
        window.fill(20, slice(&[20, 25]), 100);
        assert_eq!(times(&window), [1, 5, 20, 25]);
        let Found::At(last) = window.last() else {
            panic!("{window:?}")
        };
        let mut back = vec![25];
        let mut place = last;
        while let Found::At(previous) = window.previous(place) {
            place = previous;
            back.push(window.key(place).unwrap().time);
        }
        assert_eq!(back, [25, 20, 5, 1]);
        assert_eq!(window.first_from(EventKey::at(26)), Found::Nothing);
        // An event between two slices is the first of the next one.
        let Found::At(place) = window.first_from(EventKey::at(6)) else {
            panic!("{window:?}")
        };
        assert_eq!(window.key(place).unwrap().time, 20);
    }

    #[test]
    fn a_slice_with_too_many_events_is_divided() {
        let mut window = Window::new(&[(0, 99)]);
        window.fill(0, slice(&[1, 2, 3, 3]), 4);
        assert_eq!(times(&window), [1, 2]);
        let Found::At(last) = window.first_from(EventKey::at(2)) else {
            panic!("{window:?}")
        };
        assert_eq!(window.next(last), Found::Unread(3));
        assert_eq!(window.slice(3), Some((3, 99)));
        window.fill(3, slice(&[3, 3, 3, 3]), 4);
        assert_eq!(window.slice(3), Some((3, 3)));
        window.fill(4, slice(&[7]), 4);
        assert_eq!(times(&window), [1, 2, 3, 3, 3, 3, 7]);
    }

    #[test]
    fn slices_far_from_the_cursor_are_forgotten() {
        let slices: Vec<(i64, i64)> = (0..10).map(|i| (i * 50_000, i * 50_000 + 49_999)).collect();
        let mut window = Window::new(&slices);
        for (start, end) in &slices {
            window.fill(*start, slice(&(*start..=*end).collect::<Vec<_>>()), 100_000);
        }
        window.bound(Place {
            slice: 200_000,
            row: 0,
        });
        let read: Vec<i64> = slices
            .iter()
            .map(|s| s.0)
            .filter(|s| window.read(*s).is_some())
            .collect();
        // The slices beside that of the cursor stay, and nothing else has room.
        assert_eq!(read, [150_000, 200_000, 250_000]);
    }
}
