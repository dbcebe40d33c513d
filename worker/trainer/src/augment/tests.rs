use proptest::prelude::*;
use serde_json::{Value, json};
use swath_core::spec::JobSpec;

use super::*;
use crate::data::{Facts, Split};
use crate::loss::Target;

fn spec(augmentation: &Value, seed: u64) -> TrainingSpec {
    let tree = json!({
        "dataset": {"name": "digits"},
        "model": {"name": "resnet_preact", "depth": 8},
        "batch_size": 4, "epochs": 1, "optimizer": {"lr": 0.1},
        "augmentation": augmentation, "seed": seed,
    });
    let job = JobSpec::from_value(&tree).unwrap();
    job.training().unwrap().clone()
}

fn facts(channels: i64, height: i64, width: i64) -> Facts {
    Facts {
        channels,
        height,
        width,
        classes: 10,
        train_images: 0,
        mean: vec![0.4; channels as usize],
        std: vec![0.2; channels as usize],
    }
}

/// Images whose pixels all differ from 0 and, mostly, from each other.
fn split(facts: &Facts, count: usize) -> Split {
    let pixels = count * (facts.channels * facts.height * facts.width) as usize;
    Split {
        images: (0..pixels).map(|i| (i * 37 % 255) as u8 + 1).collect(),
        labels: (0..count as i64).map(|i| i % 10).collect(),
    }
}

/// One image after another, pixel by pixel.
fn naive(spec: &TrainingSpec, draws: &Draws, split: &Split, facts: &Facts) -> Vec<f32> {
    let (channels, height, width) = (facts.channels, facts.height, facts.width);
    let padding = spec
        .augmentation
        .random_crop
        .as_ref()
        .map_or(0, |crop| crop.padding);
    let padding = i64::from(padding);
    let side = i64::from(
        spec.augmentation
            .cutout
            .as_ref()
            .map_or(0, |cutout| cutout.size),
    );
    let mut values = Vec::new();
    for (position, image) in draws.order.iter().enumerate() {
        let corner = |pair: &Option<[Vec<i64>; 2]>| {
            pair.as_ref().map_or((0, 0), |[rows, columns]| {
                (rows[position], columns[position])
            })
        };
        let (crop_row, crop_column) = corner(&draws.crop);
        let (cut_row, cut_column) = corner(&draws.cutout);
        let flipped = draws.flip.as_ref().is_some_and(|flip| flip[position] == 1);
        for (channel, row, column) in (0..channels)
            .flat_map(|c| (0..height).flat_map(move |y| (0..width).map(move |x| (c, y, x))))
        {
            let from = if flipped { width - 1 - column } else { column };
            let source_row = row + crop_row - padding;
            let source_column = from + crop_column - padding;
            let inside = (0..height).contains(&source_row) && (0..width).contains(&source_column);
            let raw = if inside {
                let at = ((image * channels + channel) * height + source_row) * width;
                split.images[(at + source_column) as usize]
            } else {
                0
            };
            let cut = side > 0
                && (cut_row..cut_row + side).contains(&row)
                && (cut_column..cut_column + side).contains(&column);
            let normal = (f32::from(raw) / 255.0 - facts.mean[channel as usize])
                / facts.std[channel as usize];
            values.push(if cut { 0.0 } else { normal });
        }
    }
    values
}

fn batched(
    spec: &TrainingSpec,
    draws: &Draws,
    split: &Split,
    facts: &Facts,
    batch: i64,
) -> Vec<f32> {
    let images = Images::new(split, facts, Device::Cpu);
    let normalizer = Normalizer::new(facts, Device::Cpu);
    let epoch = Epoch::new(draws, &spec.augmentation, Device::Cpu);
    let count = split.labels.len() as i64;
    let mut values: Vec<f32> = Vec::new();
    let mut start = 0;
    while start < count {
        let length = batch.min(count - start);
        let batch = epoch.batch(&images, &normalizer, start, length);
        let images = &batch.views[0];
        assert_eq!(images.stride()[1], 1, "channels last");
        let Target::Labels(labels) = &batch.target else {
            panic!("nothing is mixed");
        };
        let labels = Vec::<i64>::try_from(labels).unwrap();
        for (offset, label) in labels.into_iter().enumerate() {
            let image = draws.order[start as usize + offset];
            assert_eq!(label, split.labels[image as usize]);
        }
        values.extend(Vec::<f32>::try_from(images.contiguous().view(-1)).unwrap());
        start += length;
    }
    values
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn batches_are_what_a_loop_over_images_gives(
        seed in 0_u64..1000, epoch in 0_u64..5, count in 1_usize..9, batch in 1_i64..6,
        channels in 2_i64..4, height in 3_i64..9, width in 3_i64..9,
        padding in 0_u32..4, flip: bool, side in 0_u32..7,
    ) {
        let augmentation = json!({
            "random_crop": {"padding": padding},
            "horizontal_flip": flip,
            "cutout": {"size": side},
        });
        let spec = spec(&augmentation, seed);
        let facts = facts(channels, height, width);
        let split = split(&facts, count);
        let draws = Draws::new(&spec, epoch, count, [height, width]);
        let expected = naive(&spec, &draws, &split, &facts);
        prop_assert_eq!(expected, batched(&spec, &draws, &split, &facts, batch));
    }
}

#[test]
fn without_augmentation_and_shuffle_images_come_in_file_order() {
    let mut spec = spec(&json!({}), 1);
    spec.shuffle = false;
    let draws = Draws::new(&spec, 3, 5, [8, 8]);
    assert_eq!(draws.order, [0, 1, 2, 3, 4]);
    assert_eq!((draws.crop, draws.flip, draws.cutout), (None, None, None));
}

#[test]
fn crops_flips_and_squares_are_uniform() {
    let augmentation = json!({
        "random_crop": {"padding": 4}, "horizontal_flip": true, "cutout": {"size": 16},
    });
    let spec = spec(&augmentation, 11);
    let draws = Draws::new(&spec, 2, 33_000, [32, 32]);
    // Every offset has its share, to five standard deviations.
    let uniform = |values: &[i64], least: i64, places: usize| {
        let mut counts = vec![0_u32; places];
        for value in values {
            counts[(value - least) as usize] += 1;
        }
        let mean = values.len() as f64 / places as f64;
        for count in &counts {
            assert!(
                (f64::from(*count) - mean).abs() < 5.0 * mean.sqrt(),
                "{counts:?}"
            );
        }
    };
    let [rows, columns] = draws.crop.unwrap();
    uniform(&rows, 0, 9);
    uniform(&columns, 0, 9);
    uniform(&draws.flip.unwrap(), 0, 2);
    // Side 16: centres 0..=32, so first rows and columns -8..=24.
    let [rows, columns] = draws.cutout.unwrap();
    uniform(&rows, -8, 33);
    uniform(&columns, -8, 33);
}

#[test]
fn an_odd_square_is_centred_on_a_pixel() {
    let spec = spec(&json!({"cutout": {"size": 3}}), 1);
    let [rows, _] = Draws::new(&spec, 0, 2000, [8, 8]).cutout.unwrap();
    assert_eq!(rows.iter().min(), Some(&-1));
    assert_eq!(rows.iter().max(), Some(&6));
}

#[test]
fn choices_differ_between_epochs_and_seeds_only() {
    let augmentation = json!({"random_crop": {"padding": 4}, "horizontal_flip": true});
    let draws = |seed, epoch| Draws::new(&spec(&augmentation, seed), epoch, 100, [32, 32]);
    assert_eq!(draws(1, 0), draws(1, 0));
    assert_ne!(draws(1, 0).crop, draws(1, 1).crop);
    assert_ne!(draws(1, 0).flip, draws(1, 1).flip);
    assert_ne!(draws(1, 0).crop, draws(2, 0).crop);
}
