//! Measuring a model on a test set, in evaluation mode.

use serde_json::{Map, Value, json};
use swath_stats::clopper_pearson;
use tch::{Kind, Tensor, no_grad};

use crate::dataset::{Images, Normalizer};
use crate::failure::Failure;
use crate::model::{Model, Pass, Weights};
use crate::process;

/// Images per batch. Larger batches are no faster, because their activations do
/// not fit into the caches.
const BATCH: i64 = 500;

/// The score of weights on a test set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Score {
    /// Mean cross-entropy.
    pub(crate) loss: f64,
    /// Wrongly classified images in percent.
    pub(crate) error: f64,
}

/// Logits (N×classes) of normalized images.
pub(crate) fn logits(model: &Model, weights: &Weights, images: &Tensor) -> Result<Tensor, Failure> {
    let count = images.size()[0];
    batches(count, |start, length| {
        model.forward(weights, &images.narrow(0, start, length), Pass::Evaluation)
    })
}

/// Logits (N×classes) of a split.
///
/// # Errors
///
/// [`Failure::Stopped`] where SIGTERM comes.
pub(crate) fn logits_of(
    model: &Model,
    weights: &Weights,
    set: &Images,
    normalizer: &Normalizer,
) -> Result<Tensor, Failure> {
    batches(set.count(), |start, length| {
        let images = normalizer.images(&set.pixels.narrow(0, start, length));
        model.forward(weights, &images, Pass::Evaluation)
    })
}

/// The score of weights on a split.
///
/// # Errors
///
/// [`Failure::Stopped`] where SIGTERM comes.
pub(crate) fn score(
    model: &Model,
    weights: &Weights,
    set: &Images,
    normalizer: &Normalizer,
) -> Result<Score, Failure> {
    let logits = logits_of(model, weights, set, normalizer)?;
    Ok(score_of(&logits, &set.labels))
}

/// The score of logits.
pub(crate) fn score_of(logits: &Tensor, labels: &Tensor) -> Score {
    let wrong = logits.argmax(1, false).ne_tensor(labels).sum(Kind::Int64);
    Score {
        loss: logits.cross_entropy_for_logits(labels).double_value(&[]),
        error: 100.0 * wrong.double_value(&[]) / labels.size()[0] as f64,
    }
}

/// Rows: the class; columns: the class that was predicted; entries: images.
pub(crate) fn confusion(logits: &Tensor, labels: &Tensor, classes: i64) -> Vec<Vec<i64>> {
    let cells = labels * classes + logits.argmax(1, false);
    let counts = cells.bincount::<&Tensor>(None, classes * classes);
    (0..classes)
        .map(|class| {
            (0..classes)
                .map(|predicted| counts.int64_value(&[class * classes + predicted]))
                .collect()
        })
        .collect()
}

/// A report on logits: error in percent with its interval of 95 % confidence,
/// loss, images, confusion, error per class.
pub(crate) fn report(logits: &Tensor, labels: &Tensor, classes: i64) -> Map<String, Value> {
    let Score { loss, error } = score_of(logits, labels);
    let confusion = confusion(logits, labels, classes);
    let images: i64 = confusion.iter().flatten().sum();
    let rows = || confusion.iter().enumerate();
    let right: i64 = rows().map(|(class, row)| row[class]).sum();
    let interval = clopper_pearson((images - right) as u64, images as u64, CONFIDENCE);
    // A class without images has no error: null.
    let per_class: Vec<Option<f64>> = rows()
        .map(|(class, row)| {
            let images: i64 = row.iter().sum();
            let wrong = images - row[class];
            (images > 0).then(|| 100.0 * wrong as f64 / images as f64)
        })
        .collect();
    let fields = [
        ("error", json!(error)),
        (
            "interval",
            json!(interval.map(|ends| ends.map(|end| 100.0 * end))),
        ),
        ("loss", json!(loss)),
        ("images", json!(images)),
        ("per_class_error", json!(per_class)),
        ("confusion", json!(confusion)),
    ];
    fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// The confidence of an error's interval.
const CONFIDENCE: f64 = 0.95;

fn batches(count: i64, mut logits: impl FnMut(i64, i64) -> Tensor) -> Result<Tensor, Failure> {
    no_grad(|| {
        let mut parts = Vec::new();
        for start in (0..count).step_by(BATCH as usize) {
            if process::stop_requested() {
                return Err(Failure::Stopped);
            }
            let logits = logits(start, BATCH.min(count - start));
            parts.push(logits.to_kind(Kind::Float));
        }
        Ok(Tensor::cat(&parts, 0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_and_confusion_count_images() {
        let logits = Tensor::from_slice(&[2.0_f32, 0.0, 0.0, 2.0, 0.0, 2.0]).view([3, 2]);
        let labels = Tensor::from_slice(&[0_i64, 1, 0]);
        let score = score_of(&logits, &labels);
        assert!((score.error - 100.0 / 3.0).abs() < 1e-9);
        let right = (1.0 + (-2.0_f64).exp()).ln();
        let wrong = (1.0 + 2.0_f64.exp()).ln();
        assert!((score.loss - (2.0 * right + wrong) / 3.0).abs() < 1e-6);
        assert_eq!(confusion(&logits, &labels, 2), [[1, 1], [0, 1]]);
    }
}
