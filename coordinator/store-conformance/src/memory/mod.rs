//! A store of plain rows in memory, for tests.
//!
//! It refuses what a schema's constraints and triggers would refuse, so a test
//! of the engine over it also tests what the engine writes. It also says in the
//! fewest words what stores with a database must return.

mod cold;
mod commit;
mod delete;
mod dump;
mod inputs;
mod read;
mod tables;
mod told;
mod verify;

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

use self::dump::Dump;
use self::tables::Tables;
use crate::{
    CellKey, Changes, Copying, JobQuery, Known, Names, Result, Said, Snapshot, Sources, Start,
    Store, StoreError, StoredCell, SweepKey, Tail, Term,
};

/// Keeps rows in memory. A clone is another handle on the same rows, as a
/// second connection is to a database; they are gone with the last handle.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    tables: Arc<Mutex<Tables>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets who leads, as when a leader was silent for too long. The next
    /// one can then take the lead.
    pub fn depose(&self) {
        self.locked().leader = None;
    }

    /// Writes `changes`, whoever leads.
    pub(crate) fn write(&self, changes: Changes) -> Result<()> {
        self.with(|tables| tables.commit(changes).map_err(failed))
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Tables> {
        // A panic in a test may poison the lock; the rows are whole all the
        // same, because a commit replaces them at once.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, ask: impl FnOnce(&mut Tables) -> Result<T>) -> Result<T> {
        let mut tables = self.locked();
        if tables.closed {
            return Err(failed("the store is closed; open it again".to_owned()));
        }
        ask(&mut tables)
    }
}

/// An error of the store itself.
pub(crate) const fn failed(message: String) -> StoreError {
    StoreError::Failed {
        message,
        source: None,
    }
}

fn deposed() -> StoreError {
    StoreError::InUse("somebody else leads by now; lead again".to_owned())
}

#[async_trait]
impl Store for MemoryStore {
    async fn lead(&self, address: &str) -> Result<Term> {
        self.with(|tables| match &tables.leader {
            Some(other) if other != address => Err(StoreError::InUse(format!(
                "the coordinator at {other} leads; stop it first"
            ))),
            // The coordinator that had this address is gone, or the caller would
            // not have it.
            _ => {
                tables.term.0 += 1;
                tables.leader = Some(address.to_owned());
                Ok(tables.term)
            }
        })
    }

    async fn renew(&self, term: Term) -> Result<()> {
        self.with(|tables| (tables.term == term).then_some(()).ok_or_else(deposed))
    }

    async fn leader(&self) -> Result<Option<String>> {
        self.with(|tables| Ok(tables.leader.clone()))
    }

    async fn start(&self) -> Result<Start> {
        self.with(|tables| tables.begin())
    }

    async fn open_cells(&self, after: CellKey, limit: u32) -> Result<Vec<StoredCell>> {
        self.with(|tables| Ok(tables.open_cells(after, limit)))
    }

    async fn load(&self, names: &Names) -> Result<Vec<StoredCell>> {
        self.with(|tables| Ok(tables.load(names)))
    }

    async fn tail(&self, sweep: SweepKey, limit: u32) -> Result<Tail> {
        self.with(|tables| Ok(tables.tail(sweep, limit)))
    }

    async fn specs(&self, cells: &[CellKey]) -> Result<Vec<String>> {
        self.with(|tables| tables.specs(cells).map_err(failed))
    }

    async fn kept(&self, inputs: &[InputDigest]) -> Result<Vec<InputDigest>> {
        self.with(|tables| Ok(tables.kept(inputs)))
    }

    async fn piece(&self, input: InputDigest, place: u32) -> Result<Option<Vec<u8>>> {
        self.with(|tables| Ok(tables.piece(input, place)))
    }

    async fn said(
        &self,
        cells: &[(String, CellDigest)],
        sources: &[(String, String)],
    ) -> Result<Said> {
        self.with(|tables| Ok(tables.said(cells, sources)))
    }

    async fn commit(&self, term: Term, changes: Changes) -> Result<()> {
        self.with(|tables| {
            if tables.term != term {
                return Err(deposed());
            }
            tables.commit(changes).map_err(failed)
        })
    }

    async fn replication(&self, sweep: SweepDigest) -> Result<ReplicationRecord> {
        self.with(|tables| tables.replication(sweep))
    }

    async fn sweep(&self, sweep: SweepDigest) -> Result<SweepRecord> {
        self.with(|tables| tables.sweep(sweep))
    }

    async fn sweeps(&self) -> Result<Vec<SweepView>> {
        self.with(|tables| Ok(tables.sweeps()))
    }

    async fn sources(&self, sweep: SweepDigest) -> Result<Sources> {
        self.with(|tables| Ok(tables.sweep_of(sweep)?.new.sources.clone()))
    }

    async fn jobs(&self, query: JobQuery) -> Result<Vec<JobView>> {
        self.with(|tables| Ok(tables.jobs(&query)))
    }

    async fn last_failed(&self, sweep: Option<SweepDigest>, limit: u32) -> Result<Vec<JobView>> {
        self.with(|tables| Ok(tables.last_failed(sweep, limit)))
    }

    async fn job(&self, job: JobDigest) -> Result<Option<JobDetail>> {
        self.with(|tables| Ok(tables.job(job)))
    }

    async fn known(&self, jobs: Vec<JobDigest>) -> Result<Vec<Option<Known>>> {
        self.with(|tables| Ok(jobs.iter().map(|job| tables.known(*job)).collect()))
    }

    async fn alike(&self, workload: WorkloadKey, limit: u32) -> Result<Vec<Alike>> {
        self.with(|tables| Ok(tables.alike(workload, limit)))
    }

    async fn results(
        &self,
        sweep: SweepDigest,
        epochs: Option<Epochs>,
    ) -> Result<Vec<CellResults>> {
        self.with(|tables| tables.results(sweep, epochs.as_ref()))
    }

    async fn curves(&self, job: JobDigest) -> Result<Vec<CurvePoint>> {
        self.with(|tables| Ok(tables.curves(job)))
    }

    async fn logs(&self, job: JobDigest, position: u64) -> Result<Vec<LogChunk>> {
        self.with(|tables| Ok(tables.logs(job, position)))
    }

    async fn events(&self, after: u64, limit: u32) -> Result<Vec<Event>> {
        self.with(|tables| {
            let mut later = tables.events.after(after);
            later.truncate(limit as usize);
            Ok(later)
        })
    }

    async fn last_event(&self) -> Result<u64> {
        self.with(|tables| Ok(tables.events.last().map_or(0, |event| event.seq)))
    }

    async fn credentials(&self) -> Result<Vec<Credential>> {
        self.with(|tables| Ok(tables.credentials.values().cloned().collect()))
    }

    async fn workers(&self) -> Result<Vec<WorkerView>> {
        self.with(|tables| Ok(tables.workers()))
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        self.with(|tables| -> Result<Box<dyn Snapshot>> { Ok(Box::new(Dump(tables.clone()))) })
    }

    async fn copying(&self) -> Result<Option<Copying>> {
        self.with(|tables| Ok(tables.copying.clone()))
    }

    async fn close(&self) -> Result<()> {
        self.with(|tables| {
            tables.closed = true;
            Ok(())
        })
    }
}
