//! Short words of a bench for what scenarios do and read.

use std::fmt::Debug;

use swath_model::id::{JobDigest, Owner, SweepDigest, WorkerName};
use swath_model::import::{ImportBatch, ImportCounts};
use swath_model::job::StateName;
use swath_model::offer::Free;
use swath_model::outcome::Outcome;
use swath_model::probe::WorkloadKey;
use swath_model::steering::Steering;
use swath_model::view::{Alike, CellResults, JobDetail, JobView, SweepView, WorkerView};
use swath_results::steering::steer;
use swath_results::summary::{Objective, Quantity};
use swath_sweep::Measure;

use crate::bench::Bench;
use crate::call::Call;
use crate::script::{finish, worker_about};
use crate::subject::Subject;
use crate::{
    Ack, Exchange, Exchanged, Finish, Grant, Held, Hello, JobQuery, Report, Result, Steered,
    SteeringDue, StoreError, Submission, Submitted, SweepChange, Ticked, Verdict, Welcome,
    WorkerChange,
};

impl Bench {
    /// [`Subject::restart`].
    pub async fn restart(&mut self) {
        self.step::<()>(Call::Restart).await.unwrap();
    }

    /// [`Subject::extend_leases`].
    pub async fn extend_leases(&mut self) {
        self.step::<()>(Call::Extend).await.unwrap();
    }

    /// [`Subject::tick`].
    pub async fn tick(&mut self) -> Ticked {
        self.step(Call::Tick).await.unwrap()
    }

    /// [`Subject::submit`], which may fail.
    pub async fn try_submit(&mut self, submission: &Submission) -> Result<Submitted> {
        self.step(Call::Submit(submission.clone())).await
    }

    /// [`Subject::submit`].
    pub async fn submit(&mut self, submission: &Submission) -> Submitted {
        self.try_submit(submission).await.unwrap()
    }

    /// [`Subject::submit_in_parts`].
    pub async fn submit_in_parts(&mut self, submission: &Submission, jobs_max: usize) -> Submitted {
        let call = Call::SubmitInParts(submission.clone(), jobs_max);
        self.step(call).await.unwrap()
    }

    /// [`Subject::hello`].
    pub async fn greet(&mut self, hello: Hello) -> Welcome {
        self.step(Call::Hello(hello)).await.unwrap()
    }

    /// [`Subject::hello`], which may fail.
    pub async fn try_greet(&mut self, hello: Hello) -> Result<Welcome> {
        self.step(Call::Hello(hello)).await
    }

    /// A worker's hello with nothing in its hands.
    pub async fn hello(&mut self, worker: &str) -> Owner {
        self.hello_holding(worker, &[]).await.0
    }

    /// A worker's hello with attempts in its hands.
    pub async fn hello_holding(&mut self, worker: &str, held: &[Held]) -> (Owner, Welcome) {
        let worker: WorkerName = worker.parse().unwrap();
        let hello = Hello {
            worker: worker.clone(),
            about: worker_about(&[]),
            held: held.to_vec(),
            takes_name: false,
        };
        let welcome = self.greet(hello).await;
        let session = welcome.session;
        (Owner { worker, session }, welcome)
    }

    /// [`Subject::exchange`].
    pub async fn exchange(&mut self, exchange: Exchange) -> Result<Exchanged> {
        self.step(Call::Exchange(exchange)).await
    }

    /// An exchange under the next request id, which is yet to be made.
    pub fn asking(&mut self, owner: &Owner, finishes: Vec<Finish>, want: u32) -> Exchange {
        Exchange {
            owner: owner.clone(),
            request: self.next_request(),
            finishes,
            free: Free::cpu(want),
        }
    }

    /// An exchange under the next request id.
    pub async fn trade(
        &mut self,
        owner: &Owner,
        finishes: Vec<Finish>,
        want: u32,
    ) -> Result<Exchanged> {
        let exchange = self.asking(owner, finishes, want);
        self.exchange(exchange).await
    }

    /// Asks for jobs under the next request id.
    pub async fn take(&mut self, owner: &Owner, want: u32) -> Vec<Grant> {
        self.trade(owner, Vec::new(), want).await.unwrap().grants
    }

    /// Asks for one job; there must be one.
    pub async fn take_one(&mut self, owner: &Owner) -> Held {
        let grants = self.take(owner, 1).await;
        assert_eq!(grants.len(), 1, "a job is there to take");
        grants[0].held
    }

    /// Reports one outcome.
    pub async fn finish(&mut self, owner: &Owner, held: Held, outcome: Outcome) -> Ack {
        let exchanged = self.trade(owner, vec![finish(held, outcome)], 0).await;
        let acks = exchanged.unwrap().acks;
        assert_eq!(acks.len(), 1);
        acks[0]
    }

    /// [`Subject::heartbeat`].
    pub async fn heartbeat(&mut self, owner: &Owner, held: &[Held]) -> Result<Vec<Verdict>> {
        let call = Call::Heartbeat(owner.clone(), held.to_vec());
        self.step(call).await
    }

    /// A heartbeat of the newest session.
    pub async fn beat(&mut self, owner: &Owner, held: &[Held]) -> Vec<Verdict> {
        self.heartbeat(owner, held).await.unwrap()
    }

    /// [`Subject::observe`].
    pub async fn observe(&mut self, owner: &Owner, reports: &[Report]) -> Result<Vec<Verdict>> {
        let call = Call::Observe(owner.clone(), reports.to_vec());
        self.step(call).await
    }

    /// [`Subject::release`].
    pub async fn release(&mut self, owner: &Owner, held: &[Held]) -> Result<()> {
        let releases = held.iter().copied().map(Into::into).collect();
        let call = Call::Release(owner.clone(), releases);
        self.step(call).await
    }

    /// [`Subject::goodbye`].
    pub async fn goodbye(&mut self, owner: &Owner) -> Result<u64> {
        self.step(Call::Goodbye(owner.clone())).await
    }

    /// [`Subject::change_sweep`].
    pub async fn change_sweep(&mut self, sweep: SweepDigest, change: SweepChange) -> Result<()> {
        self.step(Call::ChangeSweep(sweep, change)).await
    }

    /// [`Subject::delete`].
    pub async fn delete(&mut self, sweep: SweepDigest, cancel: bool) -> Result<u64> {
        self.step(Call::Delete(sweep, cancel)).await
    }

    /// [`Subject::import`].
    pub async fn import(&mut self, batch: ImportBatch) -> Result<ImportCounts> {
        let reply = self.step(Call::Import(batch)).await;
        self.compare_results("a read after import").await;
        reply
    }

    /// [`Subject::steering_due`].
    pub async fn due(&self) -> Vec<SteeringDue> {
        let due = self.both("due", async |store| store.steering_due().await);
        due.await.unwrap()
    }

    /// What the rule says of the results of a sweep.
    pub async fn look(&self, due: SteeringDue) -> Vec<Steering> {
        let results = self.results(due.sweep).await;
        let measured = Quantity::Measured(Objective::new("test_error", Measure::Last));
        steer(due.rule, &measured, &results).unwrap()
    }

    /// [`Subject::steer`].
    pub async fn steer(&mut self, due: SteeringDue, said: &[Steering]) -> Result<Steered> {
        let reply = self.step(Call::Steer(due, said.to_vec())).await;
        self.compare_results("a read after steer").await;
        reply
    }

    /// [`Subject::results`] without the last epochs.
    pub async fn results(&self, sweep: SweepDigest) -> Vec<CellResults> {
        let ask = async |store: &dyn Subject| store.results(sweep, None).await;
        self.both("results", ask).await.unwrap()
    }

    /// [`Subject::cancel_jobs`].
    pub async fn cancel_jobs(&mut self, jobs: &[JobDigest]) -> u64 {
        self.step(Call::CancelJobs(jobs.to_vec())).await.unwrap()
    }

    /// [`Subject::retry_jobs`].
    pub async fn retry_jobs(&mut self, jobs: &[JobDigest]) -> u64 {
        self.step(Call::RetryJobs(jobs.to_vec())).await.unwrap()
    }

    /// [`Subject::forget_jobs`].
    pub async fn forget_jobs(&mut self, jobs: &[JobDigest]) -> u64 {
        self.step(Call::ForgetJobs(jobs.to_vec())).await.unwrap()
    }

    /// [`Subject::change_worker`].
    pub async fn change_worker(&mut self, worker: &WorkerName, change: WorkerChange) -> Result<()> {
        self.step(Call::ChangeWorker(worker.clone(), change)).await
    }

    /// A read, which must give the same from both.
    pub async fn read<T: Debug + PartialEq>(
        &self,
        ask: impl AsyncFn(&dyn Subject) -> Result<T>,
    ) -> T {
        self.both("a read", ask).await.unwrap()
    }

    /// A read of something that exists in neither.
    pub async fn absent<T: Debug + PartialEq>(&self, ask: impl AsyncFn(&dyn Subject) -> Result<T>) {
        let reply = self.both("a read", ask).await;
        assert!(matches!(reply, Err(StoreError::NotFound(_))), "{reply:?}");
    }

    /// A job that exists.
    pub async fn job(&self, job: JobDigest) -> JobDetail {
        let detail = self.read(async |store| store.job(job).await).await;
        detail.expect("the job exists")
    }

    /// The state of a job.
    pub async fn state(&self, job: JobDigest) -> StateName {
        self.job(job).await.job.state
    }

    /// The jobs of a query.
    pub async fn jobs(&self, query: JobQuery) -> Vec<JobView> {
        let ask = async |store: &dyn Subject| store.jobs(query.clone()).await;
        self.read(ask).await
    }

    /// Measured trainings of a workload.
    pub async fn alike(&self, workload: WorkloadKey, limit: u32) -> Vec<Alike> {
        self.read(async |store| store.alike(workload, limit).await)
            .await
    }

    /// A sweep that exists.
    pub async fn sweep(&self, sweep: SweepDigest) -> SweepView {
        let sweeps = self.read(async |store| store.sweeps().await).await;
        let found = sweeps.into_iter().find(|view| view.digest == sweep);
        found.expect("the sweep exists")
    }

    /// A worker that exists.
    pub async fn worker(&self, worker: &WorkerName) -> WorkerView {
        let workers = self.read(async |store| store.workers().await).await;
        let found = workers.into_iter().find(|view| view.name == *worker);
        found.expect("the worker exists")
    }

    /// Lets the leases that nobody extends pass, so that they are suspect.
    pub async fn expire(&mut self) -> Ticked {
        self.pass(self.policy().ttl());
        self.tick().await
    }

    /// Lets the grace of suspect attempts pass.
    pub async fn give_up(&mut self) -> Ticked {
        self.pass_ms(self.policy().grace_max_ms);
        self.tick().await
    }
}
