//! What a cell's replicates amount to.
//!
//! The sweep file fixes before the training which value of a replicate is
//! measured. A replicate that diverged or failed is counted and shown, never
//! dropped: a median over the others says so.

mod coverage;
mod figure;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

pub use self::coverage::{METHOD, covered, covers};
pub use self::figure::{Figure, Objective, Quantity, Tally, Unit, alike};
use swath_model::id::Replicate;
use swath_model::job::StateName;
use swath_model::outcome::Provenance;
use swath_model::view::{CellResults, ReplicateResult};
use swath_stats::{MedianInterval, NotFinite, Sample, median_interval, range_coverage};
use swath_sweep::Measure;

/// The summary of a cell's replicates.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The metric by which jobs are compared, as the sweep measures it.
    pub measured: Figure,
    /// The training time of the same replicates.
    pub train_time: Figure,
    /// The measured values by replicate, each of one run. A replicate without a
    /// value is absent, and so is one that an imported median stands for.
    pub values: Vec<(Replicate, f64)>,
    /// Runs that are known only through imported medians. They count in the
    /// median and in no other statistic.
    pub summarised: u32,
    /// How the replicates behind the numbers differ, apart from their seeds.
    pub mixed: Mixed,
    /// How many replicates have a median over fewer last epochs than the sweep
    /// asks for.
    pub short: u32,
}

impl Summary {
    /// Sums up what is `measured` of `cell`, which will have `replicates`
    /// replicates. Their order
    /// does not matter.
    ///
    /// # Errors
    ///
    /// When a recorded number is not finite.
    pub fn new(
        cell: &CellResults,
        measured: &Quantity,
        unit: Unit,
        replicates: u32,
    ) -> Result<Self, NotFinite> {
        let tally = Tally::new(&cell.replicates, replicates);
        let mut values = Vec::with_capacity(cell.replicates.len());
        let (mut medians, mut short) = (Vec::new(), 0);
        for replicate in &cell.replicates {
            let Some(value) = measured.of(replicate)? else {
                continue;
            };
            if replicate.is_summary() {
                medians.push(value);
                continue;
            }
            values.push((replicate.replicate, value));
            if let Quantity::Measured(objective) = measured
                && let Measure::MedianOfLast(count) = objective.measure
                && replicate.imported.is_none()
            {
                short += u32::from(replicate.last_values.len() < count as usize);
            }
        }
        values.sort_by(|left, right| left.0.cmp(&right.0).then(left.1.total_cmp(&right.1)));
        let all = values.iter().map(|(_, value)| *value);
        let sample = Sample::new(all.chain(medians.iter().copied()))?;
        let time = &Quantity::TrainSeconds;
        Ok(Self {
            measured: Figure::from_sample(&sample, unit, tally, medians.is_empty()),
            train_time: Figure::new(time, Unit::Seconds, &cell.replicates, tally)?,
            values,
            summarised: medians.len() as u32,
            mixed: Mixed::of(cell),
            short,
        })
    }

    /// The mean of the measured values; none where a run is known by a median
    /// alone.
    pub fn mean(&self) -> Option<f64> {
        self.sample().mean().filter(|_| self.summarised == 0)
    }

    /// The standard deviation of the runs that are known one by one, estimated
    /// with `n - 1`; none for fewer than two.
    pub fn deviation(&self) -> Option<f64> {
        self.sample().deviation()
    }

    /// An interval for the median, where every run is known; see
    /// [`median_interval`]. It covers 95 % of cases only from six runs on.
    pub fn interval(&self) -> Option<MedianInterval> {
        median_interval(&self.sample(), 0.95).filter(|_| self.summarised == 0)
    }

    /// In what share of cases the range from the least to the greatest run holds
    /// the true median, where every run is known; see [`range_coverage`].
    pub fn range_coverage(&self) -> Option<f64> {
        range_coverage(self.values.len()).filter(|_| self.summarised == 0)
    }

    /// The measured values, each of one run; they are finite.
    pub fn sample(&self) -> Sample {
        Sample::new(self.values.iter().map(|(_, value)| *value)).unwrap_or_default()
    }

    /// What became of the replicates.
    pub const fn tally(&self) -> Tally {
        self.measured.tally()
    }

    /// Whether no replicate can change any more.
    pub const fn is_final(&self) -> bool {
        self.measured.tally().open == 0
    }
}

/// How the measured replicates of one cell differ. Each list is sorted, and
/// empty where they agree; what a replicate does not report is not compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mixed {
    /// Device models.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// Driver versions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drivers: Vec<String>,
    /// libtorch versions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub libtorch: Vec<String>,
    /// Trainer versions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trainers: Vec<String>,
    /// Thread counts of the trainer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub threads: Vec<String>,
    /// Determinism levels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub determinism: Vec<String>,
}

impl Mixed {
    /// How the measured replicates of `cell` differ.
    pub fn of(cell: &CellResults) -> Self {
        let measured = || {
            let succeeded = |it: &&ReplicateResult| it.state == StateName::Succeeded;
            let measured = cell.replicates.iter().filter(succeeded);
            measured.filter_map(|it| it.provenance.as_ref())
        };
        let mut all = measured();
        let Some(first) = all.next() else {
            return Self::default();
        };
        // For nearly every cell there is nothing to compare field by field.
        if all.all(|other| Arc::ptr_eq(other, first) || other == first) {
            return Self::default();
        }
        let differing = |field: fn(&Provenance) -> &str| {
            let told = measured()
                .map(|it| field(it))
                .filter(|text| !text.is_empty());
            let told: BTreeSet<&str> = told.collect();
            let texts = told.iter().map(|text| (*text).to_owned());
            if told.len() > 1 {
                texts.collect()
            } else {
                Vec::new()
            }
        };
        let threads: BTreeSet<u32> = measured()
            .map(|it| it.threads)
            .filter(|it| *it > 0)
            .collect();
        Self {
            devices: differing(|it| &it.device),
            drivers: differing(|it| &it.driver),
            libtorch: differing(|it| &it.libtorch),
            trainers: differing(|it| &it.trainer),
            threads: if threads.len() > 1 {
                threads.iter().map(u32::to_string).collect()
            } else {
                Vec::new()
            },
            determinism: differing(|it| &it.determinism),
        }
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What differs, for a footnote: `device models (A, B), drivers (1, 2)`.
    pub fn describe(&self) -> String {
        let named = [
            ("device models", &self.devices),
            ("drivers", &self.drivers),
            ("libtorch versions", &self.libtorch),
            ("trainer versions", &self.trainers),
            ("thread counts", &self.threads),
            ("determinism levels", &self.determinism),
        ];
        let parts = named.iter().filter(|(_, values)| !values.is_empty());
        let parts: Vec<_> = parts
            .map(|(name, values)| format!("{name} ({})", values.join(", ")))
            .collect();
        parts.join(", ")
    }
}
