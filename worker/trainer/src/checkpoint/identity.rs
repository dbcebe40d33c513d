//! Which training a checkpoint belongs to.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use swath_model::spec::{JobSpec, RECIPE_VERSION};
use tch::Device;

use crate::provenance;

/// How many differences of specs a message lists.
const LISTED_MAX: usize = 6;

/// Everything that decides the bytes of a training. A training continues from a
/// checkpoint only if everything but the processor is equal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Digest of the job: of its spec, seed and recipe.
    pub(crate) job: String,
    /// The spec with every default and the seed, to say what differs.
    pub(crate) spec: Value,
    /// The recipe.
    pub(crate) recipe: u32,
    /// Version and digest of the program.
    pub(crate) trainer: String,
    /// Version of libtorch.
    pub(crate) libtorch: String,
    /// `cpu` or `cuda`.
    pub(crate) device: String,
    /// Threads; 0 where they do not affect the bytes.
    pub(crate) threads: u32,
    /// Digest of the data, where the spec does not determine them.
    pub(crate) data: Option<String>,
    /// Model of the CPU or GPU. Another one may round differently; that is
    /// reported, but not refused.
    pub(crate) processor: String,
}

impl Identity {
    /// The identity of `job` in this process.
    pub(crate) fn of(job: &JobSpec, device: Device, data: Option<String>) -> Self {
        let provenance = provenance::of(device);
        let on_cpu = device == Device::Cpu;
        Self {
            job: job.job_digest().to_string(),
            spec: serde_json::from_str(&job.job_text()).unwrap_or_default(),
            recipe: RECIPE_VERSION,
            trainer: provenance.trainer,
            libtorch: provenance.libtorch,
            device: if on_cpu { "cpu" } else { "cuda" }.to_owned(),
            threads: if on_cpu { provenance.threads } else { 0 },
            data,
            processor: provenance.device,
        }
    }

    /// The reasons why a training of this identity cannot continue from a
    /// checkpoint of `saved`; empty if it can.
    pub(crate) fn differences(&self, saved: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.job != saved.job {
            compare("", &saved.spec, &self.spec, &mut found);
            if found.len() > LISTED_MAX {
                let more = found.len() - LISTED_MAX;
                found.truncate(LISTED_MAX);
                found.push(format!("{more} more keys of the spec differ"));
            }
        }
        let mut check = |what: &str, saved: &str, own: &str| {
            if saved != own {
                found.push(format!("{what} is {saved} there and {own} here"));
            }
        };
        let data = |identity: &Self| identity.data.clone().unwrap_or_default();
        check(
            "the recipe",
            &saved.recipe.to_string(),
            &self.recipe.to_string(),
        );
        check("the trainer", &saved.trainer, &self.trainer);
        check("libtorch", &saved.libtorch, &self.libtorch);
        check("the device", &saved.device, &self.device);
        check(
            "the number of threads",
            &saved.threads.to_string(),
            &self.threads.to_string(),
        );
        check("the digest of the data", &data(saved), &data(self));
        if found.is_empty() && self.job != saved.job {
            found.push("the digest of the job differs".to_owned());
        }
        found
    }
}

/// The leaves in which two trees differ.
fn compare(path: &str, saved: &Value, own: &Value, found: &mut Vec<String>) {
    match (saved, own) {
        (Value::Object(left), Value::Object(right)) => {
            let more = right.keys().filter(|key| !left.contains_key(*key));
            for key in left.keys().chain(more) {
                let absent = Value::Null;
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                let side = |tree: &serde_json::Map<String, Value>| tree.get(key).cloned();
                let (left, right) = (side(left), side(right));
                let (left, right) = (left.unwrap_or_default(), right.unwrap_or(absent));
                compare(&path, &left, &right, found);
            }
        }
        (saved, own) if saved != own => {
            let text = |value: &Value| match value {
                Value::Null => "not set".to_owned(),
                value => value.to_string(),
            };
            found.push(format!(
                "`{path}` is {} there and {} here",
                text(saved),
                text(own)
            ));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn identity(extra: &Value) -> Identity {
        let mut tree = json!({
            "dataset": {"name": "digits"}, "model": {"name": "resnet_preact", "depth": 8},
            "batch_size": 32, "epochs": 1, "optimizer": {"lr": 0.1}, "seed": 3,
        });
        for (key, value) in extra.as_object().unwrap() {
            tree[key] = value.clone();
        }
        let job = JobSpec::from_value(&tree).unwrap();
        Identity::of(&job, Device::Cpu, None)
    }

    #[test]
    fn differences_name_the_keys() {
        let own = identity(&json!({}));
        assert!(own.differences(&own).is_empty());
        let other = identity(&json!({
            "seed": 4, "augmentation": {"horizontal_flip": true}, "optimizer": {"lr": 0.2},
        }));
        let mut found = own.differences(&other);
        found.sort_unstable();
        assert_eq!(
            found,
            [
                "`augmentation.horizontal_flip` is true there and not set here",
                "`optimizer.lr` is 0.2 there and 0.1 here",
                "`seed` is 4 there and 3 here",
            ]
        );
    }

    #[test]
    fn everything_that_decides_bytes_is_compared() {
        let own = identity(&json!({}));
        type Change = fn(&mut Identity);
        let changes: [(&str, Change); 7] = [
            ("job", |other| other.job.push('0')),
            ("recipe", |other| other.recipe += 1),
            ("trainer", |other| other.trainer.push('x')),
            ("libtorch", |other| other.libtorch = "2.12.0".to_owned()),
            ("device", |other| other.device = "cuda".to_owned()),
            ("threads", |other| other.threads += 1),
            ("data", |other| other.data = Some("ff".to_owned())),
        ];
        for (part, change) in changes {
            let mut other = own.clone();
            change(&mut other);
            let found = own.differences(&other);
            assert_eq!(found.len(), 1, "{part}");
            assert!(found[0].contains(part), "{found:?}");
        }
        let mut elsewhere = own.clone();
        elsewhere.processor = "another".to_owned();
        assert!(own.differences(&elsewhere).is_empty());
    }
}
