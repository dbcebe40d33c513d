//! The sweeps that ship with Swath expand to what they say.

mod files;
mod matched;
mod published;
mod rows;

use std::collections::BTreeSet;

use swath_sweep::expand;

use files::{cells, sweep, sweeps};

#[test]
fn a_cell_of_two_published_sweeps_is_trained_once() {
    let mut jobs = BTreeSet::new();
    let mut planned = 0;
    for path in ["linear_scaling.toml", "initial_lr.toml"] {
        for cell in cells(path) {
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
    for path in sweeps() {
        for cell in cells(path) {
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
