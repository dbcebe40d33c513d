//! The store: rows in memory that survive every coordinator, behind a
//! connection that fails.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use swath_model::access::Credential;
use swath_model::event::Event;
use swath_model::id::{CellDigest, InputDigest, JobDigest, SweepDigest};
use swath_model::probe::WorkloadKey;
use swath_model::view::{
    Alike, CellResults, CurvePoint, Epochs, JobDetail, JobView, LogChunk, ReplicationRecord,
    SweepRecord, SweepView, WorkerView,
};
use swath_store::{
    CellKey, Changes, JobQuery, Known, Names, Result, Said, Sources, Start, Store, StoreError,
    StoredCell, SweepKey, Tail, Term,
};
use swath_store_conformance::MemoryStore;

/// What is wrong with the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The next commit fails before anything is written.
    Before,
    /// The next commit is written, and its reply is lost.
    After,
    /// Nothing gets through.
    Away,
}

#[derive(Debug, Default)]
struct Seen {
    trouble: Option<Trouble>,
    /// Commits that were written.
    commits: u64,
    /// Digest of what they wrote.
    written: u64,
    /// Why a commit was refused that must never be made.
    refused: Option<String>,
}

/// The rows, which survive.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    rows: MemoryStore,
    seen: Mutex<Seen>,
}

impl Disk {
    /// The rows, whatever is wrong with the connection.
    pub(crate) const fn rows(&self) -> &MemoryStore {
        &self.rows
    }

    /// Sets what is wrong from now on; `None` for nothing.
    pub(crate) fn trouble(&self, trouble: Option<Trouble>) {
        self.with(|seen| seen.trouble = trouble);
    }

    /// Sets what is wrong with the next commit, if it gets that far.
    pub(crate) fn trouble_next(&self, trouble: Trouble) {
        self.with(|seen| seen.trouble = seen.trouble.or(Some(trouble)));
    }

    /// Ends such trouble if there was no such commit.
    pub(crate) fn calm_down(&self) {
        self.with(|seen| seen.trouble = seen.trouble.filter(|it| *it == Trouble::Away));
    }

    /// How many commits were written.
    pub(crate) fn commits(&self) -> u64 {
        self.with(|seen| seen.commits)
    }

    /// Digest of everything that was written, in order.
    pub(crate) fn written(&self) -> u64 {
        self.with(|seen| seen.written)
    }

    /// Why a commit was refused that must never be made, if one was.
    pub(crate) fn refused(&self) -> Option<String> {
        self.with(|seen| seen.refused.take())
    }

    fn with<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn reached(&self) -> Result<&MemoryStore> {
        match self.with(|seen| seen.trouble) {
            Some(Trouble::Away) => Err(failed("it cannot be reached")),
            _ => Ok(&self.rows),
        }
    }
}

/// FNV-1a, by word: the same on every machine.
pub(crate) const fn fold(digest: u64, number: u64) -> u64 {
    (digest ^ number).wrapping_mul(0x0100_0000_01b3)
}

fn failed(message: &str) -> StoreError {
    StoreError::Failed {
        message: message.to_owned(),
        source: None,
    }
}

#[async_trait]
impl Store for Disk {
    async fn lead(&self, address: &str) -> Result<Term> {
        self.reached()?.lead(address).await
    }

    async fn renew(&self, term: Term) -> Result<()> {
        self.reached()?.renew(term).await
    }

    async fn leader(&self) -> Result<Option<String>> {
        self.reached()?.leader().await
    }

    async fn start(&self) -> Result<Start> {
        self.reached()?.start().await
    }

    async fn credentials(&self) -> Result<Vec<Credential>> {
        self.reached()?.credentials().await
    }

    async fn open_cells(&self, after: CellKey, limit: u32) -> Result<Vec<StoredCell>> {
        self.reached()?.open_cells(after, limit).await
    }

    async fn load(&self, names: &Names) -> Result<Vec<StoredCell>> {
        self.reached()?.load(names).await
    }

    async fn tail(&self, sweep: SweepKey, limit: u32) -> Result<Tail> {
        self.reached()?.tail(sweep, limit).await
    }

    async fn specs(&self, cells: &[CellKey]) -> Result<Vec<String>> {
        self.reached()?.specs(cells).await
    }

    async fn kept(&self, inputs: &[InputDigest]) -> Result<Vec<InputDigest>> {
        self.reached()?.kept(inputs).await
    }

    async fn piece(&self, input: InputDigest, place: u32) -> Result<Option<Vec<u8>>> {
        self.reached()?.piece(input, place).await
    }

    async fn said(
        &self,
        cells: &[(String, CellDigest)],
        sources: &[(String, String)],
    ) -> Result<Said> {
        self.reached()?.said(cells, sources).await
    }

    async fn commit(&self, term: Term, changes: Changes) -> Result<()> {
        let rows = self.reached()?;
        let trouble = self.with(|seen| seen.trouble.take());
        if trouble == Some(Trouble::Before) {
            return Err(failed("the disk is full"));
        }
        let text = format!("{changes:?}");
        let written = rows.commit(term, changes).await;
        self.with(|seen| match &written {
            Ok(()) => {
                seen.commits += 1;
                seen.written = text.bytes().map(u64::from).fold(seen.written, fold);
            }
            Err(StoreError::InUse(_)) => {}
            Err(error) => seen.refused = Some(error.to_string()),
        });
        written?;
        match trouble {
            Some(Trouble::After) => Err(failed("the connection is lost")),
            _ => Ok(()),
        }
    }

    async fn replication(&self, sweep: SweepDigest) -> Result<ReplicationRecord> {
        self.reached()?.replication(sweep).await
    }

    async fn sweep(&self, sweep: SweepDigest) -> Result<SweepRecord> {
        self.reached()?.sweep(sweep).await
    }

    async fn sweeps(&self) -> Result<Vec<SweepView>> {
        self.reached()?.sweeps().await
    }

    async fn sources(&self, sweep: SweepDigest) -> Result<Sources> {
        self.reached()?.sources(sweep).await
    }

    async fn jobs(&self, query: JobQuery) -> Result<Vec<JobView>> {
        self.reached()?.jobs(query).await
    }

    async fn last_failed(&self, sweep: Option<SweepDigest>, limit: u32) -> Result<Vec<JobView>> {
        self.reached()?.last_failed(sweep, limit).await
    }

    async fn job(&self, job: JobDigest) -> Result<Option<JobDetail>> {
        self.reached()?.job(job).await
    }

    async fn known(&self, jobs: Vec<JobDigest>) -> Result<Vec<Option<Known>>> {
        self.reached()?.known(jobs).await
    }

    async fn alike(&self, workload: WorkloadKey, limit: u32) -> Result<Vec<Alike>> {
        self.reached()?.alike(workload, limit).await
    }

    async fn results(
        &self,
        sweep: SweepDigest,
        epochs: Option<Epochs>,
    ) -> Result<Vec<CellResults>> {
        self.reached()?.results(sweep, epochs).await
    }

    async fn curves(&self, job: JobDigest) -> Result<Vec<CurvePoint>> {
        self.reached()?.curves(job).await
    }

    async fn logs(&self, job: JobDigest, position: u64) -> Result<Vec<LogChunk>> {
        self.reached()?.logs(job, position).await
    }

    async fn events(&self, after: u64, limit: u32) -> Result<Vec<Event>> {
        self.reached()?.events(after, limit).await
    }

    async fn last_event(&self) -> Result<u64> {
        self.reached()?.last_event().await
    }

    async fn workers(&self) -> Result<Vec<WorkerView>> {
        self.reached()?.workers().await
    }

    async fn close(&self) -> Result<()> {
        self.reached()?.close().await
    }
}
