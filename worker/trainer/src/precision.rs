//! Number formats of a training.
//!
//! The weights are kept in f32. In the low-precision formats the convolutions
//! and linear layers get a copy of theirs in that format, made once per step;
//! they convert what comes in to the format of their weights, so feature maps
//! and their gradients are of it, too. Batch normalizations compute with
//! parameters and statistics in f32, losses are f32, and gradients are f32
//! before they are summed, clipped or used. That is what autocasting does,
//! with the conversions in fewer places.

use swath_model::spec::Precision;
use tch::{Device, Kind, Tensor, no_grad};

/// The format of convolutions and linear layers; none where it is f32.
pub(crate) fn low_kind(precision: Precision) -> Option<Kind> {
    match precision {
        Precision::Fp32 => None,
        Precision::Bf16 => Some(Kind::BFloat16),
        Precision::Fp16 | Precision::Fp16Pure => Some(Kind::Half),
    }
}

/// The factor at the start.
const FIRST: f64 = 65_536.0;
/// Steps without an overflow after which the factor doubles.
const PATIENCE: i64 = 2000;

/// Dynamic loss scaling (Micikevicius et al. 2018) as PyTorch does it: the
/// loss is multiplied with a factor so that small gradients do not vanish in
/// half precision, and the gradient divided by it. Where a gradient overflows
/// the step changes nothing and the factor halves; after 2000 steps without
/// an overflow it doubles.
///
/// All of it lies on the device: no step waits for it.
pub(crate) struct Scaler {
    /// The factor, f32: a power of two, so multiplying and dividing by it is
    /// exact.
    scale: Tensor,
    /// Steps since the factor changed, i64.
    good: Tensor,
    /// Steps that changed nothing, i64.
    skipped: Tensor,
}

impl Scaler {
    /// A scaler in its initial state.
    pub(crate) fn new(device: Device) -> Self {
        Self {
            scale: Tensor::full([], FIRST, (Kind::Float, device)),
            good: Tensor::zeros([], (Kind::Int64, device)),
            skipped: Tensor::zeros([], (Kind::Int64, device)),
        }
    }

    /// The loss to take the gradient of.
    pub(crate) fn scaled(&self, loss: &Tensor) -> Tensor {
        loss * &self.scale
    }

    /// Divides the gradient of a scaled loss by the factor. Returns whether the
    /// gradient is finite throughout, as a scalar on the device.
    pub(crate) fn unscale(&self, gradient: &mut Tensor) -> Tensor {
        no_grad(|| {
            let _ = gradient.g_div_(&self.scale);
            // A number that is not finite makes the sum not finite. (A sum of
            // finite numbers that overflows is as good as an overflow.)
            gradient.sum(Kind::Float).isfinite()
        })
    }

    /// Notes whether the gradient of a step was finite.
    pub(crate) fn note(&mut self, finite: &Tensor) {
        no_grad(|| {
            let good = (&self.good + 1) * finite;
            let grows = good.ge(PATIENCE);
            let doubled = &self.scale * 2.0;
            let grown = self.scale.where_self(
                &grows
                    .logical_not()
                    .logical_or(&doubled.isfinite().logical_not()),
                &doubled,
            );
            self.scale
                .copy_(&grown.where_self(finite, &(&self.scale * 0.5)));
            self.good.copy_(&(good * grows.logical_not()));
            let _ = self.skipped.g_add_(&finite.logical_not());
        });
    }

    /// The factor. Waits for the device.
    pub(crate) fn scale(&self) -> f64 {
        self.scale.double_value(&[])
    }

    /// Steps that changed nothing. Waits for the device.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped.int64_value(&[]) as u64
    }

    /// Every tensor of the state, by name. Later steps change them.
    pub(crate) fn state(&self) -> Vec<(String, Tensor)> {
        [
            ("scaler.scale", &self.scale),
            ("scaler.good_steps", &self.good),
            ("scaler.skipped_steps", &self.skipped),
        ]
        .map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()))
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One step with a gradient of this size per unit of loss. Returns what is
    /// left of the gradient.
    fn step(scaler: &mut Scaler, size: f64) -> (f64, bool) {
        let loss = Tensor::full([], size, (Kind::Float, Device::Cpu));
        // A gradient in half precision, converted.
        let gradient = scaler.scaled(&loss).to_kind(Kind::Half);
        let mut gradient = gradient.to_kind(Kind::Float).reshape([1]);
        let finite = scaler.unscale(&mut gradient);
        scaler.note(&finite);
        (gradient.double_value(&[0]), finite.int64_value(&[]) == 1)
    }

    #[test]
    fn small_gradients_survive_and_large_ones_halve_the_factor() {
        let mut scaler = Scaler::new(Device::Cpu);
        // Half precision alone would make 0 of it.
        assert_eq!(
            step(&mut scaler, 2.0_f64.powi(-30)),
            (2.0_f64.powi(-30), true)
        );
        assert!(!step(&mut scaler, 3.0).1);
        assert_eq!((scaler.scale(), scaler.skipped()), (32_768.0, 1));
        assert!(!step(&mut scaler, 3.0).1);
        assert_eq!(step(&mut scaler, 3.0), (3.0, true));
        assert_eq!((scaler.scale(), scaler.skipped()), (16_384.0, 2));
        assert!(!step(&mut scaler, f64::NAN).1);
        assert_eq!((scaler.scale(), scaler.skipped()), (8192.0, 3));
    }

    /// The same state machine in plain numbers, (factor, good steps), as
    /// `torch.amp.GradScaler` documents it.
    fn naive((scale, good): (f64, i64), finite: bool) -> (f64, i64) {
        match (finite, good + 1 == PATIENCE) {
            (false, _) => (scale / 2.0, 0),
            (true, true) => (scale * 2.0, 0),
            (true, false) => (scale, good + 1),
        }
    }

    #[test]
    fn the_factor_doubles_after_2000_good_steps_in_a_row() {
        let mut scaler = Scaler::new(Device::Cpu);
        let mut expected = (FIRST, 0);
        for index in 0..6100 {
            // The second run of good steps ends one short.
            let finite = index != 3999 && index != 4100;
            scaler.note(&Tensor::from(finite));
            expected = naive(expected, finite);
            if [1998, 1999, 2000, 3998, 3999, 4000, 4100, 6099].contains(&index) {
                let good = scaler.good.int64_value(&[]);
                assert_eq!((scaler.scale(), good), expected, "{index}");
            }
        }
        // Powers of two: their quotient is exact.
        assert!((scaler.scale() / (FIRST / 2.0) - 1.0).abs() < f64::EPSILON);
        assert_eq!(scaler.skipped(), 2);
    }

    #[test]
    fn the_factor_stays_finite() {
        let mut scaler = Scaler::new(Device::Cpu);
        let _ = scaler.scale.fill_(2.0_f64.powi(127));
        let _ = scaler.good.fill_(PATIENCE - 1);
        scaler.note(&Tensor::from(true));
        assert!((scaler.scale() / 2.0_f64.powi(127) - 1.0).abs() < f64::EPSILON);
    }
}
