//! PyramidNet (Han et al., *Deep pyramidal residual networks*, 2017): every
//! block is wider than the one before it by the same amount.
//!
//! A block is BN-conv-BN-ReLU-conv-BN (in a bottleneck 1×1, 3×3, 1×1 with four
//! BNs; no ReLU before the first convolution) beside a shortcut without
//! weights: 2×2 average pooling where the block has a stride, zeros for the
//! channels that are new. Stem and last block have a BN, the last with ReLU.

use swath_model::spec::{BlockType, Pyramidnet};
use tch::Tensor;

use super::blocks::{
    Conv, EXPANSION, Linear, Map, Norm, Place, Shape, blocks_per_stage, convolutions,
    global_average,
};
use super::layout::Layout;
use super::sum::Sum;
use super::weights::Weights;
use super::{Architecture, Pass};

/// A residual block.
#[derive(Debug)]
struct Block {
    /// Each convolution with the BN before it.
    layers: Vec<(Norm, Conv)>,
    last_norm: Norm,
    /// Whether the shortcut is pooled.
    strided: bool,
    /// How many channels of zeros the shortcut gets.
    added: i64,
}

/// The whole network.
#[derive(Debug)]
pub(super) struct Network {
    stem: (Conv, Norm),
    blocks: Vec<Block>,
    norm: Norm,
    classifier: Linear,
}

impl Network {
    /// Declares the network for images of `image` and `classes` classes.
    pub(super) fn declare(
        layout: &mut Layout,
        options: &Pyramidnet,
        image: Map,
        classes: i64,
    ) -> Self {
        let block_type = options.block_type;
        let stem = i64::from(options.initial_channels);
        let (conv, mut map) = Conv::declare(layout, "conv", image, Shape::new(stem, 3));
        let stem = (conv, Norm::declare(layout, "bn1", map.channels));
        let blocks_per_stage = blocks_per_stage(block_type, options.depth);
        let mut blocks = Vec::new();
        for (unit, place) in (1..).zip(Place::all(blocks_per_stage)) {
            let inner = inner_width(options, unit, 3 * blocks_per_stage);
            let (block, after) = Block::declare(layout, block_type, place, map, inner);
            blocks.push(block);
            map = after;
        }
        Self {
            stem,
            blocks,
            norm: Norm::declare(layout, "bn2", map.channels),
            classifier: Linear::classifier(layout, map.channels, classes),
        }
    }
}

/// Width of unit `unit`, counted from 1, of `units`: initial + α·unit/units,
/// rounded to nearest, ties to even.
fn inner_width(options: &Pyramidnet, unit: u32, units: u32) -> i64 {
    let added = f64::from(options.alpha) * f64::from(unit) / f64::from(units);
    (f64::from(options.initial_channels) + added).round_ties_even() as i64
}

impl Block {
    fn declare(
        layout: &mut Layout,
        block_type: BlockType,
        place: Place,
        input: Map,
        inner: i64,
    ) -> (Self, Map) {
        let name = place.name();
        let width = match block_type {
            BlockType::Basic => inner,
            BlockType::Bottleneck => inner * EXPANSION,
        };
        let convolutions = convolutions(block_type, width, inner, place.stride());
        let last = format!("{name}.bn{}", convolutions.len() + 1);
        let mut map = input;
        let mut layers = Vec::new();
        for (number, shape) in (1..).zip(convolutions) {
            let norm = Norm::declare(layout, &format!("{name}.bn{number}"), map.channels);
            let conv = format!("{name}.conv{number}");
            let (conv, after) = Conv::declare(layout, &conv, map, shape);
            layers.push((norm, conv));
            map = after;
        }
        let block = Self {
            layers,
            last_norm: Norm::declare_last(layout, &last, width),
            strided: place.stride() > 1,
            added: width - input.channels,
        };
        (block, map)
    }

    fn forward(&self, weights: &Weights, input: Sum, pass: Pass) -> Sum {
        let (norm, conv) = self.layers[0];
        let (input, normalized) = input.normalized(norm, weights, pass, false);
        let mut residual = conv.forward(weights, &normalized);
        for (norm, conv) in &self.layers[1..] {
            residual = conv.forward(weights, &norm.relu(weights, &residual, pass));
        }
        let residual = self.last_norm.forward(weights, &residual, pass);
        Sum::of(residual, self.shortcut(input))
    }

    fn shortcut(&self, input: Tensor) -> Tensor {
        let pooled = if self.strided {
            // An odd last row or column is averaged by itself, because a
            // strided convolution keeps it.
            input.avg_pool2d([2, 2], [2, 2], [0, 0], true, false, None)
        } else {
            input
        };
        if self.added > 0 {
            pooled.constant_pad_nd([0, 0, 0, 0, 0, self.added])
        } else {
            pooled
        }
    }
}

impl Architecture for Network {
    fn forward(&self, weights: &Weights, images: &Tensor, pass: Pass) -> Tensor {
        let (conv, norm) = &self.stem;
        let stem = norm.forward(weights, &conv.forward(weights, images), pass);
        let mut map = Sum::from(stem);
        for block in &self.blocks {
            map = block.forward(weights, map, pass);
        }
        let (_, map) = map.normalized(self.norm, weights, pass, true);
        self.classifier.forward(weights, &global_average(&map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_grow_evenly_and_ties_go_to_even() {
        let options = Pyramidnet {
            depth: 14,
            initial_channels: 4,
            block_type: BlockType::Basic,
            alpha: 9,
        };
        // 4 + 1.5 per unit.
        let widths: Vec<i64> = (1..=6).map(|unit| inner_width(&options, unit, 6)).collect();
        assert_eq!(widths, [6, 7, 8, 10, 12, 13]);
    }
}
