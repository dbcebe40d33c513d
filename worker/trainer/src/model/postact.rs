//! Networks of post-activation blocks (He et al., *Deep residual learning for
//! image recognition*, 2016) for small images: a 3×3 stem with BN-ReLU, three
//! stages at full, half and quarter resolution, global average, one linear
//! layer.
//!
//! A block is conv-BN-ReLU two or three times, with the last ReLU after the
//! addition of a shortcut. The shortcut is the identity or, where the width
//! changes, a 1×1 convolution with BN.

use tch::Tensor;

use super::blocks::{Conv, Linear, Map, Norm, Place, Shape, global_average};
use super::layout::Layout;
use super::weights::Weights;
use super::{Architecture, Pass};

/// A residual block.
#[derive(Debug)]
struct Block {
    /// Each convolution with the BN after it, and a ReLU.
    layers: Vec<(Conv, Norm)>,
    /// The last convolution, whose ReLU comes after the addition.
    last: (Conv, Norm),
    shortcut: Option<(Conv, Norm)>,
}

/// The whole network.
#[derive(Debug)]
pub(super) struct Network {
    stem: (Conv, Norm),
    blocks: Vec<Block>,
    classifier: Linear,
}

impl Network {
    /// Declares the network for images of `image` and `classes` classes, with a
    /// stem of `stem` channels and blocks with the `convolutions` of their
    /// place.
    pub(super) fn declare(
        layout: &mut Layout,
        stem: i64,
        blocks_per_stage: u32,
        convolutions: impl Fn(Place) -> Vec<Shape>,
        image: Map,
        classes: i64,
    ) -> Self {
        let (conv, mut map) = Conv::declare(layout, "conv", image, Shape::new(stem, 3));
        let norm = Norm::declare(layout, "bn", stem);
        let mut blocks = Vec::new();
        for place in Place::all(blocks_per_stage) {
            let (block, after) = Block::declare(layout, place, &convolutions(place), map);
            blocks.push(block);
            map = after;
        }
        Self {
            stem: (conv, norm),
            blocks,
            classifier: Linear::classifier(layout, map.channels, classes),
        }
    }
}

impl Block {
    fn declare(layout: &mut Layout, place: Place, shapes: &[Shape], input: Map) -> (Self, Map) {
        let name = place.name();
        let mut map = input;
        let mut layers = Vec::new();
        for (number, shape) in (1..).zip(shapes) {
            let conv = format!("{name}.conv{number}");
            let (conv, after) = Conv::declare(layout, &conv, map, *shape);
            let norm = format!("{name}.bn{number}");
            let norm = if number == shapes.len() {
                Norm::declare_last(layout, &norm, after.channels)
            } else {
                Norm::declare(layout, &norm, after.channels)
            };
            layers.push((conv, norm));
            map = after;
        }
        let last = layers.pop().expect("a block has convolutions");
        let shortcut = (input.channels != map.channels).then(|| {
            let shape = Shape::new(map.channels, 1).strided(place.stride());
            let conv = format!("{name}.shortcut.conv");
            let (conv, _) = Conv::declare(layout, &conv, input, shape);
            let norm = Norm::declare(layout, &format!("{name}.shortcut.bn"), map.channels);
            (conv, norm)
        });
        let block = Self {
            layers,
            last,
            shortcut,
        };
        (block, map)
    }

    fn forward(&self, weights: &Weights, input: Tensor, pass: Pass) -> Tensor {
        let mut residual = input.shallow_clone();
        for (conv, norm) in &self.layers {
            residual = norm.relu(weights, &conv.forward(weights, &residual), pass);
        }
        let (conv, norm) = &self.last;
        let residual = norm.forward(weights, &conv.forward(weights, &residual), pass);
        let shortcut = match &self.shortcut {
            Some((conv, norm)) => norm.forward(weights, &conv.forward(weights, &input), pass),
            None => input,
        };
        // In place: no backward pass needs the output of a BN or of a sum.
        let mut sum = { residual }.g_add_(&shortcut);
        sum.relu_()
    }
}

impl Architecture for Network {
    fn forward(&self, weights: &Weights, images: &Tensor, pass: Pass) -> Tensor {
        let (conv, norm) = &self.stem;
        let mut map = norm.relu(weights, &conv.forward(weights, images), pass);
        for block in &self.blocks {
            map = block.forward(weights, map, pass);
        }
        self.classifier.forward(weights, &global_average(&map))
    }
}
