//! Mishaps and operators.

use swath_core::id::{JobDigest, SweepDigest, WorkerName};
use swath_core::ledger::Ledger;
use swath_core::message::{Sources, Submission, SubmittedCell, SweepChange, WorkerChange};
use swath_core::spec::cell_digest;
use swath_core::time::Timestamp;

use crate::Faults;
use crate::chance::Chance;
use crate::worker::Worker;

/// What can go wrong at some moment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mishap {
    Crash,
    Freeze,
    Outage,
    Jump,
    Operator,
}

pub(crate) fn mishap(chance: &mut Chance, faults: &Faults) -> Option<Mishap> {
    let weights = [
        faults.crash,
        faults.freeze,
        faults.outage,
        faults.jump,
        faults.operator,
    ];
    let mishaps = [
        Mishap::Crash,
        Mishap::Freeze,
        Mishap::Outage,
        Mishap::Jump,
        Mishap::Operator,
    ];
    chance.weighted(&weights).map(|place| mishaps[place])
}

/// Sweeps that share cells, the second being the first one grown.
pub(crate) fn sweeps() -> Vec<Submission> {
    let sweep = |digest: u8, cells: &[u32], replicates| Submission {
        digest: SweepDigest::from_bytes([digest; 32]),
        name: format!("sweep {digest}"),
        title: String::new(),
        replicates,
        replicates_max: None,
        priority: i32::from(digest),
        sources: Sources::default(),
        definition: serde_json::Value::Null,
        cells: cells.iter().map(|x| cell(*x)).collect(),
    };
    vec![
        sweep(1, &[1, 2], 2),
        sweep(2, &[1, 2, 3], 2),
        sweep(3, &[3, 4, 5], 1),
    ]
}

fn cell(x: u32) -> SubmittedCell {
    let spec = format!(r#"{{"params":{{"x":{x}}},"trainer":{{"null":true}}}}"#);
    SubmittedCell {
        digest: cell_digest(&spec),
        axes: Vec::new(),
        spec,
        program: None,
    }
}

/// An operator does something, sensible or not; says what.
pub(crate) fn meddle(
    chance: &mut Chance,
    ledger: &mut Ledger,
    workers: &[Worker],
    now: Timestamp,
) -> String {
    let sweep = chance.one_of(&sweeps()).clone();
    let worker = chance.one_of(workers).name.clone();
    let jobs: Vec<JobDigest> = ledger.states().map(|(job, _)| job).collect();
    let change = match chance.within(0..10) {
        0 => SweepChange::Cancel,
        1 => SweepChange::Pause {
            reason: "lunch".to_owned(),
        },
        2 => SweepChange::Priority(chance.within(0..5) as i32),
        3 | 4 => SweepChange::Resume,
        5 => {
            let said = format!("submits {:?}", sweep.digest);
            // The cells are objects: nothing to refuse.
            return ledger
                .submit(now, sweep)
                .map_or_else(|error| error.to_string(), |_| said);
        }
        6 if !jobs.is_empty() => {
            let job = *chance.one_of(&jobs);
            ledger.cancel_jobs(now, &[job]);
            return format!("cancels {job:?}");
        }
        7 if !jobs.is_empty() => {
            let job = *chance.one_of(&jobs);
            ledger.retry_jobs(now, &[job]);
            return format!("retries {job:?}");
        }
        _ => return tend(chance, ledger, &worker),
    };
    let said = format!("{change:?} of {:?}", sweep.digest);
    // A sweep that is unknown or cancelled refuses most changes.
    let _refused = ledger.change_sweep(now, sweep.digest, change);
    said
}

fn tend(chance: &mut Chance, ledger: &mut Ledger, worker: &WorkerName) -> String {
    let change = match chance.within(0..4) {
        0 => WorkerChange::Drain,
        1 => WorkerChange::Cordon {
            reason: "smoke".to_owned(),
        },
        _ => WorkerChange::Activate,
    };
    let said = format!("{change:?} of {worker}");
    // A worker that never said hello is unknown.
    let _refused = ledger.change_worker(worker, change);
    said
}

/// The operator puts right what keeps jobs from being granted.
pub(crate) fn soothe(ledger: &mut Ledger, workers: &[Worker], now: Timestamp) {
    for sweep in sweeps() {
        // Cancelled ones stay cancelled.
        let _refused = ledger.change_sweep(now, sweep.digest, SweepChange::Resume);
    }
    for worker in workers {
        let _refused = ledger.change_worker(&worker.name, WorkerChange::Activate);
    }
}
