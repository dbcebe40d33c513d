use proptest::prelude::*;
use swath_model::outcome::Observation;
use tch::Tensor;

use super::norms::norms;
use super::*;

fn epoch(number: u32, test_error: f64, images_per_second: f64) -> Observation {
    Observation {
        epoch: number,
        step: u64::from(number) * 10,
        seconds: Some(f64::from(number) * 3.0),
        values: Metrics::from([
            ("train_loss", 0.5 / f64::from(number)),
            ("train_error", test_error / 2.0),
            ("test_error", test_error),
            ("test_loss", test_error / 10.0),
            ("images_per_second", images_per_second),
            ("distance", f64::from(number)),
        ]),
    }
}

fn history(errors: &[f64]) -> Vec<Observation> {
    let numbered = (1..).zip(errors);
    numbered
        .map(|(at, error)| epoch(at, *error, 100.0))
        .collect()
}

fn measured(errors: &[f64], goals: &[f64]) -> Measurement {
    finished(&history(errors), |_| 64, goals, 9.0).unwrap()
}

#[test]
fn the_last_epoch_counts_beside_best_and_median() {
    let found = measured(&[50.0, 10.0, 30.0, 40.0, 20.0, 60.0], &[]);
    assert_eq!(found.values.get("test_error"), Some(60.0));
    assert_eq!(found.values.get("best_test_error"), Some(10.0));
    // 10, 30, 40, 20, 60.
    assert_eq!(found.values.get("median_test_error"), Some(30.0));
    assert_eq!(found.values.get("train_error"), Some(30.0));
    assert_eq!(found.values.get("distance"), Some(6.0));
    assert_eq!(
        measured(&[8.0, 6.0], &[]).values.get("median_test_error"),
        Some(7.0)
    );
    assert!(finished(&[], |_| 64, &[], 0.0).is_err());
}

#[test]
fn a_goal_is_reached_by_the_first_epoch_at_or_below() {
    let found = measured(&[50.0, 10.0, 4.5, 11.0], &[10.0, 4.5, 1.0, 99.0]);
    let at = |name: &str| found.values.get(name);
    assert_eq!(at("goal.10.epoch"), Some(2.0));
    assert_eq!(at("goal.10.steps"), Some(20.0));
    assert_eq!(at("goal.10.seconds"), Some(6.0));
    assert_eq!(at("goal.4.5.epoch"), Some(3.0));
    assert_eq!(at("goal.99.epoch"), Some(1.0));
    assert_eq!(at("goal.1.epoch"), None);
}

#[test]
fn the_speed_is_images_over_seconds() {
    // 10 steps of 50 images at 100/s and of 100 images at 400/s: 5 s and 2.5 s.
    let history = [epoch(1, 1.0, 100.0), epoch(2, 1.0, 400.0)];
    let speed = speed(&history, |epoch| 50 * (epoch + 1)).unwrap();
    assert!((speed - 1500.0 / 7.5).abs() < 1e-9, "{speed}");
}

#[test]
fn norms_are_those_of_the_parts() {
    let parts = [
        Tensor::from_slice(&[3.0_f32, 4.0]),
        Tensor::from_slice(&[-2.0_f32]).view([1, 1]),
        Tensor::from_slice(&[1.0_f32, 2.0, 2.0]),
    ];
    let found = norms(&parts).unwrap();
    for (found, wanted) in found.iter().zip([5.0, 2.0, 3.0]) {
        assert!((found - wanted).abs() < 1e-12);
    }
}

proptest! {
    /// Equal to the sum over all numbers, and 0 only for equal ones.
    #[test]
    fn distances_are_euclidean(pairs in proptest::collection::vec((-9.0..9.0_f32, -9.0..9.0_f32), 1..50)) {
        let (start, now): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
        let mut flat = Tensor::from_slice(&start);
        let start = Start::new(&flat);
        prop_assert_eq!(start.distance(&flat), Some(0.0));
        // In place, as an optimizer does it.
        flat.copy_(&Tensor::from_slice(&now));
        let naive = pairs.iter().map(|(a, b)| f64::from(b - a).powi(2)).sum::<f64>().sqrt();
        prop_assert!((start.distance(&flat).unwrap() - naive).abs() < 1e-9);
    }

    /// At least half of the last epochs are at or below it, and at least half
    /// at or above it.
    #[test]
    fn medians_are_in_the_middle(errors in proptest::collection::vec(0.0..100.0_f64, 1..20), count in 1_usize..9) {
        let median = median_of_last(errors.iter().copied(), count).unwrap();
        let last = &errors[errors.len().saturating_sub(count)..];
        let below = last.iter().filter(|error| **error <= median).count();
        let above = last.iter().filter(|error| **error >= median).count();
        prop_assert!(2 * below >= last.len() && 2 * above >= last.len());
    }
}
