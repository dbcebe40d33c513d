//! Confidence intervals for a count of errors.

/// The interval of Clopper and Pearson (1934) for a probability, after `wrong`
/// of `of` trials: it contains the probability with at least the chance
/// `confidence`. None where there was no trial, where more are wrong than there
/// were, or where the confidence is not between 0 and 1.
///
/// Its ends are quantiles of beta distributions: `B(α/2; k, n-k+1)` and
/// `B(1-α/2; k+1, n-k)`.
pub fn clopper_pearson(wrong: u64, of: u64, confidence: f64) -> Option<[f64; 2]> {
    if of == 0 || wrong > of || !(0.0..1.0).contains(&confidence) {
        return None;
    }
    let tail = (1.0 - confidence) / 2.0;
    let (k, n) = (wrong as f64, of as f64);
    let low = if wrong == 0 {
        0.0
    } else {
        beta_quantile(tail, k, n - k + 1.0)
    };
    let high = if wrong == of {
        1.0
    } else {
        beta_quantile(1.0 - tail, k + 1.0, n - k)
    };
    Some([low, high])
}

/// The point where the distribution function of Beta(a, b) reaches `q`, found
/// by halving until two doubles are neighbours.
fn beta_quantile(q: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    loop {
        let middle = low.midpoint(high);
        if middle <= low || middle >= high {
            return middle;
        }
        if beta_below(middle, a, b) < q {
            low = middle;
        } else {
            high = middle;
        }
    }
}

/// The regularized incomplete beta function `I_x(a, b)`: below the mean by its
/// continued fraction (DLMF 8.17.22), which converges fast there; above it by
/// `I_x(a, b) = 1 - I_{1-x}(b, a)`.
fn beta_below(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let factor = |x: f64, a: f64, b: f64| {
        let beta = ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b);
        (a * x.ln() + b * (-x).ln_1p() - beta).exp()
    };
    if x < (a + 1.0) / (a + b + 2.0) {
        factor(x, a, b) * fraction(x, a, b) / a
    } else {
        1.0 - factor(1.0 - x, b, a) * fraction(1.0 - x, b, a) / b
    }
}

/// The continued fraction of the incomplete beta function, by the method of
/// Lentz (1976).
fn fraction(x: f64, a: f64, b: f64) -> f64 {
    /// Replaces a zero in a denominator.
    const TINY: f64 = 1e-300;
    /// The number of terms needed is about the square root of the larger
    /// parameter.
    const TERMS: u32 = 100_000;
    let kept = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut above = 1.0;
    let mut below = 1.0 / kept(1.0 - (a + b) * x / (a + 1.0));
    let mut product = below;
    for term in 1..TERMS {
        let at = f64::from(term);
        let twice = a + 2.0 * at;
        let even = at * (b - at) * x / ((twice - 1.0) * twice);
        let odd = -(a + at) * (a + b + at) * x / (twice * (twice + 1.0));
        let mut change = 1.0;
        for coefficient in [even, odd] {
            below = 1.0 / kept(1.0 + coefficient * below);
            above = kept(1.0 + coefficient / above);
            change = above * below;
            product *= change;
        }
        if (change - 1.0).abs() < 1e-15 {
            break;
        }
    }
    product
}

/// The logarithm of the gamma function for a positive number: Stirling's
/// series, after the recurrence has made the argument large.
fn ln_gamma(x: f64) -> f64 {
    let mut shift = 0.0;
    let mut x = x;
    while x < 15.0 {
        shift -= x.ln();
        x += 1.0;
    }
    let square = x * x;
    let series = (1.0 / 12.0
        - (1.0 / 360.0 - (1.0 / 1260.0 - 1.0 / (1680.0 * square)) / square) / square)
        / x;
    let half = 0.5 * std::f64::consts::TAU.ln();
    shift + (x - 0.5) * x.ln() - x + half + series
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The chance of at most `k` of `n`, computed term by term.
    fn at_most(k: u64, n: u64, p: f64) -> f64 {
        let mut chance = 0.0;
        let mut log_choose = 0.0;
        for i in 0..=k {
            if i > 0 {
                log_choose += ((n - i + 1) as f64 / i as f64).ln();
            }
            let rest = (n - i) as f64;
            chance += (log_choose + i as f64 * p.ln() + rest * (-p).ln_1p()).exp();
        }
        chance
    }

    #[test]
    fn known_values() {
        let near = |found: f64, wanted: f64| assert!((found - wanted).abs() < 5e-5, "{found}");
        // Half of ten, as every table has it.
        let [low, high] = clopper_pearson(5, 10, 0.95).unwrap();
        near(low, 0.1871);
        near(high, 0.8129);
        // None and all: closed forms.
        let [low, high] = clopper_pearson(0, 10, 0.95).unwrap();
        assert!(low.abs() < f64::EPSILON);
        near(high, 1.0 - 0.025_f64.powf(0.1));
        let [low, high] = clopper_pearson(10, 10, 0.95).unwrap();
        near(low, 0.025_f64.powf(0.1));
        assert!((high - 1.0).abs() < f64::EPSILON);
        assert_eq!(clopper_pearson(0, 0, 0.95), None);
        assert_eq!(clopper_pearson(2, 1, 0.95), None);
        assert_eq!(clopper_pearson(1, 1, 1.0), None);
    }

    #[test]
    fn factorials_are_gammas() {
        let mut factorial = 0.0_f64;
        for n in 1..30 {
            assert!((ln_gamma(f64::from(n)) - factorial).abs() < 1e-11, "{n}");
            factorial += f64::from(n).ln();
        }
    }

    proptest! {
        /// By definition: at either end, the count is at the edge of a tail.
        #[test]
        fn the_ends_cut_off_equal_tails(n in 1_u64..3000, share in 0.0..=1.0_f64, confidence in 0.5..0.999_f64) {
            let k = (share * n as f64) as u64;
            let tail = (1.0 - confidence) / 2.0;
            let [low, high] = clopper_pearson(k, n, confidence).unwrap();
            let estimate = k as f64 / n as f64;
            prop_assert!(low <= estimate && estimate <= high);
            if k < n {
                prop_assert!((at_most(k, n, high) - tail).abs() < 1e-7);
            }
            if k > 0 {
                prop_assert!((1.0 - at_most(k - 1, n, low) - tail).abs() < 1e-7);
            }
        }
    }
}
