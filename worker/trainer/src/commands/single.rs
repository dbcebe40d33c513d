//! The commands that compute one thing with given weights: `predict`,
//! `evaluate`, `init`, `gradients`.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::json;
use tch::{Kind, Tensor, no_grad};

use crate::cli::{Gradients, Init, Predict, Weighted};
use crate::data::{self, Facts, Places};
use crate::evaluate;
use crate::failure::Failure;
use crate::model::{Model, Noise, Pass};
use crate::session::{self, Session};
use crate::tensor_file::{self, TensorFile};
use crate::{dataset, output, spec_file, step};

/// Classes that are told for an image file.
const TOP: i64 = 5;

/// A class that an image may be of.
#[derive(Serialize)]
struct Guess {
    class: i64,
    name: String,
    probability: f32,
}

/// Tells the classes of image files, or writes the logits of given tensors.
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

/// Image files as the data set has its images: N×C×H×W, u8.
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

/// Prints what weights do on the test set.
pub(super) fn evaluate(args: &Weighted) -> Result<(), Failure> {
    let job = spec_file::read(&args.spec.spec)?;
    let mut session = Session::new(args.compute)?;
    let spec = spec_file::training(&job)?;
    let dataset = session.dataset(&spec.dataset)?;
    let mut facts = dataset.facts.clone();
    let (model, weights) = session::load(spec, &mut facts, &args.weights, session.device())?;
    let weights = weights.prepared(spec);
    let logits = evaluate::logits_of(&model, &weights, &dataset.test, &dataset.normalizer)?;
    let score = evaluate::score_of(&logits, &dataset.test.labels);
    let confusion = evaluate::confusion(&logits, &dataset.test.labels, facts.classes);
    // A class without images has no error: null.
    let per_class: Vec<Option<f64>> = confusion
        .iter()
        .enumerate()
        .map(|(class, row)| {
            let images: i64 = row.iter().sum();
            let wrong = images - row[class];
            (images > 0).then(|| 100.0 * wrong as f64 / images as f64)
        })
        .collect();
    output::json_line(&json!({
        "test_error": score.error,
        "test_loss": score.loss,
        "images": dataset.test.count(),
        "per_class_error": per_class,
        "confusion": confusion,
    }))
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
    let noise = Noise {
        seed: spec_file::training(&job)?.seed,
        step: 0,
        chunk: 0,
    };
    let logits = model.forward(&weights, &images, Pass::Training(noise));
    let loss = logits.cross_entropy_for_logits(&labels);
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
        let what = format!("`labels` is no i64 tensor of {count} elements");
        return Err(file.wrong(&what));
    }
    let outside = labels.lt(0).logical_or(&labels.ge(classes)).any();
    if outside.int64_value(&[]) == 0 {
        Ok(())
    } else {
        Err(file.wrong(&format!("`labels` holds a class outside 0..{classes}")))
    }
}
