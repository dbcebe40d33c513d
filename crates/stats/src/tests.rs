use proptest::prelude::*;

use super::*;

fn naive_median(values: &[f64]) -> Option<f64> {
    let values: Vec<f64> = values.iter().map(|value| value + 0.0).collect();
    // The number with as many below it as above it, found by counting.
    let rank = |rank: usize| {
        values.iter().copied().find(|value| {
            let below = values.iter().filter(|other| *other < value).count();
            let equal = values
                .iter()
                .filter(|other| (*other).total_cmp(value).is_eq())
                .count();
            below <= rank && rank < below + equal
        })
    };
    let count = values.len();
    match count {
        0 => None,
        _ if count % 2 == 1 => rank(count / 2),
        _ => Some(f64::midpoint(rank(count / 2 - 1)?, rank(count / 2)?)),
    }
}

fn numbers() -> impl Strategy<Value = Vec<f64>> {
    let number = prop_oneof![
        4 => -100.0..100.0,
        1 => (-5..5_i32).prop_map(f64::from),
        1 => prop_oneof![Just(-0.0), Just(0.0), Just(f64::MAX), Just(f64::MIN)],
    ];
    proptest::collection::vec(number, 0..12)
}

proptest! {
    #[test]
    fn it_agrees_with_the_naive_version(values in numbers()) {
        let sample = Sample::new(values.iter().copied()).unwrap();
        prop_assert_eq!(sample.median(), naive_median(&values));
        prop_assert_eq!(sample.min(), values.iter().copied().reduce(f64::min));
        prop_assert_eq!(sample.max(), values.iter().copied().reduce(f64::max));
        if values.iter().all(|value| value.abs() <= 100.0) && !values.is_empty() {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            prop_assert!((sample.mean().unwrap() - mean).abs() < 1e-9);
        }
    }

    #[test]
    fn the_order_does_not_matter(
        (values, shuffled) in numbers().prop_flat_map(|values| {
            (Just(values.clone()), Just(values).prop_shuffle())
        }),
        q in 0.0..=1.0,
    ) {
        let (left, right) = (Sample::new(values).unwrap(), Sample::new(shuffled).unwrap());
        let bits = |sample: &Sample| {
            [sample.median(), sample.min(), sample.max(), sample.mean(), sample.quantile(q)]
                .map(|value| value.map(f64::to_bits))
        };
        prop_assert_eq!(bits(&left), bits(&right));
    }

    #[test]
    fn everything_stays_finite_and_within_the_sample(values in numbers(), q in 0.0..=1.0) {
        let sample = Sample::new(values).unwrap();
        for value in [sample.median(), sample.mean(), sample.quantile(q)].into_iter().flatten() {
            prop_assert!(value.is_finite());
            prop_assert!(sample.min().unwrap() <= value && value <= sample.max().unwrap());
            prop_assert!(value.abs() > 0.0 || value.is_sign_positive());
        }
    }

    #[test]
    fn quantiles_rise(values in numbers(), left in 0.0..=1.0, right in 0.0..=1.0) {
        let sample = Sample::new(values).unwrap();
        let (low, high) = if left < right { (left, right) } else { (right, left) };
        prop_assert!(sample.quantile(low) <= sample.quantile(high));
        prop_assert_eq!(sample.quantile(0.0), sample.min());
        prop_assert_eq!(sample.quantile(1.0), sample.max());
    }
}

#[test]
fn what_is_not_finite_is_refused() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(Sample::new([1.0, bad]), Err(NotFinite));
    }
}

/// `numpy.std(x, ddof=1)`.
#[test]
fn deviations() {
    let deviation = |values: &[f64]| Sample::new(values.iter().copied()).unwrap().deviation();
    let found = deviation(&[7.1, 7.3, 7.2, 7.9, 7.5]).unwrap();
    assert!((found - 0.316_227_766_016_838).abs() < 1e-12);
    assert_eq!(deviation(&[1.0]), None);
    assert_eq!(deviation(&[f64::MAX, f64::MIN]), None);
}

#[test]
fn the_known_ones() {
    let sample = Sample::new([4.0, 1.0, 3.0, 2.0]).unwrap();
    assert_eq!(sample.median(), Some(2.5));
    assert_eq!(sample.mean(), Some(2.5));
    assert_eq!(sample.quantile(0.25), Some(1.75));
    assert_eq!(sample.quantile(f64::NAN), None);
    let zero = Sample::new([-0.0]).unwrap();
    assert!(zero.median().unwrap().is_sign_positive());
    assert_eq!(Sample::default().median(), None);
    assert_eq!(Sample::default().quantile(0.5), None);
}
