//! Order statistics of a few numbers, confidence intervals, and tests whether
//! two samples differ.
//!
//! A [`Sample`] holds only finite numbers, sorted. So its results do not depend
//! on the order in which the numbers came, and are never NaN.

mod binomial;
mod compare;
mod normal;
mod order;
#[cfg(test)]
mod tests;

pub use self::binomial::clopper_pearson;
pub use self::compare::{
    DIVISIONS_MAX, Statistic, Test, benjamini_hochberg, holm, least_p, mann_whitney, permutation,
};
pub use self::normal::{Z_95, median_error, upper_tail};
pub use self::order::{MedianInterval, median_interval, range_coverage};

/// A number that is not finite, where only finite ones make sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a value is not a finite number")]
pub struct NotFinite;

/// Finite numbers, least first. Negative zero is zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    sorted: Vec<f64>,
}

impl Sample {
    /// The sample of these numbers, in whatever order.
    ///
    /// # Errors
    ///
    /// When one is infinite or not a number.
    pub fn new(values: impl IntoIterator<Item = f64>) -> Result<Self, NotFinite> {
        let mut sorted = Vec::new();
        for value in values {
            sorted.push(finite(value)?);
        }
        sorted.sort_unstable_by(f64::total_cmp);
        Ok(Self { sorted })
    }

    /// How many numbers it has.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether it has no numbers.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The middle number; for an even count the mean of the two middle ones.
    pub fn median(&self) -> Option<f64> {
        let upper = *self.sorted.get(self.len() / 2)?;
        if self.len() % 2 == 1 {
            return Some(upper);
        }
        Some(self.sorted[self.len() / 2 - 1].midpoint(upper))
    }

    /// The least number.
    pub fn min(&self) -> Option<f64> {
        self.sorted.first().copied()
    }

    /// The greatest number.
    pub fn max(&self) -> Option<f64> {
        self.sorted.last().copied()
    }

    /// The arithmetic mean. It is finite and lies between the least and the
    /// greatest number even where the sum is too large for a double.
    pub fn mean(&self) -> Option<f64> {
        let (min, max) = (self.min()?, self.max()?);
        let count = self.len() as f64;
        let sum: f64 = self.sorted.iter().sum();
        let mean = if sum.is_finite() {
            sum / count
        } else {
            self.sorted.iter().map(|value| value / count).sum()
        };
        Some(mean.clamp(min, max) + 0.0)
    }

    /// The standard deviation of the distribution that the sample was drawn
    /// from, estimated with `n - 1`; none for fewer than two numbers, or where
    /// a square is too large for a double.
    pub fn deviation(&self) -> Option<f64> {
        if self.len() < 2 {
            return None;
        }
        let mean = self.mean()?;
        let squares = self.sorted.iter().map(|value| (value - mean).powi(2));
        let variance = squares.sum::<f64>() / (self.len() - 1) as f64;
        Some(variance.sqrt()).filter(|it| it.is_finite())
    }

    /// The numbers, least first.
    pub fn sorted(&self) -> &[f64] {
        &self.sorted
    }

    /// The value below which the share `q` of the sample lies, with linear
    /// interpolation between neighbours. `q` is limited to 0..=1; NaN gives
    /// none.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if q.is_nan() {
            return None;
        }
        let at = q.clamp(0.0, 1.0) * self.len().checked_sub(1)? as f64;
        let lower = self.sorted[at.floor() as usize];
        let upper = self.sorted[at.ceil() as usize];
        let part = at.fract();
        // Computed from halves, because the difference of two large numbers
        // could overflow.
        let half = lower / 2.0 + (upper / 2.0 - lower / 2.0) * part;
        Some((half * 2.0).clamp(lower, upper) + 0.0)
    }
}

/// `value` if it is finite, with negative zero as zero.
pub fn finite(value: f64) -> Result<f64, NotFinite> {
    if value.is_finite() {
        Ok(value + 0.0)
    } else {
        Err(NotFinite)
    }
}
