//! The commits that an engine would make.

use std::time::{Duration, Instant};

use serde_json::json;
use swath_model::device::Device;
use swath_model::id::{
    Attempt, CellDigest, JobDigest, Owner, Replicate, SessionId, SweepDigest, WorkerName,
};
use swath_model::job::{Job, Lease, State};
use swath_model::metrics::Metrics;
use swath_model::needs::Needs;
use swath_model::outcome::{Measurement, Provenance};
use swath_model::probe::WorkloadKey;
use swath_model::time::Timestamp;
use swath_model::view::{Counts, WorkerAbout, WorkerState};
use swath_store::{
    AttemptEnd, CellKey, Changes, End, Files, GrantRequest, JobKey, JobRow, NewAttempt, NewCell,
    NewJob, NewSweep, NewSweepCell, OutcomeRow, Sources, Store, SweepKey, SweepRow, Term,
    WorkerKey, WorkerRow,
};

const CELLS: u64 = 13_020;
const REPLICATES: u32 = 5;
/// Jobs per commit.
const BATCH: u64 = 60;
/// Null jobs that are granted and finished.
const NULL_JOBS: u64 = 30_000;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(1_700_000_000_000 + ms)
}

fn digest(of: &str, number: u64) -> [u8; 32] {
    *blake3::hash(format!("{of} {number}").as_bytes()).as_bytes()
}

/// Submits a sweep, runs null jobs of it, and reads its results if `whole`.
pub(crate) async fn measure(store: &impl Store, whole: bool) {
    let term = store.lead("bench").await.unwrap();
    let start = store.start().await.unwrap();
    let mut sweep = Sweep::after(&start);
    let mut times = Vec::new();
    let began = Instant::now();
    store.commit(term, sweep.submission()).await.unwrap();
    println!(
        "  submit {} new jobs of {CELLS} cells: {:.3} s",
        CELLS * u64::from(REPLICATES),
        began.elapsed().as_secs_f64()
    );
    let began = Instant::now();
    let rounds = NULL_JOBS / BATCH;
    for round in 0..=rounds {
        let one = Instant::now();
        store
            .commit(term, sweep.exchange(round, rounds))
            .await
            .unwrap();
        times.push(one.elapsed());
    }
    let elapsed = began.elapsed();
    times.sort();
    println!(
        "  null jobs, {BATCH} finished and {BATCH} granted per commit: {:.0} jobs/s; a commit takes \
         {:.2} ms (median), {:.2} ms (99 %)",
        NULL_JOBS as f64 / elapsed.as_secs_f64(),
        ms(times[times.len() / 2]),
        ms(times[times.len() * 99 / 100])
    );
    if !whole {
        return;
    }
    heartbeats(store, term, &mut sweep).await;
    finish_all(store, term, &mut sweep).await;
    read(store, &sweep).await;
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

async fn heartbeats(store: &impl Store, term: Term, sweep: &mut Sweep) {
    let granted: Vec<u64> = (NULL_JOBS..NULL_JOBS + 5000).collect();
    store.commit(term, sweep.grant(&granted)).await.unwrap();
    let began = Instant::now();
    for round in 0..10 {
        let jobs = granted.iter().map(|job| sweep.leased(*job, at(round * 10)));
        let changes = Changes {
            jobs: jobs.collect(),
            ..Changes::default()
        };
        store.commit(term, changes).await.unwrap();
    }
    println!(
        "  heartbeat of 5000 leases in one commit: {:.1} ms",
        ms(began.elapsed()) / 10.0
    );
    store.commit(term, sweep.finish(&granted)).await.unwrap();
}

async fn finish_all(store: &impl Store, term: Term, sweep: &mut Sweep) {
    let rest: Vec<u64> = (NULL_JOBS + 5000..CELLS * u64::from(REPLICATES)).collect();
    for jobs in rest.chunks(5000) {
        store.commit(term, sweep.grant(jobs)).await.unwrap();
        store.commit(term, sweep.finish(jobs)).await.unwrap();
    }
}

async fn read(store: &impl Store, sweep: &Sweep) {
    let digest = SweepDigest::from_bytes(digest("sweep", sweep.key.0 as u64));
    let mut times = Vec::new();
    for _ in 0..7 {
        let began = Instant::now();
        let cells = store.results(digest, None).await.unwrap();
        assert_eq!(cells.len() as u64, CELLS);
        times.push(began.elapsed());
    }
    times.sort();
    println!(
        "  results of the sweep: {:.0} ms (median of 7)",
        ms(times[3])
    );
    let began = Instant::now();
    let names = swath_store::Names {
        sweeps: vec![sweep.key],
        ..swath_store::Names::default()
    };
    let cells = store.load(&names).await.unwrap();
    println!("  load all its cells: {:.0} ms", ms(began.elapsed()));
    assert_eq!(cells.len() as u64, CELLS);
    let began = Instant::now();
    let open = store.open_cells(CellKey(0), 1000).await.unwrap();
    println!("  {} open cells: {:.1} ms", open.len(), ms(began.elapsed()));
    let began = Instant::now();
    store.start().await.unwrap();
    println!("  start: {:.1} ms", ms(began.elapsed()));
}

struct Sweep {
    key: SweepKey,
    first_cell: i64,
    first_job: i64,
    worker: WorkerKey,
    session: SessionId,
    counts: Counts,
}

impl Sweep {
    fn after(start: &swath_store::Start) -> Self {
        let key = start.sweeps.len() as i64 + 1;
        Self {
            key: SweepKey(key),
            first_cell: start.last_cell.0 + 1,
            first_job: start.last_job.0 + 1,
            worker: WorkerKey(key),
            session: SessionId(key as u64),
            counts: Counts::default(),
        }
    }

    fn row(&self) -> SweepRow {
        SweepRow {
            key: self.key,
            live: true,
            paused: None,
            priority: 0,
            counts: self.counts,
            ended_at: None,
        }
    }

    fn worker_row(&self, ms: i64) -> WorkerRow {
        WorkerRow {
            key: self.worker,
            name: self.name(),
            state: WorkerState::Active,
            cordoned: None,
            session: self.session,
            seen_at: at(ms),
            about: WorkerAbout::default(),
            failed: Vec::new(),
            silent: false,
            forgotten: false,
        }
    }

    fn name(&self) -> WorkerName {
        format!("worker-{}", self.key).parse().unwrap()
    }

    fn submission(&mut self) -> Changes {
        let jobs = CELLS * u64::from(REPLICATES);
        self.counts.queued = jobs;
        let key = self.key.0 as u64;
        let new = NewSweep {
            key: self.key,
            digest: SweepDigest::from_bytes(digest("sweep", key)),
            name: format!("sweep {key}"),
            title: String::new(),
            kind: swath_model::view::SweepKind::Training,
            replicates: REPLICATES,
            cells: CELLS,
            sources: Sources::Files(Files::default()),
            definition: json!({}),
            submitted_at: at(0),
            version: 1,
            label: swath_model::label::Label::default(),
        };
        let spec = format!(
            "{{\"dataset\":{{\"name\":\"mnist\"}},\"model\":\"{}\"}}",
            "x".repeat(500)
        );
        let cell = |n: u64| NewCell {
            key: CellKey(self.first_cell + n as i64),
            digest: CellDigest::from_bytes(digest("cell", self.first_cell as u64 + n)),
            spec: spec.clone(),
            needs: Needs::default(),
            workload: WorkloadKey([n as u8 % 7; 16]),
        };
        let held = |n: u64| NewSweepCell {
            sweep: self.key,
            position: n,
            cell: CellKey(self.first_cell + n as i64),
            axes: vec![
                ("optimizer.lr".to_owned(), json!(0.1 * n as f64)),
                ("batch_size".to_owned(), json!(n)),
            ],
            replicates: REPLICATES,
        };
        let job = |n: u64| NewJob {
            key: self.job(n),
            digest: JobDigest::from_bytes(digest("job", self.first_job as u64 + n)),
            cell: CellKey(self.first_cell + (n / u64::from(REPLICATES)) as i64),
            replicate: Replicate((n % u64::from(REPLICATES)) as u32 + 1),
            seed: n << 30,
            since: at(0),
        };
        Changes {
            new_sweeps: vec![new],
            sweeps: vec![self.row()],
            cells: (0..CELLS).map(cell).collect(),
            sweep_cells: (0..CELLS).map(held).collect(),
            workers: vec![self.worker_row(0)],
            new_jobs: (0..jobs).map(job).collect(),
            ..Changes::default()
        }
    }

    fn job(&self, n: u64) -> JobKey {
        JobKey(self.first_job + n as i64)
    }

    fn leased(&self, n: u64, deadline: Timestamp) -> JobRow {
        let owner = Owner {
            worker: self.name(),
            session: self.session,
        };
        JobRow {
            key: self.job(n),
            job: Job {
                state: State::Leased(Lease {
                    owner: owner.clone(),
                    granted_at: at(1),
                    deadline,
                    stop: false,
                }),
                attempt: Attempt(1),
                owner: Some(owner),
                granted_at: at(1),
                grants: 1,
                closed: false,
                ..Job::new(at(0))
            },
            worker: Some(self.worker),
            placement: Some(Device::Cpu.into()),
            unmentioned: 0,
            faulted: None,
            ended_at: None,
        }
    }

    fn grant(&mut self, jobs: &[u64]) -> Changes {
        self.counts.queued -= jobs.len() as u64;
        self.counts.leased += jobs.len() as u64;
        let attempt = |n: &u64| NewAttempt {
            job: self.job(*n),
            attempt: Attempt(1),
            worker: self.worker,
            session: self.session,
            granted_at: at(1),
        };
        Changes {
            sweeps: vec![self.row()],
            attempts: jobs.iter().map(attempt).collect(),
            jobs: jobs.iter().map(|n| self.leased(*n, at(60_000))).collect(),
            ..Changes::default()
        }
    }

    fn finish(&mut self, jobs: &[u64]) -> Changes {
        self.counts.leased -= jobs.len() as u64;
        self.counts.succeeded += jobs.len() as u64;
        let provenance = Provenance {
            device: "Intel Xeon".to_owned(),
            libtorch: "2.13.0".to_owned(),
            trainer: "0.1.0".to_owned(),
            threads: 2,
            ..Provenance::default()
        };
        let outcome = |n: &u64| OutcomeRow {
            job: self.job(*n),
            attempt: Attempt(1),
            measurement: Measurement {
                train_seconds: 0.01,
                values: Metrics::from([
                    ("test_error", *n as f64 / 7.0),
                    ("test_loss", 0.3),
                    ("best_test_error", 1.0),
                ]),
                weights: None,
            },
            provenance: provenance.clone(),
            recorded_at: at(2),
        };
        let end = |n: &u64| AttemptEnd {
            job: self.job(*n),
            attempt: Attempt(1),
            at: at(2),
            end: End::Measured {
                provenance: provenance.clone(),
            },
        };
        let row = |n: &u64| {
            let mut row = self.leased(*n, at(0));
            row.job.state = State::Succeeded;
            row.job.closed = true;
            row.ended_at = Some(at(2));
            row
        };
        Changes {
            sweeps: vec![self.row()],
            outcomes: jobs.iter().map(outcome).collect(),
            ends: jobs.iter().map(end).collect(),
            jobs: jobs.iter().map(row).collect(),
            ..Changes::default()
        }
    }

    /// Finishes the jobs of the round before and grants those of this one.
    fn exchange(&mut self, round: u64, rounds: u64) -> Changes {
        let batch = |round: u64| (round * BATCH..(round + 1) * BATCH).collect::<Vec<u64>>();
        let finished = if round > 0 {
            self.finish(&batch(round - 1))
        } else {
            Changes::default()
        };
        let jobs = if round < rounds {
            batch(round)
        } else {
            Vec::new()
        };
        let mut changes = self.grant(&jobs);
        changes.outcomes = finished.outcomes;
        changes.ends = finished.ends;
        changes.jobs.extend(finished.jobs);
        changes.workers = vec![self.worker_row(round as i64)];
        let grants = changes.attempts.iter().map(|it| (it.job, it.attempt));
        let request = GrantRequest {
            worker: self.worker,
            session: self.session,
            request: round + 1,
            grants: grants.collect(),
        };
        if !request.grants.is_empty() {
            changes.requests = vec![request];
        }
        changes
    }
}
