//! `trainer train`, and what it shares with `serve`: one attempt with its
//! events and files.

use std::path::Path;

use swath_core::outcome::Measurement;
use swath_core::protocol::TrainerEvent;
use swath_core::spec::{JobSpec, Model as Options, TrainingSpec};

use crate::cli::Train;
use crate::failure::{Failure, guarded};
use crate::model::Model;
use crate::session::{self, Session};
use crate::train::Training;
use crate::{files, output, process, provenance, spec_file};

/// Trains one spec.
pub(super) fn run(args: &Train) -> Result<(), Failure> {
    process::catch_sigterm();
    let attempt = || {
        let job = spec_file::read(&args.spec.spec)?;
        let mut session = Session::new(args.compute)?;
        attempt(
            &mut session,
            &job,
            args.weights.as_deref(),
            args.out.as_deref(),
        )
    };
    finish(guarded(attempt))
}

/// Reports how an attempt ended; a stop is reported by the exit code alone.
pub(super) fn finish(ended: Result<Measurement, Failure>) -> Result<(), Failure> {
    match ended {
        Ok(measured) => output::json_line(&TrainerEvent::Finished(measured.into())),
        Err(failure) => {
            if let Some(fault) = failure.fault() {
                output::json_line(&TrainerEvent::Failed {
                    fault,
                    message: failure.to_string(),
                })?;
            }
            Err(failure)
        }
    }
}

/// Trains `job` and writes its files to `out`: the history also of a training
/// that failed, the weights of one that did not.
pub(super) fn attempt(
    session: &mut Session,
    job: &JobSpec,
    initial: Option<&Path>,
    out: Option<&Path>,
) -> Result<Measurement, Failure> {
    let spec = spec_file::training(job)?;
    warn_about(spec);
    let device = session.device();
    let dataset = session.dataset(&spec.dataset)?;
    let (model, weights) = if let Some(path) = initial {
        session::load(spec, &mut dataset.facts.clone(), path, device)?
    } else {
        let model = Model::new(&spec.model, &dataset.facts)?;
        let weights = model.initial(&spec.init, spec.seed, device)?;
        (model, weights)
    };
    let training = Training::new(spec, &dataset, &model, &weights, device)?;
    output::json_line(&TrainerEvent::Started {
        provenance: provenance::of(device),
        total_steps: training.timeline().total_steps(),
        total_epochs: training.timeline().total_epochs() as u32,
    })?;
    let mut history = String::new();
    let ended = guarded(|| {
        training.run(|observation| {
            let event = TrainerEvent::Epoch(observation);
            output::json_line(&event)?;
            let line = serde_json::to_string(&event);
            history.push_str(&line.map_err(|error| Failure::Crashed(error.to_string()))?);
            history.push('\n');
            Ok(())
        })
    });
    if let Some(directory) = out {
        files::write_atomically(&directory.join("history.jsonl"), history.as_bytes())?;
        if ended.is_ok() {
            weights.write(model.layout(), &directory.join("weights.safetensors"))?;
        }
    }
    ended
}

/// Combinations that are computed as they are written, but hardly meant.
fn warn_about(spec: &TrainingSpec) {
    if let Options::ResnetPreact(options) = &spec.model
        && spec.init.zero_gamma
        && !options.add_last_bn
    {
        output::message(
            "`init.zero_gamma` without `model.add_last_bn`: the last BN of a pre-activation block \
             stands before a ReLU, whose gradient at 0 is 0; residual branches will not train",
        );
    }
}
