//! Intervals for a median from the order of a sample alone, with what they
//! cover.
//!
//! Of n independent draws from a continuous distribution, each is below its
//! median with a chance of a half, so the number below it is binomial. The k-th
//! least and the k-th greatest draw enclose the median unless fewer than k draws
//! are on one of its sides: in `1 - 2 P(B(n, 1/2) < k)` of all cases, whatever
//! the distribution (Thompson, "On confidence ranges for the median", Ann. Math.
//! Statist. 7, 1936; David and Nagaraja, *Order Statistics*, 3rd ed. 2003, 7.1).
//! Where values can be equal, the interval covers at least as much.

use super::Sample;

/// An interval for a median.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MedianInterval {
    /// The least and the greatest value in it.
    pub ends: [f64; 2],
    /// In what share of samples such an interval holds the true median.
    pub coverage: f64,
}

/// The shortest interval between the k-th least and the k-th greatest number
/// that holds the true median with at least this `confidence`. Few numbers allow
/// none: then it is the range of all, with the coverage that this has (3 of 4
/// cases for three numbers). None for fewer than two numbers.
pub fn median_interval(sample: &Sample, confidence: f64) -> Option<MedianInterval> {
    let n = sample.len();
    let ranks = coverages(n);
    let rank = ranks.iter().rposition(|it| *it >= confidence).unwrap_or(0);
    Some(MedianInterval {
        coverage: *ranks.get(rank)?,
        ends: [sample.sorted()[rank], sample.sorted()[n - 1 - rank]],
    })
}

/// In what share of samples of `n` numbers the range from the least to the
/// greatest holds the true median: `1 - 2 · 0.5^n`. None for fewer than two.
pub fn range_coverage(n: usize) -> Option<f64> {
    // From 64 on, nothing less than 1 is a double.
    let n = i32::try_from(n).unwrap_or(i32::MAX);
    (n > 1).then(|| 1.0 - 2.0 * 0.5_f64.powi(n))
}

/// What the k-th least and the k-th greatest of `n` numbers enclose, for every k
/// from 1 at which they are two.
fn coverages(n: usize) -> Vec<f64> {
    let half = n / 2;
    // The binomial coefficients over the middle one: it alone would be too large
    // for a double.
    let mut ways = vec![1.0; half + 1];
    for k in (0..half).rev() {
        ways[k] = ways[k + 1] * (k + 1) as f64 / (n - k) as f64;
    }
    let below = |k: usize| ways[..k].iter().sum::<f64>();
    let middle = if n.is_multiple_of(2) { 1.0 } else { 2.0 };
    let all = 2.0 * below(half) + middle;
    (1..=half).map(|k| 1.0 - 2.0 * below(k) / all).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-12
    }

    fn interval(values: &[f64], confidence: f64) -> MedianInterval {
        let sample = Sample::new(values.iter().copied()).unwrap();
        median_interval(&sample, confidence).unwrap()
    }

    #[test]
    fn few_numbers_cover_less_than_was_asked_for() {
        for (n, coverage) in [(2, 0.5), (3, 0.75), (4, 0.875), (5, 0.9375), (6, 0.96875)] {
            assert!(close(range_coverage(n).unwrap(), coverage), "{n}");
            let values: Vec<f64> = (0..n).map(|it| it as f64).collect();
            let found = interval(&values, 0.95);
            assert!(close(found.coverage, coverage), "{n}: {found:?}");
            let whole = [values[0], values[n - 1]];
            assert_eq!(found.ends.map(f64::to_bits), whole.map(f64::to_bits));
        }
        assert_eq!((range_coverage(0), range_coverage(1)), (None, None));
        assert_eq!(median_interval(&Sample::default(), 0.95), None);
        assert_eq!(median_interval(&Sample::new([1.0]).unwrap(), 0.95), None);
    }

    /// Table A.6 of Hollander and Wolfe, *Nonparametric Statistical Methods*: at
    /// n = 20 the sixth from either end cover 95.86 %.
    #[test]
    fn many_numbers_need_not_all() {
        let values: Vec<f64> = (1..=20).map(f64::from).collect();
        let found = interval(&values, 0.95);
        assert_eq!(found.ends.map(f64::to_bits), [6.0, 15.0].map(f64::to_bits));
        assert!((found.coverage - 0.9586).abs() < 1e-4, "{found:?}");
        let many: Vec<f64> = (0..5000).map(f64::from).collect();
        let found = interval(&many, 0.95);
        assert!((0.95..0.951).contains(&found.coverage), "{found:?}");
        // 2500 less 1.96 · √5000 / 2.
        assert!((found.ends[0] - 2430.0).abs() < 2.0, "{found:?}");
    }

    proptest! {
        /// Every way in which draws can lie about the median, one by one.
        #[test]
        fn it_covers_what_counting_says(n in 2..13_usize, k in 1..7_usize) {
            prop_assume!(2 * k <= n);
            let holds = |sides: &u32| {
                let below = sides.count_ones() as usize;
                below >= k && n - below >= k
            };
            let held = (0..1_u32 << n).filter(holds).count() as f64;
            let share = held / f64::from(1_u32 << n);
            prop_assert!(close(coverages(n)[k - 1], share));
            if k == 1 {
                prop_assert!(close(range_coverage(n).unwrap(), share));
            }
        }

        /// The binomial distribution in whole numbers.
        #[test]
        fn it_covers_what_the_binomial_says(n in 2..100_usize, at in 0.0..1.0_f64) {
            let k = 1 + (at * (n / 2) as f64) as usize;
            prop_assume!(2 * k <= n);
            let mut row = vec![1_u128];
            for _ in 0..n {
                let sums = row.windows(2).map(|pair| pair[0] + pair[1]);
                row = [1].into_iter().chain(sums).chain([1]).collect();
            }
            let outside = 2 * row[..k].iter().sum::<u128>();
            let share = 1.0 - outside as f64 / (1_u128 << n) as f64;
            prop_assert!(close(coverages(n)[k - 1], share));
        }

        #[test]
        fn it_is_the_shortest_that_covers_enough(
            values in proptest::collection::vec(-100.0..100.0_f64, 2..60),
            confidence in 0.05..0.999_f64,
        ) {
            let sample = Sample::new(values).unwrap();
            let found = median_interval(&sample, confidence).unwrap();
            let [low, high] = found.ends;
            let median = sample.median().unwrap();
            prop_assert!(low <= median && median <= high);
            let whole = range_coverage(sample.len()).unwrap();
            prop_assert!(found.coverage >= confidence.min(whole) - 1e-12);
            let shorter = coverages(sample.len()).into_iter().filter(|it| *it < found.coverage);
            prop_assert!(shorter.fold(0.0, f64::max) < confidence);
        }
    }
}
