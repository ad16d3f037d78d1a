//! Parquet's encodings of the values of a page, as pure functions. The format's Encodings.md describes them.

/// Appends a ULEB128 integer: seven bits per byte, low bits first.
fn varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Appends a signed integer as a zigzag ULEB128 integer: numbers near zero are short.
fn zigzag(n: i64, out: &mut Vec<u8>) {
    varint((n << 1 ^ n >> 63) as u64, out);
}

/// Packs values of `width` bits, low bits first.
fn pack(values: impl IntoIterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    let (mut bits, mut filled) = (0, 0);
    for value in values {
        bits |= value << filled;
        filled += width;
        if filled >= u64::BITS {
            out.extend_from_slice(&bits.to_le_bytes());
            filled -= u64::BITS;
            // The high bits that did not fit. If the value ended at the boundary, the shift is its whole width.
            bits = value.checked_shr(width - filled).unwrap_or(0);
        }
    }
    let rest = filled.div_ceil(8) as usize;
    out.extend_from_slice(&bits.to_le_bytes()[..rest]);
}

/// The RLE / bit-packing hybrid: runs of at least eight equal values, and bit-packed groups of eight values between
/// them.
pub(crate) struct HybridEncoder<'a> {
    bit_width: u32,
    /// Values for the next bit-packed groups.
    pending: Vec<u32>,
    /// The last value, and how often it was repeated.
    last: (u32, usize),
    out: &'a mut Vec<u8>,
}

impl HybridEncoder<'_> {
    /// Appends values of `bit_width` bits to `out`.
    pub(crate) fn new(bit_width: u32, out: &mut Vec<u8>) -> HybridEncoder<'_> {
        HybridEncoder {
            bit_width,
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
        // The run fills up the last bit-packed group of eight.
        let fill = (8 - self.pending.len() % 8) % 8;
        if count < 8 + fill {
            self.pending.resize(self.pending.len() + count, value);
            return;
        }
        self.pending.resize(self.pending.len() + fill, value);
        self.end_group();
        varint(((count - fill) as u64) << 1, self.out);
        let bytes = self.bit_width.div_ceil(8) as usize;
        self.out.extend_from_slice(&value.to_le_bytes()[..bytes]);
    }

    fn end_group(&mut self) {
        let groups = self.pending.len().div_ceil(8);
        if groups == 0 {
            return;
        }
        varint((groups as u64) << 1 | 1, self.out);
        let end = self.out.len() + groups * self.bit_width as usize;
        let values = self.pending.drain(..).map(u64::from);
        pack(values, self.bit_width, self.out);
        self.out.resize(end, 0);
    }

    /// Writes the pending values at the end of a page.
    pub(crate) fn finish(mut self) {
        self.end_run();
        self.end_group();
    }
}

/// Appends values in BYTE_STREAM_SPLIT encoding: the first byte of every value, then the second byte of every value,
/// and so on. A value has `value_bytes` bytes.
pub(crate) fn byte_stream_split(values: &[i64], value_bytes: usize, out: &mut Vec<u8>) {
    for byte in 0..value_bytes {
        let shift = byte * 8;
        out.extend(values.iter().map(|value| (value >> shift) as u8));
    }
}

/// The values of a block of DELTA_BINARY_PACKED, and of each of its miniblocks, which have widths of their own.
const BLOCK: usize = 128;
const MINIBLOCK: usize = 32;

/// Appends values in DELTA_BINARY_PACKED encoding: differences, each as wide as the widest of its miniblock.
pub(crate) fn delta_binary_packed(values: &[i64], out: &mut Vec<u8>) {
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
        let min_delta = block.iter().copied().min().unwrap_or(0);
        zigzag(min_delta, out);
        let relative = |delta: &i64| delta.wrapping_sub(min_delta) as u64;
        let width = |mini: &[i64]| {
            let all = mini.iter().map(relative).fold(0, |all, n| all | n);
            u64::BITS - all.leading_zeros()
        };
        let mut miniblocks = block.chunks(MINIBLOCK);
        out.extend(
            (0..BLOCK / MINIBLOCK).map(|_| miniblocks.next().map_or(0, |mini| width(mini) as u8)),
        );
        for mini in block.chunks(MINIBLOCK) {
            let bits = width(mini);
            let end = out.len() + MINIBLOCK * bits as usize / 8;
            pack(mini.iter().map(relative), bits, out);
            out.resize(end, 0);
        }
    }
}
