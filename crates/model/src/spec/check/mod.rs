//! Rules for a whole spec: what must be there, and what excludes what.

mod augmentation;
mod model;

use serde_json::Value;

pub use self::augmentation::oversized;
pub use self::model::overpooled;
use super::{
    Augmentation, Dataset, Optimizer, Precision, Schedule, Size, SpecError, TrainingSpec, lookup,
    test_set,
};

/// The keys without which nothing can be trained.
pub(super) fn required(tree: &Value) -> Result<(), Vec<SpecError>> {
    let always = ["dataset.name", "model.name", "batch_size", "optimizer.lr"];
    let name = |table: &str| lookup(tree, &format!("{table}.name")).and_then(Value::as_str);
    let model: &[&str] = match name("model") {
        Some("wrn") => &["model.depth", "model.widening_factor"],
        Some("pyramidnet") => &["model.depth", "model.alpha"],
        Some("resnext") => &["model.depth", "model.cardinality", "model.base_channels"],
        Some("shake_shake") => &["model.depth", "model.initial_channels"],
        Some("vgg") | None => &[],
        Some(_) => &["model.depth"],
    };
    let dataset: &[&str] = match name("dataset") {
        Some("tensors" | "folder") => &["dataset.path"],
        _ => &[],
    };
    let schedule: &[&str] = match name("schedule") {
        Some("multistep") => &["schedule.milestones"],
        Some("sgdr") => &["schedule.t0"],
        _ => &[],
    };
    let mut errors: Vec<_> = [&always, model, dataset, schedule]
        .concat()
        .into_iter()
        .filter(|path| lookup(tree, path).is_none())
        .map(|path| SpecError::new(path, "is missing; set it in the recipe, [fixed] or an axis"))
        .collect();
    for table in ["schedule", "warmup"] {
        if tree.get(table).is_some() && name(table).is_none() {
            errors.push(SpecError::new(format!("{table}.name"), "is missing"));
        }
    }
    if tree.get("params").is_some() {
        errors.push(SpecError::new(
            "params",
            "is for programs (`trainer.command`); the built-in trainer does not read it",
        ));
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

/// Replaces the ways to say "off" by leaving the key out; the optimizer has its
/// name by now.
pub(super) fn normalize(spec: &mut TrainingSpec) {
    let Augmentation {
        random_crop,
        cutout,
        random_erasing,
        ..
    } = &mut spec.augmentation;
    random_crop.take_if(|crop| crop.padding == 0);
    cutout.take_if(|cutout| cutout.size == 0);
    random_erasing.take_if(|erasing| erasing.probability == 0.0);
    if let Dataset::Folder(own) = &mut spec.dataset
        && let Some(Size::Rectangle([height, width])) = own.size
        && height == width
    {
        own.size = Some(Size::Square(height));
    }
    spec.accumulation_steps.take_if(|steps| *steps == 1);
    let largest = micro_batches(spec).max().unwrap_or(0);
    spec.ghost_batch_size.take_if(|size| *size >= largest);
}

/// Images per micro-batch, for each batch size of the training.
fn micro_batches(spec: &TrainingSpec) -> impl Iterator<Item = u32> {
    let parts = spec.accumulation_steps.unwrap_or(1);
    batch_sizes(spec).map(move |(_, size)| size / parts)
}

/// Every batch size of the training, with the key that sets it.
fn batch_sizes(spec: &TrainingSpec) -> impl Iterator<Item = (&'static str, u32)> {
    let later = spec.batch_schedule.iter();
    // A change at epoch 0 replaces the spec's own size.
    let own = spec
        .batch_schedule
        .first()
        .is_none_or(|first| first.epoch > 0);
    own.then_some(("batch_size", spec.batch_size))
        .into_iter()
        .chain(later.map(|step| ("batch_schedule", step.batch_size)))
}

/// Reports every contradiction of the spec.
pub(super) fn whole(spec: &TrainingSpec) -> Vec<SpecError> {
    let mut errors = Vec::new();
    let mut wrong = |key: &str, message: String| errors.push(SpecError::new(key, message));
    match (spec.epochs, spec.steps) {
        (None, None) => wrong("epochs", "is missing; give `epochs` or `steps`".to_owned()),
        (Some(_), Some(_)) => {
            wrong(
                "steps",
                "excludes `epochs`; the budget is one of them".to_owned(),
            );
        }
        _ => {}
    }
    if spec.probe && spec.steps.is_none() {
        wrong(
            "probe",
            "measures so many `steps`; give them instead of `epochs`".to_owned(),
        );
    }
    if spec.optimizer.lr() <= 0.0 {
        wrong("optimizer.lr", "must be greater than 0".to_owned());
    }
    if let Optimizer::Sgd(sgd) = &spec.optimizer
        && sgd.nesterov
        && sgd.momentum == 0.0
    {
        wrong(
            "optimizer.nesterov",
            "needs a momentum greater than 0; set it to false".to_owned(),
        );
    }
    if let Some(warmup) = &spec.warmup
        && warmup.epochs.is_some() == warmup.steps.is_some()
    {
        wrong(
            "warmup.epochs",
            "give exactly one of `warmup.epochs`, `warmup.steps`".to_owned(),
        );
    }
    check_batches(spec, &mut wrong);
    check_adam(&spec.optimizer, &mut wrong);
    check_precision(spec, &mut wrong);
    check_schedule(&spec.schedule, spec.optimizer.lr(), &mut wrong);
    model::check(spec, &mut wrong);
    check_data(&spec.dataset, &mut wrong);
    augmentation::check(spec, &mut wrong);
    test_set::check(&spec.dataset, &spec.extra_test_sets, &mut wrong);
    errors
}

fn check_batches(spec: &TrainingSpec, wrong: &mut impl FnMut(&str, String)) {
    let parts = spec.accumulation_steps.unwrap_or(1);
    for (key, batch) in batch_sizes(spec) {
        if !batch.is_multiple_of(parts) {
            wrong(
                "accumulation_steps",
                format!("{parts} does not divide `{key}` = {batch}"),
            );
        } else if let Some(ghost) = spec.ghost_batch_size
            && ghost < batch / parts
            && !(batch / parts).is_multiple_of(ghost)
        {
            let of = if parts == 1 {
                ""
            } else {
                "the micro-batches of "
            };
            wrong(
                "ghost_batch_size",
                format!("{ghost} does not divide {of}`{key}` = {batch}"),
            );
        }
        if let Some(images) = spec.dataset.train_images()
            && spec.drop_last
            && batch > images
        {
            wrong(
                key,
                format!(
                    "{batch} is more than the {images} training images, and `drop_last` drops \
                     what is no whole batch; nothing is left to train on"
                ),
            );
        }
    }
    if !spec
        .batch_schedule
        .windows(2)
        .all(|pair| pair[0].epoch < pair[1].epoch)
    {
        wrong("batch_schedule", "its epochs must ascend".to_owned());
    }
}

fn check_adam(optimizer: &Optimizer, wrong: &mut impl FnMut(&str, String)) {
    let (Optimizer::Adam(adam) | Optimizer::Adamw(adam)) = optimizer else {
        return;
    };
    for (key, beta) in [
        ("optimizer.beta1", adam.beta1),
        ("optimizer.beta2", adam.beta2),
    ] {
        if beta >= 1.0 {
            wrong(
                key,
                "must be below 1: at 1 no gradient enters the moment".to_owned(),
            );
        }
    }
    if adam.eps <= 0.0 {
        wrong(
            "optimizer.eps",
            "must be greater than 0: a weight whose gradients have all been 0 would be divided by \
             it"
            .to_owned(),
        );
    }
}

fn check_precision(spec: &TrainingSpec, wrong: &mut impl FnMut(&str, String)) {
    if spec.precision == Precision::Fp16Pure && !matches!(spec.optimizer, Optimizer::Sgd(_)) {
        wrong(
            "precision",
            "`fp16_pure` updates the weights in half precision, where this optimizer's state \
             vanishes; use `sgd`, or the precision `fp16`"
                .to_owned(),
        );
    }
}

fn check_schedule(schedule: &Schedule, lr: f64, wrong: &mut impl FnMut(&str, String)) {
    let min_lr = match schedule {
        Schedule::Constant => 0.0,
        Schedule::Multistep(multistep) => {
            let stones = &multistep.milestones;
            let ascending = stones.windows(2).all(|pair| pair[0] < pair[1]);
            let one_unit = stones.iter().all(|at| *at < 1.0) || stones.iter().all(|at| *at >= 1.0);
            if stones.is_empty() || !ascending || !one_unit || stones[0] <= 0.0 {
                wrong(
                    "schedule.milestones",
                    "must ascend, all as epochs (>= 1) or all as fractions of the budget (< 1)"
                        .to_owned(),
                );
            }
            0.0
        }
        Schedule::Cosine(decay) | Schedule::Linear(decay) => decay.min_lr,
        Schedule::Polynomial(polynomial) => polynomial.min_lr,
        Schedule::Sgdr(sgdr) => sgdr.min_lr,
    };
    if min_lr > lr {
        wrong(
            "schedule.min_lr",
            format!("{min_lr} is above `optimizer.lr` = {lr}"),
        );
    }
}

fn check_data(dataset: &Dataset, wrong: &mut impl FnMut(&str, String)) {
    let (Dataset::Tensors(data) | Dataset::Folder(data)) = dataset else {
        return;
    };
    if data.mean.len() != data.std.len() {
        wrong(
            "dataset.std",
            "must have as many channels as `dataset.mean`".to_owned(),
        );
    }
    if data.channels.is_some_and(|channels| channels == 2) {
        wrong("dataset.channels", "must be 1 or 3, not 2".to_owned());
    }
    if data.path.is_empty() {
        wrong("dataset.path", "is empty".to_owned());
    }
}
