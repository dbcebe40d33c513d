//! The sweeps that ship with Swath expand to what they say.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use swath_core::spec::number_text;
use swath_core::sweep::{FileError, SweepFile, expand};

macro_rules! shipped {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../sweeps/", $path)))),*]
    };
}

const FILES: &[(&str, &str)] = shipped![
    "quickstart.toml",
    "fashion_mnist.toml",
    "linear_scaling.toml",
    "initial_lr.toml",
    "recipes/resnet_preact20.toml",
    "recipes/resnet_preact20_cifar10.toml",
    "recipes/resnet_preact20_fashion_mnist.toml",
    "recipes/resnet_preact8_digits.toml",
    "reference/linear_scaling.csv",
    "reference/initial_lr.csv",
];

fn read(path: &str) -> Result<String, String> {
    let found = FILES.iter().find(|(name, _)| *name == path);
    found
        .map(|(_, text)| (*text).to_owned())
        .ok_or_else(|| "no such file".to_owned())
}

fn sweep(path: &str) -> SweepFile {
    let text = read(path).unwrap();
    SweepFile::parse(path, &text, &read).unwrap_or_else(|errors| panic!("{}", lines(&errors)))
}

fn lines(errors: &[FileError]) -> String {
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

const AXES: [&str; 4] = ["batch_size", "optimizer.lr", "schedule.name", "epochs"];

/// The cells of a sweep by the columns of the published tables.
fn cells(file: &SweepFile) -> BTreeMap<[String; 4], u64> {
    let expansion = expand(file).unwrap_or_else(|errors| panic!("{}", lines(&errors)));
    let mut found = BTreeMap::new();
    for cell in expansion.cells() {
        let key = AXES.map(|path| match cell.spec.get(path) {
            Some(Value::Number(number)) => number_text(number),
            Some(Value::String(text)) => text.clone(),
            other => panic!("{path}: {other:?}"),
        });
        *found.entry(key).or_default() += 1;
    }
    found
}

/// The cells of a reference, and in how many published rows each stands.
fn published(path: &str) -> BTreeMap<[String; 4], u64> {
    let text = read(path).unwrap();
    let mut lines = text.lines();
    let header: Vec<_> = lines.next().unwrap().split(',').collect();
    let columns = AXES.map(|path| header.iter().position(|name| *name == path).unwrap());
    let mut found = BTreeMap::new();
    for line in lines {
        let fields: Vec<_> = line.split(',').collect();
        let key = columns.map(|column| {
            let number: Result<f64, _> = fields[column].parse();
            number.map_or_else(|_| fields[column].to_owned(), |number| number.to_string())
        });
        *found.entry(key).or_default() += 1;
    }
    found
}

#[test]
fn linear_scaling_has_the_cells_of_the_published_tables() {
    let ours = cells(&sweep("linear_scaling.toml"));
    assert_eq!(ours, published("reference/linear_scaling.csv"));
    assert_eq!(ours.len(), 40);
}

#[test]
fn initial_lr_has_the_cells_of_the_published_tables() {
    let ours = cells(&sweep("initial_lr.toml"));
    assert_eq!(ours, published("reference/initial_lr.csv"));
    assert_eq!(ours.len(), 39);
}

#[test]
fn a_cell_of_both_published_sweeps_is_trained_once() {
    let files = [sweep("linear_scaling.toml"), sweep("initial_lr.toml")];
    let mut jobs = BTreeSet::new();
    let mut planned = 0;
    for file in &files {
        for cell in expand(file).unwrap().cells() {
            planned += 3;
            jobs.extend(cell.jobs(3).map(|job| job.digest));
        }
    }
    assert_eq!((planned, jobs.len()), (79 * 3, 71 * 3));
}

#[test]
fn the_published_recipe_is_the_documented_one() {
    let file = sweep("linear_scaling.toml");
    let expansion = expand(&file).unwrap();
    let texts: Vec<_> = expansion.cells().map(|cell| cell.text).collect();
    insta::assert_snapshot!(texts[0], @r#"{"augmentation":{"horizontal_flip":true,"random_crop":{"padding":4}},"batch_size":4096,"dataset":{"name":"cifar10"},"drop_last":true,"epochs":200,"init":{"conv":"kaiming_fan_out","linear":"framework","zero_gamma":false},"loss":{"label_smoothing":0},"model":{"add_last_bn":false,"block_type":"basic","depth":20,"initial_channels":16,"name":"resnet_preact","preact_stage":[true,true,true],"remove_first_relu":false},"optimizer":{"lr":3.2,"momentum":0.9,"name":"sgd","nesterov":true,"weight_decay":0.0001,"weight_decay_on":"all"},"precision":"fp32","schedule":{"min_lr":0,"name":"cosine"},"shuffle":true}"#);
    let multistep = texts
        .iter()
        .find(|text| text.contains("multistep"))
        .unwrap();
    insta::assert_snapshot!(multistep, @r#"{"augmentation":{"horizontal_flip":true,"random_crop":{"padding":4}},"batch_size":4096,"dataset":{"name":"cifar10"},"drop_last":true,"epochs":200,"init":{"conv":"kaiming_fan_out","linear":"framework","zero_gamma":false},"loss":{"label_smoothing":0},"model":{"add_last_bn":false,"block_type":"basic","depth":20,"initial_channels":16,"name":"resnet_preact","preact_stage":[true,true,true],"remove_first_relu":false},"optimizer":{"lr":3.2,"momentum":0.9,"name":"sgd","nesterov":true,"weight_decay":0.0001,"weight_decay_on":"all"},"precision":"fp32","schedule":{"gamma":0.1,"milestones":[0.5,0.75],"name":"multistep"},"shuffle":true}"#);
}

#[test]
fn every_shipped_sweep_trains() {
    for path in [
        "quickstart.toml",
        "fashion_mnist.toml",
        "linear_scaling.toml",
        "initial_lr.toml",
    ] {
        let file = sweep(path);
        for cell in expand(&file).unwrap().cells() {
            assert!(cell.spec.training().is_some(), "{path}");
        }
    }
}

#[test]
fn the_quickstart_is_a_pivot_of_every_axis() {
    let file = sweep("quickstart.toml");
    let expansion = expand(&file).unwrap();
    assert!(expansion.totals().cells >= 12);
    assert_eq!(file.replicates, 3);
    let axes: BTreeSet<_> = expansion
        .grid()
        .axes
        .iter()
        .map(|axis| &*axis.path)
        .collect();
    assert_eq!(axes, file.layout.parameters().collect());
}
