//! The engine over the store under test beside the model, with one clock and
//! short words for what scenarios do.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join_all;
use swath_model::id::JobDigest;
use swath_model::job::StateName;
use swath_model::policy::Policy;
use swath_model::time::Timestamp;
use swath_model::view::{CurvePoint, JobDetail, Kept, LogChunk};

use crate::call::{Call, Reply, Said};
use crate::copying;
use crate::ledger::Ledger;
use crate::oracle::Oracle;
use crate::script::last;
use crate::subject::Subject;
use crate::tested::Tested;
use crate::watched::{Watch, Watched, When};
use crate::{JobQuery, Result, SteeringDue, Store};

/// What the bench reads of one job.
#[derive(Debug, PartialEq)]
struct Depth {
    detail: Option<JobDetail>,
    curves: Vec<CurvePoint>,
    logs: Vec<LogChunk>,
}

/// What an engine can be asked and a store does not know.
#[derive(Debug, PartialEq)]
struct Asked {
    due: Vec<SteeringDue>,
    next_due: Option<Timestamp>,
    /// For each job, by order of submission, how many go before it.
    ahead: Vec<u64>,
    kept: Vec<Kept>,
}

/// Drives the engine over the store under test and the model side by side:
/// every reply and, after every step, the state must be the same.
pub struct Bench {
    pub(crate) tested: Tested,
    pub(crate) oracle: Oracle,
    pub(crate) watch: Arc<Watch>,
    policy: Policy,
    /// The time that the next call is made at.
    pub now: Timestamp,
    requests: u64,
    /// The model's jobs as of the last comparison.
    compared: BTreeMap<JobDigest, Depth>,
    pub(crate) crashing: bool,
}

impl Bench {
    /// A bench for a fresh store under these limits, with an engine that crashes
    /// after every step if `crashing`.
    pub async fn start(store: impl Store, policy: Policy, crashing: bool) -> Self {
        let (watched, watch) = Watched::new(store);
        Self {
            tested: Tested::start(Arc::new(watched), policy.clone()).await,
            oracle: Oracle::new(policy.clone()),
            watch,
            policy,
            now: Timestamp::from_ms(1_700_000_000_000),
            requests: 0,
            compared: BTreeMap::new(),
            crashing,
        }
    }

    /// The limits of this bench.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The store under test.
    pub fn store(&self) -> &dyn Store {
        self.tested.store()
    }

    /// The engine under test.
    pub const fn tested(&self) -> &Tested {
        &self.tested
    }

    /// How many commits there were so far.
    pub fn commits(&self) -> u64 {
        self.watch.commits()
    }

    /// The id of the next request.
    pub(crate) const fn next_request(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    /// Lets time pass.
    pub fn pass(&mut self, by: Duration) {
        self.now = self.now + by;
    }

    /// Lets a millisecond less than `by` pass.
    pub fn pass_almost(&mut self, by: Duration) {
        self.pass(by.saturating_sub(Duration::from_millis(1)));
    }

    /// Lets milliseconds pass.
    pub fn pass_ms(&mut self, ms: u64) {
        self.pass(Duration::from_millis(ms));
    }

    /// Drops the engine without warning and starts another: nothing may be
    /// different.
    pub async fn crash(&mut self) {
        let before = self.asked(&self.tested).await;
        self.tested.crash().await;
        let after = self.asked(&self.tested).await;
        // What hosts lack is found again.
        if !self.oracle.with(Ledger::forget_lacks) {
            assert_eq!(after, before, "new, then old");
        }
        self.compare("a crash", false).await;
    }

    /// Starts another engine in place of one that cannot be asked any more.
    pub async fn start_again(&mut self) {
        self.tested.crash().await;
        self.oracle.with(Ledger::forget_lacks);
        self.compare("a new start", false).await;
    }

    /// Makes the engine fail its next commit.
    pub fn fail_next(&self, when: When) {
        self.watch.fail_next(when);
    }

    /// Asks both, and checks that the engine replies as the model does.
    pub(crate) async fn both<T: Debug + PartialEq>(
        &self,
        what: &str,
        ask: impl AsyncFn(&dyn Subject) -> Result<T>,
    ) -> Result<T> {
        let wanted = ask(&self.oracle).await;
        let got = ask(&self.tested).await;
        same(what, &got, &wanted);
        got
    }

    /// Makes one call to both; the state must be the same after it.
    pub(crate) async fn step<T: Said>(&mut self, call: Call) -> Result<T> {
        let reply = self.together(vec![call]).await.pop();
        reply.expect("a reply").map(T::of)
    }

    /// Makes several calls while the engine is busy, so that it takes them all
    /// at once, in this order.
    ///
    /// Where a commit was set to fail, all calls must have failed, and what
    /// they did is either stored or not. Such calls must not include one that
    /// the engine does not commit together with others.
    pub async fn together(&mut self, calls: Vec<Call>) -> Vec<Result<Reply>> {
        let now = self.now;
        let what = format!("{calls:?}");
        let got = match &calls[..] {
            [call] => vec![call.clone().make(&self.tested, now).await],
            _ => self.at_once(&calls).await,
        };
        let failed = self.watch.failed();
        for (call, got) in calls.into_iter().zip(&got) {
            if failed.is_some() {
                assert!(got.is_err(), "{got:?} of a commit that failed: {what}");
            }
            if failed != Some(When::Before) {
                let wanted = call.make(&self.oracle, now).await;
                if failed.is_none() {
                    same(&what, got, &wanted);
                }
            }
        }
        if failed.is_some() {
            // The engine has loaded everything again.
            self.oracle.with(Ledger::forget_lacks);
        }
        self.compare(&what, false).await;
        if self.crashing {
            self.crash().await;
        }
        got
    }

    async fn at_once(&self, calls: &[Call]) -> Vec<Result<Reply>> {
        let now = self.now;
        // It asks the store for a job that does not exist, and waits there.
        let busy = Call::RetryJobs(vec![JobDigest::from_bytes([0xee; 32])]);
        self.watch.hold_next_load();
        let mut busy = Box::pin(busy.make(&self.tested, now));
        tokio::select! {
            biased;
            done = &mut busy => panic!("the engine did not ask for an unknown job: {done:?}"),
            () = self.watch.held() => {}
        }
        let mut asked = Vec::with_capacity(calls.len());
        for call in calls {
            let mut call_made = Box::pin(call.clone().make(&self.tested, now));
            poll_once(call_made.as_mut()).await;
            if matches!(call, Call::Submit(_)) {
                // The job is read in the one blocking thread before the commit
                // is sent.
                tokio::task::spawn_blocking(|| ()).await.unwrap();
                poll_once(call_made.as_mut()).await;
            }
            asked.push(call_made);
        }
        self.watch.go_on();
        busy.await.unwrap();
        join_all(asked).await
    }

    /// Makes a call whose caller goes away as soon as it has made it. The call
    /// counts all the same.
    pub async fn abandon(&mut self, call: Call) {
        let now = self.now;
        poll_once(pin!(call.clone().make(&self.tested, now))).await;
        let _unheard = call.make(&self.oracle, now).await;
        // The engine takes calls in their order.
        let _in_order = self.due().await;
        self.compare("a call whose caller went away", false).await;
    }

    async fn asked(&self, subject: &dyn Subject) -> Asked {
        let jobs = self.oracle.jobs(JobQuery::default()).await.unwrap();
        let mut ahead = Vec::with_capacity(jobs.len());
        for job in jobs {
            ahead.push(subject.ahead(job.digest).await.unwrap());
        }
        Asked {
            due: subject.steering_due().await.unwrap(),
            next_due: subject.next_due(self.now).await.unwrap(),
            ahead,
            kept: subject.reserved(self.now).await.unwrap(),
        }
    }

    /// Everything that happened, as the store under test tells it.
    pub(crate) async fn events(&self) -> Vec<swath_model::event::Event> {
        let store = self.tested.engine().store();
        store.events(0, u32::MAX).await.unwrap()
    }

    /// The room that is kept for jobs that do not fit.
    pub(crate) async fn reserved(&self) -> Vec<Kept> {
        let now = self.now;
        let kept = self.both("room", async |store| store.reserved(now).await);
        kept.await.unwrap()
    }

    /// Compares everything that can be read. A job is compared in depth only
    /// where the model changed since the last time, or if `whole`.
    pub(crate) async fn compare(&mut self, after: &str, whole: bool) {
        let checked = self.oracle.with(|ledger| ledger.check());
        assert_eq!(checked, Ok(()), "the model after {after}");
        let checked = self.tested.engine().ledger_check().await;
        assert_eq!(checked, Ok(()), "the engine after {after}");
        let differences = self.watch.differences();
        assert!(differences.is_empty(), "after {after}: {}", differences[0]);
        let at = format!("a read after {after}");
        let sweeps = self.both(&at, async |store| store.sweeps().await);
        sweeps.await.unwrap();
        let jobs = self.both(&at, async |store| store.jobs(JobQuery::default()).await);
        let jobs = jobs.await.unwrap();
        let failed = self.both(&at, async |store| store.last_failed(None, 2).await);
        failed.await.unwrap();
        let credentials = self.both(&at, async |store| store.credentials().await);
        credentials.await.unwrap();
        let workers = self.both(&at, async |store| store.workers().await);
        workers.await.unwrap();
        let asked = self.asked(&self.tested).await;
        assert_eq!(asked, self.asked(&self.oracle).await, "{at}");
        let mut changed = whole;
        for job in jobs {
            let job = job.digest;
            let depth = read_in_depth(&self.oracle, job).await;
            if whole || self.compared.get(&job) != Some(&depth) {
                changed = true;
                let got = read_in_depth(&self.tested, job).await;
                assert_eq!(got, depth, "{at}");
                self.compared.insert(job, depth);
            }
        }
        if changed {
            self.compare_results(&at).await;
        }
    }

    pub(crate) async fn compare_results(&self, at: &str) {
        let sweeps = self.both(at, async |store| store.sweeps().await);
        for sweep in sweeps.await.unwrap() {
            let sweep = sweep.digest;
            let results = self.both(at, async |store| {
                store.results(sweep, Some(last("test_error", 2))).await
            });
            results.await.unwrap();
            let record = self.both(at, async |store| store.replication(sweep).await);
            record.await.unwrap();
            let failed = self.both(at, async |store| store.last_failed(Some(sweep), 2).await);
            failed.await.unwrap();
            // In each of the ways in which a store may read them.
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
        self.crash().await;
        self.tested.stop().await;
        copying::verify_and_copy(self.store(), &self.policy).await;
        assert_eq!(self.watch.differences(), [""; 0]);
        self.store().close().await.unwrap();
        let after = self.store().sweeps().await;
        assert!(after.is_err(), "{after:?} from a closed store");
    }
}

/// Checks that the engine's reply is that of the model.
pub(crate) fn same<T: Debug + PartialEq>(what: &str, got: &Result<T>, wanted: &Result<T>) {
    match (got, wanted) {
        (Ok(got), Ok(wanted)) => assert_eq!(got, wanted, "{what}: engine, then model"),
        (Err(got), Err(wanted)) => assert_eq!(
            std::mem::discriminant(got),
            std::mem::discriminant(wanted),
            "{what}: {got:?} instead of {wanted:?}"
        ),
        _ => panic!("{what}: {got:?} instead of {wanted:?}"),
    }
}

/// Polls a call once, which sends most calls to the engine.
pub(crate) async fn poll_once<T>(mut call: Pin<&mut impl Future<Output = T>>) {
    let polled = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
    assert!(polled.is_pending(), "answered by an engine that is busy");
}

async fn read_in_depth(store: &dyn Subject, job: JobDigest) -> Depth {
    Depth {
        detail: store.job(job).await.unwrap(),
        curves: store.curves(job).await.unwrap(),
        logs: store.logs(job, 0).await.unwrap(),
    }
}
