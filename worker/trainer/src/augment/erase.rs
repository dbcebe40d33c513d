//! Painting over rectangles of images: random erasing, cutout.

use swath_model::spec::RandomErasing;
use tch::{Device, Kind, Tensor};

use crate::rng::Stream;

/// The rectangle of each image of an epoch that random erasing paints over
/// (Zhong et al. 2017); its height and width are 0 where the image stays.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Erasing {
    /// First row.
    pub(crate) top: Vec<i64>,
    /// First column.
    pub(crate) left: Vec<i64>,
    /// How many rows.
    pub(crate) height: Vec<i64>,
    /// How many columns.
    pub(crate) width: Vec<i64>,
    /// What it is filled with: one number in 0..1 for all pixels and channels.
    pub(crate) value: Vec<f32>,
}

impl Erasing {
    /// The rectangles of `count` images of `size` = height×width.
    pub(crate) fn new(
        options: &RandomErasing,
        stream: Stream,
        count: usize,
        size: [i64; 2],
    ) -> Self {
        let mut drawn = Self {
            top: Vec::with_capacity(count),
            left: Vec::with_capacity(count),
            height: Vec::with_capacity(count),
            width: Vec::with_capacity(count),
            value: Vec::with_capacity(count),
        };
        for position in 0..count as u64 {
            let (chance, value) = stream.uniforms(position);
            let erased = chance < options.probability;
            let [top, left, height, width] = erased
                .then(|| rectangle(options, stream, position, size))
                .flatten()
                .unwrap_or_default();
            drawn.top.push(top);
            drawn.left.push(left);
            drawn.height.push(height);
            drawn.width.push(width);
            drawn.value.push(value as f32);
        }
        drawn
    }
}

/// Top, left, height and width of a rectangle inside the image: area and
/// aspect ratio (height over width) uniform in their ranges, both sides
/// rounded down and shorter than the image's. None where no attempt gave one.
///
/// The last possible place in each direction is never taken, as for the
/// published numbers.
fn rectangle(
    options: &RandomErasing,
    stream: Stream,
    position: u64,
    [height, width]: [i64; 2],
) -> Option<[i64; 4]> {
    let between = |least: f64, most: f64, at: f64| least + (most - least) * at;
    (0..options.max_attempts).find_map(|attempt| {
        let (area, aspect) = stream.lane(2 * attempt + 1).uniforms(position);
        let area = between(options.min_area, options.max_area, area) * (height * width) as f64;
        let aspect = between(options.min_aspect, 1.0 / options.min_aspect, aspect);
        let rows = (area * aspect).sqrt() as i64;
        let columns = (area / aspect).sqrt() as i64;
        if rows >= height || columns >= width {
            return None;
        }
        let places = ((height - rows) as u64, (width - columns) as u64);
        let lane = stream.lane(2 * attempt + 2);
        let (top, left) = lane.pair_below(position, places.0, places.1);
        Some([top as i64, left as i64, rows, columns])
    })
}

/// The rectangles of an epoch on the device, in the order of the epoch.
pub(super) struct Rectangles {
    /// First row, first column.
    corner: [Tensor; 2],
    /// Height and width: one per image, or one for all.
    extent: [Tensor; 2],
    device: Device,
}

impl Rectangles {
    /// Squares of one side from their first rows and columns.
    pub(super) fn squares(corners: &[Vec<i64>; 2], side: u32, device: Device) -> Self {
        let side = Tensor::from(i64::from(side)).to_device(device).view(1);
        Self {
            corner: [0, 1].map(|which| Tensor::from_slice(&corners[which]).to_device(device)),
            extent: [side.shallow_clone(), side],
            device,
        }
    }

    /// The rectangles of random erasing.
    pub(super) fn erased(drawn: &Erasing, device: Device) -> Self {
        let to_device = |values: &Vec<i64>| Tensor::from_slice(values).to_device(device);
        Self {
            corner: [to_device(&drawn.top), to_device(&drawn.left)],
            extent: [to_device(&drawn.height), to_device(&drawn.width)],
            device,
        }
    }

    /// N×H×W×1: true inside the rectangle of each of the images
    /// `start..start + N`, which `pixels` (N×H×W×C) shows.
    pub(super) fn mask(&self, pixels: &Tensor, start: i64) -> Tensor {
        let (count, height, width, _) = pixels.size4().unwrap_or_default();
        let inside = |which: usize, length: i64| {
            let from = self.corner[which].narrow(0, start, count).unsqueeze(1);
            let extent = &self.extent[which];
            let extent = match extent.size()[0] {
                1 => extent.shallow_clone(),
                _ => extent.narrow(0, start, count).unsqueeze(1),
            };
            let place = Tensor::arange(length, (Kind::Int64, self.device)) - from;
            place.ge(0).logical_and(&place.lt_tensor(&extent))
        };
        let rows = inside(0, height).unsqueeze(2);
        let columns = inside(1, width).unsqueeze(1);
        rows.logical_and(&columns).unsqueeze(3)
    }
}
