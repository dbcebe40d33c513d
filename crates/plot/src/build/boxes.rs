//! The replicates of each cell beside each other.

use std::fmt::Write as _;

use swath_results::table::Results;

use super::axes::{Axes, Axis, depends};
use super::grid::{FACTOR, spread, values};
use super::names::Names;
use super::{imports, measure, progress, range, title};
use crate::chart::{Axis as ChartAxis, Body, Boxes, Chart, Row};

/// The most boxes in one picture.
const BOXES_MOST: usize = 60;

pub(super) fn boxes(results: &Results) -> Chart {
    let axes = Axes::of(results);
    let apart = telling_apart(results, &axes);
    let names = Names::new(&apart);
    let mark = imports::some(results);
    let mut rows = Vec::new();
    for (at, (cell, summary)) in results.cells().enumerate().take(BOXES_MOST) {
        let (figure, tally) = (&summary.measured, summary.tally());
        let mut note = format!("n = {}", figure.n());
        for (count, word) in [(tally.diverged, "diverged"), (tally.failed, "failed")] {
            if count > 0 {
                let _ = write!(note, ", {count} {word}");
            }
        }
        if mark && imports::has(cell) {
            note.push_str(", imported");
        }
        rows.push(Row {
            name: if apart.is_empty() {
                String::new()
            } else {
                names.of(at)
            },
            values: values(summary),
            median: figure.median().map(|it| (it, figure.text(it))),
            note,
        });
    }
    let mut caption = vec![format!(
        "Thick line: median, its value at the right with its n. Dots: every run. Thin line: {}",
        range(rows.iter().map(|it| it.values.len()))
    )];
    if rows.iter().any(|row| row.values.len() > 4) {
        caption.push("Box: quartiles, from five runs on.".to_owned());
    }
    caption.extend(names.note());
    let cells = results.cells().len();
    if cells > BOXES_MOST {
        caption.push(format!(
            "The first {BOXES_MOST} of {cells} cells; choose others with filters."
        ));
    }
    caption.extend(imports::notes(results, "`imported`"));
    caption.extend(progress(results));
    let values: Vec<f64> = rows.iter().flat_map(Row::numbers).collect();
    Chart {
        title: title(results),
        caption,
        x: ChartAxis {
            title: measure(results),
            log: spread(&values, FACTOR),
        },
        y: ChartAxis::default(),
        body: Body::Boxes(Boxes {
            legend: names.heading(),
            rows,
        }),
    }
}

/// The axes that are needed to tell the cells apart, in the order of the table.
fn telling_apart<'a>(results: &Results, axes: &'a Axes) -> Vec<&'a Axis> {
    let mut apart: Vec<&Axis> = Vec::new();
    let of_table = results.definition().layout.parameters();
    let of_table = of_table.filter_map(|path| axes.find(path));
    for axis in of_table.chain(&axes.all) {
        if !depends(axis, &apart) {
            apart.push(axis);
        }
    }
    apart
}
