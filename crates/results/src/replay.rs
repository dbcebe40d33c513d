//! Whether a job that was trained again gave the same result.
//!
//! What a training reports is compared bit by bit: every number except times,
//! and the digest of the final weights, which need not be kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use swath_model::curve::Curve;
use swath_model::id::WeightsDigest;
use swath_model::metrics::Metrics;
use swath_model::outcome::{Measurement, Observation, Provenance};
use swath_model::view::CurvePoint;

/// What one training of a job reported.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// What it reported at its end.
    pub measurement: &'a Measurement,
    /// What it reported during training, by attempt and epoch.
    pub points: &'a [CurvePoint],
    /// What it ran on, if that is known.
    pub provenance: Option<&'a Provenance>,
}

/// A number that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The name of the number.
    pub number: String,
    /// Its epoch; absent for what was reported at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// The value before; absent if it was not reported.
    pub before: Option<f64>,
    /// The value now; absent if it was not reported.
    pub now: Option<f64>,
}

/// Both digests of the weights; absent where a training reported none, as
/// programs do and as trainers did before they reported a digest of their
/// weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsCompared {
    /// The digest before.
    pub before: Option<WeightsDigest>,
    /// The digest now.
    pub now: Option<WeightsDigest>,
}

impl WeightsCompared {
    /// Whether both are the same; none when one of them is not known.
    pub fn are_same(&self) -> Option<bool> {
        Some(self.before? == self.now?)
    }
}

/// The result of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Numbers that were compared.
    pub compared: u64,
    /// The numbers that differ: by epoch, then those of the end.
    pub differences: Vec<Difference>,
    /// The weights at the end.
    pub weights: WeightsCompared,
    /// What else differs, and so may be the reason.
    pub reasons: Vec<String>,
}

impl Comparison {
    /// Compares two trainings of one job.
    pub fn new<'a>(before: &Told<'a>, now: &Told<'a>) -> Self {
        let mut comparison = Self {
            weights: WeightsCompared {
                before: before.measurement.weights,
                now: now.measurement.weights,
            },
            ..Self::default()
        };
        let (left, right) = (epochs(before.points), epochs(now.points));
        let mut seen: Vec<u32> = left.keys().chain(right.keys()).copied().collect();
        seen.sort_unstable();
        seen.dedup();
        let none = BTreeMap::new();
        for epoch in seen {
            let (left, right) = (left.get(&epoch), right.get(&epoch));
            comparison.add(Some(epoch), left.unwrap_or(&none), right.unwrap_or(&none));
        }
        let ending = |told: &Told<'a>| lasting(&told.measurement.values).collect();
        comparison.add(None, &ending(before), &ending(now));
        comparison.reasons = reasons(before.provenance, now.provenance);
        comparison
    }

    /// Whether every number is the same, and also the weights, as far as they
    /// are known.
    pub fn is_identical(&self) -> bool {
        self.differences.is_empty() && self.weights.are_same() != Some(false)
    }

    fn add(&mut self, epoch: Option<u32>, before: &Numbers<'_>, now: &Numbers<'_>) {
        let mut names: Vec<&str> = before.keys().chain(now.keys()).copied().collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            self.compared += 1;
            let (before, now) = (before.get(name).copied(), now.get(name).copied());
            if before.map(f64::to_bits) != now.map(f64::to_bits) {
                self.differences.push(Difference {
                    number: name.to_owned(),
                    epoch,
                    before,
                    now,
                });
            }
        }
    }
}

type Numbers<'a> = BTreeMap<&'a str, f64>;

/// The numbers of the epochs that count.
fn epochs(points: &[CurvePoint]) -> BTreeMap<u32, Numbers<'_>> {
    let mut curve = Curve::default();
    for point in points {
        curve.see(point.attempt, point.observation.epoch, Some(point));
    }
    let numbers = curve.epochs().iter();
    numbers
        .map(|(epoch, point)| (*epoch, of_epoch(&point.observation)))
        .collect()
}

fn of_epoch(seen: &Observation) -> Numbers<'_> {
    let step = [("step", seen.step as f64)].into_iter();
    step.chain(lasting(&seen.values)).collect()
}

/// The numbers that are the same each time; times always differ.
fn lasting(values: &Metrics) -> impl Iterator<Item = (&str, f64)> {
    let is_time = |name: &str| name.ends_with("seconds") || name.ends_with("per_second");
    values.iter().filter(move |(name, _)| !is_time(name))
}

/// In what the two runs differed.
fn reasons(before: Option<&Provenance>, now: Option<&Provenance>) -> Vec<String> {
    let (Some(before), Some(now)) = (before, now) else {
        return vec!["what one of them ran on is not known".to_owned()];
    };
    let threads = |it: &Provenance| match it.threads {
        0 => String::new(),
        count => count.to_string(),
    };
    let pairs = [
        ("device", before.device.clone(), now.device.clone()),
        ("driver", before.driver.clone(), now.driver.clone()),
        ("libtorch", before.libtorch.clone(), now.libtorch.clone()),
        ("trainer", before.trainer.clone(), now.trainer.clone()),
        ("threads", threads(before), threads(now)),
    ];
    let differs = pairs.into_iter().filter(|(_, before, now)| before != now);
    let told = |text: String| {
        if text.is_empty() {
            "unknown".to_owned()
        } else {
            text
        }
    };
    let mut reasons: Vec<String> = differs
        .map(|(name, before, now)| format!("another {name}: {}, now {}", told(before), told(now)))
        .collect();
    if [before, now].iter().any(|it| it.determinism == "none") {
        reasons.push("the device does not compute the same bits every time".to_owned());
    }
    reasons
}

#[cfg(test)]
mod tests {
    use swath_model::id::Attempt;

    use super::*;

    fn measurement(test_error: f64, seconds: f64) -> Measurement {
        Measurement {
            train_seconds: seconds,
            values: Metrics::from([
                ("test_error", test_error),
                ("test_loss", 0.25),
                ("distance", test_error * 3.0),
                ("goal.5.seconds", seconds),
            ]),
            weights: None,
        }
    }

    fn point(attempt: u32, epoch: u32, distance: f64) -> CurvePoint {
        CurvePoint {
            attempt: Attempt(attempt),
            observation: Observation {
                epoch,
                seconds: Some(f64::from(attempt)),
                values: [("distance", distance)].into(),
                ..Observation::default()
            },
        }
    }

    #[test]
    fn times_and_overtaken_attempts_do_not_count() {
        let (first, second) = (measurement(7.0, 10.0), measurement(7.0, 99.0));
        let resumed = [point(1, 1, 0.5), point(1, 2, 9.0), point(2, 2, 1.0)];
        let whole = [point(1, 1, 0.5), point(1, 2, 1.0)];
        let told = |measurement, points| Told {
            measurement,
            points,
            provenance: None,
        };
        let same = Comparison::new(&told(&first, &resumed), &told(&second, &whole));
        assert!(same.is_identical(), "{same:?}");
        // Step and distance of two epochs; error, loss and distance of the end.
        assert_eq!(same.compared, 7);
        assert_eq!(same.reasons, ["what one of them ran on is not known"]);
    }

    #[test]
    fn the_last_bit_counts_and_what_may_be_why_is_told() {
        let before = measurement(7.0, 1.0);
        let mut now = measurement(7.0, 1.0);
        let next = f64::from_bits(0.25_f64.to_bits() + 1);
        now.values.insert("test_loss", next).unwrap();
        let cpu = Provenance {
            device: "A (cpu)".to_owned(),
            threads: 2,
            determinism: "bitwise".to_owned(),
            ..Provenance::default()
        };
        let gpu = Provenance {
            device: "B".to_owned(),
            driver: "5".to_owned(),
            determinism: "none".to_owned(),
            ..cpu.clone()
        };
        let told = |measurement, provenance| Told {
            measurement,
            points: &[],
            provenance: Some(provenance),
        };
        let compared = Comparison::new(&told(&before, &cpu), &told(&now, &gpu));
        assert!(!compared.is_identical());
        let names: Vec<_> = compared.differences.iter().map(|it| &it.number).collect();
        assert_eq!(names, ["test_loss"]);
        assert_eq!(
            compared.reasons,
            [
                "another device: A (cpu), now B",
                "another driver: unknown, now 5",
                "the device does not compute the same bits every time"
            ]
        );
        // The weights differ, but no reported number does.
        let weights = |byte| Some(WeightsDigest::from_bytes([byte; 32]));
        let mut named = [before.clone(), before.clone(), before.clone()];
        named[0].weights = weights(1);
        named[1].weights = weights(2);
        let pair = |left: usize, right: usize| {
            Comparison::new(&told(&named[left], &cpu), &told(&named[right], &cpu))
        };
        assert!(!pair(0, 1).is_identical() && pair(0, 1).differences.is_empty());
        assert!(pair(0, 0).is_identical());
        assert_eq!(pair(0, 0).weights.are_same(), Some(true));
        assert!(pair(0, 2).is_identical());
        assert_eq!(pair(0, 2).weights.are_same(), None);
        let missing = Comparison::new(
            &Told {
                points: &[point(1, 1, 2.0)],
                ..told(&before, &cpu)
            },
            &told(&before, &cpu),
        );
        assert_eq!(missing.differences.len(), 2);
    }
}
