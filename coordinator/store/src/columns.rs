//! How metrics and needs are spread over the columns of a table: some have one of
//! their own, and the others share one with a JSON object.

use std::collections::HashMap;

use swath_model::curve::Curve;
use swath_model::id::{Attempt, WeightsDigest};
use swath_model::metrics::Metrics;
use swath_model::needs::Needs;
use swath_model::outcome::{COLUMNS, Measurement, Observation};
use swath_model::protocol::EPOCH;
use swath_model::view::Epochs;

/// The metrics that are in none of these columns, as a JSON object; none if
/// there are none.
pub fn others(values: &Metrics, columns: &[&str]) -> Option<String> {
    let others = values.without(columns);
    let others = (!others.is_empty()).then_some(others);
    others.and_then(|others| serde_json::to_string(&others).ok())
}

fn joined<V: Into<Option<f64>>, const COUNT: usize>(
    others: Option<&str>,
    names: [&str; COUNT],
    columns: [V; COUNT],
) -> serde_json::Result<Metrics> {
    let others: Option<Metrics> = others.map(serde_json::from_str).transpose()?;
    let columns = columns.map(|value| value.into().filter(|value| value.is_finite()));
    let there = columns.iter().flatten().count();
    let columns = names.into_iter().zip(columns);
    let columns = columns.filter_map(|(name, value)| Some((name, value?)));
    Ok(others
        .unwrap_or_default()
        .with_room_for(there)
        .with(columns))
}

/// A measurement from its time, the columns of [`COLUMNS`], its other metrics
/// and weights. A number that is not finite counts as absent.
///
/// # Errors
///
/// When the others are no JSON object.
pub fn measurement<V: Into<Option<f64>>>(
    train_seconds: f64,
    columns: [V; 3],
    others: Option<&str>,
    weights: Option<WeightsDigest>,
) -> serde_json::Result<Measurement> {
    Ok(Measurement {
        train_seconds,
        values: joined(others, COLUMNS, columns)?,
        weights,
    })
}

/// What the jobs of a cell need, from the column of the program and that of the
/// rest.
///
/// # Errors
///
/// When the rest is not JSON of needs.
pub fn needs(program: Option<String>, others: Option<&str>) -> serde_json::Result<Needs> {
    let others: Option<Needs> = others.map(serde_json::from_str).transpose()?;
    Ok(Needs {
        program,
        ..others.unwrap_or_default()
    })
}

/// What jobs need besides a program, as a JSON object; none if that is nothing.
pub fn needs_text(needs: &Needs) -> Option<String> {
    let others = Needs {
        program: None,
        ..needs.clone()
    };
    let others = (others != Needs::default()).then_some(others);
    others.and_then(|others| serde_json::to_string(&others).ok())
}

/// A row of observations, as every store has it.
#[expect(missing_docs, reason = "each field is the column of its name")]
#[derive(Clone, Debug)]
pub struct Seen {
    pub job: i64,
    pub attempt: i64,
    pub epoch: i64,
    pub step: i64,
    pub train_loss: Option<f64>,
    pub train_error: Option<f64>,
    pub test_loss: Option<f64>,
    pub test_error: Option<f64>,
    pub lr: Option<f64>,
    pub seconds: Option<f64>,
    pub images_per_second: Option<f64>,
    pub distance: Option<f64>,
    pub loss_scale: Option<f64>,
    pub skipped_steps: Option<i64>,
    pub metrics: Option<String>,
}

impl Seen {
    /// The observation.
    ///
    /// # Errors
    ///
    /// When the metrics without a column are no JSON object.
    pub fn observation(&self) -> serde_json::Result<Observation> {
        // In the order of `EPOCH`.
        let columns = [
            self.train_loss,
            self.train_error,
            self.test_loss,
            self.test_error,
            self.lr,
            self.images_per_second,
            self.distance,
            self.loss_scale,
            self.skipped_steps.map(|steps| steps as f64),
        ];
        Ok(Observation {
            epoch: self.epoch as u32,
            step: self.step as u64,
            seconds: self.seconds,
            values: joined(self.metrics.as_deref(), EPOCH, columns)?,
        })
    }
}

/// What a metric was in the last epochs of jobs.
#[derive(Debug)]
pub struct LastValues {
    epochs: Epochs,
    jobs: HashMap<i64, Curve<f64>>,
}

impl LastValues {
    /// No values yet.
    pub fn new(epochs: Epochs) -> Self {
        let jobs = HashMap::new();
        Self { epochs, jobs }
    }

    /// Takes what an attempt of a job said of an epoch, in the order of both: the
    /// value in the metric's own column, if it has one, and the other metrics.
    ///
    /// # Errors
    ///
    /// When the others are no JSON object of numbers.
    pub fn see(
        &mut self,
        [job, attempt, epoch]: [i64; 3],
        column: Option<f64>,
        others: Option<&str>,
    ) -> serde_json::Result<()> {
        let others = others.filter(|_| column.is_none());
        let others: Option<Metrics> = others.map(serde_json::from_str).transpose()?;
        let value = column.or_else(|| others?.get(&self.epochs.metric));
        let value = value.filter(|value| value.is_finite());
        let curve = self.jobs.entry(job).or_default();
        curve.see(Attempt(attempt as u32), epoch as u32, value);
        Ok(())
    }

    /// The values of the last epochs of a job, newest last.
    pub fn of(&self, job: i64) -> Vec<f64> {
        let Some(seen) = self.jobs.get(&job).map(Curve::epochs) else {
            return Vec::new();
        };
        let before = seen.len().saturating_sub(self.epochs.last as usize);
        seen.values().skip(before).copied().collect()
    }
}
