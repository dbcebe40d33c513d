mod adaptive;
mod best;
mod imported;

use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;
use swath_model::id::{CellDigest, JobDigest, Replicate, SweepDigest};
use swath_model::job::StateName;
use swath_model::metrics::Metrics;
use swath_model::outcome::{Measurement, Provenance};
use swath_model::time::Timestamp;
use swath_model::view::{CellResults, Counts, ReplicateResult, SweepRecord, SweepState, SweepView};
use swath_sweep::{SweepFile, expand_whole};

use super::*;

fn sweep(definition: Value) -> SweepRecord {
    let view = SweepView {
        digest: SweepDigest::from_bytes([1; 32]),
        name: "small".to_owned(),
        title: "A small sweep".to_owned(),
        state: SweepState::Finished,
        replication: None,
        kind: swath_model::view::SweepKind::Training,
        paused: None,
        cells: 4,
        replicates: 1,
        priority: 0,
        counts: Counts::default(),
        submitted_at: Timestamp::from_ms(0),
        finished_at: None,
        version: 1,
        label: swath_model::label::Label::default(),
    };
    SweepRecord { view, definition }
}

fn cell(index: u64, axes: &[(&str, Value)], test_error: f64) -> CellResults {
    let axes = axes.iter();
    CellResults {
        index,
        cell: CellDigest::from_bytes([index as u8; 32]),
        axes: axes
            .map(|(path, value)| ((*path).to_owned(), value.clone()))
            .collect(),
        replicates: vec![ReplicateResult {
            replicate: Replicate(1),
            job: JobDigest::from_bytes([index as u8; 32]),
            seed: 1,
            state: StateName::Succeeded,
            fault: None,
            measurement: Some(Measurement {
                values: Metrics::from([
                    ("test_error", test_error),
                    ("test_loss", test_error / 10.0),
                ]),
                train_seconds: 60.0,
                weights: None,
            }),
            last_values: Vec::new(),
            provenance: Some(Arc::new(Provenance {
                device: format!("Device {}", index / 4),
                ..Provenance::default()
            })),
            imported: None,
        }],
    }
}

/// Batch size by rate; the rates of the first batch size alone are not all.
fn cells() -> Vec<CellResults> {
    let points = [
        (64, 3.2, 10.0),
        (64, 0.8, 9.0),
        (32, 1.6, 8.0),
        (32, 0.8, 7.0),
    ];
    let cells = points.iter().zip(0..);
    cells
        .map(|((batch, lr, error), index)| {
            let axes = [("batch_size", json!(batch)), ("optimizer.lr", json!(lr))];
            cell(index, &axes, *error)
        })
        .collect()
}

fn pivot() -> Value {
    json!({"layout": {"pivot": {
        "rows": ["optimizer.lr"], "columns": "batch_size", "cell": "test_error",
    }}})
}

fn list(rows: &[&str], columns: &[&str]) -> Value {
    json!({"layout": {"list": {"rows": rows, "columns": columns}}})
}

fn results(definition: Value, cells: Vec<CellResults>) -> Results {
    Results::new(&sweep(definition), cells).unwrap()
}

/// The fields of a table, their best ones starred.
fn texts(table: &Table) -> Vec<String> {
    let heads = table.columns.iter().map(Column::heading);
    let mut lines = vec![heads.collect::<Vec<_>>().join(" | ")];
    for row in &table.rows {
        let fields = row.fields.iter().map(|field| match field {
            Field::Blank => "-".to_owned(),
            Field::Text(text) | Field::Number(text) => text.clone(),
            Field::Noted {
                text,
                behind,
                marks,
            } => {
                let behind = behind
                    .as_ref()
                    .map_or_else(String::new, |it| format!(" ({it})"));
                format!("{text}{behind}{}", marks.concat())
            }
            Field::Figure(shown) => {
                let star = if shown.best { "*" } else { "" };
                format!("{}{star}", shown.figure)
            }
        });
        lines.push(fields.collect::<Vec<_>>().join(" | "));
    }
    lines
}

#[test]
fn columns_show_any_metric() {
    let mut cells = cells();
    for (cell, value) in cells.iter_mut().zip([1.0, 2.0, 3.0]) {
        let measurement = cell.replicates[0].measurement.as_mut().unwrap();
        let numbers = [
            ("train_error", value),
            ("distance", 10.0 * value),
            ("test_error.cifar10.1", 5.0 - value),
        ];
        measurement.values = std::mem::take(&mut measurement.values).with(numbers);
    }
    let columns = ["train_error", "distance", "metrics.test_error.cifar10.1"];
    let results = results(list(&["batch_size"], &columns), cells);
    let table = results.table().unwrap();
    assert_eq!(
        texts(&table),
        [
            "batch size | train error (%) | distance | test error.cifar10.1 (%)",
            "64 | 1.00* | 10.0000 | 4.00",
            "64 | 2.00 | 20.0000 | 3.00",
            "32 | 3.00 | 30.0000 | 2.00*",
            "32 | not measured (1 of 1) | not measured (1 of 1) | not measured (1 of 1)",
        ]
    );
    let document = serde_json::to_value(results.document()).unwrap();
    let row = &document["rows"][0];
    assert_eq!(
        row["metrics"]["distance"],
        json!({"n": 1, "median": 10.0, "min": 10.0, "max": 10.0})
    );
    assert_eq!(row["replicates"][0]["metrics"]["train_error"], 1.0);
    assert_eq!(document["rows"][3].get("metrics"), None);
}

#[test]
fn a_pivot_has_blanks_and_puts_numbers_in_order() {
    let table = results(pivot(), cells()).table().unwrap();
    assert_eq!(
        texts(&table),
        [
            "lr | 64 | 32",
            "3.2 | 10.00 | -",
            "1.6 | - | 8.00",
            "0.8 | 9.00* | 7.00*",
        ]
    );
    assert_eq!(table.columns[1].group.as_deref(), Some("batch size"));
    assert_eq!(
        table.notes,
        ["Test error in %: one run, at its last epoch."]
    );
}

#[test]
fn two_cells_on_one_place_are_an_error_that_names_the_cure() {
    let mut cells = cells();
    for (cell, epochs) in cells.iter_mut().zip([10, 10, 10, 10]) {
        cell.axes.push(("epochs".to_owned(), json!(epochs)));
    }
    let mut twin = cells[3].clone();
    twin.index = 4;
    twin.axes[2].1 = json!(20);
    cells.push(twin);
    let error = results(pivot(), cells).table().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the table cannot be drawn: 2 cells fall on the same place, lr = 0.8, batch size = 32, \
         and differ in `epochs`; name `epochs` in `rows`, or fix it"
    );
}

#[test]
fn a_list_keeps_the_order_of_the_cells() {
    let definition = list(&["optimizer.lr"], &["test_loss", "epochs", "train_time"]);
    let table = results(definition, cells()).table().unwrap();
    assert_eq!(
        texts(&table),
        [
            "lr | test loss | epochs | train time",
            "3.2 | 1.0000 | - | 1 m 00 s",
            "0.8 | 0.9000 | - | 1 m 00 s",
            "1.6 | 0.8000 | - | 1 m 00 s",
            "0.8 | 0.7000* | - | 1 m 00 s",
        ]
    );
    let hidden = "Not shown, but not the same in every row: batch size.";
    assert!(table.notes.iter().any(|note| note == hidden));
}

#[test]
fn parameters_that_are_no_axes_come_from_the_definition() {
    let mut definition = list(&["epochs", "loss.label_smoothing"], &["test_error"]);
    definition["parameters"] = json!([
        {"path": "epochs", "values": [20]},
        {"path": "loss.label_smoothing", "values": [0, 0.1, null, 1e-4]},
    ]);
    let table = results(definition, cells()).table().unwrap();
    assert_eq!(
        texts(&table)[..5],
        [
            "epochs | label smoothing | test error (%)",
            "20 | 0 | 10.00",
            "20 | 0.1 | 9.00",
            "20 | - | 8.00",
            "20 | 1e-4 | 7.00*",
        ]
    );
}

#[test]
fn a_metric_of_a_program_is_best_in_its_direction() {
    let mut definition = list(&["batch_size"], &["accuracy"]);
    definition["metric"] = json!("accuracy");
    let mut named = cells();
    let table = results(definition.clone(), named.clone()).table().unwrap();
    assert_eq!(table.columns[1].heading(), "accuracy");
    let how = "accuracy: one run, at its last epoch.";
    assert_eq!(table.notes[0], how);
    let mut with_unit = definition.clone();
    with_unit["unit"] = json!("points");
    let shown = results(with_unit, named.clone());
    let headings = |table: Table| {
        let columns = table.columns.iter();
        columns.map(Column::heading).collect::<Vec<_>>()
    };
    assert_eq!(headings(shown.table().unwrap())[1], "accuracy (points)");
    let wide = headings(shown.wide().unwrap());
    assert!(wide.contains(&"mean (points)".to_owned()), "{wide:?}");
    let notes = shown.table().unwrap().notes;
    assert_eq!(notes[0], "accuracy in points: one run, at its last epoch.");
    let document = serde_json::to_value(shown.document()).unwrap();
    assert_eq!(document["unit"], "points");
    let best = |table: &Table| {
        let figures = table.rows.iter().map(|row| match &row.fields[1] {
            Field::Figure(shown) => shown.best,
            other => panic!("{other:?}"),
        });
        figures.collect::<Vec<_>>()
    };
    let said = |which: &str| {
        Some(format!(
            "the {which} of its column among cells with every run"
        ))
    };
    assert_eq!(table.best, said("greatest"));
    let greatest = best(&table);
    definition["goal"] = json!("minimize");
    let turned = results(definition.clone(), named.clone()).table().unwrap();
    assert_eq!(turned.best, said("least"));
    let least = best(&turned);
    assert!(least.contains(&true) && greatest.contains(&true));
    assert!(
        least
            .iter()
            .zip(&greatest)
            .all(|(least, greatest)| !(least & greatest))
    );
    // It was recorded before metrics kept their names.
    assert_eq!(texts(&table)[1], "64 | 10.0000*");
    let measured = named[0].replicates[0].measurement.as_mut().unwrap();
    measured.values.insert("accuracy", 0.5).unwrap();
    let results = results(definition, named);
    assert_eq!(texts(&results.table().unwrap())[1], "64 | 0.5000*");
    let document = serde_json::to_value(results.document()).unwrap();
    assert_eq!(document["rows"][0]["median"], 0.5);
    assert_eq!(document["rows"][0].get("metrics"), None);
}

#[test]
fn unknown_columns_and_definitions_are_errors() {
    let unknown = results(list(&["batch_size"], &["tset_error"]), cells());
    let error = unknown.table().unwrap_err().to_string();
    assert_eq!(
        error,
        "`tset_error` is no parameter and no measure here; did you mean `test_error`? there are \
         `batch_size`, `optimizer.lr`, `test_error`, `train_time`, `test_loss`"
    );
    let known = results(list(&["batch_size"], &["test_error"]), cells());
    let wrong = |name, named| known.check_name(name, named).unwrap_err().to_string();
    assert_eq!(
        wrong("lr", Named::Parameter),
        "`lr` is no parameter here; did you mean `optimizer.lr`? there are `batch_size`, \
         `optimizer.lr`"
    );
    // A key of the spec, and a metric, that none of these has.
    assert!(wrong("epochs", Named::Parameter).starts_with("`epochs` is no parameter here"));
    assert!(wrong("metrics.acc", Named::Measure).starts_with("`metrics.acc` is no measure"));
    assert!(
        known
            .check_name("metrics.test_loss", Named::Measure)
            .is_ok()
    );
    assert!(known.check_name("test_loss", Named::Either).is_ok());
    let mut open = cells();
    for replicate in open.iter_mut().flat_map(|it| &mut it.replicates) {
        (replicate.state, replicate.measurement) = (StateName::Queued, None);
    }
    let open = results(list(&["batch_size"], &["test_error"]), open);
    assert!(open.check_name("metrics.acc", Named::Either).is_ok());
    assert!(matches!(
        Results::new(&sweep(json!({})), cells()),
        Err(TableError::Definition(_))
    ));
    let mut broken = cells();
    if let Some(measurement) = &mut broken[1].replicates[0].measurement {
        measurement.train_seconds = f64::NAN;
    }
    assert!(matches!(
        Results::new(&sweep(pivot()), broken),
        Err(TableError::NotFinite { .. })
    ));
}

#[test]
fn the_wide_table_shows_everything() {
    let table = results(pivot(), cells()).wide().unwrap();
    assert_eq!(
        texts(&table)[..2],
        [
            "batch size | lr | test error (%) | n | min (%) | max (%) | mean (%) | sd (%) | \
             interval of median (%) | train time | cell",
            "64 | 3.2 | 10.00 | 1 of 1 | 10.00 | 10.00 | 10.00 | - | - | 1 m 00 s | 000000000000",
        ]
    );
}

#[test]
fn a_definition_is_made_from_the_sweep_file_and_reads_back() {
    let text = r#"
        [sweep]
        name = "small"
        replicates = 2
        measure = { median_of_last = 3 }
        [fixed]
        trainer.command = ["train"]
        trainer.metric = "perplexity"
        epochs = "batch_size * 8"
        params.mode = "fast"
        [[grid]]
        batch_size = [1, 2]
        [table]
        rows = ["batch_size", "epochs", "params.mode"]
        columns = ["perplexity"]
    "#;
    let none = |_: &str| Err("no such file".to_owned());
    let file = SweepFile::parse("small.toml", text, &none).unwrap();
    let definition = Definition::new(&expand_whole(&file).unwrap());
    assert_eq!(definition.metric.as_deref(), Some("perplexity"));
    assert_eq!(definition.epochs().map(|it| it.last), Some(3));
    assert_eq!(definition.parameters.len(), 2);
    assert_eq!(definition.parameters[0].values, [json!(8), json!(16)]);
    assert_eq!(definition.parameters[1].values, [json!("fast")]);
    let stored = serde_json::to_value(&definition).unwrap();
    assert_eq!(Definition::read(&stored), Ok(definition));
}

#[test]
fn rows_for_programs_have_the_names_of_the_contract() {
    let results = results(pivot(), cells());
    let document = serde_json::to_value(results.document()).unwrap();
    assert_eq!(document["schema_version"], 1);
    assert_eq!(document["sweep"], "small");
    let row = &document["rows"][1];
    assert_eq!(row["axes"], json!({"batch_size": 64, "optimizer.lr": 0.8}));
    assert_eq!((&row["n"], &row["of"]), (&json!(1), &json!(1)));
    for name in ["median", "min", "max", "values", "diverged", "failed"] {
        assert!(row.get(name).is_some(), "{name}");
    }
    assert_eq!(row["values"], json!([9.0]));
    assert_eq!(row["train_seconds_median"], 60.0);
    assert_eq!(
        (&row["reference"], &row["verdict"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(row["cell"], "01".repeat(32));
    assert_eq!(row["replicates"][0]["job"], "01".repeat(32));
}

proptest! {
    #[test]
    fn the_order_of_arrival_does_not_matter(cells in Just(cells()).prop_shuffle()) {
        for definition in [pivot(), list(&["batch_size", "optimizer.lr"], &["test_error"])] {
            let (left, right) = (
                results(definition.clone(), self::cells()),
                results(definition, cells.clone()),
            );
            prop_assert_eq!(left.table().unwrap(), right.table().unwrap());
            let bytes = |results: &Results| serde_json::to_string(&results.document()).unwrap();
            prop_assert_eq!(bytes(&left), bytes(&right));
        }
    }

    #[test]
    fn every_cell_is_in_the_pivot_once(
        points in proptest::collection::btree_set((0..5_u32, 0..5_u32), 1..20)
    ) {
        let cells: Vec<CellResults> = points
            .iter()
            .zip(0..)
            .map(|((batch, lr), index)| {
                let axes = [("batch_size", json!(batch)), ("optimizer.lr", json!(lr))];
                cell(index, &axes, index as f64)
            })
            .collect();
        let table = results(pivot(), cells).table().unwrap();
        let mut shown: Vec<f64> = table
            .rows
            .iter()
            .flat_map(|row| &row.fields)
            .filter_map(|field| match field {
                Field::Figure(shown) => shown.figure.median(),
                _ => None,
            })
            .collect();
        shown.sort_unstable_by(f64::total_cmp);
        let all: Vec<f64> = (0..points.len()).map(|index| index as f64).collect();
        prop_assert_eq!(shown, all);
        for row in &table.rows {
            prop_assert_eq!(row.fields.len(), table.columns.len());
        }
    }
}

fn with_reference(mut definition: Value, published: &Value) -> Value {
    definition["published"] = published.clone();
    definition
}

#[test]
fn published_values_stand_beside_ours() {
    let published = json!([
        {"line": 2, "cells": [0], "table": "11", "test_error": 9.9, "n": 1, "minutes": 22.0},
        {"line": 3, "cells": [1], "test_error": 8.1, "figure_error": 9.1, "n": 1},
        {"line": 4, "cells": [2], "test_error": 5.0, "n": 3, "caveat": "another code"},
        {"line": 5, "cells": [3], "n": 1},
        {"line": 6, "cells": [], "test_error": 1.0, "n": 1},
    ]);
    let list = list(
        &["batch_size", "optimizer.lr"],
        &["test_error", "train_time"],
    );
    let results = results(with_reference(list, &published), cells());
    let table = results.table().unwrap();
    assert_eq!(
        texts(&table),
        [
            "batch size | lr | test error (%) | published (%) | difference | verdict | train time \
             | published time",
            "64 | 3.2 | 10.00 | 9.90 | +0.10 | reproduced | 1 m 00 s | 22 m",
            "64 | 0.8 | 9.00 | 8.10a | -0.10 | reproduced | 1 m 00 s | -",
            "32 | 1.6 | 8.00 | 5.00b | +3.00 | not reproduced | 1 m 00 s | -",
            "32 | 0.8 | 7.00* | - | - | - | 1 m 00 s | -",
        ]
    );
    let notes: Vec<&str> = table.footnotes.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(
        notes[0],
        "Published: 9.10 in the figure beside the table; either counts as reproduced"
    );
    assert_eq!(notes[1], "Published: another code");
    assert!(
        notes[2].starts_with(
            "Published values: 2 reproduced, 1 not reproduced, 0 undecided; 1 published value of \
             no cell of this sweep (line 6 of the reference); "
        ),
        "{notes:?}"
    );
    let check = results.check().unwrap();
    assert_eq!(check.verdict(), Verdict::NotReproduced);
    let rows = serde_json::to_value(results.document()).unwrap();
    let row = &rows["rows"][0];
    assert_eq!(row["verdict"], "reproduced");
    let reference = &row["reference"][0];
    assert_eq!(
        (&reference["test_error"], &reference["minutes"]),
        (&json!(9.9), &json!(22.0))
    );
    assert_eq!(reference.get("cells"), None);
    assert!(reference["margin"].as_f64().unwrap() > 0.4);
    assert_eq!(rows["rows"][3]["verdict"], Value::Null);
}

#[test]
fn a_pivot_marks_what_was_not_reproduced() {
    let published = json!([
        {"line": 2, "cells": [0], "test_error": 9.9, "n": 1},
        {"line": 3, "cells": [1], "test_error": 5.1, "n": 1},
    ]);
    let table = results(with_reference(pivot(), &published), cells())
        .table()
        .unwrap();
    let marks = table
        .rows
        .iter()
        .flat_map(|row| &row.fields)
        .filter_map(|field| match field {
            Field::Figure(shown) if !shown.marks.is_empty() => Some(shown.figure.to_string()),
            _ => None,
        });
    assert_eq!(marks.collect::<Vec<_>>(), ["9.00"]);
    assert!(table.footnotes[0].text.starts_with("Not reproduced: "));
}

#[test]
fn nothing_is_decided_early_and_all_diverged_is_not_reproduced() {
    let published = json!([{"line": 2, "cells": [0, 1, 2, 3], "test_error": 9.0, "n": 1}]);
    let mut cells = cells();
    cells[1].replicates[0].state = StateName::Leased;
    cells[2].replicates[0].state = StateName::Failed;
    cells[2].replicates[0].fault = Some(swath_model::outcome::Fault::Diverged);
    cells[3].replicates[0].state = StateName::Cancelled;
    let results = results(with_reference(pivot(), &published), cells);
    use Verdict::{NotReproduced, Undecided};
    let verdicts = (0..4).map(|place| results.verdict(place));
    assert_eq!(
        verdicts.collect::<Vec<_>>(),
        [NotReproduced, Undecided, NotReproduced, Undecided].map(Some)
    );
    let nothing = Check::default();
    assert_eq!(nothing.verdict(), Verdict::Undecided);
}

#[test]
fn the_best_at_the_border_is_told() {
    let among = |rates: [f64; 3], best: usize| {
        let cells = rates.iter().zip(0..).map(|(lr, index)| {
            let axes = [("batch_size", json!(64)), ("optimizer.lr", json!(lr))];
            cell(index, &axes, if index as usize == best { 7.0 } else { 8.0 })
        });
        let definition = list(&["optimizer.lr"], &["test_error"]);
        results(definition, cells.collect()).table().unwrap().advice
    };
    let grid = |best| among([0.1, 0.2, 0.4], best);
    assert_eq!(
        grid(2),
        [
            "The best cell (7.00 at lr 0.4) has the greatest lr that was tried; to look further, \
             add a value above 0.4 to `optimizer.lr` in the sweep file and submit it again: what \
             is measured stays"
        ]
    );
    assert!(grid(0)[0].contains("add a value below 0.1"));
    assert_eq!(grid(1), [""; 0]);
    // No cell is the best alone.
    assert_eq!(grid(3), [""; 0]);
    // Nothing lies below the 0 that turns something off.
    assert_eq!(among([0.0, 0.2, 0.4], 0), [""; 0]);
    assert_eq!(among([-0.1, 0.0, 0.4], 0).len(), 1);
}

/// A sweep over learning rates: the errors of each cell's replicates. `start` is
/// the first of its digests.
fn replicated(start: u8, cells: &[&[f64]]) -> Results {
    let made = cells.iter().zip(0_u8..).map(|(errors, at)| {
        let axes = [("optimizer.lr", json!(at + 1))];
        let mut made = cell(u64::from(at), &axes, errors[0]);
        made.cell = CellDigest::from_bytes([start + at; 32]);
        let first = made.replicates.remove(0);
        made.replicates = errors
            .iter()
            .zip(1..)
            .map(|(error, number)| {
                let mut replicate = first.clone();
                replicate.replicate = Replicate(number);
                let measured = replicate.measurement.as_mut().unwrap();
                measured.values.insert("test_error", *error).unwrap();
                replicate
            })
            .collect();
        made
    });
    results(list(&["optimizer.lr"], &["test_error"]), made.collect())
}

fn outcomes(left: &Results, right: &Results) -> Vec<Value> {
    let comparison = serde_json::to_value(Comparison::new(left, right).unwrap()).unwrap();
    let rows = comparison["rows"].as_array().unwrap();
    rows.iter().map(|row| row["outcome"].clone()).collect()
}

#[test]
fn three_against_three_are_not_distinguishable() {
    let left = replicated(1, &[&[8.0, 8.1, 8.2]]);
    let right = replicated(9, &[&[20.0, 20.1, 20.2]]);
    assert_eq!(outcomes(&left, &right), ["too_few"]);
    let table = Comparison::new(&left, &right).unwrap().table(false);
    assert_eq!(
        texts(&table)[1],
        "1 | 8.10 | 20.10 | +12.00 | 0.100 | 0.100 | not distinguishable at n = 3: too few for \
         any difference"
    );
    let told = &table.footnotes[1].text;
    assert!(told.contains("the least p of 3 against 3 is 0.1"), "{told}");
    assert!(
        told.contains("it takes 4 of each cell: `coordinator extend small --replicates 4`"),
        "{told}"
    );
}

#[test]
fn pairs_are_corrected_for_each_other() {
    let low = [8.0, 8.1, 8.2, 8.3];
    let high = [9.0, 9.1, 9.2, 9.3];
    // Four against four can show one difference, not two.
    assert_eq!(
        outcomes(&replicated(1, &[&high]), &replicated(9, &[&low])),
        ["less"]
    );
    let two = outcomes(
        &replicated(1, &[&high, &low]),
        &replicated(9, &[&low, &high]),
    );
    assert_eq!(two, ["too_few", "too_few"]);
}

#[test]
fn what_cannot_be_compared() {
    let left = replicated(1, &[&[8.0], &[9.0]]);
    // One digest, one cell; the second cell has no partner.
    let right = replicated(1, &[&[8.0]]);
    assert_eq!(outcomes(&left, &right), ["same"]);
    let notes = Comparison::new(&left, &right)
        .unwrap()
        .table(true)
        .footnotes;
    let notes: Vec<String> = notes.into_iter().map(|it| it.text).collect();
    assert_eq!(notes.len(), 1);
    assert!(notes[0].starts_with("1 cell of small"), "{notes:?}");
    assert!(notes[0].ends_with("has no partner"), "{notes:?}");
    let mut other = right.clone();
    other.axes = vec!["epochs".to_owned()];
    let error = Comparison::new(&left, &other).unwrap_err();
    assert_eq!(
        error.to_string(),
        "small and small share no axis; their cells cannot be paired"
    );
    let with_unit = |unit: &str| {
        let mut results = right.clone();
        results.definition.unit = Some(unit.to_owned());
        results
    };
    let (ms, s) = (with_unit("ms"), with_unit("s"));
    assert_eq!(outcomes(&ms, &right), ["same"]);
    let error = Comparison::new(&ms, &s).unwrap_err();
    assert_eq!(
        error.to_string(),
        "small measures test_error in ms, small in s"
    );
}
