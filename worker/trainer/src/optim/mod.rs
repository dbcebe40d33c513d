//! Optimizers, over all parameters at once.

mod adam;
mod half;
mod lars;
mod sgd;

use swath_model::spec::{Optimizer as Options, Precision};
use tch::{Tensor, no_grad};

use self::adam::Adam;
use self::half::HalfSgd;
use self::lars::Lars;
use self::sgd::Sgd;
use crate::model::Weights;

/// An optimizer with its state.
pub(crate) enum Optimizer {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Stochastic gradient descent in half precision.
    HalfSgd(HalfSgd),
    /// Layer-wise adaptive rate scaling.
    Lars(Lars),
    /// Adam and AdamW.
    Adam(Adam),
}

impl Optimizer {
    /// The optimizer of a spec for `weights`; with [`Precision::Fp16Pure`] it must
    /// be SGD.
    pub(crate) fn new(optimizer: &Options, weights: &Weights, precision: Precision) -> Self {
        let flat = weights.flat();
        let segments = weights.segments();
        match optimizer {
            Options::Sgd(options) => {
                let decayed = segments.elements(options.weight_decay_on);
                match weights.low() {
                    Some(low) if precision == Precision::Fp16Pure => {
                        Self::HalfSgd(HalfSgd::new(options, flat, low, decayed))
                    }
                    _ => Self::Sgd(Sgd::new(options, flat, decayed)),
                }
            }
            Options::Lars(options) => Self::Lars(Lars::new(options, flat, segments)),
            Options::Adam(options) | Options::Adamw(options) => {
                let decayed = segments.elements(options.weight_decay_on);
                let decoupled = matches!(optimizer, Options::Adamw(_));
                Self::Adam(Adam::new(options, flat, decayed, decoupled))
            }
        }
    }

    /// One update of the flat `parameters` along the flat `gradient`, which it
    /// overwrites.
    pub(crate) fn step(&mut self, parameters: &Tensor, gradient: &mut Tensor, lr: f64) {
        no_grad(|| match self {
            Self::Sgd(sgd) => sgd.step(parameters, gradient, lr),
            Self::HalfSgd(sgd) => sgd.step(parameters, gradient, lr),
            Self::Lars(lars) => lars.step(parameters, gradient, lr),
            Self::Adam(adam) => adam.step(parameters, gradient, lr),
        });
    }

    /// Every tensor of its state, by name; later steps change them.
    pub(crate) fn state(&self) -> Vec<(String, Tensor)> {
        let tensors = match self {
            Self::Sgd(sgd) => sgd.state(),
            Self::HalfSgd(sgd) => sgd.state(),
            Self::Lars(lars) => lars.state(),
            Self::Adam(adam) => adam.state(),
        };
        tensors
            .into_iter()
            .map(|(name, tensor)| (format!("optimizer.{name}"), tensor.shallow_clone()))
            .collect()
    }
}

/// Weight decay of the first `elements` parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Decay {
    rate: f64,
    elements: i64,
}

impl Decay {
    /// Adds `rate * parameters` to the gradient of parameters that decay.
    fn add(self, gradient: &Tensor, parameters: &Tensor) {
        if self.rate > 0.0 && self.elements > 0 {
            let parameters = parameters.narrow(0, 0, self.elements);
            let mut front = gradient.narrow(0, 0, self.elements);
            add_scaled(&mut front, &parameters, self.rate);
        }
    }

    /// Subtracts `lr * rate * parameters` from parameters that decay.
    fn shrink(self, parameters: &Tensor, lr: f64) {
        if self.rate > 0.0 && self.elements > 0 {
            let mut front = parameters.narrow(0, 0, self.elements);
            let _ = front.g_mul_scalar_(1.0 - lr * self.rate);
        }
    }
}

/// `target += factor * other`; tch's binding of `add` has no factor.
fn add_scaled(target: &mut Tensor, other: &Tensor, factor: f64) {
    let _ = target.g_add_(&(other * factor));
}

#[cfg(test)]
mod tests;
