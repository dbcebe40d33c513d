//! The spec of the built-in training core, every default filled in.

use serde::{Deserialize, Serialize};

use super::{Augmentation, BatchStep, Model, Optimizer, Schedule, Warmup};

/// What one training computes. Every number is in the unit its name says:
/// batches in images, budgets in epochs or optimizer steps, rates per step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingSpec {
    /// The data set to train on.
    pub dataset: Dataset,
    /// The architecture.
    pub model: Model,
    /// Images per optimizer step.
    pub batch_size: u32,
    /// Images per chunk of BN statistics; absent: the whole batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ghost_batch_size: Option<u32>,
    /// Micro-batches per optimizer step; absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accumulation_steps: Option<u32>,
    /// The budget in epochs; exactly one of `epochs` and `steps` is present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u32>,
    /// The budget in optimizer steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// How the learning rate moves.
    #[serde(default)]
    pub schedule: Schedule,
    /// How the learning rate starts; absent: at the schedule's own rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup: Option<Warmup>,
    /// Batch sizes from given epochs on, in ascending order of epoch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub batch_schedule: Vec<BatchStep>,
    /// What is done to the training images.
    #[serde(default)]
    pub augmentation: Augmentation,
    /// The loss.
    #[serde(default)]
    pub loss: Loss,
    /// How the weights start.
    #[serde(default)]
    pub init: Init,
    /// Number format of the training.
    #[serde(default)]
    pub precision: Precision,
    /// The greatest norm of the gradient; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_clip_norm: Option<f64>,
    /// Whether each epoch has a new order of the images.
    #[serde(default = "yes")]
    pub shuffle: bool,
    /// Whether the last, partial batch of an epoch is dropped.
    #[serde(default = "yes")]
    pub drop_last: bool,
    /// Further test sets, evaluated at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_test_sets: Vec<String>,
    /// Whether this is a probe, which measures steps instead of training: see
    /// [`crate::probe`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub probe: bool,
    /// The seed from which everything random derives.
    #[serde(default)]
    pub seed: u64,
}

/// A data set; images are u8, channels first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Dataset {
    /// CIFAR-10: 50,000 + 10,000 images of 3×32×32 in 10 classes.
    Cifar10,
    /// CIFAR-100: as CIFAR-10, in 100 classes.
    Cifar100,
    /// MNIST: 60,000 + 10,000 images of 1×28×28 in 10 classes.
    Mnist,
    /// Fashion-MNIST: as MNIST.
    FashionMnist,
    /// Kuzushiji-MNIST: as MNIST.
    Kmnist,
    /// UCI optical digits: 1,347 + 450 images of 1×8×8 in 10 classes.
    Digits,
    /// A safetensors file with `train_images`, `train_labels`, `test_images`,
    /// `test_labels`.
    Tensors(OwnData),
    /// A directory with `train/<class>` and `test/<class>`, directories of
    /// images.
    Folder(OwnData),
}

impl Dataset {
    /// Channels, height, width and classes, where the name determines them.
    pub const fn shape(&self) -> Option<[u32; 4]> {
        match self {
            Self::Cifar10 => Some([3, 32, 32, 10]),
            Self::Cifar100 => Some([3, 32, 32, 100]),
            Self::Mnist | Self::FashionMnist | Self::Kmnist => Some([1, 28, 28, 10]),
            Self::Digits => Some([1, 8, 8, 10]),
            Self::Tensors(_) | Self::Folder(_) => None,
        }
    }

    /// Images of the training set, where the name determines how many there
    /// are.
    pub const fn train_images(&self) -> Option<u32> {
        match self {
            Self::Cifar10 | Self::Cifar100 => Some(50_000),
            Self::Mnist | Self::FashionMnist | Self::Kmnist => Some(60_000),
            Self::Digits => Some(1347),
            Self::Tensors(_) | Self::Folder(_) => None,
        }
    }

    /// Images of the test set, where the name determines how many there are.
    pub const fn test_images(&self) -> Option<u32> {
        match self {
            Self::Cifar10 | Self::Cifar100 | Self::Mnist | Self::FashionMnist | Self::Kmnist => {
                Some(10_000)
            }
            Self::Digits => Some(450),
            Self::Tensors(_) | Self::Folder(_) => None,
        }
    }
}

/// A data set of the user's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnData {
    /// Where it lies.
    pub path: String,
    /// Mean per channel of pixels in 0..1; absent: 0, or for a folder that of
    /// its training images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mean: Vec<f64>,
    /// Standard deviation per channel of pixels in 0..1; absent: 1, or for a
    /// folder that of its training images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub std: Vec<f64>,
    /// The size to which a folder's images are cropped and resized; absent: all
    /// have one size already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Channels of a folder's images, 1 or 3; absent: 1 if all are grey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<u32>,
}

/// The size of an image in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Size {
    /// As high as wide.
    Square(u32),
    /// Height and width.
    Rectangle([u32; 2]),
}

impl Size {
    /// Rows of an image.
    pub const fn height(self) -> u32 {
        match self {
            Self::Square(side) | Self::Rectangle([side, _]) => side,
        }
    }

    /// Columns of an image.
    pub const fn width(self) -> u32 {
        match self {
            Self::Square(side) | Self::Rectangle([_, side]) => side,
        }
    }
}

/// The loss: cross-entropy, averaged over the batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// The target is `(1 - e) * one-hot + e / classes`.
    #[serde(default)]
    pub label_smoothing: f64,
}

/// How weights start. Shifts of BN and biases of convolutions start at 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Init {
    /// Convolution weights.
    #[serde(default)]
    pub conv: ConvInit,
    /// Classifier weights.
    #[serde(default)]
    pub linear: LinearInit,
    /// Gammas of BN; absent from the canonical form where they start at 1, so
    /// that specs from before this option keep their digests.
    #[serde(default, skip_serializing_if = "BnInit::is_ones")]
    pub bn: BnInit,
    /// Whether the last BN gamma of each residual block starts at 0, whatever
    /// `bn` says.
    #[serde(default)]
    pub zero_gamma: bool,
}

/// Kaiming normal (He et al. 2015), gain sqrt(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConvInit {
    /// Over outgoing connections.
    #[default]
    KaimingFanOut,
    /// Over incoming connections.
    KaimingFanIn,
}

/// How the classifier starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinearInit {
    /// U(±1/sqrt(fan in)) for weights and bias, PyTorch's default.
    #[default]
    Framework,
    /// Kaiming normal over outgoing connections, bias 0.
    KaimingFanOut,
    /// Kaiming normal over incoming connections, bias 0.
    KaimingFanIn,
    /// N(0, 0.01²), bias 0 (Goyal et al. 2017).
    Normal,
}

/// How the gammas of BN start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BnInit {
    /// All at 1.
    #[default]
    Ones,
    /// U(0, 1).
    Uniform,
}

impl BnInit {
    /// serde requires a reference here.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature that serde calls"
    )]
    fn is_ones(&self) -> bool {
        *self == Self::Ones
    }
}

/// Number format of the training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Single precision.
    #[default]
    Fp32,
    /// bfloat16 autocast.
    Bf16,
    /// Half-precision autocast with dynamic loss scaling.
    Fp16,
    /// Weights, activations, gradients and updates in half precision; the
    /// parameters and statistics of BN stay in single precision.
    Fp16Pure,
}

fn yes() -> bool {
    true
}

impl TrainingSpec {
    /// The paths of the user's own files and directories that a worker reads for
    /// it.
    pub fn data_paths(&self) -> Vec<String> {
        let own = match &self.dataset {
            Dataset::Tensors(own) | Dataset::Folder(own) => Some(own.path.clone()),
            _ => None,
        };
        let sets = self.extra_test_sets.iter();
        let sets = sets.filter_map(|name| match super::TestSet::parse(name) {
            Ok(super::TestSet::Tensors(path)) => Some(path),
            _ => None,
        });
        own.into_iter().chain(sets).collect()
    }
}
