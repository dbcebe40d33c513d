//! What is written comes back, row by row: beside the database lies a store of
//! plain rows, and both give the same.
#![expect(clippy::exit, reason = "without a server there is nothing to run")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use serde_json::json;
use swath_engine::Engine;
use swath_model::id::{CellDigest, JobDigest, Owner, SweepDigest};
use swath_model::import::{ImportBatch, ImportRow, Imported};
use swath_model::outcome::{Fault, Outcome, Provenance};
use swath_model::policy::Policy;
use swath_model::probe::WorkloadKey;
use swath_model::spec::cell_digest;
use swath_model::time::Timestamp;
use swath_model::view::{
    Alike, CellResults, CurvePoint, JobDetail, JobView, LogChunk, ReplicationRecord, SweepView,
    WorkerAbout, WorkerView,
};
use swath_store_conformance::script::{failed, finish, measured, provenance, report, sweep};
use swath_store_conformance::{
    CellKey, Changes, Copying, Exchange, Held, Hello, JobQuery, Known, MemoryStore, Names, Result,
    Said, Snapshot, Sources, Start, Store, StoredCell, SubmittedCell, SweepChange, Term,
};
use swath_store_postgres::PostgresStore;

use support::Database;

const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

/// A database, and the rows that must be in it.
struct Both {
    kept: PostgresStore,
    rows: MemoryStore,
    commits: AtomicU64,
}

async fn both(_policy: Policy) -> (Both, Database) {
    let Some(database) = Database::new().await else {
        std::process::exit(0);
    };
    let both = Both {
        kept: database.store().await,
        rows: MemoryStore::new(),
        commits: AtomicU64::new(0),
    };
    (both, database)
}

impl Both {
    /// Compares everything that an engine could ask for.
    async fn compare(&self) {
        let start = self.start().await.unwrap();
        // Pages of every size, the last of them empty.
        let (mut after, mut limit) = (CellKey(0), 1);
        while let Some(last) = self.open_cells(after, limit).await.unwrap().last() {
            (after, limit) = (last.key, limit * 2);
        }
        let names = Names {
            sweeps: start.sweeps.iter().map(|sweep| sweep.row.key).collect(),
            ..Names::default()
        };
        let cells = self.load(&names).await.unwrap();
        let names = Names {
            jobs: cells
                .iter()
                .filter_map(|cell| Some(cell.jobs.last()?.digest))
                .collect(),
            cells: cells.iter().step_by(2).map(|cell| cell.digest).collect(),
            sweeps: Vec::new(),
        };
        self.load(&names).await.unwrap();
        let keys: Vec<CellKey> = cells.iter().rev().map(|cell| cell.key).collect();
        self.specs(&keys).await.unwrap();
    }
}

#[async_trait]
impl Store for Both {
    async fn lead(&self, address: &str) -> Result<Term> {
        let term = self.rows.lead(address).await?;
        assert_eq!(self.kept.lead(address).await?, term);
        Ok(term)
    }

    async fn renew(&self, term: Term) -> Result<()> {
        self.kept.renew(term).await
    }

    async fn leader(&self) -> Result<Option<String>> {
        self.kept.leader().await
    }

    async fn start(&self) -> Result<Start> {
        let mut start = self.kept.start().await?;
        let mut rows = self.rows.start().await?;
        for start in [&mut start, &mut rows] {
            start.requests.sort_by_key(|it| (it.worker, it.request));
            for sweep in &mut start.sweeps {
                let faults = &mut sweep.faults;
                faults.sort_by_cached_key(|(it, _)| (it.fault, it.headline.clone()));
            }
        }
        assert_eq!(start, rows);
        Ok(start)
    }

    async fn open_cells(&self, after: CellKey, limit: u32) -> Result<Vec<StoredCell>> {
        let cells = self.kept.open_cells(after, limit).await?;
        assert_eq!(cells, self.rows.open_cells(after, limit).await?);
        Ok(cells)
    }

    async fn load(&self, names: &Names) -> Result<Vec<StoredCell>> {
        let cells = self.kept.load(names).await?;
        assert_eq!(cells, self.rows.load(names).await?);
        Ok(cells)
    }

    async fn specs(&self, cells: &[CellKey]) -> Result<Vec<String>> {
        let specs = self.kept.specs(cells).await?;
        assert_eq!(specs, self.rows.specs(cells).await?);
        Ok(specs)
    }

    async fn said(
        &self,
        cells: &[(String, CellDigest)],
        sources: &[(String, String)],
    ) -> Result<Said> {
        let mut said = self.kept.said(cells, sources).await?;
        let mut rows = self.rows.said(cells, sources).await?;
        for said in [&mut said, &mut rows] {
            let numbers = &mut said.numbers;
            numbers.sort_by_cached_key(|(sweep, cell, place, number)| {
                (sweep.clone(), *cell, *place, number.source.clone())
            });
        }
        assert_eq!(said, rows);
        Ok(said)
    }

    async fn commit(&self, term: Term, changes: Changes) -> Result<()> {
        self.rows.commit(term, changes.clone()).await?;
        self.kept.commit(term, changes).await?;
        // What one leaves is there after the next, too.
        if self.commits.fetch_add(1, Ordering::Relaxed) % 4 == 3 {
            self.compare().await;
        }
        Ok(())
    }

    async fn replication(&self, sweep: SweepDigest) -> Result<ReplicationRecord> {
        self.kept.replication(sweep).await
    }

    async fn sweeps(&self) -> Result<Vec<SweepView>> {
        self.kept.sweeps().await
    }

    async fn sources(&self, sweep: SweepDigest) -> Result<Sources> {
        self.kept.sources(sweep).await
    }

    async fn jobs(&self, query: JobQuery) -> Result<Vec<JobView>> {
        self.kept.jobs(query).await
    }

    async fn last_failed(&self, sweep: Option<SweepDigest>, limit: u32) -> Result<Vec<JobView>> {
        self.kept.last_failed(sweep, limit).await
    }

    async fn job(&self, job: JobDigest) -> Result<Option<JobDetail>> {
        self.kept.job(job).await
    }

    async fn known(&self, jobs: Vec<JobDigest>) -> Result<Vec<Option<Known>>> {
        self.kept.known(jobs).await
    }

    async fn alike(&self, workload: WorkloadKey, limit: u32) -> Result<Vec<Alike>> {
        self.kept.alike(workload, limit).await
    }

    async fn results(&self, sweep: SweepDigest, last_epochs: u32) -> Result<Vec<CellResults>> {
        self.kept.results(sweep, last_epochs).await
    }

    async fn curves(&self, job: JobDigest) -> Result<Vec<CurvePoint>> {
        self.kept.curves(job).await
    }

    async fn logs(&self, job: JobDigest, position: u64) -> Result<Vec<LogChunk>> {
        self.kept.logs(job, position).await
    }

    async fn workers(&self) -> Result<Vec<WorkerView>> {
        self.kept.workers().await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        self.kept.snapshot().await
    }

    async fn copying(&self) -> Result<Option<Copying>> {
        self.kept.copying().await
    }

    async fn close(&self) -> Result<()> {
        self.kept.close().await
    }
}

#[test]
fn what_random_sequences_write_comes_back() {
    swath_store_conformance::random::run(both);
}

/// Some engine on a store of both kinds, with a worker.
async fn engine() -> (Engine, Owner, Database) {
    let (both, database) = both(Policy::default()).await;
    let engine = Engine::start(Arc::new(both), Policy::default(), "here").await;
    let engine = engine.unwrap();
    let hello = Hello {
        worker: "w".parse().unwrap(),
        about: WorkerAbout {
            host: "a\0b\"ü".to_owned(),
            programs: vec!["pro\0gram".to_owned(), String::new()],
            ..WorkerAbout::default()
        },
        held: Vec::new(),
    };
    let welcome = engine.hello(NOW, hello.clone()).await.unwrap();
    let owner = Owner {
        worker: hello.worker,
        session: welcome.session,
    };
    (engine, owner, database)
}

async fn exchange(
    engine: &Engine,
    owner: &Owner,
    request: u64,
    told: &[(Held, Outcome)],
) -> Vec<Held> {
    let finishes = told.iter().map(|(held, outcome)| {
        let mut finish = finish(*held, outcome.clone());
        finish.provenance = Provenance {
            driver: "x\0y".to_owned(),
            ..provenance()
        };
        finish
    });
    let exchange = Exchange {
        owner: owner.clone(),
        request,
        finishes: finishes.collect(),
        want: 9,
    };
    let grants = engine.exchange(NOW, exchange).await.unwrap().grants;
    grants.into_iter().map(|grant| grant.held).collect()
}

/// Trainers write what they like; nothing of it is cut off, and nothing of what
/// comes after it is shifted.
#[tokio::test]
async fn texts_come_back_whatever_is_in_them() {
    let (engine, owner, _database) = engine().await;
    let mut submission = sweep("te\0xts", &[], 1);
    submission.title = "a\0title".to_owned();
    submission.definition = json!({ "a\0": "\u{1}\0" });
    for text in ["", "\0", "ä\0\"\\'b", "\u{10ffff}"] {
        let spec = serde_json::to_string(&json!({ "x": text })).unwrap();
        submission.cells.push(SubmittedCell {
            digest: cell_digest(&spec),
            axes: vec![("na\0me".to_owned(), json!(text))],
            spec: format!("{spec}\n"),
            program: (text.len() == 1).then(|| "pro\0gram".to_owned()),
        });
    }
    let digest = submission.digest;
    engine.submit(NOW, submission).await.unwrap();
    let held = exchange(&engine, &owner, 1, &[]).await;
    assert_eq!(held.len(), 4);
    let log = "a\0log\n";
    let reports = vec![report(held[0], Vec::new(), 1, log)];
    engine.observe(NOW, owner.clone(), reports).await.unwrap();
    let messages = ["", "\0", "first\0line\nsecond", "\"ü\"\0"];
    let told = held
        .iter()
        .zip(messages)
        .map(|(held, message)| (*held, failed(Fault::Diverged, message)));
    let told: Vec<(Held, Outcome)> = told.collect();
    assert_eq!(exchange(&engine, &owner, 2, &told).await, []);
    let reason = "re\0ason".to_owned();
    let pause = SweepChange::Pause {
        reason: reason.clone(),
    };
    engine.change_sweep(NOW, digest, pause).await.unwrap();

    let store = engine.store();
    for (held, message) in held.iter().zip(messages) {
        let job = store.job(held.job).await.unwrap().unwrap();
        assert_eq!(job.job.message, message);
        let attempt = &job.attempts[0];
        assert_eq!(attempt.message, message);
        assert_eq!(attempt.provenance.as_ref().unwrap().driver, "x\0y");
    }
    assert_eq!(store.logs(held[0].job, 0).await.unwrap()[0].text, log);
    assert_eq!(store.sweeps().await.unwrap()[0].reason, reason);
    let results = store.results(digest, 0).await.unwrap();
    assert_eq!(results[2].axes[0].1, json!("ä\0\"\\'b"));
}

/// Not the nearest number of few digits, but every bit.
#[tokio::test]
async fn numbers_come_back_to_the_last_bit() {
    let (engine, owner, _database) = engine().await;
    let numbers = [0.1 + 0.2, 1.0 / 3.0, 1e-300 / 7.0, 5e-324, f64::MAX, -0.0];
    let cells: Vec<u32> = (0..numbers.len() as u32).collect();
    let submission = sweep("numbers", &cells, 1);
    let cell = submission.cells[0].digest;
    engine.submit(NOW, submission).await.unwrap();
    let held = exchange(&engine, &owner, 1, &[]).await;
    let told: Vec<(Held, Outcome)> = std::iter::zip(&held, numbers)
        .map(|(held, number)| (*held, measured(number)))
        .collect();
    let seen = |number| swath_store_conformance::script::observation(1, number);
    for (held, number) in std::iter::zip(&held, numbers) {
        let reports = vec![report(*held, vec![seen(number)], 0, "")];
        engine.observe(NOW, owner.clone(), reports).await.unwrap();
    }
    exchange(&engine, &owner, 2, &told).await;
    let said = numbers.iter().zip(1..).map(|(number, place)| ImportRow {
        sweep: "numbers".to_owned(),
        cell,
        place,
        number: Imported {
            test_error: *number,
            seconds: Some(number.abs()),
            runs: 1,
            replicate: None,
            seed: None,
            source: "paper".to_owned(),
            file: "f".to_owned(),
            line: 1,
        },
    });
    let batch = ImportBatch {
        rows: said.collect(),
        ..ImportBatch::default()
    };
    engine.import(NOW, batch.clone()).await.unwrap();
    // A number that is not the same to the last bit would contradict it.
    assert_eq!(engine.import(NOW, batch).await.unwrap().known, 6);
    let store = engine.store();
    for (held, number) in std::iter::zip(&held, numbers) {
        let job = store.job(held.job).await.unwrap().unwrap().job;
        let error = job.measurement.as_ref().map(|it| it.test_error.to_bits());
        assert_eq!(error, Some(number.to_bits()));
        assert_eq!(
            job.measurement.map(Outcome::Measured),
            Some(measured(number))
        );
        assert_eq!(job.progress, Some(seen(number)));
    }
}
