//! Replicates that results decide, as data: what a sweep asks for, and what a
//! look at its results decided. The rule is in swath-results.

use serde::{Deserialize, Serialize};
use swath_stats::least_p;

use crate::id::{CellDigest, Replicate};

/// The greatest chance of calling the order of two equal cells decided.
pub const ALPHA: f64 = 0.05;
/// The rule's name, as `until` gives it and as tables show it.
pub const UNTIL_RANKED: &str = "ranked";

/// How many replicates a cell may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Every cell gets so many.
    pub min: u32,
    /// No cell gets more than so many.
    pub max: u32,
}

impl Bounds {
    /// The most looks at a pair until its order is decided.
    pub fn looks(self) -> u32 {
        self.max.saturating_sub(self.min).saturating_add(1)
    }

    /// The greatest p at which the order of a pair is decided.
    pub fn level(self) -> f64 {
        ALPHA / f64::from(self.looks())
    }

    /// The least p that two cells with every replicate can have.
    pub fn least_p(self) -> f64 {
        least_p(self.max as usize, self.max as usize)
    }

    /// Whether the order of any two cells can ever be decided.
    pub fn can_decide(self) -> bool {
        self.least_p() <= self.level()
    }

    /// The least `max` from this one on with which an order can be decided.
    pub fn deciding_max(self) -> u32 {
        let from = self.max.max(self.min);
        let decides = |max: &u32| Self { max: *max, ..self }.can_decide();
        (from..=from.saturating_add(100))
            .find(decides)
            .unwrap_or(from)
    }
}

/// One of two neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Neighbour {
    /// The cell.
    pub cell: CellDigest,
    /// How many replicates the neighbour has.
    pub replicates: u32,
    /// How many of them are ranked: measured or diverged.
    pub n: u32,
    /// Their median; absent if it lies at one that diverged.
    pub median: Option<f64>,
}

/// Two cells next to each other in the order of their medians.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// The one with the lesser median.
    pub better: Neighbour,
    /// The one with the greater median.
    pub worse: Neighbour,
    /// The chance of a difference at least so large between equal cells.
    pub p: f64,
    /// The order is decided if `p` is not above this.
    pub level: f64,
}

impl Pair {
    /// Whether their order is decided.
    pub fn is_decided(&self) -> bool {
        self.p <= self.level
    }

    /// Whether both have the same median, so that neither is the better one.
    pub fn is_tie(&self) -> bool {
        self.better.median == self.worse.median
    }
}

/// The decision that a cell gets a replicate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The cell.
    pub cell: CellDigest,
    /// The replicate that it gets.
    pub replicate: Replicate,
    /// The undecided pair that is the reason; of two, the one further from a
    /// decision.
    pub pair: Pair,
}

/// Why an undecided pair gets no more replicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The cell that would get the next seed has reached `max`.
    Max,
    /// A job of it was cancelled.
    Cancelled,
}

/// A pair that stays undecided.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Undecided {
    /// The pair.
    pub pair: Pair,
    /// Why it gets no more replicates.
    pub stop: Stop,
}

/// How a sweep is settled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Pairs of neighbours that were tested.
    pub pairs: u64,
    /// The pairs whose order stays undecided, the best first.
    pub undecided: Vec<Undecided>,
}
