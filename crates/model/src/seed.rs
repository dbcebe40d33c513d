//! Seeds: derived from what a cell computes, never from the sweep that asks for
//! it.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use blake3::Hasher;
use serde_json::{Value, json};

use crate::id::{CellDigest, Replicate};

/// The seeds of the built-in trainer stay below 2^53, so that every JSON reader
/// keeps them exactly.
pub const SEED_BITS: u32 = 53;

/// The seeds of programs stay below 2^31: NumPy takes no more than 32 bits, and
/// many libraries take a signed integer of 32 bits.
pub const PROGRAM_SEED_BITS: u32 = 31;

const PROGRAM_SEEDS: u64 = 1 << PROGRAM_SEED_BITS;

/// How the replicates of a cell get their seeds. A cell's spec says it, under
/// `trainer.seeds`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Seeds {
    /// Hashes of cell and replicate, below 2^53: the built-in trainer, and
    /// programs of sweeps from before there were other seeds.
    #[default]
    Wide,
    /// Below 2^31, and no two replicates of a cell have the same.
    Distinct,
    /// The same, but alike in all cells: replicates of different cells form
    /// pairs.
    Common,
    /// From a first one in equal steps.
    Steps {
        /// The seed of the first replicate.
        from: i64,
        /// From one replicate to the next; not 0.
        step: i64,
    },
    /// These, one per replicate.
    Listed(Vec<u32>),
}

impl Seeds {
    /// These seeds, in order; `None` unless they are different and below 2^31.
    /// Seeds in equal steps are told by their first one and the step, so that a
    /// longer list leaves the cell its name.
    pub fn listed(seeds: &[u64]) -> Option<Self> {
        let small = |seed: &u64| {
            u32::try_from(*seed)
                .ok()
                .filter(|it| u64::from(*it) < PROGRAM_SEEDS)
        };
        let seeds: Vec<u32> = seeds.iter().map(small).collect::<Option<_>>()?;
        let different: BTreeSet<&u32> = seeds.iter().collect();
        let first = i64::from(*seeds.first()?);
        if different.len() < seeds.len() {
            return None;
        }
        let step = seeds.get(1).map_or(1, |next| i64::from(*next) - first);
        let even =
            (seeds.iter().zip(0_i64..)).all(|(seed, n)| i64::from(*seed) == first + n * step);
        Some(if even {
            Self::Steps { from: first, step }
        } else {
            Self::Listed(seeds)
        })
    }

    /// Reads what stands under `trainer.seeds`.
    ///
    /// # Errors
    ///
    /// What it must be.
    pub fn from_value(value: &Value) -> Result<Self, &'static str> {
        const WANTED: &str = "must be \"distinct\", \"common\" or a list of different whole \
                              numbers below 2147483648";
        match value {
            Value::String(word) if word == "distinct" => Ok(Self::Distinct),
            Value::String(word) if word == "common" => Ok(Self::Common),
            Value::Array(items) => {
                let seeds: Option<Vec<u64>> = items.iter().map(Value::as_u64).collect();
                seeds.and_then(|seeds| Self::listed(&seeds)).ok_or(WANTED)
            }
            Value::Object(entries) if entries.len() == 2 => {
                let get = |name| entries.get(name).and_then(Value::as_i64);
                match (get("from"), get("step")) {
                    (Some(from), Some(step))
                        if (0..1 << PROGRAM_SEED_BITS).contains(&from) && step != 0 =>
                    {
                        Ok(Self::Steps { from, step })
                    }
                    _ => Err(WANTED),
                }
            }
            _ => Err(WANTED),
        }
    }

    /// As [`Seeds::from_value`] reads it; nothing for [`Seeds::Wide`].
    pub fn to_value(&self) -> Option<Value> {
        match self {
            Self::Wide => None,
            Self::Distinct => Some(json!("distinct")),
            Self::Common => Some(json!("common")),
            Self::Steps { from, step } => Some(json!({ "from": from, "step": step })),
            Self::Listed(seeds) => Some(json!(seeds)),
        }
    }

    /// How the cell with this spec does it.
    pub fn of(spec: &Value) -> Self {
        let seeds = spec.get("trainer").and_then(|trainer| trainer.get("seeds"));
        seeds
            .and_then(|seeds| Self::from_value(seeds).ok())
            .unwrap_or_default()
    }

    /// How the cell does it whose spec is this text.
    pub fn in_text(spec: &str) -> Self {
        // Most specs say nothing of it, and a submit has many.
        if !spec.contains("\"seeds\":") {
            return Self::Wide;
        }
        serde_json::from_str(spec).map_or(Self::Wide, |spec| Self::of(&spec))
    }

    /// The seed of one replicate of a cell.
    ///
    /// The same cell in two sweeps has the same seeds, so its jobs are shared.
    /// Replicates beyond a list get seeds as if there were none.
    pub fn seed(&self, cell: CellDigest, replicate: Replicate) -> u64 {
        let place = u64::from(replicate.0).saturating_sub(1);
        let known = match self {
            Self::Wide => return wide(cell, replicate),
            Self::Distinct => None,
            Self::Common => return distinct(CellDigest::from_bytes([0; 32]), replicate),
            Self::Steps { from, step } => (place as i64)
                .checked_mul(*step)
                .and_then(|far| far.checked_add(*from))
                .and_then(|seed| u64::try_from(seed).ok())
                .filter(|seed| *seed < PROGRAM_SEEDS),
            Self::Listed(seeds) => seeds.get(place as usize).map(|seed| u64::from(*seed)),
        };
        known.unwrap_or_else(|| distinct(cell, replicate))
    }
}

fn wide(cell: CellDigest, replicate: Replicate) -> u64 {
    // To derive the key takes as long as the rest.
    static CONTEXT: LazyLock<Hasher> = LazyLock::new(|| Hasher::new_derive_key("swath seed v1"));
    let mut hasher = CONTEXT.clone();
    hasher.update(cell.as_bytes());
    hasher.update(&replicate.0.to_le_bytes());
    first_bytes(&hasher) >> (64 - SEED_BITS)
}

/// A permutation of the numbers below 2^31, moved on by a number that depends on
/// the cell: different replicates cannot get the same seed.
fn distinct(cell: CellDigest, replicate: Replicate) -> u64 {
    const MASK: u64 = PROGRAM_SEEDS - 1;
    static CONTEXT: LazyLock<Hasher> =
        LazyLock::new(|| Hasher::new_derive_key("swath program seed v1"));
    let mut hasher = CONTEXT.clone();
    hasher.update(cell.as_bytes());
    let key = first_bytes(&hasher);
    let mut mixed = (key >> 32).wrapping_add(u64::from(replicate.0)) & MASK;
    // Each step can be undone: a shifted copy of the high bits, and a product
    // with an odd number.
    for factor in [0x7feb_352d, 0x846c_a68b] {
        mixed ^= mixed >> 16;
        mixed = mixed.wrapping_mul(factor) & MASK;
    }
    (mixed ^ (mixed >> 15)).wrapping_add(key) & MASK
}

fn first_bytes(hasher: &Hasher) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn seeds_differ_by_replicate_and_stay() {
        let cell = CellDigest::from_bytes([7; 32]);
        let first = Seeds::Wide.seed(cell, Replicate(1));
        assert_eq!(first, 2_130_207_053_862_554);
        assert_ne!(first, Seeds::Wide.seed(cell, Replicate(2)));
        assert!(first < 1 << SEED_BITS);
        let small = [1, 2, 3].map(|number| Seeds::Distinct.seed(cell, Replicate(number)));
        assert_eq!(small, [1_256_621_734, 1_350_811_403, 531_249_270]);
    }

    #[test]
    fn a_list_in_equal_steps_may_grow() {
        let three = Seeds::listed(&[0, 1, 2]);
        assert_eq!(three, Seeds::listed(&[0, 1, 2, 3]));
        assert_eq!(
            Seeds::listed(&[42]),
            Some(Seeds::Steps { from: 42, step: 1 })
        );
        let odd = Seeds::listed(&[42, 1337, 7]).unwrap();
        let cell = CellDigest::from_bytes([1; 32]);
        let seeds: Vec<u64> = (1..=3).map(|n| odd.seed(cell, Replicate(n))).collect();
        assert_eq!(seeds, [42, 1337, 7]);
        for wrong in [&[1, 1][..], &[], &[1 << 31], &[u64::MAX, 4]] {
            assert_eq!(Seeds::listed(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn common_seeds_are_alike_in_all_cells() {
        let [one, other] = [1, 2].map(|byte| CellDigest::from_bytes([byte; 32]));
        for number in 1..100 {
            let replicate = Replicate(number);
            let common = Seeds::Common.seed(one, replicate);
            assert_eq!(common, Seeds::Common.seed(other, replicate));
            assert_ne!(
                Seeds::Distinct.seed(one, replicate),
                Seeds::Distinct.seed(other, replicate)
            );
        }
    }

    proptest! {
        #[test]
        fn no_two_replicates_of_a_program_share_a_seed(cell: [u8; 32], from in 1..u32::MAX - 5000) {
            let cell = CellDigest::from_bytes(cell);
            for seeds in [Seeds::Distinct, Seeds::Common] {
                let all: BTreeSet<u64> = (from..from + 5000)
                    .map(|number| seeds.seed(cell, Replicate(number)))
                    .collect();
                prop_assert_eq!(all.len(), 5000);
                prop_assert!(all.iter().all(|seed| *seed < 1 << PROGRAM_SEED_BITS));
            }
        }

        #[test]
        fn what_is_written_is_read(seeds in proptest::collection::btree_set(0..1_u64 << 31, 1..6)) {
            let seeds = Seeds::listed(&seeds.into_iter().collect::<Vec<_>>()).unwrap();
            let spec = json!({ "trainer": { "seeds": seeds.to_value() } });
            prop_assert_eq!(Seeds::in_text(&spec.to_string()), seeds);
        }
    }
}
