//! Initial weights: drawn from the seed alone, on the host, so that they are
//! the same on every device, whatever ran before.

use swath_model::spec::{BnInit, ConvInit, Init, LinearInit};
use tch::{Tensor, no_grad};

use super::layout::{Layout, Role};
use super::weights::Weights;
use crate::rng::{Purpose, Stream};

/// How one parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Start {
    Constant(f32),
    /// N(0, sd²).
    Normal(f64),
    /// U(-bound, bound).
    Uniform(f64),
    /// U(0, 1).
    Unit,
}

/// Standard deviation of a normal classifier (Goyal et al. 2017, 5.1).
const CLASSIFIER_SD: f64 = 0.01;

/// Fills all parameters.
pub(super) fn fill(layout: &Layout, weights: &Weights, init: &Init, seed: u64) {
    for (index, parameter) in layout.parameters.iter().enumerate() {
        let stream = Stream::new(seed, Purpose::Init, index as u64);
        let start = start(parameter.role, init);
        let values = draw(start, stream, parameter.count() as usize);
        let values = Tensor::from_slice(&values).view(parameter.shape.as_slice());
        let mut target = weights.parameter(index).shallow_clone();
        no_grad(|| target.copy_(&values));
    }
}

fn start(role: Role, init: &Init) -> Start {
    // Kaiming normal with the gain of ReLU (He et al. 2015): sd = sqrt(2/fan).
    let kaiming = |fan: i64| Start::Normal((2.0 / fan as f64).sqrt());
    let framework = |fan_in: i64| Start::Uniform((fan_in as f64).sqrt().recip());
    match role {
        Role::Convolution { fan_in, fan_out } => match init.conv {
            ConvInit::KaimingFanOut => kaiming(fan_out),
            ConvInit::KaimingFanIn => kaiming(fan_in),
        },
        Role::Linear { fan_in, fan_out } => match init.linear {
            LinearInit::Framework => framework(fan_in),
            LinearInit::KaimingFanOut => kaiming(fan_out),
            LinearInit::KaimingFanIn => kaiming(fan_in),
            LinearInit::Normal => Start::Normal(CLASSIFIER_SD),
        },
        Role::LinearBias { fan_in } => match init.linear {
            LinearInit::Framework => framework(fan_in),
            LinearInit::KaimingFanOut | LinearInit::KaimingFanIn | LinearInit::Normal => {
                Start::Constant(0.0)
            }
        },
        Role::Gate { fan_in } | Role::GateBias { fan_in } => framework(fan_in),
        Role::Scale { last_of_block } if last_of_block && init.zero_gamma => Start::Constant(0.0),
        Role::Scale { .. } => match init.bn {
            BnInit::Ones => Start::Constant(1.0),
            BnInit::Uniform => Start::Unit,
        },
        Role::ConvolutionBias | Role::Shift => Start::Constant(0.0),
    }
}

fn draw(start: Start, stream: Stream, count: usize) -> Vec<f32> {
    let paired = |pair: &dyn Fn(u64) -> (f64, f64)| {
        let pairs = (0..count.div_ceil(2) as u64).flat_map(|at| <[f64; 2]>::from(pair(at)));
        pairs.take(count).map(|value| value as f32).collect()
    };
    match start {
        Start::Constant(value) => vec![value; count],
        Start::Normal(sd) => paired(&|at| {
            let (first, second) = stream.normals(at);
            (sd * first, sd * second)
        }),
        Start::Uniform(bound) => paired(&|at| {
            let (first, second) = stream.uniforms(at);
            (bound * (2.0 * first - 1.0), bound * (2.0 * second - 1.0))
        }),
        Start::Unit => paired(&|at| stream.uniforms(at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_start_as_the_spec_says() {
        let mut init = Init::default();
        let conv = Role::Convolution {
            fan_in: 8,
            fan_out: 32,
        };
        assert_eq!(start(conv, &init), Start::Normal(0.25));
        let linear = Role::Linear {
            fan_in: 64,
            fan_out: 10,
        };
        assert_eq!(start(linear, &init), Start::Uniform(0.125));
        let bias = Role::LinearBias { fan_in: 64 };
        assert_eq!(start(bias, &init), Start::Uniform(0.125));
        let last = Role::Scale {
            last_of_block: true,
        };
        assert_eq!(start(last, &init), Start::Constant(1.0));
        init.zero_gamma = true;
        init.conv = ConvInit::KaimingFanIn;
        init.linear = LinearInit::KaimingFanOut;
        assert_eq!(start(conv, &init), Start::Normal(0.5));
        assert_eq!(start(linear, &init), Start::Normal(0.2_f64.sqrt()));
        assert_eq!(start(bias, &init), Start::Constant(0.0));
        assert_eq!(start(last, &init), Start::Constant(0.0));
        let inner = Role::Scale {
            last_of_block: false,
        };
        assert_eq!(start(inner, &init), Start::Constant(1.0));
        init.bn = BnInit::Uniform;
        init.linear = LinearInit::Normal;
        assert_eq!(start(inner, &init), Start::Unit);
        // `zero_gamma` takes precedence.
        assert_eq!(start(last, &init), Start::Constant(0.0));
        init.zero_gamma = false;
        assert_eq!(start(last, &init), Start::Unit);
        assert_eq!(start(linear, &init), Start::Normal(0.01));
        assert_eq!(start(bias, &init), Start::Constant(0.0));
        assert_eq!(start(Role::Shift, &init), Start::Constant(0.0));
        // Whatever the spec says about the classifier.
        for gate in [Role::Gate { fan_in: 16 }, Role::GateBias { fan_in: 16 }] {
            assert_eq!(start(gate, &init), Start::Uniform(0.25));
        }
        assert_eq!(start(Role::ConvolutionBias, &init), Start::Constant(0.0));
    }

    #[test]
    fn draws_keep_their_bounds_and_moments() {
        let stream = Stream::new(3, Purpose::Init, 1);
        let uniform = draw(Start::Uniform(0.5), stream, 9999);
        assert_eq!(uniform.len(), 9999);
        assert!(uniform.iter().all(|value| value.abs() <= 0.5));
        let mean = uniform.iter().sum::<f32>() / 9999.0;
        assert!(mean.abs() < 0.01, "{mean}");
        let unit = draw(Start::Unit, stream, 9999);
        assert!(unit.iter().all(|value| (0.0..=1.0).contains(value)));
        let mean = unit.iter().sum::<f32>() / 9999.0;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        let variance = unit.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / 9999.0;
        assert!((variance - 1.0 / 12.0).abs() < 0.003, "{variance}");
        let normal = draw(Start::Normal(0.1), stream, 9999);
        let square = normal.iter().map(|value| value * value).sum::<f32>() / 9999.0;
        assert!((square - 0.01).abs() < 0.0005, "{square}");
    }
}
