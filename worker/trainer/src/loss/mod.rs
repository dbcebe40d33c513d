//! What a batch should be classified as, and the loss that measures the
//! distance from it.
//!
//! Losses are computed in f32 whatever the kind of the logits: in half
//! precision a cross-entropy would lose what it should measure.

use swath_model::spec::Loss as Options;
use tch::{Kind, Tensor};

/// The target of a batch.
pub(crate) enum Target {
    /// One class per image: N, i64.
    Labels(Tensor),
    /// Several classes per image, each with its share: mixup, RICAP, CutMix.
    Mixed(Vec<Share>),
    /// One class per image, of which the batch has two views.
    Twice {
        /// The class of each image: N, i64.
        labels: Tensor,
        /// Weight of the mean squared difference between the two logits.
        consistency: f64,
    },
}

/// What each image of a batch got from one other image.
pub(crate) struct Share {
    /// Classes of those images: N, i64.
    pub(crate) labels: Tensor,
    /// How much of each image they make up; those of a batch sum to 1.
    pub(crate) weight: f64,
}

impl Target {
    /// Mean loss of the `logits` (N×classes) of each view of the batch: a
    /// scalar of floats that gradients flow through.
    ///
    /// It is a mean over images, so the mean of the losses of equal chunks of
    /// a batch is the loss of the batch.
    pub(crate) fn loss(&self, logits: &[Tensor], options: &Options) -> Tensor {
        match self {
            Self::Labels(labels) => cross_entropy(&logits[0], labels, options.label_smoothing),
            Self::Mixed(shares) => {
                let log = logits[0].log_softmax(-1, Kind::Float);
                total(shares, |labels| log.nll_loss(labels))
            }
            Self::Twice {
                labels,
                consistency,
            } => {
                let entropies = logits
                    .iter()
                    .map(|logits| cross_entropy(logits, labels, 0.0));
                let mean = entropies.sum::<Tensor>() / logits.len() as f64;
                let [first, second] = [&logits[0], &logits[1]].map(floats);
                mean + first.mse_loss(&second, tch::Reduction::Mean) * *consistency
            }
        }
    }

    /// Wrongly classified images: a scalar of doubles on the device. Each share
    /// of a mixed image counts by its weight; for two views the mean of their
    /// logits decides.
    pub(crate) fn wrong(&self, logits: &[Tensor]) -> Tensor {
        let missed = |predicted: &Tensor, labels: &Tensor| {
            let wrong = predicted.ne_tensor(labels);
            wrong.sum(Kind::Double)
        };
        match self {
            Self::Labels(labels) => missed(&logits[0].argmax(1, false), labels),
            Self::Mixed(shares) => {
                let predicted = logits[0].argmax(1, false);
                total(shares, |labels| missed(&predicted, labels))
            }
            Self::Twice { labels, .. } => {
                let sum = logits.iter().map(floats).sum::<Tensor>();
                missed(&sum.argmax(1, false), labels)
            }
        }
    }

    /// The target of the images `start..start + count`.
    pub(crate) fn chunk(&self, start: i64, count: i64) -> Self {
        match self {
            Self::Labels(labels) => Self::Labels(labels.narrow(0, start, count)),
            Self::Mixed(shares) => Self::Mixed(
                shares
                    .iter()
                    .map(|share| Share {
                        labels: share.labels.narrow(0, start, count),
                        weight: share.weight,
                    })
                    .collect(),
            ),
            Self::Twice {
                labels,
                consistency,
            } => Self::Twice {
                labels: labels.narrow(0, start, count),
                consistency: *consistency,
            },
        }
    }
}

/// `of` applied to each share's labels, weighted and summed.
fn total(shares: &[Share], of: impl Fn(&Tensor) -> Tensor) -> Tensor {
    let parts = shares.iter().map(|share| of(&share.labels) * share.weight);
    parts.sum()
}

/// Mean cross-entropy to the target `(1 - smoothing) * one-hot + smoothing /
/// classes` (Szegedy et al. 2016): a scalar of floats.
fn cross_entropy(logits: &Tensor, labels: &Tensor, smoothing: f64) -> Tensor {
    let log = logits.log_softmax(-1, Kind::Float);
    let own = log.nll_loss(labels);
    if smoothing == 0.0 {
        return own;
    }
    // The mean over images and classes is the cross-entropy to the even
    // distribution.
    let even = -log.mean(Kind::Float);
    own * (1.0 - smoothing) + even * smoothing
}

fn floats(logits: &Tensor) -> Tensor {
    logits.to_kind(Kind::Float)
}

#[cfg(test)]
mod tests;
