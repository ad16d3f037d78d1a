//! Puts the rings of all CPUs into one order of time.
//!
//! Each ring is in order; so the earliest record is always at the front of one of them. A record may be taken once no
//! ring can bring an earlier one: when every ring has been read after that time (the watermark).

use crate::decode;

/// The records of one ring that have not been taken yet. Framed: a length of four bytes before each record.
#[derive(Debug, Default)]
struct Ring {
    bytes: Vec<u8>,
    at: usize,
}

impl Ring {
    fn peek(&self) -> Option<&[u8]> {
        let len = u32::from_ne_bytes(self.bytes.get(self.at..self.at + 4)?.try_into().ok()?);
        self.bytes.get(self.at + 4..)?.get(..len as usize)
    }

    fn time(&self) -> Option<u64> {
        self.peek().map(|record| decode::time(record).unwrap_or(0))
    }
}

/// Rings by CPU.
#[derive(Debug, Default)]
pub struct Merge {
    rings: Vec<Ring>,
}

impl Merge {
    /// Where the records of `cpu` go, framed.
    pub fn ring(&mut self, cpu: usize) -> &mut Vec<u8> {
        if self.rings.len() <= cpu {
            self.rings.resize_with(cpu + 1, Ring::default);
        }
        &mut self.rings[cpu].bytes
    }

    /// Adds a frame to `bytes`.
    pub fn push(bytes: &mut Vec<u8>, record: &[u8]) {
        bytes.extend_from_slice(&(record.len() as u32).to_ne_bytes());
        bytes.extend_from_slice(record);
    }

    /// Gives `take` every record up to `watermark` (boot time, ns), in order of time.
    pub fn drain(&mut self, watermark: u64, mut take: impl FnMut(&[u8])) {
        while let Some((first, until)) = self.earliest(watermark) {
            // The ring that is first stays first until it passes the next one.
            let ring = &mut self.rings[first];
            while ring.time().is_some_and(|time| time <= until) {
                let Some(record) = ring.peek() else { break };
                take(record);
                ring.at += 4 + record.len();
            }
        }
        for ring in &mut self.rings {
            ring.bytes.drain(..ring.at);
            ring.at = 0;
        }
    }

    /// When the earliest record was made.
    pub fn oldest(&self) -> Option<u64> {
        self.rings.iter().filter_map(Ring::time).min()
    }

    /// The ring with the earliest record, and up to when it stays the one.
    fn earliest(&self, watermark: u64) -> Option<(usize, u64)> {
        let mut times = self
            .rings
            .iter()
            .enumerate()
            .filter_map(|(i, ring)| Some((ring.time()?, i)));
        let mut first = times.next()?;
        let mut until = watermark;
        for next in times {
            let later = first.max(next);
            first = first.min(next);
            until = until.min(later.0);
        }
        (first.0 <= watermark).then_some((first.1, until))
    }
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
        let mut merge = Merge::default();
        for (cpu, times) in [vec![1, 5, 9], vec![2, 3, 20], vec![], vec![4, 6, 7, 8]]
            .iter()
            .enumerate()
        {
            let ring = merge.ring(cpu);
            times.iter().for_each(|t| Merge::push(ring, &record(*t)));
        }
        let mut seen = vec![];
        merge.drain(8, |r| seen.extend(decode::time(r)));
        assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7, 8]);
        Merge::push(merge.ring(2), &record(15));
        merge.drain(u64::MAX, |r| seen.extend(decode::time(r)));
        assert_eq!(seen[8..], [9, 15, 20]);
    }

    #[test]
    fn a_torn_frame_is_left_alone() {
        let mut merge = Merge::default();
        merge.ring(0).extend_from_slice(&[200, 0, 0, 0, 1]);
        let mut n = 0;
        merge.drain(u64::MAX, |_| n += 1);
        assert_eq!(n, 0);
    }
}
