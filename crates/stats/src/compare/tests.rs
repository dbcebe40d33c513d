use proptest::prelude::*;

use super::*;

fn sample(values: &[f64]) -> Sample {
    Sample::new(values.iter().copied()).unwrap()
}

fn near(found: f64, wanted: f64) {
    assert!((found - wanted).abs() < 1e-12, "{found}, not {wanted}");
}

const THREE: [&[f64]; 2] = [&[8.21, 8.10, 8.50], &[8.73, 8.60, 8.55]];
const APART: [&[f64]; 2] = [&[7.1, 7.3, 7.2, 7.9, 7.5], &[7.4, 7.8, 8.1, 8.0, 8.4, 7.7]];
const TIED: [&[f64]; 2] = [&[7.1, 7.3, 7.3, 7.9, 7.5], &[7.3, 7.9, 8.1, 7.9, 8.4, 7.5]];

/// `scipy.stats.mannwhitneyu(x, y, method='exact')`, SciPy 1.17.1; with ties
/// `method=scipy.stats.PermutationMethod(n_resamples=numpy.inf)`.
#[test]
fn ranks_as_scipy_counts_them() {
    for ([x, y], wanted) in [
        (THREE, 0.1),
        (APART, 0.051_948_051_948_051_95),
        (TIED, 0.121_212_121_212_121_22),
    ] {
        let test = mann_whitney(&sample(x), &sample(y)).unwrap();
        near(test.p, wanted);
        assert!(test.exact);
    }
}

/// `scipy.stats.mannwhitneyu(x, y, method='asymptotic')`, SciPy 1.17.1.
#[test]
fn ranks_as_scipy_approximates_them() {
    let [x, y] = TIED;
    near(
        Pool::new(&sample(x), &sample(y)).approximate(),
        0.093_377_243_605_115_54,
    );
    let x: Vec<f64> = (0..30)
        .map(|i| f64::from(700 + (37 * i) % 101) / 100.0)
        .collect();
    let y: Vec<f64> = (0..25)
        .map(|i| f64::from(720 + (53 * i) % 97) / 100.0)
        .collect();
    let test = mann_whitney(&sample(&x), &sample(&y)).unwrap();
    near(test.p, 0.108_287_549_383_751_35);
    assert!(!test.exact);
}

/// `scipy.stats.permutation_test((x, y), difference,
/// permutation_type='independent', n_resamples=numpy.inf)`, SciPy 1.17.1.
#[test]
fn divisions_as_scipy_counts_them() {
    use Statistic::{Mean, Median};
    for ([x, y], statistic, wanted) in [
        (THREE, Mean, 0.1),
        (APART, Mean, 0.047_619_047_619_047_616),
        (TIED, Mean, 0.121_212_121_212_121_22),
        (THREE, Median, 0.2),
        (APART, Median, 0.038_961_038_961_038_96),
        (TIED, Median, 0.220_779_220_779_220_77),
    ] {
        near(
            permutation(&sample(x), &sample(y), statistic).unwrap().p,
            wanted,
        );
    }
}

/// The first by hand (Holm 1979), the second `scipy.stats.false_discovery_control
/// (p, method='bh')`, SciPy 1.17.1.
#[test]
fn corrections() {
    let p = [0.01, 0.04, 0.03, 0.005, 0.2];
    for (found, wanted) in holm(&p).iter().zip([0.04, 0.09, 0.09, 0.025, 0.2]) {
        near(*found, wanted);
    }
    let found = benjamini_hochberg(&p);
    for (found, wanted) in found.iter().zip([0.025, 0.05, 0.05, 0.025, 0.2]) {
        near(*found, wanted);
    }
    assert!(holm(&[]).is_empty());
}

#[test]
fn three_against_three_proves_nothing() {
    let [low, high] = [sample(&[1.0, 2.0, 3.0]), sample(&[100.0, 101.0, 102.0])];
    let test = mann_whitney(&low, &high).unwrap();
    near(test.p, 0.1);
    near(test.least, 0.1);
    assert!(test.is_powerless(0.05));
    near(least_p(4, 4), 2.0 / 70.0);
    near(least_p(1, 1), 1.0);
}

#[test]
fn what_cannot_be_tested() {
    let (none, some) = (Sample::default(), sample(&[1.0]));
    assert_eq!(mann_whitney(&none, &some), None);
    assert_eq!(permutation(&some, &none, Statistic::Mean), None);
    let many = sample(&[1.0; 11]);
    assert_eq!(permutation(&many, &many, Statistic::Mean), None);
    let ten = sample(&[1.0; 10]);
    near(permutation(&ten, &ten, Statistic::Mean).unwrap().p, 1.0);
    let equal = sample(&[2.0; 40]);
    near(mann_whitney(&equal, &equal).unwrap().p, 1.0);
}

fn numbers() -> impl Strategy<Value = Vec<f64>> {
    proptest::collection::vec((0..12_i32).prop_map(|it| f64::from(it) / 4.0), 1..7)
}

/// U of every division, one by one.
fn naive(x: &[f64], y: &[f64]) -> f64 {
    let pool: Vec<f64> = x.iter().chain(y).copied().collect();
    let u = |chosen: u32| {
        let is_left = |at: &usize| chosen & (1 << at) != 0;
        let mut u = 0.0;
        for left in (0..pool.len()).filter(is_left) {
            for right in (0..pool.len()).filter(|at| !is_left(at)) {
                u += match pool[left].total_cmp(&pool[right]) {
                    std::cmp::Ordering::Greater => 1.0,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Less => 0.0,
                };
            }
        }
        u
    };
    let observed = u((1 << x.len()) - 1);
    let divisions = 0..1_u32 << pool.len();
    let all: Vec<f64> = divisions
        .filter(|it| it.count_ones() as usize == x.len())
        .map(u)
        .collect();
    let share = |count: usize| count as f64 / all.len() as f64;
    let below = share(all.iter().filter(|it| **it <= observed).count());
    let above = share(all.iter().filter(|it| **it >= observed).count());
    (2.0 * below.min(above)).min(1.0)
}

proptest! {
    #[test]
    fn ranks_agree_with_the_naive_count(x in numbers(), y in numbers()) {
        let test = mann_whitney(&sample(&x), &sample(&y)).unwrap();
        prop_assert!((test.p - naive(&x, &y)).abs() < 1e-12);
    }

    #[test]
    fn sides_can_be_exchanged(x in numbers(), y in numbers()) {
        let (x, y) = (sample(&x), sample(&y));
        let close = |one: Option<Test>, other: Option<Test>| {
            (one.unwrap().p - other.unwrap().p).abs() < 1e-12
        };
        prop_assert!(close(mann_whitney(&x, &y), mann_whitney(&y, &x)));
        for statistic in [Statistic::Mean, Statistic::Median] {
            prop_assert!(close(permutation(&x, &y, statistic), permutation(&y, &x, statistic)));
        }
    }

    #[test]
    fn no_p_is_below_the_least(x in numbers(), y in numbers()) {
        let (x, y) = (sample(&x), sample(&y));
        let ranks = mann_whitney(&x, &y).unwrap();
        let means = permutation(&x, &y, Statistic::Mean).unwrap();
        for test in [ranks, means] {
            prop_assert!(test.p >= test.least - 1e-12 && test.p <= 1.0);
        }
    }

    #[test]
    fn corrections_only_raise_and_keep_the_order(p in proptest::collection::vec(0.0..=1.0_f64, 1..20)) {
        let (strict, mild) = (holm(&p), benjamini_hochberg(&p));
        for (at, value) in p.iter().enumerate() {
            prop_assert!(*value <= mild[at] + 1e-15 && mild[at] <= strict[at] + 1e-15);
            prop_assert!(strict[at] <= 1.0);
            for (other, higher) in p.iter().enumerate() {
                if value < higher {
                    prop_assert!(strict[at] <= strict[other] && mild[at] <= mild[other]);
                }
            }
        }
    }
}
