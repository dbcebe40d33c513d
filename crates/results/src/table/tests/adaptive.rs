//! Tables of sweeps whose results decided the numbers of runs.

use swath_model::view::{ReplicationView, SettledView};

use super::*;

/// Two close cells with five runs each, and a third with three.
fn adaptive(settled: Option<SettledView>) -> Results {
    let mut sweep = sweep(list(&["optimizer.lr"], &["test_error", "train_time"]));
    sweep.view.replicates = 3;
    sweep.view.replication = Some(ReplicationView {
        max: 5,
        rounds: 2,
        seeds: 4,
        settled,
    });
    let cells = [(0.1, 8.0, 5), (0.2, 8.1, 5), (0.4, 30.0, 3)];
    let cells = cells.iter().zip(0..).map(|((lr, error, runs), index)| {
        let mut cell = cell(index, &[("optimizer.lr", json!(lr))], *error);
        let first = cell.replicates[0].clone();
        cell.replicates = (1..=*runs)
            .map(|number| ReplicateResult {
                replicate: Replicate(number),
                job: JobDigest::from_bytes([(16 * index) as u8 + number as u8; 32]),
                ..first.clone()
            })
            .collect();
        cell
    });
    Results::new(&sweep, cells.collect()).unwrap()
}

const fn settled(undecided: u64) -> SettledView {
    SettledView {
        at: Timestamp::from_ms(9),
        pairs: 2,
        undecided,
    }
}

#[test]
fn every_number_tells_its_n_where_cells_differ() {
    let table = adaptive(Some(settled(1))).table().unwrap();
    let mut lines = table.notes.clone();
    lines.extend(texts(&table));
    lines.extend(table.footnotes.iter().map(|it| it.text.clone()));
    lines.extend(table.advice.clone());
    insta::assert_snapshot!(lines.join("\n"), @r#"
Test error in %: median of 3 to 5 runs, each at its last epoch.
lr | test error (%) | train time
0.1 | 8.00 (n = 5)* | 1 m 00 s (n = 5)
0.2 | 8.10 (n = 5) | 1 m 00 s (n = 5)
0.4 | 30.00 (n = 3) | 1 m 00 s (n = 3)
All runs of a cell have the same value, in every cell: if that surprises, the program may not use the seed that it is given
Numbers of runs chosen from results: 3 for each cell, and up to 5 where the U test of Mann and Whitney does not tell it from its neighbour in the order of medians (p <= 0.01667 at each look); 4 runs added in 2 rounds, 1 of 2 pairs of neighbours not told apart
The best cell (8.00 (n = 5) at lr 0.1) has the least lr that was tried; to look further, add a value below 0.1 to `optimizer.lr` in the sweep file and submit it again: what is measured stays
"#);
}

#[test]
fn the_footnote_tells_how_far_it_is() {
    let told = |settled| {
        let table = adaptive(settled).table().unwrap();
        let notes = table.footnotes.into_iter().map(|it| it.text);
        let chosen = |note: &String| note.starts_with("Numbers of runs chosen from results");
        let note = notes.into_iter().find(chosen).unwrap();
        note.rsplit_once("; ").unwrap().1.to_owned()
    };
    assert_eq!(told(None), "4 runs added in 2 rounds, not settled yet");
    assert_eq!(
        told(Some(settled(0))),
        "4 runs added in 2 rounds, all neighbours are told apart"
    );
    assert_eq!(
        told(Some(settled(1))),
        "4 runs added in 2 rounds, 1 of 2 pairs of neighbours not told apart"
    );
}

#[test]
fn programs_get_the_same_facts() {
    let document = serde_json::to_value(adaptive(Some(settled(1))).document()).unwrap();
    assert_eq!(document["replicates"], 3);
    assert_eq!(document["replication"]["settled"]["undecided"], 1);
    assert_eq!(document["rows"][2]["of"], 3);
    assert_eq!(document["rows"][0]["of"], 5);
    let fixed = results(list(&["optimizer.lr"], &["test_error"]), cells());
    let document = serde_json::to_value(fixed.document()).unwrap();
    assert_eq!(document.get("replication"), None);
}

#[test]
fn seeds_that_change_nothing_are_told() {
    let told = |values: &[&[f64]]| {
        let cells = values.iter().zip(0..).map(|(values, index)| {
            let mut cell = cell(index, &[("optimizer.lr", json!(index))], values[0]);
            let first = cell.replicates[0].clone();
            let more = values.iter().zip(0..).skip(1);
            cell.replicates.extend(more.map(|(value, more)| {
                let mut next = first.clone();
                next.replicate = Replicate(1 + more);
                let measurement = next.measurement.as_mut().unwrap();
                measurement.values = Metrics::from([("test_error", *value)]);
                next
            }));
            cell
        });
        let definition = list(&["optimizer.lr"], &["test_error"]);
        let table = results(definition, cells.collect()).table().unwrap();
        let mut notes = table.footnotes.iter();
        notes.any(|note| {
            note.text
                .starts_with("All runs of a cell have the same value")
        })
    };
    assert!(told(&[&[8.0, 8.0], &[7.0, 7.0]]));
    assert!(told(&[&[8.0, 8.0, 8.0], &[7.0]]));
    assert!(!told(&[&[8.0, 8.0], &[7.0, 7.1]]));
    // Chance, and nothing to compare.
    assert!(!told(&[&[8.0, 8.0], &[7.0]]));
    assert!(!told(&[&[8.0], &[8.0]]));
}
