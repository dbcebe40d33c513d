//! Named numbers: what trainings measure, after each epoch and at their end.

mod goal;

use std::borrow::Cow;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

pub use self::goal::Goal;

/// The most metrics of one training, or of one epoch, beside the known ones.
pub const METRICS_MAX: usize = 64;

/// The longest name of a metric, in characters.
pub const NAME_CHARS: usize = 128;

/// Test error in percent: what the built-in trainer is compared by.
pub const TEST_ERROR: &str = "test_error";
/// Mean test loss.
pub const TEST_LOSS: &str = "test_loss";
/// Least test error of all epochs.
pub const BEST_TEST_ERROR: &str = "best_test_error";
/// Training error in percent.
pub const TRAIN_ERROR: &str = "train_error";

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Percent.
    Percent,
    /// A number without a unit.
    Plain,
    /// Seconds.
    Seconds,
    /// So many each second.
    PerSecond,
    /// A whole number that is at least 0.
    Count,
}

/// A metric that the built-in trainer reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// Its direction; none where it only describes the training.
    pub goal: Option<Goal>,
    /// How many decimals people need; none where the order of magnitude
    /// varies.
    pub decimals: Option<u8>,
}

const fn known_as(
    name: &'static str,
    unit: Unit,
    goal: Option<Goal>,
    decimals: Option<u8>,
) -> Known {
    Known {
        name,
        unit,
        goal,
        decimals,
    }
}

/// Every metric of the trainer protocol, by name.
pub const KNOWN: [Known; 13] = {
    const LESS: Option<Goal> = Some(Goal::Minimize);
    use Unit::{Count, PerSecond, Percent, Plain, Seconds};
    [
        known_as(BEST_TEST_ERROR, Percent, LESS, Some(2)),
        // Of all parameters from where they started, Euclidean.
        known_as("distance", Plain, None, Some(4)),
        // Of training, evaluation excluded.
        known_as("images_per_second", PerSecond, None, Some(0)),
        // The factor on the loss before the backward pass.
        known_as("loss_scale", Plain, None, Some(0)),
        // Of the epoch's last step.
        known_as("lr", Plain, None, None),
        // Over the last epochs.
        known_as("median_test_error", Percent, LESS, Some(2)),
        // Since the training began, evaluation included.
        known_as("seconds", Seconds, None, None),
        // Steps so far without an update, because a gradient was not finite.
        known_as("skipped_steps", Count, LESS, Some(0)),
        known_as(TEST_ERROR, Percent, LESS, Some(2)),
        known_as(TEST_LOSS, Plain, LESS, Some(4)),
        known_as(TRAIN_ERROR, Percent, LESS, Some(2)),
        known_as("train_loss", Plain, LESS, Some(4)),
        // Of the whole training, evaluation included.
        known_as("train_seconds", Seconds, LESS, None),
    ]
};

/// What is known of the metric of this name.
pub fn known(name: &str) -> Option<&'static Known> {
    let at = KNOWN.binary_search_by(|known| known.name.cmp(name)).ok()?;
    Some(&KNOWN[at])
}

/// What is known of the metric of this name, judged by its first part alone:
/// `test_error.cifar10.1` is a test error.
pub fn kind(name: &str) -> Option<&'static Known> {
    known(name.split('.').next().unwrap_or(name))
}

impl Known {
    fn fits(&self, value: f64) -> bool {
        // Every whole number up to this one is a double.
        const MOST: f64 = 9_007_199_254_740_992.0;
        let whole = value.fract() == 0.0 && value.is_sign_positive() && value <= MOST;
        self.unit != Unit::Count || whole
    }
}

/// The metric by which a job with this spec is compared with others: the one
/// that its program names, or else the test error.
pub fn own(spec: &Value) -> &str {
    let named = spec.get("trainer").and_then(|it| it.get("metric"));
    named.and_then(Value::as_str).unwrap_or(TEST_ERROR)
}

/// Finite numbers by name, at most [`METRICS_MAX`] that are not known. No other
/// number can get in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// In the order of their names. A known name is borrowed.
    values: Vec<(Cow<'static, str>, f64)>,
}

/// Why a metric is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetricError {
    /// The name is not allowed.
    #[error("its name must be 1 to {NAME_CHARS} printable characters, without a blank at its ends")]
    Name,
    /// The value is not finite.
    #[error("it is not a finite number")]
    NotFinite,
    /// The value is not a count.
    #[error("it is not a whole number that is at least 0")]
    NotWhole,
    /// There are as many as allowed already.
    #[error("a training has at most {METRICS_MAX} metrics of its own")]
    TooMany,
}

impl Metrics {
    /// No metrics.
    pub const fn new() -> Self {
        Self { values: Vec::new() }
    }

    /// Adds a metric, or replaces the one of this name.
    ///
    /// # Errors
    ///
    /// When the name or the value is not allowed, or there are too many
    /// metrics.
    pub fn insert(&mut self, name: &str, value: f64) -> Result<(), MetricError> {
        if !value.is_finite() {
            return Err(MetricError::NotFinite);
        }
        let known = known(name);
        if known.is_some_and(|known| !known.fits(value)) {
            return Err(MetricError::NotWhole);
        }
        match (self.find(name), known) {
            (Ok(at), _) => self.values[at].1 = value,
            (Err(at), Some(known)) => self.values.insert(at, (known.name.into(), value)),
            (Err(_), None) if !is_name(name) => return Err(MetricError::Name),
            (Err(at), None) => {
                let is_other = |(name, _): &&(Cow<'_, str>, f64)| matches!(name, Cow::Owned(_));
                if self.values.iter().filter(is_other).count() >= METRICS_MAX {
                    return Err(MetricError::TooMany);
                }
                self.values.insert(at, (name.to_owned().into(), value));
            }
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        // Nearly always they come in order.
        match self.values.last() {
            Some((last, _)) if **last < *name => Err(self.values.len()),
            _ => self.values.binary_search_by(|(it, _)| (**it).cmp(name)),
        }
    }

    /// The metric of this name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.find(name).ok().map(|at| self.values[at].1)
    }

    /// The metric by which a job is compared, whose name is that of [`own`].
    /// What was recorded before such numbers kept their name has it as the test
    /// error.
    pub fn own(&self, name: &str) -> Option<f64> {
        self.get(name).or_else(|| self.get(TEST_ERROR))
    }

    /// Removes the metric of this name and returns it.
    pub fn remove(&mut self, name: &str) -> Option<f64> {
        let at = self.find(name).ok()?;
        Some(self.values.remove(at).1)
    }

    /// All metrics, in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, f64)> {
        self.values.iter().map(|(name, value)| (&**name, *value))
    }

    /// How many metrics there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no metrics.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// All metrics but those of `names`.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> Self {
        let others = self
            .values
            .iter()
            .filter(|(name, _)| !names.contains(&&**name));
        Self {
            values: others.cloned().collect(),
        }
    }

    /// These metrics, with room for so many more.
    #[must_use]
    pub fn with_room_for(mut self, more: usize) -> Self {
        self.values.reserve_exact(more);
        self
    }

    /// These metrics, and those of `pairs` that are there and may be recorded.
    #[must_use]
    pub fn with<N: AsRef<str>, V: Into<Option<f64>>>(
        mut self,
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        for (name, value) in pairs {
            if let Some(value) = value.into() {
                let _ = self.insert(name.as_ref(), value);
            }
        }
        self
    }

    /// Adds those metrics of a JSON object that may be recorded; `dropped` is
    /// called with the others. A value that is not a number counts as one that
    /// is not finite, and so does `object` itself if it is something else.
    pub fn read(&mut self, object: &Value, mut dropped: impl FnMut(&str, MetricError)) {
        let object = match object {
            Value::Object(object) => object,
            Value::Null => return,
            _ => return dropped("metrics", MetricError::NotFinite),
        };
        for (name, value) in object {
            if let Err(error) = self.insert(name, value.as_f64().unwrap_or(f64::NAN)) {
                dropped(name, error);
            }
        }
    }

    /// Writes the metrics of `names` as entries of `map`, in that order.
    pub(crate) fn write<M: SerializeMap>(
        &self,
        map: &mut M,
        names: &[&'static str],
    ) -> Result<(), M::Error> {
        for name in names {
            if let Some(value) = self.get(name) {
                map.serialize_entry(name, &Number(name, value))?;
            }
        }
        Ok(())
    }

    /// Writes all metrics but those of `names` as one entry of `map`, if there
    /// are any.
    pub(crate) fn write_others<M: SerializeMap>(
        &self,
        map: &mut M,
        names: &[&'static str],
    ) -> Result<(), M::Error> {
        let others = self.without(names);
        if others.is_empty() {
            return Ok(());
        }
        map.serialize_entry("metrics", &others)
    }
}

/// Those of the pairs that are there and may be recorded.
impl<N: AsRef<str>, V: Into<Option<f64>>> FromIterator<(N, V)> for Metrics {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self::new().with(pairs)
    }
}

/// Those of the pairs that are there and may be recorded.
impl<N: AsRef<str>, V: Into<Option<f64>>, const COUNT: usize> From<[(N, V); COUNT]> for Metrics {
    fn from(pairs: [(N, V); COUNT]) -> Self {
        pairs.into_iter().collect()
    }
}

/// A named number in JSON; counts are whole there too.
struct Number<'a>(&'a str, f64);

impl Serialize for Number<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match known(self.0) {
            Some(known) if known.unit == Unit::Count => serializer.serialize_u64(self.1 as u64),
            _ => serializer.serialize_f64(self.1),
        }
    }
}

impl Serialize for Metrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let numbers = self.iter().map(|(name, value)| (name, Number(name, value)));
        serializer.collect_map(numbers)
    }
}

/// Reads what may be recorded and leaves out the rest: a wrong metric must not
/// cost the training that sent it.
impl<'de> Deserialize<'de> for Metrics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Metrics;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("numbers by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metrics, A::Error> {
                let mut metrics = Metrics::new();
                while let Some(Key(name)) = map.next_key()? {
                    if let Told::Number(value) = map.next_value()? {
                        let _ = metrics.insert(&name, value);
                    }
                }
                Ok(metrics)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// A key of a JSON object, not copied where that is possible.
#[derive(Deserialize)]
pub(crate) struct Key<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// A value of a JSON object that need not be a number.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Told {
    Number(f64),
    Other(IgnoredAny),
}

/// Whether a metric may have this name.
pub fn is_name(name: &str) -> bool {
    let length = name.chars().take(NAME_CHARS + 1).count();
    (1..=NAME_CHARS).contains(&length)
        && name.chars().all(crate::text::is_printable)
        && name.trim() == name
}

/// The longest unit of a metric, in characters.
pub const UNIT_CHARS: usize = 16;

/// Whether `unit` may be the unit of a metric: 1 to [`UNIT_CHARS`] printable
/// characters.
pub fn is_unit(unit: &str) -> bool {
    unit.chars().count() <= UNIT_CHARS && is_name(unit)
}

/// `text` as a part of a metric's name that can be told from the parts beside
/// it: what is not a letter, a digit or a dot becomes `_`.
pub fn name_part(text: &str) -> String {
    let fits = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '.';
    let lower = text.chars().map(|char| char.to_ascii_lowercase());
    lower
        .map(|char| if fits(char) { char } else { '_' })
        .collect()
}

/// A value that may be absent; one of another type counts as absent.
pub(crate) fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: serde::de::DeserializeOwned,
{
    let value = Value::deserialize(deserializer)?;
    Ok(T::deserialize(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::protocol::{EPOCH, FINISHED};

    #[test]
    fn every_metric_of_the_protocol_is_known() {
        assert!(KNOWN.is_sorted_by_key(|known| known.name));
        let times = ["seconds", "train_seconds"];
        for name in EPOCH.into_iter().chain(FINISHED).chain(times) {
            assert_eq!(known(name).map(|known| known.name), Some(name));
        }
        for known in KNOWN {
            let name = known.name;
            assert!(EPOCH.contains(&name) || FINISHED.contains(&name) || times.contains(&name));
            assert_eq!(
                name.ends_with("error"),
                known.unit == Unit::Percent,
                "{name}"
            );
            let less = ["error", "loss", "skipped_steps", "train_seconds"];
            let less = less.iter().any(|end| name.ends_with(end));
            assert_eq!(less, known.goal == Some(Goal::Minimize), "{name}");
        }
        assert_eq!(kind("test_error.cifar10.1"), known(TEST_ERROR));
        assert_eq!(kind("goal.10.epoch"), None);
    }

    #[test]
    fn only_finite_numbers_with_plain_names_get_in() {
        let mut metrics = Metrics::new();
        for name in [
            "test_error.cifar10.1",
            "val/acc",
            "A b",
            "ä",
            &"ä".repeat(128),
        ] {
            assert_eq!(metrics.insert(name, 3.5), Ok(()), "{name}");
        }
        for name in ["", " a", "a\n", "a\0", "a\u{202e}", &"a".repeat(129)] {
            assert_eq!(
                metrics.insert(name, 1.0),
                Err(MetricError::Name),
                "{name:?}"
            );
        }
        assert_eq!(metrics.insert("x", f64::NAN), Err(MetricError::NotFinite));
        for value in [0.5, -0.0, -1.0, 1e17] {
            let refused = metrics.insert("skipped_steps", value);
            assert_eq!(refused, Err(MetricError::NotWhole), "{value}");
        }
        for count in metrics.len()..METRICS_MAX {
            assert_eq!(metrics.insert(&format!("m{count}"), 0.0), Ok(()));
        }
        assert_eq!(metrics.insert("more", 1.0), Err(MetricError::TooMany));
        assert_eq!(metrics.insert("m6", 7.0), Ok(()));
        assert_eq!(metrics.get("m6"), Some(7.0));
        // Those of the protocol always find room.
        for known in KNOWN {
            assert_eq!(metrics.insert(known.name, 1.0), Ok(()));
        }
        assert_eq!(metrics.len(), METRICS_MAX + KNOWN.len());
    }

    #[test]
    fn what_is_wrong_is_left_out_and_told() {
        let read = |value: Value| {
            let (mut metrics, mut told) = (Metrics::new(), Vec::new());
            metrics.read(&value, |name, _| told.push(name.to_owned()));
            (serde_json::to_value(metrics).unwrap(), told)
        };
        assert_eq!(
            read(json!({"a": 1, "b": "x", "c": null, "D ": 2.0})),
            (json!({"a": 1.0}), vec!["D ".into(), "b".into(), "c".into()])
        );
        assert_eq!(read(Value::Null), (json!({}), vec![]));
        assert_eq!(read(json!([1])), (json!({}), vec!["metrics".into()]));
        let metrics: Metrics = serde_json::from_str(r#"{"a":1,"b":null,"c":[2]}"#).unwrap();
        assert_eq!(metrics, Metrics::from([("a", 1.0)]));
    }

    #[test]
    fn the_metric_of_a_job_is_what_its_program_names() {
        assert_eq!(own(&json!({"batch_size": 2})), "test_error");
        assert_eq!(own(&json!({"trainer": {"metric": "val/acc"}})), "val/acc");
        let both = Metrics::from([("test_error", 1.0), ("val/acc", 0.5)]);
        assert_eq!(
            (both.own("val/acc"), both.own("old")),
            (Some(0.5), Some(1.0))
        );
    }

    #[test]
    fn a_path_becomes_a_part_of_a_name() {
        assert_eq!(
            name_part("tensors:/data/My set.st"),
            "tensors__data_my_set.st"
        );
    }

    proptest! {
        /// They behave like a map, whatever the order they come in.
        #[test]
        fn they_are_a_map(pairs in proptest::collection::vec(("[a-c]|lr|test_[a-z]{3,5}", -1e300..1e300_f64), 0..20)) {
            let map: std::collections::BTreeMap<_, _> = pairs.iter().cloned().collect();
            let metrics: Metrics = pairs.into_iter().collect();
            let all: Vec<_> = metrics.iter().map(|(name, value)| (name.to_owned(), value)).collect();
            prop_assert_eq!(&all, &map.into_iter().collect::<Vec<_>>());
            for (name, value) in all {
                prop_assert_eq!(metrics.get(&name), Some(value));
                prop_assert_eq!(metrics.without(&[&name]).len() + 1, metrics.len());
            }
        }
    }
}
