//! The work of a run: sweeps that share cells, and their jobs.

use std::collections::BTreeMap;

use serde_json::json;
use swath_model::device::DeviceKind;
use swath_model::id::{CellDigest, JobDigest, Replicate, SweepDigest};
use swath_model::message::{Files, Sources, Submission, SubmittedCell};
use swath_model::needs::Needs;
use swath_model::spec::JobSpec;

/// The program that some workers may run.
pub(crate) const PROGRAM: &str = "python3";

/// The metric that it reports.
pub(crate) const METRIC: &str = "loss";

/// Cells are named by a number, from 1.
const CELLS: u32 = 8;

/// How many replicates a cell can get.
const REPLICATES: u32 = 4;

/// The only cell whose jobs end without a slot.
const NULL: u32 = 7;

/// The cells whose jobs run a program.
const PROGRAMS: [u32; 2] = [TWO_GPUS, LARGE];

/// The one of them whose jobs need two GPUs.
const TWO_GPUS: u32 = 3;

/// The one of them whose jobs need most of the memory of a GPU.
const LARGE: u32 = 6;

/// The memory of a GPU.
pub(crate) const GPU_BYTES: u64 = 10;

/// A job that can come to exist.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    pub(crate) job: JobDigest,
    /// The number of its cell.
    pub(crate) cell: u32,
}

/// Something that a job takes from its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    Program,
    Data,
}

/// Every job that can come to exist, by its seed.
#[derive(Debug)]
pub(crate) struct Plan {
    jobs: BTreeMap<u64, Planned>,
    pub(crate) cells: Vec<CellDigest>,
}

impl Plan {
    pub(crate) fn new() -> Self {
        let mut jobs = BTreeMap::new();
        let mut cells = Vec::new();
        for x in 1..=CELLS {
            let spec = spec(x);
            let cell = spec.cell_digest();
            cells.push(cell);
            for replicate in 1..=REPLICATES {
                let spec = spec.replicate(Replicate(replicate));
                let job = spec.job_digest();
                jobs.insert(spec.seed(), Planned { job, cell: x });
            }
        }
        Self { jobs, cells }
    }

    /// The job with this spec.
    pub(crate) fn job(&self, spec: &str) -> Option<Planned> {
        let spec: serde_json::Value = serde_json::from_str(spec).ok()?;
        self.jobs.get(&spec["seed"].as_u64()?).copied()
    }

    /// What of a job a host may lack: its program, or the data of the built-in
    /// trainer.
    pub(crate) fn takes(&self, job: JobDigest) -> Option<Takes> {
        let planned = self.jobs.values().find(|it| it.job == job)?;
        match planned.cell {
            NULL => None,
            cell if PROGRAMS.contains(&cell) => Some(Takes::Program),
            _ => Some(Takes::Data),
        }
    }

    /// Whether a job ends without a slot.
    pub(crate) fn is_null(&self, job: JobDigest) -> bool {
        let null = |it: &Planned| it.job == job && it.cell == NULL;
        self.jobs.values().any(null)
    }
}

fn spec(x: u32) -> JobSpec {
    let spec = if x == NULL {
        json!({ "params": { "x": x }, "trainer": { "null": true }, "seed": 0 })
    } else if PROGRAMS.contains(&x) {
        let trainer = json!({ "command": [PROGRAM, "train.py"], "metric": METRIC });
        json!({ "params": { "x": x }, "trainer": trainer, "seed": 0 })
    } else {
        json!({
            "dataset": { "name": "cifar10" }, "model": { "name": "vgg" }, "batch_size": x,
            "epochs": 2, "optimizer": { "lr": 0.1 }, "seed": 0,
        })
    };
    JobSpec::from_json(&spec.to_string()).expect("a spec that is valid")
}

/// Sweeps that share cells. The second is the first one grown. The replicates
/// of the last two are decided by results.
pub(crate) fn sweeps() -> Vec<Submission> {
    vec![
        sweep(1, &[1, 2], 2, None),
        sweep(2, &[1, 2, 3], 2, None),
        sweep(3, &[3, 4, 5, NULL], 1, None),
        sweep(4, &[2, 4, 8], 1, Some(REPLICATES)),
        sweep(5, &[6, 8], 2, Some(3)),
    ]
}

fn sweep(digest: u8, cells: &[u32], replicates: u32, max: Option<u32>) -> Submission {
    Submission {
        digest: SweepDigest::from_bytes([digest; 32]),
        name: format!("sweep {digest}"),
        title: String::new(),
        kind: swath_model::view::SweepKind::Training,
        replicates,
        replicates_max: max,
        priority: i32::from(digest % 3),
        sources: Sources::Files(Files::default()),
        definition: serde_json::Value::Null,
        owner: String::new(),
        tags: Vec::new(),
        ships: Vec::new(),
        cells: cells.iter().map(|x| cell(*x)).collect(),
    }
}

fn cell(x: u32) -> SubmittedCell {
    let spec = spec(x);
    SubmittedCell {
        digest: spec.cell_digest(),
        axes: Vec::new(),
        spec: spec.cell_text(),
        needs: Needs {
            program: PROGRAMS.contains(&x).then(|| PROGRAM.to_owned()),
            device: PROGRAMS.contains(&x).then_some(DeviceKind::Cuda),
            count: (x == TWO_GPUS).then_some(2),
            memory_bytes: (x == LARGE).then_some(GPU_BYTES - 2),
            ..Needs::default()
        },
    }
}
