use proptest::prelude::*;

use super::*;

const NO_SMOOTHING: Options = Options {
    label_smoothing: 0.0,
};

fn labels(labels: &[i64]) -> Tensor {
    Tensor::from_slice(labels)
}

fn mixed(shares: &[(&[i64], f64)]) -> Target {
    let shares = shares.iter().map(|(classes, weight)| Share {
        labels: labels(classes),
        weight: *weight,
    });
    Target::Mixed(shares.collect())
}

/// Two views of four images, three classes.
fn two_views() -> [Tensor; 2] {
    let first = [
        1.5_f32, -0.3, 0.2, 0.1, 2.0, -1.0, -0.7, 0.4, 0.9, 3.0, 1.0, -2.0,
    ];
    let second = [
        0.5_f32, 0.3, -0.2, -0.1, 1.0, 1.5, 0.7, -0.4, 0.6, 2.0, -1.0, 1.0,
    ];
    [first, second].map(|view| {
        let logits = Tensor::from_slice(&view).view([4, 3]);
        logits.set_requires_grad(true)
    })
}

/// The loss, and its gradient by the first view's logits of the last image,
/// as `torch.nn.functional` of PyTorch 2.13 gives them.
#[test]
fn losses_and_gradients_are_those_of_pytorch() {
    let classes = [0, 1, 2, 2];
    let twice = Target::Twice {
        labels: labels(&classes),
        consistency: 0.1,
    };
    let smooth = Options {
        label_smoothing: 0.1,
    };
    let plain = Target::Labels(labels(&classes));
    let mixed = mixed(&[(&classes, 0.3), (&[2, 0, 1, 1], 0.7)]);
    for (target, options, loss, gradient) in [
        (
            &plain,
            &NO_SMOOTHING,
            1.567_555_665_969_848_6,
            [0.218_900_144_1, 0.029_624_916_6, -0.248_525_068_2],
        ),
        (
            &plain,
            &smooth,
            1.585_055_708_885_192_9,
            [0.210_566_803_8, 0.021_291_583_8, -0.231_858_402_5],
        ),
        (
            &mixed,
            &NO_SMOOTHING,
            1.690_055_608_749_389_6,
            [0.218_900_144_1, -0.145_375_087_9, -0.073_525_063_7],
        ),
        (
            &twice,
            &NO_SMOOTHING,
            1.519_586_324_691_772_5,
            [0.126_116_737_7, 0.048_145_793_4, -0.174_262_538_6],
        ),
    ] {
        let views = two_views();
        let found = target.loss(&views, options);
        assert_eq!(found.kind(), Kind::Float);
        assert!((found.double_value(&[]) - loss).abs() < 1e-6, "{found}");
        found.backward();
        for (class, expected) in gradient.iter().enumerate() {
            let found = views[0].grad().double_value(&[3, class as i64]);
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}

#[test]
fn shares_count_by_weight_and_views_by_their_mean_logits() {
    let views = two_views();
    let wrong = |target: &Target| target.wrong(&views).double_value(&[]);
    // The first view says 0, 1, 2, 0; the sum of both says so too, though the
    // second alone says 0, 2, 0, 0.
    assert!((wrong(&Target::Labels(labels(&[0, 1, 2, 2]))) - 1.0).abs() < 1e-12);
    let shares = mixed(&[(&[0, 1, 2, 2], 0.3), (&[2, 0, 1, 0], 0.7)]);
    assert!((wrong(&shares) - (0.3 + 3.0 * 0.7)).abs() < 1e-12);
    let twice = Target::Twice {
        labels: labels(&[0, 1, 0, 0]),
        consistency: 0.1,
    };
    assert!((wrong(&twice) - 1.0).abs() < 1e-12);
}

/// Cross-entropy of one image to shares of classes.
fn entropy(logits: &[f64], shares: &[(i64, f64)], smoothing: f64) -> f64 {
    let sum = logits.iter().map(|logit| logit.exp()).sum::<f64>().ln();
    let classes = logits.len() as f64;
    let even = logits
        .iter()
        .map(|logit| (sum - logit) / classes)
        .sum::<f64>();
    let own: f64 = shares
        .iter()
        .map(|(class, weight)| weight * (sum - logits[*class as usize]))
        .sum();
    (1.0 - smoothing) * own + smoothing * even
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn losses_are_the_mean_of_the_formula_over_images(
        count in 1_usize..9, classes in 2_usize..7, shares in 1_usize..5,
        smoothing in 0.0..1.0_f64, consistency in 0.0..3.0_f64,
        values in prop::collection::vec(-6.0..6.0_f32, 2 * 8 * 6),
        picks in prop::collection::vec(0_i64..1000, 4 * 8),
        weights in prop::collection::vec(0.01..1.0_f64, 4),
    ) {
        let row = |view: usize, image: usize| -> Vec<f64> {
            let from = (view * count + image) * classes;
            values[from..from + classes].iter().map(|value| f64::from(*value)).collect()
        };
        let logits: Vec<Tensor> = (0..2)
            .map(|view| {
                let size = count * classes;
                let values = &values[view * size..(view + 1) * size];
                Tensor::from_slice(values).view([count as i64, classes as i64])
            })
            .collect();
        let class = |share: usize, image: usize| picks[share * 8 + image] % classes as i64;
        let own = |share| (0..count).map(|image| class(share, image)).collect::<Vec<_>>();
        let sum: f64 = weights[..shares].iter().sum();
        let mean = |of: &dyn Fn(usize) -> f64| (0..count).map(of).sum::<f64>() / count as f64;

        let smooth = Options { label_smoothing: smoothing };
        let found = Target::Labels(labels(&own(0))).loss(&logits, &smooth);
        let expected = mean(&|i| entropy(&row(0, i), &[(class(0, i), 1.0)], smoothing));
        prop_assert!((found.double_value(&[]) - expected).abs() < 1e-5);

        let owned: Vec<_> = (0..shares).map(own).collect();
        let parts: Vec<_> = (0..shares)
            .map(|share| (owned[share].as_slice(), weights[share] / sum))
            .collect();
        let found = mixed(&parts).loss(&logits, &NO_SMOOTHING);
        let expected = mean(&|i| {
            let shares: Vec<_> = (0..shares).map(|k| (class(k, i), weights[k] / sum)).collect();
            entropy(&row(0, i), &shares, 0.0)
        });
        prop_assert!((found.double_value(&[]) - expected).abs() < 1e-5);

        let found = Target::Twice { labels: labels(&own(0)), consistency }
            .loss(&logits, &NO_SMOOTHING);
        let expected = mean(&|i| {
            let (first, second) = (row(0, i), row(1, i));
            let both = [&first, &second].map(|row| entropy(row, &[(class(0, i), 1.0)], 0.0));
            let square: f64 = first.iter().zip(&second).map(|(a, b)| (a - b).powi(2)).sum();
            f64::midpoint(both[0], both[1]) + consistency * square / classes as f64
        });
        prop_assert!((found.double_value(&[]) - expected).abs() < 1e-4);
    }

    /// What accumulation relies on.
    #[test]
    fn the_mean_of_equal_chunks_is_the_loss_of_the_batch(
        chunks in 1_i64..4, chunk in 1_i64..4,
        values in prop::collection::vec(-6.0..6.0_f32, 2 * 9 * 3),
        picks in prop::collection::vec(0_i64..3, 2 * 9),
    ) {
        let count = (chunks * chunk) as usize;
        let views = [0, 27].map(|from| {
            Tensor::from_slice(&values[from..from + count * 3]).view([count as i64, 3])
        });
        let classes = &picks[..count];
        for target in [
            Target::Labels(labels(classes)),
            mixed(&[(classes, 0.25), (&picks[9..9 + count], 0.75)]),
            Target::Twice { labels: labels(classes), consistency: 0.5 },
        ] {
            let (mut losses, mut wrong) = (0.0, 0.0);
            for at in 0..chunks {
                let part = target.chunk(at * chunk, chunk);
                let views = views.each_ref().map(|view| view.narrow(0, at * chunk, chunk));
                losses += part.loss(&views, &NO_SMOOTHING).double_value(&[]);
                wrong += part.wrong(&views).double_value(&[]);
            }
            let whole = target.loss(&views, &NO_SMOOTHING).double_value(&[]);
            prop_assert!((losses / chunks as f64 - whole).abs() < 1e-5);
            prop_assert!((wrong - target.wrong(&views).double_value(&[])).abs() < 1e-9);
        }
    }
}

#[test]
fn half_precision_logits_lose_nothing_in_the_loss() {
    let classes = [0, 1, 2, 2];
    let targets = [
        Target::Labels(labels(&classes)),
        mixed(&[(&classes, 0.3), (&[2, 0, 1, 1], 0.7)]),
        Target::Twice {
            labels: labels(&classes),
            consistency: 0.1,
        },
    ];
    for kind in [Kind::BFloat16, Kind::Half] {
        let narrow = two_views().map(|view| view.detach().to_kind(kind));
        let same = narrow.each_ref().map(|view| view.to_kind(Kind::Float));
        for target in &targets {
            let found = target.loss(&narrow, &NO_SMOOTHING);
            let expected = target.loss(&same, &NO_SMOOTHING);
            assert_eq!(found.kind(), Kind::Float);
            assert!(found.equal(&expected), "{found} {expected}");
        }
    }
}
