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

/// What numbers are for. Draws for different purposes are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Purpose {
    /// Initial weights; the epoch is the index of the parameter.
    Init = 1,
    /// The order of the images of an epoch.
    Shuffle = 2,
    /// Crop offsets.
    Crop = 3,
    /// Whether an image is mirrored.
    Flip = 4,
    /// Cutout centres; with dual cutout, those of the first view.
    Cutout = 5,
    /// Which images are erased, where, and with which values.
    Erasing = 16,
    /// Cutout centres of the second view of dual cutout.
    SecondCutout = 17,
    /// How the images of a batch are mixed; the position is that of the
    /// batch's first image.
    Mixing = 18,
    /// Which images they are mixed with; lane k has the k-th partners.
    Partner = 19,
    /// The columns of a random subspace of the parameters; the epoch is the
    /// trial.
    Subspace = 32,
    /// Weights of branches in the forward pass; the epoch is the step.
    ShakeForward = 64,
    /// Weights of branches in the backward pass; the epoch is the step.
    ShakeBackward = 65,
    /// The seeds of dropout masks; the epoch is the step.
    Dropout = 66,
}

/// The draws of one seed for one purpose in one epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    key: [u32; 2],
    purpose: u32,
    epoch: u32,
    lane: u32,
}

impl Stream {
    /// The stream for this seed, purpose and epoch.
    pub(crate) fn new(seed: u64, purpose: Purpose, epoch: u64) -> Self {
        Self {
            key: [seed as u32, (seed >> 32) as u32],
            purpose: purpose as u32,
            epoch: epoch as u32,
            lane: 0,
        }
    }

    /// The same stream with other numbers, for a position that needs more of
    /// them than one draw gives. Positions must then be below 2^32.
    pub(crate) fn lane(self, lane: u32) -> Self {
        Self { lane, ..self }
    }

    /// Four random words for `position`.
    fn words(self, position: u64) -> [u32; 4] {
        let counter = [
            position as u32,
            (position >> 32) as u32 ^ self.lane,
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

    /// A number from the Beta distribution with both parameters `alpha` > 0.
    ///
    /// A function of two uniform numbers, without rejection (Devroye, *Random
    /// variate generation in one line of code*, WSC 1996, from Bailey's polar
    /// method for Student's t, Math. Comp. 62, 1994): with
    /// p = (U^(-1/alpha) - 1) cos²(2πV), the number is
    /// (1 ± sqrt(p / (1 + p))) / 2, the sign that of the cosine.
    pub(crate) fn beta(self, position: u64, alpha: f64) -> f64 {
        let (first, second) = self.uniforms(position);
        let cos = (TAU * second).cos();
        // 1 - u is never 0. p is infinite for a tiny alpha, which is right: the
        // number is then 0 or 1 in all digits.
        let p = (-(1.0 - first).ln() / alpha).exp_m1() * cos * cos;
        let root = (1.0 / (1.0 + 1.0 / p)).sqrt();
        // (1 - root) / 2 without the cancellation.
        let least = 0.5 / ((1.0 + p) * (1.0 + root));
        if cos < 0.0 { least } else { 1.0 - least }
    }

    /// A random order of `0..length`.
    pub(crate) fn permutation(self, length: usize) -> Vec<i64> {
        self.permutation_at(0, length)
    }

    /// A random order of `0..length`, drawn from the `length - 1` positions
    /// that follow `position` (Fisher & Yates, from the end).
    pub(crate) fn permutation_at(self, position: u64, length: usize) -> Vec<i64> {
        let mut order: Vec<i64> = (0..length as i64).collect();
        for last in (1..length).rev() {
            let chosen = self.below(position + last as u64, last as u64 + 1);
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
mod tests;
