//! The interface that scenarios call: the engine over a store, or the model in
//! its place.

use async_trait::async_trait;
use swath_model::access::Credential;
use swath_model::id::{InputDigest, JobDigest, Owner, SweepDigest, WorkerName};
use swath_model::import::{ImportBatch, ImportCounts};
use swath_model::probe::WorkloadKey;
use swath_model::steering::Steering;
use swath_model::time::Timestamp;
use swath_model::view::{
    Alike, CellResults, CurvePoint, Epochs, JobDetail, JobView, Kept, LogChunk, ReplicationRecord,
    SweepRecord, SweepView, WorkerView,
};

use crate::{
    Exchange, Exchanged, Held, Hello, InputFile, JobQuery, Known, Release, Report, Result, Sources,
    Steered, SteeringDue, Submission, Submitted, SweepChange, Ticked, Verdict, Welcome,
    WorkerChange,
};

/// Every call of the engine and every read of a store, under the names that
/// they have there. They are documented there.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The coordinator starts.
    async fn restart(&self, now: Timestamp) -> Result<()>;

    /// A sweep is submitted.
    async fn submit(&self, now: Timestamp, submission: Submission) -> Result<Submitted>;

    /// A sweep is submitted and stored in commits of at most so many jobs.
    async fn submit_in_parts(
        &self,
        now: Timestamp,
        submission: Submission,
        jobs_max: usize,
    ) -> Result<Submitted>;

    /// A worker starts or reconnects.
    async fn hello(&self, now: Timestamp, hello: Hello) -> Result<Welcome>;

    /// Outcomes come in, jobs go out.
    async fn exchange(&self, now: Timestamp, exchange: Exchange) -> Result<Exchanged>;

    /// A worker is alive and has these attempts.
    async fn heartbeat(
        &self,
        now: Timestamp,
        owner: Owner,
        held: Vec<Held>,
    ) -> Result<Vec<Verdict>>;

    /// A worker reports about its attempts.
    async fn observe(
        &self,
        now: Timestamp,
        owner: Owner,
        reports: Vec<Report>,
    ) -> Result<Vec<Verdict>>;

    /// A worker gives attempts back.
    async fn release(&self, now: Timestamp, owner: Owner, releases: Vec<Release>) -> Result<()>;

    /// A worker leaves.
    async fn goodbye(&self, now: Timestamp, owner: Owner) -> Result<u64>;

    /// The sweeper's pass.
    async fn tick(&self, now: Timestamp) -> Result<Ticked>;

    /// The coordinator or its store was away.
    async fn extend_leases(&self, now: Timestamp) -> Result<()>;

    /// An operator changes a sweep.
    async fn change_sweep(
        &self,
        now: Timestamp,
        sweep: SweepDigest,
        change: SweepChange,
    ) -> Result<()>;

    /// An operator cancels jobs.
    async fn cancel_jobs(&self, now: Timestamp, jobs: Vec<JobDigest>) -> Result<u64>;

    /// An operator retries jobs.
    async fn retry_jobs(&self, now: Timestamp, jobs: Vec<JobDigest>) -> Result<u64>;

    /// The outcomes of jobs are thrown away.
    async fn forget_jobs(&self, now: Timestamp, jobs: Vec<JobDigest>) -> Result<u64>;

    /// An operator deletes a sweep, with its open jobs if they are to be
    /// cancelled; returns how many jobs are gone.
    async fn delete(&self, now: Timestamp, sweep: SweepDigest, cancel: bool) -> Result<u64>;

    /// Files come that are to travel with sweeps.
    async fn keep_inputs(&self, now: Timestamp, files: Vec<InputFile>) -> Result<u64>;

    /// A credential is new or changed.
    async fn keep_credential(&self, now: Timestamp, credential: Credential) -> Result<()>;

    /// All of them, by id.
    async fn credentials(&self) -> Result<Vec<Credential>>;

    /// Those of these files that are kept.
    async fn kept(&self, inputs: &[InputDigest]) -> Result<Vec<InputDigest>>;

    /// The sweeps whose results are to be looked at.
    async fn steering_due(&self) -> Result<Vec<SteeringDue>>;

    /// The result of a look.
    async fn steer(&self, now: Timestamp, due: SteeringDue, said: Vec<Steering>)
    -> Result<Steered>;

    /// Numbers come from elsewhere.
    async fn import(&self, now: Timestamp, batch: ImportBatch) -> Result<ImportCounts>;

    /// An operator changes a worker.
    async fn change_worker(
        &self,
        now: Timestamp,
        worker: WorkerName,
        change: WorkerChange,
    ) -> Result<()>;

    /// How many queued jobs are granted before this one.
    async fn ahead(&self, job: JobDigest) -> Result<u64>;

    /// The room that workers keep for jobs that do not fit.
    async fn reserved(&self, now: Timestamp) -> Result<Vec<Kept>>;

    /// When the next backoff ends.
    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>>;

    /// What was decided about a sweep's replicates.
    async fn replication(&self, sweep: SweepDigest) -> Result<ReplicationRecord>;

    /// Every sweep.
    async fn sweeps(&self) -> Result<Vec<SweepView>>;

    /// One sweep with its definition.
    async fn sweep(&self, sweep: SweepDigest) -> Result<SweepRecord>;

    /// What a sweep was submitted as.
    async fn sources(&self, sweep: SweepDigest) -> Result<Sources>;

    /// The jobs that match.
    async fn jobs(&self, query: JobQuery) -> Result<Vec<JobView>>;

    /// The jobs that failed last.
    async fn last_failed(&self, sweep: Option<SweepDigest>, limit: u32) -> Result<Vec<JobView>>;

    /// One job with its attempts.
    async fn job(&self, job: JobDigest) -> Result<Option<JobDetail>>;

    /// Which of these jobs exist.
    async fn known(&self, jobs: Vec<JobDigest>) -> Result<Vec<Option<Known>>>;

    /// Measured trainings of a workload.
    async fn alike(&self, workload: WorkloadKey, limit: u32) -> Result<Vec<Alike>>;

    /// A sweep's table.
    async fn results(&self, sweep: SweepDigest, epochs: Option<Epochs>)
    -> Result<Vec<CellResults>>;

    /// A job's observations.
    async fn curves(&self, job: JobDigest) -> Result<Vec<CurvePoint>>;

    /// A job's log.
    async fn logs(&self, job: JobDigest, position: u64) -> Result<Vec<LogChunk>>;

    /// Every worker.
    async fn workers(&self) -> Result<Vec<WorkerView>>;
}
