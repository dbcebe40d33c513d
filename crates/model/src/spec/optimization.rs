//! Optimizers, schedules, warm-ups and their options.

use serde::{Deserialize, Serialize};

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
    /// Which parameters decay.
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
    /// Which parameters decay.
    #[serde(default)]
    pub weight_decay_on: WeightDecayOn,
    /// Which parameters have a local rate; it is 1 for the others.
    #[serde(default)]
    pub adapt_on: WeightDecayOn,
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
    /// Which parameters decay.
    #[serde(default)]
    pub weight_decay_on: WeightDecayOn,
}

/// A set of parameters: those that decay, or that have a local rate.
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
    /// It stays the same.
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
    /// The rate at the end.
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
    /// The rate at the end.
    #[serde(default)]
    pub min_lr: f64,
}

/// Options of [`Schedule::Sgdr`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sgdr {
    /// Epochs of the first period.
    pub t0: u32,
    /// The length of each period divided by that of the one before.
    #[serde(default = "unit")]
    pub t_mult: u32,
    /// The rate at the end of each period.
    #[serde(default)]
    pub min_lr: f64,
}

/// The first steps of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Warmup {
    /// The warmup's shape.
    pub name: WarmupName,
    /// Its length in epochs; exactly one of `epochs` and `steps` is present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u32>,
    /// Its length in steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// The first rate divided by the base rate.
    #[serde(default = "thousandth")]
    pub start_factor: f64,
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

/// A batch size that holds from an epoch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchStep {
    /// The first epoch of this size, counted from 0.
    pub epoch: u32,
    /// Images per optimizer step.
    pub batch_size: u32,
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

fn yes() -> bool {
    true
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

fn tenth() -> f64 {
    0.1
}

fn two() -> f64 {
    2.0
}

fn unit() -> u32 {
    1
}

fn thousandth() -> f64 {
    1e-3
}
