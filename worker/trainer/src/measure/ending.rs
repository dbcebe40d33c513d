//! What is measured once, with the final weights of a training.

use std::path::Path;

use swath_model::outcome::Measurement;
use swath_model::spec::{TestSet, TrainingSpec, unlike};
use tch::Tensor;

use super::record;
use crate::cli::Measures;
use crate::data::Facts;
use crate::dataset::{Dataset, Images};
use crate::evaluate::{self, Score};
use crate::failure::Failure;
use crate::model::{Model, Weights};
use crate::session::Session;
use crate::{output, tensor_file};

/// With more images than this, a measurement reports that it is going on.
const MANY: i64 = 5_000;

/// An extra test set, ready on the device.
pub(crate) struct ExtraSet {
    /// The part of metrics' and tensors' names that stands for it.
    pub(crate) label: String,
    /// Its images.
    pub(crate) images: Images,
}

/// The extra test sets of a spec, loaded before the training: a set that is
/// missing or does not fit must not cost a training.
///
/// # Errors
///
/// [`Failure::Invalid`] with the set and the remedy.
pub(crate) fn extra_sets(
    session: &Session,
    spec: &TrainingSpec,
    facts: &Facts,
) -> Result<Vec<ExtraSet>, Failure> {
    let mut sets = Vec::new();
    for name in &spec.extra_test_sets {
        sets.push(ExtraSet::load(session, name, facts, "extra_test_sets")?);
        let pixels = sets.iter().map(|set: &ExtraSet| set.images.pixels.numel());
        session.room("`extra_test_sets`", pixels.sum())?;
    }
    Ok(sets)
}

impl ExtraSet {
    /// The set of this name; `key` is what names it.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] with the set and the remedy.
    pub(crate) fn load(
        session: &Session,
        name: &str,
        facts: &Facts,
        key: &str,
    ) -> Result<Self, Failure> {
        let failed = |what: String| Failure::Invalid(format!("`{key}`: {what}"));
        let set = TestSet::parse(name).map_err(failed)?;
        let own = [facts.channels, facts.height, facts.width, facts.classes];
        let own = own.map(|size| size as u32);
        if let Some(shape) = set.shape()
            && shape != own
        {
            return Err(failed(unlike(name, shape, own)));
        }
        Ok(Self {
            label: set.label(),
            images: session
                .test_set(&set, facts)
                .map_err(|failure| failure.under(key))?,
        })
    }
}

/// Whether something is measured at the end that takes long or may fail.
pub(crate) fn more_to_measure(extra: &[ExtraSet], asked: &Measures, out: Option<&Path>) -> bool {
    !extra.is_empty() || asked.train_evaluation || (asked.predictions && out.is_some())
}

/// Weights to measure.
pub(crate) struct Ending<'a> {
    pub(crate) dataset: &'a Dataset,
    pub(crate) model: &'a Model,
    pub(crate) weights: &'a Weights,
}

impl Ending<'_> {
    /// Adds to `measured` the metrics of each extra set and, if requested,
    /// those of the whole unaugmented training set; writes the predictions for
    /// all test sets to the directory `out`.
    ///
    /// # Errors
    ///
    /// [`Failure::Stopped`] where SIGTERM comes, [`Failure::Crashed`] where the
    /// file cannot be written.
    pub(crate) fn measure(
        &self,
        measured: &mut Measurement,
        extra: &[ExtraSet],
        asked: &Measures,
        out: Option<&Path>,
    ) -> Result<(), Failure> {
        let predictions = out.filter(|_| asked.predictions);
        let metrics = &mut measured.values;
        let mut tensors = Vec::new();
        if predictions.is_some() {
            let logits = self.logits(&self.dataset.test, "the test set")?;
            tensors.extend(predicted("test", logits, &self.dataset.test.labels));
        }
        for set in extra {
            let label = &set.label;
            let logits = self.logits(&set.images, label)?;
            let Score { loss, error } = evaluate::score_of(&logits, &set.images.labels);
            record(metrics, &format!("test_error.{label}"), error);
            record(metrics, &format!("test_loss.{label}"), loss);
            let count = set.images.count() as f64;
            record(metrics, &format!("test_images.{label}"), count);
            if predictions.is_some() {
                tensors.extend(predicted(label, logits, &set.images.labels));
            }
        }
        if asked.train_evaluation {
            let train = &self.dataset.train;
            let logits = self.logits(train, "the training set")?;
            let Score { loss, error } = evaluate::score_of(&logits, &train.labels);
            record(metrics, "train_error.evaluation", error);
            record(metrics, "train_loss.evaluation", loss);
        }
        match predictions {
            Some(out) => tensor_file::write(&out.join("predictions.safetensors"), &tensors),
            None => Ok(()),
        }
    }

    fn logits(&self, set: &Images, name: &str) -> Result<Tensor, Failure> {
        if set.count() > MANY {
            let count = set.count();
            output::message(&format!("measuring {name}: {count} images"));
        }
        let normalizer = &self.dataset.normalizer;
        evaluate::logits_of(self.model, self.weights, set, normalizer)
    }
}

/// A model's outputs for each image of a set, as named tensors.
pub(crate) fn predicted(set: &str, logits: Tensor, labels: &Tensor) -> [(String, Tensor); 3] {
    let class = logits.argmax(1, false);
    [
        (format!("{set}/logits"), logits),
        (format!("{set}/labels"), labels.shallow_clone()),
        (format!("{set}/predicted"), class),
    ]
}
