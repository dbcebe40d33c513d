//! Batches whose images are mixed with each other: mixup, RICAP, CutMix.
//!
//! The way of mixing is drawn once per batch, from the position of its first
//! image. It stays on the host: sizes and weights are arguments of tensor
//! operations, so nothing waits for the device. Which images are mixed with
//! which goes to the device with the other choices of the epoch.

use swath_model::spec::TrainingSpec;
use tch::{Device, Tensor};

use crate::loss::{Share, Target};
use crate::rng::{Purpose, Stream};

/// The mixing of an epoch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mixing {
    /// Images per batch; the last one may have fewer.
    pub(crate) batch: usize,
    /// How the images of each batch are mixed.
    pub(crate) recipes: Vec<Recipe>,
    /// For each set of partners and each position: the place, within its batch,
    /// of the image that is mixed in. Each set is a permutation of each batch.
    pub(crate) partners: Vec<Vec<i64>>,
}

/// How the images of a batch are mixed; the same for all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Recipe {
    /// `own` of each image and the rest of its partner (Zhang et al. 2018).
    Mixup {
        /// The weight λ of the image itself.
        own: f64,
    },
    /// Four images patched together (Takahashi et al. 2018): top left, top
    /// right, bottom left, bottom right, each of its own set of partners.
    Ricap([Patch; 4]),
    /// A rectangle of the partner pasted in (Yun et al. 2019).
    Cutmix(Patch),
}

/// A rectangle taken from an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patch {
    /// Its first row and column in the image that it is taken from.
    pub(crate) from: [i64; 2],
    /// Its height and width; may be 0.
    pub(crate) size: [i64; 2],
}

impl Mixing {
    /// The mixing of `epoch`, if `spec` mixes, for `count` images of `size` =
    /// height×width in batches of `batch`.
    pub(crate) fn new(
        spec: &TrainingSpec,
        epoch: u64,
        count: usize,
        size: [i64; 2],
        batch: usize,
    ) -> Option<Self> {
        let options = &spec.augmentation;
        let stream = Stream::new(spec.seed, Purpose::Mixing, epoch);
        let recipe = |position: u64| {
            if let Some(mixup) = &options.mixup {
                let own = stream.beta(position, mixup.alpha);
                Some(Recipe::Mixup { own })
            } else if let Some(ricap) = &options.ricap {
                Some(Recipe::Ricap(patches(stream, position, size, ricap.beta)))
            } else {
                let cutmix = options.cutmix.as_ref()?;
                Some(Recipe::Cutmix(cut(stream, position, size, cutmix.alpha)))
            }
        };
        let starts = (0..count).step_by(batch.max(1));
        let recipes: Vec<Recipe> = starts
            .clone()
            .filter_map(|start| recipe(start as u64))
            .collect();
        let sets = match recipes.first()? {
            Recipe::Mixup { .. } | Recipe::Cutmix(_) => 1,
            Recipe::Ricap(_) => 4,
        };
        let partner = Stream::new(spec.seed, Purpose::Partner, epoch);
        let partners = (0..sets).map(|set| {
            let stream = partner.lane(set);
            let orders = starts.clone().map(|start| {
                let length = batch.min(count - start);
                stream.permutation_at(start as u64, length)
            });
            orders.flatten().collect()
        });
        Some(Self {
            batch,
            partners: partners.collect(),
            recipes,
        })
    }
}

/// The patches of RICAP: one boundary, its two ratios from Beta(beta, beta),
/// and where each patch is cut from, uniform over all places.
fn patches(stream: Stream, position: u64, [height, width]: [i64; 2], beta: f64) -> [Patch; 4] {
    let [left, top] = [(0, width), (1, height)].map(|(lane, length)| {
        let ratio = stream.lane(lane).beta(position, beta);
        (ratio * length as f64).round() as i64
    });
    let (right, bottom) = (width - left, height - top);
    let sizes = [[top, left], [top, right], [bottom, left], [bottom, right]];
    [0, 1, 2, 3].map(|which| {
        let size: [i64; 2] = sizes[which];
        let places = [height - size[0] + 1, width - size[1] + 1];
        let (row, column) =
            stream
                .lane(2 + which as u32)
                .pair_below(position, places[0] as u64, places[1] as u64);
        Patch {
            from: [row as i64, column as i64],
            size,
        }
    })
}

/// The rectangle of CutMix: the share 1 - λ of the image, λ from Beta(alpha,
/// alpha), its centre anywhere in the image, clipped and rounded to pixels.
fn cut(stream: Stream, position: u64, size: [i64; 2], alpha: f64) -> Patch {
    let own = stream.lane(0).beta(position, alpha);
    let (row, column) = stream.lane(1).uniforms(position);
    let edges = |centre: f64, length: i64| {
        let length = length as f64;
        let half = length * (1.0 - own).sqrt() / 2.0;
        let first = (centre * length - half).max(0.0).round() as i64;
        let end = (centre * length + half).min(length).round() as i64;
        (first, end - first)
    };
    let (top, height) = edges(row, size[0]);
    let (left, width) = edges(column, size[1]);
    Patch {
        from: [top, left],
        size: [height, width],
    }
}

impl Patch {
    /// How many pixels it has.
    fn area(&self) -> i64 {
        self.size[0] * self.size[1]
    }

    /// A view of it in each of the images (N×H×W×C).
    fn of(&self, images: &Tensor) -> Tensor {
        images
            .narrow(1, self.from[0], self.size[0])
            .narrow(2, self.from[1], self.size[1])
    }
}

/// The mixing of an epoch on the device.
pub(super) struct Mixer {
    batch: i64,
    recipes: Vec<Recipe>,
    partners: Vec<Tensor>,
}

impl Mixer {
    /// Moves `mixing` to `device`.
    pub(super) fn new(mixing: &Mixing, device: Device) -> Self {
        let partners = mixing.partners.iter();
        Self {
            batch: mixing.batch as i64,
            recipes: mixing.recipes.clone(),
            partners: partners
                .map(|set| Tensor::from_slice(set).to_device(device))
                .collect(),
        }
    }

    /// Mixes the batch that begins at position `start`: its images (N×H×W×C)
    /// and their classes (N).
    pub(super) fn mix(&self, images: Tensor, labels: Tensor, start: i64) -> (Tensor, Target) {
        let (count, height, width, _) = images.size4().unwrap_or_default();
        let all = height * width;
        // Partners are places in the drawn batch, so it has to be a whole
        // batch.
        debug_assert_eq!(start % self.batch, 0);
        let partner = |set: usize| self.partners[set].narrow(0, start, count);
        let share = |labels: Tensor, weight| Share { labels, weight };
        let part = |pixels: i64| pixels as f64 / all as f64;
        match &self.recipes[(start / self.batch) as usize] {
            Recipe::Mixup { own } => {
                let partner = partner(0);
                let other = images.index_select(0, &partner) * (1.0 - own);
                let theirs = share(labels.index_select(0, &partner), 1.0 - own);
                (
                    images * *own + other,
                    Target::Mixed(vec![share(labels, *own), theirs]),
                )
            }
            Recipe::Ricap(patches) => ricap(patches, &images, &labels, partner),
            Recipe::Cutmix(patch) => {
                let pasted = patch.area();
                let partner = partner(0);
                let theirs = patch.of(&images).index_select(0, &partner);
                patch.of(&images).copy_(&theirs);
                let theirs = share(labels.index_select(0, &partner), part(pasted));
                (
                    images,
                    Target::Mixed(vec![share(labels, part(all - pasted)), theirs]),
                )
            }
        }
    }
}

/// Images of four patches, each of another image of the batch.
fn ricap(
    patches: &[Patch; 4],
    images: &Tensor,
    labels: &Tensor,
    partner: impl Fn(usize) -> Tensor,
) -> (Tensor, Target) {
    let (_, height, width, _) = images.size4().unwrap_or_default();
    let mixed = images.empty_like();
    let [bottom, right] = patches[0].size;
    let corners = [[0, 0], [0, right], [bottom, 0], [bottom, right]];
    let mut shares = Vec::new();
    for (which, patch) in patches.iter().enumerate() {
        let weight = patch.area() as f64 / (height * width) as f64;
        // An empty patch has no pixel and no weight in the loss.
        if weight == 0.0 {
            continue;
        }
        let partner = partner(which);
        let place = Patch {
            from: corners[which],
            size: patch.size,
        };
        place
            .of(&mixed)
            .copy_(&patch.of(images).index_select(0, &partner));
        shares.push(Share {
            labels: labels.index_select(0, &partner),
            weight,
        });
    }
    (mixed, Target::Mixed(shares))
}
