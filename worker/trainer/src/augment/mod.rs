//! Augmentation: what happens to the training images of one epoch.
//!
//! [`Draws`] has every random choice of an epoch, drawn on the host from (seed,
//! epoch, position) alone; [`Epoch`] has them on the device and uses them to
//! make batches, with tensor operations over the whole batch. The position is
//! the place in the order of the epoch, so the choices do not depend on the
//! batch size.
//!
//! Only the mixing of images depends on the batch.
//!
//! Order: gather, random crop, flip, normalize, random erasing, cutout or dual
//! cutout, mixing.

mod draws;
mod erase;
mod mix;

use swath_model::spec::Augmentation;
use tch::{Device, Kind, Tensor};

pub(crate) use self::draws::Draws;
use self::erase::Rectangles;
use self::mix::Mixer;
use crate::dataset::{Images, Normalizer};
use crate::loss::Target;

/// A batch as a model sees it.
pub(crate) struct Batch {
    /// N×C×H×W, normalized, channels last in memory: one tensor, or two that
    /// show the same images differently.
    pub(crate) views: Vec<Tensor>,
    /// What they should be classified as.
    pub(crate) target: Target,
}

impl Batch {
    /// How many images it has.
    pub(crate) fn count(&self) -> i64 {
        self.views[0].size()[0]
    }

    /// The images `start..start + count` as a batch of their own, without a
    /// copy; what was mixed stays mixed.
    pub(crate) fn chunk(&self, start: i64, count: i64) -> Self {
        let views = self.views.iter();
        Self {
            views: views.map(|view| view.narrow(0, start, count)).collect(),
            target: self.target.chunk(start, count),
        }
    }
}

/// An epoch's choices on the device.
pub(crate) struct Epoch {
    order: Tensor,
    crop: Option<[Tensor; 2]>,
    flip: Option<Tensor>,
    /// The rectangles, and what each is filled with (N×1×1×1).
    erasing: Option<(Rectangles, Tensor)>,
    cutout: Option<Rectangles>,
    /// The squares of the second view, and the weight of the consistency loss.
    second: Option<(Rectangles, f64)>,
    mixer: Option<Mixer>,
    padding: i64,
    device: Device,
}

impl Epoch {
    /// Moves `draws` to `device`: once per epoch, so that no step waits for
    /// the host.
    pub(crate) fn new(draws: &Draws, augmentation: &Augmentation, device: Device) -> Self {
        let to_device = |values: &Vec<i64>| Tensor::from_slice(values).to_device(device);
        let pair = |pair: &[Vec<i64>; 2]| [to_device(&pair[0]), to_device(&pair[1])];
        let padding = augmentation.random_crop.as_ref().map(|crop| crop.padding);
        let single = augmentation.cutout.as_ref().map(|cutout| cutout.size);
        let dual = augmentation.dual_cutout.as_ref();
        let side = single.or(dual.map(|dual| dual.size)).unwrap_or(0);
        let squares = |corners| Rectangles::squares(corners, side, device);
        let alpha = dual.map_or(0.0, |dual| dual.alpha);
        Self {
            order: to_device(&draws.order),
            crop: draws.crop.as_ref().map(pair),
            flip: draws.flip.as_ref().map(to_device),
            erasing: draws.erasing.as_ref().map(|drawn| {
                let values = Tensor::from_slice(&drawn.value).to_device(device);
                (
                    Rectangles::erased(drawn, device),
                    values.view([-1, 1, 1, 1]),
                )
            }),
            cutout: draws.cutout.as_ref().map(squares),
            second: draws
                .second_cutout
                .as_ref()
                .map(|corners| (squares(corners), alpha)),
            mixer: draws
                .mixing
                .as_ref()
                .map(|mixing| Mixer::new(mixing, device)),
            padding: i64::from(padding.unwrap_or(0)),
            device,
        }
    }

    /// The batch of the positions `start..start + count`. Where images are
    /// mixed, it is one of the batches that were drawn.
    pub(crate) fn batch(
        &self,
        set: &Images,
        normalizer: &Normalizer,
        start: i64,
        count: i64,
    ) -> Batch {
        let index = self.order.narrow(0, start, count);
        let labels = set.labels.index_select(0, &index);
        let mut pixels = set.pixels.index_select(0, &index);
        if self.crop.is_some() || self.flip.is_some() {
            pixels = self.moved(&pixels, start);
        }
        let mut pixels = normalizer.floats(&pixels);
        if let Some((rectangles, values)) = &self.erasing {
            let stays = rectangles.mask(&pixels, start).logical_not();
            pixels = pixels.where_self(&stays, &values.narrow(0, start, count));
        }
        let second = self.second.as_ref().map(|(squares, consistency)| {
            let view = pixels.masked_fill(&squares.mask(&pixels, start), 0.0);
            (view, *consistency)
        });
        if let Some(squares) = &self.cutout {
            let _ = pixels.masked_fill_(&squares.mask(&pixels, start), 0.0);
        }
        let (mut views, target) = match (second, &self.mixer) {
            (Some((second, consistency)), _) => (
                vec![pixels, second],
                Target::Twice {
                    labels,
                    consistency,
                },
            ),
            (None, Some(mixer)) => {
                let (mixed, target) = mixer.mix(pixels, labels, start);
                (vec![mixed], target)
            }
            (None, None) => (vec![pixels], Target::Labels(labels)),
        };
        for view in &mut views {
            *view = view.permute([0, 3, 1, 2]);
        }
        Batch { views, target }
    }

    /// Crops and mirrors N×H×W×C bytes: each output pixel is looked up by its
    /// row and column in the padded image.
    fn moved(&self, pixels: &Tensor, start: i64) -> Tensor {
        let (count, height, width, channels) = pixels.size4().unwrap_or_default();
        let padding = self.padding;
        let columns_padded = width + 2 * padding;
        let rows_padded = height + 2 * padding;
        let options = (Kind::Int64, self.device);
        let corner = |which: usize| match &self.crop {
            Some(corners) => corners[which].narrow(0, start, count).unsqueeze(1),
            None => Tensor::zeros([count, 1], options),
        };
        let rows = corner(0) + Tensor::arange(height, options);
        let mut columns = Tensor::arange(width, options).unsqueeze(0);
        if let Some(flip) = &self.flip {
            // Column j of a mirrored image is column W-1-j.
            let mirrored = flip.narrow(0, start, count).unsqueeze(1);
            columns = &columns + mirrored * (width - 1 - 2 * &columns);
        }
        let columns = corner(1) + columns;
        let image = Tensor::arange(count, options).unsqueeze(1) * rows_padded;
        let index = (image + rows).unsqueeze(2) * columns_padded + columns.unsqueeze(1);
        let padded = if padding > 0 {
            pixels.constant_pad_nd([0, 0, padding, padding, padding, padding])
        } else {
            pixels.shallow_clone()
        };
        padded
            .reshape([-1, channels])
            .index_select(0, &index.reshape([-1]))
            .view([count, height, width, channels])
    }
}

#[cfg(test)]
mod tests;
