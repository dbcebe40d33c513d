//! Every key of a job spec: its type, its range, and where it applies.
//!
//! One table serves the checks, the nearest-key hints and the docs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::Value;

use super::SpecError;
use crate::limits::MISTAKES_TOLD_MAX;
use crate::program::Arguments;
use crate::suggest::nearest;
use crate::text::quoted;

/// What values a key takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A whole number in this closed range.
    Int(i64, i64),
    /// A finite number in this closed range.
    Float(f64, f64),
    /// `true` or `false`.
    Bool,
    /// Any text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list whose items are of this kind.
    List(&'static Self),
    /// A side in pixels or `[height, width]`.
    Size,
    /// A list of `{ epoch, batch_size }`.
    BatchSteps,
    /// Anything; Swath knows no keys inside it.
    Free,
}

/// One key of the spec.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The key's dotted path.
    pub path: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// The values of the table's `name` for which the key has a meaning; empty
    /// when it always has.
    pub under: &'static [&'static str],
    /// One line for people.
    pub doc: &'static str,
}

const NATURAL: Kind = Kind::Int(1, 1 << 31);
const SIDE: Kind = Kind::Int(1, 4096);
const COUNT: Kind = Kind::Int(0, 1 << 31);
const RATE: Kind = Kind::Float(0.0, 1e6);
const FRACTION: Kind = Kind::Float(0.0, 1.0);
const POSITIVE: Kind = Kind::Float(1e-12, 1e6);

/// Data sets by name.
pub const DATASETS: &[&str] = &[
    "cifar10",
    "cifar100",
    "mnist",
    "fashion_mnist",
    "kmnist",
    "digits",
    "tensors",
    "folder",
];
/// Architectures by name.
pub const MODELS: &[&str] = &[
    "resnet",
    "resnet_preact",
    "se_resnet_preact",
    "wrn",
    "densenet",
    "pyramidnet",
    "resnext",
    "shake_shake",
    "vgg",
];
/// Optimizers by name.
pub const OPTIMIZERS: &[&str] = &["sgd", "lars", "adam", "adamw"];
/// Learning-rate schedules by name.
pub const SCHEDULES: &[&str] = &[
    "constant",
    "multistep",
    "cosine",
    "linear",
    "polynomial",
    "sgdr",
];
/// Warm-ups by name.
pub const WARMUPS: &[&str] = &["linear", "exponential", "constant"];

const PREACTS: &[&str] = &["resnet_preact", "se_resnet_preact"];
const CHANNELLED: &[&str] = &[
    "resnet",
    "resnet_preact",
    "se_resnet_preact",
    "wrn",
    "pyramidnet",
    "resnext",
    "shake_shake",
];
const DEEP: &[&str] = &[
    "resnet",
    "resnet_preact",
    "se_resnet_preact",
    "wrn",
    "densenet",
    "pyramidnet",
    "resnext",
    "shake_shake",
];
const BLOCKED: &[&str] = &[
    "resnet",
    "resnet_preact",
    "se_resnet_preact",
    "densenet",
    "pyramidnet",
];
const DECAYING: &[&str] = &["cosine", "linear", "polynomial", "sgdr"];

const fn key(
    path: &'static str,
    kind: Kind,
    under: &'static [&'static str],
    doc: &'static str,
) -> Key {
    Key {
        path,
        kind,
        under,
        doc,
    }
}

/// All keys.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("dataset.name", Kind::Word(DATASETS), &[], "the data set"),
    key("dataset.path", Kind::Text, &["tensors", "folder"], "where the data set lies"),
    key("dataset.mean", Kind::List(&FRACTION), &["tensors", "folder"], "mean per channel, pixels in 0..1"),
    key("dataset.std", Kind::List(&POSITIVE), &["tensors", "folder"], "standard deviation per channel, pixels in 0..1"),
    key("dataset.size", Kind::Size, &["folder"], "images are cropped and resized to it: a side, or [height, width]"),
    key("dataset.channels", Kind::Int(1, 3), &["folder"], "1: grey, 3: colour"),
    key("model.name", Kind::Word(MODELS), &[], "the architecture"),
    key("model.depth", Kind::Int(1, 10_000), DEEP, "layers with weights"),
    key("model.initial_channels", Kind::Int(1, 4096), CHANNELLED, "channels after the stem"),
    key("model.block_type", Kind::Word(&["basic", "bottleneck"]), BLOCKED, "the residual block"),
    key("model.remove_first_relu", Kind::Bool, PREACTS, "drop the first ReLU of each block"),
    key("model.add_last_bn", Kind::Bool, PREACTS, "append a BN to each block"),
    key("model.preact_stage", Kind::List(&Kind::Bool), PREACTS, "per stage: its first block activates the shortcut too"),
    key("model.se_reduction", Kind::Int(1, 4096), &["se_resnet_preact"], "squeeze-and-excitation reduction"),
    key("model.widening_factor", Kind::Int(1, 1024), &["wrn"], "width over that of a ResNet"),
    key("model.drop_rate", FRACTION, &["wrn", "densenet"], "dropout"),
    key("model.growth_rate", Kind::Int(1, 4096), &["densenet"], "channels that a layer adds"),
    key("model.compression_rate", FRACTION, &["densenet"], "channels that a transition keeps"),
    key("model.alpha", Kind::Int(0, 100_000), &["pyramidnet"], "channels added from first to last block"),
    key("model.cardinality", Kind::Int(1, 4096), &["resnext"], "groups"),
    key("model.base_channels", Kind::Int(1, 4096), &["resnext"], "channels per group in the first stage"),
    key("model.shake_forward", Kind::Bool, &["shake_shake"], "random weights in the forward pass"),
    key("model.shake_backward", Kind::Bool, &["shake_shake"], "random weights in the backward pass"),
    key("model.shake_image", Kind::Bool, &["shake_shake"], "weights per image instead of per batch"),
    key("model.legacy", Kind::Bool, &["shake_shake", "vgg"], "the architecture of the published numbers"),
    key("model.n_channels", Kind::List(&Kind::Int(1, 4096)), &["vgg"], "channels per stage"),
    key("model.n_layers", Kind::List(&Kind::Int(1, 100)), &["vgg"], "convolutions per stage"),
    key("model.use_bn", Kind::Bool, &["vgg"], "BN after each convolution"),
    key("batch_size", NATURAL, &[], "images per optimizer step"),
    key("ghost_batch_size", NATURAL, &[], "images per chunk of BN statistics"),
    key("accumulation_steps", NATURAL, &[], "micro-batches per optimizer step"),
    key("epochs", NATURAL, &[], "the budget in epochs"),
    key("steps", NATURAL, &[], "the budget in optimizer steps"),
    key("optimizer.name", Kind::Word(OPTIMIZERS), &[], "the optimizer"),
    key("optimizer.lr", RATE, &[], "the base learning rate"),
    key("optimizer.momentum", FRACTION, &["sgd", "lars"], "momentum"),
    key("optimizer.nesterov", Kind::Bool, &["sgd"], "Nesterov's momentum"),
    key("optimizer.weight_decay", RATE, &[], "weight decay"),
    key("optimizer.weight_decay_on", Kind::Word(&["all", "all_but_bn", "weights"]), &[], "what decays"),
    key("optimizer.adapt_on", Kind::Word(&["all", "all_but_bn", "weights"]), &["lars"], "what has a local rate; it is 1 for the rest"),
    key("optimizer.trust_coefficient", RATE, &["lars"], "LARS trust coefficient"),
    key("optimizer.threshold", RATE, &["lars"], "weight norm below which the local rate is 1"),
    key("optimizer.eps", RATE, &["lars", "adam", "adamw"], "added to the denominator"),
    key("optimizer.beta1", FRACTION, &["adam", "adamw"], "decay of the first moment"),
    key("optimizer.beta2", FRACTION, &["adam", "adamw"], "decay of the second moment"),
    key("schedule.name", Kind::Word(SCHEDULES), &[], "the learning-rate schedule"),
    key("schedule.milestones", Kind::List(&RATE), &["multistep"], "where the rate drops: epochs (>= 1) or fractions of the budget (< 1)"),
    key("schedule.gamma", RATE, &["multistep"], "the factor of each drop"),
    key("schedule.min_lr", RATE, DECAYING, "where the rate ends"),
    key("schedule.power", RATE, &["polynomial"], "the exponent"),
    key("schedule.t0", NATURAL, &["sgdr"], "epochs of the first period"),
    key("schedule.t_mult", NATURAL, &["sgdr"], "each period over the one before"),
    key("warmup.name", Kind::Word(WARMUPS), &[], "the warm-up"),
    key("warmup.epochs", NATURAL, &[], "its length in epochs"),
    key("warmup.steps", NATURAL, &[], "its length in steps"),
    key("warmup.start_factor", POSITIVE, &[], "the first rate over the base rate"),
    key("batch_schedule", Kind::BatchSteps, &[], "batch sizes from given epochs on"),
    key("augmentation.random_crop.padding", COUNT, &[], "zero pixels around the image before the crop"),
    key("augmentation.horizontal_flip", Kind::Bool, &[], "mirror half of the images"),
    key("augmentation.cutout.size", COUNT, &[], "side of the masked square"),
    key("augmentation.random_erasing.probability", FRACTION, &[], "how many images are erased"),
    key("augmentation.random_erasing.min_area", FRACTION, &[], "least erased share"),
    key("augmentation.random_erasing.max_area", FRACTION, &[], "largest erased share"),
    key("augmentation.random_erasing.min_aspect", POSITIVE, &[], "least aspect ratio"),
    key("augmentation.random_erasing.max_attempts", NATURAL, &[], "tries to place the rectangle"),
    key("augmentation.mixup.alpha", POSITIVE, &[], "Beta parameter"),
    key("augmentation.ricap.beta", POSITIVE, &[], "Beta parameter"),
    key("augmentation.cutmix.alpha", POSITIVE, &[], "Beta parameter"),
    key("augmentation.dual_cutout.size", NATURAL, &[], "side of the masked squares"),
    key("augmentation.dual_cutout.alpha", RATE, &[], "weight of the consistency loss"),
    key("loss.label_smoothing", FRACTION, &[], "epsilon"),
    key("init.conv", Kind::Word(&["kaiming_fan_out", "kaiming_fan_in"]), &[], "convolution weights"),
    key("init.linear", Kind::Word(&["framework", "kaiming_fan_out", "kaiming_fan_in", "normal"]), &[], "classifier weights"),
    key("init.bn", Kind::Word(&["ones", "uniform"]), &[], "gammas of BN"),
    key("init.zero_gamma", Kind::Bool, &[], "the last BN of each block starts at 0"),
    key("precision", Kind::Word(&["fp32", "bf16", "fp16", "fp16_pure"]), &[], "number format of the training"),
    key("gradient_clip_norm", POSITIVE, &[], "limit of the gradient's norm"),
    key("shuffle", Kind::Bool, &[], "a new order in each epoch"),
    key("drop_last", Kind::Bool, &[], "drop the last, partial batch"),
    key("seed", Kind::Int(0, (1 << 53) - 1), &[], "everything random derives from it"),
    key("extra_test_sets", Kind::List(&Kind::Text), &[], "evaluated at the end"),
    key("probe", Kind::Bool, &[], "measure `steps` steps instead of training"),
    key("trainer.command", Kind::List(&Kind::Text), &[], "a program and its arguments"),
    key("trainer.arguments", Kind::Word(&Arguments::NAMES), &[], "how it gets the parameters"),
    key("trainer.metric", Kind::Text, &[], "the metric that fills the cell"),
    key("trainer.read", Kind::Free, &[], "where its numbers are read"),
    key("trainer.inputs", Kind::Free, &[], "the files that it is made of, and their digests"),
    key("trainer.environment", Kind::Free, &[], "variables of its environment"),
    key("trainer.seeds", Kind::Free, &[], "how its replicates get their seeds"),
    key("trainer.goal", Kind::Word(&["minimize", "maximize"]), &[], "which values of the metric are better; its name may imply it"),
    key("trainer.probe", Kind::Bool, &[], "the program measures its steps where `probe` is set"),
    key("trainer.null", Kind::Bool, &[], "do nothing at all: measures the queue itself"),
    key("params", Kind::Free, &[], "free parameters of a program"),
];

/// The keys by path, because a grid of a million cells looks each of them up.
static BY_PATH: LazyLock<BTreeMap<&str, &Key>> =
    LazyLock::new(|| KEYS.iter().map(|key| (key.path, key)).collect());

/// Every table of the spec, nested ones too.
static TABLES: LazyLock<BTreeSet<&str>> = LazyLock::new(|| {
    let ends = |path: &'static str| path.match_indices('.').map(move |(at, _)| &path[..at]);
    KEYS.iter().flat_map(|key| ends(key.path)).collect()
});

/// The keys that have a meaning only under some names of their table.
static CONDITIONAL: LazyLock<Vec<(&str, &str, &Key)>> = LazyLock::new(|| {
    let conditional = KEYS.iter().filter(|key| !key.under.is_empty());
    conditional
        .filter_map(|key| {
            let (table, leaf) = key.path.split_once('.')?;
            Some((table, leaf, key))
        })
        .collect()
});

/// The key at `path`; everything under `params.` is `params`.
pub fn find(path: &str) -> Option<&'static Key> {
    let path = if path.starts_with("params.") {
        "params"
    } else {
        path
    };
    BY_PATH.get(path).copied()
}

/// Whether `path` is a table of the spec, not a key.
pub fn is_table(path: &str) -> bool {
    TABLES.contains(path)
}

/// The key that one that the spec does not have was likely meant to be: one that
/// looks alike, or one of another table with this name.
pub fn meant(path: &str) -> Option<&'static str> {
    let parts = |path: &'static str| path.rsplit_once('.').unwrap_or(("", path));
    let (table, leaf) = path.rsplit_once('.').unwrap_or(("", path));
    let all = || KEYS.iter().map(|key| key.path);
    let beside = || all().filter(|known| parts(known).0 == table);
    let near = || {
        let near = nearest(leaf, beside().map(|known| parts(known).1))?;
        beside().find(|known| parts(known).1 == near)
    };
    let elsewhere = || all().find(|known| table.is_empty() && parts(known).1 == leaf);
    nearest(path, all()).or_else(near).or_else(elsewhere)
}

/// The error for a key that the spec does not have.
pub fn unknown(path: &str) -> SpecError {
    let table = path.split_once('.').map(|(table, _)| table);
    let hint = match (meant(path), table.filter(|table| is_table(table))) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, Some(table)) => format!("`{table}` has {}", names_under(table)),
        (None, None) => format!(
            "the keys are {}; a parameter of a program of your own is `params.{path}`",
            top_level()
        ),
    };
    SpecError::new(path, format!("unknown key; {hint}"))
}

fn names_under(table: &str) -> String {
    let names: Vec<_> = KEYS
        .iter()
        .filter_map(|key| key.path.strip_prefix(table)?.strip_prefix('.'))
        .map(|name| format!("`{name}`"))
        .collect();
    names.join(", ")
}

fn top_level() -> String {
    let mut names: Vec<_> = KEYS
        .iter()
        .map(|key| key.path.split('.').next().unwrap_or(key.path))
        .collect();
    names.dedup();
    names.join(", ")
}

/// Checks a whole tree: keys known, values of their kind, options that the
/// chosen `name` has. Returns every error, as far as there are not too many.
pub fn check(tree: &Value) -> Vec<SpecError> {
    let mut errors = Vec::new();
    walk(tree, &mut String::new(), &mut errors);
    if errors.is_empty() {
        check_applicable(tree, &mut errors);
    }
    errors
}

/// `path` is one buffer for the whole walk, because a grid checks a million
/// trees.
fn walk(value: &Value, path: &mut String, errors: &mut Vec<SpecError>) {
    if errors.len() == MISTAKES_TOLD_MAX {
        return;
    }
    if let Some(key) = find(path) {
        if let Err(message) = check_value(key.kind, value) {
            errors.push(SpecError::new(path.as_str(), message));
        }
        return;
    }
    match value {
        Value::Object(entries) if path.is_empty() || is_table(path) => {
            let length = path.len();
            for (name, value) in entries {
                if length > 0 {
                    path.push('.');
                }
                path.push_str(name);
                walk(value, path, errors);
                path.truncate(length);
            }
        }
        _ if is_table(path) => errors.push(SpecError::new(
            path.as_str(),
            format!(
                "must be a table with {}, not {}",
                names_under(path),
                describe(value)
            ),
        )),
        _ => errors.push(unknown(path)),
    }
}

fn check_applicable(tree: &Value, errors: &mut Vec<SpecError>) {
    for (table, leaf, key) in CONDITIONAL.iter().copied() {
        let Some(entries) = tree.get(table) else {
            continue;
        };
        let Some(value) = entries.get(leaf) else {
            continue;
        };
        let default = match table {
            "optimizer" => Some("sgd"),
            _ => None,
        };
        let Some(name) = entries.get("name").and_then(Value::as_str).or(default) else {
            continue;
        };
        if !key.under.contains(&name) && !denies_nesterov(key.path, value) {
            errors.push(inapplicable(table, leaf, name));
        }
    }
}

/// Whether this says that there is no Nesterov momentum. That is true for every
/// optimizer but SGD, so a recipe or an axis may say it for them too.
pub fn denies_nesterov(path: &str, value: &Value) -> bool {
    path == "optimizer.nesterov" && *value == Value::Bool(false)
}

fn inapplicable(table: &str, leaf: &str, name: &str) -> SpecError {
    let options = KEYS.iter().filter_map(|key| {
        let (of, leaf) = key.path.split_once('.')?;
        let applies = key.under.is_empty() || key.under.contains(&name);
        (of == table && applies && leaf != "name").then_some(leaf)
    });
    let options: Vec<_> = options.collect();
    let near = nearest(leaf, options.iter().copied())
        .map(|near| format!(" did you mean `{table}.{near}`?"))
        .unwrap_or_default();
    let options = options.join(", ");
    SpecError::new(
        format!("{table}.{leaf}"),
        format!("`{name}` has no such option;{near} it takes: {options}"),
    )
}

/// Checks that `value` is of `kind`; the message says what is expected.
pub fn check_value(kind: Kind, value: &Value) -> Result<(), String> {
    let expected = |what: String| Err(format!("must be {what}, not {}", describe(value)));
    match kind {
        Kind::Int(min, max) => match whole(value) {
            Some(number) if (min..=max).contains(&number) => Ok(()),
            _ => expected(format!("a whole number from {min} to {max}")),
        },
        Kind::Float(min, max) => match value.as_f64() {
            Some(number) if (min..=max).contains(&number) => Ok(()),
            _ => expected(format!("a number from {min} to {max}")),
        },
        Kind::Bool if value.is_boolean() => Ok(()),
        Kind::Bool => expected("true or false".to_owned()),
        Kind::Text if value.is_string() => Ok(()),
        Kind::Text => expected("a text".to_owned()),
        Kind::Word(words) => match value.as_str() {
            Some(word) if words.contains(&word) => Ok(()),
            Some(word) => {
                let near = nearest(word, words.iter().copied())
                    .map(|near| format!("; did you mean \"{near}\"?"))
                    .unwrap_or_default();
                expected(format!("one of {}", words.join(", "))).map_err(|text| text + &near)
            }
            None => expected(format!("one of {}", words.join(", "))),
        },
        Kind::List(item) => match value.as_array() {
            Some(items) => items.iter().enumerate().try_for_each(|(index, value)| {
                check_value(*item, value).map_err(|text| format!("item {}: {text}", index + 1))
            }),
            None => expected("a list".to_owned()),
        },
        Kind::Size => match value.as_array().map(Vec::as_slice) {
            None if value.is_number() => check_value(SIDE, value),
            Some([height, width]) => {
                check_value(SIDE, height)?;
                check_value(SIDE, width)
            }
            _ => expected("a side in pixels or [height, width]".to_owned()),
        },
        Kind::BatchSteps => check_batch_steps(value),
        Kind::Free => Ok(()),
    }
}

fn check_batch_steps(value: &Value) -> Result<(), String> {
    let shape = "must be a list of { epoch, batch_size }";
    let items = value.as_array().ok_or(shape)?;
    for item in items {
        let entries = item.as_object().ok_or(shape)?;
        for (name, value) in entries {
            match name.as_str() {
                "epoch" => check_value(COUNT, value),
                "batch_size" => check_value(NATURAL, value),
                other => Err(format!("unknown key `{other}`; {shape}")),
            }?;
        }
        if entries.len() != 2 {
            return Err(shape.to_owned());
        }
    }
    Ok(())
}

/// A number without a fraction, even if it was written as `4.0`.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let number = value.as_f64()?;
        (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
    })
}

/// A value as an error message shows it.
pub fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => format!("{value}"),
        Value::Number(value) => format!("{value}"),
        Value::String(value) => quoted(value),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a table".to_owned(),
    }
}
