//! Sharpness where it is known, and the functions of parameters behind it.

use serde_json::json;
use swath_model::spec::JobSpec;
use tch::{Device, Kind, Tensor, no_grad};

use super::Landscape;
use super::landscape::host;
use super::line::Recomputation;
use super::sharpness::{FullSpace, Middle, RandomSpace, Space, rise};
use crate::cli::Compute;
use crate::dataset::Images;
use crate::evaluate;
use crate::failure::Failure;
use crate::model::{Model, Noise, Pass, Weights};
use crate::session::Session;

/// ½ Σ hᵢ (xᵢ + yᵢ)² in the full space.
struct Bowl {
    curvature: Vec<f64>,
    point: Vec<f64>,
    widths: Vec<f64>,
}

impl Bowl {
    fn new(curvature: &[f64], point: &[f64]) -> Self {
        Self {
            curvature: curvature.to_vec(),
            point: point.to_vec(),
            widths: point.iter().map(|x| x.abs() + 1.0).collect(),
        }
    }

    fn middle(&mut self) -> Middle {
        let mut gradient = vec![0.0; self.point.len()];
        let loss = self
            .at(&vec![0.0; self.point.len()], &mut gradient)
            .unwrap();
        Middle { loss, gradient }
    }

    /// The largest value in the box: every coordinate goes outwards.
    fn largest(&self, epsilon: f64) -> f64 {
        let terms = self.curvature.iter().zip(&self.point).zip(&self.widths);
        terms
            .map(|((h, x), width)| 0.5 * h * (x.abs() + epsilon * width).powi(2))
            .sum()
    }
}

impl Space for Bowl {
    fn widths(&self) -> &[f64] {
        &self.widths
    }

    fn at(&mut self, y: &[f64], gradient: &mut [f64]) -> Result<f64, Failure> {
        let mut value = 0.0;
        for (i, slope) in gradient.iter_mut().enumerate() {
            let place = self.point[i] + y[i];
            value += 0.5 * self.curvature[i] * place * place;
            *slope = self.curvature[i] * place;
        }
        Ok(value)
    }
}

#[test]
fn the_sharpness_of_a_bowl_is_that_of_its_highest_corner() {
    // The second coordinate lies almost at its minimum, the last one's slope
    // is a thousandth of the first one's.
    let mut bowl = Bowl::new(&[2.0, 50.0, 0.5, 0.002], &[1.0, -1e-5, 0.3, 2.0]);
    let middle = bowl.middle();
    let mut before = 0.0;
    for epsilon in [5e-4, 1e-3, 0.1, 1.0] {
        let found = rise(&mut bowl, &middle, epsilon, 10).unwrap();
        let largest = bowl.largest(epsilon);
        let expected = 100.0 * (largest - middle.loss) / (1.0 + middle.loss);
        assert!(
            (found.largest_loss - largest).abs() < 1e-9,
            "{epsilon}: {found:?}"
        );
        assert!(
            (found.sharpness - expected).abs() < 1e-6 * expected,
            "{epsilon}: {found:?}"
        );
        assert!(found.sharpness > before && found.evaluations > 0);
        before = found.sharpness;
    }
}

#[test]
fn the_top_of_a_hill_and_a_plain_have_sharpness_0() {
    for curvature in [-1.0, 0.0] {
        let mut hill = Bowl::new(&[curvature; 3], &[0.0; 3]);
        let middle = hill.middle();
        let found = rise(&mut hill, &middle, 1e-3, 10).unwrap();
        assert_eq!((found.sharpness, found.largest_loss), (0.0, middle.loss));
    }
}

/// A network on the first images of the digits.
struct Small {
    model: Model,
    weights: Weights,
    session: Session,
}

impl Small {
    fn new() -> Self {
        let spec = json!({
            "dataset": {"name": "digits"},
            "model": {"name": "resnet_preact", "depth": 8, "initial_channels": 2},
            "batch_size": 8, "epochs": 1, "optimizer": {"lr": 0.1},
        });
        let job = JobSpec::from_value(&spec).unwrap();
        let spec = job.training().unwrap();
        let compute = Compute {
            device: Device::Cpu,
            threads: Some(1),
        };
        let mut session = Session::new(compute).unwrap();
        let dataset = session.dataset(&spec.dataset).unwrap();
        let model = Model::new(&spec.model, &dataset.facts).unwrap();
        let weights = model.initial(&spec.init, 5, Device::Cpu).unwrap();
        Self {
            model,
            weights,
            session,
        }
    }

    /// Works on the landscape of the first images.
    fn with<T>(&mut self, count: i64, work: impl FnOnce(&Landscape<'_>, &Tensor) -> T) -> T {
        let dataset = self
            .session
            .dataset(&swath_model::spec::Dataset::Digits)
            .unwrap();
        let images = Images {
            pixels: dataset.train.pixels.narrow(0, 0, count),
            labels: dataset.train.labels.narrow(0, 0, count),
        };
        let labels = images.labels.shallow_clone();
        let landscape = Landscape::new(&self.model, &self.weights, images, &dataset.normalizer);
        work(&landscape, &labels)
    }
}

/// For any network: in a small box the loss is linear, and its maximum is Σ ε
/// wᵢ |gᵢ|.
#[test]
fn in_a_small_box_sharpness_is_the_slope_times_the_widths() {
    let epsilon = 1e-5;
    Small::new().with(700, |landscape, _| {
        let (loss, gradient) = landscape.middle().unwrap();
        let check = |space: &mut dyn FnMut() -> (f64, Vec<f64>, Vec<f64>)| {
            let (sharpness, widths, gradient) = space();
            let pairs = widths.iter().zip(&gradient);
            let linear: f64 = pairs
                .map(|(width, slope)| epsilon * width * slope.abs())
                .sum();
            let expected = 100.0 * linear / (1.0 + loss);
            let error = (sharpness - expected).abs() / expected;
            assert!(error < 0.02, "{sharpness} {expected}");
        };
        check(&mut || {
            let mut space = FullSpace::new(landscape).unwrap();
            let middle = FullSpace::middle(loss, &gradient).unwrap();
            let found = rise(&mut space, &middle, epsilon, 10).unwrap();
            (found.sharpness, space.widths().to_vec(), middle.gradient)
        });
        check(&mut || {
            let mut space = RandomSpace::new(landscape, 20, 3, 0).unwrap();
            let middle = space.middle(loss, &gradient).unwrap();
            let found = rise(&mut space, &middle, epsilon, 10).unwrap();
            (found.sharpness, space.widths().to_vec(), middle.gradient)
        });
    });
}

/// With all parameters 0 the logits are the biases of the classifier, up to
/// terms of second order, and the maximum over those is at one of their 2¹⁰
/// corners.
#[test]
fn around_zero_only_the_biases_count() {
    let epsilon = 1e-3;
    let mut small = Small::new();
    let _ = no_grad(|| small.weights.flat().shallow_clone().zero_());
    small.with(12, |landscape, labels| {
        let (loss, gradient) = landscape.middle().unwrap();
        assert!((loss - 10_f64.ln()).abs() < 1e-6);
        let mut space = FullSpace::new(landscape).unwrap();
        let middle = FullSpace::middle(loss, &gradient).unwrap();
        let found = rise(&mut space, &middle, epsilon, 10).unwrap();
        let labels = Vec::<i64>::try_from(labels).unwrap();
        let corner = |signs: u32| {
            let bias = |class: i64| {
                if signs >> class & 1 == 1 {
                    epsilon
                } else {
                    -epsilon
                }
            };
            let sum: f64 = (0..10).map(|class| f64::exp(bias(class))).sum();
            let chosen: f64 = labels.iter().map(|label| bias(*label)).sum();
            sum.ln() - chosen / labels.len() as f64
        };
        let lower = (0..1 << 10).map(corner).fold(f64::NEG_INFINITY, f64::max);
        // Each of the 8 features is at most ε (1 + a little), its weights at
        // most ε, and the loss moves by twice the largest change of a logit.
        let upper = lower + 2.0 * 8.0 * 1.1 * epsilon * epsilon;
        assert!(lower - loss > 1e-4, "the labels tell nothing");
        assert!(
            lower - 1e-6 < found.largest_loss && found.largest_loss < upper + 1e-6,
            "{lower} {} {upper}",
            found.largest_loss
        );
    });
}

/// More than one batch, of different sizes: as one evaluation of all.
#[test]
fn the_loss_is_that_of_an_evaluation_and_its_gradient_is_its_slope() {
    let mut small = Small::new();
    let dataset = small
        .session
        .dataset(&swath_model::spec::Dataset::Digits)
        .unwrap();
    let count = dataset.train.count();
    let expected = evaluate::score(
        &small.model,
        &small.weights,
        &dataset.train,
        &dataset.normalizer,
    );
    small.with(count, |landscape, _| {
        let (loss, gradient) = landscape.middle().unwrap();
        assert!((loss - expected.unwrap().loss).abs() < 1e-5);
        let size = gradient.size()[0];
        for seed in 0..3 {
            let direction = Tensor::arange(size, (Kind::Double, Device::Cpu));
            let direction = ((direction * (1.3 + f64::from(seed))).sin()) * 1e-3;
            let (up, _) = landscape.at(&direction).unwrap();
            let (down, _) = landscape.at(&(-&direction)).unwrap();
            let slope: f64 =
                host(&(&gradient * &direction).sum(Kind::Double).view([1])).unwrap()[0];
            let difference = (up - down) / 2.0;
            assert!(
                (difference - slope).abs() < 0.02 * slope.abs() + 1e-6,
                "{difference} {slope}"
            );
        }
    });
}

/// The running statistics of BN, for parameters that stand still, come ever
/// nearer to the recomputed ones.
#[test]
fn statistics_computed_anew_are_where_the_running_ones_go() {
    let mut small = Small::new();
    let source = swath_model::spec::Dataset::Digits;
    let dataset = small.session.dataset(&source).unwrap();
    let Small { model, weights, .. } = &small;
    let images = Images {
        pixels: dataset.train.pixels.narrow(0, 0, 300),
        labels: dataset.train.labels.narrow(0, 0, 300),
    };
    let copies = || -> Vec<Tensor> { weights.buffers().iter().map(Tensor::copy).collect() };
    let anew = Recomputation::new(model, weights, &images, &dataset.normalizer, 0).unwrap();
    anew.run(weights).unwrap();
    let found = copies();
    let pass = Pass::Training(Noise {
        seed: 0,
        step: 0,
        chunk: 0,
    });
    let normalized = dataset.normalizer.images(&images.pixels);
    // Starting elsewhere: 0.9¹⁵⁰ of the difference is left.
    weights.buffers().iter().for_each(|buffer| {
        let _ = buffer.shallow_clone().fill_(2.0);
    });
    for _ in 0..150 {
        let _ = no_grad(|| model.forward(weights, &normalized, pass));
    }
    assert!(!found.is_empty());
    for (found, expected) in found.iter().zip(copies()) {
        let error = (found - &expected).abs().max().double_value(&[]);
        let size = expected.abs().max().double_value(&[]);
        assert!(error < 1e-4 * (1.0 + size), "{error} {size}");
    }
}
