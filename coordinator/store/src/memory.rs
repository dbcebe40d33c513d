//! The ledger behind a mutex: a store for tests, and the model for the others.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use swath_core::id::{JobDigest, Owner, SweepDigest, WorkerName};
use swath_core::import::{ImportBatch, ImportCounts};
use swath_core::ledger::Ledger;
use swath_core::policy::Policy;
use swath_core::probe::WorkloadKey;
use swath_core::replication::Look;
use swath_core::time::Timestamp;
use swath_core::view::{
    Alike, CellResults, CurvePoint, JobDetail, JobView, LogChunk, ReplicationRecord, SweepView,
    WorkerView,
};

use crate::{
    Exchange, Exchanged, Held, Hello, JobQuery, Known, Replicated, ReplicationDue, Report, Result,
    Sources, Store, Submission, Submitted, SweepChange, Ticked, Verdict, Welcome, WorkerChange,
};

/// Keeps everything in memory: gone when it is dropped.
#[derive(Debug)]
pub struct MemoryStore {
    ledger: Mutex<Ledger>,
}

impl MemoryStore {
    /// An empty store under these limits.
    pub const fn new(policy: Policy) -> Self {
        Self {
            ledger: Mutex::new(Ledger::new(policy)),
        }
    }

    /// Lets `f` see, or change, the ledger.
    pub fn with<T>(&self, f: impl FnOnce(&mut Ledger) -> T) -> T {
        // A panic in a test may poison the lock; what the ledger holds then is
        // that test's to judge.
        f(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn restart(&self, now: Timestamp) -> Result<()> {
        self.with(|ledger| ledger.restart(now));
        Ok(())
    }

    async fn submit(&self, now: Timestamp, submission: Submission) -> Result<Submitted> {
        Ok(self.with(|ledger| ledger.submit(now, submission))?)
    }

    async fn hello(&self, now: Timestamp, hello: Hello) -> Result<Welcome> {
        Ok(self.with(|ledger| ledger.hello(now, hello)))
    }

    async fn exchange(&self, now: Timestamp, exchange: Exchange) -> Result<Exchanged> {
        Ok(self.with(|ledger| ledger.exchange(now, exchange))?)
    }

    async fn heartbeat(
        &self,
        now: Timestamp,
        owner: Owner,
        held: Vec<Held>,
    ) -> Result<Vec<Verdict>> {
        Ok(self.with(|ledger| ledger.heartbeat(now, &owner, &held))?)
    }

    async fn observe(
        &self,
        now: Timestamp,
        owner: Owner,
        reports: Vec<Report>,
    ) -> Result<Vec<Verdict>> {
        Ok(self.with(|ledger| ledger.observe(now, &owner, reports))?)
    }

    async fn release(&self, now: Timestamp, owner: Owner, held: Vec<Held>) -> Result<()> {
        Ok(self.with(|ledger| ledger.release(now, &owner, &held))?)
    }

    async fn tick(&self, now: Timestamp) -> Result<Ticked> {
        Ok(self.with(|ledger| ledger.tick(now)))
    }

    async fn extend_leases(&self, now: Timestamp) -> Result<()> {
        self.with(|ledger| ledger.extend_leases(now));
        Ok(())
    }

    async fn change_sweep(
        &self,
        now: Timestamp,
        sweep: SweepDigest,
        change: SweepChange,
    ) -> Result<()> {
        Ok(self.with(|ledger| ledger.change_sweep(now, sweep, change))?)
    }

    async fn cancel_jobs(&self, now: Timestamp, jobs: Vec<JobDigest>) -> Result<u64> {
        Ok(self.with(|ledger| ledger.cancel_jobs(now, &jobs)))
    }

    async fn retry_jobs(&self, now: Timestamp, jobs: Vec<JobDigest>) -> Result<u64> {
        Ok(self.with(|ledger| ledger.retry_jobs(now, &jobs)))
    }

    async fn replication_due(&self) -> Result<Vec<ReplicationDue>> {
        Ok(self.with(|ledger| ledger.replication_due()))
    }

    async fn replicate(
        &self,
        now: Timestamp,
        due: ReplicationDue,
        look: Look,
    ) -> Result<Replicated> {
        Ok(self.with(|ledger| ledger.replicate(now, due, look))?)
    }

    async fn replication(&self, sweep: SweepDigest) -> Result<ReplicationRecord> {
        Ok(self.with(|ledger| ledger.replication(sweep))?)
    }

    async fn import(&self, _now: Timestamp, batch: ImportBatch) -> Result<ImportCounts> {
        Ok(self.with(|ledger| ledger.import(batch))?)
    }

    async fn change_worker(
        &self,
        _now: Timestamp,
        worker: WorkerName,
        change: WorkerChange,
    ) -> Result<()> {
        Ok(self.with(|ledger| ledger.change_worker(&worker, change))?)
    }

    async fn sweeps(&self) -> Result<Vec<SweepView>> {
        Ok(self.with(|ledger| ledger.sweeps()))
    }

    async fn sources(&self, sweep: SweepDigest) -> Result<Sources> {
        Ok(self.with(|ledger| ledger.sources(sweep))?)
    }

    async fn last_failed(&self, sweep: Option<SweepDigest>, limit: u32) -> Result<Vec<JobView>> {
        Ok(self.with(|ledger| ledger.last_failed(sweep, limit)))
    }

    async fn jobs(&self, query: JobQuery) -> Result<Vec<JobView>> {
        Ok(self.with(|ledger| ledger.jobs(&query)))
    }

    async fn job(&self, job: JobDigest) -> Result<Option<JobDetail>> {
        Ok(self.with(|ledger| ledger.job(job)))
    }

    async fn ahead(&self, job: JobDigest) -> Result<u64> {
        Ok(self.with(|ledger| ledger.ahead(job)))
    }

    async fn known(&self, jobs: Vec<JobDigest>) -> Result<Vec<Option<Known>>> {
        Ok(self.with(|ledger| ledger.known(&jobs)))
    }

    async fn alike(&self, workload: WorkloadKey, limit: u32) -> Result<Vec<Alike>> {
        Ok(self.with(|ledger| ledger.alike(workload, limit)))
    }

    async fn results(&self, sweep: SweepDigest, last_epochs: u32) -> Result<Vec<CellResults>> {
        Ok(self.with(|ledger| ledger.results(sweep, last_epochs))?)
    }

    async fn curves(&self, job: JobDigest) -> Result<Vec<CurvePoint>> {
        Ok(self.with(|ledger| ledger.curves(job)))
    }

    async fn logs(&self, job: JobDigest, position: u64) -> Result<Vec<LogChunk>> {
        Ok(self.with(|ledger| ledger.logs(job, position)))
    }

    async fn workers(&self) -> Result<Vec<WorkerView>> {
        Ok(self.with(|ledger| ledger.workers()))
    }

    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        Ok(self.with(|ledger| ledger.next_due(now)))
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn fresh(policy: Policy) -> (MemoryStore, ()) {
        (MemoryStore::new(policy), ())
    }

    crate::conformance_suite!(fresh);
}
