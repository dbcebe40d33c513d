//! ResNeXt (Xie et al., *Aggregated residual transformations for deep neural
//! networks*, 2017): post-activation bottlenecks whose 3×3 convolution is
//! grouped.

use swath_model::spec::{BlockType, Resnext};

use super::blocks::{EXPANSION, Map, Shape, blocks_per_stage};
use super::layout::Layout;
use super::postact::Network;

/// Declares the network for images of `image` and `classes` classes.
pub(super) fn declare(layout: &mut Layout, options: &Resnext, image: Map, classes: i64) -> Network {
    let stem = i64::from(options.initial_channels);
    let groups = i64::from(options.cardinality);
    let inner = groups * i64::from(options.base_channels);
    Network::declare(
        layout,
        stem,
        blocks_per_stage(BlockType::Bottleneck, options.depth),
        |place| {
            let doubled = 1 << place.stage;
            vec![
                Shape::new(inner * doubled, 1),
                Shape::new(inner * doubled, 3)
                    .strided(place.stride())
                    .grouped(groups),
                Shape::new(stem * EXPANSION * doubled, 1),
            ]
        },
        image,
        classes,
    )
}
