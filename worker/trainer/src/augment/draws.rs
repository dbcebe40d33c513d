//! Every random choice of an epoch, drawn on the host.

use swath_model::spec::TrainingSpec;

use super::erase::Erasing;
use super::mix::Mixing;
use crate::rng::{Purpose, Stream};

/// Every random choice of an epoch, in the order of the epoch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Draws {
    /// Which image is at each position.
    pub(crate) order: Vec<i64>,
    /// First row and column of each crop in the padded image.
    pub(crate) crop: Option<[Vec<i64>; 2]>,
    /// 1 where the image is mirrored.
    pub(crate) flip: Option<Vec<i64>>,
    /// The rectangles of random erasing.
    pub(crate) erasing: Option<Erasing>,
    /// First row and column of each erased square; may be negative. Of dual
    /// cutout, those of the first view.
    pub(crate) cutout: Option<[Vec<i64>; 2]>,
    /// Those of the second view of dual cutout.
    pub(crate) second_cutout: Option<[Vec<i64>; 2]>,
    /// What is mixed with what.
    pub(crate) mixing: Option<Mixing>,
}

impl Draws {
    /// The draws of `epoch` (counted from 0) for a training set of `count`
    /// images of `size` = height×width, in batches of `batch` images. Only what
    /// is mixed depends on `batch`.
    pub(crate) fn new(
        spec: &TrainingSpec,
        epoch: u64,
        count: usize,
        size: [i64; 2],
        batch: usize,
    ) -> Self {
        let stream = |purpose| Stream::new(spec.seed, purpose, epoch);
        let augmentation = &spec.augmentation;
        let order = if spec.shuffle {
            stream(Purpose::Shuffle).permutation(count)
        } else {
            (0..count as i64).collect()
        };
        let crop = augmentation.random_crop.as_ref().map(|crop| {
            let places = 2 * i64::from(crop.padding) + 1;
            pairs(stream(Purpose::Crop), count, [places, places])
        });
        let flip = augmentation.horizontal_flip.then(|| {
            let stream = stream(Purpose::Flip);
            (0..count as u64)
                .map(|at| i64::from(stream.coin(at)))
                .collect()
        });
        let erasing = augmentation
            .random_erasing
            .as_ref()
            .map(|options| Erasing::new(options, stream(Purpose::Erasing), count, size));
        let single = augmentation.cutout.as_ref().map(|cutout| cutout.size);
        let dual = augmentation.dual_cutout.as_ref().map(|dual| dual.size);
        let squares = |purpose, side| squares(stream(purpose), count, size, i64::from(side));
        Self {
            order,
            crop,
            flip,
            erasing,
            cutout: single.or(dual).map(|side| squares(Purpose::Cutout, side)),
            second_cutout: dual.map(|side| squares(Purpose::SecondCutout, side)),
            mixing: Mixing::new(spec, epoch, count, size, batch),
        }
    }
}

/// Two whole numbers below `bounds` for each of `count` positions.
fn pairs(stream: Stream, count: usize, bounds: [i64; 2]) -> [Vec<i64>; 2] {
    let [rows, columns] = bounds.map(|bound| bound as u64);
    let (rows, columns): (Vec<i64>, Vec<i64>) = (0..count as u64)
        .map(|at| stream.pair_below(at, rows, columns))
        .map(|(row, column)| (row as i64, column as i64))
        .unzip();
    [rows, columns]
}

/// First row and column of a square per image, its centre anywhere in it.
fn squares(stream: Stream, count: usize, size: [i64; 2], side: i64) -> [Vec<i64>; 2] {
    // A square with an even side has its centre between pixels, so there is one
    // more place where it may lie.
    let extra = 1 - side % 2;
    pairs(stream, count, size.map(|length| length + extra))
        .map(|centres| centres.into_iter().map(|at| at - side / 2).collect())
}
