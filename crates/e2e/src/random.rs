//! Moments that differ, and come again with the seed.

/// A small generator.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The one of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 to just below `limit`.
    pub const fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}
