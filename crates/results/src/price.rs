//! What jobs will cost, judged by how long similar ones took.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use swath_model::probe::{self, workload};
use swath_stats::Sample;

/// The length of a training in the unit that its spec has, epochs or steps; 1
/// where it has neither.
fn length(spec: &Value) -> (&'static str, f64) {
    let of = |key| spec.get(key).and_then(Value::as_f64);
    match (of("epochs"), of("steps")) {
        (Some(epochs), _) => ("epochs", epochs),
        (None, Some(steps)) => ("steps", steps),
        (None, None) => ("", 1.0),
    }
}

/// How long trainings took, grouped by what determines their cost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Paces {
    /// Seconds per epoch or step, by workload and unit.
    measured: BTreeMap<(String, &'static str), Vec<f64>>,
}

impl Paces {
    /// Notes that a training of this cell took `seconds`. A probe is not a
    /// training and is ignored.
    pub fn add(&mut self, spec: &Value, seconds: f64) {
        if probe::is_probe(spec) {
            return;
        }
        let (unit, length) = length(spec);
        let pace = seconds / length;
        if pace.is_finite() && pace >= 0.0 {
            let paces = self.measured.entry((workload(spec), unit)).or_default();
            paces.push(pace);
        }
    }

    /// Seconds that a training of this cell will take: its length times the
    /// median pace of similar ones. None where there were none.
    pub fn seconds(&self, spec: &Value) -> Option<f64> {
        let (unit, length) = length(spec);
        let paces = self.measured.get(&(workload(spec), unit))?;
        let sample = Sample::new(paces.iter().copied()).ok()?;
        Some(sample.median()? * length)
    }
}

/// Where a time comes from, the surest source first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Similar trainings that were measured.
    Jobs,
    /// A probe of its steps.
    Probe,
    /// A time that somebody else published.
    Published,
}

/// What several jobs will cost together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Price {
    /// Seconds, times devices, of the jobs that have a price.
    pub seconds: f64,
    /// The longest of these jobs, in seconds.
    pub longest: f64,
    /// Jobs priced by similar trainings that were measured here.
    pub measured: u64,
    /// Jobs priced by probes of their steps.
    pub probed: u64,
    /// Jobs priced by published times.
    pub published: u64,
    /// Jobs without a price.
    pub unknown: u64,
}

impl Price {
    /// Adds jobs of one cell that take `seconds` each, if that is known, on so
    /// many devices each.
    pub fn add(&mut self, jobs: u64, devices: u32, seconds: Option<(f64, Source)>) {
        let (seconds, count) = match seconds {
            Some((seconds, Source::Jobs)) => (seconds, &mut self.measured),
            Some((seconds, Source::Probe)) => (seconds, &mut self.probed),
            Some((seconds, Source::Published)) => (seconds, &mut self.published),
            None => (0.0, &mut self.unknown),
        };
        *count += jobs;
        self.seconds += seconds * jobs as f64 * f64::from(devices);
        if jobs > 0 {
            self.longest = self.longest.max(seconds);
        }
    }

    /// Jobs that have a price.
    pub const fn priced(&self) -> u64 {
        self.measured + self.probed + self.published
    }

    /// Seconds until the jobs are done on so many busy devices, but no less
    /// than the longest job takes; none when a job has no price or there is no
    /// device.
    pub fn through_in(&self, devices: u32) -> Option<f64> {
        let shared = self.seconds / f64::from(devices);
        (devices > 0 && self.unknown == 0).then(|| shared.max(self.longest))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn spec(batch: u32, lr: f64, epochs: u32) -> Value {
        json!({
            "model": {"name": "resnet", "depth": 20},
            "batch_size": batch,
            "optimizer": {"name": "sgd", "lr": lr, "momentum": 0.9},
            "epochs": epochs,
        })
    }

    #[test]
    fn a_pace_holds_for_other_rates_and_lengths() {
        let mut paces = Paces::default();
        for seconds in [100.0, 120.0, 500.0] {
            paces.add(&spec(128, 0.1, 10), seconds);
        }
        assert_eq!(paces.seconds(&spec(128, 3.2, 200)), Some(2400.0));
        assert_eq!(paces.seconds(&spec(64, 0.1, 10)), None);
        let mut steps = spec(128, 0.1, 10);
        steps.as_object_mut().unwrap().remove("epochs");
        steps["steps"] = json!(100);
        assert_eq!(paces.seconds(&steps), None);
        paces.add(&steps, 50.0);
        assert_eq!(paces.seconds(&steps), Some(50.0));
        paces.add(&steps, f64::NAN);
        let mut probe = steps.clone();
        probe["probe"] = json!(true);
        paces.add(&probe, 1e6);
        assert_eq!(paces.seconds(&steps), Some(50.0));
    }

    #[test]
    fn nothing_is_through_before_its_longest_job_or_without_a_price() {
        let mut price = Price::default();
        price.add(2, 1, Some((10.0, Source::Jobs)));
        price.add(3, 1, Some((20.0, Source::Probe)));
        price.add(1, 1, Some((60.0, Source::Published)));
        price.add(0, 1, Some((1e9, Source::Published)));
        let mut pairs = price;
        pairs.add(1, 2, Some((100.0, Source::Jobs)));
        assert_eq!(
            (pairs.seconds, pairs.longest),
            (price.seconds + 200.0, 100.0)
        );
        let counts = (price.measured, price.probed, price.published);
        assert_eq!((counts, price.priced()), ((2, 3, 1), 6));
        assert_eq!(price.through_in(2), Some(70.0));
        assert_eq!(price.through_in(100), Some(60.0));
        assert_eq!(price.through_in(0), None);
        price.add(3, 1, None);
        assert_eq!((price.unknown, price.seconds), (3, 140.0));
        assert_eq!(price.through_in(4), None);
    }

    proptest! {
        /// In whatever order jobs come, their price is the sum, and more
        /// devices never take longer.
        #[test]
        fn the_price_is_a_sum(
            jobs in prop::collection::vec((1_u64..50, 0.0..1e5_f64), 1..20),
            devices in 1_u32..64,
        ) {
            let source = |place: usize| {
                [Source::Jobs, Source::Probe, Source::Published][place % 3]
            };
            let mut price = Price::default();
            for (place, (count, seconds)) in jobs.iter().enumerate() {
                price.add(*count, 1, Some((*seconds, source(place))));
            }
            let sum: f64 = jobs.iter().map(|(count, seconds)| *count as f64 * seconds).sum();
            prop_assert!((price.seconds - sum).abs() <= 1e-9 * sum);
            let count: u64 = jobs.iter().map(|(count, _)| count).sum();
            prop_assert_eq!(price.priced(), count);
            let (few, more) = (price.through_in(devices), price.through_in(devices + 1));
            prop_assert!(more <= few && few <= Some(price.seconds.max(price.longest)));
        }
    }
}
