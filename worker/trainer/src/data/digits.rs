//! `digits`: 1,797 images of 8×8, built into the program.
//!
//! UCI *Optical Recognition of Handwritten Digits* (Alpaydin & Kaynak 1998,
//! CC BY 4.0). A line holds 64 pixels of 0–16 and the label; the last 450
//! lines are the test set.

use std::io::Read;

use flate2::read::GzDecoder;

use super::Split;
use crate::failure::Failure;

static CSV: &[u8] = include_bytes!("../../data/digits.csv.gz");

/// Images of the training set.
pub(super) const TRAIN_IMAGES: u64 = 1347;
/// Mean of the training pixels in 0..1.
pub(super) const MEAN: f32 = 0.305_775;
/// Standard deviation of the training pixels in 0..1.
pub(super) const STD: f32 = 0.375_429_76;

const PIXELS: usize = 64;

/// The training and the test set.
pub(super) fn load() -> Result<(Split, Split), Failure> {
    let broken = |what: String| Failure::Crashed(format!("the built-in digits: {what}"));
    let mut text = String::new();
    GzDecoder::new(CSV)
        .read_to_string(&mut text)
        .map_err(|error| broken(error.to_string()))?;
    let mut train = Split::default();
    let mut test = Split::default();
    for (index, line) in text.lines().enumerate() {
        let values: Vec<u16> = line
            .split(',')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|error| broken(format!("line {}: {error}", index + 1)))?;
        if values.len() != PIXELS + 1 {
            return Err(broken(format!(
                "line {} is not 64 pixels and a label",
                index + 1
            )));
        }
        let split = if (index as u64) < TRAIN_IMAGES {
            &mut train
        } else {
            &mut test
        };
        split
            .images
            .extend(values[..PIXELS].iter().map(|v| byte(*v)));
        split.labels.push(i64::from(values[PIXELS]));
    }
    Ok((train, test))
}

/// 0–16 to 0–255, rounded half up.
fn byte(value: u16) -> u8 {
    ((value * 255 + 8) / 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_all_images_and_the_documented_moments() {
        let (train, test) = load().unwrap();
        assert_eq!(train.labels.len() as u64, TRAIN_IMAGES);
        assert_eq!(test.labels.len(), 450);
        let n = train.images.len() as f64;
        let mean = train.images.iter().map(|v| f64::from(*v)).sum::<f64>() / n / 255.0;
        let square = |v: &u8| (f64::from(*v) / 255.0 - mean).powi(2);
        let std = (train.images.iter().map(square).sum::<f64>() / n).sqrt();
        assert!((mean - f64::from(MEAN)).abs() < 1e-6, "{mean}");
        assert!((std - f64::from(STD)).abs() < 1e-6, "{std}");
    }

    #[test]
    fn the_scale_ends_at_255() {
        assert_eq!([byte(0), byte(8), byte(16)], [0, 128, 255]);
    }
}
