//! `trainer sharpness`: how far the loss rises around trained weights.

use serde_json::{Value, json};

use crate::analysis::Landscape;
use crate::analysis::sharpness::{FullSpace, Middle, RandomSpace, Rise, Space, rise};
use crate::cli::{Set, Sharpness};
use crate::dataset::{Dataset, Images};
use crate::failure::Failure;
use crate::session::{self, Session};
use crate::{output, process, spec_file};

/// Prints the sharpness of weights.
pub(super) fn run(args: &Sharpness) -> Result<(), Failure> {
    process::catch_sigterm();
    let job = spec_file::read(&args.weighted.spec.spec)?;
    let mut session = Session::new(args.weighted.compute)?;
    let spec = spec_file::training(&job)?;
    let dataset = session.dataset(&spec.dataset)?;
    let mut facts = dataset.facts.clone();
    let path = &args.weighted.weights;
    let (model, weights) = session::load(spec, &mut facts, path, session.device())?;
    let images = images(args, &dataset)?;
    let count = images.count();
    let landscape = Landscape::new(&model, &weights, images, &dataset.normalizer);
    let (loss, gradient) = landscape.middle()?;
    if !loss.is_finite() {
        return Err(Failure::Invalid(format!(
            "{}: the loss of these weights is not finite, so there is no minimum to measure",
            path.display()
        )));
    }
    output::message(&format!("loss {loss} over {count} images"));
    let mut rises: Vec<Vec<Rise>> = vec![Vec::new(); args.epsilon.len()];
    if args.full_space {
        let mut space = FullSpace::new(&landscape)?;
        let middle = FullSpace::middle(loss, &gradient)?;
        trial(args, "full space", &mut space, &middle, &mut rises)?;
    } else {
        for number in 0..args.trials {
            let dimensions = usize::from(args.dimensions);
            let mut space = RandomSpace::new(&landscape, dimensions, args.seed, u64::from(number))?;
            let middle = space.middle(loss, &gradient)?;
            let name = format!("subspace {} of {}", number + 1, args.trials);
            trial(args, &name, &mut space, &middle, &mut rises)?;
        }
    }
    let epsilons = args.epsilon.iter().zip(&rises);
    output::json_line(&json!({
        "loss": loss,
        "set": match args.set { Set::Train => "train", Set::Test => "test" },
        "images": count,
        "parameters": model.layout().parameter_count(),
        "dimensions": (!args.full_space).then_some(args.dimensions),
        "iterations": args.iterations,
        "seed": (!args.full_space).then_some(args.seed),
        "epsilons": epsilons.map(|(epsilon, rises)| summary(*epsilon, rises)).collect::<Vec<_>>(),
    }))
}

/// The images that `--set` and `--images` name.
fn images(args: &Sharpness, dataset: &Dataset) -> Result<Images, Failure> {
    let set = match args.set {
        Set::Train => &dataset.train,
        Set::Test => &dataset.test,
    };
    let count = args.images.map_or(set.count(), i64::from);
    if count > set.count() {
        return Err(Failure::Invalid(format!(
            "--images {count}: the set has {}",
            set.count()
        )));
    }
    Ok(Images {
        pixels: set.pixels.narrow(0, 0, count),
        labels: set.labels.narrow(0, 0, count),
    })
}

/// Measures every epsilon in one space.
fn trial(
    args: &Sharpness,
    name: &str,
    space: &mut impl Space,
    middle: &Middle,
    rises: &mut [Vec<Rise>],
) -> Result<(), Failure> {
    for (epsilon, rises) in args.epsilon.iter().zip(rises) {
        let found = rise(space, middle, *epsilon, args.iterations)?;
        output::message(&format!(
            "{name}, epsilon {epsilon}: sharpness {:.4} after {} evaluations",
            found.sharpness, found.evaluations
        ));
        rises.push(found);
    }
    Ok(())
}

fn summary(epsilon: f64, rises: &[Rise]) -> Value {
    let values: Vec<f64> = rises.iter().map(|rise| rise.sharpness).collect();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let square: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    // A single trial has no spread.
    let sd = (values.len() > 1).then(|| (square / (count - 1.0)).sqrt());
    let largest = rises.iter().map(|rise| rise.largest_loss);
    json!({
        "epsilon": epsilon,
        "sharpness": values,
        "mean": mean,
        "sd": sd,
        "largest_loss": largest.fold(f64::NEG_INFINITY, f64::max),
        "evaluations": rises.iter().map(|rise| rise.evaluations).sum::<u32>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_have_the_sample_deviation() {
        let rises: Vec<Rise> = [1.0, 2.0, 6.0]
            .into_iter()
            .map(|sharpness| Rise {
                sharpness,
                largest_loss: 10.0 + sharpness,
                evaluations: 4,
            })
            .collect();
        let found = summary(1e-3, &rises);
        assert_eq!(found["mean"], 3.0);
        // √((4 + 1 + 9) / 2).
        assert_eq!(found["sd"], 7.0_f64.sqrt());
        assert_eq!(
            (&found["largest_loss"], &found["evaluations"]),
            (&json!(16.0), &json!(12))
        );
        assert_eq!(summary(1e-3, &rises[..1])["sd"], Value::Null);
    }
}
