//! ResNet with pre-activation (He et al., *Identity mappings in deep residual
//! networks*, 2016), for small images: a 3×3 stem, three stages at full, half
//! and quarter resolution, a last BN-ReLU, global average, one linear layer.
//!
//! A block is BN-ReLU-conv twice (thrice in a bottleneck) beside a shortcut,
//! which is the identity or, where the width changes, a 1×1 convolution
//! without BN. The first stage keeps the width of the stem in bottleneck
//! blocks, too; the other stages have four times their basic width then.

use swath_core::spec::{BlockType, ResnetPreact};
use tch::Tensor;

use super::blocks::{Conv, Linear, Map, Norm, global_average};
use super::layout::Layout;
use super::weights::Weights;
use super::{Architecture, Pass};

/// The output of a bottleneck over its inner width.
const EXPANSION: i64 = 4;

/// A residual block.
#[derive(Debug)]
struct Block {
    /// Each convolution with the BN before it.
    layers: Vec<(Norm, Conv)>,
    last_norm: Option<Norm>,
    shortcut: Option<Conv>,
    /// The shortcut starts from the activated tensor, too.
    activates_shortcut: bool,
    /// No ReLU after the first BN.
    skips_first_relu: bool,
}

/// The whole network.
#[derive(Debug)]
pub(super) struct Network {
    stem: Conv,
    blocks: Vec<Block>,
    norm: Norm,
    classifier: Linear,
}

impl Network {
    /// Declares the network for images of `image` and `classes` classes.
    pub(super) fn declare(
        layout: &mut Layout,
        options: &ResnetPreact,
        image: Map,
        classes: i64,
    ) -> Self {
        let width = i64::from(options.initial_channels);
        let (per_block, expansion) = match options.block_type {
            BlockType::Basic => (6, 1),
            BlockType::Bottleneck => (9, EXPANSION),
        };
        let blocks_per_stage = (options.depth - 2) / per_block;
        let widths = [width, 2 * width * expansion, 4 * width * expansion];
        let (stem, mut map) = Conv::declare(layout, "conv", image, width, 3, 1);
        let mut blocks = Vec::new();
        for (stage, width) in widths.into_iter().enumerate() {
            for index in 0..blocks_per_stage {
                let first = index == 0;
                let stride = if first && stage > 0 { 2 } else { 1 };
                let both = first && options.preact_stage[stage];
                let name = format!("stage{}.block{}", stage + 1, index + 1);
                let (block, after) =
                    Block::declare(layout, &name, options, map, width, stride, both);
                blocks.push(block);
                map = after;
            }
        }
        let norm = Norm::declare(layout, "bn", map.channels);
        let classifier = Linear::declare(layout, "fc", map.channels, classes);
        Self {
            stem,
            blocks,
            norm,
            classifier,
        }
    }
}

impl Block {
    fn declare(
        layout: &mut Layout,
        name: &str,
        options: &ResnetPreact,
        input: Map,
        width: i64,
        stride: i64,
        activates_shortcut: bool,
    ) -> (Self, Map) {
        // Output channels, kernel and stride of each convolution.
        let convolutions = match options.block_type {
            BlockType::Basic => vec![(width, 3, stride), (width, 3, 1)],
            BlockType::Bottleneck => {
                let inner = width / EXPANSION;
                vec![(inner, 1, 1), (inner, 3, stride), (width, 1, 1)]
            }
        };
        let count = convolutions.len();
        let mut map = input;
        let mut layers = Vec::new();
        for (index, (out, kernel, stride)) in convolutions.into_iter().enumerate() {
            let number = index + 1;
            let bn = format!("{name}.bn{number}");
            let norm = if number == count && !options.add_last_bn {
                Norm::declare_last(layout, &bn, map.channels)
            } else {
                Norm::declare(layout, &bn, map.channels)
            };
            let conv = format!("{name}.conv{number}");
            let (conv, after) = Conv::declare(layout, &conv, map, out, kernel, stride);
            layers.push((norm, conv));
            map = after;
        }
        let last_norm = options
            .add_last_bn
            .then(|| Norm::declare_last(layout, &format!("{name}.bn{}", count + 1), width));
        let shortcut = (input.channels != width).then(|| {
            let name = format!("{name}.shortcut.conv");
            Conv::declare(layout, &name, input, width, 1, stride).0
        });
        let block = Self {
            layers,
            last_norm,
            shortcut,
            activates_shortcut,
            // The shared activation stays: without it the shortcut would be
            // normalized, but not activated.
            skips_first_relu: options.remove_first_relu && !activates_shortcut,
        };
        (block, map)
    }

    fn forward(&self, weights: &Weights, input: Tensor, pass: Pass) -> Tensor {
        let (norm, conv) = self.layers[0];
        let activated = if self.skips_first_relu {
            norm.forward(weights, &input, pass)
        } else {
            norm.relu(weights, &input, pass)
        };
        let mut residual = conv.forward(weights, &activated);
        for (norm, conv) in &self.layers[1..] {
            let activated = norm.relu(weights, &residual, pass);
            residual = conv.forward(weights, &activated);
        }
        if let Some(norm) = &self.last_norm {
            residual = norm.forward(weights, &residual, pass);
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
        // In place: no backward pass needs the output of a convolution or BN.
        residual.g_add_(&shortcut)
    }
}

impl Architecture for Network {
    fn forward(&self, weights: &Weights, images: &Tensor, pass: Pass) -> Tensor {
        let mut map = self.stem.forward(weights, images);
        for block in &self.blocks {
            map = block.forward(weights, map, pass);
        }
        let map = self.norm.relu(weights, &map, pass);
        self.classifier.forward(weights, &global_average(&map))
    }
}
