//! Whether a published value was reproduced: one rule, based on the noise of
//! both sides.

use serde::{Deserialize, Serialize};

use swath_stats::{Z_95, median_error};

/// The standard deviation of one training of an image classifier around its
/// mean, in percentage points of test error, where the error is
/// [`ORDINARY_ERROR`]. It is pooled over 22 recipes of 3 or 5 trainings each at
/// errors of 3 to 7 %, read from the figures of pytorch_image_classification's
/// README (0.174 and 0.179 in the two groups).
const ORDINARY_DEVIATION: f64 = 0.175;
/// The middle of those errors, in percent.
const ORDINARY_ERROR: f64 = 5.0;
/// A margin of more than so many ordinary deviations says nothing: values that
/// are plainly different would agree.
const MARGIN_MAX: f64 = 4.0;

/// The result of comparing with a published value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The values differ by no more than their noise.
    Reproduced,
    /// They differ by more.
    NotReproduced,
    /// Too little was measured, or it scatters too much to decide.
    Undecided,
    /// All our numbers are imported: nothing was trained here that could
    /// reproduce anything.
    Imported,
}

impl Verdict {
    /// The words that tables show.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::NotReproduced => "not reproduced",
            Self::Undecided => "undecided",
            Self::Imported => "imported",
        }
    }
}

/// A median of trainings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Side {
    /// The median.
    pub median: f64,
    /// The number of trainings; 0 where there was none.
    pub n: u32,
    /// The standard deviation of these trainings, if it is known.
    pub deviation: Option<f64>,
}

/// A difference, and what decides about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// Our value minus theirs.
    pub difference: f64,
    /// The greatest difference at which the values agree; none where nothing
    /// tells how much they scatter.
    pub margin: Option<f64>,
    /// The verdict that follows.
    pub verdict: Verdict,
}

/// The standard deviation that one training is expected to have at this test
/// error, both in percent.
///
/// An error rate p scatters as the square root of p(1-p) does: 0.175 points at
/// 5 %, 0.24 at 10 %, 0.05 at 0.4 %. 0 where `error` is no percentage.
pub fn ordinary_deviation(error: f64) -> f64 {
    let spread = |percent: f64| (percent * (100.0 - percent)).max(0.0).sqrt();
    ORDINARY_DEVIATION * spread(error) / spread(ORDINARY_ERROR)
}

/// Judges `ours` against `theirs`; exchanging the two changes the sign of the
/// difference and nothing else.
///
/// * σ, the deviation of one training, is the greatest of what is ordinary at
///   the mean of both medians (where `percent`: they are test errors) and the
///   deviations of either side.
/// * A median of n trainings has the standard error σ·e(n), with e(n) that of a
///   standard normal median: 1 for 1, 0.670 for 3, about 1.2533/√n for many.
/// * The margin is 1.96·σ·√(e(n)² + e(m)²), within which 95 % of differences lie
///   that are chance alone, if trainings scatter normally with σ: 0.41 points for a median of 3 against 1 training at 5 % error, 0.33
///   for 3 against 3.
/// * Reproduced: they differ by at most the margin. Not reproduced: by more.
///   Undecided: by at most the margin, and that is more than 4 ordinary
///   deviations; or one side has no training; or nothing tells σ.
///
/// `tolerance`, in the same unit, replaces the margin where it is given.
pub fn judge(ours: Side, theirs: Side, percent: bool, tolerance: Option<f64>) -> Judgement {
    let difference = ours.median - theirs.median;
    let ordinary = if percent {
        ordinary_deviation(ours.median.midpoint(theirs.median))
    } else {
        0.0
    };
    let widest = tolerance.map_or(MARGIN_MAX * ordinary, |_| f64::INFINITY);
    let margin = margin(ours, theirs, ordinary, tolerance);
    let verdict = match margin {
        Some(margin) if difference.abs() > margin => Verdict::NotReproduced,
        // For a program's own metric there is no ordinary deviation.
        Some(margin) if margin <= widest || !percent => Verdict::Reproduced,
        _ => Verdict::Undecided,
    };
    Judgement {
        difference,
        margin,
        verdict,
    }
}

fn margin(ours: Side, theirs: Side, ordinary: f64, tolerance: Option<f64>) -> Option<f64> {
    let (left, right) = (median_error(ours.n)?, median_error(theirs.n)?);
    if tolerance.is_some() {
        return tolerance;
    }
    let known = [ours.deviation, theirs.deviation];
    let sigma = known.into_iter().flatten().fold(ordinary, f64::max);
    (sigma > 0.0).then(|| Z_95 * sigma * left.hypot(right))
}

/// The verdict over several published values: reproduced if any is, not
/// reproduced if none is; none without a value.
pub(super) fn over_all(verdicts: impl Iterator<Item = Verdict>) -> Option<Verdict> {
    verdicts.reduce(|left, right| match (left, right) {
        (Verdict::Reproduced, _) | (_, Verdict::Reproduced) => Verdict::Reproduced,
        (Verdict::Undecided, _) | (_, Verdict::Undecided) => Verdict::Undecided,
        (Verdict::Imported, _) | (_, Verdict::Imported) => Verdict::Imported,
        _ => Verdict::NotReproduced,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn side(median: f64, n: u32, deviation: Option<f64>) -> Side {
        Side {
            median,
            n,
            deviation,
        }
    }

    fn sides() -> impl Strategy<Value = Side> {
        let deviation = proptest::option::of(0.0..2.0_f64);
        (0.0..40.0_f64, 0..12_u32, deviation)
            .prop_map(|(median, n, deviation)| side(median, n, deviation.filter(|_| n > 1)))
    }

    #[test]
    fn margins_that_are_known() {
        let at = |n, m| {
            let judged = judge(side(5.0, n, None), side(5.0, m, None), true, None);
            judged.margin.unwrap()
        };
        // "The difference of two medians of 3 has a 95 % band of about ±0.33."
        assert!((at(3, 3) - 0.325).abs() < 0.001);
        assert!((at(3, 1) - 0.413).abs() < 0.001);
        assert!((ordinary_deviation(10.0) - 0.241).abs() < 0.001);
    }

    #[test]
    fn verdicts() {
        let verdict = |ours, theirs, tolerance| judge(ours, theirs, true, tolerance).verdict;
        let published = side(8.14, 1, None);
        let ours = |median, deviation| side(median, 3, Some(deviation));
        assert_eq!(
            verdict(ours(8.4, 0.1), published, None),
            Verdict::Reproduced
        );
        assert_eq!(
            verdict(ours(9.1, 0.1), published, None),
            Verdict::NotReproduced
        );
        // With so wide a scatter anything would agree.
        assert_eq!(verdict(ours(8.4, 0.9), published, None), Verdict::Undecided);
        assert_eq!(
            verdict(ours(8.4, 0.9), published, Some(0.3)),
            Verdict::Reproduced
        );
        assert_eq!(
            verdict(ours(8.4, 0.1), published, Some(0.1)),
            Verdict::NotReproduced
        );
        let nothing = side(0.0, 0, None);
        assert_eq!(verdict(nothing, published, Some(100.0)), Verdict::Undecided);
        // A program's own metric, trained once: nobody knows how it scatters.
        let plain = judge(side(1.0, 1, None), side(1.1, 1, None), false, None);
        assert_eq!((plain.margin, plain.verdict), (None, Verdict::Undecided));
    }

    #[test]
    fn any_of_several() {
        use Verdict::{NotReproduced, Reproduced, Undecided};
        let any = |verdicts: &[Verdict]| over_all(verdicts.iter().copied());
        assert_eq!(any(&[NotReproduced, Reproduced]), Some(Reproduced));
        assert_eq!(any(&[NotReproduced, Undecided]), Some(Undecided));
        assert_eq!(any(&[NotReproduced; 2]), Some(NotReproduced));
        assert_eq!(any(&[]), None);
    }

    proptest! {
        #[test]
        fn sides_can_be_exchanged(
            ours in sides(), theirs in sides(), percent: bool,
            tolerance in proptest::option::of(0.0..1.0_f64),
        ) {
            let judged = judge(ours, theirs, percent, tolerance);
            let turned = judge(theirs, ours, percent, tolerance);
            prop_assert_eq!(judged.verdict, turned.verdict);
            prop_assert_eq!(judged.margin, turned.margin);
            prop_assert!((judged.difference + turned.difference).abs() <= 0.0);
        }

        #[test]
        fn more_replicates_never_widen_the_margin(
            ours in sides(), theirs in sides(), more in 1..50_u32, percent: bool,
        ) {
            let grown = Side { n: ours.n + more, ..ours };
            let before = judge(ours, theirs, percent, None);
            let after = judge(grown, theirs, percent, None);
            if let (Some(before), Some(after)) = (before.margin, after.margin) {
                prop_assert!(after <= before);
            }
            // Unless the values differ, what was decided stays decided.
            if before.verdict != Verdict::Undecided {
                prop_assert_ne!(after.verdict, Verdict::Undecided);
            }
        }

        #[test]
        fn nobody_trained_nothing_is_decided(ours in sides(), theirs in sides(), percent: bool) {
            let none = Side { n: 0, deviation: None, ..ours };
            prop_assert_eq!(judge(none, theirs, percent, None).verdict, Verdict::Undecided);
        }

        #[test]
        fn nearer_is_never_worse(ours in sides(), theirs in sides(), part in 0.0..1.0_f64) {
            let tolerance = Some(0.5);
            let nearer = Side { median: theirs.median + (ours.median - theirs.median) * part, ..ours };
            if judge(ours, theirs, true, tolerance).verdict == Verdict::Reproduced {
                prop_assert_eq!(judge(nearer, theirs, true, tolerance).verdict, Verdict::Reproduced);
            }
        }
    }
}
