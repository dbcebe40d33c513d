//! The normal distribution, and how far medians of samples from it scatter.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_PI_2, PI, SQRT_2};

/// A standard normal number exceeds this with a chance of 2.5 %.
pub const Z_95: f64 = 1.959_963_984_540_054;

/// The chance that a standard normal number is greater than `z`: `erfc(z/√2)/2`.
///
/// Uses the series of erf (DLMF 7.6.2) near zero and the continued fraction of
/// erfc (DLMF 7.9.2) far from it; 12 digits are right everywhere.
pub fn upper_tail(z: f64) -> f64 {
    if z.is_nan() {
        return f64::NAN;
    }
    let x = z.abs() / SQRT_2;
    let above = if x < 2.0 {
        0.5 - 0.5 * erf_series(x)
    } else {
        0.5 * erfc_fraction(x)
    };
    if z < 0.0 { 1.0 - above } else { above }
}

/// `erf(x) = 2/√π e^{-x²} Σ 2^k x^{2k+1} / (1·3·…·(2k+1))`: no term is negative.
fn erf_series(x: f64) -> f64 {
    let square = x * x;
    let (mut term, mut sum) = (x, x);
    let mut odd = 1.0;
    while term > sum * 1e-17 {
        odd += 2.0;
        term *= 2.0 * square / odd;
        sum += term;
    }
    2.0 / PI.sqrt() * (-square).exp() * sum
}

/// `erfc(x) = e^{-x²}/√π · 1/(x + (1/2)/(x + (2/2)/(x + …)))`, evaluated from
/// far inside outwards.
fn erfc_fraction(x: f64) -> f64 {
    let mut inner = x;
    for k in (1..=120_u32).rev() {
        inner = x + f64::from(k) / 2.0 / inner;
    }
    (-x * x).exp() / PI.sqrt() / inner
}

/// Standard errors of the median of 1 to 30 independent standard normal numbers
/// (of an even number: of the mean of the two middle ones), by integration over
/// their joint density.
const MEDIAN_ERRORS: [f64; 30] = [
    1.0,
    FRAC_1_SQRT_2,
    0.669_829,
    0.546_077,
    0.535_569,
    0.463_403,
    0.458_745,
    0.410_099,
    0.407_555,
    0.371_923,
    0.370_354,
    0.342_806,
    0.341_759,
    0.319_637,
    0.318_896,
    0.300_625,
    0.300_078,
    0.284_655,
    0.284_238,
    0.270_993,
    0.270_665,
    0.259_13,
    0.258_867,
    0.248_702,
    0.248_488,
    0.239_441,
    0.239_264,
    0.231_145,
    0.230_996,
    0.223_656,
];

/// The standard error of the median of `n` normal numbers of standard deviation
/// 1: exact up to 30, then falling as `√(π/2n) ≈ 1.2533/√n`. None for `n = 0`.
pub fn median_error(n: u32) -> Option<f64> {
    let last = MEDIAN_ERRORS.len();
    let at = (n as usize).checked_sub(1)?;
    if let Some(error) = MEDIAN_ERRORS.get(at) {
        return Some(*error);
    }
    // For large n the variance is π/2(n + c); this c makes it meet the table.
    let greatest = MEDIAN_ERRORS[last - 1];
    let shift = FRAC_PI_2 / (greatest * greatest) - last as f64;
    Some((FRAC_PI_2 / (f64::from(n) + shift)).sqrt())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `scipy.stats.norm.sf(z)`, SciPy 1.17.1.
    #[test]
    fn tails() {
        for (z, wanted) in [
            (0.0, 0.5),
            (0.5, 0.308_537_538_725_986_9),
            (1.0, 0.158_655_253_931_457_07),
            (Z_95, 0.025),
            (3.0, 0.001_349_898_031_630_093_3),
            (6.0, 9.865_876_450_376_946e-10),
            (10.0, 7.619_853_024_160_47e-24),
            (30.0, 4.906_713_927_147_908e-198),
        ] {
            let found = upper_tail(z);
            assert!((found / wanted - 1.0).abs() < 1e-11, "{z}: {found}");
            assert!((upper_tail(-z) - (1.0 - wanted)).abs() < 1e-15);
        }
    }

    #[test]
    fn known_medians() {
        assert_eq!(median_error(0), None);
        // The mean of two.
        assert!((median_error(2).unwrap() - 0.5_f64.sqrt()).abs() < 1e-6);
        let many = median_error(1_000_000).unwrap();
        assert!((many * 1000.0 - FRAC_PI_2.sqrt()).abs() < 1e-5);
    }

    proptest! {
        #[test]
        fn one_more_never_makes_a_median_less_sure(n in 1_u32..200_000) {
            prop_assert!(median_error(n + 1) < median_error(n));
        }

        #[test]
        fn tails_fall(low in -9.0..9.0_f64, step in 1e-6..3.0_f64) {
            prop_assert!(upper_tail(low + step) <= upper_tail(low));
        }
    }
}
