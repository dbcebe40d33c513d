//! What happens to the training images of one epoch.
//!
//! [`Draws`] holds every random choice of an epoch, drawn on the host from
//! (seed, epoch, position) alone; [`Epoch`] holds them on the device and makes
//! batches of them with tensor operations over the whole batch. The position
//! is the place in the order of the epoch, so the choices do not depend on the
//! batch size.
//!
//! Order: gather, random crop, flip, normalize, cutout.

use swath_core::spec::{Augmentation, TrainingSpec};
use tch::{Device, Kind, Tensor};

use crate::dataset::{Images, Normalizer};
use crate::loss::Target;
use crate::rng::{Purpose, Stream};

/// Every random choice of an epoch, in the order of the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Draws {
    /// Which image stands at each position.
    pub(crate) order: Vec<i64>,
    /// First row and column of each crop in the padded image.
    pub(crate) crop: Option<[Vec<i64>; 2]>,
    /// 1 where the image is mirrored.
    pub(crate) flip: Option<Vec<i64>>,
    /// First row and column of each erased square; may be negative.
    pub(crate) cutout: Option<[Vec<i64>; 2]>,
}

impl Draws {
    /// The draws of `epoch` (counted from 0) for a training set of `count`
    /// images of `height`×`width`.
    pub(crate) fn new(spec: &TrainingSpec, epoch: u64, count: usize, size: [i64; 2]) -> Self {
        let stream = |purpose| Stream::new(spec.seed, purpose, epoch);
        let positions = 0..count as u64;
        let pairs = |purpose, rows: i64, columns: i64| -> [Vec<i64>; 2] {
            let stream = stream(purpose);
            let (rows, columns): (Vec<i64>, Vec<i64>) = positions
                .clone()
                .map(|at| stream.pair_below(at, rows as u64, columns as u64))
                .map(|(row, column)| (row as i64, column as i64))
                .unzip();
            [rows, columns]
        };
        let augmentation = &spec.augmentation;
        let order = if spec.shuffle {
            stream(Purpose::Shuffle).permutation(count)
        } else {
            (0..count as i64).collect()
        };
        let crop = augmentation.random_crop.as_ref().map(|crop| {
            let places = 2 * i64::from(crop.padding) + 1;
            pairs(Purpose::Crop, places, places)
        });
        let flip = augmentation.horizontal_flip.then(|| {
            let stream = stream(Purpose::Flip);
            positions
                .clone()
                .map(|at| i64::from(stream.coin(at)))
                .collect()
        });
        let cutout = augmentation.cutout.as_ref().map(|cutout| {
            let side = i64::from(cutout.size);
            // A square of even side has its centre between pixels, so one
            // place more where it may lie.
            let extra = 1 - side % 2;
            let [height, width] = size;
            pairs(Purpose::Cutout, height + extra, width + extra)
                .map(|centres| centres.into_iter().map(|at| at - side / 2).collect())
        });
        Self {
            order,
            crop,
            flip,
            cutout,
        }
    }
}

/// A batch as a model sees it.
pub(crate) struct Batch {
    /// N×C×H×W, normalized, channels last in memory: one tensor, or two that
    /// show the same images differently.
    pub(crate) views: Vec<Tensor>,
    /// What they should be classified as.
    pub(crate) target: Target,
}

impl Batch {
    /// Images.
    pub(crate) fn count(&self) -> i64 {
        self.views[0].size()[0]
    }

    #[allow(dead_code, clippy::allow_attributes, reason = "for chunked steps")]
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
    cutout: Option<[Tensor; 2]>,
    padding: i64,
    cutout_side: i64,
    device: Device,
}

impl Epoch {
    /// Moves `draws` to `device`: once per epoch, so that no step waits for
    /// the host.
    pub(crate) fn new(draws: &Draws, augmentation: &Augmentation, device: Device) -> Self {
        let to_device = |values: &Vec<i64>| Tensor::from_slice(values).to_device(device);
        let pair = |pair: &[Vec<i64>; 2]| [to_device(&pair[0]), to_device(&pair[1])];
        let padding = augmentation.random_crop.as_ref().map(|crop| crop.padding);
        let side = augmentation.cutout.as_ref().map(|cutout| cutout.size);
        Self {
            order: to_device(&draws.order),
            crop: draws.crop.as_ref().map(pair),
            flip: draws.flip.as_ref().map(to_device),
            cutout: draws.cutout.as_ref().map(pair),
            padding: i64::from(padding.unwrap_or(0)),
            cutout_side: i64::from(side.unwrap_or(0)),
            device,
        }
    }

    /// The batch of the positions `start..start + count`.
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
        if let Some(corners) = &self.cutout {
            let mask = self.squares(corners, &pixels, start);
            let _ = pixels.masked_fill_(&mask, 0.0);
        }
        Batch {
            views: vec![pixels.permute([0, 3, 1, 2])],
            target: Target::Labels(labels),
        }
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

    /// N×H×W×1: true inside each image's square.
    fn squares(&self, corners: &[Tensor; 2], pixels: &Tensor, start: i64) -> Tensor {
        let (count, height, width, _) = pixels.size4().unwrap_or_default();
        let inside = |corner: &Tensor, length: i64| {
            let from = corner.narrow(0, start, count).unsqueeze(1);
            let place = Tensor::arange(length, (Kind::Int64, self.device)) - from;
            place.ge(0).logical_and(&place.lt(self.cutout_side))
        };
        let rows = inside(&corners[0], height).unsqueeze(2);
        let columns = inside(&corners[1], width).unsqueeze(1);
        rows.logical_and(&columns).unsqueeze(3)
    }
}

#[cfg(test)]
mod tests;
