//! Random numbers that are the same in every run.

/// Knuth's MMIX generator, so that a failure can be repeated. The value is the seed.
pub(crate) struct Random(pub u64);

impl Random {
    /// Returns the next number below `limit`, which is at most 2^31.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}
