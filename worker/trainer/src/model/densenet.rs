//! DenseNet (Huang et al., *Densely connected convolutional networks*, 2017)
//! for small images: a 3×3 stem of twice the growth rate, three dense blocks
//! with transitions between them, a last BN-ReLU, global average, one linear
//! layer.
//!
//! A layer is BN-ReLU-conv (in a bottleneck BN-ReLU-1×1-BN-ReLU-3×3) on all
//! maps before it, and adds `growth_rate` maps. A transition is BN-ReLU-1×1,
//! which keeps a share of the maps, and 2×2 average pooling. Dropout follows
//! every convolution but the stem.

use swath_core::spec::{BlockType, Densenet};
use tch::Tensor;

use super::blocks::{Conv, Dropout, Linear, Map, Norm, Place, Shape, global_average};
use super::layout::Layout;
use super::weights::Weights;
use super::{Architecture, Pass};
use crate::failure::Failure;

/// Inner width of a bottleneck over the growth rate.
const BOTTLENECK: i64 = 4;

/// BN-ReLU-conv.
type Layer = (Norm, Conv);

/// A dense block, and what leads to the next one.
#[derive(Debug)]
struct Stage {
    layers: Vec<Vec<Layer>>,
    transition: Option<Layer>,
}

/// The whole network.
#[derive(Debug)]
pub(super) struct Network {
    stem: Conv,
    stages: Vec<Stage>,
    norm: Norm,
    classifier: Linear,
    dropout: Dropout,
}

impl Network {
    /// Declares the network for images of `image` and `classes` classes.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] where a transition would keep no map, or its
    /// pooling no place.
    pub(super) fn declare(
        layout: &mut Layout,
        options: &Densenet,
        image: Map,
        classes: i64,
    ) -> Result<Self, Failure> {
        let growth = i64::from(options.growth_rate);
        let layers_per_stage = match options.block_type {
            BlockType::Basic => (options.depth - 4) / 3,
            BlockType::Bottleneck => (options.depth - 4) / 6,
        };
        let (stem, mut map) = Conv::declare(layout, "conv", image, Shape::new(2 * growth, 3));
        let mut stages: Vec<Stage> = Vec::new();
        for place in Place::all(layers_per_stage) {
            if place.is_first() {
                if let Some(before) = stages.last_mut() {
                    let (transition, after) = transition(layout, options, place.stage, map)?;
                    before.transition = Some(transition);
                    map = after;
                }
                stages.push(Stage {
                    layers: Vec::new(),
                    transition: None,
                });
            }
            let layer = layer(layout, options.block_type, &place.name(), map, growth);
            stages[place.stage].layers.push(layer);
            map.channels += growth;
        }
        Ok(Self {
            stem,
            stages,
            norm: Norm::declare(layout, "bn", map.channels),
            classifier: Linear::classifier(layout, map.channels, classes),
            dropout: Dropout::new(options.drop_rate),
        })
    }
}

/// Declares a layer that makes `growth` maps of `input`.
fn layer(
    layout: &mut Layout,
    block_type: BlockType,
    name: &str,
    input: Map,
    growth: i64,
) -> Vec<Layer> {
    let mut part = |number: &str, map: Map, shape: Shape| {
        let norm = Norm::declare(layout, &format!("{name}.bn{number}"), map.channels);
        let conv = format!("{name}.conv{number}");
        let (conv, after) = Conv::declare(layout, &conv, map, shape);
        ((norm, conv), after)
    };
    match block_type {
        BlockType::Basic => vec![part("", input, Shape::new(growth, 3)).0],
        BlockType::Bottleneck => {
            let (first, map) = part("1", input, Shape::new(BOTTLENECK * growth, 1));
            let (second, _) = part("2", map, Shape::new(growth, 3));
            vec![first, second]
        }
    }
}

/// Declares the transition after stage number `stage`, from 1.
fn transition(
    layout: &mut Layout,
    options: &Densenet,
    stage: usize,
    input: Map,
) -> Result<(Layer, Map), Failure> {
    let kept = (input.channels as f64 * options.compression_rate).floor() as i64;
    if kept == 0 {
        return Err(Failure::Invalid(format!(
            "`model.compression_rate`: {} keeps none of the {} channels after stage {stage}; give \
             a larger share",
            options.compression_rate, input.channels
        )));
    }
    if input.height.min(input.width) < 2 {
        return Err(Failure::Invalid(
            "`dataset.path`: its images are too small for `densenet`, which halves them twice; \
             they must have at least 4 rows and columns"
                .to_owned(),
        ));
    }
    let name = format!("stage{stage}.transition");
    let norm = Norm::declare(layout, &format!("{name}.bn"), input.channels);
    let conv = format!("{name}.conv");
    let (conv, map) = Conv::declare(layout, &conv, input, Shape::new(kept, 1));
    Ok(((norm, conv), map.halved()))
}

/// BN-ReLU of all `features`, side by side. They stay joined: the next layer
/// adds its own to them.
fn concatenated(weights: &Weights, norm: Norm, features: &mut Vec<Tensor>, pass: Pass) -> Tensor {
    if features.len() > 1 {
        *features = vec![Tensor::cat(features, 1)];
    }
    norm.relu(weights, &features[0], pass)
}

impl Architecture for Network {
    fn forward(&self, weights: &Weights, images: &Tensor, pass: Pass) -> Tensor {
        self.dropout.begin(pass);
        let mut features = vec![self.stem.forward(weights, images)];
        for stage in &self.stages {
            for layer in &stage.layers {
                let (norm, conv) = layer[0];
                let activated = concatenated(weights, norm, &mut features, pass);
                let mut map = self
                    .dropout
                    .forward(conv.forward(weights, &activated), pass);
                for (norm, conv) in &layer[1..] {
                    let activated = norm.relu(weights, &map, pass);
                    map = self
                        .dropout
                        .forward(conv.forward(weights, &activated), pass);
                }
                features.push(map);
            }
            if let Some((norm, conv)) = stage.transition {
                let activated = concatenated(weights, norm, &mut features, pass);
                let map = self
                    .dropout
                    .forward(conv.forward(weights, &activated), pass);
                features = vec![map.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None)];
            }
        }
        let map = concatenated(weights, self.norm, &mut features, pass);
        self.classifier.forward(weights, &global_average(&map))
    }
}
