//! The spec of the built-in training core, every default filled in.

use serde::{Deserialize, Serialize};

/// What one training computes. Every number is in the unit its name says:
/// batches in images, budgets in epochs or optimizer steps, rates per step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingSpec {
    /// What is trained on.
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
    /// How it starts; absent: at the schedule's own rate.
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
    /// How weights start.
    #[serde(default)]
    pub init: Init,
    /// Number format of the training.
    #[serde(default)]
    pub precision: Precision,
    /// Limit of the gradient's norm; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_clip_norm: Option<f64>,
    /// A new order of the images in each epoch.
    #[serde(default = "yes")]
    pub shuffle: bool,
    /// Drop the last, partial batch of an epoch.
    #[serde(default = "yes")]
    pub drop_last: bool,
    /// Further test sets, evaluated at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_test_sets: Vec<String>,
    /// Everything random derives from it.
    #[serde(default)]
    pub seed: u64,
}

fn yes() -> bool {
    true
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
    /// Directories `train/<class>` and `test/<class>` of images.
    Folder(OwnData),
}

/// A data set of the user's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnData {
    /// Where it lies.
    pub path: String,
    /// Mean per channel of pixels in 0..1; absent: 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mean: Vec<f64>,
    /// Standard deviation per channel of pixels in 0..1; absent: 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub std: Vec<f64>,
}

/// An architecture with its options. CIFAR-type: three stages and a global
/// average pool, for square images of any size from 8 on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Model {
    /// ResNet, post-activation.
    Resnet(Resnet),
    /// ResNet, pre-activation.
    ResnetPreact(ResnetPreact),
    /// ResNet-preact with squeeze and excitation.
    SeResnetPreact(SeResnetPreact),
    /// Wide residual network.
    Wrn(Wrn),
    /// DenseNet.
    Densenet(Densenet),
    /// PyramidNet.
    Pyramidnet(Pyramidnet),
    /// ResNeXt.
    Resnext(Resnext),
    /// Shake-shake regularized network.
    ShakeShake(ShakeShake),
    /// VGG with batch normalization.
    Vgg(Vgg),
}

/// The kind of a residual or dense block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockType {
    /// Two 3×3 convolutions.
    #[default]
    Basic,
    /// 1×1, 3×3, 1×1.
    Bottleneck,
}

/// Options of [`Model::Resnet`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resnet {
    /// 6n+2 basic, 9n+2 bottleneck.
    pub depth: u32,
    /// Channels after the stem.
    #[serde(default = "sixteen")]
    pub initial_channels: u32,
    /// The block.
    #[serde(default)]
    pub block_type: BlockType,
}

/// Options of [`Model::ResnetPreact`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResnetPreact {
    /// 6n+2 basic, 9n+2 bottleneck.
    pub depth: u32,
    /// Channels after the stem.
    #[serde(default = "sixteen")]
    pub initial_channels: u32,
    /// The block.
    #[serde(default)]
    pub block_type: BlockType,
    /// Drop the first ReLU of each block (kept where the block is in preact
    /// mode).
    #[serde(default)]
    pub remove_first_relu: bool,
    /// Append a BN after the last convolution of each block.
    #[serde(default)]
    pub add_last_bn: bool,
    /// Per stage: whether its first block feeds the shortcut from the
    /// activated tensor too.
    #[serde(default = "all_stages")]
    pub preact_stage: [bool; 3],
}

/// Options of [`Model::SeResnetPreact`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeResnetPreact {
    /// 6n+2 basic, 9n+2 bottleneck.
    pub depth: u32,
    /// Channels after the stem.
    #[serde(default = "sixteen")]
    pub initial_channels: u32,
    /// Channels over hidden units of the gate.
    #[serde(default = "sixteen")]
    pub se_reduction: u32,
    /// The block.
    #[serde(default)]
    pub block_type: BlockType,
    /// Drop the first ReLU of each block.
    #[serde(default)]
    pub remove_first_relu: bool,
    /// Append a BN after the last convolution of each block.
    #[serde(default)]
    pub add_last_bn: bool,
    /// Per stage: whether its first block feeds the shortcut from the
    /// activated tensor too.
    #[serde(default = "all_stages")]
    pub preact_stage: [bool; 3],
}

/// Options of [`Model::Wrn`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wrn {
    /// 6n+4.
    pub depth: u32,
    /// Channels after the stem.
    #[serde(default = "sixteen")]
    pub initial_channels: u32,
    /// Width over that of a ResNet.
    pub widening_factor: u32,
    /// Dropout between the convolutions of a block.
    #[serde(default)]
    pub drop_rate: f64,
}

/// Options of [`Model::Densenet`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Densenet {
    /// 3n+4 basic, 6n+4 bottleneck.
    pub depth: u32,
    /// The block.
    #[serde(default = "bottleneck")]
    pub block_type: BlockType,
    /// Channels that a layer adds.
    #[serde(default = "twelve")]
    pub growth_rate: u32,
    /// Dropout after each convolution.
    #[serde(default)]
    pub drop_rate: f64,
    /// Share of the channels that a transition keeps.
    #[serde(default = "half")]
    pub compression_rate: f64,
}

/// Options of [`Model::Pyramidnet`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pyramidnet {
    /// 6n+2 basic, 9n+2 bottleneck.
    pub depth: u32,
    /// Channels after the stem.
    #[serde(default = "sixteen")]
    pub initial_channels: u32,
    /// The block.
    #[serde(default = "bottleneck")]
    pub block_type: BlockType,
    /// Channels added from the first to the last block.
    pub alpha: u32,
}

/// Options of [`Model::Resnext`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resnext {
    /// 9n+2.
    pub depth: u32,
    /// Channels after the stem.
    #[serde(default = "sixty_four")]
    pub initial_channels: u32,
    /// Groups of the 3×3 convolutions.
    pub cardinality: u32,
    /// Channels per group in the first stage.
    pub base_channels: u32,
}

/// Options of [`Model::ShakeShake`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShakeShake {
    /// 6n+2.
    pub depth: u32,
    /// Channels of the first stage.
    pub initial_channels: u32,
    /// Random weights in the forward pass; else one half.
    #[serde(default = "yes")]
    pub shake_forward: bool,
    /// Random weights in the backward pass; else one half.
    #[serde(default = "yes")]
    pub shake_backward: bool,
    /// Weights per image instead of per batch.
    #[serde(default = "yes")]
    pub shake_image: bool,
    /// The architecture of the published numbers.
    #[serde(default)]
    pub legacy: bool,
}

/// Options of [`Model::Vgg`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vgg {
    /// Channels per stage.
    #[serde(default = "vgg_channels")]
    pub n_channels: Vec<u32>,
    /// Convolutions per stage.
    #[serde(default = "vgg_layers")]
    pub n_layers: Vec<u32>,
    /// BN after each convolution.
    #[serde(default = "yes")]
    pub use_bn: bool,
    /// ReLU only after the first convolution of each stage, as in the
    /// published numbers.
    #[serde(default)]
    pub legacy: bool,
}

fn sixteen() -> u32 {
    16
}
fn twelve() -> u32 {
    12
}
fn sixty_four() -> u32 {
    64
}
fn half() -> f64 {
    0.5
}
fn bottleneck() -> BlockType {
    BlockType::Bottleneck
}
fn all_stages() -> [bool; 3] {
    [true; 3]
}
fn vgg_channels() -> Vec<u32> {
    vec![64, 128, 256, 512, 512]
}
fn vgg_layers() -> Vec<u32> {
    vec![2, 2, 3, 3, 3]
}

/// An optimizer with its options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Optimizer {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Layer-wise adaptive rate scaling (You et al. 2017).
    Lars(Lars),
    /// Adam, weight decay added to the gradient.
    Adam(Adam),
    /// Adam, weight decay decoupled.
    Adamw(Adam),
}

/// Options of [`Optimizer::Sgd`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sgd {
    /// Base learning rate.
    pub lr: f64,
    /// Momentum.
    #[serde(default = "momentum")]
    pub momentum: f64,
    /// Nesterov's momentum.
    #[serde(default = "yes")]
    pub nesterov: bool,
    /// Weight decay, added to the gradient.
    #[serde(default)]
    pub weight_decay: f64,
    /// What decays.
    #[serde(default)]
    pub weight_decay_on: WeightDecayOn,
}

/// Options of [`Optimizer::Lars`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lars {
    /// Base learning rate.
    pub lr: f64,
    /// Momentum.
    #[serde(default = "momentum")]
    pub momentum: f64,
    /// Weight decay, added to the gradient.
    #[serde(default)]
    pub weight_decay: f64,
    /// What decays.
    #[serde(default)]
    pub weight_decay_on: WeightDecayOn,
    /// Factor of the local rate.
    #[serde(default = "one")]
    pub trust_coefficient: f64,
    /// Added to the denominator of the local rate.
    #[serde(default = "lars_eps")]
    pub eps: f64,
    /// Weight norm below which the local rate is 1.
    #[serde(default = "lars_threshold")]
    pub threshold: f64,
}

/// Options of [`Optimizer::Adam`] and [`Optimizer::Adamw`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adam {
    /// Base learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    #[serde(default = "momentum")]
    pub beta1: f64,
    /// Decay of the second moment.
    #[serde(default = "beta2")]
    pub beta2: f64,
    /// Added to the denominator.
    #[serde(default = "adam_eps")]
    pub eps: f64,
    /// Weight decay.
    #[serde(default)]
    pub weight_decay: f64,
    /// What decays.
    #[serde(default)]
    pub weight_decay_on: WeightDecayOn,
}

fn one() -> f64 {
    1.0
}
fn momentum() -> f64 {
    0.9
}
fn beta2() -> f64 {
    0.999
}
fn adam_eps() -> f64 {
    1e-8
}
fn lars_eps() -> f64 {
    1e-9
}
fn lars_threshold() -> f64 {
    1e-2
}

/// Which parameters decay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightDecayOn {
    /// Every parameter.
    #[default]
    All,
    /// Every parameter but those of BN.
    AllButBn,
    /// Convolution and linear weights only.
    Weights,
}

/// How the learning rate moves after the warm-up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// It stays.
    #[default]
    Constant,
    /// It drops at milestones.
    Multistep(Multistep),
    /// Half a cosine to `min_lr` (Loshchilov & Hutter 2017, no restart).
    Cosine(Decay),
    /// A line to `min_lr`.
    Linear(Decay),
    /// `(1 - t/T)^power` to `min_lr`.
    Polynomial(Polynomial),
    /// Cosines with warm restarts (Loshchilov & Hutter 2017).
    Sgdr(Sgdr),
}

/// Options of [`Schedule::Multistep`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Multistep {
    /// Epochs (>= 1) or fractions of the budget (< 1), ascending.
    pub milestones: Vec<f64>,
    /// The factor of each drop.
    #[serde(default = "tenth")]
    pub gamma: f64,
}

/// Options of [`Schedule::Cosine`] and [`Schedule::Linear`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decay {
    /// Where the rate ends.
    #[serde(default)]
    pub min_lr: f64,
}

/// Options of [`Schedule::Polynomial`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Polynomial {
    /// The exponent.
    #[serde(default = "two")]
    pub power: f64,
    /// Where the rate ends.
    #[serde(default)]
    pub min_lr: f64,
}

/// Options of [`Schedule::Sgdr`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sgdr {
    /// Epochs of the first period.
    pub t0: u32,
    /// Each period over the one before.
    #[serde(default = "unit")]
    pub t_mult: u32,
    /// Where each period ends.
    #[serde(default)]
    pub min_lr: f64,
}

fn tenth() -> f64 {
    0.1
}
fn two() -> f64 {
    2.0
}
fn unit() -> u32 {
    1
}

/// The first steps of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Warmup {
    /// Its shape.
    pub name: WarmupName,
    /// Its length in epochs; exactly one of `epochs` and `steps` is present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u32>,
    /// Its length in steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// The first rate over the base rate.
    #[serde(default = "thousandth")]
    pub start_factor: f64,
}

fn thousandth() -> f64 {
    1e-3
}

/// The shape of a warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarmupName {
    /// A line from `start_factor` to 1.
    Linear,
    /// A geometric rise from `start_factor` to 1.
    Exponential,
    /// `start_factor` throughout, then 1.
    Constant,
}

/// A batch size from an epoch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchStep {
    /// The first epoch of this size, counted from 0.
    pub epoch: u32,
    /// Images per optimizer step.
    pub batch_size: u32,
}

/// What is done to the training images; absent is off.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// Pad with raw zeros, crop back to size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random_crop: Option<RandomCrop>,
    /// Mirror an image with probability one half.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub horizontal_flip: bool,
    /// Zero a square after normalization (DeVries & Taylor 2017).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cutout: Option<Cutout>,
    /// Fill a rectangle with one random value (Zhong et al. 2017).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random_erasing: Option<RandomErasing>,
    /// Blend pairs of images (Zhang et al. 2018).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixup: Option<Mixup>,
    /// Patch four images together (Takahashi et al. 2018).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ricap: Option<Ricap>,
    /// Paste a rectangle of another image (Yun et al. 2019).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cutmix: Option<Cutmix>,
    /// Two cutout copies and a consistency loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dual_cutout: Option<DualCutout>,
}

/// Options of random crop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomCrop {
    /// Zero pixels on each side.
    #[serde(default = "four")]
    pub padding: u32,
}

/// Options of cutout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cutout {
    /// Side of the square in pixels.
    #[serde(default = "sixteen")]
    pub size: u32,
}

/// Options of random erasing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomErasing {
    /// Share of the images that are erased.
    #[serde(default = "half")]
    pub probability: f64,
    /// Least erased share of the area.
    #[serde(default = "erase_min")]
    pub min_area: f64,
    /// Largest erased share of the area.
    #[serde(default = "erase_max")]
    pub max_area: f64,
    /// Least aspect ratio; its inverse is the largest.
    #[serde(default = "erase_aspect")]
    pub min_aspect: f64,
    /// Tries to place the rectangle.
    #[serde(default = "twenty")]
    pub max_attempts: u32,
}

/// Options of mixup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixup {
    /// Parameter of the Beta distribution.
    #[serde(default = "one")]
    pub alpha: f64,
}

/// Options of RICAP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ricap {
    /// Parameter of the Beta distribution.
    #[serde(default = "ricap_beta")]
    pub beta: f64,
}

/// Options of CutMix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cutmix {
    /// Parameter of the Beta distribution.
    #[serde(default = "one")]
    pub alpha: f64,
}

/// Options of dual cutout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DualCutout {
    /// Side of the squares in pixels.
    #[serde(default = "sixteen")]
    pub size: u32,
    /// Weight of the consistency loss.
    #[serde(default = "tenth")]
    pub alpha: f64,
}

fn four() -> u32 {
    4
}
fn twenty() -> u32 {
    20
}
fn erase_min() -> f64 {
    0.02
}
fn erase_max() -> f64 {
    0.4
}
fn erase_aspect() -> f64 {
    0.3
}
fn ricap_beta() -> f64 {
    0.3
}

/// The loss: cross-entropy, averaged over the batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// The target is `(1 - e) * one-hot + e / classes`.
    #[serde(default)]
    pub label_smoothing: f64,
}

/// How weights start. BN starts at 1 and 0, biases of convolutions at 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Init {
    /// Convolution weights.
    #[serde(default)]
    pub conv: ConvInit,
    /// Classifier weights.
    #[serde(default)]
    pub linear: LinearInit,
    /// The last BN gamma of each residual block starts at 0.
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
    /// Everything in half precision.
    Fp16Pure,
}

impl Optimizer {
    /// The base learning rate.
    pub fn lr(&self) -> f64 {
        match self {
            Self::Sgd(options) => options.lr,
            Self::Lars(options) => options.lr,
            Self::Adam(options) | Self::Adamw(options) => options.lr,
        }
    }
}
