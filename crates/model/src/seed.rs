//! Seeds: derived from what a cell computes, never from the sweep that asks for
//! it.

use std::sync::LazyLock;

use blake3::Hasher;

use crate::id::{CellDigest, Replicate};

/// Seeds stay below 2^53, so that every JSON reader keeps them exactly.
pub const SEED_BITS: u32 = 53;

/// The seed of one replicate of a cell.
///
/// The same cell in two sweeps has the same seeds, so its jobs are shared.
pub fn seed(cell: CellDigest, replicate: Replicate) -> u64 {
    // To derive the key takes as long as the rest.
    static CONTEXT: LazyLock<Hasher> = LazyLock::new(|| Hasher::new_derive_key("swath seed v1"));
    let mut hasher = CONTEXT.clone();
    hasher.update(cell.as_bytes());
    hasher.update(&replicate.0.to_le_bytes());
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(bytes) >> (64 - SEED_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ_by_replicate_and_stay() {
        let cell = CellDigest::from_bytes([7; 32]);
        let first = seed(cell, Replicate(1));
        assert_ne!(first, seed(cell, Replicate(2)));
        assert_eq!(first, seed(cell, Replicate(1)));
        assert!(first < 1 << SEED_BITS);
    }
}
