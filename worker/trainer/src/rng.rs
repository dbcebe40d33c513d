//! Random numbers as a function of where they are used.
//!
//! Everything random in a training is drawn from (seed, purpose, epoch,
//! position) and nothing else: no state is carried from draw to draw, so the
//! numbers depend neither on batch sizes nor on what was drawn before, and a
//! training can continue anywhere.
//!
//! The generator is Philox 4×32 with 10 rounds (Salmon et al., *Parallel
//! random numbers: as easy as 1, 2, 3*, SC 2011).

use std::f64::consts::TAU;

/// What numbers are for: draws for different purposes are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Purpose {
    /// Initial weights; the epoch is the index of the parameter.
    Init = 1,
    /// The order of the images of an epoch.
    Shuffle = 2,
    /// Crop offsets.
    Crop = 3,
    /// Mirror or not.
    Flip = 4,
    /// Cutout centres.
    Cutout = 5,
}

/// The draws of one seed for one purpose in one epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    key: [u32; 2],
    purpose: u32,
    epoch: u32,
}

impl Stream {
    /// The stream of these three.
    pub(crate) fn new(seed: u64, purpose: Purpose, epoch: u64) -> Self {
        Self {
            key: [seed as u32, (seed >> 32) as u32],
            purpose: purpose as u32,
            epoch: epoch as u32,
        }
    }

    /// Four random words for `position`.
    fn words(self, position: u64) -> [u32; 4] {
        let counter = [
            position as u32,
            (position >> 32) as u32,
            self.epoch,
            self.purpose,
        ];
        philox(counter, self.key)
    }

    /// Two whole numbers in `0..first` and `0..second`.
    ///
    /// Each is the high word of a 64×64-bit product: the bias of `n` values is
    /// below `n / 2^64`.
    pub(crate) fn pair_below(self, position: u64, first: u64, second: u64) -> (u64, u64) {
        let [a, b, c, d] = self.words(position);
        (scaled(a, b, first), scaled(c, d, second))
    }

    /// A whole number in `0..bound`.
    pub(crate) fn below(self, position: u64, bound: u64) -> u64 {
        self.pair_below(position, bound, 1).0
    }

    /// A fair coin.
    pub(crate) fn coin(self, position: u64) -> bool {
        self.words(position)[0] >> 31 == 1
    }

    /// Two numbers in 0..1 with 53 bits.
    pub(crate) fn uniforms(self, position: u64) -> (f64, f64) {
        let [a, b, c, d] = self.words(position);
        (unit(a, b), unit(c, d))
    }

    /// Two independent standard normal numbers (Box & Muller 1958).
    pub(crate) fn normals(self, position: u64) -> (f64, f64) {
        let (radius, angle) = self.uniforms(position);
        // 1 - u is never 0, so its logarithm is finite.
        let length = (-2.0 * (1.0 - radius).ln()).sqrt();
        let (sin, cos) = (TAU * angle).sin_cos();
        (length * cos, length * sin)
    }

    /// A random order of `0..length` (Fisher & Yates, from the end).
    pub(crate) fn permutation(self, length: usize) -> Vec<i64> {
        let mut order: Vec<i64> = (0..length as i64).collect();
        for last in (1..length).rev() {
            let chosen = self.below(last as u64, last as u64 + 1);
            order.swap(last, chosen as usize);
        }
        order
    }
}

fn scaled(high: u32, low: u32, bound: u64) -> u64 {
    let word = u64::from(high) << 32 | u64::from(low);
    ((u128::from(word) * u128::from(bound)) >> 64) as u64
}

fn unit(high: u32, low: u32) -> f64 {
    let word = u64::from(high) << 32 | u64::from(low);
    (word >> 11) as f64 / (1_u64 << 53) as f64
}

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: u32 = 10;

fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut a, mut b, mut c, mut d] = counter;
    let [mut left, mut right] = key;
    for _ in 0..ROUNDS {
        let first = u64::from(MULTIPLIERS[0]) * u64::from(a);
        let second = u64::from(MULTIPLIERS[1]) * u64::from(c);
        (a, b, c, d) = (
            (second >> 32) as u32 ^ b ^ left,
            second as u32,
            (first >> 32) as u32 ^ d ^ right,
            first as u32,
        );
        left = left.wrapping_add(WEYL[0]);
        right = right.wrapping_add(WEYL[1]);
    }
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that the authors publish with Random123.
    #[test]
    fn philox_gives_the_published_answers() {
        assert_eq!(
            philox([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn permutations_hold_every_index_once_and_differ_by_epoch() {
        let order = Stream::new(7, Purpose::Shuffle, 0).permutation(1000);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..1000));
        assert_ne!(order, Stream::new(7, Purpose::Shuffle, 1).permutation(1000));
        assert_ne!(order, Stream::new(8, Purpose::Shuffle, 0).permutation(1000));
        assert_eq!(order, Stream::new(7, Purpose::Shuffle, 0).permutation(1000));
    }

    #[test]
    fn permutations_are_uniform() {
        // 4,800 orders of four things: each of 24 orders 200 times, with a
        // standard deviation of 13.8.
        let mut counts = std::collections::HashMap::new();
        for epoch in 0..4800 {
            let order = Stream::new(1, Purpose::Shuffle, epoch).permutation(4);
            *counts.entry(order).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 24);
        assert!(
            counts.values().all(|count| (130..270).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn whole_numbers_are_uniform() {
        let stream = Stream::new(3, Purpose::Crop, 2);
        let mut counts = [[0_u32; 9]; 2];
        for position in 0..9000 {
            let (first, second) = stream.pair_below(position, 9, 9);
            counts[0][first as usize] += 1;
            counts[1][second as usize] += 1;
        }
        // 1,000 each, with a standard deviation of 30.
        assert!(
            counts
                .as_flattened()
                .iter()
                .all(|n| (850..1150).contains(n)),
            "{counts:?}"
        );
    }

    #[test]
    fn normals_have_mean_0_and_variance_1() {
        let stream = Stream::new(5, Purpose::Init, 0);
        let values: Vec<f64> = (0..20_000)
            .flat_map(|position| <[f64; 2]>::from(stream.normals(position)))
            .collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        let beyond_two = values.iter().filter(|v| v.abs() > 2.0).count() as f64 / n;
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((variance - 1.0).abs() < 0.03, "{variance}");
        assert!((beyond_two - 0.0455).abs() < 0.006, "{beyond_two}");
    }
}
