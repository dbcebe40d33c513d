//! What a warm trainer keeps between trainings: the device and the data set.

use std::path::Path;
use std::rc::Rc;

use swath_model::spec::{Dataset as Source, JobSpec, TestSet, TrainingSpec};
use tch::Device;

use crate::cli::Compute;
use crate::data::{self, Facts, Further, Places, Seal, Stamp};
use crate::dataset::{Dataset, Images};
use crate::failure::Failure;
use crate::model::{Model, Weights};
use crate::spec_file;
use crate::tensor_file::TensorFile;

/// A device, and the data set last used on it.
pub(crate) struct Session {
    device: Device,
    places: Places,
    resident: Option<Resident>,
}

/// A data set on the device.
struct Resident {
    key: Key,
    /// Shows whether the copy that it may be a view of was changed.
    seal: Option<Seal>,
    dataset: Rc<Dataset>,
}

/// What a resident data set must match to be used again.
#[derive(Clone, Debug, PartialEq)]
struct Key {
    source: Source,
    /// The stamp of the files, where the user may have changed them.
    stamp: Option<Stamp>,
}

impl Session {
    /// Takes the device and sets the threads of this process.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] where there is no such device.
    pub(crate) fn new(compute: Compute) -> Result<Self, Failure> {
        if let Device::Cuda(index) = compute.device {
            let count = tch::Cuda::device_count().max(0) as usize;
            if index >= count {
                return Err(Failure::Invalid(format!(
                    "--device cuda:{index}: this machine and build offer {count} GPUs; use \
                     --device cpu, or a build against a libtorch with CUDA"
                )));
            }
        }
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = compute.threads.map_or(cores, usize::from);
        tch::set_num_threads(threads as i32);
        Ok(Self {
            device: compute.device,
            places: Places::from_environment(),
            resident: None,
        })
    }

    /// The device.
    pub(crate) fn device(&self) -> Device {
        self.device
    }

    /// The data set of `source`: the resident one, or a newly loaded one in its
    /// place.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] where it is missing or bad.
    pub(crate) fn dataset(&mut self, source: &Source) -> Result<Rc<Dataset>, Failure> {
        let key = Key {
            source: source.clone(),
            stamp: data::stamp(source, &self.places)?,
        };
        if let Some(resident) = &self.resident
            && resident.key == key
            && resident.seal.as_ref().is_none_or(Seal::is_whole)
        {
            return Ok(Rc::clone(&resident.dataset));
        }
        // Two data sets at a time might not fit the device.
        self.resident = None;
        let opened = data::open(source, &self.places)?;
        let dataset = Rc::new(Dataset::of(&opened, self.device));
        self.resident = Some(Resident {
            key,
            seal: opened.seal(),
            dataset: Rc::clone(&dataset),
        });
        Ok(dataset)
    }

    /// A data set that costs as much as that of `source`. If its name tells
    /// enough, it is made up, so that nothing is fetched for it. The resident
    /// data set is dropped because its memory would count.
    ///
    /// # Errors
    ///
    /// As [`Session::dataset`].
    pub(crate) fn like(&mut self, source: &Source) -> Result<Rc<Dataset>, Failure> {
        let Some(test_images) = source.test_images() else {
            return self.dataset(source);
        };
        self.resident = None;
        let facts = data::facts(source, &self.places)?;
        let dataset = Dataset::made_up(facts, i64::from(test_images), self.device);
        Ok(Rc::new(dataset))
    }

    /// A further test set for a data set with these facts, on the device.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] where it is missing, bad, or does not fit.
    pub(crate) fn test_set(&self, set: &TestSet, facts: &Facts) -> Result<Images, Failure> {
        Ok(match data::test_set(set, facts, &self.places)? {
            Further::Split(split) => Images::new(&split, facts, self.device),
            Further::Of(opened) => Images::test_of(&opened, self.device),
        })
    }

    /// Checks that so many bytes of data may be held together.
    ///
    /// # Errors
    ///
    /// [`Failure::Lacks`] with the limit and the remedy.
    pub(crate) fn room(&self, what: &str, bytes: usize) -> Result<(), Failure> {
        self.places.reach.room(what, Some(bytes as u64))
    }

    /// The model of `job` with weights from a file, and the facts of its data
    /// set.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] where the spec, the data set or the file is bad.
    pub(crate) fn loaded(
        &self,
        job: &JobSpec,
        weights: &Path,
    ) -> Result<(Model, Weights, Facts), Failure> {
        let spec = spec_file::training(job)?;
        let mut facts = data::facts(&spec.dataset, &self.places)?;
        let (model, weights) = load(spec, &mut facts, weights, self.device)?;
        Ok((model, weights.prepared(spec), facts))
    }
}

/// The model of `spec` with weights from a file.
///
/// A data set of the user's own may lack images of its last classes, but the
/// weights know these classes. So `facts` may get more classes.
///
/// # Errors
///
/// [`Failure::Invalid`] where the file does not hold the spec's model.
pub(crate) fn load(
    spec: &TrainingSpec,
    facts: &mut Facts,
    path: &Path,
    device: Device,
) -> Result<(Model, Weights), Failure> {
    let file = TensorFile::read(path)?;
    if matches!(spec.dataset, Source::Tensors(_)) {
        let classes = file.parse()?.tensor(CLASSIFIER_BIAS).ok();
        let classes = classes.and_then(|bias| bias.shape().first().copied());
        facts.classes = facts.classes.max(classes.unwrap_or(0) as i64);
    }
    let model = Model::new(&spec.model, facts)?;
    let weights = model.load(&file, device)?;
    Ok((model, weights))
}

/// A tensor with one element per class, in every architecture.
const CLASSIFIER_BIAS: &str = "fc.bias";
