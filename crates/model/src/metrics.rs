//! Named numbers that a training measured in addition to the fields of its
//! protocol.

use std::collections::BTreeMap;
use std::collections::btree_map;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// The most metrics of one training.
pub const METRICS_MAX: usize = 64;

/// The longest name of a metric, in bytes.
pub const NAME_BYTES: usize = 64;

/// Finite numbers by name, at most [`METRICS_MAX`]. No other number can get in.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Metrics {
    by_name: BTreeMap<String, f64>,
}

/// Why a metric is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetricError {
    /// The name is not allowed.
    #[error("its name must be 1 to {NAME_BYTES} of the characters a-z, 0-9, `_` and `.`")]
    Name,
    /// The value is not finite.
    #[error("it is not a finite number")]
    NotFinite,
    /// There are as many as allowed already.
    #[error("a training has at most {METRICS_MAX} metrics")]
    TooMany,
}

impl Metrics {
    /// No metrics.
    pub const fn new() -> Self {
        Self {
            by_name: BTreeMap::new(),
        }
    }

    /// Adds a metric, or replaces the one of this name.
    ///
    /// # Errors
    ///
    /// When the name or the value is not allowed, or there are too many
    /// metrics.
    pub fn insert(&mut self, name: &str, value: f64) -> Result<(), MetricError> {
        if !is_name(name) {
            return Err(MetricError::Name);
        }
        let value = swath_stats::finite(value).map_err(|_| MetricError::NotFinite)?;
        if self.by_name.len() >= METRICS_MAX && !self.by_name.contains_key(name) {
            return Err(MetricError::TooMany);
        }
        self.by_name.insert(name.to_owned(), value);
        Ok(())
    }

    /// The metric of this name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.by_name.get(name).copied()
    }

    /// Removes the metric of this name and returns it.
    pub fn remove(&mut self, name: &str) -> Option<f64> {
        self.by_name.remove(name)
    }

    /// All metrics, in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, f64)> {
        let all = self.by_name.iter();
        all.map(|(name, value)| (name.as_str(), *value))
    }

    /// How many metrics there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are no metrics.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The metrics of `pairs` that may be recorded; `dropped` is called with
    /// the others.
    pub fn collect<N: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, f64)>,
        mut dropped: impl FnMut(&str, MetricError),
    ) -> Self {
        let mut metrics = Self::new();
        for (name, value) in pairs {
            if let Err(error) = metrics.insert(name.as_ref(), value) {
                dropped(name.as_ref(), error);
            }
        }
        metrics
    }

    /// The metrics of a JSON object. A value that is not a number counts as one
    /// that is not finite, and so does `value` itself if it is absent or no
    /// object.
    pub fn read(value: &Value, mut dropped: impl FnMut(&str, MetricError)) -> Self {
        match value {
            Value::Object(object) => {
                let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
                let pairs = object.iter().map(|(name, value)| (name, number(value)));
                Self::collect(pairs, dropped)
            }
            Value::Null => Self::new(),
            _ => {
                dropped("metrics", MetricError::NotFinite);
                Self::new()
            }
        }
    }
}

impl IntoIterator for Metrics {
    type Item = (String, f64);
    type IntoIter = btree_map::IntoIter<String, f64>;

    fn into_iter(self) -> Self::IntoIter {
        self.by_name.into_iter()
    }
}

/// Reads what may be recorded and leaves out the rest: a wrong metric must not
/// cost the training that sent it.
impl<'de> Deserialize<'de> for Metrics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(Self::read(&value, |_, _| {}))
    }
}

/// Whether a metric may have this name.
pub fn is_name(name: &str) -> bool {
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.');
    (1..=NAME_BYTES).contains(&name.len()) && name.bytes().all(fits)
}

/// `text` as a part of a metric's name: what a name may not hold becomes `_`.
pub fn name_part(text: &str) -> String {
    let fits = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '.';
    let lower = text.chars().map(|char| char.to_ascii_lowercase());
    lower
        .map(|char| if fits(char) { char } else { '_' })
        .collect()
}

/// A number that may be absent; a value that is not a number counts as absent.
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

    #[test]
    fn only_finite_numbers_with_plain_names_get_in() {
        let mut metrics = Metrics::new();
        assert_eq!(metrics.insert("test_error.cifar10.1", 3.5), Ok(()));
        for name in ["", "A", "a b", "a/b", "ä", &"a".repeat(65)] {
            assert_eq!(metrics.insert(name, 1.0), Err(MetricError::Name), "{name}");
        }
        assert_eq!(metrics.insert("x", f64::NAN), Err(MetricError::NotFinite));
        for count in metrics.len()..METRICS_MAX {
            assert_eq!(metrics.insert(&format!("m{count}"), 0.0), Ok(()));
        }
        assert_eq!(metrics.insert("more", 1.0), Err(MetricError::TooMany));
        assert_eq!(metrics.insert("m1", 7.0), Ok(()));
        assert_eq!(metrics.get("m1"), Some(7.0));
        assert_eq!(metrics.len(), METRICS_MAX);
    }

    #[test]
    fn what_is_wrong_is_left_out_and_told() {
        let read = |value: Value| {
            let mut told = Vec::new();
            let metrics = Metrics::read(&value, |name, _| told.push(name.to_owned()));
            (serde_json::to_value(metrics).unwrap(), told)
        };
        assert_eq!(
            read(json!({"a": 1, "b": "x", "c": null, "D": 2.0})),
            (json!({"a": 1.0}), vec!["D".into(), "b".into(), "c".into()])
        );
        assert_eq!(read(Value::Null), (json!({}), vec![]));
        assert_eq!(read(json!([1])), (json!({}), vec!["metrics".into()]));
        let metrics: Metrics = serde_json::from_str(r#"{"a":1,"b":null}"#).unwrap();
        assert_eq!(metrics.iter().collect::<Vec<_>>(), [("a", 1.0)]);
    }

    #[test]
    fn a_path_becomes_a_part_of_a_name() {
        assert_eq!(
            name_part("tensors:/data/My set.st"),
            "tensors__data_my_set.st"
        );
    }

    proptest! {
        #[test]
        fn json_gives_them_back(pairs in proptest::collection::btree_map("[a-z0-9_.]{1,64}", -1e300..1e300_f64, 0..9)) {
            let metrics = Metrics::collect(pairs, |_, _| panic!("dropped"));
            let text = serde_json::to_string(&metrics).unwrap();
            prop_assert_eq!(serde_json::from_str::<Metrics>(&text).unwrap(), metrics);
        }
    }
}
