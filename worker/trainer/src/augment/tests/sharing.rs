//! How images are mixed, and with whom.

use std::collections::HashMap;

use super::super::mix::{Mixing, Patch, Recipe};
use super::*;

fn mixing(augmentation: &Value, count: usize, size: [i64; 2], batch: usize) -> Mixing {
    let draws = Draws::new(&spec(augmentation, 21), 1, count, size, batch);
    draws.mixing.unwrap()
}

/// `values` have this mean and variance, to five standard deviations of a
/// mean and 5 % of the variance.
fn moments(values: &[f64], mean: f64, variance: f64) {
    let n = values.len() as f64;
    let found = values.iter().sum::<f64>() / n;
    let squares = values
        .iter()
        .map(|value| (value - found).powi(2))
        .sum::<f64>()
        / n;
    assert!(
        (found - mean).abs() < 5.0 * (variance / n).sqrt(),
        "{found} {mean}"
    );
    assert!(
        (squares / variance - 1.0).abs() < 0.05,
        "{squares} {variance}"
    );
}

#[test]
fn mixup_draws_one_weight_per_batch_from_beta() {
    for alpha in [0.3, 1.0, 4.0] {
        let mixing = mixing(&json!({"mixup": {"alpha": alpha}}), 20_000, [8, 8], 2);
        assert_eq!(mixing.recipes.len(), 10_000);
        let weights: Vec<f64> = mixing
            .recipes
            .iter()
            .map(|recipe| match recipe {
                Recipe::Mixup { own } => *own,
                other => panic!("{other:?}"),
            })
            .collect();
        moments(&weights, 0.5, 0.25 / (2.0 * alpha + 1.0));
    }
}

/// Each of the six orders of three images, in each set of partners, and each
/// pair of orders in two sets.
#[test]
fn every_order_of_a_batch_is_equally_likely() {
    let orders = |set: &[i64]| -> Vec<Vec<i64>> { set.chunks(3).map(<[i64]>::to_vec).collect() };
    let even = |counts: &HashMap<Vec<i64>, u32>, kinds: usize| {
        assert_eq!(counts.len(), kinds);
        let mean = f64::from(counts.values().sum::<u32>()) / kinds as f64;
        let far = counts
            .values()
            .find(|n| (f64::from(**n) - mean).abs() > 5.0 * mean.sqrt());
        assert_eq!(far, None, "{counts:?}");
    };
    for (augmentation, sets) in [(json!({"mixup": {}}), 1), (json!({"ricap": {}}), 4)] {
        let mixing = mixing(&augmentation, 3 * 7200, [8, 8], 3);
        assert_eq!(mixing.partners.len(), sets);
        for set in &mixing.partners {
            let mut counts = HashMap::new();
            for order in orders(set) {
                *counts.entry(order).or_insert(0) += 1;
            }
            even(&counts, 6);
        }
        for (first, second) in mixing.partners.iter().zip(&mixing.partners[1..]) {
            let mut counts = HashMap::new();
            for pair in orders(first).into_iter().zip(orders(second)) {
                *counts.entry([pair.0, pair.1].concat()).or_insert(0) += 1;
            }
            even(&counts, 36);
        }
    }
}

#[test]
fn partners_stay_within_their_batch_and_the_last_one_may_be_short() {
    let mixing = mixing(&json!({"ricap": {}}), 10, [8, 8], 4);
    assert_eq!(mixing.recipes.len(), 3);
    for set in mixing.partners {
        for (batch, length) in set.chunks(4).zip([4, 4, 2]) {
            let mut sorted = batch.to_vec();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..length), "{set:?}");
        }
    }
}

/// A batch is mixed by where its first image stands, whatever came before.
#[test]
fn how_a_batch_is_mixed_depends_on_its_first_position_only() {
    for augmentation in [
        json!({"mixup": {}}),
        json!({"ricap": {}}),
        json!({"cutmix": {}}),
    ] {
        let small = mixing(&augmentation, 24, [8, 8], 4);
        let large = mixing(&augmentation, 24, [8, 8], 8);
        assert_eq!(small.recipes[2], large.recipes[1]);
        assert_ne!(small.recipes[1], large.recipes[1]);
    }
    // Nothing else in the epoch depends on the batches or the mixing.
    let draws = |augmentation: &Value, batch| {
        let mut draws = Draws::new(&spec(augmentation, 2), 3, 50, [8, 8], batch);
        draws.mixing = None;
        draws
    };
    let plain = json!({"random_crop": {}, "horizontal_flip": true, "random_erasing": {}});
    let mut mixed = plain.clone();
    mixed["mixup"] = json!({});
    assert_eq!(draws(&plain, 4), draws(&mixed, 7));
}

fn ricaps(beta: f64, size: [i64; 2]) -> Vec<[Patch; 4]> {
    let mixing = mixing(&json!({"ricap": {"beta": beta}}), 40_000, size, 4);
    let recipes = mixing.recipes.into_iter();
    recipes
        .map(|recipe| match recipe {
            Recipe::Ricap(patches) => patches,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn ricap_boundaries_come_from_beta_and_patches_from_anywhere() {
    let whole = 1_000_000;
    let all = ricaps(0.3, [whole, whole]);
    let ratio = |which: usize| -> Vec<f64> {
        let lengths = all.iter().map(|patches| patches[0].size[which]);
        lengths.map(|length| length as f64 / whole as f64).collect()
    };
    let (rows, columns) = (ratio(0), ratio(1));
    moments(&rows, 0.5, 0.25 / 1.6);
    moments(&columns, 0.5, 0.25 / 1.6);
    // Height and width are independent: their covariance is 0.
    let product = rows
        .iter()
        .zip(&columns)
        .map(|(a, b)| (a - 0.5) * (b - 0.5));
    let covariance = product.sum::<f64>() / rows.len() as f64;
    assert!(covariance.abs() < 5.0 * 0.156_25 / 100.0, "{covariance}");
    // Where a patch is cut from, over all places where it fits.
    for which in 0..4 {
        for axis in 0..2 {
            let places = all.iter().map(|patches| {
                let patch = patches[which];
                patch.from[axis] as f64 / (whole - patch.size[axis] + 1) as f64
            });
            moments(&places.collect::<Vec<_>>(), 0.5, 1.0 / 12.0);
        }
    }
}

#[test]
fn ricap_patches_fill_the_image() {
    for patches in ricaps(0.5, [7, 5]) {
        let areas = patches.map(|patch| patch.size[0] * patch.size[1]);
        assert_eq!(areas.iter().sum::<i64>(), 35, "{patches:?}");
        for patch in patches {
            for (axis, length) in [7, 5].into_iter().enumerate() {
                assert!(patch.from[axis] >= 0);
                assert!(patch.from[axis] + patch.size[axis] <= length, "{patch:?}");
            }
        }
    }
}

/// For λ uniform and the centre anywhere, a side of s = sqrt(1 - λ) keeps
/// s - s²/4 of the image on average once it is clipped: the pasted share is
/// the mean of (√u - u/4)² over u in 0..1, 77/240.
#[test]
fn cutmix_boxes_are_square_shares_clipped_at_the_border() {
    let side = 100_000;
    let mixing = mixing(&json!({"cutmix": {}}), 40_000, [side, side], 4);
    let whole = side as f64;
    let mut shares = Vec::new();
    let mut inside = 0;
    for recipe in mixing.recipes {
        let Recipe::Cutmix(patch) = recipe else {
            panic!("{recipe:?}")
        };
        let [height, width] = patch.size;
        shares.push(height as f64 * width as f64 / whole / whole);
        let clipped =
            (0..2).any(|axis| patch.from[axis] == 0 || patch.from[axis] + patch.size[axis] == side);
        if !clipped {
            inside += 1;
            assert!((height - width).abs() <= 1, "{patch:?}");
        }
    }
    // The square of a clipped side is s² - 5s³/12 on average, so that of the
    // share is the mean of (u - 5u^1.5/12)².
    let square = 1.0 / 3.0 - 5.0 / 21.0 + 25.0 / 576.0;
    let mean = 77.0 / 240.0;
    moments(&shares, mean, square - mean * mean);
    // Not clipped: the centre is half a side away from each border, so
    // (1 - √u)², on average 1/6.
    let share = f64::from(inside) / shares.len() as f64;
    assert!(
        (share - 1.0 / 6.0).abs() < 5.0 * (5.0 / 36.0 / 1e4_f64).sqrt(),
        "{share}"
    );
}
