//! What a batch should hold, one image after another, pixel by pixel.

use swath_model::spec::TrainingSpec;

use super::super::draws::Draws;
use super::super::mix::Recipe;
use crate::data::{Facts, Split};

/// An image: C×H×W.
type Image = Vec<f32>;

/// A batch that was made image by image.
pub(super) struct Naive {
    /// Each view, its images one after another.
    pub(super) views: Vec<Vec<f32>>,
    /// Per image: classes, each with the number of its pixels that come from
    /// an image of that class, or with the weight of that image.
    pub(super) shares: Vec<Vec<(i64, f64)>>,
}

struct Maker<'a> {
    spec: &'a TrainingSpec,
    draws: &'a Draws,
    split: &'a Split,
    facts: &'a Facts,
}

pub(super) fn batch(
    spec: &TrainingSpec,
    draws: &Draws,
    split: &Split,
    facts: &Facts,
    positions: std::ops::Range<usize>,
) -> Naive {
    let maker = Maker {
        spec,
        draws,
        split,
        facts,
    };
    let views = if draws.second_cutout.is_some() { 2 } else { 1 };
    let mut views: Vec<Vec<Image>> = (0..views)
        .map(|view| positions.clone().map(|at| maker.image(at, view)).collect())
        .collect();
    let classes: Vec<i64> = positions
        .clone()
        .map(|at| split.labels[draws.order[at] as usize])
        .collect();
    let mut shares: Vec<Vec<(i64, f64)>> =
        classes.iter().map(|class| vec![(*class, 1.0)]).collect();
    if let Some(mixing) = &draws.mixing {
        let recipe = &mixing.recipes[positions.start / mixing.batch];
        let partner =
            |set: usize, image: usize| mixing.partners[set][positions.start + image] as usize;
        let made = (0..positions.len()).map(|image| {
            maker.mixed(recipe, &views[0], &classes, image, |set| {
                partner(set, image)
            })
        });
        let (images, mixed) = made.unzip();
        views = vec![images];
        shares = mixed;
    }
    Naive {
        views: views.into_iter().map(|view| view.concat()).collect(),
        shares,
    }
}

impl Maker<'_> {
    fn places(&self) -> impl Iterator<Item = (i64, i64, i64)> + use<> {
        let (channels, height, width) = (self.facts.channels, self.facts.height, self.facts.width);
        (0..channels)
            .flat_map(move |c| (0..height).flat_map(move |y| (0..width).map(move |x| (c, y, x))))
    }

    fn at(&self, (channel, row, column): (i64, i64, i64)) -> usize {
        ((channel * self.facts.height + row) * self.facts.width + column) as usize
    }

    /// Cropped, mirrored, normalized, erased, cut out.
    fn image(&self, position: usize, view: usize) -> Image {
        let (height, width) = (self.facts.height, self.facts.width);
        let options = &self.spec.augmentation;
        let padding = options
            .random_crop
            .as_ref()
            .map_or(0, |crop| i64::from(crop.padding));
        let side = match (&options.cutout, &options.dual_cutout) {
            (Some(cutout), _) => i64::from(cutout.size),
            (None, Some(dual)) => i64::from(dual.size),
            (None, None) => 0,
        };
        let corner = |pair: &Option<[Vec<i64>; 2]>| {
            pair.as_ref().map_or((0, 0), |[rows, columns]| {
                (rows[position], columns[position])
            })
        };
        let (crop_row, crop_column) = corner(&self.draws.crop);
        let (cut_row, cut_column) = corner(match view {
            0 => &self.draws.cutout,
            _ => &self.draws.second_cutout,
        });
        let flipped = self
            .draws
            .flip
            .as_ref()
            .is_some_and(|flip| flip[position] == 1);
        let image = self.draws.order[position];
        let inside = |from: (i64, i64), size: (i64, i64), row: i64, column: i64| {
            (from.0..from.0 + size.0).contains(&row) && (from.1..from.1 + size.1).contains(&column)
        };
        self.places()
            .map(|(channel, row, column)| {
                if inside((cut_row, cut_column), (side, side), row, column) {
                    return 0.0;
                }
                if let Some(drawn) = &self.draws.erasing {
                    let from = (drawn.top[position], drawn.left[position]);
                    let size = (drawn.height[position], drawn.width[position]);
                    if inside(from, size, row, column) {
                        return drawn.value[position];
                    }
                }
                let from = if flipped { width - 1 - column } else { column };
                let source_row = row + crop_row - padding;
                let source_column = from + crop_column - padding;
                let raw = if inside((0, 0), (height, width), source_row, source_column) {
                    let first = image as usize * (self.facts.channels * height * width) as usize;
                    self.split.images[first + self.at((channel, source_row, source_column))]
                } else {
                    0
                };
                let channel = channel as usize;
                (f32::from(raw) / 255.0 - self.facts.mean[channel]) / self.facts.std[channel]
            })
            .collect()
    }

    /// Image `image` of a batch, mixed with its partners, and its classes.
    fn mixed(
        &self,
        recipe: &Recipe,
        images: &[Image],
        classes: &[i64],
        image: usize,
        partner: impl Fn(usize) -> usize,
    ) -> (Image, Vec<(i64, f64)>) {
        if let Recipe::Mixup { own } = recipe {
            let other = &images[partner(0)];
            let blended = images[image]
                .iter()
                .zip(other)
                .map(|(mine, theirs)| mine * *own as f32 + theirs * (1.0 - own) as f32);
            let shares = vec![(classes[image], *own), (classes[partner(0)], 1.0 - own)];
            return (blended.collect(), shares);
        }
        // Everything else puts one pixel of one image at each place.
        let sources = match recipe {
            Recipe::Ricap(_) => [0, 1, 2, 3].map(&partner).to_vec(),
            _ => vec![image, partner(0)],
        };
        let mut pixels = vec![0; sources.len()];
        let made = self.places().map(|(channel, row, column)| {
            let (which, row, column) = match recipe {
                Recipe::Ricap(patches) => {
                    let [top, left] = patches[0].size;
                    let which = 2 * usize::from(row >= top) + usize::from(column >= left);
                    let row = if row >= top { row - top } else { row };
                    let column = if column >= left {
                        column - left
                    } else {
                        column
                    };
                    let [from_row, from_column] = patches[which].from;
                    (which, row + from_row, column + from_column)
                }
                Recipe::Cutmix(patch) => {
                    let pasted = (0..patch.size[0]).contains(&(row - patch.from[0]))
                        && (0..patch.size[1]).contains(&(column - patch.from[1]));
                    (usize::from(pasted), row, column)
                }
                Recipe::Mixup { .. } => unreachable!(),
            };
            pixels[which] += i64::from(channel == 0);
            images[sources[which]][self.at((channel, row, column))]
        });
        let made = made.collect();
        let all = self.facts.height * self.facts.width;
        let shares = sources.iter().zip(pixels);
        let shares = shares.map(|(source, count)| (classes[*source], count as f64 / all as f64));
        (made, shares.collect())
    }
}
