//! Sweeps that are hard to draw.

use serde_json::{Value, json};
use swath_model::import::Imported;
use swath_model::view::CellResults;
use swath_results::table::Results;

use super::fixture::{epochs, results, small};
use crate::chart::{Body, Chart, Grid, Point, Series};
use crate::font::width;
use crate::scene::{Anchor, Item, Step};
use crate::{Curve, Kind, Request, curves, scene, text};

fn draw(results: &Results, kind: Kind) -> Chart {
    crate::results(results, kind, &Request::default()).unwrap()
}

fn grid(chart: &Chart) -> &Grid {
    match &chart.body {
        Body::Lines(grid) => grid,
        other => panic!("{other:?}"),
    }
}

/// Each cell has a parameter of another name, as in sweeps of augmentations.
fn augmented() -> Results {
    let none = Value::Null;
    let cells: [(&[Value], &str); 4] = [
        (&[json!(200), none.clone(), none.clone()], "7.6 7.5 7.7"),
        (&[json!(200), json!(1), none.clone()], "7.2 7.1 7.3"),
        (&[json!(200), none.clone(), json!(16)], "6.2 6.1 6.3"),
        (&[json!(400), none.clone(), json!(16)], "5.2 5.1 5.3"),
    ];
    let axes = [
        "epochs",
        "augmentation.mixup.alpha",
        "augmentation.cutout.size",
    ];
    results("", &axes, &cells)
}

#[test]
fn cells_that_lack_an_axis_are_told_apart() {
    let chart = draw(&augmented(), Kind::Box);
    let Body::Boxes(boxes) = &chart.body else {
        panic!("{chart:?}");
    };
    let names: Vec<&str> = boxes.rows.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "epochs 200",
            "epochs 200, mixup alpha 1",
            "epochs 200, cutout size 16",
            "epochs 400, cutout size 16",
        ]
    );
    let chart = draw(&augmented(), Kind::Lr);
    let names: Vec<&str> = grid(&chart)
        .series
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    assert_eq!(names, ["none", "cutout size 16", "mixup alpha 1"]);
}

#[test]
fn no_line_joins_one_method_to_another() {
    let cells: [(&[Value], &str); 4] = [
        (&[json!("sgd"), json!(0.4)], "8 8"),
        (&[json!("sgd"), json!(0.8)], "7 7"),
        (&[json!("lars"), json!(0.01)], "6 6"),
        (&[json!("lars"), json!(0.02)], "5 5"),
    ];
    let chart = draw(
        &results("", &["optimizer.name", "optimizer.lr"], &cells),
        Kind::Lr,
    );
    let names: Vec<&str> = grid(&chart)
        .series
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    assert_eq!(names, ["sgd", "lars"]);
}

fn imported(which: impl Fn(usize) -> bool, runs: u32) -> Results {
    let small = small();
    let change = |(at, (cell, _)): (usize, (&CellResults, _))| {
        let mut cell = cell.clone();
        for replicate in cell.replicates.iter_mut().filter(|_| which(at)) {
            let Some(measurement) = replicate.measurement.take() else {
                continue;
            };
            replicate.imported = Some(Box::new(Imported {
                test_error: measurement.values.get("test_error").unwrap(),
                seconds: None,
                runs,
                replicate: None,
                seed: None,
                source: "a paper".to_owned(),
                file: "paper.csv".to_owned(),
                line: 1,
            }));
        }
        cell
    };
    let cells = small.cells().enumerate().map(change).collect();
    super::fixture::with_cells(&small, cells)
}

#[test]
fn imported_numbers_are_marked() {
    let some = imported(|at| at == 0, 1);
    for kind in [Kind::Lr, Kind::Heat, Kind::Box] {
        let caption = draw(&some, kind).caption.join(" ");
        assert!(
            caption.contains("3 runs are imported, not trained here"),
            "{caption}"
        );
    }
    let chart = draw(&some, Kind::Lr);
    let marked: Vec<bool> = grid(&chart)
        .series
        .iter()
        .flat_map(|it| &it.points)
        .map(|it| it.imported)
        .collect();
    assert_eq!(marked, [true, false, false, false, false, false]);
    let rings = |chart: &Chart| {
        let ring =
            |it: &&Item| matches!(it, Item::Shape(it) if it.fill.is_none() && it.steps.len() == 6);
        scene(chart).items.iter().filter(ring).count()
    };
    assert_eq!(rings(&chart), 1);
    let Body::Heat(heat) = draw(&some, Kind::Heat).body else {
        panic!("no heat map");
    };
    assert_eq!(
        heat.cells.iter().flatten().filter(|it| it.imported).count(),
        1
    );
    // Where all are imported, marks would say nothing.
    let all = imported(|_| true, 3);
    let Body::Boxes(boxes) = draw(&all, Kind::Box).body else {
        panic!("no boxes");
    };
    let first = &boxes.rows[0];
    assert_eq!((first.values.len(), first.note.as_str()), (0, "n = 3"));
    assert_eq!(first.median.as_ref().map(|it| it.1.as_str()), Some("9.41"));
    let all = draw(&all, Kind::Lr);
    assert_eq!(rings(&all), 0);
    let caption = all.caption.join(" ");
    assert!(
        caption.contains("Every number is imported, not trained here."),
        "{caption}"
    );
    assert!(
        caption.contains("only the median is known: no spread is shown."),
        "{caption}"
    );
}

#[test]
fn an_error_of_nought_lies_on_the_edge_of_a_logarithmic_axis() {
    let mut points = epochs(0.5, 10);
    for point in points.iter_mut().skip(3) {
        point.values.insert("train_error", 0.0).unwrap();
    }
    let curve = Curve {
        name: "0.1".to_owned(),
        points,
    };
    let chart = curves("", "lr", &[curve], None).unwrap();
    assert!(chart.y.log);
    let caption = chart.caption.join(" ");
    assert!(
        caption.contains("On the lower edge: values of 0."),
        "{caption}"
    );
}

/// Whether each text begins and ends within the picture.
fn assert_inside(chart: &Chart) {
    let scene = scene(chart);
    for item in &scene.items {
        let Item::Text(it) = item else { continue };
        let long = width(&it.text, it.size, it.bold);
        let (before, behind) = match it.anchor {
            crate::scene::Anchor::Start => (0.0, long),
            crate::scene::Anchor::Middle => (long / 2.0, long / 2.0),
            crate::scene::Anchor::End => (long, 0.0),
        };
        let [from, to, most] = if it.upward {
            // Read from below: its end is above.
            [it.y - behind, it.y + before, scene.height]
        } else {
            [it.x - before, it.x + behind, scene.width]
        };
        assert!(
            from >= 0.0 && to <= most,
            "{it:?} from {from} to {to} of {most}"
        );
    }
}

#[test]
fn long_names_stay_in_the_picture() {
    let name = |at: usize| {
        json!(format!(
            "a_model_of_a_name_that_nobody_will_ever_read_{at} of many"
        ))
    };
    let values: Vec<[Value; 3]> = (0..14)
        .map(|at| {
            [
                name(at),
                json!(0.000_123_45 * f64::from(1 << at)),
                json!(at % 3),
            ]
        })
        .collect();
    let cells: Vec<(&[Value], &str)> = values.iter().map(|it| (&it[..], "8.123 9.5 d")).collect();
    let axes = [
        "model.name_of_the_architecture_as_the_paper_has_it",
        "optimizer.lr",
        "model.width",
    ];
    let results = results(
        "A title that is much longer than any picture is wide, so that it has to be broken somewhere or it ends outside",
        &axes,
        &cells,
    );
    for kind in [Kind::Lr, Kind::Heat, Kind::Box] {
        let request = Request {
            by: match kind {
                Kind::Box => Vec::new(),
                _ => vec![axes[0].to_owned()],
            },
            ..Request::default()
        };
        let chart = crate::results(&results, kind, &request).unwrap();
        assert_inside(&chart);
        assert!(!text(&chart, 80, true).is_empty());
    }
    for kind in [Kind::Lr, Kind::Batch, Kind::Heat, Kind::Box] {
        assert_inside(&draw(&small(), kind));
    }
}

/// The value of a parameter may be a text of any length.
#[test]
fn the_longest_name_leaves_room_in_a_terminal() {
    let long = json!("x".repeat(70_000));
    let cells: [(&[Value], &str); 4] = [
        (&[long.clone(), json!("a")], "7.6 7.5 7.7"),
        (&[json!("short"), json!("a")], "7.2 7.1 7.3"),
        (&[long.clone(), long.clone()], "6.2 6.1 6.3"),
        (&[json!("short"), long], "5.2 5.1 5.3"),
    ];
    let results = results("", &["params.x", "params.y"], &cells);
    for kind in [Kind::Heat, Kind::Box] {
        for unicode in [true, false] {
            let text = text(&draw(&results, kind), 80, unicode);
            let widest = text.lines().map(|line| line.chars().count()).max();
            assert!(widest < Some(200), "{widest:?}");
            assert!(
                text.contains(if unicode { "xxx…" } else { "xxx~" }),
                "{text}"
            );
        }
    }
}

#[test]
fn one_point_and_one_value_can_be_drawn() {
    let cells: [(&[Value], &str); 2] = [
        (&[json!(64), json!(0.1)], "0 0 0"),
        (&[json!(256), json!(0.1)], "0 0 0"),
    ];
    let results = results("", &["batch_size", "optimizer.lr"], &cells);
    for kind in [Kind::Batch, Kind::Box] {
        assert_inside(&draw(&results, kind));
    }
}

/// The middle of a shape from left to right.
fn middle(shape: &crate::scene::Shape) -> f64 {
    let ends = shape.steps.iter().flat_map(|step| match step {
        Step::Move(x, _) | Step::Line(x, _) => vec![*x],
        Step::Curve([.., x, _]) => vec![*x],
        Step::Close => Vec::new(),
    });
    let (least, greatest) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
        (low.min(x), high.max(x))
    });
    f64::midpoint(least, greatest)
}

#[test]
fn every_point_lies_at_its_true_x_though_others_lie_there() {
    let xs = [0.8, 16.0, 64.0];
    let series = |look: usize| Series {
        look,
        markers: true,
        points: xs
            .map(|x| Point {
                x,
                y: Some(5.0),
                n: 3,
                values: vec![4.0, 5.0, 6.0 + look as f64],
                complete: look.is_multiple_of(2),
                diverged: 1,
                imported: false,
            })
            .to_vec(),
        ..Series::default()
    };
    let mut chart = Chart {
        body: Body::Lines(Grid {
            series: (0..6).map(series).collect(),
            ticks: xs.to_vec(),
            ..Grid::default()
        }),
        ..Chart::default()
    };
    for log in [false, true] {
        chart.x.log = log;
        let scene = scene(&chart);
        let texts = xs.map(swath_model::text::compact);
        let ticks = scene.items.iter().filter_map(|item| match item {
            Item::Text(text) if texts.contains(&text.text) && text.anchor == Anchor::Middle => {
                Some(text.x)
            }
            _ => None,
        });
        let ticks: Vec<f64> = ticks.collect();
        assert_eq!(ticks.len(), 3, "{ticks:?}");
        // The lines that join points are the only shapes with three corners and
        // no end.
        let colors = (0..6).map(|at| crate::palette::look(at).0);
        let colors: Vec<_> = colors.collect();
        let of_series = scene.items.iter().filter_map(|item| match item {
            Item::Shape(shape) => Some(shape),
            Item::Text(_) => None,
        });
        let of_series = of_series.filter(|it| {
            let color = it.stroke.or(it.fill);
            let joins = it.steps.len() == 3 && !it.steps.contains(&Step::Close);
            color.is_some_and(|it| colors.contains(&it)) && !joins
        });
        let mut count = 0;
        for shape in of_series {
            let x = middle(shape);
            let near = |tick: &f64| (tick - x).abs() < 1e-6;
            assert!(ticks.iter().any(near), "{x} of {ticks:?}: {shape:?}");
            count += 1;
        }
        // A marker, three runs, a bar with two caps, a cross.
        assert_eq!(count, 6 * 3 * 8);
    }
}
