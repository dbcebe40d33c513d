//! How far the trainer may lie from the fixtures.

/// An optimizer with a trajectory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Optimizer {
    Sgd,
    Lars,
}

impl Optimizer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sgd => "sgd",
            Self::Lars => "lars",
        }
    }
}

/// Logits, weights, losses and statistics, absolutely.
pub(crate) const ABSOLUTE: f32 = 1e-4;
/// Gradients, relatively.
const RELATIVE: f32 = 1e-3;
/// A gradient below it is rounding.
const NOISE: f32 = 1e-6;

pub(crate) fn noise(_case: &str, _name: &str) -> f32 {
    NOISE
}

pub(crate) fn gradient(_case: &str) -> f32 {
    RELATIVE
}
pub(crate) fn weights(_case: &str, _optimizer: Optimizer) -> f32 {
    ABSOLUTE
}
pub(crate) fn logits(_case: &str, _optimizer: Optimizer) -> f32 {
    ABSOLUTE
}
pub(crate) fn loss(_case: &str, _optimizer: Optimizer, _step: u64) -> f32 {
    ABSOLUTE
}
