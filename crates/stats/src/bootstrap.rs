//! Confidence intervals for a median, from the sample alone.

use std::ops::RangeInclusive;

use super::Sample;

/// The bootstrap interval of the median with the chance `confidence`, by the
/// percentile method (Efron 1979); none for fewer than two numbers, or where
/// `confidence` is not between 0 and 1.
///
/// Nothing is drawn: the distribution of the median of a resample is known
/// exactly, so the interval is the one that endless resamples would give.
///
/// For three numbers it reaches from the least to the greatest, which contains
/// the true median of a continuous distribution in 3 of 4 cases, not in 95 %:
/// so few numbers allow no better.
pub fn median_interval(sample: &Sample, confidence: f64) -> Option<[f64; 2]> {
    if sample.len() < 2 || !(confidence > 0.0 && confidence < 1.0) {
        return None;
    }
    let resampled = Resampled::new(sample);
    let tail = (1.0 - confidence) / 2.0;
    Some([resampled.quantile(tail), resampled.quantile(1.0 - tail)])
}

/// The distribution of the median of as many draws, with replacement, as there
/// are numbers.
struct Resampled<'a> {
    sorted: &'a [f64],
    /// For an odd count: the chance that the median is at most the i-th least
    /// number. For an even one: `(i/n)^m`, the chance that m draws are among
    /// the i least.
    within: Vec<f64>,
    /// The ways to choose the lower half, for an even count.
    ln_ways: f64,
    draws: Draws,
}

/// As many draws with replacement as there are numbers.
struct Draws {
    /// ln 0!, ln 1!, …, ln n!
    ln_factorials: Vec<f64>,
}

impl Draws {
    fn new(n: usize) -> Self {
        let mut sum = 0.0;
        let ln_factorials = (0..=n).map(|i| {
            sum += (i.max(1) as f64).ln();
            sum
        });
        Self {
            ln_factorials: ln_factorials.collect(),
        }
    }

    /// The ways to choose `k` of the draws.
    fn ln_ways(&self, k: usize) -> f64 {
        let n = self.ln_factorials.len() - 1;
        self.ln_factorials[n] - self.ln_factorials[k] - self.ln_factorials[n - k]
    }

    /// The chance that so many draws are among the `i` least numbers.
    fn among(&self, i: usize, counts: RangeInclusive<usize>) -> f64 {
        let n = self.ln_factorials.len() - 1;
        if i == 0 || i == n {
            // All draws are on one side.
            return f64::from(u8::from(counts.contains(&i)));
        }
        let p = i as f64 / n as f64;
        let (within, without) = (p.ln(), (-p).ln_1p());
        let chance =
            |k: usize| (self.ln_ways(k) + k as f64 * within + (n - k) as f64 * without).exp();
        counts.map(chance).sum()
    }
}

impl<'a> Resampled<'a> {
    fn new(sample: &'a Sample) -> Self {
        let sorted = sample.sorted();
        let n = sorted.len();
        let half = n / 2;
        let draws = Draws::new(n);
        let within = (0..=n).map(|i| {
            if n.is_multiple_of(2) {
                (i as f64 / n as f64).powi(half as i32)
            } else {
                draws.among(i, half + 1..=n)
            }
        });
        Self {
            sorted,
            within: within.collect(),
            ln_ways: draws.ln_ways(half),
            draws,
        }
    }

    /// The chance that the median is at most `value`.
    fn at_most(&self, value: f64) -> f64 {
        let n = self.sorted.len();
        if n % 2 == 1 {
            let below = self.sorted.partition_point(|it| *it <= value);
            return self.within[below];
        }
        // The complement: the upper middle draw is greater than every number
        // that has, together with the lower middle draw, a mean of at most
        // `value`. The greatest of the lower half is at i, and the upper half
        // lies wholly above `to`.
        let mut above = 0.0;
        let mut to = n;
        for i in 1..=n {
            let lower = self.sorted[i - 1];
            while to > 0 && lower.midpoint(self.sorted[to - 1]) > value {
                to -= 1;
            }
            // Both middle draws at i or further on come last.
            if to < i {
                return (1.0 - above - self.draws.among(i - 1, 0..=n / 2 - 1)).max(0.0);
            }
            let at = self.within[i] - self.within[i - 1];
            above += self.weighted(at * self.within[n - to]);
        }
        (1.0 - above).max(0.0)
    }

    fn weighted(&self, chance: f64) -> f64 {
        if chance > 0.0 {
            (self.ln_ways + chance.ln()).exp()
        } else {
            0.0
        }
    }

    /// The least value that the median exceeds with a chance of at most `1 -
    /// q`, found by halving over the doubles between the least and the greatest
    /// number.
    fn quantile(&self, q: f64) -> f64 {
        // The sum of the chances equals what it stands for only up to rounding.
        let q = q - 1e-12;
        let (mut low, mut high) = (
            ordered(self.sorted[0]),
            ordered(self.sorted[self.sorted.len() - 1]),
        );
        while low < high {
            let middle = low.midpoint(high);
            if self.at_most(value_of(middle)) >= q {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        value_of(high) + 0.0
    }
}

/// The bit that is set in negative doubles.
const SIGN: u64 = 1 << 63;

/// Maps finite doubles to whole numbers in the same order.
const fn ordered(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

/// The double of [`ordered`].
const fn value_of(place: u64) -> f64 {
    f64::from_bits(if place & SIGN == 0 {
        !place
    } else {
        place & !SIGN
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn interval(values: &[f64], confidence: f64) -> [f64; 2] {
        let sample = Sample::new(values.iter().copied()).unwrap();
        median_interval(&sample, confidence).unwrap()
    }

    /// `numpy.quantile([median(t) for t in itertools.product(x, repeat=len(x))],
    /// [q, 1-q], method='inverted_cdf')`: every resample, one by one.
    #[test]
    fn every_resample_counted() {
        let six = [7.4, 7.8, 8.1, 8.0, 8.4, 7.7];
        for (values, confidence, wanted) in [
            (&[8.21, 8.10, 8.50][..], 0.95, [8.1, 8.5]),
            (&[1.0, 2.0, 4.0, 8.0], 0.95, [1.0, 8.0]),
            (&[7.1, 7.3, 7.2, 7.9, 7.5], 0.95, [7.1, 7.9]),
            (&six, 0.95, [7.55, 8.25]),
            (&six, 0.9, [7.6, 8.2]),
            (&[3.0, 3.0, 5.0, 9.0, 9.0, 4.0, 1.0], 0.95, [3.0, 9.0]),
        ] {
            let found = interval(values, confidence);
            for (found, wanted) in found.iter().zip(wanted) {
                assert!((found - wanted).abs() < 1e-12, "{values:?}: {found}");
            }
        }
    }

    /// `scipy.stats.bootstrap((x,), numpy.median, method='percentile',
    /// n_resamples=200000, rng=1)`, SciPy 1.17.1, whose draws scatter.
    #[test]
    fn drawn_resamples_agree() {
        let many = (0..30).map(|i| 7.0 + 0.01 * f64::from((37 * i) % 101));
        let [low, high] = interval(&many.collect::<Vec<_>>(), 0.95);
        assert!(
            (low - 7.315).abs() < 0.021 && (high - 7.65).abs() < 0.021,
            "{low} {high}"
        );
        let odd = (0..25).map(|i| 7.2 + 0.01 * f64::from((53 * i) % 97));
        let [low, high] = interval(&odd.collect::<Vec<_>>(), 0.95);
        assert!(
            (low - 7.39).abs() < 1e-9 && (high - 7.82).abs() < 1e-9,
            "{low} {high}"
        );
    }

    #[test]
    fn one_number_has_no_interval() {
        let one = Sample::new([1.0]).unwrap();
        assert_eq!(median_interval(&one, 0.95), None);
        let two = Sample::new([1.0, 2.0]).unwrap();
        assert_eq!(median_interval(&two, 1.0), None);
        assert_eq!(median_interval(&two, f64::NAN), None);
    }

    /// All medians of resamples, least first.
    fn naive(values: &[f64]) -> Vec<f64> {
        let n = values.len();
        let mut medians: Vec<f64> = (0..n.pow(n as u32))
            .map(|mut code| {
                let draws = (0..n).map(|_| {
                    let value = values[code % n];
                    code /= n;
                    value
                });
                Sample::new(draws).unwrap().median().unwrap()
            })
            .collect();
        medians.sort_by(f64::total_cmp);
        medians
    }

    proptest! {
        #[test]
        fn it_is_the_distribution_of_all_resamples(
            values in proptest::collection::vec((-40..40_i32).prop_map(|it| f64::from(it) / 4.0), 2..6),
            at in -11.0..11.0_f64,
        ) {
            let sample = Sample::new(values.iter().copied()).unwrap();
            let all = naive(&values);
            let below = all.partition_point(|it| *it <= at) as f64 / all.len() as f64;
            // Values outside the sample are not asked for.
            let at = at.clamp(sample.min().unwrap(), sample.max().unwrap());
            let inside = all.partition_point(|it| *it <= at) as f64 / all.len() as f64;
            prop_assert!((Resampled::new(&sample).at_most(at) - inside).abs() < 1e-9, "{below}");
        }

        #[test]
        fn it_holds_the_median_and_grows_with_confidence(
            values in proptest::collection::vec(-100.0..100.0_f64, 2..40),
            confidence in 0.05..0.9_f64,
        ) {
            let sample = Sample::new(values).unwrap();
            let [low, high] = median_interval(&sample, confidence).unwrap();
            let [lower, higher] = median_interval(&sample, confidence + 0.09).unwrap();
            prop_assert!(sample.min().unwrap() <= lower && lower <= low);
            prop_assert!(low <= high && high <= higher && higher <= sample.max().unwrap());
        }

        #[test]
        fn order_survives_the_way_to_whole_numbers(left in -1e300..1e300_f64, right in -1e3..1e3_f64) {
            prop_assert_eq!(left < right, ordered(left) < ordered(right));
            prop_assert_eq!(value_of(ordered(left)).to_bits(), left.to_bits());
        }
    }
}
