//! How fast the store is on this disk: a large submit, commits of what workers
//! bring and get, a restart, and the reads behind a table.
//!
//! `cargo run --release -p swath-store-sqlite --example throughput [FOLDER]`

#![expect(
    clippy::print_stdout,
    reason = "a measurement is for whoever started it"
)]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use swath_model::device::Device;
use swath_model::id::{Attempt, Owner, Replicate, SessionId, SweepDigest};
use swath_model::job::{Event, Job};
use swath_model::message::{Files, Sources};
use swath_model::metrics::Metrics;
use swath_model::needs::Needs;
use swath_model::outcome::{Measurement, Outcome, Provenance};
use swath_model::policy::Policy;
use swath_model::probe::WorkloadKey;
use swath_model::seed::Seeds;
use swath_model::spec::{canonical, cell_digest, job_digest};
use swath_model::time::Timestamp;
use swath_model::view::{Counts, WorkerAbout, WorkerState};
use swath_store::{
    AttemptEnd, CellKey, Changes, End, GrantRequest, JobKey, JobRow, Names, NewAttempt, NewCell,
    NewJob, NewSweep, NewSweepCell, OutcomeRow, Store, SweepKey, SweepRow, Term, WorkerKey,
    WorkerRow,
};
use swath_store_sqlite::SqliteStore;

const CELLS: u64 = 13_020;
const REPLICATES: u32 = 5;
const JOBS: i64 = CELLS as i64 * REPLICATES as i64;
const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let folder = match std::env::args().nth(1) {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let disk = fdatasync(folder.path())?;
    println!("fdatasync p50            {disk:>10.2?}");
    let path = folder.path().join("swath.db");
    let store = SqliteStore::open(&path).await?;
    let term = store.lead("nobody").await?;
    let mut grids = Vec::new();
    for n in 1..=2 {
        let (changes, grid) = submission(n);
        time("submit 13,020 cells x 5", store.commit(term, changes)).await?;
        grids.push(grid);
    }
    let mut grid = grids.swap_remove(0);
    commits(&store, term, &mut grid).await?;
    let sweep = grid.digest;
    for _ in 0..3 {
        time("results of the sweep", store.results(sweep, None)).await?;
    }
    time("all sweeps with counts", store.sweeps()).await?;
    println!("resident                 {:>10}", resident()?);
    println!(
        "file                     {:>7} MiB",
        path.metadata()?.len() >> 20
    );
    store.close().await?;
    let store = time("open with a check", SqliteStore::open(&path)).await?;
    time("start", store.start()).await?;
    time("all open cells", open_cells(&store)).await?;
    let names = Names {
        sweeps: vec![SweepKey(1)],
        ..Names::default()
    };
    time("load the first sweep", store.load(&names)).await?;
    println!("resident                 {:>10}", resident()?);
    Ok(())
}

async fn open_cells(store: &SqliteStore) -> Result<(), Error> {
    let (mut after, mut jobs) = (CellKey(0), 0);
    loop {
        let cells = store.open_cells(after, 4096).await?;
        jobs += cells.iter().map(|cell| cell.jobs.len()).sum::<usize>();
        match cells.last() {
            Some(last) => after = last.key,
            None => break,
        }
    }
    println!("jobs of open cells       {jobs:>10}");
    Ok(())
}

/// Commits that each end a batch of jobs and grant the next.
async fn commits(store: &SqliteStore, term: Term, grid: &mut Grid) -> Result<(), Error> {
    for (workers, batch, rounds) in [
        (1, 1, 500),
        (1, 16, 200),
        (4, 64, 200),
        (64, 256, 60),
        (64, 1024, 12),
    ] {
        let rounds: Vec<Changes> = (0..rounds).map(|_| grid.next(workers, batch)).collect();
        let count = rounds.len();
        let (start, before) = (Instant::now(), cpu());
        for changes in rounds {
            store.commit(term, changes).await?;
        }
        let took = start.elapsed();
        let cpu = cpu().saturating_sub(before);
        let rate = (count * batch) as f64 / took.as_secs_f64();
        let each = took / count as u32;
        println!(
            "{workers:>2} workers, {batch:>4} pairs/commit {each:>10.2?} each, {rate:>8.0} pairs/s ({cpu:.2?} cpu)"
        );
    }
    Ok(())
}

async fn time<T, E>(what: &str, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let (start, cpu) = (Instant::now(), cpu());
    let done = work.await?;
    let cpu = self::cpu().saturating_sub(cpu);
    println!("{what:<24} {:>10.2?} ({cpu:.2?} cpu)", start.elapsed());
    Ok(done)
}

/// Processor time of this process, in steps of 10 ms; it distinguishes a slow
/// store from a busy machine.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let ticks = after_name.split(' ').skip(11).take(2);
    let ticks = ticks.filter_map(|ticks| ticks.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

fn fdatasync(folder: &Path) -> Result<Duration, Error> {
    let mut file = File::create(folder.join("fdatasync"))?;
    let mut times = Vec::new();
    for _ in 0..101 {
        file.write_all(&[0; 4096])?;
        let start = Instant::now();
        file.sync_data()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times[50])
}

fn resident() -> Result<String, Error> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.unwrap_or_default().trim().to_owned())
}

/// A sweep under way.
struct Grid {
    digest: SweepDigest,
    row: SweepRow,
    policy: Policy,
    /// The job to grant next.
    next: JobKey,
    /// Granted, not ended.
    held: Vec<(JobKey, Job)>,
    request: u64,
}

/// Cells like those of a real grid, with specs of about a kilobyte.
fn submission(n: i64) -> (Changes, Grid) {
    let mut bytes = [0; 32];
    bytes[0] = n as u8;
    let digest = SweepDigest::from_bytes(bytes);
    let sweep = SweepKey(n);
    let row = SweepRow {
        key: sweep,
        live: true,
        paused: None,
        priority: 0,
        counts: Counts {
            queued: JOBS as u64,
            ..Counts::default()
        },
        ended_at: None,
    };
    let mut changes = Changes {
        new_sweeps: vec![NewSweep {
            key: sweep,
            digest,
            name: format!("grid-{n}"),
            title: String::new(),
            kind: swath_model::view::SweepKind::Training,
            replicates: REPLICATES,
            cells: CELLS,
            sources: Sources::Files(Files::default()),
            definition: json!({}),
            submitted_at: NOW,
            version: 1,
            label: swath_model::label::Label::default(),
        }],
        sweeps: vec![row.clone()],
        ..Changes::default()
    };
    for position in 0..CELLS {
        cell(&mut changes, sweep, position);
    }
    let grid = Grid {
        digest,
        row,
        policy: Policy::default(),
        next: JobKey((n - 1) * JOBS + 1),
        held: Vec::new(),
        request: 0,
    };
    (changes, grid)
}

fn cell(changes: &mut Changes, sweep: SweepKey, position: u64) {
    let rate = 0.001 * sweep.0 as f64 + 0.01 * (position + 1) as f64;
    let spec = canonical(&json!({
        "dataset": {"name": "cifar10", "mean": [0.4914, 0.4822, 0.4465]},
        "model": {"name": "resnet_preact", "depth": 20, "base_channels": 16, "block_type": "basic"},
        "optimizer": {"name": "sgd", "lr": rate, "momentum": 0.9, "nesterov": true, "weight_decay": 0.0001},
        "schedule": {"name": "cosine", "min_lr": 0}, "epochs": 160, "batch_size": 128,
        "augmentation": {"random_crop": {"padding": 4}, "horizontal_flip": true},
        "notes": "x".repeat(500),
    }));
    let digest = cell_digest(&spec);
    let key = CellKey((sweep.0 - 1) * CELLS as i64 + position as i64 + 1);
    for replicate in 1..=REPLICATES {
        let seed = Seeds::Wide.seed(digest, Replicate(replicate));
        changes.new_jobs.push(NewJob {
            key: JobKey((key.0 - 1) * i64::from(REPLICATES) + i64::from(replicate)),
            digest: job_digest(&spec, seed),
            cell: key,
            replicate: Replicate(replicate),
            seed,
            since: NOW,
        });
    }
    changes.sweep_cells.push(NewSweepCell {
        sweep,
        position,
        cell: key,
        axes: vec![
            ("optimizer.lr".to_owned(), json!(rate)),
            ("batch_size".to_owned(), json!(128)),
            ("schedule.name".to_owned(), json!("cosine")),
        ],
        replicates: REPLICATES,
    });
    changes.cells.push(NewCell {
        key,
        digest,
        workload: WorkloadKey::of_cell(&spec),
        spec,
        needs: Needs::default(),
    });
}

impl Grid {
    /// What a batch of workers brings and gets.
    fn next(&mut self, workers: i64, batch: usize) -> Changes {
        let mut changes = Changes {
            workers: (1..=workers).map(worker).collect(),
            ..Changes::default()
        };
        let ended = std::mem::take(&mut self.held);
        self.row.counts.leased = 0;
        self.row.counts.succeeded += ended.len() as u64;
        for (key, job) in ended {
            self.end(&mut changes, key, job);
        }
        for n in 0..batch {
            self.grant(&mut changes, 1 + n as i64 % workers);
        }
        self.row.counts.queued -= batch as u64;
        self.row.counts.leased = batch as u64;
        changes.sweeps.push(self.row.clone());
        for worker in 1..=workers {
            self.request += 1;
            let mine = |row: &&NewAttempt| row.worker.0 == worker;
            let grants = changes.attempts.iter().filter(mine);
            changes.requests.push(GrantRequest {
                worker: WorkerKey(worker),
                session: SessionId(worker as u64),
                request: self.request,
                grants: grants.map(|row| (row.job, row.attempt)).collect(),
            });
        }
        changes
    }

    fn grant(&mut self, changes: &mut Changes, worker: i64) {
        let key = self.next;
        self.next = key.next();
        let mut job = Job::new(NOW);
        let owner = owner(worker);
        let session = owner.session;
        let granted = job.apply(&Event::Grant { owner }, NOW, &self.policy);
        assert!(granted.is_ok(), "a new job is granted");
        changes.attempts.push(NewAttempt {
            job: key,
            attempt: Attempt(1),
            worker: WorkerKey(worker),
            session,
            granted_at: NOW,
        });
        changes.jobs.push(row(key, &job, None));
        self.held.push((key, job));
    }

    fn end(&self, changes: &mut Changes, key: JobKey, mut job: Job) {
        let measurement = Measurement {
            train_seconds: 1234.5,
            values: Metrics::from([
                ("test_error", 8.25 + key.0 as f64 / 1000.0),
                ("test_loss", 0.31),
                ("best_test_error", 8.125),
            ]),
            weights: None,
        };
        let provenance = Provenance {
            device: "NVIDIA H100".to_owned(),
            ..Provenance::default()
        };
        if let Some(owner) = job.owner.clone() {
            let event = Event::Finish {
                attempt: job.attempt,
                owner,
                outcome: &Outcome::Measured(measurement.clone()),
                unit: 0.5,
            };
            let ended = job.apply(&event, NOW, &self.policy);
            assert!(ended.is_ok(), "a lease ends");
        }
        changes.outcomes.push(OutcomeRow {
            job: key,
            attempt: job.attempt,
            measurement,
            provenance: provenance.clone(),
            recorded_at: NOW,
        });
        changes.ends.push(AttemptEnd {
            job: key,
            attempt: job.attempt,
            at: NOW,
            end: End::Measured { provenance },
        });
        changes.jobs.push(row(key, &job, Some(NOW)));
    }
}

fn row(key: JobKey, job: &Job, ended_at: Option<Timestamp>) -> JobRow {
    let session = job.owner.as_ref().map(|owner| owner.session.0);
    JobRow {
        key,
        job: job.clone(),
        // Its first session has the number of the worker.
        worker: session.map(|session| WorkerKey(session as i64)),
        placement: Some(Device::Cpu.into()),
        unmentioned: 0,
        faulted: None,
        ended_at,
    }
}

fn owner(worker: i64) -> Owner {
    Owner {
        worker: name(worker),
        session: SessionId(worker as u64),
    }
}

fn name(worker: i64) -> swath_model::id::WorkerName {
    match format!("w{worker}").parse() {
        Ok(name) => name,
        Err(error) => panic!("{error}"),
    }
}

fn worker(key: i64) -> WorkerRow {
    WorkerRow {
        key: WorkerKey(key),
        name: name(key),
        state: WorkerState::Active,
        cordoned: None,
        session: SessionId(key as u64),
        seen_at: NOW,
        about: WorkerAbout::default(),
        failed: Vec::new(),
        silent: false,
        forgotten: false,
    }
}
