//! Numbers from elsewhere.

use swath_model::id::Replicate;
use swath_model::import::{ImportBatch, ImportCounts, ImportRow, Imported};
use swath_model::job::StateName;
use swath_model::view::CellResults;

use super::bench::Bench;
use super::script::{measured, plain_cell, sweep};
use crate::{StoreError, Submission};

pub(crate) fn row(sweep: &str, x: u32, place: u32, test_error: f64) -> ImportRow {
    ImportRow {
        sweep: sweep.to_owned(),
        cell: plain_cell(x).digest,
        place,
        number: Imported {
            test_error,
            seconds: Some(60.5),
            runs: 1,
            replicate: None,
            seed: None,
            source: "paper".to_owned(),
            file: "paper.csv".to_owned(),
            line: place + 1,
        },
    }
}

pub(crate) fn batch(rows: &[ImportRow]) -> ImportBatch {
    ImportBatch {
        replace: false,
        rows: rows.to_vec(),
    }
}

const fn counts(new: u64, known: u64, removed: u64) -> ImportCounts {
    ImportCounts {
        new,
        known,
        removed,
    }
}

/// For each replicate of cell `at`: its imported number, and the measured one.
async fn shown(
    bench: &Bench,
    submission: &Submission,
    at: usize,
) -> Vec<(u32, Option<f64>, Option<f64>)> {
    let cells: Vec<CellResults> = bench.results(submission.digest).await;
    let one = |it: &swath_model::view::ReplicateResult| {
        let imported = it.imported.as_ref().map(|it| it.test_error);
        let measured = it
            .measurement
            .as_ref()
            .and_then(|it| it.values.get("test_error"));
        (it.replicate.0, imported, measured)
    };
    cells[at].replicates.iter().map(one).collect()
}

/// Numbers count in the table and change no job.
pub async fn imports_lie_beside_the_jobs(bench: &mut Bench) {
    let one = sweep("one", &[1, 2], 2);
    let other = sweep("other", &[2], 2);
    bench.submit(&one).await;
    bench.submit(&other).await;
    let mut median = row("one", 2, 1, 6.5);
    median.number.runs = 2;
    let mut seconds = row("one", 1, 1, 7.25);
    seconds.number.replicate = Some(Replicate(2));
    seconds.number.seconds = None;
    let rows = [median, seconds];
    assert_eq!(bench.import(batch(&rows)).await.unwrap(), counts(2, 0, 0));
    let first = shown(bench, &one, 0).await;
    assert_eq!(first, [(1, None, None), (2, Some(7.25), None)]);
    let second = shown(bench, &one, 1).await;
    assert_eq!(second, [(1, Some(6.5), None), (2, Some(6.5), None)]);
    // The same cell in another sweep belongs to another table.
    let others = shown(bench, &other, 0).await;
    assert_eq!(others, [(1, None, None), (2, None, None)]);
    let view = bench.sweep(one.digest).await;
    assert_eq!((view.counts.queued, view.counts.succeeded), (4, 0));
}

/// A number that a worker measures is shown, and the imported one after it.
pub async fn a_measurement_is_never_hidden_by_an_import(bench: &mut Bench) {
    let one = sweep("one", &[1], 1);
    bench.submit(&one).await;
    bench.import(batch(&[row("one", 1, 1, 9.0)])).await.unwrap();
    let owner = bench.hello("w").await;
    let attempt = bench.take_one(&owner).await;
    assert_eq!(shown(bench, &one, 0).await, [(1, Some(9.0), None)]);
    bench.finish(&owner, attempt, measured(3.0)).await;
    let both = [(1, None, Some(3.0)), (2, Some(9.0), None)];
    assert_eq!(shown(bench, &one, 0).await, both);
    let cells = bench.results(one.digest).await;
    let mut states = cells[0].replicates.iter().map(|it| it.state);
    assert!(states.all(|state| state == StateName::Succeeded));
}

/// The same numbers again change nothing, another number of the same source is
/// refused, and a replacement removes what the source had given for that sweep.
pub async fn an_import_can_be_repeated_and_replaced(bench: &mut Bench) {
    bench.submit(&sweep("one", &[1, 2], 1)).await;
    bench.submit(&sweep("two", &[1], 1)).await;
    let rows = [row("one", 1, 1, 9.0), row("one", 2, 1, 8.0)];
    assert_eq!(bench.import(batch(&rows)).await.unwrap(), counts(2, 0, 0));
    assert_eq!(bench.import(batch(&rows)).await.unwrap(), counts(0, 2, 0));
    let mut moved = rows[0].clone();
    "elsewhere.csv".clone_into(&mut moved.number.file);
    assert_eq!(
        bench.import(batch(&[moved])).await.unwrap(),
        counts(0, 1, 0)
    );
    let of_two = row("two", 1, 1, 1.0);
    bench.import(batch(&[of_two])).await.unwrap();
    let corrected = [row("one", 2, 2, 7.0), row("one", 1, 1, 9.5)];
    let refused = bench.import(batch(&corrected)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Conflict(_)), "{refused}");
    assert!(refused.to_string().contains("paper.csv:2"), "{refused}");
    let mut replacing = batch(&corrected);
    replacing.replace = true;
    assert_eq!(bench.import(replacing).await.unwrap(), counts(2, 0, 2));
}

/// If one row cannot be stored, none is.
pub async fn an_import_is_all_or_nothing(bench: &mut Bench) {
    let one = sweep("one", &[1, 2], 1);
    bench.submit(&one).await;
    for wrong in [row("one", 3, 1, 1.0), row("none", 1, 1, 1.0)] {
        let rows = [row("one", 1, 1, 9.0), wrong];
        let refused = bench.import(batch(&rows)).await.unwrap_err();
        assert!(matches!(refused, StoreError::NotFound(_)), "{refused}");
    }
    let mut runless = row("one", 2, 1, 1.0);
    runless.number.runs = 0;
    for wrong in [row("one", 2, 1, f64::NAN), runless] {
        let rows = [row("one", 1, 1, 9.0), wrong];
        let refused = bench.import(batch(&rows)).await.unwrap_err();
        assert!(matches!(refused, StoreError::Conflict(_)), "{refused}");
    }
    assert_eq!(shown(bench, &one, 0).await, [(1, None, None)]);
}

/// Replicates that a sweep gets later do not lose its imports.
pub async fn a_grown_sweep_keeps_its_imports(bench: &mut Bench) {
    bench.submit(&sweep("one", &[1], 1)).await;
    bench.import(batch(&[row("one", 1, 1, 9.0)])).await.unwrap();
    let grown = sweep("one", &[1, 2], 2);
    bench.submit(&grown).await;
    let first = shown(bench, &grown, 0).await;
    assert_eq!(first, [(1, Some(9.0), None), (2, None, None)]);
}
