//! Architectures and their options.

use serde::{Deserialize, Serialize};

/// An architecture with its options, of the CIFAR type: three stages and a
/// global average pool. A VGG has as many stages as given, each with a pool,
/// and no average.
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
    /// VGG, with batch normalization unless it is turned off.
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
    /// Channels divided by the hidden units of the gate.
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
    /// Width divided by that of a ResNet.
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

fn yes() -> bool {
    true
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
