use super::*;

/// Every value has its share, within five standard deviations.
fn uniform(values: impl IntoIterator<Item = i64>, least: i64, places: usize) {
    let mut counts = vec![0_u32; places];
    for value in values {
        counts[(value - least) as usize] += 1;
    }
    let mean = f64::from(counts.iter().sum::<u32>()) / places as f64;
    for count in &counts {
        assert!(
            (f64::from(*count) - mean).abs() < 5.0 * mean.sqrt(),
            "{counts:?}"
        );
    }
}

/// The largest distance between the distribution of `values` and the uniform
/// one on 0..1 (Kolmogorov–Smirnov) is below its 0.1 % quantile, `slack`
/// added for values that were rounded.
fn uniform_reals(mut values: Vec<f64>, slack: f64) {
    values.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    let distance = values.iter().enumerate().map(|(rank, value)| {
        let (below, up_to) = (rank as f64 / n, (rank + 1) as f64 / n);
        (value - below).abs().max((up_to - value).abs())
    });
    let distance = distance.fold(0.0, f64::max);
    assert!(distance < 1.95 / n.sqrt() + slack, "{distance}, {n} values");
}

#[test]
fn crops_flips_and_squares_are_uniform() {
    let augmentation = json!({
        "random_crop": {"padding": 4}, "horizontal_flip": true, "dual_cutout": {"size": 16},
    });
    let spec = spec(&augmentation, 11);
    let draws = Draws::new(&spec, 2, 33_000, [32, 32], 128);
    let [rows, columns] = draws.crop.unwrap();
    uniform(rows, 0, 9);
    uniform(columns, 0, 9);
    uniform(draws.flip.unwrap(), 0, 2);
    // Side 16: centres 0..=32, so first rows and columns -8..=24.
    let [first, second] = [draws.cutout, draws.second_cutout].map(Option::unwrap);
    for [rows, columns] in [&first, &second] {
        uniform(rows.iter().copied(), -8, 33);
        uniform(columns.iter().copied(), -8, 33);
    }
    // The two views are independent.
    let cells = first[0].iter().zip(&second[0]);
    uniform(
        cells.map(|(row, other)| (row + 8) * 33 + other + 8),
        0,
        33 * 33,
    );
}

/// The draws come from an independent implementation: a spec must keep its
/// draws.
#[test]
fn draws_stay_what_they_were() {
    let augmentation = json!({
        "random_crop": {"padding": 4}, "horizontal_flip": true, "cutout": {"size": 16},
    });
    let spec = spec(&augmentation, 0x5_0000_000B);
    let draws = Draws::new(&spec, 2, 8, [32, 32], 4);
    assert_eq!(draws.order, [6, 2, 1, 3, 0, 7, 4, 5]);
    let crop = [[7, 3, 2, 8, 2, 5, 1, 7], [3, 6, 4, 7, 3, 6, 5, 6]];
    assert_eq!(draws.crop.unwrap(), crop);
    assert_eq!(draws.flip.unwrap(), [0, 0, 1, 0, 1, 0, 1, 0]);
    let corners = [
        [24, 15, 2, -2, 10, 8, 24, 3],
        [-4, 21, -5, 22, 16, 20, 21, 20],
    ];
    assert_eq!(draws.cutout.unwrap(), corners);
}

#[test]
fn an_odd_square_is_centred_on_a_pixel() {
    let spec = spec(&json!({"cutout": {"size": 3}}), 1);
    let [rows, _] = Draws::new(&spec, 0, 2000, [8, 8], 4).cutout.unwrap();
    assert_eq!(rows.iter().min(), Some(&-1));
    assert_eq!(rows.iter().max(), Some(&6));
}

#[test]
fn choices_differ_between_epochs_and_seeds_only() {
    let augmentation = json!({
        "random_crop": {"padding": 4}, "horizontal_flip": true, "mixup": {},
        "random_erasing": {},
    });
    let draws = |seed, epoch| Draws::new(&spec(&augmentation, seed), epoch, 100, [32, 32], 8);
    assert_eq!(draws(1, 0), draws(1, 0));
    for other in [draws(1, 1), draws(2, 0)] {
        let first = draws(1, 0);
        assert_ne!(first.crop, other.crop);
        assert_ne!(first.flip, other.flip);
        assert_ne!(first.erasing, other.erasing);
        let (first, other) = (first.mixing.unwrap(), other.mixing.unwrap());
        assert_ne!(first.recipes, other.recipes);
        assert_ne!(first.partners, other.partners);
    }
}

/// On an image so large that rounding to pixels does not show, and with areas
/// so small that every rectangle fits.
#[test]
fn areas_aspects_places_and_values_of_erased_rectangles_are_uniform() {
    let augmentation = json!({"random_erasing": {"max_area": 0.25}});
    let side = 100_000;
    let draws = Draws::new(&spec(&augmentation, 3), 1, 40_000, [side, side], 4);
    let drawn = draws.erasing.unwrap();
    let erased: Vec<usize> = (0..40_000).filter(|at| drawn.height[*at] > 0).collect();
    let share = erased.len() as f64 / 40_000.0;
    // Half of them, to five standard deviations of 0.0025.
    assert!((share - 0.5).abs() < 0.0125, "{share}");
    let of = |value: &dyn Fn(usize) -> f64| erased.iter().map(|at| value(*at)).collect::<Vec<_>>();
    let sides = |at: usize| (drawn.height[at] as f64, drawn.width[at] as f64);
    let whole = side as f64;
    let area = |at| {
        let (height, width) = sides(at);
        (height * width / whole / whole - 0.02) / (0.25 - 0.02)
    };
    let aspect = |at| {
        let (height, width) = sides(at);
        (height / width - 0.3) / (1.0 / 0.3 - 0.3)
    };
    uniform_reals(of(&area), 1e-3);
    uniform_reals(of(&aspect), 1e-3);
    uniform_reals(of(&|at| drawn.top[at] as f64 / (whole - sides(at).0)), 1e-3);
    uniform_reals(
        of(&|at| drawn.left[at] as f64 / (whole - sides(at).1)),
        1e-3,
    );
    uniform_reals(of(&|at| f64::from(drawn.value[at])), 0.0);
}

/// With the usual ranges a rectangle fits where its area is below its aspect
/// ratio and the inverse of that: with probability 0.956058 per attempt.
#[test]
fn rectangles_that_do_not_fit_are_drawn_again() {
    for (attempts, expected) in [(1, 0.956_058), (2, 0.998_069), (20, 1.0)] {
        let augmentation = json!({"random_erasing": {"probability": 1, "max_attempts": attempts}});
        let draws = Draws::new(&spec(&augmentation, 4), 0, 20_000, [9999, 9999], 4);
        let drawn = draws.erasing.unwrap();
        let erased = drawn.height.iter().filter(|height| **height > 0).count();
        let share = erased as f64 / 20_000.0;
        let deviation = (expected * (1.0 - expected) / 20_000.0_f64).sqrt();
        assert!(
            (share - expected).abs() < 5.0 * deviation + 1e-4,
            "{attempts}: {share}"
        );
    }
}

#[test]
fn rectangles_lie_inside_images_of_any_shape() {
    let augmentation = json!({"random_erasing": {"probability": 1, "min_aspect": 0.05}});
    for size in [[3, 3], [2, 9], [9, 2], [28, 28]] {
        let draws = Draws::new(&spec(&augmentation, 9), 0, 3000, size, 4);
        let drawn = draws.erasing.unwrap();
        for at in 0..3000 {
            for (from, length, size) in [
                (drawn.top[at], drawn.height[at], size[0]),
                (drawn.left[at], drawn.width[at], size[1]),
            ] {
                assert!(
                    from >= 0 && length >= 0 && from + length < size.max(1),
                    "{size}"
                );
            }
        }
    }
}
