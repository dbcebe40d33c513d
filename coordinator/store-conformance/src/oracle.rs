//! The naive ledger behind a mutex: the model that the engine is compared with.

use std::sync::{Mutex, PoisonError};

use crate::ledger::{Ledger, LedgerError};
use async_trait::async_trait;
use swath_model::access::Credential;
use swath_model::id::{InputDigest, JobDigest, Owner, SweepDigest, WorkerName};
use swath_model::import::{ImportBatch, ImportCounts};
use swath_model::policy::Policy;
use swath_model::probe::WorkloadKey;
use swath_model::steering::Steering;
use swath_model::time::Timestamp;
use swath_model::view::{
    Alike, CellResults, CurvePoint, Epochs, JobDetail, JobView, Kept, LogChunk, ReplicationRecord,
    SweepRecord, SweepView, WorkerView,
};

use crate::subject::Subject;
use crate::{
    Exchange, Exchanged, Held, Hello, InputFile, JobQuery, Known, Release, Report, Result, Sources,
    Steered, SteeringDue, StoreError, Submission, Submitted, SweepChange, Ticked, Verdict, Welcome,
    WorkerChange,
};

/// Defines what the results must be. It walks through all of its jobs where the
/// engine has an index, and it never crashes.
#[derive(Debug)]
pub struct Oracle {
    ledger: Mutex<Ledger>,
}

impl Oracle {
    /// An empty one under these limits.
    pub const fn new(policy: Policy) -> Self {
        Self {
            ledger: Mutex::new(Ledger::new(policy)),
        }
    }

    /// Calls `f` with the ledger, to read or change it.
    pub fn with<T>(&self, f: impl FnOnce(&mut Ledger) -> T) -> T {
        // A panic in a test may poison the lock; that test must judge what the
        // ledger then holds.
        f(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Subject for Oracle {
    async fn restart(&self, now: Timestamp) -> Result<()> {
        self.with(|ledger| ledger.restart(now));
        Ok(())
    }

    async fn submit(&self, now: Timestamp, submission: Submission) -> Result<Submitted> {
        self.with(|ledger| ledger.submit(now, submission))
            .map_err(told)
    }

    async fn submit_in_parts(
        &self,
        now: Timestamp,
        submission: Submission,
        _: usize,
    ) -> Result<Submitted> {
        self.submit(now, submission).await
    }

    async fn hello(&self, now: Timestamp, hello: Hello) -> Result<Welcome> {
        self.with(|ledger| ledger.hello(now, hello)).map_err(told)
    }

    async fn exchange(&self, now: Timestamp, exchange: Exchange) -> Result<Exchanged> {
        self.with(|ledger| ledger.exchange(now, exchange))
            .map_err(told)
    }

    async fn heartbeat(
        &self,
        now: Timestamp,
        owner: Owner,
        held: Vec<Held>,
    ) -> Result<Vec<Verdict>> {
        self.with(|ledger| ledger.heartbeat(now, &owner, &held))
            .map_err(told)
    }

    async fn observe(
        &self,
        now: Timestamp,
        owner: Owner,
        reports: Vec<Report>,
    ) -> Result<Vec<Verdict>> {
        self.with(|ledger| ledger.observe(now, &owner, reports))
            .map_err(told)
    }

    async fn release(&self, now: Timestamp, owner: Owner, releases: Vec<Release>) -> Result<()> {
        self.with(|ledger| ledger.release(now, &owner, releases))
            .map_err(told)
    }

    async fn goodbye(&self, now: Timestamp, owner: Owner) -> Result<u64> {
        self.with(|ledger| ledger.goodbye(now, &owner))
            .map_err(told)
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
        self.with(|ledger| ledger.change_sweep(now, sweep, change))
            .map_err(told)
    }

    async fn cancel_jobs(&self, now: Timestamp, jobs: Vec<JobDigest>) -> Result<u64> {
        Ok(self.with(|ledger| ledger.cancel_jobs(now, &jobs)))
    }

    async fn retry_jobs(&self, now: Timestamp, jobs: Vec<JobDigest>) -> Result<u64> {
        Ok(self.with(|ledger| ledger.retry_jobs(now, &jobs)))
    }

    async fn forget_jobs(&self, now: Timestamp, jobs: Vec<JobDigest>) -> Result<u64> {
        Ok(self.with(|ledger| ledger.forget_jobs(now, &jobs)))
    }

    async fn delete(&self, now: Timestamp, sweep: SweepDigest, cancel: bool) -> Result<u64> {
        self.with(|ledger| ledger.delete(now, sweep, cancel))
            .map_err(told)
    }

    async fn keep_credential(&self, _: Timestamp, credential: Credential) -> Result<()> {
        self.with(|ledger| ledger.credentials.insert(credential.id, credential));
        Ok(())
    }

    async fn credentials(&self) -> Result<Vec<Credential>> {
        Ok(self.with(|ledger| ledger.credentials.values().cloned().collect()))
    }

    async fn keep_inputs(&self, now: Timestamp, files: Vec<InputFile>) -> Result<u64> {
        Ok(self.with(|ledger| ledger.keep_inputs(now, &files)))
    }

    async fn kept(&self, inputs: &[InputDigest]) -> Result<Vec<InputDigest>> {
        Ok(self.with(|ledger| ledger.kept(inputs)))
    }

    async fn steering_due(&self) -> Result<Vec<SteeringDue>> {
        Ok(self.with(|ledger| ledger.steering_due()))
    }

    async fn steer(
        &self,
        now: Timestamp,
        due: SteeringDue,
        said: Vec<Steering>,
    ) -> Result<Steered> {
        self.with(|ledger| ledger.steer(now, due, said))
            .map_err(told)
    }

    async fn replication(&self, sweep: SweepDigest) -> Result<ReplicationRecord> {
        self.with(|ledger| ledger.replication(sweep)).map_err(told)
    }

    async fn import(&self, _now: Timestamp, batch: ImportBatch) -> Result<ImportCounts> {
        self.with(|ledger| ledger.import(batch)).map_err(told)
    }

    async fn change_worker(
        &self,
        now: Timestamp,
        worker: WorkerName,
        change: WorkerChange,
    ) -> Result<()> {
        self.with(|ledger| ledger.change_worker(now, &worker, change))
            .map_err(told)
    }

    async fn sweep(&self, sweep: SweepDigest) -> Result<SweepRecord> {
        self.with(|ledger| ledger.sweep_record(sweep)).map_err(told)
    }

    async fn sweeps(&self) -> Result<Vec<SweepView>> {
        Ok(self.with(|ledger| ledger.sweeps()))
    }

    async fn sources(&self, sweep: SweepDigest) -> Result<Sources> {
        self.with(|ledger| ledger.sources(sweep)).map_err(told)
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

    async fn results(
        &self,
        sweep: SweepDigest,
        epochs: Option<Epochs>,
    ) -> Result<Vec<CellResults>> {
        self.with(|ledger| ledger.results(sweep, epochs.as_ref()))
            .map_err(told)
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

    async fn reserved(&self, now: Timestamp) -> Result<Vec<Kept>> {
        Ok(self.with(|ledger| ledger.reserved(now)))
    }

    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        Ok(self.with(|ledger| ledger.next_due(now)))
    }
}

fn told(error: LedgerError) -> StoreError {
    match error {
        LedgerError::StaleSession { worker, session } => {
            StoreError::StaleSession { worker, session }
        }
        LedgerError::NameTaken { worker } => StoreError::NameTaken {
            worker,
            host: String::new(),
            pid: 0,
            silent_s: 0,
            free_after_s: 0,
        },
        LedgerError::NotFound(what) => StoreError::NotFound(what),
        LedgerError::Conflict(why) => StoreError::Conflict(why),
    }
}
