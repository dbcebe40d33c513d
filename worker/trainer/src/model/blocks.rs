//! The layers that the architectures are made of.
//!
//! A layer is declared on a [`Layout`], which gives it the indices of its
//! tensors; its forward pass takes them from a [`Weights`].

use tch::Tensor;

use super::Pass;
use super::layout::{Layout, Role};
use super::weights::Weights;
use crate::kernels;

/// Shape of one image's feature map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Map {
    /// Channels.
    pub(crate) channels: i64,
    /// Rows.
    pub(crate) height: i64,
    /// Columns.
    pub(crate) width: i64,
}

/// A convolution without bias, padded to keep its size at stride 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conv {
    weight: usize,
    stride: i64,
    padding: i64,
}

impl Conv {
    /// Declares `name`.weight of `out`×in×`kernel`×`kernel` and gives the map
    /// after it.
    pub(crate) fn declare(
        layout: &mut Layout,
        name: &str,
        map: Map,
        out: i64,
        kernel: i64,
        stride: i64,
    ) -> (Self, Map) {
        let weight = layout.parameter(
            format!("{name}.weight"),
            &[out, map.channels, kernel, kernel],
            Role::Convolution {
                fan_in: map.channels * kernel * kernel,
                fan_out: out * kernel * kernel,
            },
        );
        // An odd kernel with half its size as padding: ceil(side / stride).
        let after = Map {
            channels: out,
            height: (map.height - 1) / stride + 1,
            width: (map.width - 1) / stride + 1,
        };
        layout.macs += out * map.channels * kernel * kernel * after.height * after.width;
        let conv = Self {
            weight,
            stride,
            padding: kernel / 2,
        };
        (conv, after)
    }

    /// Convolves a batch.
    pub(crate) fn forward(self, weights: &Weights, input: &Tensor) -> Tensor {
        let stride = [self.stride; 2];
        let padding = [self.padding; 2];
        let weight = weights.parameter(self.weight);
        input.conv2d::<&Tensor>(weight, None, stride, padding, [1, 1], 1)
    }
}

/// A batch normalization (Ioffe & Szegedy 2015) with PyTorch's constants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Norm {
    scale: usize,
    shift: usize,
    mean: usize,
    variance: usize,
}

/// Share of the new batch in the running statistics.
const NORM_MOMENTUM: f64 = 0.1;
/// Added to the variance.
const NORM_EPSILON: f64 = 1e-5;

impl Norm {
    /// Declares `name`.{weight, bias, running_mean, running_var} for
    /// `channels` channels.
    pub(crate) fn declare(layout: &mut Layout, name: &str, channels: i64) -> Self {
        Self::with_role(layout, name, channels, false)
    }

    /// As [`Norm::declare`], for the last one of a residual block.
    pub(crate) fn declare_last(layout: &mut Layout, name: &str, channels: i64) -> Self {
        Self::with_role(layout, name, channels, true)
    }

    fn with_role(layout: &mut Layout, name: &str, channels: i64, last_of_block: bool) -> Self {
        Self {
            scale: layout.parameter(
                format!("{name}.weight"),
                &[channels],
                Role::Scale { last_of_block },
            ),
            shift: layout.parameter(format!("{name}.bias"), &[channels], Role::Shift),
            mean: layout.buffer(format!("{name}.running_mean"), channels, 0.0),
            variance: layout.buffer(format!("{name}.running_var"), channels, 1.0),
        }
    }

    /// Normalizes a batch: by its own statistics when training (which move
    /// the running ones), else by the running ones.
    pub(crate) fn forward(self, weights: &Weights, input: &Tensor, pass: Pass) -> Tensor {
        self.normalized(weights, input, pass, false)
    }

    /// [`Norm::forward`] and a ReLU.
    pub(crate) fn relu(self, weights: &Weights, input: &Tensor, pass: Pass) -> Tensor {
        self.normalized(weights, input, pass, true)
    }

    /// The sum of `a` and `b`, and [`Norm::relu`] (or, without `relu`,
    /// [`Norm::forward`]) of it.
    pub(crate) fn join(
        self,
        weights: &Weights,
        (a, b): (&Tensor, &Tensor),
        pass: Pass,
        relu: bool,
    ) -> (Tensor, Tensor) {
        if pass.is_training() && kernels::fits(a) && kernels::fits(b) {
            return kernels::join(a, b, &self.tensors(weights), relu);
        }
        let sum = a + b;
        let out = self.normalized(weights, &sum, pass, relu);
        (sum, out)
    }

    fn normalized(self, weights: &Weights, input: &Tensor, pass: Pass, relu: bool) -> Tensor {
        let norm = self.tensors(weights);
        if pass.is_training() && kernels::fits(input) {
            return kernels::norm(input, &norm, relu);
        }
        let out = input.batch_norm(
            Some(norm.scale),
            Some(norm.shift),
            Some(norm.mean),
            Some(norm.variance),
            pass.is_training(),
            NORM_MOMENTUM,
            NORM_EPSILON,
            true,
        );
        // In place: the backward pass of neither needs what is overwritten.
        let mut out = out;
        if relu { out.relu_() } else { out }
    }

    fn tensors(self, weights: &Weights) -> kernels::Norm<'_> {
        kernels::Norm {
            scale: weights.parameter(self.scale),
            shift: weights.parameter(self.shift),
            mean: weights.buffer(self.mean),
            variance: weights.buffer(self.variance),
            momentum: NORM_MOMENTUM,
            epsilon: NORM_EPSILON,
        }
    }
}

/// A linear layer with bias.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linear {
    weight: usize,
    bias: usize,
}

impl Linear {
    /// Declares `name`.{weight, bias}.
    pub(crate) fn declare(layout: &mut Layout, name: &str, inputs: i64, outputs: i64) -> Self {
        layout.macs += inputs * outputs;
        Self {
            weight: layout.parameter(
                format!("{name}.weight"),
                &[outputs, inputs],
                Role::Linear {
                    fan_in: inputs,
                    fan_out: outputs,
                },
            ),
            bias: layout.parameter(
                format!("{name}.bias"),
                &[outputs],
                Role::LinearBias { fan_in: inputs },
            ),
        }
    }

    /// Maps a batch of vectors.
    pub(crate) fn forward(self, weights: &Weights, input: &Tensor) -> Tensor {
        input.linear(
            weights.parameter(self.weight),
            Some(weights.parameter(self.bias)),
        )
    }
}

/// The mean over all places of each map: a batch of vectors.
pub(crate) fn global_average(input: &Tensor) -> Tensor {
    input.adaptive_avg_pool2d([1, 1]).flatten(1, -1)
}
