//! Merges the records of all CPUs into one order of time.
//!
//! Each source is sorted by time, so the earliest record is always the first record of one of the sources. A record can
//! be emitted once no source can deliver an earlier one: when all sources have been read after the record's time. The
//! time up to which that holds is the watermark.

use crate::records::decode;

/// The records of one CPU in order of time.
pub(crate) trait Source {
    /// Returns the first unread record.
    fn peek(&self) -> Option<&[u8]>;

    /// Skips the first unread record.
    fn advance(&mut self);

    /// Frees the space of the records that were read.
    fn release(&mut self);
}

/// Returns the time of the first unread record; 0 if the record is too short to have a time.
fn time(source: &impl Source) -> Option<u64> {
    source
        .peek()
        .map(|record| decode::time(record).unwrap_or(0))
}

/// Records in memory, framed: each is preceded by its length (four bytes, native byte order).
#[derive(Debug, Default)]
pub(crate) struct FramedRecords {
    bytes: Vec<u8>,
    read_pos: usize,
}

impl FramedRecords {
    pub(crate) fn extend(&mut self, frames: Vec<u8>) {
        if self.bytes.is_empty() {
            self.bytes = frames;
        } else {
            self.bytes.extend(frames);
        }
    }
}

/// Appends a record to `bytes`, framed.
pub(crate) fn append_framed(bytes: &mut Vec<u8>, record: &[u8]) {
    bytes.extend_from_slice(&(record.len() as u32).to_ne_bytes());
    bytes.extend_from_slice(record);
}

impl Source for FramedRecords {
    fn peek(&self) -> Option<&[u8]> {
        let len = u32::from_ne_bytes(
            self.bytes
                .get(self.read_pos..self.read_pos + 4)?
                .try_into()
                .ok()?,
        );
        self.bytes.get(self.read_pos + 4..)?.get(..len as usize)
    }

    fn advance(&mut self) {
        self.read_pos += self.peek().map_or(0, |record| 4 + record.len());
    }

    fn release(&mut self) {
        self.bytes.drain(..self.read_pos);
        self.read_pos = 0;
    }
}

/// Returns the time of the earliest unread record of all sources. Records of user memory have an earlier time than that
/// at which they were written, so a source that begins with one does not count.
pub(crate) fn oldest(sources: &[impl Source]) -> Option<u64> {
    let timed = |source: &&_| !Source::peek(*source).is_some_and(decode::is_data);
    sources.iter().filter(timed).filter_map(time).min()
}

/// Passes every record up to `watermark_ns` (boot time) to `emit`, in order of time.
pub(crate) fn drain<S: Source>(sources: &mut [S], watermark_ns: u64, mut emit: impl FnMut(&[u8])) {
    while let Some((first, until)) = earliest(sources, watermark_ns) {
        // This source has the earliest records until its time exceeds that of the next source.
        let source = &mut sources[first];
        while time(source).is_some_and(|time| time <= until) {
            let Some(record) = source.peek() else { break };
            emit(record);
            source.advance();
        }
    }
    sources.iter_mut().for_each(Source::release);
}

/// Returns the index of the source with the earliest record, and the time up to which its records precede those of all
/// other sources. None: no record is at or before the watermark.
fn earliest(sources: &[impl Source], watermark_ns: u64) -> Option<(usize, u64)> {
    let mut times = sources
        .iter()
        .enumerate()
        .filter_map(|(i, source)| Some((time(source)?, i)));
    let mut first = times.next()?;
    let mut until = watermark_ns;
    for next in times {
        let later = first.max(next);
        first = first.min(next);
        until = until.min(later.0);
    }
    (first.0 <= watermark_ns).then_some((first.1, until))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(time: u64) -> Vec<u8> {
        let mut r = time.to_ne_bytes().to_vec();
        r.resize(16, 0);
        r
    }

    #[test]
    fn records_are_emitted_in_order_of_time_up_to_the_watermark() {
        let mut sources: [FramedRecords; 4] = Default::default();
        for (cpu, times) in [vec![1, 5, 9], vec![2, 3, 20], vec![], vec![4, 6, 7, 8]]
            .iter()
            .enumerate()
        {
            let ring = &mut sources[cpu].bytes;
            times.iter().for_each(|t| append_framed(ring, &record(*t)));
        }
        let mut seen = vec![];
        drain(&mut sources, 8, |r| seen.extend(decode::time(r)));
        assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7, 8]);
        append_framed(&mut sources[2].bytes, &record(15));
        assert_eq!(oldest(&sources), Some(9));
        drain(&mut sources, u64::MAX, |r| seen.extend(decode::time(r)));
        assert_eq!(seen[8..], [9, 15, 20]);
    }

    #[test]
    fn an_incomplete_frame_is_not_emitted() {
        let mut sources = [FramedRecords::default()];
        sources[0].extend(vec![200, 0, 0, 0, 1]);
        let mut n = 0;
        drain(&mut sources, u64::MAX, |_| n += 1);
        assert_eq!(n, 0);
    }
}
