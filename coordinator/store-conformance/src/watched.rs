//! A store that is watched while an engine works on it, and that fails when a
//! test says so.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use swath_model::access::Credential;
use swath_model::event::Event;
use swath_model::id::{CellDigest, InputDigest, JobDigest, SweepDigest};
use swath_model::probe::WorkloadKey;
use swath_model::view::{
    Alike, CellResults, CurvePoint, Epochs, JobDetail, JobView, LogChunk, ReplicationRecord,
    SweepRecord, SweepView, WorkerView,
};
use tokio::sync::Notify;

use crate::memory::{MemoryStore, failed};
use crate::{
    CellKey, Census, Changes, JobQuery, Known, Names, Result, Said, Snapshot, Sources, Start,
    Store, StoredCell, SweepKey, Tail, Term,
};

/// When a commit fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before anything is written.
    Before,
    /// After everything is written: only the reply is lost.
    After,
}

/// What is known about the commits of a watched store.
#[derive(Debug, Default)]
pub struct Watch {
    seen: Mutex<Seen>,
    waits: Notify,
    go_on: Notify,
}

#[derive(Debug, Default)]
struct Seen {
    commits: u64,
    hold: bool,
    to_fail: Option<When>,
    failed: Option<When>,
    differences: Vec<String>,
}

impl Watch {
    fn with<T>(&self, f: impl FnOnce(&mut Seen) -> T) -> T {
        // A failing test may poison the lock; there is no more to protect then.
        f(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes the next commit fail.
    pub fn fail_next(&self, when: When) {
        self.with(|seen| seen.to_fail = Some(when));
    }

    /// Makes the next load wait until [`go_on`](Self::go_on).
    pub fn hold_next_load(&self) {
        self.with(|seen| seen.hold = true);
    }

    /// Returns when that load waits.
    pub async fn held(&self) {
        self.waits.notified().await;
    }

    /// Lets that load continue.
    pub fn go_on(&self) {
        self.go_on.notify_one();
    }

    /// Returns how the commit that was to fail has failed, if it has, and makes
    /// no later commit fail.
    pub fn failed(&self) -> Option<When> {
        self.with(|seen| {
            seen.to_fail = None;
            seen.failed.take()
        })
    }

    /// How many commits there were.
    pub fn commits(&self) -> u64 {
        self.with(|seen| seen.commits)
    }

    /// Where the store returned something else than the rows in memory, or
    /// accepted what they refused.
    pub fn differences(&self) -> Vec<String> {
        self.with(|seen| seen.differences.clone())
    }

    fn differs(&self, what: String) {
        self.with(|seen| seen.differences.push(what));
    }
}

/// A store beside a mirror of plain rows. Whatever the engine reads must be the
/// same from both, and the mirror refuses commits that must never be made.
#[derive(Debug)]
pub struct Watched<S> {
    store: S,
    mirror: MemoryStore,
    watch: Arc<Watch>,
}

impl<S: Store> Watched<S> {
    /// A watched store, which must be empty, and the watch on it.
    pub fn new(store: S) -> (Self, Arc<Watch>) {
        let watch = Arc::new(Watch::default());
        let watched = Self {
            store,
            mirror: MemoryStore::new(),
            watch: Arc::clone(&watch),
        };
        (watched, watch)
    }

    fn same<T: Debug + PartialEq>(&self, what: &str, got: &T, wanted: &T) {
        if got != wanted {
            let text = format!("{what} gives {got:#?} instead of {wanted:#?}");
            self.watch.differs(text);
        }
    }
}

/// Cells in one order, whatever the store's.
fn in_order(mut cells: Vec<StoredCell>) -> Vec<StoredCell> {
    cells.sort_by_key(|cell| cell.key);
    for job in cells.iter_mut().flat_map(|cell| &mut cell.jobs) {
        job.outcomes.sort_by_key(|(attempt, ..)| *attempt);
    }
    cells
}

fn start_in_order(mut start: Start) -> Start {
    start.workers.sort_by_key(|row| row.key);
    start.requests.sort_by_key(|row| (row.worker, row.request));
    start
}

#[async_trait]
impl<S: Store> Store for Watched<S> {
    async fn lead(&self, address: &str) -> Result<Term> {
        self.store.lead(address).await
    }

    async fn renew(&self, term: Term) -> Result<()> {
        self.store.renew(term).await
    }

    async fn leader(&self) -> Result<Option<String>> {
        self.store.leader().await
    }

    async fn start(&self) -> Result<Start> {
        let got = self.store.start().await?;
        let wanted = start_in_order(self.mirror.start().await?);
        self.same("start", &start_in_order(got.clone()), &wanted);
        Ok(got)
    }

    async fn open_cells(&self, after: CellKey, limit: u32) -> Result<Vec<StoredCell>> {
        let got = self.store.open_cells(after, limit).await?;
        let wanted = self.mirror.open_cells(after, limit).await?;
        self.same(&format!("open_cells after {after}"), &got, &wanted);
        Ok(got)
    }

    async fn load(&self, names: &Names) -> Result<Vec<StoredCell>> {
        if self.watch.with(|seen| std::mem::take(&mut seen.hold)) {
            self.watch.waits.notify_one();
            self.watch.go_on.notified().await;
        }
        let got = self.store.load(names).await?;
        let wanted = in_order(self.mirror.load(names).await?);
        let what = format!("load of {names:?}");
        self.same(&what, &in_order(got.clone()), &wanted);
        Ok(got)
    }

    async fn tail(&self, sweep: SweepKey, limit: u32) -> Result<Tail> {
        let got = self.store.tail(sweep, limit).await?;
        let wanted = self.mirror.tail(sweep, limit).await?;
        self.same("before a tail", &got.before, &wanted.before);
        let (cells, wanted) = (in_order(got.cells.clone()), in_order(wanted.cells));
        self.same(&format!("the last {limit} of {sweep}"), &cells, &wanted);
        Ok(got)
    }

    async fn reclaim(&self) -> Result<bool> {
        self.store.reclaim().await
    }

    async fn specs(&self, cells: &[CellKey]) -> Result<Vec<String>> {
        let got = self.store.specs(cells).await?;
        let wanted = self.mirror.specs(cells).await?;
        self.same(&format!("specs of {cells:?}"), &got, &wanted);
        Ok(got)
    }

    async fn kept(&self, inputs: &[InputDigest]) -> Result<Vec<InputDigest>> {
        let got = self.store.kept(inputs).await?;
        let wanted = self.mirror.kept(inputs).await?;
        self.same("kept files", &got, &wanted);
        Ok(got)
    }

    async fn piece(&self, input: InputDigest, place: u32) -> Result<Option<Vec<u8>>> {
        let got = self.store.piece(input, place).await?;
        let wanted = self.mirror.piece(input, place).await?;
        self.same("a piece of a file", &got, &wanted);
        Ok(got)
    }

    async fn said(
        &self,
        cells: &[(String, CellDigest)],
        sources: &[(String, String)],
    ) -> Result<Said> {
        let in_order = |mut said: Said| {
            said.numbers.sort_by_key(|(sweep, cell, place, number)| {
                (sweep.clone(), *cell, number.source.clone(), *place)
            });
            said
        };
        let got = self.store.said(cells, sources).await?;
        let wanted = in_order(self.mirror.said(cells, sources).await?);
        let what = format!("said of {cells:?} by {sources:?}");
        self.same(&what, &in_order(got.clone()), &wanted);
        Ok(got)
    }

    async fn commit(&self, term: Term, changes: Changes) -> Result<()> {
        let to_fail = self.watch.with(|seen| {
            seen.commits += 1;
            let to_fail = seen.to_fail.take();
            seen.failed = seen.failed.or(to_fail);
            to_fail
        });
        if to_fail == Some(When::Before) {
            return Err(failed("the disk is full".to_owned()));
        }
        self.store.commit(term, changes.clone()).await?;
        if let Err(refused) = self.mirror.write(changes) {
            self.watch.differs(format!("taken although {refused}"));
        }
        match to_fail {
            Some(When::After) => Err(failed("the connection is lost".to_owned())),
            _ => Ok(()),
        }
    }

    async fn replication(&self, sweep: SweepDigest) -> Result<ReplicationRecord> {
        self.store.replication(sweep).await
    }

    async fn sweep(&self, sweep: SweepDigest) -> Result<SweepRecord> {
        let got = self.store.sweep(sweep).await?;
        let wanted = self.mirror.sweep(sweep).await?;
        self.same("a sweep", &got, &wanted);
        Ok(got)
    }

    async fn sweeps(&self) -> Result<Vec<SweepView>> {
        self.store.sweeps().await
    }

    async fn sources(&self, sweep: SweepDigest) -> Result<Sources> {
        self.store.sources(sweep).await
    }

    async fn jobs(&self, query: JobQuery) -> Result<Vec<JobView>> {
        self.store.jobs(query).await
    }

    async fn last_failed(&self, sweep: Option<SweepDigest>, limit: u32) -> Result<Vec<JobView>> {
        self.store.last_failed(sweep, limit).await
    }

    async fn job(&self, job: JobDigest) -> Result<Option<JobDetail>> {
        self.store.job(job).await
    }

    async fn known(&self, jobs: Vec<JobDigest>) -> Result<Vec<Option<Known>>> {
        self.store.known(jobs).await
    }

    async fn alike(&self, workload: WorkloadKey, limit: u32) -> Result<Vec<Alike>> {
        self.store.alike(workload, limit).await
    }

    async fn results(
        &self,
        sweep: SweepDigest,
        epochs: Option<Epochs>,
    ) -> Result<Vec<CellResults>> {
        self.store.results(sweep, epochs).await
    }

    async fn curves(&self, job: JobDigest) -> Result<Vec<CurvePoint>> {
        self.store.curves(job).await
    }

    async fn logs(&self, job: JobDigest, position: u64) -> Result<Vec<LogChunk>> {
        self.store.logs(job, position).await
    }

    async fn events(&self, after: u64, limit: u32) -> Result<Vec<Event>> {
        let got = self.store.events(after, limit).await?;
        let wanted = self.mirror.events(after, limit).await?;
        self.same("events", &got, &wanted);
        Ok(got)
    }

    async fn last_event(&self) -> Result<u64> {
        self.store.last_event().await
    }

    async fn credentials(&self) -> Result<Vec<Credential>> {
        self.store.credentials().await
    }

    async fn workers(&self) -> Result<Vec<WorkerView>> {
        self.store.workers().await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        let mut got = self.store.snapshot().await?;
        let mut wanted = self.mirror.snapshot().await?;
        let wanted = Census::take(&mut *wanted, &mut |_, _| {}).await?;
        let all = Census::take(&mut *got, &mut |_, _| {}).await?;
        self.same("a snapshot", &all, &wanted);
        // No copy has them, but they are as they were told.
        self.events(0, u32::MAX).await?;
        Ok(got)
    }

    async fn close(&self) -> Result<()> {
        self.store.close().await
    }
}
