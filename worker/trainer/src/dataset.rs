//! A data set on the device: one tensor of bytes per split.

use std::cell::OnceCell;

use swath_model::spec::Dataset as Source;
use tch::{Device, Kind, Tensor};

use crate::data::{DecodedCopy, Facts, Opened, RawDataset, Split};
use crate::failure::Failure;

/// The images and labels of a split.
pub(crate) struct Images {
    /// N×H×W×C, u8: a batch of it is channels last without copying.
    pub(crate) pixels: Tensor,
    /// N, i64.
    pub(crate) labels: Tensor,
}

impl Images {
    /// Moves a split to `device`.
    pub(crate) fn new(split: &Split, facts: &Facts, device: Device) -> Self {
        let count = split.labels.len() as i64;
        let shape = [count, facts.channels, facts.height, facts.width];
        let pixels = Tensor::from_data_size(&split.images, &shape, Kind::Uint8);
        Self {
            pixels: pixels.permute([0, 2, 3, 1]).contiguous().to_device(device),
            labels: Tensor::from_slice(&split.labels).to_device(device),
        }
    }

    /// A split of a decoded copy. On the CPU it is the mapped file itself,
    /// which is read as it is used and shared with every other process that
    /// does so.
    fn mapped(copy: &DecodedCopy, index: usize, device: Device) -> Self {
        let (pixels, labels) = copy.split(index);
        Self {
            pixels: pixels.to_device(device),
            labels: Tensor::from_slice(&labels).to_device(device),
        }
    }

    /// The images of the test set of a data set.
    pub(crate) fn test_of(opened: &Opened, device: Device) -> Self {
        match opened {
            Opened::Decoded(raw) => Self::new(&raw.test, &raw.facts, device),
            Opened::Shared(copy) => Self::mapped(copy, 1, device),
        }
    }

    /// How many images it has.
    pub(crate) fn count(&self) -> i64 {
        self.labels.size()[0]
    }
}

/// Bytes to the numbers that a model sees: `(x / 255 - mean) / std`.
///
/// Mean and deviation are repeated over a row of pixels, W·C numbers: long
/// enough for vector instructions, which the three numbers of a pixel are not.
pub(crate) struct Normalizer {
    mean: Tensor,
    std: Tensor,
}

impl Normalizer {
    /// The normalizer of a data set.
    pub(crate) fn new(facts: &Facts, device: Device) -> Self {
        let row = |channels: &[f32]| {
            let pixel = Tensor::from_slice(channels).to_device(device);
            pixel.repeat([facts.width])
        };
        Self {
            mean: row(&facts.mean),
            std: row(&facts.std),
        }
    }

    /// N×H×W×C bytes, contiguous, to N×H×W×C floats.
    pub(crate) fn floats(&self, pixels: &Tensor) -> Tensor {
        let floats = pixels.to_kind(Kind::Float);
        let mut rows = floats.view([-1, self.mean.size()[0]]);
        let _ = rows.g_div_scalar_(255.0);
        let _ = rows.g_sub_(&self.mean);
        let _ = rows.g_div_(&self.std);
        floats
    }

    /// N×H×W×C bytes to N×C×H×W floats, channels last in memory.
    pub(crate) fn images(&self, pixels: &Tensor) -> Tensor {
        self.floats(pixels).permute([0, 3, 1, 2])
    }
}

/// A user's images (N×C×H×W) in the form that a model takes: u8 is normalized
/// like the data set, f32 used as it is; channels last in memory.
///
/// # Errors
///
/// [`Failure::Invalid`] where shape or type do not fit the data set.
pub(crate) fn given(images: &Tensor, facts: &Facts, device: Device) -> Result<Tensor, Failure> {
    let size = images.size();
    if size.len() != 4 || size[1..] != [facts.channels, facts.height, facts.width] {
        return Err(Failure::Invalid(format!(
            "`images` has the shape {size:?}; the data set's are N×{}×{}×{}",
            facts.channels, facts.height, facts.width
        )));
    }
    let last = images.permute([0, 2, 3, 1]).contiguous().to_device(device);
    match images.kind() {
        Kind::Uint8 => Ok(Normalizer::new(facts, device).images(&last)),
        Kind::Float => Ok(last.permute([0, 3, 1, 2])),
        other => Err(Failure::Invalid(format!(
            "`images` is {other:?}; u8 or f32 is wanted"
        ))),
    }
}

/// How many different images a made-up data set has.
const MADE_UP: i64 = 64;

/// A whole data set on the device.
pub(crate) struct Dataset {
    /// The facts about it.
    pub(crate) facts: Facts,
    /// The training set.
    pub(crate) train: Images,
    /// The test set.
    pub(crate) test: Images,
    /// Its normalizer.
    pub(crate) normalizer: Normalizer,
    digest: OnceCell<String>,
}

impl Dataset {
    /// Moves an opened data set to `device`.
    pub(crate) fn of(opened: &Opened, device: Device) -> Self {
        match opened {
            Opened::Decoded(raw) => Self::new(raw, device),
            Opened::Shared(copy) => Self {
                facts: copy.facts.clone(),
                train: Images::mapped(copy, 0, device),
                test: Images::mapped(copy, 1, device),
                normalizer: Normalizer::new(&copy.facts, device),
                digest: OnceCell::new(),
            },
        }
    }

    /// A made-up data set with these facts and so many test images, for
    /// measuring what a real one would cost.
    pub(crate) fn made_up(facts: Facts, test_images: i64, device: Device) -> Self {
        let images = |count: i64| {
            let size = [MADE_UP, facts.height, facts.width, facts.channels];
            let pixels: Vec<u8> = (0..size.iter().product::<i64>() as u32)
                // Spreads over all byte values (Knuth's multiplicative hash).
                .map(|place| (place.wrapping_mul(2_654_435_761) >> 24) as u8)
                .collect();
            let some = Tensor::from_data_size(&pixels, &size, Kind::Uint8).to_device(device);
            let pixels = some.repeat([count / MADE_UP + 1, 1, 1, 1]);
            Images {
                pixels: pixels.narrow(0, 0, count),
                labels: Tensor::arange(count, (Kind::Int64, device)).remainder(facts.classes),
            }
        };
        Self {
            train: images(facts.train_images as i64),
            test: images(test_images),
            normalizer: Normalizer::new(&facts, device),
            facts,
            digest: OnceCell::new(),
        }
    }

    /// Moves a loaded data set to `device`.
    pub(crate) fn new(raw: &RawDataset, device: Device) -> Self {
        Self {
            facts: raw.facts.clone(),
            train: Images::new(&raw.train, &raw.facts, device),
            test: Images::new(&raw.test, &raw.facts, device),
            normalizer: Normalizer::new(&raw.facts, device),
            digest: OnceCell::new(),
        }
    }

    /// The digest of the data, if the user could have changed them: the files
    /// of named sets are checked when they are loaded.
    pub(crate) fn digest(&self, source: &Source) -> Option<String> {
        matches!(source, Source::Tensors(_) | Source::Folder(_)).then(|| {
            let digest = self.digest.get_or_init(|| {
                let mut hasher = blake3::Hasher::new();
                for tensor in [
                    &self.train.pixels,
                    &self.train.labels,
                    &self.test.pixels,
                    &self.test.labels,
                ] {
                    let count = tensor.numel();
                    let mut bytes = vec![0; count * tensor.kind().elt_size_in_bytes()];
                    let plain = tensor.to_device(Device::Cpu).contiguous();
                    plain.copy_data_u8(&mut bytes, count);
                    hasher.update(format!("{:?}", tensor.size()).as_bytes());
                    hasher.update(&bytes);
                }
                hasher.finalize().to_hex().to_string()
            });
            digest.clone()
        })
    }
}
