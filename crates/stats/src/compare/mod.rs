//! Whether two samples differ: tests that assume nothing of the distribution,
//! and corrections for making many of them.

use super::Sample;
use super::normal::upper_tail;

/// For up to so many numbers in both samples together, the distribution of
/// ranks is counted exactly; the counts then fit into a double.
const EXACT_MAX: usize = 50;
/// The most divisions that a permutation test tries: 10 against 10 have
/// 184,756.
pub const DIVISIONS_MAX: u64 = 200_000;

/// What a test found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Test {
    /// The chance of a difference at least this large, in either direction, if
    /// both samples come from one distribution.
    pub p: f64,
    /// The least possible `p` with so many numbers, whatever they are: 0.1 for
    /// 3 against 3, so nothing can be significant at 0.05 there.
    pub least: f64,
    /// Whether every division was counted; otherwise `p` is an approximation.
    pub exact: bool,
}

impl Test {
    /// Whether no outcome with so many numbers could have been significant.
    pub fn is_powerless(&self, alpha: f64) -> bool {
        self.least > alpha
    }
}

/// The least two-sided p of any exact test of `n` against `m` numbers: of all
/// `(n+m)!/(n!m!)` divisions, one at either end.
pub fn least_p(n: usize, m: usize) -> f64 {
    let mut divisions = 1.0;
    for i in 1..=n.min(m) {
        divisions *= (n.max(m) + i) as f64 / i as f64;
    }
    (2.0_f64 / divisions).min(1.0)
}

/// The U test of Mann and Whitney (1947), two-sided: whether the numbers of one
/// sample tend to be greater. None where a sample is empty.
///
/// Up to 50 numbers it is exact, ties included: the distribution over all
/// divisions of the pooled midranks. Above that it is the normal approximation
/// with corrections for ties and continuity.
pub fn mann_whitney(left: &Sample, right: &Sample) -> Option<Test> {
    if left.is_empty() || right.is_empty() {
        return None;
    }
    let pool = Pool::new(left, right);
    let exact = pool.ranks.len() <= EXACT_MAX;
    let p = if exact {
        pool.exact()
    } else {
        pool.approximate()
    };
    Some(Test {
        p,
        least: least_p(left.len(), right.len()),
        exact,
    })
}

/// Ranks of two samples together, doubled so that midranks are whole.
struct Pool {
    /// Least first.
    ranks: Vec<usize>,
    /// How many numbers are from the left sample, and the sum of their ranks.
    n: usize,
    sum: usize,
    /// Sizes of groups of equal numbers.
    ties: Vec<usize>,
}

impl Pool {
    fn new(left: &Sample, right: &Sample) -> Self {
        let tagged = |sample: &Sample, is_left: bool| {
            let values = sample.sorted().iter();
            values.map(|value| (*value, is_left)).collect::<Vec<_>>()
        };
        let mut all = tagged(left, true);
        all.extend(tagged(right, false));
        all.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut pool = Self {
            ranks: Vec::with_capacity(all.len()),
            n: left.len(),
            sum: 0,
            ties: Vec::new(),
        };
        for group in all.chunk_by(|one, other| one.0.total_cmp(&other.0).is_eq()) {
            // The mean of first and last rank, twice.
            let rank = 2 * pool.ranks.len() + 1 + group.len();
            pool.sum += rank * group.iter().filter(|(_, is_left)| *is_left).count();
            pool.ranks.extend(group.iter().map(|_| rank));
            pool.ties.push(group.len());
        }
        pool
    }

    /// Counts the sets of `n` ranks by their sum.
    fn exact(&self) -> f64 {
        let greatest: usize = self.ranks.iter().rev().take(self.n).sum();
        let width = greatest + 1;
        // The sets by size and sum; the counts are whole numbers below 2^53.
        let mut counts = vec![0.0; (self.n + 1) * width];
        counts[0] = 1.0;
        for (seen, rank) in self.ranks.iter().enumerate() {
            for size in (1..=self.n.min(seen + 1)).rev() {
                let (smaller, larger) = counts.split_at_mut(size * width);
                let smaller = &smaller[(size - 1) * width..];
                for sum in (*rank..width).rev() {
                    larger[sum] += smaller[sum - rank];
                }
            }
        }
        let sets = &counts[self.n * width..];
        let all: f64 = sets.iter().sum();
        let below: f64 = sets[..=self.sum].iter().sum();
        let above: f64 = sets[self.sum..].iter().sum();
        (2.0 * below.min(above) / all).min(1.0)
    }

    fn approximate(&self) -> f64 {
        let (n, all) = (self.n as f64, self.ranks.len() as f64);
        let m = all - n;
        let u = self.sum as f64 / 2.0 - n * (n + 1.0) / 2.0;
        let u = u.max(n * m - u);
        let ties = self.ties.iter().map(|count| {
            let count = *count as f64;
            count * count * count - count
        });
        let spread = all + 1.0 - ties.sum::<f64>() / (all * (all - 1.0));
        let deviation = (n * m / 12.0 * spread).sqrt();
        if deviation <= 0.0 {
            // All numbers are equal.
            return 1.0;
        }
        let z = (u - n * m / 2.0 - 0.5) / deviation;
        (2.0 * upper_tail(z)).min(1.0)
    }
}

/// What a permutation test compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// The difference of the means.
    Mean,
    /// The difference of the medians.
    Median,
}

/// The exact permutation test of Fisher (1935), two-sided: the share of all
/// divisions of the pooled numbers whose difference is at least as far out,
/// doubled from the smaller side. None where a sample is empty, or there are
/// more than [`DIVISIONS_MAX`] divisions.
pub fn permutation(left: &Sample, right: &Sample, statistic: Statistic) -> Option<Test> {
    let (n, m) = (left.len(), right.len());
    if n == 0 || m == 0 || 2.0 / least_p(n, m) > DIVISIONS_MAX as f64 + 0.5 && n + m > 2 {
        return None;
    }
    let mut pool = left.sorted().to_vec();
    pool.extend(right.sorted());
    pool.sort_by(f64::total_cmp);
    let observed = difference(left.sorted(), right.sorted(), statistic);
    let size = pool.iter().fold(0.0_f64, |size, it| size.max(it.abs()));
    let mut walk = Walk {
        pool: &pool,
        n,
        statistic,
        observed,
        // Different sums may lead to equal differences.
        slack: 1e-12 * size.max(observed.abs()),
        below: 0,
        above: 0,
        all: 0,
    };
    walk.divide(0, &mut Vec::with_capacity(n), &mut Vec::with_capacity(m));
    let share = walk.below.min(walk.above) as f64 / walk.all as f64;
    Some(Test {
        p: (2.0 * share).min(1.0),
        least: least_p(n, m),
        exact: true,
    })
}

/// The difference of two sorted lists.
fn difference(left: &[f64], right: &[f64], statistic: Statistic) -> f64 {
    let of = |sorted: &[f64]| {
        let count = sorted.len();
        match statistic {
            // Each number is divided first, so that sums of large numbers stay
            // finite.
            Statistic::Mean => sorted.iter().map(|it| it / count as f64).sum(),
            Statistic::Median if count % 2 == 1 => sorted[count / 2],
            Statistic::Median => sorted[count / 2 - 1].midpoint(sorted[count / 2]),
        }
    };
    let (left, right): (f64, f64) = (of(left), of(right));
    left - right
}

struct Walk<'a> {
    pool: &'a [f64],
    n: usize,
    statistic: Statistic,
    observed: f64,
    slack: f64,
    below: u64,
    above: u64,
    all: u64,
}

impl Walk<'_> {
    /// Visits every way to divide what follows `at`; both parts stay sorted.
    fn divide(&mut self, at: usize, left: &mut Vec<f64>, right: &mut Vec<f64>) {
        let Some(value) = self.pool.get(at) else {
            let found = difference(left, right, self.statistic);
            self.all += 1;
            self.below += u64::from(found <= self.observed + self.slack);
            self.above += u64::from(found >= self.observed - self.slack);
            return;
        };
        if left.len() < self.n {
            left.push(*value);
            self.divide(at + 1, left, right);
            left.pop();
        }
        if right.len() < self.pool.len() - self.n {
            right.push(*value);
            self.divide(at + 1, left, right);
            right.pop();
        }
    }
}

/// Corrects for many tests by the method of Holm (1979): the chance that any
/// true equality is called a difference stays below alpha. The results are in
/// the order of `p`.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|left, right| p[*left].total_cmp(&p[*right]));
    let mut corrected = vec![0.0; p.len()];
    let mut greatest = 0.0_f64;
    for (place, at) in order.iter().enumerate() {
        greatest = greatest.max(p[*at] * (p.len() - place) as f64).min(1.0);
        corrected[*at] = greatest;
    }
    corrected
}

/// Corrects for many tests by the method of Benjamini and Hochberg (1995):
/// among the called differences, the expected share of true equalities stays
/// below alpha. The results are in the order of `p`.
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|left, right| p[*left].total_cmp(&p[*right]));
    let mut corrected = vec![0.0; p.len()];
    let mut least = 1.0_f64;
    for (place, at) in order.iter().enumerate().rev() {
        least = least.min(p[*at] * p.len() as f64 / (place + 1) as f64);
        corrected[*at] = least;
    }
    corrected
}

#[cfg(test)]
mod tests;
