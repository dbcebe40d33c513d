//! One number of a cell, which always tells how many replicates it stands for.

use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};

use swath_model::job::StateName;
use swath_model::metrics::{BEST_TEST_ERROR, Goal, TEST_ERROR};
use swath_model::outcome::Fault;
use swath_model::text::{duration, measured};
use swath_model::view::ReplicateResult;
use swath_stats::{NotFinite, Sample};
use swath_sweep::Measure;

/// What a number measures; this decides how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Percent: two decimals.
    Percent,
    /// A loss, or a program's own metric: four decimals, no unit.
    Plain,
    /// Seconds, written as a time.
    Seconds,
}

impl Unit {
    /// What stands beside the name of a number in this unit, if its text does not
    /// have it.
    pub const fn sign(self) -> Option<&'static str> {
        match self {
            Self::Percent => Some("%"),
            Self::Plain | Self::Seconds => None,
        }
    }

    /// `value` in this unit, without the unit's sign.
    pub fn text(self, value: f64) -> String {
        self.text_to(value, 0)
    }

    /// The same with so many more decimals.
    pub fn text_to(self, value: f64, more: usize) -> String {
        match self {
            Self::Percent => measured(value, 2 + more),
            Self::Plain if value != 0.0 && !(1e-3..1e7).contains(&value.abs()) => {
                format!("{value:.0$e}", 3 + more)
            }
            Self::Plain => measured(value, 4 + more),
            Self::Seconds => duration(value),
        }
    }

    /// How many more decimals than usual it takes, up to [`MORE_MAX`], until the
    /// two numbers of each pair read differently, unless they are alike.
    pub fn telling_apart(self, pairs: impl Iterator<Item = [f64; 2]>) -> usize {
        let same = |pair: [f64; 2], more| {
            let [left, right] = pair.map(|it| self.text_to(it, more));
            left == right
        };
        let mut pairs = pairs.filter(|[left, right]| !alike(*left, *right));
        let mut more = 0;
        while more < MORE_MAX && self != Self::Seconds {
            // What is told apart stays so with more decimals.
            let Some(pair) = pairs.find(|pair| same(*pair, more)) else {
                break;
            };
            while more < MORE_MAX && same(pair, more) {
                more += 1;
            }
        }
        more
    }
}

/// With the usual decimals, these are as many as tell any two numbers apart that
/// are not [`alike`], in the ranges that metrics have.
const MORE_MAX: usize = 7;

/// Whether two numbers differ by no more than the rounding of doubles, as means
/// do that were computed in different orders.
pub fn alike(left: f64, right: f64) -> bool {
    (left - right).abs() <= 1e-9 * left.abs().max(right.abs())
}

/// What a sweep compares its jobs by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objective {
    /// The metric's name.
    pub metric: String,
    /// Which of its values are better.
    pub goal: Goal,
    /// Which of a training's values counts.
    pub measure: Measure,
}

impl Objective {
    /// A metric with the direction that its name implies.
    pub fn new(metric: &str, measure: Measure) -> Self {
        Self {
            metric: metric.to_owned(),
            goal: Goal::implied(metric).unwrap_or_default(),
            measure,
        }
    }
}

/// Which number of a replicate is summarised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// The metric by which jobs are compared, as the sweep measures it.
    Measured(Objective),
    /// Seconds of training, evaluation included.
    TrainSeconds,
    /// The metric of this name.
    Metric(String),
}

impl Quantity {
    /// Which of its values are better; the quickest cell is not the best one,
    /// but comes first.
    pub fn goal(&self) -> Goal {
        match self {
            Self::Measured(objective) => objective.goal,
            Self::TrainSeconds => Goal::Minimize,
            Self::Metric(name) => Goal::implied(name).unwrap_or_default(),
        }
    }

    /// The value for a replicate; none when it has no measurement, or when the
    /// measurement lacks this quantity.
    ///
    /// The median of the last k epochs is that of all epochs where a training
    /// has fewer.
    pub fn of(&self, replicate: &ReplicateResult) -> Result<Option<f64>, NotFinite> {
        if let Some(imported) = &replicate.imported {
            let value = match self {
                Self::Measured(..) => Some(imported.test_error),
                Self::TrainSeconds => imported.seconds,
                Self::Metric(_) => None,
            };
            return value.map(swath_stats::finite).transpose();
        }
        let Some(measurement) = measurement(replicate) else {
            return Ok(None);
        };
        let value = match self {
            Self::Measured(objective) => match objective.measure {
                Measure::Last => measurement.values.own(&objective.metric),
                Measure::Best => {
                    // A trainer knows its best epoch exactly, and need not tell all.
                    let told = measurement.values.get(BEST_TEST_ERROR);
                    let is_it = objective.metric == TEST_ERROR && objective.goal == Goal::Minimize;
                    told.filter(|_| is_it)
                        .or_else(|| objective.goal.best(replicate.last_values.iter().copied()))
                }
                Measure::MedianOfLast(count) => {
                    let values = &replicate.last_values;
                    let from = values.len().saturating_sub(count as usize);
                    Sample::new(values[from..].iter().copied())?.median()
                }
            },
            Self::TrainSeconds => Some(measurement.train_seconds),
            Self::Metric(name) => measurement.values.get(name),
        };
        value.map(swath_stats::finite).transpose()
    }
}

/// What a replicate measured, if it counts: a measurement from before a retry
/// does not.
fn measurement(replicate: &ReplicateResult) -> Option<&swath_model::outcome::Measurement> {
    replicate
        .measurement
        .as_ref()
        .filter(|_| replicate.state == StateName::Succeeded)
}

/// What became of a cell's replicates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// All replicates, those not yet stored included.
    pub of: u32,
    /// Replicates with a measurement.
    pub succeeded: u32,
    /// Replicates that diverged.
    pub diverged: u32,
    /// Replicates that failed for good in another way.
    pub failed: u32,
    /// Replicates that were cancelled.
    pub cancelled: u32,
    /// Replicates that are not final yet.
    pub open: u32,
}

impl Tally {
    /// Counts `replicates`, of which there will be `of` in the end.
    pub fn new(replicates: &[ReplicateResult], of: u32) -> Self {
        let mut tally = Self {
            of: of.max(replicates.len() as u32),
            ..Self::default()
        };
        for replicate in replicates {
            let field = match (replicate.state, replicate.fault) {
                (StateName::Succeeded, _) => &mut tally.succeeded,
                (StateName::Failed, Some(Fault::Diverged)) => &mut tally.diverged,
                (StateName::Failed, _) => &mut tally.failed,
                (StateName::Cancelled, _) => &mut tally.cancelled,
                _ => continue,
            };
            *field += 1;
        }
        tally.open = tally.of - tally.succeeded - tally.diverged - tally.failed - tally.cancelled;
        tally
    }
}

/// A median over a cell's replicates, with its n. Its text always contains the
/// n where that is less than the number of replicates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    unit: Unit,
    n: u32,
    tally: Tally,
    median: Option<f64>,
    /// Least and greatest value; none where a run is known by a median alone.
    ends: Option<[f64; 2]>,
    /// Whether its text contains the n in any case.
    counted: bool,
    /// How many more decimals its text has than usual.
    more: usize,
}

impl Figure {
    /// The figure of `quantity` over `replicates`, counted by `tally`.
    pub fn new(
        quantity: &Quantity,
        unit: Unit,
        replicates: &[ReplicateResult],
        tally: Tally,
    ) -> Result<Self, NotFinite> {
        let mut values = Vec::with_capacity(replicates.len());
        let mut is_told = true;
        for replicate in replicates {
            values.extend(quantity.of(replicate)?);
            is_told &= !replicate.is_summary();
        }
        Ok(Self::from_sample(
            &Sample::new(values)?,
            unit,
            tally,
            is_told,
        ))
    }

    /// The figure of a sample. `is_told` says that each of its numbers is the
    /// value of one run, not a median that stands for several.
    pub(super) fn from_sample(sample: &Sample, unit: Unit, tally: Tally, is_told: bool) -> Self {
        let ends = sample.min().zip(sample.max());
        Self {
            unit,
            n: sample.len() as u32,
            tally,
            median: sample.median(),
            ends: ends.filter(|_| is_told).map(|(min, max)| [min, max]),
            counted: false,
            more: 0,
        }
    }

    /// Writes numbers with so many more decimals; see [`Unit::telling_apart`].
    #[must_use]
    pub const fn precise(self, more: usize) -> Self {
        Self { more, ..self }
    }

    /// `value` as it writes its median.
    pub fn text(&self, value: f64) -> String {
        self.unit.text_to(value, self.more)
    }

    /// Shows the n in any case: for tables whose cells have different numbers
    /// of replicates, which no caption can tell.
    #[must_use]
    pub const fn counted(self, counted: bool) -> Self {
        Self { counted, ..self }
    }

    /// Whether its text tells its n in any case.
    pub const fn is_counted(&self) -> bool {
        self.counted
    }

    /// The figure's unit.
    pub const fn unit(&self) -> Unit {
        self.unit
    }

    /// How many replicates it stands for.
    pub const fn n(&self) -> u32 {
        self.n
    }

    /// How many replicates there will be in the end.
    pub const fn of(&self) -> u32 {
        self.tally.of
    }

    /// What became of the replicates.
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// Whether it covers every replicate.
    pub const fn is_complete(&self) -> bool {
        self.n == self.tally.of && self.n > 0
    }

    /// Whether the median is the mean of the two middle values.
    pub const fn is_even(&self) -> bool {
        self.n > 0 && self.n.is_multiple_of(2)
    }

    /// The median, to compare, plot or export beside [`Figure::n`]; as text
    /// there is only [`fmt::Display`].
    pub const fn median(&self) -> Option<f64> {
        self.median
    }

    /// The least value, where every run is known; see [`Figure::median`].
    pub fn min(&self) -> Option<f64> {
        self.ends.map(|[min, _]| min)
    }

    /// The greatest value; see [`Figure::min`].
    pub fn max(&self) -> Option<f64> {
        self.ends.map(|[_, max]| max)
    }

    /// Its text in two parts: the number (or the word in its place), and what
    /// follows in brackets. A column can then align the numbers.
    pub fn parts(&self) -> (String, Option<String>) {
        let Tally {
            of,
            diverged,
            failed,
            cancelled,
            open,
            succeeded,
        } = self.tally;
        let unmeasured = succeeded.saturating_sub(self.n);
        let others = [
            (diverged, "diverged"),
            (failed, "failed"),
            (cancelled, "cancelled"),
            (unmeasured, "not measured"),
        ];
        let mut rest = others.into_iter().filter(|(count, _)| *count > 0);
        let (word, n) = match self.median() {
            Some(median) => (self.text(median), self.n),
            None if open > 0 || of == 0 => ("pending".to_owned(), 0),
            None => {
                let (count, word) = rest.next().unwrap_or((0, "pending"));
                (word.to_owned(), count)
            }
        };
        if n == of && self.n > 0 {
            return (word, self.counted.then(|| format!("n = {n}")));
        }
        if self.n == 0 && open == of {
            return (word, None);
        }
        let mut behind = format!("{n} of {of}");
        for (count, word) in rest {
            // Writing to a String cannot fail.
            let _ = write!(behind, ", {count} {word}");
        }
        (word, Some(behind))
    }
}

impl Figure {
    /// The same where a neighbour already says what became of the other
    /// replicates: only the n stays.
    pub fn brief(&self) -> (String, Option<String>) {
        match (self.median(), self.parts()) {
            (Some(_), (word, _)) if self.is_complete() => (word, None),
            (Some(_), (word, Some(_))) => (word, Some(format!("{} of {}", self.n, self.of()))),
            (Some(_), (word, None)) => (word, None),
            (None, (word, _)) => (word, None),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            (word, None) => f.pad(&word),
            (word, Some(behind)) => f.pad(&format!("{word} ({behind})")),
        }
    }
}
