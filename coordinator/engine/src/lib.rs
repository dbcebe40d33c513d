//! The engine: decides in memory what becomes of sweeps, jobs and workers, and
//! has a store keep it.
//!
//! [`ledger`] is pure: it makes every decision, with the time as an argument.
//! [`Engine`] runs it: one task takes all waiting calls, loads what they name
//! and what is not held, asks the ledger, commits once, and answers after the
//! commit. When a commit fails, the memory may be ahead of the store: it is
//! thrown away and loaded again, as at a start.

mod by_hand;
mod call;
mod journal;
pub mod ledger;
mod operator;
mod parked;
mod parts;
mod specs;
mod task;
mod under_way;
pub mod warmth;
mod write_out;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use swath_model::id::{JobDigest, Owner, SweepDigest, WorkerName};
use swath_model::import::ImportBatch;
use swath_model::import::ImportCounts;
use swath_model::message::{
    Exchange, Exchanged, Finish, Held, Hello, Release, Report, Steered, SteeringDue, Submission,
    Submitted, Ticked, Verdict, Welcome, WorkerChange,
};
use swath_model::needs::{Lack, Needs};
use swath_model::policy::Policy;
use swath_model::steering::Steering;
use swath_model::time::Timestamp;
use swath_model::view::Kept;
use swath_store::{Result, Store, StoreError};
use tokio::sync::{mpsc, oneshot, watch};

pub use self::by_hand::ByHand;
use self::call::{Call, Extra, Extras, Op, closed};
use self::ledger::{Ledger, Prepared, WRITTEN_AT_ONCE, Wanted};
use self::parked::Waiting;
use self::parts::Staging;
use self::specs::Specs;
use self::task::{Message, Task};
use self::under_way::UnderWay;

/// How many calls may wait for the engine before their callers have to wait
/// too.
const QUEUE: usize = 4096;

/// Access to the engine. Clones access the same engine.
///
/// `now` is the coordinator's clock, which is monotonic while the coordinator
/// runs; worker clocks are not used. Every call returns only after its changes
/// are durable. A call is carried out even if its caller goes away.
///
/// # Sessions
///
/// Session numbers grow over the whole store, so the newest session of a
/// worker is greater than any it had. A session is *newest* when it equals the
/// worker's, *older* when it is below it, and was *never given* when the worker
/// is unknown or the number is above. [`Engine::heartbeat`], [`Engine::observe`],
/// [`Engine::release`] and [`Engine::goodbye`] refuse all but the newest with
/// [`StoreError::StaleSession`]; [`Engine::exchange`] says what it does. Each of
/// them sets the worker's `seen_at` when the session is the newest.
///
/// # Attempts
///
/// An attempt *counts* while [`swath_model::job::Job::holds`] says so: it is
/// the newest, it has not ended, and its job is not final; also when its lease
/// has passed and the job waits again. A named job or attempt that does not
/// exist is stale, like any other report that comes too late.
///
/// # Recorded faults
///
/// A job remembers kind, headline and message of the last fault recorded for
/// it, of any kind. A measurement clears it, and so does everything that makes
/// the job start over: a retry, a want that finds it cancelled, or that its
/// outcome is forgotten.
#[derive(Clone)]
pub struct Engine {
    calls: mpsc::Sender<Message>,
    store: Arc<dyn Store>,
    specs: Arc<Specs>,
    waits: Arc<AtomicU64>,
    /// The sweep that is stored in parts.
    staging: Arc<Staging>,
    role: watch::Receiver<Role>,
    told: watch::Receiver<u64>,
    under_way: Arc<UnderWay>,
}

/// Whether an engine may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It leads.
    Leads,
    /// Another one leads, or none does.
    StandsBy {
        /// The URL of the one that leads.
        leader: Option<String>,
    },
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

impl Engine {
    /// Leads the store, loads what is open, and starts the engine's task.
    /// Others find this coordinator at `address`.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] while somebody else leads, and whatever keeps the
    /// store from being read.
    pub async fn start(store: Arc<dyn Store>, policy: Policy, address: &str) -> Result<Self> {
        let mut task = Task::new(Arc::clone(&store), policy, address);
        task.lead().await?;
        Ok(Self::spawn(task, store))
    }

    /// Like [`Engine::start`], but stands by while somebody else leads, and
    /// leads as soon as nobody does.
    ///
    /// # Errors
    ///
    /// Whatever keeps the store from being read.
    pub async fn join(store: Arc<dyn Store>, policy: Policy, address: &str) -> Result<Self> {
        let task = Self::joined(Arc::clone(&store), policy, address).await?;
        Ok(Self::spawn(task, store))
    }

    /// Like [`Engine::join`], but nothing happens by itself: calls wait for
    /// [`ByHand::turn`]. No runtime is needed, except for [`Engine::submit`].
    ///
    /// # Errors
    ///
    /// Whatever keeps the store from being read.
    pub async fn by_hand(
        store: Arc<dyn Store>,
        policy: Policy,
        address: &str,
    ) -> Result<(Self, ByHand)> {
        let task = Self::joined(Arc::clone(&store), policy, address).await?;
        let (engine, waiting) = Self::before(&task, store);
        Ok((engine, ByHand::new(task, waiting)))
    }

    async fn joined(store: Arc<dyn Store>, policy: Policy, address: &str) -> Result<Task> {
        let mut task = Task::new(store, policy, address);
        match task.lead().await {
            Ok(()) => {}
            Err(StoreError::InUse(_)) => task.stand_by().await,
            Err(error) => return Err(error),
        }
        Ok(task)
    }

    fn spawn(task: Task, store: Arc<dyn Store>) -> Self {
        let (engine, waiting) = Self::before(&task, store);
        tokio::spawn(task.run(waiting));
        engine
    }

    /// Access to this task, and the end of its channel.
    fn before(task: &Task, store: Arc<dyn Store>) -> (Self, mpsc::Receiver<Message>) {
        let (calls, waiting) = mpsc::channel(QUEUE);
        let engine = Self {
            calls,
            store,
            specs: Arc::new(Specs::default()),
            waits: Arc::new(AtomicU64::new(0)),
            staging: Arc::default(),
            role: task.role(),
            told: task.told(),
            under_way: task.under_way(),
        };
        (engine, waiting)
    }

    /// Whether this engine leads; the receiver sees every change.
    pub fn role(&self) -> watch::Receiver<Role> {
        self.role.clone()
    }

    /// The number of the newest event that this engine has committed, or found
    /// when it began to lead.
    pub fn told(&self) -> watch::Receiver<u64> {
        self.told.clone()
    }

    /// Whether it leads now.
    pub fn leads(&self) -> bool {
        *self.role.borrow() == Role::Leads
    }

    /// The store, for reads.
    pub const fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Answers the calls made so far, and ends. The store stays open.
    pub async fn stop(&self) {
        let (reply, ended) = oneshot::channel();
        if self.calls.send(Message::Stop(reply)).await.is_ok() {
            // An error means that it has ended already.
            let _ended = ended.await;
        }
    }

    async fn run<T, F>(&self, now: Option<Timestamp>, wanted: Wanted, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Ledger, Timestamp) -> Result<T> + Send + Sync + 'static,
    {
        let work = |ledger: &mut Ledger, now, _: Extras| work(ledger, now);
        self.run_with(now, wanted, Extra::Nothing, work).await
    }

    async fn run_with<T, F>(
        &self,
        now: Option<Timestamp>,
        wanted: Wanted,
        extra: Extra,
        work: F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Ledger, Timestamp, Extras) -> Result<T> + Send + Sync + 'static,
    {
        let answered = self.ask(now, wanted, extra, work).await;
        answered.unwrap_or_else(|| Err(closed().into()))
    }

    /// What the task answers; none after it has ended.
    async fn ask<T, F>(
        &self,
        now: Option<Timestamp>,
        wanted: Wanted,
        extra: Extra,
        work: F,
    ) -> Option<Result<T>>
    where
        T: Send + 'static,
        F: FnOnce(&mut Ledger, Timestamp, Extras) -> Result<T> + Send + Sync + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let call: Box<dyn Call> = Box::new(Op {
            now,
            wanted,
            extra,
            work,
            reply,
        });
        self.calls.send(Message::Call(call)).await.ok()?;
        answer.await.ok()
    }

    /// Whether the task that decides still takes calls. It waits for its turn like every
    /// call, so it does not resolve while the task is stuck; what the store says does not
    /// matter, because a store that is away may come back.
    pub async fn answers(&self) -> bool {
        let nothing = |_: &mut Ledger, _, _: Extras| Ok(());
        let asked = self.ask(None, Wanted::Nothing, Extra::Nothing, nothing);
        asked.await.is_some()
    }

    /// The coordinator starts: every open lease lives for at least another ttl
    /// + grace from now.
    pub async fn restart(&self, now: Timestamp) -> Result<()> {
        let work = |ledger: &mut Ledger, now| {
            ledger.restart(now);
            Ok(())
        };
        self.run(Some(now), Wanted::Nothing, work).await
    }

    /// Stores a sweep with its cells and the jobs that do not exist yet, all or
    /// nothing. A digest that exists already changes nothing, except that a
    /// cancelled sweep becomes live again, unpaused, and that a different
    /// priority is taken over. Its name means it from then on, and it gets the
    /// tags in addition to its own.
    ///
    /// A new sweep is the next version under its name.
    ///
    /// New jobs come in the order of the cells, and within a cell in the order
    /// of the replicates; this is the order of submission. A new sweep, or one
    /// that becomes live again, wants all of its jobs: those that exist get
    /// [`swath_model::job::Event::Want`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] when a cell's spec is not a JSON object, or when
    /// files that travel with the sweep are not kept.
    pub async fn submit(&self, now: Timestamp, submission: Submission) -> Result<Submitted> {
        let prepared = tokio::task::spawn_blocking(move || Prepared::new(submission));
        let prepared = prepared.await.map_err(|error| StoreError::Failed {
            message: "a submission could not be read".to_owned(),
            source: Some(Box::new(error)),
        })?;
        self.submit_prepared(now, prepared).await
    }

    /// [`Engine::submit`] of what was prepared before.
    ///
    /// # Errors
    ///
    /// As for [`Engine::submit`].
    pub async fn submit_prepared(&self, now: Timestamp, prepared: Prepared) -> Result<Submitted> {
        if prepared.jobs() > WRITTEN_AT_ONCE {
            // It is stored to its end, whether or not its caller waits for that.
            let engine = self.clone();
            let stored = tokio::spawn(async move {
                let submit = engine.submit_in_parts(now, prepared, WRITTEN_AT_ONCE);
                submit.await
            });
            return stored.await.map_err(|error| StoreError::Failed {
                message: "a sweep could not be stored".to_owned(),
                source: Some(Box::new(error)),
            })?;
        }
        self.submit_whole(now, prepared).await
    }

    async fn submit_whole(&self, now: Timestamp, prepared: Prepared) -> Result<Submitted> {
        let wanted = Wanted::Submit(prepared.digest(), prepared.cells().collect());
        let work = |ledger: &mut Ledger, now| ledger.submit(now, prepared);
        self.run(Some(now), wanted, work).await
    }

    /// A worker starts or reconnects: it gets the next session, which fences
    /// the older ones. For each held attempt the verdict says what to do with
    /// it. What older sessions hold and `hello` does not claim goes back to the
    /// queue at once; `requeued` counts the jobs that wait again because of
    /// that.
    ///
    /// A draining worker becomes active again, a cordoned one stays cordoned.
    /// The row of jobs that it failed is unchanged.
    ///
    /// # Errors
    ///
    /// [`StoreError::NameTaken`], which changes nothing, while a worker with
    /// another state directory is alive under this name: until the sweeper finds
    /// that it was silent for the life of a lease, or until it says goodbye.
    pub async fn hello(&self, now: Timestamp, hello: Hello) -> Result<Welcome> {
        let work = |ledger: &mut Ledger, now| ledger.hello(now, hello);
        self.run(Some(now), Wanted::Nothing, work).await
    }

    /// Records outcomes and grants jobs, in one transaction.
    ///
    /// *Outcomes* are handled one after the other. If the same worker, in any
    /// session, has recorded an equal outcome (apart from provenance) for this
    /// attempt, the answer is [`swath_model::message::Ack::AlreadyRecorded`].
    /// Otherwise the job decides, with [`swath_model::judge::backoff_unit`] for
    /// the backoff. An outcome that comes too late is
    /// [`swath_model::message::Ack::Stale`]; it is kept aside, once per
    /// attempt, worker and outcome, if the job exists, its numbers are finite, and
    /// the attempt is not one whose outcome was forgotten. An outcome of an older
    /// session is always too late.
    ///
    /// A probe that runs out of memory fails at once, by
    /// [`swath_model::judge::policy_for`].
    ///
    /// *Judgement*, after each recorded outcome. A measurement ends the row of
    /// jobs that the worker failed, unless it is cordoned for that row. After a
    /// fault, every live, unpaused sweep that holds the job is paused if
    /// [`swath_model::judge::pause`] says so, but for those of probes. Then what
    /// nobody wants any more leaves the rows of all workers; probes are never in
    /// one. If no sweep was paused and the fault is charged, a cell that has failed
    /// on another worker too leaves all rows, and any other is added to this
    /// worker's by [`swath_model::judge::lengthened`]. As long as
    /// [`swath_model::judge::cordon`] gives a reason, the jobs of the row are
    /// uncharged for this worker and it is cordoned if it is active.
    /// [`swath_model::judge::excused`] lifts each cordon that has lost its reason.
    ///
    /// *Grants* go by priority (greatest first), then by order of submission,
    /// to queued jobs whose backoff is over and that a live, unpaused sweep
    /// wants. Only active workers get them, and a job with a program only a
    /// worker that allows it. A request id that was granted jobs in this
    /// session gets those again, in the same order, as far as this session
    /// still has their leases, and no others.
    ///
    /// # Errors
    ///
    /// [`StoreError::StaleSession`] for a session that was never given, and for
    /// an older one that brings no outcomes. Outcomes of an older session are
    /// acknowledged, so that its worker need not keep them, but it gets no
    /// grants.
    pub async fn exchange(&self, now: Timestamp, exchange: Exchange) -> Result<Exchanged> {
        let going = self.under_way.begin(&exchange);
        let exchanged = self.decide_exchange(now, exchange).await;
        going.ends(exchanged)
    }

    async fn decide_exchange(&self, now: Timestamp, exchange: Exchange) -> Result<Exchanged> {
        let jobs = exchange.finishes.iter().map(|finish| finish.held.job);
        let failed = |finish: &Finish| finish.outcome.fault().is_some();
        let wanted = match exchange.finishes.len() {
            0 => Wanted::Nothing,
            _ if exchange.finishes.iter().any(failed) => Wanted::Failed(jobs.collect()),
            _ => Wanted::Jobs(jobs.collect()),
        };
        let owner = exchange.owner.clone();
        let work = |ledger: &mut Ledger, now| ledger.exchange(now, exchange);
        let drafted = self.run(Some(now), wanted, work).await?;
        Ok(Exchanged {
            acks: drafted.acks,
            grants: self.write_out(owner, drafted.grants).await?,
        })
    }

    /// Waits, for a worker whose exchange brought none, until there is a job or
    /// until `over`. Jobs are granted to it in the batch that brings them. A
    /// worker that cannot get any more, for example because it is drained,
    /// stops waiting.
    ///
    /// # Errors
    ///
    /// [`StoreError::StaleSession`] once the session is not the newest.
    pub async fn wait_for_jobs(
        &self,
        exchange: Exchange,
        over: impl Future<Output = ()> + Send,
    ) -> Result<Exchanged> {
        let going = self.under_way.begin(&exchange);
        let exchanged = self.wait_and_write_out(exchange, over).await;
        going.ends(exchanged)
    }

    async fn wait_and_write_out(
        &self,
        exchange: Exchange,
        over: impl Future<Output = ()> + Send,
    ) -> Result<Exchanged> {
        let owner = exchange.owner.clone();
        let id = self.waits.fetch_add(1, Ordering::Relaxed);
        let (reply, mut answer) = oneshot::channel();
        let waiting = Waiting {
            id,
            exchange: Exchange {
                finishes: Vec::new(),
                ..exchange
            },
            reply,
        };
        let asked = self.calls.send(Message::Wait(waiting)).await;
        asked.map_err(|_| closed())?;
        let drafted = tokio::select! {
            drafted = &mut answer => drafted,
            () = over => {
                // What was granted meanwhile must not be lost.
                let ended = self.calls.send(Message::EndWait(id)).await;
                ended.map_err(|_| closed())?;
                answer.await
            }
        };
        let drafted = drafted.map_err(|_| closed())??;
        Ok(Exchanged {
            acks: drafted.acks,
            grants: self.write_out(owner, drafted.grants).await?,
        })
    }

    /// Extends the leases of the attempts in `held`. There is one verdict each,
    /// in order: [`Verdict::Fenced`] if the attempt does not count,
    /// [`Verdict::Stop`] if it is to stop or its worker is draining,
    /// [`Verdict::Keep`] otherwise. A lease of this session that two heartbeats
    /// in a row do not mention is taken back; a mention or a claim starts the
    /// count again. A lease granted less than a heartbeat ago is not counted,
    /// because its grant may still be on the way; nor one granted to an exchange
    /// that had not been answered when the heartbeat came.
    pub async fn heartbeat(
        &self,
        now: Timestamp,
        owner: Owner,
        held: Vec<Held>,
    ) -> Result<Vec<Verdict>> {
        let told = self.under_way.told(&owner.worker);
        let under_way = Arc::clone(&self.under_way);
        let work = move |ledger: &mut Ledger, now| {
            let unheard = |job, attempt| under_way.is_unheard(job, attempt, told);
            ledger.heartbeat(now, &owner, &held, unheard)
        };
        self.run(Some(now), Wanted::Nothing, work).await
    }

    /// Stores observations and log text of open attempts. Repeats are ignored:
    /// observations by epoch, log chunks by sequence number; the first one
    /// stays. A chunk with sequence number 0 is no chunk. Attempts that do not
    /// count store nothing. There is one verdict per report, in order, as for a
    /// heartbeat; leases are not extended.
    pub async fn observe(
        &self,
        now: Timestamp,
        owner: Owner,
        reports: Vec<Report>,
    ) -> Result<Vec<Verdict>> {
        let work = move |ledger: &mut Ledger, now| ledger.observe(now, &owner, reports);
        self.run(Some(now), Wanted::Nothing, work).await
    }

    /// Returns attempts to the queue without charging them. Stale ones are
    /// ignored. What the worker's host lacks is remembered: it gets no such jobs
    /// for a while.
    pub async fn release(
        &self,
        now: Timestamp,
        owner: Owner,
        releases: Vec<Release>,
    ) -> Result<()> {
        let work = move |ledger: &mut Ledger, now| ledger.release(now, &owner, releases);
        self.run(Some(now), Wanted::Nothing, work).await
    }

    /// Ends the session of a worker that leaves: it is gone at once, its name is
    /// free, and what it still holds waits again, uncharged. Returns how many jobs
    /// wait again because of that. It keeps its cordon and the row of jobs that it
    /// failed.
    pub async fn goodbye(&self, now: Timestamp, owner: Owner) -> Result<u64> {
        let work = move |ledger: &mut Ledger, now| ledger.goodbye(now, &owner);
        self.run(Some(now), Wanted::Nothing, work).await
    }

    /// The sweeper's pass: leases that are over become suspect, and suspect
    /// jobs whose grace is over go back to the queue.
    pub async fn tick(&self, now: Timestamp) -> Result<Ticked> {
        let work = |ledger: &mut Ledger, now| Ok(ledger.tick(now));
        self.run(Some(now), Wanted::Nothing, work).await
    }

    /// Extends every open lease to at least now + ttl: the coordinator or the
    /// store was away, and nothing may expire because of that.
    pub async fn extend_leases(&self, now: Timestamp) -> Result<()> {
        let work = |ledger: &mut Ledger, now| {
            ledger.extend_leases(now);
            Ok(())
        };
        self.run(Some(now), Wanted::Nothing, work).await
    }

    /// The sweeps whose results are to be looked at and by which rule, oldest
    /// first: live, unpaused, with a `replicates_max`, every job final, and not
    /// settled since the last of them ended.
    pub async fn steering_due(&self) -> Result<Vec<SteeringDue>> {
        let work = |ledger: &mut Ledger, _| Ok(ledger.steering_due());
        self.run(None, Wanted::Nothing, work).await
    }

    /// Does what the rule said, in one transaction. If what it looked at is not
    /// due any more, nothing happens, so a repeat changes nothing.
    ///
    /// What is *added* is a new round. A decision counts if it gives a cell of
    /// the sweep the replicate after its last one, up to its `replicates_max`;
    /// other decisions are ignored. If its job did not exist, it comes last in
    /// the order of submission; it is wanted. A *settled* sweep is not due again
    /// until another job of it ends.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown sweep.
    pub async fn steer(
        &self,
        now: Timestamp,
        due: SteeringDue,
        said: Vec<Steering>,
    ) -> Result<Steered> {
        let cell = |one: &Steering| match one {
            Steering::Add(decision) => Some(decision.cell),
            Steering::Settle(_) => None,
        };
        let cells: Vec<_> = said.iter().filter_map(cell).collect();
        let work = move |ledger: &mut Ledger, now, extras: Extras| {
            ledger.steer(now, due, said, &extras.specs)
        };
        let wanted = Wanted::Cells(cells.clone());
        self.run_with(Some(now), wanted, Extra::Specs(cells), work)
            .await
    }

    /// Stores imported numbers, all or nothing. Each is stored under the name
    /// of a sweep, a cell, its source and a place. The same number again
    /// changes nothing, in whatever line it stands. With `replace`, what the
    /// batch's sources have said about the batch's sweeps is removed first. No
    /// job changes.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when no sweep of that name has such a cell,
    /// [`StoreError::Conflict`] when a source contradicts what it said before,
    /// or a number may not be stored.
    pub async fn import(&self, now: Timestamp, batch: ImportBatch) -> Result<ImportCounts> {
        let rows = batch.rows.iter();
        let extra = Extra::Said {
            cells: rows.map(|row| (row.sweep.clone(), row.cell)).collect(),
            sources: ledger::import_sources(&batch),
        };
        let work =
            move |ledger: &mut Ledger, now, extras: Extras| ledger.import(now, batch, extras.said);
        self.run_with(Some(now), Wanted::Nothing, extra, work).await
    }

    /// Changes whether a worker gets jobs. Activating clears its row of failed
    /// jobs and the reason. A worker that is forgotten is left out of lists, what
    /// it held waits again, and its name is free.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown or forgotten worker,
    /// [`StoreError::Conflict`] when one that is alive is to be forgotten.
    pub async fn change_worker(
        &self,
        now: Timestamp,
        worker: WorkerName,
        change: WorkerChange,
    ) -> Result<()> {
        let work = move |ledger: &mut Ledger, now| ledger.change_worker(now, &worker, change);
        self.run(Some(now), Wanted::Nothing, work).await
    }

    /// How many queued jobs are granted before this one: those with a greater
    /// priority, and those with the same priority that were submitted earlier.
    /// 0 when the job does not wait to be granted.
    pub async fn ahead(&self, job: JobDigest) -> Result<u64> {
        let work = move |ledger: &mut Ledger, _| Ok(ledger.ahead(job));
        self.run(None, Wanted::Nothing, work).await
    }

    /// What a job needs of its worker, and what comes closest to it where no active
    /// worker can meet it. A job that is final needs nothing.
    pub async fn needs(&self, job: JobDigest) -> Result<(Needs, Option<Lack>)> {
        let work = move |ledger: &mut Ledger, _| Ok(ledger.needs_of_job(job));
        self.run(None, Wanted::Nothing, work).await
    }

    /// What comes closest to a need of a sweep's waiting jobs that no active worker
    /// can meet; none where there is no active worker.
    pub async fn lacking(&self, sweep: SweepDigest) -> Result<Option<Lack>> {
        let work = move |ledger: &mut Ledger, _| Ok(ledger.lacking(sweep));
        self.run(None, Wanted::Nothing, work).await
    }

    /// The live sweeps with waiting jobs that no active worker can run, each with
    /// what comes closest.
    pub async fn waiting_in_vain(&self) -> Result<BTreeMap<SweepDigest, Lack>> {
        let work = |ledger: &mut Ledger, _| Ok(ledger.waiting_in_vain());
        self.run(None, Wanted::Nothing, work).await
    }

    /// What the hosts of workers turned out to lack of waiting jobs.
    pub async fn lacks(&self) -> Result<BTreeMap<WorkerName, Vec<Lack>>> {
        let work = |ledger: &mut Ledger, _| Ok(ledger.lacks());
        self.run(None, Wanted::Nothing, work).await
    }

    /// The room that workers keep for jobs that need more than is free, in the
    /// order of grants.
    pub async fn kept(&self, now: Timestamp) -> Result<Vec<Kept>> {
        let work = move |ledger: &mut Ledger, _| Ok(ledger.kept(now));
        self.run(None, Wanted::Nothing, work).await
    }

    /// How many slots the attempts of each worker have.
    pub async fn slots_held(&self) -> Result<BTreeMap<WorkerName, u64>> {
        let work = |ledger: &mut Ledger, _| Ok(ledger.slots_held());
        self.run(None, Wanted::Nothing, work).await
    }

    /// When the next backoff after `now` ends, among queued jobs that a live,
    /// unpaused sweep wants; the coordinator then wakes waiting workers.
    pub async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        let work = move |ledger: &mut Ledger, _| Ok(ledger.next_due(now));
        self.run(None, Wanted::Nothing, work).await
    }

    /// Checks every invariant over all that is held, for tests.
    ///
    /// # Errors
    ///
    /// The first invariant that does not hold.
    pub async fn ledger_check(&self) -> Result<(), String> {
        let work = |ledger: &mut Ledger, _| Ok(ledger.check().map_err(|it| it.to_string()));
        let checked = self.run(None, Wanted::Nothing, work).await;
        checked.map_err(|error| error.to_string())?
    }
}
