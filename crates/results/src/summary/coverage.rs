//! What a range or an interval of a median covers, in words.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use swath_model::text::decimals;
use swath_stats::range_coverage;

/// The name of the method of [`super::Summary::interval`], for programs.
pub const METHOD: &str = "order_statistics";
/// With more numbers of runs than this, only the least and the greatest are told.
const COUNTS_MOST: usize = 4;

/// What the ranges of samples of these numbers of runs cover, as the end of a
/// sentence about them: `holds the true median in 75 % of cases at n = 3`. None
/// where no sample has two runs.
pub fn covers(counts: impl IntoIterator<Item = usize>) -> Option<String> {
    let counts: BTreeSet<usize> = counts.into_iter().filter(|it| *it > 1).collect();
    let share = |n: usize| covered(range_coverage(n).unwrap_or_default());
    let (first, last) = (*counts.first()?, *counts.last()?);
    let mut told = format!(
        "holds the true median in {} of cases at n = {first}",
        share(first)
    );
    if counts.len() > COUNTS_MOST {
        let _ = write!(told, " to {} at n = {last}", share(last));
    } else {
        for n in counts.range(first + 1..) {
            let _ = write!(told, ", {} at n = {n}", share(*n));
        }
    }
    Some(told)
}

/// A share of cases in percent, never rounded up: `75 %`, `93.75 %`.
pub fn covered(share: f64) -> String {
    // A share that is one up to rounding of doubles is not a certainty.
    let hundredths = (share * 1e4 + 1e-6).floor().min(9999.0);
    let text = decimals(hundredths / 100.0, 2);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_runs_has_its_own_coverage() {
        let told = |counts: &[usize]| covers(counts.iter().copied()).unwrap_or_default();
        assert_eq!(told(&[0, 1]), "");
        assert_eq!(
            told(&[3, 1, 3]),
            "holds the true median in 75 % of cases at n = 3"
        );
        assert_eq!(
            told(&[5, 3, 2]),
            "holds the true median in 50 % of cases at n = 2, 75 % at n = 3, 93.75 % at \
             n = 5"
        );
        assert_eq!(
            told(&[2, 3, 4, 5, 30]),
            "holds the true median in 50 % of cases at n = 2 to 99.99 % at n = 30"
        );
    }
}
