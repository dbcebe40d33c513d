//! Optimizers, over all parameters at once.

use swath_core::spec::{Optimizer as Options, Sgd as SgdOptions};
use tch::{Tensor, no_grad};

use crate::failure::Failure;

/// An optimizer with its state.
pub(crate) enum Optimizer {
    /// Stochastic gradient descent.
    Sgd(Sgd),
}

impl Optimizer {
    /// The optimizer of `options` for the flat `parameters`.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] where this trainer does not know it.
    pub(crate) fn new(options: &Options, parameters: &Tensor) -> Result<Self, Failure> {
        match options {
            Options::Sgd(options) => Ok(Self::Sgd(Sgd::new(options, parameters))),
            Options::Lars(_) | Options::Adam(_) | Options::Adamw(_) => Err(Failure::invalid(
                "`optimizer.name`: this version's trainer knows `sgd` only",
            )),
        }
    }

    /// One update of the flat `parameters` along the flat `gradient`, which it
    /// may overwrite.
    pub(crate) fn step(&mut self, parameters: &Tensor, gradient: &mut Tensor, lr: f64) {
        match self {
            Self::Sgd(sgd) => sgd.step(parameters, gradient, lr),
        }
    }

    /// Every tensor of its state, by name; they change with later steps.
    pub(crate) fn state(&self) -> Vec<(String, Tensor)> {
        let tensors = match self {
            Self::Sgd(sgd) => sgd.velocity.iter().map(|v| ("velocity", v)),
        };
        tensors
            .map(|(name, tensor)| (format!("optimizer.{name}"), tensor.shallow_clone()))
            .collect()
    }
}

/// SGD as PyTorch defines it: weight decay added to the gradient, no
/// dampening, the first momentum buffer is the first gradient.
///
/// ```text
/// g <- g + decay * w
/// v <- momentum * v + g
/// w <- w - lr * (g + momentum * v)      with Nesterov's momentum
/// w <- w - lr * v                       without
/// ```
pub(crate) struct Sgd {
    momentum: f64,
    nesterov: bool,
    weight_decay: f64,
    /// v, of the shape of the parameters; absent without momentum.
    velocity: Option<Tensor>,
}

impl Sgd {
    fn new(options: &SgdOptions, parameters: &Tensor) -> Self {
        // A velocity of zeros makes the first one the first gradient.
        let velocity = (options.momentum > 0.0).then(|| parameters.zeros_like());
        Self {
            momentum: options.momentum,
            nesterov: options.nesterov,
            weight_decay: options.weight_decay,
            velocity,
        }
    }

    fn step(&mut self, parameters: &Tensor, gradient: &mut Tensor, lr: f64) {
        no_grad(|| {
            let mut parameters = parameters.shallow_clone();
            if self.weight_decay > 0.0 {
                add_scaled(gradient, &parameters, self.weight_decay);
            }
            let Some(velocity) = &mut self.velocity else {
                add_scaled(&mut parameters, gradient, -lr);
                return;
            };
            let _ = velocity.g_mul_scalar_(self.momentum);
            let _ = velocity.g_add_(gradient);
            if self.nesterov {
                add_scaled(gradient, velocity, self.momentum);
                add_scaled(&mut parameters, gradient, -lr);
            } else {
                add_scaled(&mut parameters, velocity, -lr);
            }
        });
    }
}

/// `target += factor * other`; tch's binding of `add` has no factor.
fn add_scaled(target: &mut Tensor, other: &Tensor, factor: f64) {
    let _ = target.g_add_(&(other * factor));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(nesterov: bool, momentum: f64, weight_decay: f64) -> SgdOptions {
        SgdOptions {
            lr: 0.1,
            momentum,
            nesterov,
            weight_decay,
            weight_decay_on: swath_core::spec::WeightDecayOn::All,
        }
    }

    /// Per element, in f64, as the formula is written.
    fn naive(options: &SgdOptions, start: f64, gradients: &[f64], lr: f64) -> f64 {
        let (mut w, mut v) = (start, 0.0);
        for (index, gradient) in gradients.iter().enumerate() {
            let g = gradient + options.weight_decay * w;
            v = if index == 0 {
                g
            } else {
                options.momentum * v + g
            };
            w -= lr
                * match (options.momentum > 0.0, options.nesterov) {
                    (false, _) => g,
                    (true, true) => g + options.momentum * v,
                    (true, false) => v,
                };
        }
        w
    }

    #[test]
    fn steps_follow_the_formula() {
        let gradients = [0.5, -0.25, 0.125, 1.0];
        for (nesterov, momentum, decay) in [
            (true, 0.9, 5e-4),
            (false, 0.9, 1e-2),
            (false, 0.0, 0.1),
            (true, 0.5, 0.0),
        ] {
            let options = options(nesterov, momentum, decay);
            let parameters = Tensor::from_slice(&[1.0_f32, -2.0]);
            let mut sgd = Sgd::new(&options, &parameters);
            for gradient in gradients {
                let mut gradient = Tensor::from_slice(&[gradient as f32; 2]);
                sgd.step(&parameters, &mut gradient, 0.1);
            }
            for (index, start) in [1.0, -2.0].into_iter().enumerate() {
                let found = parameters.double_value(&[index as i64]);
                let expected = naive(&options, start, &gradients, 0.1);
                assert!((found - expected).abs() < 1e-6, "{found} {expected}");
            }
        }
    }
}
