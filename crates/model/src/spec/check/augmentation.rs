//! Rules for what is done to the training images.

use super::super::{Augmentation, Dataset, RandomErasing, SpecError, TrainingSpec};
use super::batch_sizes;

/// With more tries than this, a rectangle that never fits would go unnoticed.
const MOST_ATTEMPTS: u32 = 1000;

/// Reports every contradiction within the augmentation, and between it and the
/// loss.
pub(super) fn check(spec: &TrainingSpec, wrong: &mut impl FnMut(&str, String)) {
    let augmentation = &spec.augmentation;
    check_mixing(spec, wrong);
    if augmentation.cutout.is_some() && augmentation.dual_cutout.is_some() {
        wrong(
            "augmentation.cutout",
            "contradicts `augmentation.dual_cutout`, which cuts out of both of its views; drop \
             one of them"
                .to_owned(),
        );
    }
    if spec.loss.label_smoothing >= 1.0 {
        wrong(
            "loss.label_smoothing",
            "must be below 1: at 1 the target no longer depends on the label".to_owned(),
        );
    }
    if let Some(erasing) = &augmentation.random_erasing {
        check_erasing(erasing, wrong);
    }
    if let Some(side) = side(&spec.dataset)
        && let Some(error) = oversized(augmentation, side, side)
    {
        wrong(&error.key, error.message);
    }
}

/// Only one option may replace the target of a batch, and mixing needs a batch.
fn check_mixing(spec: &TrainingSpec, wrong: &mut impl FnMut(&str, String)) {
    let augmentation = &spec.augmentation;
    let ways = [
        ("augmentation.mixup", augmentation.mixup.is_some()),
        ("augmentation.ricap", augmentation.ricap.is_some()),
        ("augmentation.cutmix", augmentation.cutmix.is_some()),
        (
            "augmentation.dual_cutout",
            augmentation.dual_cutout.is_some(),
        ),
    ];
    let mut chosen = ways.iter().filter(|(_, on)| *on).map(|(key, _)| *key);
    let Some(first) = chosen.next() else { return };
    for other in chosen {
        wrong(
            other,
            format!("contradicts `{first}`; a batch is mixed in one way"),
        );
    }
    let dual = first == "augmentation.dual_cutout";
    if spec.loss.label_smoothing > 0.0 {
        let reason = if dual {
            "whose loss is of two views and plain labels"
        } else {
            "whose targets are mixed already"
        };
        wrong(
            "loss.label_smoothing",
            format!("contradicts `{first}`, {reason}; set it to 0"),
        );
    }
    let mut alone = batch_sizes(spec).filter(|(_, size)| *size == 1);
    if let Some((key, _)) = alone.next()
        && !dual
    {
        wrong(
            first,
            format!(
                "mixes the images of a batch with each other; `{key}` = 1 leaves none to mix with"
            ),
        );
    }
}

fn check_erasing(erasing: &RandomErasing, wrong: &mut impl FnMut(&str, String)) {
    let RandomErasing {
        min_area,
        max_area,
        min_aspect,
        max_attempts,
        ..
    } = erasing;
    if min_area > max_area {
        wrong(
            "augmentation.random_erasing.min_area",
            format!("{min_area} is above `max_area` = {max_area}"),
        );
    } else if *min_area >= 1.0 {
        wrong(
            "augmentation.random_erasing.min_area",
            "must be below 1: a rectangle is smaller than the image".to_owned(),
        );
    } else if *max_area == 0.0 {
        wrong(
            "augmentation.random_erasing.max_area",
            "0 erases nothing; drop `random_erasing`, or set `probability` to 0".to_owned(),
        );
    }
    if *min_aspect > 1.0 {
        wrong(
            "augmentation.random_erasing.min_aspect",
            format!(
                "must be at most 1, not {min_aspect}: aspect ratios reach from it to its inverse"
            ),
        );
    }
    if *max_attempts > MOST_ATTEMPTS {
        wrong(
            "augmentation.random_erasing.max_attempts",
            format!("must be at most {MOST_ATTEMPTS}, not {max_attempts}"),
        );
    }
}

/// Height and width of the images, where the data set's name determines them.
pub(super) fn side(dataset: &Dataset) -> Option<u64> {
    match dataset {
        Dataset::Cifar10 | Dataset::Cifar100 => Some(32),
        Dataset::Mnist | Dataset::FashionMnist | Dataset::Kmnist => Some(28),
        Dataset::Digits => Some(8),
        Dataset::Tensors(_) | Dataset::Folder(_) => None,
    }
}

/// Options that leave nothing to see of images of `height`×`width`: a crop that
/// may lie in the padding, or a square that always hides everything.
pub fn oversized(augmentation: &Augmentation, height: u64, width: u64) -> Option<SpecError> {
    if let Some(crop) = &augmentation.random_crop
        && u64::from(crop.padding) >= height.min(width)
    {
        let (padding, most) = (crop.padding, height.min(width).saturating_sub(1));
        return Some(SpecError::new(
            "augmentation.random_crop.padding",
            format!(
                "{padding} leaves crops of {height}×{width} images that show nothing but padding; \
                 at most {most} would do"
            ),
        ));
    }
    let squares = [
        (
            "augmentation.cutout.size",
            augmentation.cutout.as_ref().map(|cutout| cutout.size),
        ),
        (
            "augmentation.dual_cutout.size",
            augmentation.dual_cutout.as_ref().map(|dual| dual.size),
        ),
    ];
    // A square reaches half its side from its centre, which lies in the image
    // or, for an even side, on its far border.
    let hides = |size: u64, length: u64| size / 2 + size % 2 >= length;
    squares.into_iter().find_map(|(key, size)| {
        let size = u64::from(size?);
        let all = hides(size, height) && hides(size, width);
        all.then(|| {
            let most = 2 * height.max(width) - 2;
            SpecError::new(
                key,
                format!(
                    "{size} hides {height}×{width} images whole, wherever the square lies; at \
                     most {most} would do"
                ),
            )
        })
    })
}
