//! What a batch should be classified as, and the loss that says how far it is.

use swath_core::spec::Loss as Options;
use tch::{Kind, Tensor};

/// The target of a batch.
pub(crate) enum Target {
    /// One class per image: N, i64.
    Labels(Tensor),
}

impl Target {
    /// Mean loss of the `logits` (N×classes) of each view of the batch: a
    /// scalar that gradients flow through.
    pub(crate) fn loss(&self, logits: &[Tensor], _options: &Options) -> Tensor {
        match self {
            Self::Labels(labels) => logits[0].cross_entropy_for_logits(labels),
        }
    }

    /// Wrongly classified images: a scalar of doubles on the device.
    pub(crate) fn wrong(&self, logits: &[Tensor]) -> Tensor {
        match self {
            Self::Labels(labels) => {
                let wrong = logits[0].argmax(1, false).ne_tensor(labels);
                wrong.sum(Kind::Double)
            }
        }
    }
}
