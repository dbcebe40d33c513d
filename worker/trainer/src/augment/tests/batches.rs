use proptest::prelude::*;

use super::*;
use crate::loss::Target;

/// The augmentation of a case: every option, one way to mix or two views.
fn options(padding: u32, flip: bool, side: u32, erase: f64, way: u8, alpha: f64) -> Value {
    let mut options = json!({
        "random_crop": {"padding": padding},
        "horizontal_flip": flip,
        "random_erasing": {"probability": erase, "max_attempts": 3},
    });
    let way = match way {
        0 => ("cutout", json!({"size": side})),
        1 => ("mixup", json!({"alpha": alpha})),
        2 => ("ricap", json!({"beta": alpha})),
        3 => ("cutmix", json!({"alpha": alpha})),
        _ => ("dual_cutout", json!({"size": side + 1, "alpha": alpha})),
    };
    options[way.0] = way.1;
    if (1..=3).contains(&(side % 4)) && !["cutout", "dual_cutout"].contains(&way.0) {
        options["cutout"] = json!({"size": side});
    }
    options
}

/// The classes of each image with their weights; what weighs nothing is left
/// out.
fn shares(target: &Target) -> Vec<Vec<(i64, f64)>> {
    let numbers = |labels: &Tensor| Vec::<i64>::try_from(labels).unwrap();
    match target {
        Target::Labels(labels) | Target::Twice { labels, .. } => {
            let labels = numbers(labels);
            labels.into_iter().map(|class| vec![(class, 1.0)]).collect()
        }
        Target::Mixed(shares) => {
            let columns: Vec<_> = shares.iter().map(|share| numbers(&share.labels)).collect();
            (0..columns[0].len())
                .map(|image| {
                    let weights = shares.iter().map(|share| share.weight);
                    let classes = columns.iter().map(|column| column[image]);
                    classes.zip(weights).filter(|(_, w)| *w > 0.0).collect()
                })
                .collect()
        }
    }
}

fn numbers(view: &Tensor) -> Vec<f32> {
    assert_eq!(view.stride()[1], 1, "channels last");
    Vec::<f32>::try_from(view.contiguous().view(-1)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn batches_are_what_a_loop_over_images_gives(
        seed in 0_u64..1000, epoch in 0_u64..5, count in 1_usize..9, batch in 1_usize..6,
        channels in 1_i64..4, height in 3_i64..9, width in 3_i64..9,
        padding in 0_u32..4, flip: bool, side in 0_u32..7,
        erase in 0.0..1.0_f64, way in 0_u8..5, alpha in 0.05..4.0_f64,
    ) {
        let spec = spec(&options(padding, flip, side, erase, way, alpha), seed);
        let facts = facts(channels, height, width);
        let split = split(&facts, count);
        let draws = Draws::new(&spec, epoch, count, [height, width], batch);
        let images = Images::new(&split, &facts, Device::Cpu);
        let normalizer = Normalizer::new(&facts, Device::Cpu);
        let choices = Epoch::new(&draws, &spec.augmentation, Device::Cpu);
        for start in (0..count).step_by(batch) {
            let length = batch.min(count - start);
            let found = choices.batch(&images, &normalizer, start as i64, length as i64);
            let mut expected = naive::batch(&spec, &draws, &split, &facts, start..start + length);
            prop_assert_eq!(found.count(), length as i64);
            let views: Vec<_> = found.views.iter().map(numbers).collect();
            prop_assert_eq!(&views, &expected.views);
            for shares in &mut expected.shares {
                shares.retain(|(_, weight)| *weight > 0.0);
            }
            prop_assert_eq!(shares(&found.target), &expected.shares[..]);
            if let Target::Twice { consistency, .. } = &found.target {
                prop_assert_eq!(consistency.to_bits(), alpha.to_bits());
            }
            // A chunk shows and asks for what the batch does there.
            let part = found.chunk(1.min(length as i64 - 1), 1);
            let size = (channels * height * width) as usize;
            let at = 1.min(length - 1);
            for (part, whole) in part.views.iter().zip(&expected.views) {
                prop_assert_eq!(&numbers(part)[..], &whole[at * size..(at + 1) * size]);
            }
            prop_assert_eq!(shares(&part.target), &expected.shares[at..=at]);
        }
    }
}

/// At the ends and in the middle of what Beta gives.
#[test]
fn mixup_is_linear_in_its_weight() {
    let images = Tensor::from_slice(&[1.0_f32, -3.0, 5.0, 7.0]).view([2, 1, 2, 1]);
    let labels = Tensor::from_slice(&[3_i64, 8]);
    for (own, expected) in [
        (1.0, [1.0_f32, -3.0, 5.0, 7.0]),
        (0.0, [5.0, 7.0, 1.0, -3.0]),
        (0.25, [4.0, 4.5, 2.0, -0.5]),
    ] {
        let mixing = mix::Mixing {
            batch: 2,
            recipes: vec![mix::Recipe::Mixup { own }],
            partners: vec![vec![1, 0]],
        };
        let mixer = Mixer::new(&mixing, Device::Cpu);
        let (mixed, target) = mixer.mix(images.copy(), labels.copy(), 0);
        assert_eq!(Vec::<f32>::try_from(mixed.view(-1)).unwrap(), expected);
        let all = [
            vec![(3, own), (8, 1.0 - own)],
            vec![(8, own), (3, 1.0 - own)],
        ];
        for (found, mut expected) in shares(&target).into_iter().zip(all) {
            expected.retain(|(_, weight)| *weight > 0.0);
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn without_augmentation_and_shuffle_images_come_in_file_order() {
    let mut spec = spec(&json!({}), 1);
    spec.shuffle = false;
    let draws = Draws::new(&spec, 3, 5, [8, 8], 4);
    assert_eq!(draws.order, [0, 1, 2, 3, 4]);
    assert_eq!((draws.crop, draws.flip, draws.cutout), (None, None, None));
    assert_eq!(
        (draws.erasing, draws.second_cutout, draws.mixing),
        (None, None, None)
    );
}
