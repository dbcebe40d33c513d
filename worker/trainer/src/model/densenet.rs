//! DenseNet (Huang et al., *Densely connected convolutional networks*, 2017)
//! for small images: a 3×3 stem of twice the growth rate, three dense blocks
//! with transitions between them, a last BN-ReLU, global average, one linear
//! layer.
//!
//! A layer is BN-ReLU-conv (in a bottleneck BN-ReLU-1×1-BN-ReLU-3×3) on all
//! maps before it, and adds `growth_rate` maps. A transition is BN-ReLU-1×1,
//! which keeps a share of the maps, and 2×2 average pooling. Dropout follows
//! every convolution but the stem.

use swath_model::spec::{BlockType, Densenet};
use tch::Tensor;

use super::blocks::{Conv, Linear, Map, Norm, Place, Shape, global_average, is_fused};
use super::dropout::Dropout;
use super::layout::Layout;
use super::weights::Weights;
use super::{Architecture, Pass};
use crate::failure::Failure;
use crate::kernels;

/// Inner width of a bottleneck divided by the growth rate.
const BOTTLENECK: i64 = 4;

/// BN-ReLU-conv.
type Layer = (Norm, Conv);

/// A dense block, and the transition to the next one.
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
    /// [`Failure::Invalid`] where a transition would keep no map, or where its
    /// pooling would leave nothing.
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

/// Declares a layer that adds `growth` maps to `input`.
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

/// The maps of a dense block so far.
enum Features {
    /// In one buffer, for the fused layers.
    Fused(kernels::Dense),
    /// Separate maps, or maps joined by the last layer that read them.
    Loose(Vec<Tensor>),
}

impl Features {
    /// Features that will have `channels` channels, the first of them like
    /// `first`.
    fn new(weights: &Weights, first: &Tensor, channels: i64, pass: Pass) -> Self {
        if is_fused(weights, first, pass) {
            Self::Fused(kernels::Dense::new(first, channels))
        } else {
            Self::Loose(Vec::new())
        }
    }

    /// Adds `maps`; returns BN-ReLU of all maps so far.
    fn grow(&mut self, weights: &Weights, maps: Tensor, norm: Norm, pass: Pass) -> Tensor {
        match self {
            Self::Fused(dense) => dense.grow(&maps, &norm.tensors(weights)),
            Self::Loose(features) => {
                features.push(maps);
                if features.len() > 1 {
                    *features = vec![Tensor::cat(features, 1)];
                }
                norm.relu(weights, &features[0], pass)
            }
        }
    }
}

impl Network {
    /// Dropout after a convolution of activated maps.
    fn convolved(&self, weights: &Weights, conv: Conv, activated: &Tensor, pass: Pass) -> Tensor {
        self.dropout.forward(conv.forward(weights, activated), pass)
    }

    /// The maps that `layer` computes from the activated features.
    fn layer(&self, weights: &Weights, layer: &[Layer], first: &Tensor, pass: Pass) -> Tensor {
        let mut map = self.convolved(weights, layer[0].1, first, pass);
        for (norm, conv) in &layer[1..] {
            let activated = norm.relu(weights, &map, pass);
            map = self.convolved(weights, *conv, &activated, pass);
        }
        map
    }

    /// 1×1 convolution and pooling. Both are linear, so without dropout between
    /// them the pooling comes first, which is a quarter of the work.
    fn transition(&self, weights: &Weights, conv: Conv, activated: &Tensor, pass: Pass) -> Tensor {
        let pooled = |map: &Tensor| map.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None);
        if self.dropout.is_off() {
            conv.forward(weights, &pooled(activated))
        } else {
            pooled(&self.convolved(weights, conv, activated, pass))
        }
    }
}

impl Architecture for Network {
    fn forward(&self, weights: &Weights, images: &Tensor, pass: Pass) -> Tensor {
        self.dropout.begin(pass);
        let mut maps = self.stem.forward(weights, images);
        for stage in &self.stages {
            // The last normalization of a block reads all of its channels.
            let (norm, conv) = match stage.transition {
                Some((norm, conv)) => (norm, Some(conv)),
                None => (self.norm, None),
            };
            let channels = norm.tensors(weights).scale.numel() as i64;
            let mut features = Features::new(weights, &maps, channels, pass);
            for layer in &stage.layers {
                let activated = features.grow(weights, maps, layer[0].0, pass);
                maps = self.layer(weights, layer, &activated, pass);
            }
            let activated = features.grow(weights, maps, norm, pass);
            maps = match conv {
                Some(conv) => self.transition(weights, conv, &activated, pass),
                None => activated,
            };
        }
        self.classifier.forward(weights, &global_average(&maps))
    }
}
