//! Which cells get another replicate, in sweeps that let their results decide.
//!
//! `replicates = { min = 3, max = 10, until = "ranked" }` trains `min`
//! replicates of every cell. Each time all jobs of the sweep are final,
//! [`look`] orders the cells by their medians and asks of every two neighbours
//! whether their order is decided. Where it is not, the one with fewer
//! replicates gets the next seed, or both if they have equally many. The sweep
//! is settled when nothing more can be given.
//!
//! *The test* is the exact one of Mann and Whitney ([`mann_whitney`]),
//! two-sided. It uses only the order of the numbers, so a replicate that
//! diverged counts as worse than any number. Where more is better, all signs
//! are turned.
//!
//! *The level.* A pair is looked at again and again until its order is decided.
//! A test at 0.05 each time would find a difference between equal cells far
//! more often than that (Armitage, `McPherson` and Rowe, 1969, "Repeated
//! significance tests on accumulating data"). Bonferroni's inequality (Dunn,
//! 1961) keeps the chance below 0.05 for any two cells: after each look without
//! a decision the lesser of the two counts has grown, so until the first
//! decision there are at most `max - min + 1` looks, and each is made at 0.05
//! divided by that number. This is the chance for one pair, not for all pairs
//! of a table; and a failed job that is retried gives its pairs one more look.
//!
//! Everything here follows from the numbers alone, not from the order in which
//! they came. Imported numbers are ignored: only what this coordinator trains
//! decides.

#[cfg(test)]
mod tests;

use swath_model::id::{CellDigest, Replicate};
use swath_model::job::StateName;
use swath_model::metrics::Goal;
use swath_model::outcome::Fault;
use swath_model::replication::{Bounds, Decision, Neighbour, Pair, Stop, Undecided, Verdict};
use swath_model::steering::Steering;
use swath_model::view::{CellResults, ReplicateResult};
use swath_stats::{NotFinite, Sample, mann_whitney};

use crate::summary::Quantity;

/// A replicate that diverged: worse than any number that is measured.
const DIVERGED: f64 = f64::MAX;

/// What became of one replicate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trial {
    /// Not final yet.
    Open,
    /// It measured this.
    Measured(f64),
    /// It diverged: worse than any number.
    Diverged,
    /// It ended without a number: it failed, or lacks what the sweep measures.
    Nothing,
    /// It was cancelled.
    Cancelled,
}

impl Trial {
    /// What became of `replicate`; none for a number without a job.
    fn of(replicate: &ReplicateResult, measured: &Quantity) -> Result<Option<Self>, NotFinite> {
        if replicate.imported.is_some() {
            // A number that is imported stands where nothing ended here, or
            // beyond the last job.
            let is_job = replicate.job.as_bytes() != &[0; 32];
            return Ok(is_job.then_some(Self::Cancelled));
        }
        Ok(Some(match (replicate.state, replicate.fault) {
            (StateName::Succeeded, _) => measured
                .of(replicate)?
                .map_or(Self::Nothing, Self::Measured),
            (StateName::Failed, Some(Fault::Diverged)) => Self::Diverged,
            (StateName::Failed, _) => Self::Nothing,
            (StateName::Cancelled, _) => Self::Cancelled,
            _ => Self::Open,
        }))
    }

    /// The number by which it is ranked: the less, the better.
    fn rank(self, goal: Goal) -> Option<f64> {
        match self {
            Self::Measured(value) => Some(ranked(goal, value)),
            Self::Diverged => Some(DIVERGED),
            Self::Open | Self::Nothing | Self::Cancelled => None,
        }
    }
}

/// A cell with what became of its replicates.
#[derive(Clone, Debug, PartialEq)]
pub struct Trials {
    /// Its place in canonical order.
    pub index: u64,
    /// The cell.
    pub cell: CellDigest,
    /// One per job of the cell.
    pub trials: Vec<Trial>,
}

impl Trials {
    /// What became of the jobs of `cell`, in a sweep where this is `measured`.
    ///
    /// # Errors
    ///
    /// When a recorded number is not finite.
    pub fn new(cell: &CellResults, measured: &Quantity) -> Result<Self, NotFinite> {
        let mut trials = Vec::with_capacity(cell.replicates.len());
        for replicate in &cell.replicates {
            trials.extend(Trial::of(replicate, measured)?);
        }
        Ok(Self {
            index: cell.index,
            cell: cell.cell,
            trials,
        })
    }
}

/// A value as a number of which less is better, and back.
const fn ranked(goal: Goal, value: f64) -> f64 {
    match goal {
        Goal::Minimize => value,
        Goal::Maximize => -value,
    }
}

/// Looks at the cells of a sweep whose metric has this goal: one replicate for each of some cells, in
/// canonical order, or the verdict; nothing while a job is open. Neither the
/// order of the cells nor that of their trials matters.
pub fn look(bounds: Bounds, goal: Goal, cells: &[Trials]) -> Vec<Steering> {
    let is_open = |cell: &Trials| cell.trials.contains(&Trial::Open);
    if cells.iter().any(is_open) {
        return Vec::new();
    }
    let ranked = cells.iter().filter_map(|cell| Ranked::new(cell, goal));
    let mut ranked: Vec<Ranked> = ranked.collect();
    ranked.sort_by(|left, right| {
        let order = left.median.total_cmp(&right.median);
        order.then(left.index.cmp(&right.index))
    });
    let mut verdict = Verdict::default();
    let mut decisions: Vec<(u64, Decision)> = Vec::new();
    for neighbours in ranked.windows(2) {
        let [better, worse] = neighbours else {
            continue;
        };
        let Some(pair) = test(bounds, better, worse) else {
            continue;
        };
        verdict.pairs += 1;
        if pair.is_decided() {
            continue;
        }
        match next(bounds, better, worse) {
            Err(stop) => verdict.undecided.push(Undecided { pair, stop }),
            Ok(next) => {
                let some = next.into_iter().flatten();
                decisions.extend(some.map(|it| (it.index, it.decision(pair))));
            }
        }
    }
    if decisions.is_empty() {
        return vec![Steering::Settle(verdict)];
    }
    // Two pairs may ask for the same cell; the one further from a decision is
    // the reason.
    decisions.sort_by(|(left, one), (right, other)| {
        let order = left.cmp(right);
        order.then(other.pair.p.total_cmp(&one.pair.p))
    });
    decisions.dedup_by_key(|(index, _)| *index);
    let decisions = decisions.into_iter();
    decisions.map(|(_, it)| Steering::Add(it)).collect()
}

/// A cell that has a place in the order.
struct Ranked {
    index: u64,
    cell: CellDigest,
    replicates: u32,
    is_cancelled: bool,
    goal: Goal,
    /// Its trials' ranks.
    sample: Sample,
    /// Of the ranks; infinite where it diverged.
    median: f64,
}

impl Ranked {
    /// None for a cell in which nothing was measured and nothing diverged.
    fn new(cell: &Trials, goal: Goal) -> Option<Self> {
        let ranks = cell.trials.iter().filter_map(|trial| trial.rank(goal));
        // Numbers that are not finite were refused when they were read.
        let sample = Sample::new(ranks).ok()?;
        let sorted = sample.sorted();
        let middle = sorted.len() / 2;
        let median = match *sorted.get(middle)? {
            DIVERGED => f64::INFINITY,
            _ => sample.median()?,
        };
        Some(Self {
            index: cell.index,
            cell: cell.cell,
            replicates: cell.trials.len() as u32,
            is_cancelled: cell.trials.contains(&Trial::Cancelled),
            goal,
            median,
            sample,
        })
    }

    fn neighbour(&self) -> Neighbour {
        Neighbour {
            cell: self.cell,
            replicates: self.replicates,
            n: self.sample.len() as u32,
            median: Some(ranked(self.goal, self.median)).filter(|median| median.is_finite()),
        }
    }

    const fn decision(&self, pair: Pair) -> Decision {
        Decision {
            cell: self.cell,
            replicate: Replicate(self.replicates + 1),
            pair,
        }
    }
}

/// Tests a pair; none where both diverged, because neither is worse.
fn test(bounds: Bounds, better: &Ranked, worse: &Ranked) -> Option<Pair> {
    if better.median.is_infinite() {
        return None;
    }
    let test = mann_whitney(&better.sample, &worse.sample)?;
    Some(Pair {
        better: better.neighbour(),
        worse: worse.neighbour(),
        p: test.p,
        level: bounds.level(),
    })
}

/// Which of the two gets the next seed: the one with fewer replicates, or both.
fn next<'a>(
    bounds: Bounds,
    better: &'a Ranked,
    worse: &'a Ranked,
) -> Result<[Option<&'a Ranked>; 2], Stop> {
    let fewest = better.replicates.min(worse.replicates);
    let next = [better, worse].map(|it| Some(it).filter(|it| it.replicates == fewest));
    if next.iter().flatten().any(|it| it.is_cancelled) {
        Err(Stop::Cancelled)
    } else if fewest >= bounds.max {
        Err(Stop::Max)
    } else {
        Ok(next)
    }
}
