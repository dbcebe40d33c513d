//! A sweep of twelve cells with everything that can happen to one.

use serde_json::{Value, json};
use std::sync::Arc;
use swath_model::id::{Attempt, CellDigest, JobDigest, Replicate, SweepDigest};
use swath_model::job::StateName;
use swath_model::metrics::Metrics;
use swath_model::outcome::{Fault, Measurement, Observation, Provenance};
use swath_model::time::Timestamp;
use swath_model::view::{
    CellResults, Counts, CurvePoint, ReplicateResult, SweepRecord, SweepState, SweepView,
};
use swath_results::table::Results;

/// Per cell its three replicates: a test error, `d`iverged, `f`ailed, or
/// `q`ueued; with `@` on the other device.
const CELLS: [(u32, f64, &str); 12] = [
    (64, 0.05, "9.41 9.62 9.38"),
    (64, 0.2, "8.21 8.05 8.44"),
    (64, 0.8, "10.35 d 11.02"),
    (64, 3.2, "d d d"),
    (256, 0.05, "12.8 12.6 12.9"),
    (256, 0.2, "8.9 9.1@ 8.7"),
    (256, 0.8, "8.46 8.5 8.39"),
    (256, 3.2, "d f 14.2"),
    (1024, 0.05, "21.3 20.9 22.4"),
    (1024, 0.2, "13.37 13.1 q"),
    (1024, 0.8, "9.52 9.88 9.7"),
    (1024, 3.2, "q q q"),
];

pub(super) fn replicate(cell: u8, number: u32, end: &str) -> ReplicateResult {
    let (value, other) = match end.strip_suffix('@') {
        Some(value) => (value, true),
        None => (end, false),
    };
    let (state, fault) = match value {
        "d" => (StateName::Failed, Some(Fault::Diverged)),
        "f" => (StateName::Failed, Some(Fault::OutOfMemory)),
        "q" => (StateName::Queued, None),
        _ => (StateName::Succeeded, None),
    };
    let device = if other { "NVIDIA H200" } else { "NVIDIA H100" };
    let measurement = value.parse().ok().map(|test_error: f64| Measurement {
        values: Metrics::from([
            ("test_error", test_error),
            ("test_loss", test_error / 30.0),
            ("best_test_error", test_error - 0.2),
        ]),
        train_seconds: 70.0 + f64::from(cell) * 9.0 + f64::from(number),
        weights: None,
    });
    ReplicateResult {
        replicate: Replicate(number),
        job: JobDigest::from_bytes([cell * 16 + number as u8; 32]),
        seed: u64::from(cell) * 100 + u64::from(number),
        state,
        fault,
        provenance: measurement.is_some().then(|| {
            Arc::new(Provenance {
                device: device.to_owned(),
                ..Provenance::default()
            })
        }),
        measurement,
        last_values: Vec::new(),
        imported: None,
    }
}

pub(super) fn cells() -> Vec<CellResults> {
    let cells = CELLS.iter().zip(0..);
    cells
        .map(|((batch_size, lr, ends), index)| CellResults {
            index: u64::from(index),
            cell: CellDigest::from_bytes([0xc0 + index; 32]),
            axes: vec![
                ("batch_size".to_owned(), json!(batch_size)),
                ("optimizer.lr".to_owned(), json!(lr)),
            ],
            replicates: ends
                .split(' ')
                .zip(1..)
                .map(|(end, number)| replicate(index, number, end))
                .collect(),
        })
        .collect()
}

pub(super) fn sweep(layout: &Value) -> SweepRecord {
    let view = SweepView {
        digest: SweepDigest::from_bytes([0x5e; 32]),
        name: "rates".to_owned(),
        title: "Batch size & learning rate".to_owned(),
        state: SweepState::Active,
        kind: swath_model::view::SweepKind::Training,
        paused: None,
        cells: 12,
        replicates: 3,
        replication: None,
        priority: 0,
        counts: Counts {
            queued: 3,
            leased: 1,
            succeeded: 26,
            failed: 1,
            diverged: 5,
            ..Counts::default()
        },
        submitted_at: Timestamp::from_ms(0),
        finished_at: None,
        version: 1,
        label: swath_model::label::Label::default(),
    };
    SweepRecord {
        view,
        definition: json!({ "layout": layout }),
    }
}

pub(super) fn pivot() -> Value {
    json!({"pivot": {
        "rows": ["optimizer.lr"], "columns": "batch_size", "cell": "test_error",
    }})
}

pub(super) fn list() -> Value {
    json!({"list": {
        "rows": ["batch_size", "optimizer.lr"],
        "columns": ["test_error", "best_test_error", "train_time"],
    }})
}

pub(super) fn results(layout: &Value) -> Results {
    Results::new(&sweep(layout), cells()).unwrap()
}

/// Ten epochs, the last five by a second attempt that went on from the fifth.
pub(super) fn points() -> Vec<CurvePoint> {
    let point = |attempt: u32, epoch: u32| CurvePoint {
        attempt: Attempt(attempt),
        observation: Observation {
            epoch,
            step: u64::from(epoch) * 390,
            seconds: Some(f64::from(epoch) * 6.5),
            values: Metrics::from([
                ("train_error", 60.0 / f64::from(epoch)),
                ("test_error", 8.0 + 60.0 / f64::from(epoch)),
                ("train_loss", 1.0 / f64::from(epoch)),
                ("lr", 0.1),
                ("images_per_second", 7812.4),
                ("distance", f64::from(epoch) + 0.125),
            ]),
        },
    };
    (1..=6)
        .map(|epoch| point(1, epoch))
        .chain((6..=10).map(|epoch| point(2, epoch)))
        .collect()
}
