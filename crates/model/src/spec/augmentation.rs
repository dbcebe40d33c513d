//! What is done to the training images.

use serde::{Deserialize, Serialize};

/// What is done to the training images; what is absent is off.
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
    /// How often to try to place the rectangle.
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

fn sixteen() -> u32 {
    16
}

fn half() -> f64 {
    0.5
}

fn one() -> f64 {
    1.0
}

fn tenth() -> f64 {
    0.1
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
