//! Parquet's encodings of values within a page: pure, as the format's Encodings.md describes them.

/// A variable-length integer: seven bits a byte, the low ones first.
pub(crate) fn varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// A signed one: small numbers of either sign are short.
fn zigzag(n: i64, out: &mut Vec<u8>) {
    varint((n << 1 ^ n >> 63) as u64, out);
}

/// Packs values of `width` bits, the low bits first.
fn pack(values: impl IntoIterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    let (mut bits, mut filled) = (0, 0);
    for value in values {
        bits |= value << filled;
        filled += width;
        if filled >= u64::BITS {
            out.extend_from_slice(&bits.to_le_bytes());
            filled -= u64::BITS;
            // What did not fit; all of it did where nothing is left.
            bits = value.checked_shr(width - filled).unwrap_or(0);
        }
    }
    let rest = filled.div_ceil(8) as usize;
    out.extend_from_slice(&bits.to_le_bytes()[..rest]);
}

/// RLE: runs, and bit-packed groups of eight between them. A run is at least eight of the same value.
pub(crate) struct Hybrid<'a> {
    width: u32,
    /// Not part of a run yet.
    pending: Vec<u32>,
    last: (u32, usize),
    out: &'a mut Vec<u8>,
}

impl Hybrid<'_> {
    /// Writes values of `width` bits to `out`.
    pub(crate) fn new(width: u32, out: &mut Vec<u8>) -> Hybrid<'_> {
        Hybrid {
            width,
            pending: vec![],
            last: (0, 0),
            out,
        }
    }

    /// Adds `value`, `count` times.
    pub(crate) fn push(&mut self, value: u32, count: usize) {
        if self.last.0 == value {
            self.last.1 += count;
        } else {
            self.end_run();
            self.last = (value, count);
        }
    }

    fn end_run(&mut self) {
        let (value, count) = std::mem::take(&mut self.last);
        // Packed groups are of eight: the run fills up the last one.
        let fill = (8 - self.pending.len() % 8) % 8;
        if count < 8 + fill {
            self.pending.resize(self.pending.len() + count, value);
            return;
        }
        self.pending.resize(self.pending.len() + fill, value);
        self.end_group();
        varint(((count - fill) as u64) << 1, self.out);
        let bytes = self.width.div_ceil(8) as usize;
        self.out.extend_from_slice(&value.to_le_bytes()[..bytes]);
    }

    fn end_group(&mut self) {
        let groups = self.pending.len().div_ceil(8);
        if groups == 0 {
            return;
        }
        varint((groups as u64) << 1 | 1, self.out);
        let end = self.out.len() + groups * self.width as usize;
        let values = self.pending.drain(..).map(u64::from);
        pack(values, self.width, self.out);
        self.out.resize(end, 0);
    }

    /// Ends the page.
    pub(crate) fn finish(mut self) {
        self.end_run();
        self.end_group();
    }
}

/// BYTE_STREAM_SPLIT: the first byte of every value, then the second of every one, ... `bytes` to each.
pub(crate) fn split(values: &[i64], bytes: usize, out: &mut Vec<u8>) {
    for byte in 0..bytes {
        let shift = byte * 8;
        out.extend(values.iter().map(|value| (value >> shift) as u8));
    }
}

/// Values to a block of DELTA_BINARY_PACKED, and to each of its miniblocks, which has a width of its own.
const BLOCK: usize = 128;
const MINIBLOCK: usize = 32;

/// DELTA_BINARY_PACKED: the differences, as narrow as those around them allow.
pub(crate) fn delta(values: &[i64], out: &mut Vec<u8>) {
    varint(BLOCK as u64, out);
    varint((BLOCK / MINIBLOCK) as u64, out);
    varint(values.len() as u64, out);
    zigzag(values.first().copied().unwrap_or(0), out);
    let mut deltas = [0; BLOCK];
    for from in (1..values.len()).step_by(BLOCK) {
        let pairs = values[from - 1..].windows(2).take(BLOCK);
        let block = &mut deltas[..pairs.len()];
        for (delta, pair) in block.iter_mut().zip(pairs) {
            *delta = pair[1].wrapping_sub(pair[0]);
        }
        let least = block.iter().copied().min().unwrap_or(0);
        zigzag(least, out);
        let above = |delta: &i64| delta.wrapping_sub(least) as u64;
        let width = |mini: &[i64]| {
            let all = mini.iter().map(above).fold(0, |all, n| all | n);
            u64::BITS - all.leading_zeros()
        };
        let mut minis = block.chunks(MINIBLOCK);
        out.extend(
            (0..BLOCK / MINIBLOCK).map(|_| minis.next().map_or(0, |mini| width(mini) as u8)),
        );
        for mini in block.chunks(MINIBLOCK) {
            let bits = width(mini);
            let end = out.len() + MINIBLOCK * bits as usize / 8;
            pack(mini.iter().map(above), bits, out);
            out.resize(end, 0);
        }
    }
}
