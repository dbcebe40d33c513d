//! Shake-shake regularization (Gastaldi 2017): residual networks with two
//! branches that are mixed at random.
//!
//! A branch is ReLU-conv-BN-ReLU-conv-BN. In training the two are mixed with α
//! and 1 − α in the forward pass, and with an independent β and 1 − β in the
//! backward pass, both uniform in 0..1. In evaluation, and where the spec turns
//! one off, it is one half. A shortcut is the identity, or two 1×1
//! convolutions, the second on the map shifted by one pixel, side by side with
//! a BN.
//!
//! The architecture of the published numbers (`legacy`) has a stem with the
//! width of the first stage and a ReLU, and no ReLU before the pooling. The
//! corrected one has a stem of 16 channels without a ReLU, so that the first
//! stage also needs convolutions on its first shortcut.

use swath_model::spec::{BlockType, ShakeShake};
use tch::{Device, Tensor};

use super::blocks::{
    Conv, Linear, Map, Norm, Place, Shape, blocks_per_stage, global_average, is_fused, stage_widths,
};
use super::layout::Layout;
use super::weights::Weights;
use super::{Architecture, Noise, Pass};
use crate::kernels;
use crate::rng::{Purpose, Stream};

/// Channels of the corrected stem.
const STEM: i64 = 16;

/// ReLU-conv-BN twice; the first ReLU is shared.
#[derive(Debug)]
struct Branch {
    first: (Conv, Norm),
    second: (Conv, Norm),
}

/// The shortcut where the width changes.
#[derive(Debug)]
struct Skip {
    straight: Conv,
    moved: Conv,
    norm: Norm,
}

/// A residual block.
#[derive(Debug)]
struct Block {
    branches: [Branch; 2],
    skip: Option<Skip>,
}

/// Which weights of branches are random.
#[derive(Clone, Copy, Debug)]
struct Shake {
    forward: bool,
    backward: bool,
    per_image: bool,
}

/// The whole network.
#[derive(Debug)]
pub(super) struct Network {
    stem: (Conv, Norm),
    blocks: Vec<Block>,
    classifier: Linear,
    shake: Shake,
    legacy: bool,
}

impl Network {
    /// Declares the network for images of `image` and `classes` classes.
    pub(super) fn declare(
        layout: &mut Layout,
        options: &ShakeShake,
        image: Map,
        classes: i64,
    ) -> Self {
        let widths = stage_widths(BlockType::Basic, options.initial_channels);
        let stem = if options.legacy { widths[0] } else { STEM };
        let (conv, mut map) = Conv::declare(layout, "conv", image, Shape::new(stem, 3));
        let stem = (conv, Norm::declare(layout, "bn", stem));
        // The modules of the two versions have different names.
        let skip = if options.legacy { "downsample" } else { "skip" };
        let mut blocks = Vec::new();
        for place in Place::all(blocks_per_stage(BlockType::Basic, options.depth)) {
            let width = widths[place.stage];
            let (block, after) = Block::declare(layout, place, map, width, skip);
            blocks.push(block);
            map = after;
        }
        Self {
            stem,
            blocks,
            classifier: Linear::classifier(layout, map.channels, classes),
            shake: Shake {
                forward: options.shake_forward,
                backward: options.shake_backward,
                per_image: options.shake_image,
            },
            legacy: options.legacy,
        }
    }
}

impl Branch {
    fn declare(
        layout: &mut Layout,
        name: &str,
        input: Map,
        width: i64,
        stride: i64,
    ) -> (Self, Map) {
        let shape = Shape::new(width, 3);
        let first = shape.strided(stride);
        let (conv, map) = Conv::declare(layout, &format!("{name}.conv1"), input, first);
        let first = (conv, Norm::declare(layout, &format!("{name}.bn1"), width));
        let (conv, map) = Conv::declare(layout, &format!("{name}.conv2"), map, shape);
        let norm = Norm::declare_last(layout, &format!("{name}.bn2"), width);
        let second = (conv, norm);
        (Self { first, second }, map)
    }

    /// The output of everything but the last BN, and that BN.
    fn forward(&self, weights: &Weights, activated: &Tensor, pass: Pass) -> (Tensor, Norm) {
        let (conv, norm) = &self.first;
        let map = norm.relu(weights, &conv.forward(weights, activated), pass);
        let (conv, norm) = self.second;
        (conv.forward(weights, &map), norm)
    }
}

impl Skip {
    fn declare(layout: &mut Layout, name: &str, input: Map, width: i64, stride: i64) -> Self {
        let mut half = |number, out| {
            let shape = Shape::new(out, 1).strided(stride);
            Conv::declare(layout, &format!("{name}.conv{number}"), input, shape).0
        };
        let (straight, moved) = (half(1, width / 2), half(2, width / 2));
        Self {
            straight,
            moved,
            norm: Norm::declare(layout, &format!("{name}.bn"), width),
        }
    }

    fn forward(&self, weights: &Weights, activated: &Tensor, pass: Pass) -> Tensor {
        let straight = self.straight.forward(weights, activated);
        // One row and column fewer at the start, and zeros at the end.
        let moved = activated.constant_pad_nd([-1, 1, -1, 1]);
        let moved = self.moved.forward(weights, &moved);
        let both = Tensor::cat(&[straight, moved], 1);
        self.norm.forward(weights, &both, pass)
    }
}

impl Block {
    fn declare(
        layout: &mut Layout,
        place: Place,
        input: Map,
        width: i64,
        skip: &str,
    ) -> (Self, Map) {
        let name = place.name();
        let stride = place.stride();
        let mut branch = |number| {
            let name = format!("{name}.residual_path{number}");
            Branch::declare(layout, &name, input, width, stride)
        };
        let (first, _) = branch(1);
        let (second, map) = branch(2);
        let skip = (input.channels != width).then(|| {
            let name = format!("{name}.shortcut.{skip}");
            Skip::declare(layout, &name, input, width, stride)
        });
        let block = Self {
            branches: [first, second],
            skip,
        };
        (block, map)
    }

    fn forward(
        &self,
        weights: &Weights,
        input: Features,
        shares: Option<&Tensor>,
        pass: Pass,
    ) -> Features {
        let [first, second] = &self.branches;
        let (first, first_norm) = first.forward(weights, &input.activated[0], pass);
        let (second, second_norm) = second.forward(weights, &input.activated[1], pass);
        let shortcut = match &self.skip {
            Some(skip) => skip.forward(weights, &input.activated[0], pass),
            None => input.map,
        };
        let half = Tensor::full([2, 1, 1, 1, 1], 0.5, (first.kind(), first.device()));
        let shares = shares.unwrap_or(&half);
        let [alpha, beta] = [shares.get(0), shares.get(1)];
        if is_fused(weights, &first, pass) {
            let norms = [first_norm, second_norm].map(|norm| norm.tensors(weights));
            let shake = kernels::Shake {
                a: &first,
                b: &second,
                skip: &shortcut,
                alpha: &alpha,
                beta: &beta,
            };
            let [map, one, other] = kernels::shake(&shake, [&norms[0], &norms[1]]);
            return Features {
                map,
                activated: [one, other],
            };
        }
        let first = first_norm.forward(weights, &first, pass);
        let second = second_norm.forward(weights, &second, pass);
        Features::of(mix(&first, &second, &alpha, &beta).g_add_(&shortcut))
    }
}

/// What a block passes on to the next.
struct Features {
    map: Tensor,
    /// Its ReLU, once for each branch.
    activated: [Tensor; 2],
}

impl Features {
    fn of(map: Tensor) -> Self {
        let activated = map.relu();
        Self {
            activated: [activated.shallow_clone(), activated],
            map,
        }
    }
}

/// `alpha`·`first` + (1 − `alpha`)·`second`, whose gradient is that of the
/// same mix with `beta`. Both are 1×1×1×1, or N×1×1×1 with a number per image.
fn mix(first: &Tensor, second: &Tensor, alpha: &Tensor, beta: &Tensor) -> Tensor {
    let difference = first - second;
    // A part through which gradients flow, and a part that they do not see.
    let seen = second + beta * &difference;
    seen + (alpha - beta) * difference.detach()
}

impl Shake {
    /// α and β of a pass: blocks×2×(images or 1)×1×1×1; none where all are one
    /// half. They are drawn on the host and moved to the device at once.
    fn draw(self, pass: Pass, blocks: usize, images: i64, device: Device) -> Option<Tensor> {
        let Pass::Training(noise) = pass else {
            return None;
        };
        if !self.forward && !self.backward {
            return None;
        }
        let images = if self.per_image { images } else { 1 };
        let alpha = self.forward.then_some(Purpose::ShakeForward);
        let beta = self.backward.then_some(Purpose::ShakeBackward);
        let mut shares = Vec::with_capacity(blocks * 2 * images as usize);
        for block in 0..blocks as u64 {
            for purpose in [alpha, beta] {
                let share =
                    |image| purpose.map_or(0.5, |purpose| share(noise, purpose, block, image));
                shares.extend((0..images as u64).map(share));
            }
        }
        let shape = [blocks as i64, 2, images, 1, 1, 1];
        Some(Tensor::from_slice(&shares).view(shape).to_device(device))
    }
}

/// One number in 0..1, by (seed, purpose, step) and (chunk, block, image).
fn share(noise: Noise, purpose: Purpose, block: u64, image: u64) -> f32 {
    let stream = Stream::new(noise.seed, purpose, noise.step);
    // 16, 16 and 32 bits: no network has so many blocks, no batch so many
    // images or chunks.
    let position = u64::from(noise.chunk) << 48 | block << 32 | image;
    stream.uniforms(position).0 as f32
}

impl Architecture for Network {
    fn forward(&self, weights: &Weights, images: &Tensor, pass: Pass) -> Tensor {
        let count = images.size()[0];
        let shares = self
            .shake
            .draw(pass, self.blocks.len(), count, images.device());
        let (conv, norm) = &self.stem;
        let stem = conv.forward(weights, images);
        let mut map = Features::of(if self.legacy {
            norm.relu(weights, &stem, pass)
        } else {
            norm.forward(weights, &stem, pass)
        });
        for (index, block) in self.blocks.iter().enumerate() {
            let shares = shares.as_ref().map(|shares| shares.get(index as i64));
            map = block.forward(weights, map, shares.as_ref(), pass);
        }
        let [activated, _] = map.activated;
        let last = if self.legacy { map.map } else { activated };
        self.classifier.forward(weights, &global_average(&last))
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    const BOTH: Shake = Shake {
        forward: true,
        backward: true,
        per_image: true,
    };
    const NOISE: Noise = Noise {
        seed: 3,
        step: 7,
        chunk: 0,
    };

    fn drawn(shake: Shake, noise: Noise, images: i64) -> Vec<f32> {
        let shares = shake.draw(Pass::Training(noise), 12, images, Device::Cpu);
        Vec::try_from(shares.unwrap().flatten(0, -1)).unwrap()
    }

    #[test]
    fn shares_are_uniform_and_independent() {
        let shares = drawn(BOTH, NOISE, 1000);
        let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
        assert!(shares.iter().all(|share| (0.0..1.0).contains(share)));
        // Their standard deviation is 0.289, that of a mean of 12,000 0.0026.
        let half = |which: usize| -> Vec<f32> {
            let halves = shares.chunks(1000).skip(which).step_by(2);
            halves.flatten().map(|share| share - 0.5).collect()
        };
        let (alpha, beta) = (half(0), half(1));
        let next: Vec<f32> = alpha[1000..].to_vec();
        let product = |left: &[f32], right: &[f32]| -> f32 {
            let products: Vec<f32> = left.iter().zip(right).map(|(a, b)| a * b).collect();
            mean(&products) * 12.0
        };
        for values in [&alpha, &beta] {
            assert!(mean(values).abs() < 0.01);
            assert!((product(values, values) - 1.0).abs() < 0.05);
        }
        // α and β, two blocks, two images: correlations, whose standard
        // deviation is 0.009.
        for (left, right) in [
            (&alpha[..], &beta[..]),
            (&alpha[..], &next[..]),
            (&alpha[..], &alpha[1..]),
        ] {
            let correlation = product(left, right);
            assert!(correlation.abs() < 0.04, "{correlation}");
        }
    }

    #[test]
    fn shares_depend_on_seed_step_and_chunk_alone() {
        let at = |seed, step, chunk| drawn(BOTH, Noise { seed, step, chunk }, 4);
        assert_eq!(at(3, 7, 1), at(3, 7, 1));
        for (seed, step, chunk) in [(4, 7, 1), (3, 8, 1), (3, 7, 2)] {
            let (one, other) = (at(3, 7, 1), at(seed, step, chunk));
            assert!(one.iter().zip(&other).all(|(a, b)| (a - b).abs() > 0.0));
        }
        // The first images of a longer batch have the shares of a short one.
        assert_eq!(drawn(BOTH, NOISE, 9)[..4], drawn(BOTH, NOISE, 4)[..4]);
    }

    #[test]
    fn what_is_off_is_one_half() {
        let forward = Shake {
            backward: false,
            ..BOTH
        };
        let backward = Shake {
            forward: false,
            ..BOTH
        };
        let is_half = |share: &f32| share.to_bits() == 0.5_f32.to_bits();
        for (shake, constant) in [(forward, 1), (backward, 0)] {
            for (index, shares) in drawn(shake, NOISE, 50).chunks(50).enumerate() {
                assert_eq!(shares.iter().all(is_half), index % 2 == constant);
            }
        }
        let neither = Shake {
            forward: false,
            ..forward
        };
        let pass = Pass::Training(NOISE);
        assert!(neither.draw(pass, 12, 4, Device::Cpu).is_none());
        assert!(BOTH.draw(Pass::Evaluation, 12, 4, Device::Cpu).is_none());
        let batch = Shake {
            per_image: false,
            ..BOTH
        };
        let shares = batch.draw(pass, 12, 4, Device::Cpu).unwrap();
        assert_eq!(shares.size(), [12, 2, 1, 1, 1, 1]);
    }

    /// Uses whole numbers, whose sums are exact.
    #[test]
    fn a_mix_has_alpha_ahead_and_beta_back() {
        let map = |from: i64| {
            let values: Vec<f32> = (from..from + 12)
                .map(|value| (value * value) as f32)
                .collect();
            let map = Tensor::from_slice(&values).view([2, 1, 2, 3]);
            map.set_requires_grad(true)
        };
        let share = |of: [f32; 2]| Tensor::from_slice(&of).view([2, 1, 1, 1]);
        let (first, second) = (map(1), map(5));
        let (alpha, beta) = (share([0.25, 1.0]), share([0.75, 0.5]));
        let mixed = mix(&first, &second, &alpha, &beta);
        assert_eq!(mixed, &alpha * &first + (1.0 - &alpha) * &second);
        let upstream = map(3).detach();
        let loss = (&mixed * &upstream).sum(Kind::Float);
        let gradients = Tensor::run_backward(&[loss], &[&first, &second], false, false);
        assert_eq!(gradients[0], &beta * &upstream);
        assert_eq!(gradients[1], (1.0 - &beta) * &upstream);
    }
}
