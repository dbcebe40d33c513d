//! Each kind of plot, as people read it.

use std::collections::BTreeMap;

use insta::assert_snapshot;
use serde_json::json;
use swath_model::metrics::Goal;

use super::fixture::{epochs, results, small};
use crate::chart::{Body, Chart, Grid};
use crate::{Curve, Kind, Metric, PlotError, Request, curves, steps, svg, text};

fn of(kind: Kind) -> Chart {
    crate::results(&small(), kind, &Request::default()).unwrap()
}

fn grid(chart: &Chart) -> &Grid {
    match &chart.body {
        Body::Lines(grid) => grid,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_kind_follows_from_the_axes() {
    assert_eq!(Kind::suited(&small()), Kind::Lr);
    let one = |axis: &str, values: [serde_json::Value; 2]| {
        let [first, second] = values.each_ref().map(std::slice::from_ref);
        results("", &[axis], &[(first, "1 2"), (second, "2 3")])
    };
    assert_eq!(
        Kind::suited(&one("batch_size", [json!(1), json!(2)])),
        Kind::Batch
    );
    assert_eq!(
        Kind::suited(&one("model.depth", [json!(1), json!(2)])),
        Kind::Lr
    );
    assert_eq!(
        Kind::suited(&one("model.name", [json!("a"), json!("b")])),
        Kind::Box
    );
    for kind in Kind::ALL {
        assert_eq!(kind.name().parse(), Ok(kind));
    }
}

#[test]
fn error_against_learning_rate() {
    let chart = of(Kind::Lr);
    assert!(chart.x.log);
    let grid = grid(&chart);
    assert_eq!(grid.legend, "batch size");
    let names: Vec<&str> = grid.series.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["64", "256"]);
    let fast = &grid.series[0].points[2];
    assert_eq!(
        (fast.y, fast.complete, fast.diverged),
        (Some(10.684_999_999_999_999), false, 1)
    );
    assert_eq!(grid.series[1].points[2].y, None);
    assert_snapshot!("lr_svg", svg(&chart));
    assert_snapshot!("lr_text", text(&chart, 70, true));
}

#[test]
fn error_against_batch_size_takes_the_best_rate() {
    let chart = of(Kind::Batch);
    let points = &grid(&chart).series[0].points;
    let medians: Vec<_> = points.iter().map(|it| it.y).collect();
    // At 256 the complete cell is taken, though an incomplete one is lower.
    assert_eq!(medians, [Some(8.21), Some(12.8)]);
    let caption = chart.caption.join(" ");
    assert!(
        caption.contains("the learning rate with the least median"),
        "{caption}"
    );
}

#[test]
fn heat_maps_mark_the_best_of_each_row() {
    let chart = of(Kind::Heat);
    assert_snapshot!("heat_svg", svg(&chart));
    assert_snapshot!("heat_text", text(&chart, 70, true));
    let Body::Heat(heat) = &chart.body else {
        panic!("{chart:?}");
    };
    assert_eq!(heat.rows, ["256", "64"]);
    let best: Vec<_> = heat
        .cells
        .iter()
        .map(|row| row.iter().position(|it| it.best))
        .collect();
    // Only one cell of 256 has every run, so there is nothing to compare it
    // with.
    assert_eq!(best, [None, Some(1)]);
}

#[test]
fn boxes_say_their_n() {
    let chart = of(Kind::Box);
    assert_snapshot!("box_svg", svg(&chart));
    assert_snapshot!("box_text", text(&chart, 70, false));
}

fn two_curves() -> Vec<Curve> {
    let curve = |name: &str, factor| Curve {
        name: name.to_owned(),
        points: epochs(factor, 10),
    };
    vec![curve("0.1", 0.7), curve("0.1", 0.6), curve("0.2", 0.8)]
}

#[test]
fn learning_curves_join_replicates() {
    let chart = curves("small", "lr", &two_curves(), None).unwrap();
    let test: Vec<_> = grid(&chart).series.iter().filter(|it| !it.faint).collect();
    assert_eq!(test.len(), 2);
    let first = &test[0].points[0];
    assert_eq!(first.values.len(), 2);
    assert!((first.y.unwrap() - 26.0).abs() < 1e-9);
    assert_snapshot!("curves_svg", svg(&chart));
    assert_eq!(curves("", "", &[], None), Err(PlotError::NoCurves));
}

/// Accuracies that grow to `end`, under the metric's own name.
fn accuracies(name: &str, end: f64) -> Curve {
    let epoch = |epoch: u32| {
        let value = end * (1.0 - 0.5_f64.powi(epoch as i32));
        let metrics = json!({"val/acc": value, "reward": -value});
        let observed = json!({"epoch": epoch, "step": epoch, "metrics": metrics});
        serde_json::from_value(observed).unwrap()
    };
    Curve {
        name: name.to_owned(),
        points: (1..=6).map(epoch).collect(),
    }
}

#[test]
fn learning_curves_of_any_metric_by_its_direction() {
    let metric = |name: &str, goal| Metric {
        name: name.to_owned(),
        goal,
        unit: None,
    };
    let all: Vec<Curve> = (1..=9)
        .map(|at| accuracies(&at.to_string(), f64::from(at) / 10.0))
        .collect();
    let acc = metric("val/acc", Goal::Maximize);
    let chart = curves("", "lr", &all, Some(&acc)).unwrap();
    assert_eq!((&*chart.y.title, chart.y.log), ("val/acc", false));
    let named = Metric {
        unit: Some("%".to_owned()),
        ..acc.clone()
    };
    let chart = curves("", "lr", &all, Some(&named)).unwrap();
    assert_eq!(chart.y.title, "val/acc (%)");
    assert_eq!(
        chart.caption,
        [
            "val/acc.",
            "One run each (n = 1).",
            "The 7 of 9 with the greatest val/acc at their last epoch."
        ]
    );
    let names: Vec<&str> = grid(&chart).series.iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["9", "8", "7", "6", "5", "4", "3"]);
    // Negative numbers are drawn too.
    let reward = metric("reward", Goal::Minimize);
    let chart = curves("", "lr", &all, Some(&reward)).unwrap();
    assert!(!chart.y.log);
    let unknown = metric("acc", Goal::Maximize);
    let error = curves("", "", &all, Some(&unknown)).unwrap_err();
    assert!(error.is_unknown_name());
    assert_snapshot!(error, @"no epoch has a metric `acc`; did you mean `val/acc`? those recorded are `reward`, `val/acc`");
    let nothing = curves("", "", &[], Some(&unknown));
    assert_eq!(nothing, Err(PlotError::NoCurves));
}

#[test]
fn steps_are_those_of_the_first_epoch_below_the_target() {
    let results = small();
    let mut observed = BTreeMap::new();
    for (cell, _) in results.cells() {
        let batch = cell.axes[0].1.as_u64().unwrap();
        for replicate in &cell.replicates {
            observed.insert(replicate.job, epochs(0.7, 6400 / batch));
        }
    }
    let request = Request {
        target: Some(20.0),
        ..Request::default()
    };
    let chart = steps(&results, &observed, &request).unwrap();
    // 40 × 0.7² = 19.6: after two epochs.
    let points = &grid(&chart).series[1].points;
    let found: Vec<_> = points.iter().map(|it| (it.x, it.y)).collect();
    assert_eq!(found, [(64.0, Some(200.0)), (256.0, Some(50.0))]);
    let unasked = steps(&results, &observed, &Request::default()).unwrap();
    // 40 × 0.7⁶ = 4.706, rounded up.
    assert_eq!(unasked.y.title, "steps to 4.8 % test error");
    assert_snapshot!("steps_svg", svg(&chart));
}

#[test]
fn what_cannot_be_drawn_says_what_to_do() {
    let ask = |kind, x: Option<&str>, by: &[&str]| {
        let request = Request {
            x: x.map(str::to_owned),
            by: by.iter().map(|it| (*it).to_owned()).collect(),
            target: None,
        };
        crate::results(&small(), kind, &request)
            .unwrap_err()
            .to_string()
    };
    assert_snapshot!(ask(Kind::Lr, Some("epochs"), &[]), @"`epochs` is not an axis that varies; these axes vary: `batch_size`, `optimizer.lr`");
    assert_snapshot!(ask(Kind::Heat, None, &["optimizer.lr"]), @"this plot needs two axes; these axes vary: batch_size, optimizer.lr; name one with `--x`, or try `--kind box`");
}
