//! Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019).

use swath_model::spec::Adam as Options;
use tch::{Kind, Tensor};

use super::Decay;

/// Adam as PyTorch defines it: bias-corrected moments, `eps` outside the root.
///
/// ```text
/// g <- g + decay * w                             coupled: Adam
/// w <- w - lr * decay * w                        decoupled: AdamW
/// m <- beta1 * m + (1 - beta1) * g
/// v <- beta2 * v + (1 - beta2) * g^2
/// w <- w - lr * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)
/// ```
///
/// with t counted from 1.
pub(crate) struct Adam {
    beta1: f64,
    beta2: f64,
    eps: f64,
    decay: Decay,
    decoupled: bool,
    /// t, a scalar i64 on the device, because a step may be undone there.
    steps: Tensor,
    /// m, of the shape of the parameters.
    first: Tensor,
    /// v, of the shape of the parameters.
    second: Tensor,
}

impl Adam {
    /// Adam for flat `parameters`, of which the first `decayed` elements decay.
    pub(super) fn new(
        options: &Options,
        parameters: &Tensor,
        decayed: i64,
        decoupled: bool,
    ) -> Self {
        Self {
            beta1: options.beta1,
            beta2: options.beta2,
            eps: options.eps,
            decay: Decay {
                rate: options.weight_decay,
                elements: decayed,
            },
            decoupled,
            steps: Tensor::zeros([], (Kind::Int64, parameters.device())),
            first: parameters.zeros_like(),
            second: parameters.zeros_like(),
        }
    }

    pub(super) fn step(&mut self, parameters: &Tensor, gradient: &mut Tensor, lr: f64) {
        if self.decoupled {
            self.decay.shrink(parameters, lr);
        } else {
            self.decay.add(gradient, parameters);
        }
        let _ = self.steps.g_add_scalar_(1);
        let _ = self.first.lerp_(gradient, 1.0 - self.beta1);
        let _ = gradient.square_();
        let _ = self.second.lerp_(gradient, 1.0 - self.beta2);
        // w += m / below, where below = (sqrt(v) / sqrt(correction of v) + eps)
        // * -(correction of m) / lr replaces the gradient.
        let _ = self.second.sqrt_out(gradient);
        let _ = gradient.g_div_(&self.correction(self.beta2).sqrt());
        let _ = gradient.g_add_scalar_(self.eps);
        let _ = gradient.g_mul_(&(self.correction(self.beta1) / -lr));
        let _ = parameters.shallow_clone().addcdiv_(&self.first, gradient);
    }

    /// `1 - beta^t`, a scalar f64 on the device.
    fn correction(&self, beta: f64) -> Tensor {
        let steps = self.steps.to_kind(Kind::Double);
        // expm1 keeps the digits that `1 -` would lose.
        -(steps * beta.ln()).expm1()
    }

    pub(super) fn state(&self) -> Vec<(&'static str, &Tensor)> {
        vec![
            ("step", &self.steps),
            ("first_moment", &self.first),
            ("second_moment", &self.second),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values come from `torch.optim.Adam` and `AdamW` of PyTorch 2.13.0.
    #[test]
    fn five_steps_are_those_of_pytorch() {
        let expected = [
            (false, [0.847_851_5, -1.771_599_4, 0.278_715_97, 0.0]),
            (true, [0.847_370_8, -1.730_744_2, 0.282_799_07, 0.0]),
        ];
        let options = Options {
            lr: 0.1,
            beta1: 0.8,
            beta2: 0.95,
            eps: 1e-3,
            weight_decay: 0.1,
            weight_decay_on: swath_model::spec::WeightDecayOn::All,
        };
        for (decoupled, expected) in expected {
            let parameters = Tensor::from_slice(&[1.0_f32, -2.0, 0.5, 0.0]);
            let mut adam = Adam::new(&options, &parameters, 4, decoupled);
            for step in 0..5 {
                let t = f64::from(step);
                let gradient = [0.5 * (1.3 * t).cos(), -0.25 * (t + 1.0), 0.01, 0.0];
                let mut gradient = Tensor::from_slice(&gradient.map(|g| g as f32));
                adam.step(&parameters, &mut gradient, 0.1 / (t + 1.0));
            }
            for (index, expected) in expected.into_iter().enumerate() {
                let found = parameters.double_value(&[index as i64]);
                assert!((found - expected).abs() < 5e-7, "{found} {expected}");
            }
        }
    }

    #[test]
    fn a_rate_of_zero_changes_nothing() {
        let options = Options {
            lr: 0.1,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.1,
            weight_decay_on: swath_model::spec::WeightDecayOn::All,
        };
        let parameters = Tensor::from_slice(&[1.0_f32, -2.0]);
        let mut adam = Adam::new(&options, &parameters, 2, true);
        adam.step(&parameters, &mut Tensor::from_slice(&[3.0_f32, 0.0]), 0.0);
        assert_eq!(parameters, Tensor::from_slice(&[1.0_f32, -2.0]));
    }
}
