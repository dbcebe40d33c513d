//! `trainer describe` and `trainer schedule`: what a spec means, computed
//! without training.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::cli::Spec;
use crate::data::{self, Places};
use crate::failure::Failure;
use crate::model::Model;
use crate::{output, spec_file, train};

/// How many lines are written at once.
const CHUNK: u64 = 4096;

/// Prints the size of a model and of its training.
pub(super) fn describe(args: &Spec) -> Result<(), Failure> {
    let job = spec_file::read(&args.spec)?;
    let spec = spec_file::training(&job)?;
    let facts = data::outline(&spec.dataset, &Places::from_environment())?;
    let model = Model::new(&spec.model, &facts)?;
    let rates = train::rates(spec, facts.train_images)?;
    let timeline = rates.timeline();
    let tensors: Map<String, Value> = model
        .layout()
        .tensors()
        .map(|(name, shape)| (name.to_owned(), json!(shape)))
        .collect();
    output::json_line(&json!({
        "parameters": model.layout().parameter_count(),
        "macs": model.layout().macs,
        "classes": facts.classes,
        "tensors": tensors,
        "steps_per_epoch": timeline.steps_in(0),
        "total_epochs": timeline.total_epochs(),
        "total_steps": timeline.total_steps(),
    }))
}

/// Prints the learning rate of every step.
pub(super) fn schedule(args: &Spec) -> Result<(), Failure> {
    let job = spec_file::read(&args.spec)?;
    let spec = spec_file::training(&job)?;
    let facts = data::outline(&spec.dataset, &Places::from_environment())?;
    let rates = train::rates(spec, facts.train_images)?;
    let timeline = rates.timeline();
    let mut lines = String::from("step,epoch,lr,batch_size\n");
    for step in 0..timeline.total_steps() {
        let epoch = timeline.epoch(step);
        let batch_size = timeline.batch_size(epoch);
        let _ = writeln!(lines, "{step},{epoch},{},{batch_size}", rates.at(step));
        if step % CHUNK == CHUNK - 1 {
            output::text(&lines)?;
            lines.clear();
        }
    }
    output::text(&lines)
}
