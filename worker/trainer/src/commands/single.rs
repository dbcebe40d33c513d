//! The commands that compute one thing with given weights: `predict`,
//! `evaluate`, `init`, `gradients`.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::json;
use tch::{Kind, Tensor, no_grad};

use crate::cli::{Evaluate, Gradients, Init, Predict};
use crate::data::{self, Facts, Places};
use crate::evaluate;
use crate::failure::Failure;
use crate::loss::Target;
use crate::measure::{self, ExtraSet};
use crate::model::{Model, Noise, Pass};
use crate::session::{self, Session};
use crate::tensor_file::{self, TensorFile};
use crate::{dataset, output, spec_file, step};

/// How many classes are printed for an image file.
const TOP: i64 = 5;

/// A class that an image may have.
#[derive(Serialize)]
struct Guess {
    class: i64,
    name: String,
    probability: f32,
}

/// Prints the classes of image files, or writes the logits of given tensors.
pub(super) fn predict(args: &Predict) -> Result<(), Failure> {
    let job = spec_file::read(&args.weighted.spec.spec)?;
    let session = Session::new(args.weighted.compute)?;
    let (model, weights, facts) = session.loaded(&job, &args.weighted.weights)?;
    let images = match &args.images {
        Some(path) => {
            let file = TensorFile::read(path)?;
            file.tensor(&file.parse()?, "images")?
        }
        None => pictures(&args.image, &facts)?,
    };
    let images = dataset::given(&images, &facts, session.device())?;
    let logits = evaluate::logits(&model, &weights, &images)?;
    for (index, path) in args.image.iter().enumerate() {
        output::json_line(&json!({
            "image": path.to_string_lossy(),
            "top": guesses(&logits.get(index as i64), &facts),
        }))?;
    }
    match &args.out {
        Some(out) => tensor_file::write(out, &[("logits".to_owned(), logits)]),
        None => Ok(()),
    }
}

/// Image files in the form of the data set's images: N×C×H×W, u8.
fn pictures(paths: &[PathBuf], facts: &Facts) -> Result<Tensor, Failure> {
    let mut pixels = Vec::new();
    for path in paths {
        pixels.extend(data::read_picture(path, facts.shape())?);
    }
    let count = paths.len() as i64;
    let size = [count, facts.channels, facts.height, facts.width];
    Ok(Tensor::f_from_data_size(&pixels, &size, Kind::Uint8)?)
}

/// The likeliest classes by the logits of one image, likeliest first.
fn guesses(logits: &Tensor, facts: &Facts) -> Vec<Guess> {
    let probabilities = logits.softmax(0, Kind::Float).to_device(tch::Device::Cpu);
    let (values, classes) = probabilities.topk(TOP.min(facts.classes), 0, true, true);
    (0..classes.size()[0])
        .map(|rank| {
            let class = classes.int64_value(&[rank]);
            Guess {
                class,
                name: facts.class_name(class as usize),
                probability: values.double_value(&[rank]) as f32,
            }
        })
        .collect()
}

/// Prints how weights do on a set.
pub(super) fn evaluate(args: &Evaluate) -> Result<(), Failure> {
    let weighted = &args.weighted;
    let job = spec_file::read(&weighted.spec.spec)?;
    let mut session = Session::new(weighted.compute)?;
    let spec = spec_file::training(&job)?;
    let dataset = session.dataset(&spec.dataset)?;
    let mut facts = dataset.facts.clone();
    let (model, weights) = session::load(spec, &mut facts, &weighted.weights, session.device())?;
    let weights = weights.prepared(spec);
    let extra;
    let (name, set) = match args.set.as_str() {
        "test" => ("test", &dataset.test),
        "train" => ("train", &dataset.train),
        other => {
            extra = ExtraSet::load(&session, other, &facts, "--set")?;
            (extra.label.as_str(), &extra.images)
        }
    };
    let logits = evaluate::logits_of(&model, &weights, set, &dataset.normalizer)?;
    let mut line = evaluate::report(&logits, &set.labels, facts.classes);
    line.insert("set".to_owned(), json!(args.set));
    if !facts.class_names.is_empty() {
        let names = (0..facts.classes).map(|class| facts.class_name(class as usize));
        line.insert("classes".to_owned(), names.collect());
    }
    // A file may be named `train`, and is still a test set.
    if args.set != "train" {
        for measure in ["error", "loss"] {
            let value = line[measure].clone();
            line.insert(format!("test_{measure}"), value);
        }
    }
    if let Some(path) = &args.predictions {
        tensor_file::write(path, &measure::predicted(name, logits, &set.labels))?;
    }
    output::json_line(&line)
}

/// Writes the initial weights of a spec.
pub(super) fn init(args: &Init) -> Result<(), Failure> {
    let job = spec_file::read(&args.spec.spec)?;
    let spec = spec_file::training(&job)?;
    let facts = data::outline(&spec.dataset, &Places::from_environment())?;
    let model = Model::new(&spec.model, &facts)?;
    let weights = model.initial(&spec.init, spec.seed, tch::Device::Cpu)?;
    weights.write(model.layout(), &args.out)
}

/// Writes loss, logits and gradients of one batch.
pub(super) fn gradients(args: &Gradients) -> Result<(), Failure> {
    let job = spec_file::read(&args.weighted.spec.spec)?;
    let session = Session::new(args.weighted.compute)?;
    let (model, weights, facts) = session.loaded(&job, &args.weighted.weights)?;
    let file = TensorFile::read(&args.images)?;
    let images = file.tensor(&file.parse()?, "images")?;
    let images = dataset::given(&images, &facts, session.device())?;
    let file = TensorFile::read(&args.labels)?;
    let labels = file.tensor(&file.parse()?, "labels")?;
    check_labels(&file, &labels, images.size()[0], facts.classes)?;
    let labels = labels.to_device(session.device());
    let spec = spec_file::training(&job)?;
    let noise = Noise {
        seed: spec.seed,
        step: 0,
        chunk: 0,
    };
    let logits = model.forward(&weights, &images, Pass::Training(noise));
    let target = Target::Labels(labels);
    let loss = target.loss(std::slice::from_ref(&logits), &spec.loss);
    let gradients = step::gradients(&loss, &weights);
    let mut tensors = vec![
        ("loss".to_owned(), loss),
        ("logits".to_owned(), logits.to_kind(Kind::Float)),
    ];
    let parameters = &model.layout().parameters;
    for (parameter, gradient) in parameters.iter().zip(gradients) {
        tensors.push((
            format!("grad/{}", parameter.name),
            gradient.to_kind(Kind::Float),
        ));
    }
    for (buffer, tensor) in model.layout().buffers.iter().zip(weights.buffers()) {
        tensors.push((
            format!("after_forward/{}", buffer.name),
            tensor.shallow_clone(),
        ));
    }
    no_grad(|| tensor_file::write(&args.out, &tensors))
}

fn check_labels(
    file: &TensorFile,
    labels: &Tensor,
    count: i64,
    classes: i64,
) -> Result<(), Failure> {
    if labels.kind() != Kind::Int64 || labels.size() != [count] {
        let what = format!("`labels` is not an i64 tensor of {count} elements");
        return Err(file.wrong(&what));
    }
    let outside = labels.lt(0).logical_or(&labels.ge(classes)).any();
    if outside.int64_value(&[]) == 0 {
        Ok(())
    } else {
        Err(file.wrong(&format!("`labels` holds a class outside 0..{classes}")))
    }
}
