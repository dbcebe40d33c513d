//! What data and augmentation cost, against a training step.

use std::hint::black_box;
use std::time::Instant;

use super::*;
use crate::model::Model;
use crate::step::Stepper;

/// The shortest of `times` runs, in milliseconds: others share the machine.
fn milliseconds(times: usize, mut run: impl FnMut()) -> f64 {
    run();
    let once = (0..times).map(|_| {
        let begun = Instant::now();
        run();
        begun.elapsed().as_secs_f64() * 1e3
    });
    once.fold(f64::INFINITY, f64::min)
}

#[expect(clippy::print_stderr, reason = "a measurement for whoever runs it")]
fn say(what: &str, milliseconds: f64) {
    eprintln!("{what:<44} {milliseconds:9.3} ms");
}

fn ways() -> Vec<(&'static str, Value)> {
    let crop = json!({"random_crop": {"padding": 4}, "horizontal_flip": true});
    let with = |key: &str, options: Value| {
        let mut all = crop.clone();
        all[key] = options;
        all
    };
    vec![
        ("nothing", json!({})),
        ("crop + flip", crop.clone()),
        ("crop + flip + cutout", with("cutout", json!({"size": 16}))),
        (
            "crop + flip + random erasing",
            with("random_erasing", json!({})),
        ),
        ("crop + flip + mixup", with("mixup", json!({}))),
        ("crop + flip + RICAP", with("ricap", json!({}))),
        ("crop + flip + CutMix", with("cutmix", json!({}))),
        ("crop + flip + dual cutout", with("dual_cutout", json!({}))),
    ]
}

/// Gathering and augmenting a batch stays below 3 % of a step of
/// ResNet-preact-20, and the draws of an epoch below 20 ms per kind.
#[test]
#[ignore = "measures; cargo test --release -p swath-trainer --bin trainer cost -- --ignored --nocapture"]
fn data_costs_little_of_a_step() {
    crate::process::keep_freed_memory();
    let mut spec = spec(&json!({}), 1);
    let swath_model::spec::Model::ResnetPreact(model) = &mut spec.model else {
        panic!("a ResNet-preact")
    };
    model.depth = 20;
    let facts = facts(3, 32, 32);
    let split = split(&facts, 4096);
    let images = Images::new(&split, &facts, Device::Cpu);
    let normalizer = Normalizer::new(&facts, Device::Cpu);
    let model = Model::new(&spec.model, &facts).unwrap();
    for size in [128, 1024] {
        let batch = |augmentation: &Value| {
            let spec = super::spec(augmentation, 1);
            let draws = Draws::new(&spec, 0, 4096, [32, 32], size as usize);
            let epoch = Epoch::new(&draws, &spec.augmentation, Device::Cpu);
            let images = &images;
            let normalizer = &normalizer;
            move |at: i64| epoch.batch(images, normalizer, at * size % 4096, size)
        };
        let weights = model.initial(&spec.init, 1, Device::Cpu).unwrap();
        let mut stepper = Stepper::new(&spec, &model, &weights);
        let one = batch(&json!({}))(0);
        let step = milliseconds(4, || drop(stepper.step(0, &one, 0.1)));
        say(&format!("step of {size}"), step);
        for (name, augmentation) in ways() {
            let batch = batch(&augmentation);
            let mut at = 0;
            let cost = milliseconds(50, || {
                black_box(batch(at));
                at += 1;
            });
            say(&format!("{size}: {name}"), cost);
            // Two views are two forward and backward passes.
            let share = cost / step;
            assert!(share < 0.03, "{name}: {share}");
        }
    }
    for (name, augmentation) in ways() {
        let spec = super::spec(&augmentation, 1);
        let kinds = match name {
            "nothing" => 1.0,
            "crop + flip" => 3.0,
            _ => 4.0,
        };
        let cost = milliseconds(5, || drop(Draws::new(&spec, 0, 50_000, [32, 32], 128)));
        say(&format!("draws of 50,000: {name}"), cost);
        assert!(cost < 20.0 * kinds, "{name}: {cost}");
    }
}
