//! What jobs will cost, from what others like them took.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::probe::workload;
use crate::stats::Sample;

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

/// Seconds that trainings took, by what they were like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Paces {
    /// Seconds per epoch or step, by workload and unit.
    measured: BTreeMap<(String, &'static str), Vec<f64>>,
}

impl Paces {
    /// Notes that a training of this cell took `seconds`.
    pub fn add(&mut self, spec: &Value, seconds: f64) {
        let (unit, length) = length(spec);
        let pace = seconds / length;
        if pace.is_finite() && pace >= 0.0 {
            let paces = self.measured.entry((workload(spec), unit)).or_default();
            paces.push(pace);
        }
    }

    /// Seconds that a training of this cell will take: its length times the
    /// median pace of those like it. None where there was none.
    pub fn seconds(&self, spec: &Value) -> Option<f64> {
        let (unit, length) = length(spec);
        let paces = self.measured.get(&(workload(spec), unit))?;
        let sample = Sample::new(paces.iter().copied()).ok()?;
        Some(sample.median()? * length)
    }
}

/// What jobs will cost together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Price {
    /// Seconds of one device for the jobs that are priced.
    pub seconds: f64,
    /// Jobs priced by what others like them took here.
    pub measured: u64,
    /// Jobs priced by published times.
    pub published: u64,
    /// Jobs without a price.
    pub unknown: u64,
}

impl Price {
    /// Adds jobs of one cell.
    pub fn add(&mut self, jobs: u64, measured: Option<f64>, published: Option<f64>) {
        let (seconds, count) = match (measured, published) {
            (Some(seconds), _) => (seconds, &mut self.measured),
            (None, Some(seconds)) => (seconds, &mut self.published),
            (None, None) => (0.0, &mut self.unknown),
        };
        *count += jobs;
        self.seconds += seconds * jobs as f64;
    }

    /// Seconds until they are through on so many devices that all work; none
    /// when a job has no price or nothing works.
    pub fn through_in(&self, devices: u32) -> Option<f64> {
        (devices > 0 && self.unknown == 0).then(|| self.seconds / f64::from(devices))
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(paces.seconds(&steps), Some(50.0));
    }

    #[test]
    fn measured_goes_before_published() {
        let mut price = Price::default();
        price.add(2, Some(10.0), Some(99.0));
        price.add(1, None, Some(100.0));
        assert_eq!((price.measured, price.published), (2, 1));
        assert_eq!(price.through_in(4), Some(30.0));
        assert_eq!(price.through_in(0), None);
        price.add(3, None, None);
        assert_eq!((price.unknown, price.seconds), (3, 120.0));
        assert_eq!(price.through_in(4), None);
    }
}
