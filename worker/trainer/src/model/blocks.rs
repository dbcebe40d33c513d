//! The layers of which the architectures are composed.
//!
//! A layer is declared on a [`Layout`], which gives it the indices of its
//! tensors; its forward pass takes them from a [`Weights`].

use swath_model::spec::BlockType;
use tch::Tensor;

use super::Pass;
use super::layout::{Layout, Role};
use super::weights::Weights;
use crate::kernels;

/// Shape of one image's feature map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Map {
    /// Number of channels.
    pub(crate) channels: i64,
    /// Number of rows.
    pub(crate) height: i64,
    /// Number of columns.
    pub(crate) width: i64,
}

impl Map {
    /// The map after 2×2 pooling, which drops an odd last row or column.
    pub(crate) fn halved(self) -> Self {
        Self {
            height: self.height / 2,
            width: self.width / 2,
            ..self
        }
    }
}

/// Output channels, kernel, stride and groups of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    out: i64,
    kernel: i64,
    stride: i64,
    groups: i64,
}

impl Shape {
    /// `out` channels by a `kernel`×`kernel` of stride 1, in one group.
    pub(crate) fn new(out: i64, kernel: i64) -> Self {
        Self {
            out,
            kernel,
            stride: 1,
            groups: 1,
        }
    }

    /// The same with another stride.
    pub(crate) fn strided(self, stride: i64) -> Self {
        Self { stride, ..self }
    }

    /// The same in `groups` groups.
    pub(crate) fn grouped(self, groups: i64) -> Self {
        Self { groups, ..self }
    }
}

/// A convolution, padded to keep its size at stride 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conv {
    weight: usize,
    bias: Option<usize>,
    shape: Shape,
}

impl Conv {
    /// Declares `name`.weight of out×(in / groups)×kernel×kernel, and returns
    /// the map after it.
    pub(crate) fn declare(layout: &mut Layout, name: &str, map: Map, shape: Shape) -> (Self, Map) {
        let Shape {
            out,
            kernel,
            stride,
            groups,
        } = shape;
        let inputs = map.channels / groups;
        let weight = layout.parameter(
            format!("{name}.weight"),
            &[out, inputs, kernel, kernel],
            // Counted like PyTorch, which ignores groups in `fan_out`.
            Role::Convolution {
                fan_in: inputs * kernel * kernel,
                fan_out: out * kernel * kernel,
            },
        );
        // An odd kernel with half its size as padding: ceil(side / stride).
        let after = Map {
            channels: out,
            height: (map.height - 1) / stride + 1,
            width: (map.width - 1) / stride + 1,
        };
        layout.work(&[out, inputs, kernel, kernel, after.height, after.width]);
        let conv = Self {
            weight,
            bias: None,
            shape,
        };
        (conv, after)
    }

    /// Like [`Conv::declare`], with `name`.bias.
    pub(crate) fn declare_biased(
        layout: &mut Layout,
        name: &str,
        map: Map,
        shape: Shape,
    ) -> (Self, Map) {
        let (conv, after) = Self::declare(layout, name, map, shape);
        let bias = layout.parameter(format!("{name}.bias"), &[shape.out], Role::ConvolutionBias);
        let conv = Self {
            bias: Some(bias),
            ..conv
        };
        (conv, after)
    }

    /// Convolves a batch.
    pub(crate) fn forward(self, weights: &Weights, input: &Tensor) -> Tensor {
        debug_assert!(
            lies_channels_last(input),
            "{:?} {:?}",
            input.size(),
            input.stride()
        );
        let Shape {
            kernel,
            stride,
            groups,
            ..
        } = self.shape;
        let bias = self.bias.map(|bias| weights.parameter(bias));
        let weight = weights.parameter(self.weight);
        in_kind_of(weight, input).conv2d(weight, bias, [stride; 2], [kernel / 2; 2], [1, 1], groups)
    }
}

/// Whether a batch of maps is channels last in memory: convolutions need this,
/// and no layer may undo it.
pub(crate) fn lies_channels_last(batch: &Tensor) -> bool {
    let (size, stride) = (batch.size(), batch.stride());
    let mut expected = 1;
    // The stride of a dimension of size one has no meaning.
    [1, 3, 2, 0].into_iter().all(|dimension| {
        let fits = size[dimension] == 1 || stride[dimension] == expected;
        expected *= size[dimension];
        fits
    })
}

/// `input` in the number format of `weight`.
fn in_kind_of(weight: &Tensor, input: &Tensor) -> Tensor {
    input.to_kind(weight.kind())
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

    /// Like [`Norm::declare`], for the last one of a residual block.
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

    /// Normalizes a batch: in training by its own statistics, which update the
    /// running ones; otherwise by the running ones.
    pub(crate) fn forward(self, weights: &Weights, input: &Tensor, pass: Pass) -> Tensor {
        self.normalized(weights, input, pass, false)
    }

    /// [`Norm::forward`] and a ReLU.
    pub(crate) fn relu(self, weights: &Weights, input: &Tensor, pass: Pass) -> Tensor {
        self.normalized(weights, input, pass, true)
    }

    /// [`Norm::relu`] or [`Norm::forward`].
    pub(crate) fn normalized(
        self,
        weights: &Weights,
        input: &Tensor,
        pass: Pass,
        relu: bool,
    ) -> Tensor {
        if let Some(chunk) = chunk_of(weights, input, pass) {
            let chunks = input.split(chunk, 0);
            let parts = chunks
                .iter()
                .map(|part| self.by_own_statistics(weights, part, pass, relu));
            return Tensor::cat(&parts.collect::<Vec<_>>(), 0);
        }
        self.by_own_statistics(weights, input, pass, relu)
    }

    /// Normalizes one chunk of a batch by its own statistics.
    fn by_own_statistics(
        self,
        weights: &Weights,
        input: &Tensor,
        pass: Pass,
        relu: bool,
    ) -> Tensor {
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
        // In place: neither backward pass needs what is overwritten.
        let mut out = out;
        if relu { out.relu_() } else { out }
    }

    /// Its tensors and constants.
    pub(crate) fn tensors(self, weights: &Weights) -> kernels::Norm<'_> {
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

/// Images per chunk of BN statistics if `batch` has several chunks: ghost batch
/// normalization (Hoffer et al. 2017).
fn chunk_of(weights: &Weights, batch: &Tensor, pass: Pass) -> Option<i64> {
    let chunk = weights.statistics_chunk()?;
    (pass.is_training() && chunk < batch.size()[0]).then_some(chunk)
}

/// Whether `input` goes through the fused layers that normalize a whole batch.
pub(crate) fn is_fused(weights: &Weights, input: &Tensor, pass: Pass) -> bool {
    pass.is_training() && chunk_of(weights, input, pass).is_none() && kernels::fits(input)
}

/// A linear layer with bias.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linear {
    weight: usize,
    bias: usize,
}

impl Linear {
    /// Declares `fc`.{weight, bias}, which end every architecture.
    pub(crate) fn classifier(layout: &mut Layout, inputs: i64, classes: i64) -> Self {
        let fan_in = inputs;
        let role = Role::Linear {
            fan_in,
            fan_out: classes,
        };
        let roles = [role, Role::LinearBias { fan_in }];
        Self::with_roles(layout, "fc", [inputs, classes], roles)
    }

    /// Declares `name`.{weight, bias} of a layer inside a block.
    pub(crate) fn gate(layout: &mut Layout, name: &str, inputs: i64, outputs: i64) -> Self {
        let fan_in = inputs;
        let roles = [Role::Gate { fan_in }, Role::GateBias { fan_in }];
        Self::with_roles(layout, name, [inputs, outputs], roles)
    }

    fn with_roles(
        layout: &mut Layout,
        name: &str,
        [inputs, outputs]: [i64; 2],
        [weight, bias]: [Role; 2],
    ) -> Self {
        layout.work(&[inputs, outputs]);
        Self {
            weight: layout.parameter(format!("{name}.weight"), &[outputs, inputs], weight),
            bias: layout.parameter(format!("{name}.bias"), &[outputs], bias),
        }
    }

    /// Maps a batch of vectors.
    pub(crate) fn forward(self, weights: &Weights, input: &Tensor) -> Tensor {
        let weight = weights.parameter(self.weight);
        in_kind_of(weight, input).linear(weight, Some(weights.parameter(self.bias)))
    }
}

/// The mean over all places of each map, as a batch of vectors.
pub(crate) fn global_average(input: &Tensor) -> Tensor {
    input.adaptive_avg_pool2d([1, 1]).flatten(1, -1)
}

/// The place of a block in a network of three stages at full, half and quarter
/// resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The stage, from 0.
    pub(crate) stage: usize,
    /// The block within the stage, from 0.
    pub(crate) index: u32,
}

impl Place {
    /// The places of a network, in the order of its forward pass.
    pub(crate) fn all(blocks_per_stage: u32) -> impl Iterator<Item = Self> {
        let stage = move |stage| (0..blocks_per_stage).map(move |index| Self { stage, index });
        (0..3).flat_map(stage)
    }

    /// Whether it is the first block of its stage.
    pub(crate) fn is_first(self) -> bool {
        self.index == 0
    }

    /// The stride of its block: the first one of the later stages halves the
    /// resolution.
    pub(crate) fn stride(self) -> i64 {
        if self.is_first() && self.stage > 0 {
            2
        } else {
            1
        }
    }

    /// Its name in a state dict.
    pub(crate) fn name(self) -> String {
        format!("stage{}.block{}", self.stage + 1, self.index + 1)
    }
}

/// Output width of a bottleneck divided by its inner width.
pub(crate) const EXPANSION: i64 = 4;

/// The convolutions of a residual block with `width` output channels: two of
/// 3×3, or 1×1, 3×3, 1×1 with an `inner` width. The first 3×3 has the stride.
pub(crate) fn convolutions(
    block_type: BlockType,
    width: i64,
    inner: i64,
    stride: i64,
) -> Vec<Shape> {
    match block_type {
        BlockType::Basic => vec![Shape::new(width, 3).strided(stride), Shape::new(width, 3)],
        BlockType::Bottleneck => vec![
            Shape::new(inner, 1),
            Shape::new(inner, 3).strided(stride),
            Shape::new(width, 1),
        ],
    }
}

/// Blocks per stage of a residual network of `depth` layers with weights.
pub(crate) fn blocks_per_stage(block_type: BlockType, depth: u32) -> u32 {
    let layers_per_block = match block_type {
        BlockType::Basic => 2,
        BlockType::Bottleneck => 3,
    };
    (depth - 2) / (3 * layers_per_block)
}

/// The widths of the three stages of a residual network: those of basic blocks,
/// and for bottlenecks four times as wide from the second stage on. (In He et
/// al. 2016 the first stage is four times as wide too; here it keeps the width
/// of the stem.)
pub(crate) fn stage_widths(block_type: BlockType, initial_channels: u32) -> [i64; 3] {
    let width = i64::from(initial_channels);
    match block_type {
        BlockType::Basic => [width, 2 * width, 4 * width],
        BlockType::Bottleneck => [width, 2 * width * EXPANSION, 4 * width * EXPANSION],
    }
}
