//! Layer-wise adaptive rate scaling (You, Gitman & Ginsburg 2017).

use swath_model::spec::Lars as Options;
use tch::{Device, Kind, Tensor};

use super::Decay;
use crate::model::Segments;

/// LARS: every parameter tensor has a local rate.
///
/// ```text
/// local <- trust * |w| / (eps + |g| + decay * |w|)     g without decay
/// local <- 1                                           where |w| < threshold
///                                                      or would divide by 0
/// v <- momentum * v + lr * local * (g + decay * w)
/// w <- w - v
/// ```
///
/// The learning rate is part of the velocity, so a changed rate affects only
/// new gradients. This is the paper's algorithm 1 without Nesterov's momentum,
/// with two guards: `eps` for tensors without a gradient, and `threshold` for
/// tensors that start at 0, which would never move.
pub(crate) struct Lars {
    momentum: f64,
    trust: f64,
    eps: f64,
    threshold: f64,
    decay: Decay,
    /// How many tensors, at the front, have a local rate.
    adapted: i64,
    /// The decay of each tensor.
    decays: Tensor,
    norms: Norms,
    /// Which tensor each element belongs to.
    owner: Tensor,
    /// v, of the shape of the parameters.
    velocity: Tensor,
}

impl Lars {
    /// LARS for flat `parameters` that consist of `segments`.
    pub(super) fn new(options: &Options, parameters: &Tensor, segments: &Segments) -> Self {
        let device = parameters.device();
        let tensors = segments.counts().len() as i64;
        let decayed = segments.parameters(options.weight_decay_on) as i64;
        let decays = Tensor::zeros([tensors], (Kind::Float, device));
        let _ = decays.narrow(0, 0, decayed).fill_(options.weight_decay);
        let counts = Tensor::from_slice(segments.counts()).to_device(device);
        let owner = Tensor::arange(tensors, (Kind::Int, device)).repeat_interleave_self_tensor(
            &counts,
            0,
            parameters.size()[0],
        );
        Self {
            momentum: options.momentum,
            trust: options.trust_coefficient,
            eps: options.eps,
            threshold: options.threshold,
            decay: Decay {
                rate: options.weight_decay,
                elements: segments.elements(options.weight_decay_on),
            },
            adapted: segments.parameters(options.adapt_on) as i64,
            decays,
            norms: Norms {
                counts: segments.counts().to_vec(),
                on_device: counts,
            },
            owner,
            velocity: parameters.zeros_like(),
        }
    }

    pub(super) fn step(&mut self, parameters: &Tensor, gradient: &mut Tensor, lr: f64) {
        let rates = self.local_rates(parameters, gradient) * lr;
        self.decay.add(gradient, parameters);
        let _ = gradient.g_mul_(&rates.index_select(0, &self.owner));
        let _ = self.velocity.g_mul_scalar_(self.momentum);
        let _ = self.velocity.g_add_(gradient);
        let _ = parameters.shallow_clone().g_sub_(&self.velocity);
    }

    /// The local rate of each tensor.
    fn local_rates(&self, parameters: &Tensor, gradient: &Tensor) -> Tensor {
        let norms = self.norms.of(parameters);
        let below = &self.decays * &norms + self.norms.of(gradient) + self.eps;
        let mut rates = &norms * self.trust / &below;
        let _ = rates.masked_fill_(&norms.lt(self.threshold), 1.0);
        let _ = rates.masked_fill_(&below.eq(0.0), 1.0);
        let rest = rates.size()[0] - self.adapted;
        let _ = rates.narrow(0, self.adapted, rest).fill_(1.0);
        rates
    }

    pub(super) fn state(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("velocity", &self.velocity)]
    }
}

/// Computes the norm of every segment of a flat tensor.
struct Norms {
    counts: Vec<i64>,
    on_device: Tensor,
}

impl Norms {
    fn of(&self, flat: &Tensor) -> Tensor {
        if flat.device() == Device::Cpu {
            self.one_by_one(flat)
        } else {
            self.at_once(flat)
        }
    }

    /// One operation per segment: this is cheap where operations start cheaply,
    /// and each sum is a tree of vector operations.
    fn one_by_one(&self, flat: &Tensor) -> Tensor {
        let segments = flat.split_with_sizes(&self.counts, 0);
        let norms: Vec<Tensor> = segments.iter().map(Tensor::norm).collect();
        Tensor::stack(&norms, 0)
    }

    /// One reduction over all segments, so that an accelerator starts one
    /// kernel instead of hundreds.
    fn at_once(&self, flat: &Tensor) -> Tensor {
        // "Unsafe" means that the lengths are not checked, which would have to
        // wait for the device.
        let none = None::<&Tensor>;
        let lengths = Some(&self.on_device);
        Tensor::segment_reduce(&flat.square(), "sum", lengths, none, none, 0, true, 0.0).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_without_a_gradient_stays_where_nothing_is_added() {
        let counts = [2_i64, 1, 1];
        let zeros = |count| Tensor::zeros([count], (Kind::Float, Device::Cpu));
        let mut lars = Lars {
            momentum: 0.0,
            trust: 0.5,
            eps: 0.0,
            threshold: 0.0,
            decay: Decay {
                rate: 0.0,
                elements: 0,
            },
            adapted: 3,
            decays: zeros(3),
            norms: Norms {
                counts: counts.to_vec(),
                on_device: Tensor::from_slice(&counts),
            },
            owner: Tensor::from_slice(&[0_i32, 0, 1, 2]),
            velocity: zeros(4),
        };
        let parameters = Tensor::from_slice(&[3.0_f32, 4.0, 2.0, 0.0]);
        let mut gradient = Tensor::from_slice(&[0.0_f32, 0.0, 1.0, 0.0]);
        lars.step(&parameters, &mut gradient, 0.5);
        // 2 - 0.5 * (0.5 * 2 / 1) * 1
        assert_eq!(parameters, Tensor::from_slice(&[3.0_f32, 4.0, 1.5, 0.0]));
    }

    #[test]
    fn both_ways_to_the_norms_agree() {
        let counts = [3_i64, 1, 40_000, 0, 17];
        let norms = Norms {
            counts: counts.to_vec(),
            on_device: Tensor::from_slice(&counts),
        };
        let total = counts.iter().sum::<i64>();
        let flat = Tensor::arange(total, (Kind::Float, Device::Cpu)).sin();
        let (one_by_one, at_once) = (norms.one_by_one(&flat), norms.at_once(&flat));
        assert!(one_by_one.allclose(&at_once, 1e-5, 0.0, false));
        let expected = 40_000.0_f64 / 2.0;
        assert!((one_by_one.double_value(&[2]) - expected.sqrt()).abs() < 0.1);
        assert!(one_by_one.double_value(&[3]).abs() < f64::MIN_POSITIVE);
    }
}
