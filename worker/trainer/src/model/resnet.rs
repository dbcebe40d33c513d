//! ResNet (He et al., *Deep residual learning for image recognition*, 2016),
//! with 1×1 convolutions and BN where a shortcut changes its width.
//!
//! In bottleneck blocks the first stage also keeps the width of the stem; the
//! other stages then have four times their basic width.

use swath_model::spec::Resnet;

use super::blocks::{EXPANSION, Map, blocks_per_stage, convolutions, stage_widths};
use super::layout::Layout;
use super::postact::Network;

/// Declares the network for images of `image` and `classes` classes.
pub(super) fn declare(layout: &mut Layout, options: &Resnet, image: Map, classes: i64) -> Network {
    let block_type = options.block_type;
    let widths = stage_widths(block_type, options.initial_channels);
    Network::declare(
        layout,
        i64::from(options.initial_channels),
        blocks_per_stage(block_type, options.depth),
        |place| {
            let width = widths[place.stage];
            convolutions(block_type, width, width / EXPANSION, place.stride())
        },
        image,
        classes,
    )
}
