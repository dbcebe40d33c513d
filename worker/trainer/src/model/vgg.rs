//! VGG (Simonyan & Zisserman 2015) for small images: stages of 3×3
//! convolutions with bias, BN and ReLU, 2×2 max pooling after each, one linear
//! layer on what is left.

use swath_model::spec::Vgg;
use tch::Tensor;

use super::blocks::{Conv, Linear, Map, Norm, Shape};
use super::layout::Layout;
use super::weights::Weights;
use super::{Architecture, Pass};

/// A convolution with what follows it.
#[derive(Debug)]
struct Layer {
    conv: Conv,
    norm: Option<Norm>,
    relu: bool,
}

/// The whole network.
#[derive(Debug)]
pub(super) struct Network {
    stages: Vec<Vec<Layer>>,
    classifier: Linear,
}

impl Network {
    /// Declares the network for images of `image` and `classes` classes.
    pub(super) fn declare(layout: &mut Layout, options: &Vgg, image: Map, classes: i64) -> Self {
        let mut map = image;
        let mut stages = Vec::new();
        let sizes = options.n_channels.iter().zip(&options.n_layers);
        for (stage, (&channels, &count)) in (1..).zip(sizes) {
            let mut layers = Vec::new();
            for index in 0..count {
                let shape = Shape::new(i64::from(channels), 3);
                let name = format!("stage{stage}.conv{index}");
                let (conv, after) = Conv::declare_biased(layout, &name, map, shape);
                let norm = format!("stage{stage}.bn{index}");
                layers.push(Layer {
                    conv,
                    norm: options
                        .use_bn
                        .then(|| Norm::declare(layout, &norm, after.channels)),
                    relu: index == 0 || !options.legacy,
                });
                map = after;
            }
            stages.push(layers);
            map = map.halved();
        }
        let features = map.channels * map.height * map.width;
        Self {
            stages,
            classifier: Linear::classifier(layout, features, classes),
        }
    }
}

impl Layer {
    fn forward(&self, weights: &Weights, input: &Tensor, pass: Pass) -> Tensor {
        let mut map = self.conv.forward(weights, input);
        match (self.norm, self.relu) {
            (Some(norm), true) => norm.relu(weights, &map, pass),
            (Some(norm), false) => norm.forward(weights, &map, pass),
            (None, true) => map.relu_(),
            (None, false) => map,
        }
    }
}

impl Architecture for Network {
    fn forward(&self, weights: &Weights, images: &Tensor, pass: Pass) -> Tensor {
        let mut map = images.shallow_clone();
        for layers in &self.stages {
            for layer in layers {
                map = layer.forward(weights, &map, pass);
            }
            map = map.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false);
        }
        // In PyTorch's order: channel by channel.
        self.classifier.forward(weights, &map.flatten(1, -1))
    }
}
