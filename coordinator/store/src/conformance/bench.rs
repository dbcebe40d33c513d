//! The store under test beside the model, one clock, and short words for what
//! scenarios do.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use swath_core::id::{JobDigest, Owner, SweepDigest, WorkerName};
use swath_core::import::{ImportBatch, ImportCounts};
use swath_core::job::StateName;
use swath_core::outcome::Outcome;
use swath_core::policy::Policy;
use swath_core::probe::WorkloadKey;
use swath_core::replication::{Look, Trials, look};
use swath_core::sweep::Measure;
use swath_core::time::Timestamp;
use swath_core::view::{
    Alike, CellResults, CurvePoint, JobDetail, JobView, LogChunk, SweepView, WorkerView,
};

use super::script::{finish, worker_about};
use crate::{
    Ack, Exchange, Exchanged, Finish, Grant, Held, Hello, JobQuery, MemoryStore, Replicated,
    ReplicationDue, Report, Result, Store, StoreError, Submission, Submitted, SweepChange, Ticked,
    Verdict, Welcome, WorkerChange,
};

/// What is read of one job.
#[derive(Debug, PartialEq)]
struct Depth {
    detail: Option<JobDetail>,
    curves: Vec<CurvePoint>,
    logs: Vec<LogChunk>,
}

/// Drives the store under test and the memory model side by side: every reply
/// and, after every step, the state must be the same.
pub struct Bench {
    store: Box<dyn Store>,
    model: MemoryStore,
    policy: Policy,
    /// What the next call is told.
    pub now: Timestamp,
    requests: u64,
    /// The model's jobs as of the last comparison.
    compared: BTreeMap<JobDigest, Depth>,
}

impl Bench {
    /// A bench for a fresh store under these limits.
    pub fn new(store: impl Store, policy: Policy) -> Self {
        Self {
            store: Box::new(store),
            model: MemoryStore::new(policy.clone()),
            policy,
            now: Timestamp::from_ms(1_700_000_000_000),
            requests: 0,
            compared: BTreeMap::new(),
        }
    }

    /// The limits.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Lets time pass.
    pub fn pass(&mut self, by: Duration) {
        self.now = self.now + by;
    }

    /// Lets a millisecond less pass.
    pub fn pass_almost(&mut self, by: Duration) {
        self.pass(by.saturating_sub(Duration::from_millis(1)));
    }

    /// Lets milliseconds pass.
    pub fn pass_ms(&mut self, ms: u64) {
        self.pass(Duration::from_millis(ms));
    }

    /// Asks both and holds the store to the model's reply.
    async fn both<T: Debug + PartialEq>(
        &self,
        what: &str,
        ask: impl AsyncFn(&dyn Store) -> Result<T>,
    ) -> Result<T> {
        let wanted = ask(&self.model).await;
        let got = ask(&*self.store).await;
        match (&got, &wanted) {
            (Ok(got), Ok(wanted)) => assert_eq!(got, wanted, "{what}: store, then model"),
            (Err(got), Err(wanted)) => assert_eq!(
                std::mem::discriminant(got),
                std::mem::discriminant(wanted),
                "{what}: {got:?} instead of {wanted:?}"
            ),
            _ => panic!("{what}: {got:?} instead of {wanted:?}"),
        }
        got
    }

    /// A step that changes something: the state must be the same after it.
    async fn step<T: Debug + PartialEq>(
        &mut self,
        what: &str,
        ask: impl AsyncFn(&dyn Store) -> Result<T>,
    ) -> Result<T> {
        let reply = self.both(what, ask).await;
        self.compare(what, false).await;
        reply
    }

    /// Compares everything that can be read; of each job in depth only where
    /// the model changed since the last time, or `whole`.
    async fn compare(&mut self, after: &str, whole: bool) {
        let checked = self.model.with(|ledger| ledger.check());
        assert_eq!(checked, Ok(()), "the model after {after}");
        let at = format!("a read after {after}");
        let now = self.now;
        let sweeps = self.both(&at, async |store| store.sweeps().await);
        sweeps.await.unwrap();
        let jobs = self.both(&at, async |store| store.jobs(JobQuery::default()).await);
        let jobs = jobs.await.unwrap();
        let failed = self.both(&at, async |store| store.last_failed(None, 2).await);
        failed.await.unwrap();
        let workers = self.both(&at, async |store| store.workers().await);
        workers.await.unwrap();
        let due = self.both(&at, async |store| store.next_due(now).await);
        due.await.unwrap();
        self.due().await;
        let mut changed = whole;
        for job in jobs {
            let job = job.digest;
            let depth = read_in_depth(&self.model, job).await;
            if whole || self.compared.get(&job) != Some(&depth) {
                changed = true;
                let got = read_in_depth(&*self.store, job).await;
                assert_eq!(got, depth, "{at}");
                self.compared.insert(job, depth);
            }
        }
        if changed {
            self.compare_results(&at).await;
        }
    }

    async fn compare_results(&self, at: &str) {
        let sweeps = self.both(at, async |store| store.sweeps().await);
        for sweep in sweeps.await.unwrap() {
            let sweep = sweep.digest;
            let results = self.both(at, async |store| store.results(sweep, 2).await);
            results.await.unwrap();
            let record = self.both(at, async |store| store.replication(sweep).await);
            record.await.unwrap();
            let failed = self.both(at, async |store| store.last_failed(Some(sweep), 2).await);
            failed.await.unwrap();
            // Along each of the ways that a store may go.
            for states in [vec![], vec![StateName::Succeeded], vec![StateName::Leased]] {
                let query = JobQuery {
                    sweep: Some(sweep),
                    states,
                    ..JobQuery::default()
                };
                let jobs = self.both(at, async |store| store.jobs(query.clone()).await);
                jobs.await.unwrap();
            }
        }
    }

    /// Compares everything once more and closes the store.
    pub async fn end(mut self) {
        self.compare("the end", true).await;
        self.store.close().await.unwrap();
    }

    /// [`Store::restart`].
    pub async fn restart(&mut self) {
        let now = self.now;
        let step = self.step("restart", async |store| store.restart(now).await);
        step.await.unwrap();
    }

    /// [`Store::extend_leases`].
    pub async fn extend_leases(&mut self) {
        let now = self.now;
        let step = self.step("extend_leases", async |store| {
            store.extend_leases(now).await
        });
        step.await.unwrap();
    }

    /// [`Store::tick`].
    pub async fn tick(&mut self) -> Ticked {
        let now = self.now;
        let step = self.step("tick", async |store| store.tick(now).await);
        step.await.unwrap()
    }

    /// [`Store::submit`], which may fail.
    pub async fn try_submit(&mut self, submission: &Submission) -> Result<Submitted> {
        let now = self.now;
        let submit = async |store: &dyn Store| store.submit(now, submission.clone()).await;
        self.step("submit", submit).await
    }

    /// [`Store::submit`].
    pub async fn submit(&mut self, submission: &Submission) -> Submitted {
        self.try_submit(submission).await.unwrap()
    }

    /// [`Store::hello`].
    pub async fn greet(&mut self, hello: Hello) -> Welcome {
        let now = self.now;
        let step = self.step("hello", async |store| store.hello(now, hello.clone()).await);
        step.await.unwrap()
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
        };
        let welcome = self.greet(hello).await;
        let session = welcome.session;
        (Owner { worker, session }, welcome)
    }

    /// [`Store::exchange`].
    pub async fn exchange(&mut self, exchange: Exchange) -> Result<Exchanged> {
        let now = self.now;
        let ask = async |store: &dyn Store| store.exchange(now, exchange.clone()).await;
        self.step("exchange", ask).await
    }

    /// An exchange under the next request id.
    pub async fn trade(
        &mut self,
        owner: &Owner,
        finishes: Vec<Finish>,
        want: u32,
    ) -> Result<Exchanged> {
        self.requests += 1;
        let exchange = Exchange {
            owner: owner.clone(),
            request: self.requests,
            finishes,
            want,
        };
        self.exchange(exchange).await
    }

    /// Asks for jobs under the next request id.
    pub async fn take(&mut self, owner: &Owner, want: u32) -> Vec<Grant> {
        self.trade(owner, Vec::new(), want).await.unwrap().grants
    }

    /// Asks for one job, which must be there.
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

    /// [`Store::heartbeat`].
    pub async fn heartbeat(&mut self, owner: &Owner, held: &[Held]) -> Result<Vec<Verdict>> {
        let now = self.now;
        let ask =
            async |store: &dyn Store| store.heartbeat(now, owner.clone(), held.to_vec()).await;
        self.step("heartbeat", ask).await
    }

    /// A heartbeat of the newest session.
    pub async fn beat(&mut self, owner: &Owner, held: &[Held]) -> Vec<Verdict> {
        self.heartbeat(owner, held).await.unwrap()
    }

    /// [`Store::observe`].
    pub async fn observe(&mut self, owner: &Owner, reports: &[Report]) -> Result<Vec<Verdict>> {
        let now = self.now;
        let ask =
            async |store: &dyn Store| store.observe(now, owner.clone(), reports.to_vec()).await;
        self.step("observe", ask).await
    }

    /// [`Store::release`].
    pub async fn release(&mut self, owner: &Owner, held: &[Held]) -> Result<()> {
        let now = self.now;
        let ask = async |store: &dyn Store| store.release(now, owner.clone(), held.to_vec()).await;
        self.step("release", ask).await
    }

    /// [`Store::change_sweep`].
    pub async fn change_sweep(&mut self, sweep: SweepDigest, change: SweepChange) -> Result<()> {
        let now = self.now;
        let ask = async |store: &dyn Store| store.change_sweep(now, sweep, change.clone()).await;
        self.step("change_sweep", ask).await
    }

    /// [`Store::import`].
    pub async fn import(&mut self, batch: ImportBatch) -> Result<ImportCounts> {
        let now = self.now;
        let ask = async |store: &dyn Store| store.import(now, batch.clone()).await;
        let reply = self.step("import", ask).await;
        self.compare_results("a read after import").await;
        reply
    }

    /// [`Store::replication_due`].
    pub async fn due(&self) -> Vec<ReplicationDue> {
        let due = self.both("due", async |store| store.replication_due().await);
        due.await.unwrap()
    }

    /// What a look at the results of a sweep finds.
    pub async fn look(&self, due: ReplicationDue) -> Look {
        let results = self.results(due.sweep).await;
        let trials = results.iter().map(|it| Trials::new(it, Measure::Last));
        let trials: Vec<Trials> = trials.collect::<Result<_, _>>().unwrap();
        look(due.bounds, &trials)
    }

    /// [`Store::replicate`].
    pub async fn replicate(&mut self, due: ReplicationDue, look: &Look) -> Result<Replicated> {
        let now = self.now;
        let ask = async |store: &dyn Store| store.replicate(now, due, look.clone()).await;
        let reply = self.step("replicate", ask).await;
        self.compare_results("a read after replicate").await;
        reply
    }

    /// [`Store::results`] without the last epochs.
    pub async fn results(&self, sweep: SweepDigest) -> Vec<CellResults> {
        let ask = async |store: &dyn Store| store.results(sweep, 0).await;
        self.both("results", ask).await.unwrap()
    }

    /// [`Store::cancel_jobs`].
    pub async fn cancel_jobs(&mut self, jobs: &[JobDigest]) -> u64 {
        let now = self.now;
        let step = self.step("cancel_jobs", async |store| {
            store.cancel_jobs(now, jobs.to_vec()).await
        });
        step.await.unwrap()
    }

    /// [`Store::retry_jobs`].
    pub async fn retry_jobs(&mut self, jobs: &[JobDigest]) -> u64 {
        let now = self.now;
        let step = self.step("retry_jobs", async |store| {
            store.retry_jobs(now, jobs.to_vec()).await
        });
        step.await.unwrap()
    }

    /// [`Store::change_worker`].
    pub async fn change_worker(&mut self, worker: &WorkerName, change: WorkerChange) -> Result<()> {
        let now = self.now;
        let ask = async |store: &dyn Store| {
            let change = change.clone();
            store.change_worker(now, worker.clone(), change).await
        };
        self.step("change_worker", ask).await
    }

    /// Something read, the same from both.
    pub async fn read<T: Debug + PartialEq>(
        &self,
        ask: impl AsyncFn(&dyn Store) -> Result<T>,
    ) -> T {
        self.both("a read", ask).await.unwrap()
    }

    /// Something read that is not there, for both.
    pub async fn absent<T: Debug + PartialEq>(&self, ask: impl AsyncFn(&dyn Store) -> Result<T>) {
        let reply = self.both("a read", ask).await;
        assert!(matches!(reply, Err(StoreError::NotFound(_))), "{reply:?}");
    }

    /// A job that exists.
    pub async fn job(&self, job: JobDigest) -> JobDetail {
        let detail = self.read(async |store| store.job(job).await).await;
        detail.expect("the job exists")
    }

    /// Where a job is.
    pub async fn state(&self, job: JobDigest) -> StateName {
        self.job(job).await.job.state
    }

    /// The jobs of a query.
    pub async fn jobs(&self, query: JobQuery) -> Vec<JobView> {
        let ask = async |store: &dyn Store| store.jobs(query.clone()).await;
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

    /// Lets the leases that nobody extends pass: they are suspect then.
    pub async fn expire(&mut self) -> Ticked {
        self.pass(self.policy.ttl());
        self.tick().await
    }

    /// Lets the grace of suspect attempts pass.
    pub async fn give_up(&mut self) -> Ticked {
        self.pass_ms(self.policy.grace_max_ms);
        self.tick().await
    }
}

async fn read_in_depth(store: &dyn Store, job: JobDigest) -> Depth {
    Depth {
        detail: store.job(job).await.unwrap(),
        curves: store.curves(job).await.unwrap(),
        logs: store.logs(job, 0).await.unwrap(),
    }
}
