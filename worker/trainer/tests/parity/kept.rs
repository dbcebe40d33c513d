//! Which values of a tensor the fixtures keep.
//!
//! NumPy drew them: the first 96 of `default_rng(seed).permutation(size)`, with
//! a seed from the tensor's name. So this repeats what NumPy does in between:
//! `SeedSequence`, PCG64 (O'Neill 2014), and the shuffle of Fisher and Yates
//! from the end, which draws a number again while it is too large.

use std::array;

use sha2::{Digest, Sha256};

/// How many values are kept of a larger tensor.
const KEPT: usize = 96;

/// The places of the kept values of a tensor, in order.
pub(crate) fn places(name: &str, size: usize) -> Vec<usize> {
    if size <= KEPT {
        return (0..size).collect();
    }
    let digest = Sha256::digest(name.as_bytes());
    let seed = u32::from_be_bytes(array::from_fn(|index| digest[index]));
    let mut order: Vec<usize> = (0..size).collect();
    let mut generator = Pcg64::seeded(seed);
    for last in (1..size).rev() {
        order.swap(last, generator.at_most(last as u32) as usize);
    }
    order.truncate(KEPT);
    order.sort_unstable();
    order
}

/// One multiplicative hash of `SeedSequence`; updates its multiplier.
fn hash(value: u32, multiplier: &mut u32, step: u32) -> u32 {
    let value = value ^ *multiplier;
    *multiplier = multiplier.wrapping_mul(step);
    let value = value.wrapping_mul(*multiplier);
    value ^ (value >> 16)
}

/// The first four words of `SeedSequence(seed).generate_state(4, uint64)`.
fn seed_words(seed: u32) -> [u64; 4] {
    let mut multiplier = 0x43b0_d7e5;
    let mut hashed = |value| hash(value, &mut multiplier, 0x931e_8875);
    let mut pool = [seed, 0, 0, 0].map(&mut hashed);
    for from in 0..4 {
        for to in (0..4).filter(|to| *to != from) {
            let left = pool[to].wrapping_mul(0xca01_f9dd);
            let mixed = left.wrapping_sub(hashed(pool[from]).wrapping_mul(0x4973_f715));
            pool[to] = mixed ^ (mixed >> 16);
        }
    }
    let mut multiplier = 0x8b51_f9dd;
    let halves: [u32; 8] =
        array::from_fn(|index| hash(pool[index % 4], &mut multiplier, 0x58f3_8ded));
    array::from_fn(|index| u64::from(halves[2 * index]) | u64::from(halves[2 * index + 1]) << 32)
}

/// NumPy's PCG64, the XSL-RR member of the family.
struct Pcg64 {
    state: u128,
    increment: u128,
    /// The half of the last output that is not used yet.
    half: Option<u32>,
}

impl Pcg64 {
    fn seeded(seed: u32) -> Self {
        let words = seed_words(seed);
        let wide = |high: u64, low: u64| u128::from(high) << 64 | u128::from(low);
        let increment = wide(words[2], words[3]) << 1 | 1;
        let mut generator = Self {
            state: increment.wrapping_add(wide(words[0], words[1])),
            increment,
            half: None,
        };
        generator.step();
        generator
    }

    fn step(&mut self) {
        const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;
        let product = self.state.wrapping_mul(MULTIPLIER);
        self.state = product.wrapping_add(self.increment);
    }

    fn next(&mut self) -> u32 {
        if let Some(half) = self.half.take() {
            return half;
        }
        self.step();
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        let output = folded.rotate_right((self.state >> 122) as u32);
        self.half = Some((output >> 32) as u32);
        output as u32
    }

    /// A number in 0..=`most`, all equally likely.
    fn at_most(&mut self, most: u32) -> u32 {
        let mask = u32::MAX >> most.leading_zeros();
        loop {
            let number = self.next() & mask;
            if number <= most {
                return number;
            }
        }
    }
}

#[test]
fn places_are_those_that_numpy_draws() {
    let places = places("fc.weight", 5000);
    assert_eq!(places.len(), KEPT);
    assert_eq!(places[..8], [37, 99, 101, 126, 186, 249, 501, 523]);
    assert_eq!(places.iter().sum::<usize>(), 247_622);
}
