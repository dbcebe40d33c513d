//! The engine over the store under test.

use std::sync::Arc;

use async_trait::async_trait;
use swath_engine::Engine;
use swath_engine::ledger::Prepared;
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
    Steered, SteeringDue, Store, Submission, Submitted, SweepChange, Ticked, Verdict, Welcome,
    WorkerChange,
};

/// The address that the engine under test reports.
pub const ADDRESS: &str = "127.0.0.1:7373";

/// The engine over the store under test.
pub struct Tested {
    store: Arc<dyn Store>,
    policy: Policy,
    /// `None` only between one engine and the next.
    engine: Option<Engine>,
}

impl Tested {
    /// Starts an engine on `store`.
    pub async fn start(store: Arc<dyn Store>, policy: Policy) -> Self {
        let mut tested = Self {
            store,
            policy,
            engine: None,
        };
        tested.crash().await;
        tested
    }

    /// Drops the engine without warning and starts another on the same store:
    /// only what is in the database survives.
    pub async fn crash(&mut self) {
        self.engine = None;
        let store = Arc::clone(&self.store);
        let started = Engine::start(store, self.policy.clone(), ADDRESS).await;
        self.engine = Some(started.expect("the engine starts on the store"));
    }

    /// Ends the engine in good order; the store stays open.
    pub async fn stop(&mut self) {
        if let Some(engine) = self.engine.take() {
            engine.stop().await;
        }
    }

    /// The store.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The engine.
    ///
    /// # Panics
    ///
    /// After [`Tested::stop`].
    pub fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("the engine runs")
    }
}

#[async_trait]
impl Subject for Tested {
    async fn restart(&self, now: Timestamp) -> Result<()> {
        self.engine().restart(now).await
    }

    async fn submit(&self, now: Timestamp, submission: Submission) -> Result<Submitted> {
        self.engine().submit(now, submission).await
    }

    async fn submit_in_parts(
        &self,
        now: Timestamp,
        submission: Submission,
        jobs_max: usize,
    ) -> Result<Submitted> {
        let prepared = Prepared::new(submission);
        let engine = self.engine();
        engine.submit_in_parts(now, prepared, jobs_max).await
    }

    async fn hello(&self, now: Timestamp, hello: Hello) -> Result<Welcome> {
        self.engine().hello(now, hello).await
    }

    async fn exchange(&self, now: Timestamp, exchange: Exchange) -> Result<Exchanged> {
        self.engine().exchange(now, exchange).await
    }

    async fn heartbeat(
        &self,
        now: Timestamp,
        owner: Owner,
        held: Vec<Held>,
    ) -> Result<Vec<Verdict>> {
        self.engine().heartbeat(now, owner, held).await
    }

    async fn observe(
        &self,
        now: Timestamp,
        owner: Owner,
        reports: Vec<Report>,
    ) -> Result<Vec<Verdict>> {
        self.engine().observe(now, owner, reports).await
    }

    async fn release(&self, now: Timestamp, owner: Owner, releases: Vec<Release>) -> Result<()> {
        self.engine().release(now, owner, releases).await
    }

    async fn goodbye(&self, now: Timestamp, owner: Owner) -> Result<u64> {
        self.engine().goodbye(now, owner).await
    }

    async fn tick(&self, now: Timestamp) -> Result<Ticked> {
        self.engine().tick(now).await
    }

    async fn extend_leases(&self, now: Timestamp) -> Result<()> {
        self.engine().extend_leases(now).await
    }

    async fn change_sweep(
        &self,
        now: Timestamp,
        sweep: SweepDigest,
        change: SweepChange,
    ) -> Result<()> {
        self.engine().change_sweep(now, sweep, change).await
    }

    async fn cancel_jobs(&self, now: Timestamp, jobs: Vec<JobDigest>) -> Result<u64> {
        self.engine().cancel_jobs(now, jobs).await
    }

    async fn retry_jobs(&self, now: Timestamp, jobs: Vec<JobDigest>) -> Result<u64> {
        self.engine().retry_jobs(now, jobs).await
    }

    async fn forget_jobs(&self, now: Timestamp, jobs: Vec<JobDigest>) -> Result<u64> {
        self.engine().forget_jobs(now, jobs).await
    }

    async fn delete(&self, now: Timestamp, sweep: SweepDigest, cancel: bool) -> Result<u64> {
        let engine = self.engine();
        engine.begin_deletion(now, sweep, cancel).await?;
        let mut jobs = 0;
        loop {
            let deleted = engine.delete_some(now, sweep).await?;
            jobs += deleted.jobs;
            if deleted.done {
                return Ok(jobs);
            }
        }
    }

    async fn keep_credential(&self, _: Timestamp, credential: Credential) -> Result<()> {
        self.engine().keep_credential(credential).await
    }

    async fn credentials(&self) -> Result<Vec<Credential>> {
        self.engine().store().credentials().await
    }

    async fn keep_inputs(&self, now: Timestamp, files: Vec<InputFile>) -> Result<u64> {
        self.engine().keep_inputs(now, files).await
    }

    async fn kept(&self, inputs: &[InputDigest]) -> Result<Vec<InputDigest>> {
        self.engine().store().kept(inputs).await
    }

    async fn steering_due(&self) -> Result<Vec<SteeringDue>> {
        self.engine().steering_due().await
    }

    async fn steer(
        &self,
        now: Timestamp,
        due: SteeringDue,
        said: Vec<Steering>,
    ) -> Result<Steered> {
        self.engine().steer(now, due, said).await
    }

    async fn import(&self, now: Timestamp, batch: ImportBatch) -> Result<ImportCounts> {
        self.engine().import(now, batch).await
    }

    async fn change_worker(
        &self,
        now: Timestamp,
        worker: WorkerName,
        change: WorkerChange,
    ) -> Result<()> {
        self.engine().change_worker(now, worker, change).await
    }

    async fn ahead(&self, job: JobDigest) -> Result<u64> {
        self.engine().ahead(job).await
    }

    async fn reserved(&self, now: Timestamp) -> Result<Vec<Kept>> {
        self.engine().kept(now).await
    }

    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        self.engine().next_due(now).await
    }

    async fn replication(&self, sweep: SweepDigest) -> Result<ReplicationRecord> {
        self.engine().store().replication(sweep).await
    }

    async fn sweep(&self, sweep: SweepDigest) -> Result<SweepRecord> {
        self.engine().store().sweep(sweep).await
    }

    async fn sweeps(&self) -> Result<Vec<SweepView>> {
        self.engine().store().sweeps().await
    }

    async fn sources(&self, sweep: SweepDigest) -> Result<Sources> {
        self.engine().store().sources(sweep).await
    }

    async fn jobs(&self, query: JobQuery) -> Result<Vec<JobView>> {
        self.engine().store().jobs(query).await
    }

    async fn last_failed(&self, sweep: Option<SweepDigest>, limit: u32) -> Result<Vec<JobView>> {
        self.engine().store().last_failed(sweep, limit).await
    }

    async fn job(&self, job: JobDigest) -> Result<Option<JobDetail>> {
        self.engine().store().job(job).await
    }

    async fn known(&self, jobs: Vec<JobDigest>) -> Result<Vec<Option<Known>>> {
        self.engine().store().known(jobs).await
    }

    async fn alike(&self, workload: WorkloadKey, limit: u32) -> Result<Vec<Alike>> {
        self.engine().store().alike(workload, limit).await
    }

    async fn results(
        &self,
        sweep: SweepDigest,
        epochs: Option<Epochs>,
    ) -> Result<Vec<CellResults>> {
        self.engine().store().results(sweep, epochs).await
    }

    async fn curves(&self, job: JobDigest) -> Result<Vec<CurvePoint>> {
        self.engine().store().curves(job).await
    }

    async fn logs(&self, job: JobDigest, position: u64) -> Result<Vec<LogChunk>> {
        self.engine().store().logs(job, position).await
    }

    async fn workers(&self) -> Result<Vec<WorkerView>> {
        self.engine().store().workers().await
    }
}
