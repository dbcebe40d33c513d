//! Networks of pre-activation blocks (He et al., *Identity mappings in deep
//! residual networks*, 2016) for small images: a 3×3 stem, three stages at
//! full, half and quarter resolution, a last BN-ReLU, global average, one
//! linear layer.
//!
//! A block is BN-ReLU-conv twice (three times in a bottleneck) beside a
//! shortcut, which is the identity or, where the width changes, a 1×1
//! convolution without BN.

use swath_model::spec::BlockType;
use tch::Tensor;

use super::blocks::{
    Conv, EXPANSION, Linear, Map, Norm, Place, Shape, convolutions, global_average,
};
use super::dropout::Dropout;
use super::layout::Layout;
use super::sum::Sum;
use super::weights::Weights;
use super::{Architecture, Pass};

/// What distinguishes one network of pre-activation blocks from another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Channels after the stem.
    pub(super) stem: i64,
    /// Channels after each stage.
    pub(super) widths: [i64; 3],
    pub(super) blocks_per_stage: u32,
    pub(super) block_type: BlockType,
    /// Drop the first ReLU of blocks whose shortcut does not need it.
    pub(super) remove_first_relu: bool,
    /// Append a BN after the last convolution of each block.
    pub(super) add_last_bn: bool,
    /// For each stage: whether the first block's shortcut starts from the
    /// activated tensor.
    pub(super) preact_stage: [bool; 3],
    /// Channels divided by the hidden units of the gate on each residual path;
    /// none without gates.
    pub(super) se_reduction: Option<i64>,
    /// Dropout before every convolution of a block but its first.
    pub(super) drop_rate: f64,
}

/// A residual block.
#[derive(Debug)]
struct Block {
    /// Each convolution with the BN before it.
    layers: Vec<(Norm, Conv)>,
    last_norm: Option<Norm>,
    gate: Option<Gate>,
    shortcut: Option<Conv>,
    /// Whether the shortcut also starts from the activated tensor.
    activates_shortcut: bool,
    /// Whether there is no ReLU after the first BN.
    skips_first_relu: bool,
}

/// Squeeze and excitation (Hu et al. 2018): scales each channel depending on
/// the means of all channels.
#[derive(Clone, Copy, Debug)]
struct Gate {
    squeeze: Linear,
    excite: Linear,
}

/// The whole network.
#[derive(Debug)]
pub(super) struct Network {
    stem: Conv,
    blocks: Vec<Block>,
    norm: Norm,
    classifier: Linear,
    dropout: Dropout,
}

impl Network {
    /// Declares the network for images of `image` and `classes` classes.
    pub(super) fn declare(layout: &mut Layout, plan: &Plan, image: Map, classes: i64) -> Self {
        let stem = Shape::new(plan.stem, 3);
        let (stem, mut map) = Conv::declare(layout, "conv", image, stem);
        let mut blocks = Vec::new();
        for place in Place::all(plan.blocks_per_stage) {
            let (block, after) = Block::declare(layout, plan, place, map);
            blocks.push(block);
            map = after;
        }
        Self {
            stem,
            blocks,
            norm: Norm::declare(layout, "bn", map.channels),
            classifier: Linear::classifier(layout, map.channels, classes),
            dropout: Dropout::new(plan.drop_rate),
        }
    }
}

impl Block {
    fn declare(layout: &mut Layout, plan: &Plan, place: Place, input: Map) -> (Self, Map) {
        let name = place.name();
        let width = plan.widths[place.stage];
        let activates_shortcut = place.is_first() && plan.preact_stage[place.stage];
        let stride = place.stride();
        let convolutions = convolutions(plan.block_type, width, width / EXPANSION, stride);
        let count = convolutions.len();
        let mut map = input;
        let mut layers = Vec::new();
        for (number, shape) in (1..).zip(convolutions) {
            let bn = format!("{name}.bn{number}");
            let norm = if number == count && !plan.add_last_bn {
                Norm::declare_last(layout, &bn, map.channels)
            } else {
                Norm::declare(layout, &bn, map.channels)
            };
            let conv = format!("{name}.conv{number}");
            let (conv, after) = Conv::declare(layout, &conv, map, shape);
            layers.push((norm, conv));
            map = after;
        }
        let last_norm = plan
            .add_last_bn
            .then(|| Norm::declare_last(layout, &format!("{name}.bn{}", count + 1), width));
        let gate = plan
            .se_reduction
            .map(|reduction| Gate::declare(layout, &name, width, width / reduction));
        let shortcut = (input.channels != width).then(|| {
            let name = format!("{name}.shortcut.conv");
            Conv::declare(layout, &name, input, Shape::new(width, 1).strided(stride)).0
        });
        let block = Self {
            layers,
            last_norm,
            gate,
            shortcut,
            activates_shortcut,
            // The shared activation stays; without it the shortcut would be
            // normalized but not activated.
            skips_first_relu: plan.remove_first_relu && !activates_shortcut,
        };
        (block, map)
    }

    fn forward(&self, weights: &Weights, input: Sum, dropout: Dropout, pass: Pass) -> Sum {
        let (norm, conv) = self.layers[0];
        let (input, activated) = input.normalized(norm, weights, pass, !self.skips_first_relu);
        let mut residual = conv.forward(weights, &activated);
        for (norm, conv) in &self.layers[1..] {
            // Between the convolutions. There are two ReLUs in a block and two
            // possible places for a mask; PyTorch's reference puts it before
            // the BN.
            let dropped = dropout.forward(residual, pass);
            let activated = norm.relu(weights, &dropped, pass);
            residual = conv.forward(weights, &activated);
        }
        if let Some(norm) = &self.last_norm {
            residual = norm.forward(weights, &residual, pass);
        }
        if let Some(gate) = &self.gate {
            residual = gate.forward(weights, &residual);
        }
        let source = if self.activates_shortcut {
            activated
        } else {
            input
        };
        let shortcut = match &self.shortcut {
            Some(conv) => conv.forward(weights, &source),
            None => source,
        };
        Sum::of(residual, shortcut)
    }
}

impl Gate {
    fn declare(layout: &mut Layout, block: &str, channels: i64, hidden: i64) -> Self {
        Self {
            squeeze: Linear::gate(layout, &format!("{block}.se.fc1"), channels, hidden),
            excite: Linear::gate(layout, &format!("{block}.se.fc2"), hidden, channels),
        }
    }

    fn forward(self, weights: &Weights, input: &Tensor) -> Tensor {
        let hidden = self
            .squeeze
            .forward(weights, &global_average(input))
            .relu_();
        let factors = self.excite.forward(weights, &hidden).sigmoid();
        input * factors.unsqueeze(-1).unsqueeze(-1)
    }
}

impl Architecture for Network {
    fn forward(&self, weights: &Weights, images: &Tensor, pass: Pass) -> Tensor {
        self.dropout.begin(pass);
        let mut map = Sum::from(self.stem.forward(weights, images));
        for block in &self.blocks {
            map = block.forward(weights, map, self.dropout, pass);
        }
        let (_, map) = map.normalized(self.norm, weights, pass, true);
        self.classifier.forward(weights, &global_average(&map))
    }
}
