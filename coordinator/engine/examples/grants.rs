//! How many jobs the ledger grants per second, without a store: workers of eight
//! GPUs, whose jobs end one by one, and jobs of which some need more than others.
//!
//! `cargo run --release -p swath-engine --example grants [KINDS WORKERS]`

#![expect(clippy::print_stdout, reason = "figures are what it is for")]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use swath_engine::ledger::{Draft, Ledger, Prepared};
use swath_model::device::{Device, DeviceKind};
use swath_model::id::{Owner, SweepDigest};
use swath_model::message::{Exchange, Files, Finish, Hello, Sources, Submission, SubmittedCell};
use swath_model::metrics::Metrics;
use swath_model::needs::Needs;
use swath_model::offer::{DeviceAbout, Free, Offer};
use swath_model::outcome::{Measurement, Outcome, Provenance};
use swath_model::policy::Policy;
use swath_model::spec::cell_digest;
use swath_model::time::Timestamp;
use swath_model::view::{SweepKind, WorkerAbout};

type Error = Box<dyn std::error::Error>;

const GPUS: u16 = 8;
const JOBS: usize = 60_000;
const LONG_ENOUGH: Duration = Duration::from_secs(3);

struct Worker {
    owner: Owner,
    requests: u64,
    held: VecDeque<Draft>,
}

fn main() -> Result<(), Error> {
    let sizes: Vec<usize> = std::env::args().skip(1).flat_map(|it| it.parse()).collect();
    match sizes[..] {
        [kinds, workers] => measure(kinds, workers),
        _ => [(1, 1), (1, 50), (50, 1), (10, 10), (50, 50), (200, 200)]
            .into_iter()
            .try_for_each(|(kinds, workers)| measure(kinds, workers)),
    }
}

fn measure(kinds: usize, count: usize) -> Result<(), Error> {
    let mut ledger = Ledger::new(Policy::default());
    let mut now = Timestamp::from_ms(1_800_000_000_000);
    ledger.submit(now, Prepared::new(sweep(kinds)))?;
    let mut workers = Vec::with_capacity(count);
    for number in 0..count {
        workers.push(Worker::new(&mut ledger, number, now)?);
    }
    let (mut grants, mut turns) = (0, 0);
    let start = Instant::now();
    while start.elapsed() < LONG_ENOUGH && grants < JOBS / 2 {
        now = now + Duration::from_millis(1);
        grants += workers[turns % count].finish_one(&mut ledger, now)?;
        // The others wait, as far as they have something free.
        for worker in &mut workers {
            let asking = worker.asking(Vec::new());
            if !asking.free.is_empty() && ledger.has_job_for(&asking, now) {
                grants += worker.ask(&mut ledger, asking, now)?;
            }
        }
        ledger.take_changes(now);
        ledger.settle_batch();
        turns += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{kinds:>4} kinds of needs, {count:>4} workers: {:>8.0} grants/s, {:>8.0} exchanges/s",
        grants as f64 / seconds,
        turns as f64 / seconds
    );
    Ok(())
}

/// A sweep in which each job needs something else than those before and after it:
/// one to four GPUs, and so much memory of each.
fn sweep(kinds: usize) -> Submission {
    let cells: Vec<SubmittedCell> = (0..JOBS).map(|job| cell(job, job % kinds)).collect();
    Submission {
        digest: SweepDigest::from_bytes(*cells[0].digest.as_bytes()),
        name: "grants".to_owned(),
        title: String::new(),
        replicates: 1,
        replicates_max: None,
        kind: SweepKind::Training,
        priority: 0,
        sources: Sources::Files(Files::default()),
        owner: String::new(),
        tags: Vec::new(),
        definition: serde_json::Value::Null,
        cells,
        ships: Vec::new(),
    }
}

fn cell(job: usize, kind: usize) -> SubmittedCell {
    let spec = format!(r#"{{"params":{{"job":{job}}},"trainer":{{"null":true}}}}"#);
    SubmittedCell {
        digest: cell_digest(&spec),
        spec,
        axes: Vec::new(),
        needs: Needs {
            device: Some(DeviceKind::Cuda),
            count: Some(1 + kind as u16 % 4),
            memory_bytes: Some((1 + kind as u64 / 4) << 30),
            ..Needs::default()
        },
    }
}

impl Worker {
    fn new(ledger: &mut Ledger, number: usize, now: Timestamp) -> Result<Self, Error> {
        let slots: Vec<Device> = (0..GPUS).map(Device::Cuda).collect();
        let about = |device: &Device| DeviceAbout {
            device: *device,
            model: String::new(),
            memory_bytes: 80 << 30,
        };
        let offer = Offer {
            devices: slots.iter().map(about).collect(),
            slots,
            ..Offer::default()
        };
        let hello = Hello {
            worker: format!("worker-{number}").parse()?,
            about: WorkerAbout {
                offer,
                ..WorkerAbout::default()
            },
            held: Vec::new(),
            takes_name: false,
        };
        let worker = hello.worker.clone();
        let session = ledger.hello(now, hello)?.session;
        let mut worker = Self {
            owner: Owner { worker, session },
            requests: 0,
            held: VecDeque::new(),
        };
        let asking = worker.asking(Vec::new());
        worker.ask(ledger, asking, now)?;
        Ok(worker)
    }

    /// An exchange that asks for all that is free.
    fn asking(&mut self, finishes: Vec<Finish>) -> Exchange {
        self.requests += 1;
        let devices = (0..GPUS).map(Device::Cuda);
        let is_free = |device: &Device| !self.held.iter().any(|it| it.placement.has(*device));
        let free = devices.filter(is_free).map(|device| Free {
            device,
            slots: 1,
            ahead: 0,
        });
        Exchange {
            owner: self.owner.clone(),
            request: self.requests,
            finishes,
            free: free.collect(),
        }
    }

    fn ask(
        &mut self,
        ledger: &mut Ledger,
        asking: Exchange,
        now: Timestamp,
    ) -> Result<usize, Error> {
        let drafted = ledger.exchange(now, asking)?;
        let grants = drafted.grants.len();
        self.held.extend(drafted.grants);
        Ok(grants)
    }

    /// The oldest of its jobs ends.
    fn finish_one(&mut self, ledger: &mut Ledger, now: Timestamp) -> Result<usize, Error> {
        let ended = self.held.pop_front().map(|draft| Finish {
            held: draft.held,
            outcome: Outcome::Measured(Measurement {
                train_seconds: 1.0,
                values: Metrics::from([("test_error", 1.0)]),
                weights: None,
            }),
            provenance: Provenance::default(),
        });
        let asking = self.asking(ended.into_iter().collect());
        self.ask(ledger, asking, now)
    }
}
