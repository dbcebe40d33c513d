//! What the kinds of users' own data sets share.

use std::path::Path;

use swath_model::spec::OwnData;

use super::Facts;
use crate::failure::Failure;

/// The failure for a `dataset.path` that leads nowhere; relative paths start
/// from the directory in which this process was started.
pub(super) fn missing(path: &Path, what: &str) -> Failure {
    let seen_from = match std::env::current_dir() {
        Ok(directory) if path.is_relative() => {
            format!(", seen from the working directory {}", directory.display())
        }
        _ => String::new(),
    };
    Failure::Lacks(format!(
        "`dataset.path`: {} {what}{seen_from}",
        path.display()
    ))
}

/// `dataset.mean` or `.std`; empty where it is absent.
///
/// # Errors
///
/// [`Failure::Lacks`] with the key where there is not one value per channel.
pub(super) fn per_channel(values: &[f64], channels: usize, key: &str) -> Result<Vec<f32>, Failure> {
    match values.len() {
        0 => Ok(Vec::new()),
        length if length == channels => Ok(values.iter().map(|value| *value as f32).collect()),
        length => Err(Failure::Invalid(format!(
            "`{key}` has {length} values for images of {channels} channels"
        ))),
    }
}

/// Replaces the mean and the standard deviation of the data by those of the
/// options.
///
/// # Errors
///
/// As [`per_channel`].
pub(super) fn set_moments(facts: &mut Facts, own: &OwnData) -> Result<(), Failure> {
    let channels = facts.channels as usize;
    let given = [
        (&mut facts.mean, &own.mean, "dataset.mean"),
        (&mut facts.std, &own.std, "dataset.std"),
    ];
    for (values, option, key) in given {
        let option = per_channel(option, channels, key)?;
        if !option.is_empty() {
            *values = option;
        }
    }
    Ok(())
}

/// Mean and standard deviation of each channel of images (channels first, each
/// channel `plane` bytes), with pixels in 0..1. A constant channel gets 1, so
/// that it can be used as a divisor.
pub(super) fn moments(images: &[u8], channels: usize, plane: usize) -> (Vec<f32>, Vec<f32>) {
    let mut counts = vec![[0_u64; 256]; channels];
    for (index, values) in images.chunks_exact(plane).enumerate() {
        let counts = &mut counts[index % channels];
        for value in values {
            counts[usize::from(*value)] += 1;
        }
    }
    let of_channel = |counts: &[u64; 256]| {
        let sum = |power: u32| -> f64 {
            let terms = counts.iter().zip(0_u64..);
            terms
                .map(|(count, value)| count * value.pow(power))
                .sum::<u64>() as f64
        };
        let mean = sum(1) / sum(0);
        let variance = sum(2) / sum(0) - mean * mean;
        let std = if variance > 0.0 {
            variance.sqrt() / 255.0
        } else {
            1.0
        };
        ((mean / 255.0) as f32, std as f32)
    };
    counts.iter().map(of_channel).unzip()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_relative_path_is_said_to_be_seen_from_somewhere() {
        let here = std::env::current_dir().unwrap().display().to_string();
        let relative = missing(Path::new("here/x"), "is no file").to_string();
        assert!(
            relative.contains(&here) && relative.contains("here/x"),
            "{relative}"
        );
        let absolute = missing(Path::new("/here/x"), "is no file").to_string();
        assert!(!absolute.contains("working directory"), "{absolute}");
    }

    #[test]
    fn a_constant_channel_can_be_divided() {
        assert_eq!(moments(&[255; 8], 2, 2), (vec![1.0; 2], vec![1.0; 2]));
    }

    proptest! {
        #[test]
        fn moments_are_those_of_each_channel(
            pixels in proptest::collection::vec(any::<u8>(), 12..240),
        ) {
            let images = &pixels[..pixels.len() / 12 * 12];
            let (means, stds) = moments(images, 3, 4);
            for channel in 0..3 {
                let values: Vec<f64> = images
                    .chunks_exact(4)
                    .skip(channel)
                    .step_by(3)
                    .flatten()
                    .map(|value| f64::from(*value) / 255.0)
                    .collect();
                let count = values.len() as f64;
                let mean = values.iter().sum::<f64>() / count;
                let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
                prop_assert!((f64::from(means[channel]) - mean).abs() < 1e-6);
                if variance > 1e-9 {
                    prop_assert!((f64::from(stds[channel]) - variance.sqrt()).abs() < 1e-6);
                }
            }
        }
    }
}
