//! Stochastic gradient descent.

use swath_model::spec::Sgd as Options;
use tch::Tensor;

use super::{Decay, add_scaled};

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
    decay: Decay,
    /// v, in the shape of the parameters. Absent without momentum.
    velocity: Option<Tensor>,
}

impl Sgd {
    /// For flat `parameters`. The first `decayed` elements get weight decay.
    pub(super) fn new(options: &Options, parameters: &Tensor, decayed: i64) -> Self {
        // A velocity of zeros makes the first one the first gradient.
        let velocity = (options.momentum > 0.0).then(|| parameters.zeros_like());
        Self {
            momentum: options.momentum,
            nesterov: options.nesterov,
            decay: Decay {
                rate: options.weight_decay,
                elements: decayed,
            },
            velocity,
        }
    }

    pub(super) fn step(&mut self, parameters: &Tensor, gradient: &mut Tensor, lr: f64) {
        let mut parameters = parameters.shallow_clone();
        self.decay.add(gradient, &parameters);
        let Some(velocity) = &mut self.velocity else {
            subtract(&mut parameters, gradient, lr);
            return;
        };
        let _ = velocity.g_mul_scalar_(self.momentum);
        let _ = velocity.g_add_(gradient);
        if self.nesterov {
            add_scaled(gradient, velocity, self.momentum);
            subtract(&mut parameters, gradient, lr);
        } else {
            add_scaled(&mut parameters, velocity, -lr);
        }
    }

    pub(super) fn state(&self) -> Vec<(&'static str, &Tensor)> {
        self.velocity.iter().map(|v| ("velocity", v)).collect()
    }
}

/// `parameters -= lr * update`; overwrites `update`.
fn subtract(parameters: &mut Tensor, update: &mut Tensor, lr: f64) {
    let _ = update.g_mul_scalar_(-lr);
    let _ = parameters.g_add_(update);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(nesterov: bool, momentum: f64, weight_decay: f64) -> Options {
        Options {
            lr: 0.1,
            momentum,
            nesterov,
            weight_decay,
            weight_decay_on: swath_model::spec::WeightDecayOn::All,
        }
    }

    /// The formula as it is written, per element, in f64.
    fn naive(options: &Options, start: f64, gradients: &[f64], lr: f64) -> f64 {
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
            let mut sgd = Sgd::new(&options, &parameters, 2);
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

    /// The numbers are from `torch.optim.SGD` of PyTorch 2.13.0.
    #[test]
    fn five_steps_are_those_of_pytorch() {
        let parameters = Tensor::from_slice(&[1.0_f32, -2.0, 0.5, 0.0]);
        let mut sgd = Sgd::new(&options(true, 0.9, 0.1), &parameters, 4);
        for step in 0..5 {
            let t = f64::from(step);
            let gradient = [0.5 * (1.3 * t).cos(), -0.25 * (t + 1.0), 0.01, 0.0];
            let mut gradient = Tensor::from_slice(&gradient.map(|g| g as f32));
            sgd.step(&parameters, &mut gradient, 0.1 / (t + 1.0));
        }
        let expected = [0.835_536_06, -1.546_465_2, 0.462_480_63, 0.0];
        for (index, expected) in expected.into_iter().enumerate() {
            let found = parameters.double_value(&[index as i64]);
            assert!((found - expected).abs() < 5e-7, "{found} {expected}");
        }
    }
}
