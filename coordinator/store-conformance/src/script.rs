//! What scenarios are made of: sweeps, outcomes, reports.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;
use swath_model::device::{Device, DeviceKind};
use swath_model::id::{Attempt, JobDigest, Replicate, SweepDigest, WeightsDigest};
use swath_model::metrics::Metrics;
use swath_model::needs::Needs;
use swath_model::offer::{DeviceAbout, Free, Offer};
use swath_model::outcome::{Fault, Measurement, Observation, Outcome, Provenance};
use swath_model::seed::Seeds;
use swath_model::spec::{cell_digest, job_digest};
use swath_model::view::{Epochs, WorkerAbout};

use crate::{Files, Finish, Held, Report, Sources, Submission, SubmittedCell};

/// A sweep over these cells; equal arguments give an equal sweep.
pub fn sweep(name: &str, cells: &[u32], replicates: u32) -> Submission {
    let mut bytes = [0; 32];
    let content = format!("{name} {cells:?} {replicates}");
    for (place, byte) in content.bytes().enumerate() {
        bytes[place % 32] ^= byte.rotate_left((place / 32) as u32);
    }
    let file = "sweep.toml".to_owned();
    Submission {
        digest: SweepDigest::from_bytes(bytes),
        name: name.to_owned(),
        title: format!("About {name}"),
        kind: swath_model::view::SweepKind::Training,
        replicates,
        replicates_max: None,
        priority: 0,
        sources: Sources::Files(Files {
            main: file.clone(),
            files: BTreeMap::from([(file, content)]),
            replicates: None,
            ..Default::default()
        }),
        definition: json!({ "layout": { "rows": "x" } }),
        cells: cells.iter().map(|cell| plain_cell(*cell)).collect(),
        owner: String::new(),
        tags: Vec::new(),
        ships: Vec::new(),
    }
}

/// Cell `x` of the built-in core.
pub fn plain_cell(x: u32) -> SubmittedCell {
    let spec = format!(r#"{{"params":{{"x":{x}}},"trainer":{{"null":true}}}}"#);
    SubmittedCell {
        digest: cell_digest(&spec),
        axes: vec![
            ("params.x".to_owned(), json!(x)),
            ("name".to_owned(), json!(format!("x is {x}"))),
        ],
        spec,
        needs: Needs::default(),
    }
}

/// A cell that needs a program.
pub fn program_cell(program: &str) -> SubmittedCell {
    let spec = format!(r#"{{"trainer":{{"command":["{program}"]}}}}"#);
    SubmittedCell {
        digest: cell_digest(&spec),
        axes: Vec::new(),
        spec,
        needs: Needs {
            program: Some(program.to_owned()),
            ..Needs::default()
        },
    }
}

/// Cell `x` whose jobs need this.
pub fn needing_cell(x: u32, needs: &Needs) -> SubmittedCell {
    SubmittedCell {
        needs: needs.clone(),
        ..plain_cell(x)
    }
}

/// Jobs that need a GPU and so much of its memory.
pub fn gpu_needs(memory_bytes: u64) -> Needs {
    Needs {
        device: Some(DeviceKind::Cuda),
        memory_bytes: Some(memory_bytes),
        ..Needs::default()
    }
}

/// Jobs that run on two GPUs at once.
pub fn two_gpus() -> Needs {
    Needs {
        device: Some(DeviceKind::Cuda),
        count: Some(2),
        ..Needs::default()
    }
}

/// What a worker reports about itself if it has a processor and these GPUs, each
/// with ten bytes of memory, and three processors in all.
pub fn gpu_about(programs: &[&str], gpus: u16) -> WorkerAbout {
    let mut about = worker_about(programs);
    let devices = (0..gpus).map(Device::Cuda);
    about.offer.slots.extend(devices.clone());
    about.offer.cpus = Some(3);
    about.offer.devices = devices
        .map(|device| DeviceAbout {
            device,
            model: "Abacus".to_owned(),
            memory_bytes: 10,
        })
        .collect();
    about
}

/// So many free slots of a device.
pub const fn free(device: Device, slots: u32) -> Free {
    let ahead = 0;
    Free {
        device,
        slots,
        ahead,
    }
}

/// The digest of a cell's job.
pub fn job_of(cell: &SubmittedCell, replicate: u32) -> JobDigest {
    let seeds = Seeds::in_text(&cell.spec);
    job_digest(&cell.spec, seeds.seed(cell.digest, Replicate(replicate)))
}

/// The digest of the job of plain cell `x`.
pub fn job(x: u32, replicate: u32) -> JobDigest {
    job_of(&plain_cell(x), replicate)
}

/// An attempt of a job.
pub const fn held(job: JobDigest, attempt: u32) -> Held {
    Held {
        job,
        attempt: Attempt(attempt),
    }
}

/// A measurement; it may not be recorded if this is not finite.
pub fn measured(test_error: f64) -> Outcome {
    Outcome::Measured(Measurement {
        // What is not finite cannot be a metric, but a time.
        train_seconds: if test_error.is_finite() {
            12.5
        } else {
            test_error
        },
        values: Metrics::from([
            ("test_error", test_error),
            ("test_loss", 0.5),
            ("distance", test_error / 3.0),
            ("goal.10.epoch", 2.0),
        ]),
        // A program has no weights.
        weights: (test_error < 50.0).then(|| weights(test_error)),
    })
}

/// The weights of a training with this test error.
pub fn weights(test_error: f64) -> WeightsDigest {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&test_error.to_be_bytes());
    WeightsDigest::from_bytes(bytes)
}

/// Metrics with names of every kind.
pub fn any_values() -> impl Strategy<Value = Metrics> {
    let known = swath_model::metrics::KNOWN.map(|known| known.name).to_vec();
    let name = prop_oneof![
        proptest::sample::select(known).prop_map(str::to_owned),
        proptest::sample::select(vec!["epoch", "a/b c", "\"'\\", "é\u{1f600}", "-"])
            .prop_map(str::to_owned),
        "[!-~]{1,128}",
    ];
    let value = prop_oneof![any::<f64>(), any::<u32>().prop_map(f64::from)];
    proptest::collection::vec((name, value), 1..12).prop_map(|pairs| pairs.into_iter().collect())
}

/// A fault.
pub fn failed(fault: Fault, message: &str) -> Outcome {
    Outcome::Failed {
        fault,
        message: message.to_owned(),
    }
}

/// What attempts ran on.
pub fn provenance() -> Provenance {
    Provenance {
        device: "Abacus (cpu)".to_owned(),
        libtorch: "2.9.0".to_owned(),
        trainer: "0.1.0".to_owned(),
        threads: 2,
        determinism: "bitwise".to_owned(),
        ..Provenance::default()
    }
}

/// A finish with the usual provenance.
pub fn finish(held: Held, outcome: Outcome) -> Finish {
    Finish {
        held,
        outcome,
        provenance: provenance(),
    }
}

/// An epoch with this test error.
pub fn observation(epoch: u32, test_error: f64) -> Observation {
    Observation {
        epoch,
        step: u64::from(epoch) * 10,
        seconds: Some(f64::from(epoch) * 1.5),
        values: Metrics::from([
            ("train_loss", 1.0 / f64::from(epoch + 1)),
            ("test_error", test_error),
            ("lr", 0.1),
            ("distance", test_error / 7.0),
            ("loss_scale", 65536.0),
            ("skipped_steps", f64::from(epoch / 2)),
            ("val/acc", test_error / 9.0),
        ]),
    }
}

/// The values of a metric in so many last epochs.
pub fn last(metric: &str, last: u32) -> Epochs {
    let metric = metric.to_owned();
    Epochs { metric, last }
}

/// A report of epochs and, unless the number is 0, of a log chunk.
pub fn report(held: Held, observations: Vec<Observation>, log_sequence: u64, log: &str) -> Report {
    Report {
        held,
        observations,
        log_sequence,
        log: log.to_owned(),
    }
}

/// What a worker reports about itself if it allows these programs.
pub fn worker_about(programs: &[&str]) -> WorkerAbout {
    WorkerAbout {
        host: "node".to_owned(),
        pid: 42,
        version: "0.1.0".to_owned(),
        state_id: None,
        out: None,
        protocol: None,
        offer: Offer {
            slots: vec![Device::Cpu],
            programs: programs.iter().map(|&name| name.to_owned()).collect(),
            ..Offer::default()
        },
    }
}
