//! One training, from initial weights or from a checkpoint to a measurement.

mod progress;

use std::path::PathBuf;
use std::time::Instant;

use swath_model::metrics::{Metrics, TEST_ERROR, TEST_LOSS, TRAIN_ERROR};
use swath_model::outcome::{Measurement, Observation};
use swath_model::schedule::{Rates, Timeline};
use swath_model::spec::{TrainingSpec, oversized};
use tch::{Device, Tensor, no_grad};

use self::progress::Sums;
pub(crate) use self::progress::{Due, Keeper, Progress, State, Totals};
use crate::augment::{Draws, Epoch};
use crate::dataset::Dataset;
use crate::evaluate::{self, Score};
use crate::failure::Failure;
use crate::measure::{self, Asked, Norms, Start};
use crate::model::{Model, Weights};
use crate::step::Stepper;

/// Steps between two checks of the loss on an accelerator, where each check
/// waits for the device. On the CPU every step is checked.
const LOOK_EVERY: u64 = 32;

/// The prefix of the names of weights and buffers among the tensors of a
/// [`State`].
const MODEL: &str = "model.";

/// The name, among the tensors of a [`State`], of the parameters that a
/// training started from, if they are kept.
const START: &str = "start";

/// A training under way.
pub(crate) struct Training<'a> {
    spec: &'a TrainingSpec,
    dataset: &'a Dataset,
    model: &'a Model,
    weights: &'a Weights,
    rates: Rates,
    stepper: Stepper<'a>,
    device: Device,
    /// The `seconds` in it are those before `begun`.
    progress: Progress,
    begun: Instant,
    start: Start,
    /// Whether checkpoints hold the starting parameters.
    keep_start: bool,
    asked: Asked,
    norms: Option<Norms>,
}

impl<'a> Training<'a> {
    /// Prepares a training of `weights`. The training changes them in place.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] where the spec does not fit the data set.
    pub(crate) fn new(
        spec: &'a TrainingSpec,
        dataset: &'a Dataset,
        model: &'a Model,
        weights: &'a Weights,
        device: Device,
    ) -> Result<Self, Failure> {
        let rates = rates(spec, dataset.facts.train_images)?;
        let [height, width] = [dataset.facts.height, dataset.facts.width].map(|side| side as u64);
        if let Some(error) = oversized(&spec.augmentation, height, width) {
            return Err(Failure::Invalid(error.to_string()));
        }
        Ok(Self {
            spec,
            dataset,
            model,
            weights,
            rates,
            stepper: Stepper::new(spec, model, weights),
            device,
            progress: Progress::default(),
            begun: Instant::now(),
            start: Start::new(weights.flat()),
            keep_start: false,
            asked: Asked::default(),
            norms: None,
        })
    }

    /// Also measures what is asked for.
    pub(crate) fn asked(mut self, asked: Asked) -> Self {
        let norms = |path: &PathBuf| Norms::new(path.clone(), self.model.layout());
        self.norms = asked.norms.as_ref().map(norms);
        self.asked = asked;
        self
    }

    /// Keeps the starting parameters in checkpoints, because the spec and its
    /// seed do not tell where the training started.
    pub(crate) fn keep_start(&mut self) {
        self.keep_start = true;
    }

    /// Continues from a [`State`] of a training of the same spec, bit for bit.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] where a tensor is missing or does not fit.
    pub(crate) fn restore(&mut self, state: State) -> Result<(), Failure> {
        let tensors = state.tensors;
        for (name, mut own) in self.weights.named(self.model.layout()) {
            let saved = tensors
                .iter()
                .find(|(saved, _)| saved.strip_prefix(MODEL) == Some(&name));
            let fits = |saved: &Tensor| saved.size() == own.size() && saved.kind() == own.kind();
            match saved {
                Some((_, saved)) if fits(saved) => no_grad(|| own.copy_(saved)),
                _ => return Err(Failure::Invalid(format!("no tensor in it fits `{name}`"))),
            }
        }
        if let Some((_, start)) = tensors.iter().find(|(name, _)| name == START) {
            self.start = Start::new(&start.to_device(self.device));
        }
        self.stepper.restore(&tensors)?;
        self.progress = state.progress;
        Ok(())
    }

    /// The epochs and steps of the training.
    pub(crate) fn timeline(&self) -> &Timeline {
        self.rates.timeline()
    }

    /// Trains to the end of the budget. A training restored at its end has no
    /// step left and only gives its measurement.
    ///
    /// # Errors
    ///
    /// [`Failure::Diverged`] as soon as a loss is not finite,
    /// [`Failure::Stopped`] within a step of SIGTERM or of the moment when
    /// `keeper` wants to stop, and the failures of `keeper`.
    pub(crate) fn run(mut self, keeper: &mut impl Keeper) -> Result<Measurement, Failure> {
        self.begun = Instant::now();
        while self.progress.epoch() < self.timeline().total_epochs() {
            let measured = self.epoch(keeper)?;
            keeper.epoch(&measured)?;
            self.progress.history.push(measured);
        }
        let history = &self.progress.history;
        let batch_size = |epoch| self.timeline().batch_size(epoch);
        let (goals, seconds) = (&self.asked.goals, self.seconds());
        let measured = measure::finished(history, batch_size, goals, seconds)?;
        if keeper.due_at_end() {
            let progress = Progress {
                seconds,
                ..self.progress.clone()
            };
            keeper.checkpoint(&self.state_at(progress), Due::Checkpoint)?;
        }
        Ok(measured)
    }

    /// Seconds of training since the beginning, without the time between
    /// attempts.
    fn seconds(&self) -> f64 {
        self.progress.seconds + self.begun.elapsed().as_secs_f64()
    }

    /// Trains and measures the rest of the epoch under way.
    fn epoch(&mut self, keeper: &mut impl Keeper) -> Result<Observation, Failure> {
        let epoch = self.progress.epoch();
        let mut lap = Lap {
            sums: Sums::new(&self.progress.totals, self.device),
            begun: Instant::now(),
            before: self.progress.epoch_seconds,
        };
        let last = self.steps(epoch, &mut lap, keeper)?;
        let totals = lap.sums.read(last)?;
        let train_seconds = lap.seconds();
        let score = match self.score(epoch) {
            Err(Failure::Stopped) => {
                keeper.checkpoint(&self.state(&lap)?, Due::Stop)?;
                return Err(Failure::Stopped);
            }
            score => score?,
        };
        self.progress.totals = Totals::default();
        self.progress.epoch_seconds = 0.0;
        let images = totals.images as f64;
        let skipped = self.stepper.skipped_steps();
        let observation = Observation {
            epoch: (epoch + 1) as u32,
            step: last,
            seconds: Some(self.seconds()),
            values: Metrics::from([
                ("train_loss", Some(totals.loss / images)),
                (TRAIN_ERROR, Some(100.0 * totals.wrong / images)),
                (TEST_LOSS, Some(score.loss)),
                (TEST_ERROR, Some(score.error)),
                ("lr", Some(self.rates.at(last - 1))),
                ("images_per_second", Some(images / train_seconds)),
                ("distance", self.distance()),
                ("loss_scale", self.stepper.loss_scale()),
                ("skipped_steps", skipped.map(|steps| steps as f64)),
            ]),
        };
        if let Some(norms) = &mut self.norms {
            let gradient = self.stepper.take_gradient();
            let gradients = gradient.map(|it| self.weights.parts(&it));
            norms.write(
                &observation,
                self.weights.parameters(),
                gradients.as_deref(),
            )?;
        }
        Ok(observation)
    }

    /// How far the weights are from where they started.
    fn distance(&self) -> Option<f64> {
        self.start.distance(self.weights.flat())
    }

    /// Takes the remaining steps of `epoch`. Returns the total number of
    /// finished steps.
    fn steps(
        &mut self,
        epoch: u64,
        lap: &mut Lap,
        keeper: &mut impl Keeper,
    ) -> Result<u64, Failure> {
        let set = &self.dataset.train;
        let size = [self.dataset.facts.height, self.dataset.facts.width];
        let timeline = self.rates.timeline();
        let batch_size = timeline.batch_size(epoch) as i64;
        let images = set.count() as usize;
        let draws = Draws::new(self.spec, epoch, images, size, batch_size as usize);
        let choices = Epoch::new(&draws, &self.spec.augmentation, self.device);
        let first = timeline.first_step(epoch);
        let last = timeline.first_step(epoch + 1).min(timeline.total_steps());
        for step in self.progress.step..last {
            self.pause(lap, keeper)?;
            let start = (step - first) as i64 * batch_size;
            let count = batch_size.min(set.count() - start);
            let batch = choices.batch(set, &self.dataset.normalizer, start, count);
            if self.norms.is_some() && step + 1 == last {
                self.stepper.keep_gradient();
            }
            let computed = self.stepper.step(step, &batch, self.rates.at(step));
            lap.sums.add(&computed);
            self.progress.step = step + 1;
            // On an accelerator each check waits for the device.
            if self.device == Device::Cpu || step % LOOK_EVERY == LOOK_EVERY - 1 {
                lap.sums.check(step + 1)?;
            }
        }
        self.pause(lap, keeper)?;
        Ok(last)
    }

    /// Does what is due between two steps.
    fn pause(&self, lap: &Lap, keeper: &mut impl Keeper) -> Result<(), Failure> {
        match keeper.due(self.progress.step) {
            Due::Step => Ok(()),
            due => {
                keeper.checkpoint(&self.state(lap)?, due)?;
                match due {
                    Due::Stop => Err(Failure::Stopped),
                    _ => Ok(()),
                }
            }
        }
    }

    /// The state of the training now. A loss that is not finite ends the
    /// training, since there is nothing to continue from.
    fn state(&self, lap: &Lap) -> Result<State, Failure> {
        let progress = Progress {
            totals: lap.sums.read(self.progress.step)?,
            seconds: self.seconds(),
            epoch_seconds: lap.seconds(),
            ..self.progress.clone()
        };
        Ok(self.state_at(progress))
    }

    fn state_at(&self, progress: Progress) -> State {
        let weights = self.weights.named(self.model.layout()).into_iter();
        let weights = weights.map(|(name, tensor)| (format!("{MODEL}{name}"), tensor));
        let start = self
            .keep_start
            .then(|| (START.to_owned(), self.start.flat()));
        State {
            progress,
            tensors: weights.chain(self.stepper.state()).chain(start).collect(),
        }
    }

    fn score(&self, epoch: u64) -> Result<Score, Failure> {
        let set = &self.dataset.test;
        let normalizer = &self.dataset.normalizer;
        let score = evaluate::score(self.model, self.weights, set, normalizer)?;
        if score.loss.is_finite() {
            Ok(score)
        } else {
            Err(Failure::Diverged(format!(
                "the test loss was not finite any more after epoch {}",
                epoch + 1
            )))
        }
    }
}

/// The training part of an epoch under way.
struct Lap {
    sums: Sums,
    begun: Instant,
    /// Seconds of this part before `begun`.
    before: f64,
}

impl Lap {
    fn seconds(&self) -> f64 {
        self.before + self.begun.elapsed().as_secs_f64()
    }
}

/// The learning rates of a spec on a training set.
///
/// # Errors
///
/// [`Failure::Invalid`] where an epoch would have no step.
pub(crate) fn rates(spec: &TrainingSpec, images: u64) -> Result<Rates, Failure> {
    let timeline =
        Timeline::new(spec, images).map_err(|error| Failure::invalid(error.to_string()))?;
    Ok(Rates::new(spec, timeline))
}
