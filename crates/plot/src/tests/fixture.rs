//! A small sweep with everything that can happen to a cell.

use serde_json::{Value, json};
use swath_model::id::{CellDigest, JobDigest, Replicate, SweepDigest};
use swath_model::job::StateName;
use swath_model::outcome::{Fault, Measurement, Observation};
use swath_model::time::Timestamp;
use swath_model::view::{CellResults, Counts, ReplicateResult, SweepRecord, SweepState, SweepView};
use swath_results::table::Results;

fn replicate(cell: usize, number: usize, end: &str) -> ReplicateResult {
    let (state, fault) = match end {
        "d" => (StateName::Failed, Some(Fault::Diverged)),
        "q" => (StateName::Queued, None),
        _ => (StateName::Succeeded, None),
    };
    ReplicateResult {
        replicate: Replicate(number as u32 + 1),
        job: JobDigest::from_bytes([(cell * 16 + number) as u8; 32]),
        seed: number as u64,
        state,
        fault,
        measurement: end.parse().ok().map(|test_error: f64| Measurement {
            values: [("test_error", test_error)].into(),
            train_seconds: 1.0,
            weights: None,
        }),
        last_values: Vec::new(),
        provenance: None,
        imported: None,
    }
}

/// A sweep with these axes, and for each cell its values on them and how its
/// replicates ended.
pub(super) fn results(title: &str, axes: &[&str], cells: &[(&[Value], &str)]) -> Results {
    let replicates = cells.iter().map(|(_, ends)| ends.split(' ').count()).max();
    let cell = |(index, (values, ends)): (usize, &(&[Value], &str))| CellResults {
        index: index as u64,
        cell: CellDigest::from_bytes([index as u8; 32]),
        axes: axes
            .iter()
            .map(|it| (*it).to_owned())
            .zip(values.iter().cloned())
            .collect(),
        replicates: ends
            .split(' ')
            .enumerate()
            .map(|(number, end)| replicate(index, number, end))
            .collect(),
    };
    let cells: Vec<CellResults> = cells.iter().enumerate().map(cell).collect();
    Results::new(&sweep(title, axes, cells.len(), replicates), cells).unwrap()
}

/// The same sweep with other cells.
pub(super) fn with_cells(results: &Results, cells: Vec<CellResults>) -> Results {
    let axes: Vec<&str> = results.axes().iter().map(String::as_str).collect();
    let replicates = cells.iter().map(|it| it.replicates.len()).max();
    Results::new(
        &sweep(results.title(), &axes, cells.len(), replicates),
        cells,
    )
    .unwrap()
}

fn sweep(title: &str, axes: &[&str], cells: usize, replicates: Option<usize>) -> SweepRecord {
    let view = SweepView {
        digest: SweepDigest::from_bytes([7; 32]),
        name: "small".to_owned(),
        title: title.to_owned(),
        state: SweepState::Active,
        kind: swath_model::view::SweepKind::Training,
        paused: None,
        cells: cells as u64,
        replicates: replicates.unwrap_or(0) as u32,
        replication: None,
        priority: 0,
        counts: Counts::default(),
        submitted_at: Timestamp::from_ms(0),
        finished_at: None,
        version: 1,
        label: swath_model::label::Label::default(),
    };
    SweepRecord {
        view,
        definition: json!({"layout": {"list": {"rows": axes, "columns": ["test_error"]}}}),
    }
}

/// Batch size × learning rate.
pub(super) fn small() -> Results {
    let cells: [(&[Value], &str); 6] = [
        (&[json!(64), json!(0.05)], "9.41 9.62 9.38"),
        (&[json!(64), json!(0.2)], "8.21 8.05 8.44"),
        (&[json!(64), json!(0.8)], "10.35 d 11.02"),
        (&[json!(256), json!(0.05)], "12.8 12.6 12.9"),
        (&[json!(256), json!(0.2)], "8.9 9.1 q"),
        (&[json!(256), json!(0.8)], "d d d"),
    ];
    results("Rates & <batches>", &["batch_size", "optimizer.lr"], &cells)
}

/// The error falls from 40 by a factor per epoch.
pub(super) fn epochs(factor: f64, steps: u64) -> Vec<Observation> {
    let epoch = |epoch: u32| {
        let error = 40.0 * factor.powi(epoch as i32);
        json!({"epoch": epoch, "step": steps * u64::from(epoch), "test_error": error, "train_error": error / 2.0})
    };
    (1..=6)
        .map(|at| serde_json::from_value(epoch(at)).unwrap())
        .collect()
}
