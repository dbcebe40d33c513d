//! One attempt with its events and files: what `train` and `serve` share.

use std::path::Path;
use std::time::Instant;

use swath_model::outcome::Measurement;
use swath_model::protocol::TrainerEvent;
use swath_model::spec::{JobSpec, Model as Options, ResnetPreact, SeResnetPreact, TrainingSpec};
use tch::Device;

use super::clerk::{Clerk, Desk, Pace};
use crate::checkpoint::{Begin, Checkpoint, Folder, Identity, Mode};
use crate::cli::Measures;
use crate::data::Facts;
use crate::failure::{Failure, guarded};
use crate::history::History;
use crate::measure::{self, Ending, ExtraSet};
use crate::model::{Model, Weights};
use crate::session::{self, Session};
use crate::train::{Progress, Training};
use crate::{output, probe, provenance, spec_file};

/// Which files of a training are kept after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// None: its directory has nothing but checkpoints, and is removed with
    /// them.
    Nothing,
    /// Weights, history and measurement.
    Result,
    /// These, and the last checkpoints.
    All,
}

/// The settings of an attempt.
pub(super) struct Order<'a> {
    /// Weights to start from instead of the spec's initial ones.
    pub(super) weights: Option<&'a Path>,
    /// The directory for its files.
    pub(super) out: Option<&'a Path>,
    /// What to do about the files of earlier trainings.
    pub(super) mode: Mode,
    /// When checkpoints are due.
    pub(super) pace: Pace,
    /// Which files outlive the training.
    pub(super) kept: Kept,
    /// Additional measurements.
    pub(super) measures: &'a Measures,
}

/// Reports how an attempt ended; a stop is reported by the exit code alone.
pub(super) fn finish(ended: Result<Measurement, Failure>) -> Result<(), Failure> {
    match ended {
        Ok(measured) => output::json_line(&TrainerEvent::Finished(Box::new(measured.into()))),
        Err(failure) => {
            if let Some(fault) = failure.fault() {
                output::json_line(&TrainerEvent::Failed {
                    fault,
                    message: failure.to_string(),
                    lacks: match &failure {
                        Failure::Lacks(what) => Some(what.clone()),
                        _ => None,
                    },
                })?;
            }
            Err(failure)
        }
    }
}

/// Trains `job`, from a checkpoint if there is one to continue from, and writes
/// its files: the history even of a training that failed, the weights only of
/// one that did not.
pub(super) fn attempt(
    session: &mut Session,
    job: &JobSpec,
    order: &Order<'_>,
) -> Result<Measurement, Failure> {
    let spec = spec_file::training(job)?;
    if spec.probe {
        return probe::run(session, spec);
    }
    warn_about(spec);
    let device = session.device();
    let dataset = session.dataset(&spec.dataset)?;
    let identity = Identity::of(job, device, dataset.digest(&spec.dataset));
    let folder = order
        .out
        .map(|path| Folder::open(path, order.mode))
        .transpose()?;
    let begin = match &folder {
        Some(folder) => folder.begin(&identity, order.mode)?,
        None => Begin::Fresh,
    };
    let checkpoint = match begin {
        Begin::Finished(measured) => {
            output::message("this training has finished already; its result again:");
            say_not_measured(&measured, order);
            return Ok(measured);
        }
        Begin::From(checkpoint) => Some(*checkpoint),
        Begin::Fresh => None,
    };
    let mut facts = dataset.facts.clone();
    let (model, weights) = prepare(spec, &mut facts, order, checkpoint.as_ref(), device)?;
    let weights = weights.prepared(spec);
    let extra = measure::extra_sets(session, spec, &facts)?;
    let training = Training::new(spec, &dataset, &model, &weights, device)?;
    let mut training = training.asked(order.measures.asked(order.out));
    let mut clerk = clerk(order, facts.classes, checkpoint.as_ref());
    clerk.more_to_measure = measure::more_to_measure(&extra, order.measures, order.out);
    if let Some(folder) = &folder
        && checkpoint.is_none()
        && order.kept != Kept::Nothing
    {
        folder.set_results_aside()?;
    }
    if let Some(checkpoint) = checkpoint {
        say_resumed(&checkpoint, &identity, order);
        training.restore(checkpoint.state)?;
    }
    if clerk.given_weights {
        training.keep_start();
    }
    if let Some(folder) = folder {
        clerk.desk = Some(Desk {
            history: match order.kept {
                Kept::Nothing => None,
                Kept::Result | Kept::All => Some(History::begin(folder.path(), &clerk.epochs)?),
            },
            folder,
            identity,
        });
    }
    say_started(&training, &clerk, device)?;
    let ending = Ending {
        dataset: &dataset,
        model: &model,
        weights: &weights,
    };
    let ended = guarded(|| run(training, &mut clerk, &ending, &extra, order));
    close(clerk, ended, order.kept)
}

/// Trains and measures. The weights are written in between, so that a failing
/// measurement cannot cost a finished training.
fn run(
    training: Training<'_>,
    clerk: &mut Clerk,
    ending: &Ending<'_>,
    extra: &[ExtraSet],
    order: &Order<'_>,
) -> Result<Measurement, Failure> {
    let mut measured = training.run(clerk)?;
    measured.weights = Some(clerk.keep_weights(ending.weights, ending.model.layout())?);
    let ended = ending.measure(&mut measured, extra, order.measures, order.out);
    if ended == Err(Failure::Stopped) {
        clerk.say_stopped_measuring();
    }
    ended?;
    Ok(measured)
}

/// The model and the weights to begin with; the weights may have more classes
/// than `facts`. Those of a checkpoint come later.
fn prepare(
    spec: &TrainingSpec,
    facts: &mut Facts,
    order: &Order<'_>,
    checkpoint: Option<&Checkpoint>,
    device: Device,
) -> Result<(Model, Weights), Failure> {
    if let Some(checkpoint) = checkpoint {
        facts.classes = checkpoint.classes;
    } else if let Some(path) = order.weights {
        return session::load(spec, facts, path, device);
    }
    let model = Model::new(&spec.model, facts)?;
    let weights = model.initial(&spec.init, spec.seed, device)?;
    Ok((model, weights))
}

/// A clerk without a desk, which knows what came before `checkpoint`.
fn clerk(order: &Order<'_>, classes: i64, checkpoint: Option<&Checkpoint>) -> Clerk {
    let progress = checkpoint.map(|checkpoint| &checkpoint.state.progress);
    Clerk {
        desk: None,
        classes,
        given_weights: match checkpoint {
            Some(checkpoint) => checkpoint.given_weights,
            None => order.weights.is_some(),
        },
        pace: order.pace,
        newest: progress.map_or(0, |progress| progress.step),
        newest_epochs: progress.map_or(0, Progress::epoch),
        more_to_measure: false,
        since: Instant::now(),
        not_before: None,
        epochs: progress.map_or_else(Vec::new, |progress| progress.history.clone()),
    }
}

/// Reports the start, and the epochs of earlier attempts: whoever follows this
/// attempt has not seen them.
fn say_started(training: &Training<'_>, clerk: &Clerk, device: Device) -> Result<(), Failure> {
    let timeline = training.timeline();
    output::json_line(&TrainerEvent::Started {
        provenance: provenance::of(device),
        total_steps: timeline.total_steps(),
        total_epochs: timeline.total_epochs() as u32,
        step: clerk.newest,
    })?;
    for epoch in &clerk.epochs {
        output::json_line(&TrainerEvent::Epoch(epoch.clone()))?;
    }
    Ok(())
}

/// Reports that a finished training is not measured again, because its weights
/// may be gone.
fn say_not_measured(measured: &Measurement, order: &Order<'_>) {
    let missing = missing(measured, order);
    if !missing.is_empty() {
        output::message(&format!(
            "warning: it lacks {}, and a finished training is not measured again: leave \
             out --resume to train and measure it from step 0",
            missing.join(", ")
        ));
    }
}

/// The measurements of `order` that may be missing from a training which ended
/// as `measured`.
fn missing(measured: &Measurement, order: &Order<'_>) -> Vec<&'static str> {
    let asked = order.measures;
    let known = |start: &str| {
        measured
            .values
            .iter()
            .any(|(name, _)| name.starts_with(start))
    };
    let file = |name: &str| order.out.is_some_and(|out| out.join(name).exists());
    let found = [
        ("--weights", order.weights.is_some()),
        ("--goal", !asked.goals.is_empty() && !known("goal.")),
        (
            "--train-evaluation",
            asked.train_evaluation && !known("train_error.evaluation"),
        ),
        ("--norms", asked.norms && !file("norms.jsonl")),
        (
            "--predictions",
            asked.predictions && !file("predictions.safetensors"),
        ),
    ];
    let named = found.into_iter().filter(|(_, missing)| *missing);
    named.map(|(name, _)| name).collect()
}

fn say_resumed(checkpoint: &Checkpoint, own: &Identity, order: &Order<'_>) {
    let progress = &checkpoint.state.progress;
    output::message(&format!(
        "going on from the checkpoint of step {} ({} finished epochs, {:.1} s of training)",
        progress.step,
        progress.epoch(),
        progress.seconds
    ));
    if let Some(path) = order.weights {
        output::message(&format!(
            "--weights {} is ignored: the checkpoint has weights of its own",
            path.display()
        ));
    }
    if checkpoint.processor != own.processor {
        output::message(&format!(
            "warning: the checkpoint was written on {}, this is {}: the bytes of the result may \
             differ from those of a training on one of them",
            checkpoint.processor, own.processor
        ));
    }
}

/// Writes what a training leaves in its directory in addition to its weights.
fn close(
    clerk: Clerk,
    ended: Result<Measurement, Failure>,
    kept: Kept,
) -> Result<Measurement, Failure> {
    let Some(Desk {
        folder,
        identity,
        history,
    }) = clerk.desk
    else {
        return ended;
    };
    let Some(mut history) = history else {
        match ended {
            // Another attempt may continue from its checkpoints.
            Err(
                Failure::Stopped
                | Failure::Crashed(_)
                | Failure::OutOfMemory(_)
                | Failure::Lacks(_),
            ) => {
                folder.remove_if_empty();
            }
            Ok(_) | Err(Failure::Invalid(_) | Failure::Diverged(_)) => folder.clear(),
        }
        return ended;
    };
    let measured = match ended {
        Ok(measured) => measured,
        Err(failure) => {
            if let Err(unwritten) = history.finish(&clerk.epochs) {
                output::message(&format!("warning: {unwritten}"));
            }
            return Err(failure);
        }
    };
    history.finish(&clerk.epochs)?;
    folder.finish(&identity, &measured, kept == Kept::All)?;
    Ok(measured)
}

/// Warns of combinations that are computed as written but were hardly meant.
fn warn_about(spec: &TrainingSpec) {
    if !spec.init.zero_gamma {
        return;
    }
    match &spec.model {
        Options::ResnetPreact(ResnetPreact {
            add_last_bn: false, ..
        })
        | Options::SeResnetPreact(SeResnetPreact {
            add_last_bn: false, ..
        })
        | Options::Wrn(_) => {
            output::message(
                "`init.zero_gamma` where no BN ends a block (`model.add_last_bn` adds one to \
                 pre-activation ResNets): the last BN of its blocks stands before a ReLU, whose \
                 gradient at 0 is 0; residual branches will not train",
            );
        }
        Options::Densenet(_) | Options::Vgg(_) => {
            output::message("`init.zero_gamma` does nothing for a model without residual blocks");
        }
        _ => {}
    }
}
