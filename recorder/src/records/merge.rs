//! Puts the records of all CPUs into one order of time.
//!
//! Each source is in order; so the earliest record is always at the front of one of them. A record may be taken once no
//! source can bring an earlier one: when every one has been read after that time (the watermark).

use crate::records::decode;

/// The records of one CPU, in order.
pub trait Source {
    /// The first of those that have not been taken.
    fn peek(&self) -> Option<&[u8]>;

    /// Takes it.
    fn pass(&mut self);

    /// No more are taken for now.
    fn end(&mut self);
}

/// When the first record of a source was made.
fn time(source: &impl Source) -> Option<u64> {
    source
        .peek()
        .map(|record| decode::time(record).unwrap_or(0))
}

/// Records in memory, framed: a length of four bytes before each.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    at: usize,
}

impl Frames {
    /// Adds frames.
    pub fn extend(&mut self, frames: Vec<u8>) {
        if self.bytes.is_empty() {
            self.bytes = frames;
        } else {
            self.bytes.extend(frames);
        }
    }
}

/// Adds a frame to `bytes`.
pub fn frame(bytes: &mut Vec<u8>, record: &[u8]) {
    bytes.extend_from_slice(&(record.len() as u32).to_ne_bytes());
    bytes.extend_from_slice(record);
}

impl Source for Frames {
    fn peek(&self) -> Option<&[u8]> {
        let len = u32::from_ne_bytes(self.bytes.get(self.at..self.at + 4)?.try_into().ok()?);
        self.bytes.get(self.at + 4..)?.get(..len as usize)
    }

    fn pass(&mut self) {
        self.at += self.peek().map_or(0, |record| 4 + record.len());
    }

    fn end(&mut self) {
        self.bytes.drain(..self.at);
        self.at = 0;
    }
}

/// When the earliest record was made.
pub fn oldest(sources: &[impl Source]) -> Option<u64> {
    sources.iter().filter_map(time).min()
}

/// Gives `take` every record up to `watermark` (boot time, ns), in order of time.
pub fn drain<S: Source>(sources: &mut [S], watermark: u64, mut take: impl FnMut(&[u8])) {
    while let Some((first, until)) = earliest(sources, watermark) {
        // The source that is first stays first until it passes the next one.
        let source = &mut sources[first];
        while time(source).is_some_and(|time| time <= until) {
            let Some(record) = source.peek() else { break };
            take(record);
            source.pass();
        }
    }
    sources.iter_mut().for_each(Source::end);
}

/// The source with the earliest record, and up to when it stays the one.
fn earliest(sources: &[impl Source], watermark: u64) -> Option<(usize, u64)> {
    let mut times = sources
        .iter()
        .enumerate()
        .filter_map(|(i, source)| Some((time(source)?, i)));
    let mut first = times.next()?;
    let mut until = watermark;
    for next in times {
        let later = first.max(next);
        first = first.min(next);
        until = until.min(later.0);
    }
    (first.0 <= watermark).then_some((first.1, until))
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
    fn takes_in_order_of_time_up_to_the_watermark() {
        let mut sources: [Frames; 4] = Default::default();
        for (cpu, times) in [vec![1, 5, 9], vec![2, 3, 20], vec![], vec![4, 6, 7, 8]]
            .iter()
            .enumerate()
        {
            let ring = &mut sources[cpu].bytes;
            times.iter().for_each(|t| frame(ring, &record(*t)));
        }
        let mut seen = vec![];
        drain(&mut sources, 8, |r| seen.extend(decode::time(r)));
        assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7, 8]);
        frame(&mut sources[2].bytes, &record(15));
        assert_eq!(oldest(&sources), Some(9));
        drain(&mut sources, u64::MAX, |r| seen.extend(decode::time(r)));
        assert_eq!(seen[8..], [9, 15, 20]);
    }

    #[test]
    fn a_torn_frame_is_left_alone() {
        let mut sources = [Frames::default()];
        sources[0].extend(vec![200, 0, 0, 0, 1]);
        let mut n = 0;
        drain(&mut sources, u64::MAX, |_| n += 1);
        assert_eq!(n, 0);
    }
}
