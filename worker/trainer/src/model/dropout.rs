//! Dropout (Srivastava et al. 2014), whose masks derive from the seed.

use tch::Tensor;

use super::Pass;
use crate::rng::{Purpose, Stream};

/// Inverted dropout: in training each element is 0 with probability `rate`, and
/// the others are scaled up to keep the mean.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dropout {
    rate: f64,
}

impl Dropout {
    /// Whether there is no dropout.
    pub(crate) fn is_off(self) -> bool {
        self.rate == 0.0
    }

    /// Dropout of this rate; none for 0.
    pub(crate) fn new(rate: f64) -> Self {
        Self { rate }
    }

    /// Sets the masks of the pass that begins, by (seed, step, chunk). A
    /// network with dropout calls it once, before its first layer.
    pub(crate) fn begin(self, pass: Pass) {
        if let Pass::Training(noise) = pass
            && self.rate > 0.0
        {
            let stream = Stream::new(noise.seed, Purpose::Dropout, noise.step);
            tch::manual_seed(stream.below(u64::from(noise.chunk), 1 << 63) as i64);
        }
    }

    /// The batch with its mask applied.
    pub(crate) fn forward(self, input: Tensor, pass: Pass) -> Tensor {
        if self.rate > 0.0 && pass.is_training() {
            input.dropout(self.rate, true)
        } else {
            input
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::super::Noise;
    use super::*;

    #[test]
    fn dropout_keeps_the_mean_and_evaluation_everything() {
        let ones = Tensor::ones([100, 20, 5, 5], (Kind::Float, Device::Cpu));
        let dropout = Dropout::new(0.3);
        let pass = Pass::Training(Noise {
            seed: 1,
            step: 2,
            chunk: 0,
        });
        let dropped = dropout.forward(ones.shallow_clone(), pass);
        let mean = dropped.mean(Kind::Double).double_value(&[]);
        // 50,000 elements with a standard deviation of 0.65.
        assert!((mean - 1.0).abs() < 0.015, "{mean}");
        let zeros = dropped.eq(0.0).to_kind(Kind::Double).mean(Kind::Double);
        assert!((zeros.double_value(&[]) - 0.3).abs() < 0.01);
        let largest = dropped.max().double_value(&[]);
        assert!((largest - 1.0 / 0.7).abs() < 1e-6, "{largest}");
        assert_eq!(
            dropout.forward(ones.shallow_clone(), Pass::Evaluation),
            ones
        );
        assert_eq!(Dropout::new(0.0).forward(ones.shallow_clone(), pass), ones);
    }
}
