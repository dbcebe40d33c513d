//! The one task that decides: it takes waiting calls, loads what they need,
//! asks the ledger, commits once, and only then answers.
//!
//! While a commit waits for the disk, the next batch gathers by itself; an idle
//! engine never waits for more calls.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use swath_model::error::causes;
use swath_model::policy::Policy;
use swath_model::time::Timestamp;
use swath_store::{CellKey, Names, RENEW_EVERY, Result, Start, Store, StoreError, Term};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::Role;
use crate::call::{Answer, Call, Extra, Extras, Refusal, closed};
use crate::journal;
use crate::ledger::{Keys, Ledger, Looked};
use crate::parked::{Parked, WaitId, Waiting};
use crate::under_way::UnderWay;

/// The most calls per batch, so that the first one is not kept waiting for the
/// last of a long queue.
const BATCH: usize = 256;

/// How many cells are read at once at a start.
const PAGE: u32 = 4096;

/// A message to the task.
pub(crate) enum Message {
    Call(Box<dyn Call>),
    /// A worker waits for a job.
    Wait(Waiting),
    /// The worker does not wait any more.
    EndWait(WaitId),
    Stop(oneshot::Sender<()>),
}

/// The one task that decides.
pub(crate) struct Task {
    store: Arc<dyn Store>,
    policy: Policy,
    /// The URL of this coordinator.
    address: String,
    /// The term; none while somebody else leads.
    term: Option<Term>,
    role: watch::Sender<Role>,
    /// The number of the newest event that is committed.
    told: watch::Sender<u64>,
    /// The ledger; none after a commit that failed, because it may be ahead of
    /// the store.
    ledger: Option<Ledger>,
    /// The number of the batch that is decided.
    batch: u64,
    under_way: Arc<UnderWay>,
    /// The latest time of any call so far: calls may overtake each other on
    /// their way here.
    now: Timestamp,
    parked: Parked,
    /// The greatest keys that were ever given: none is given again while this
    /// process remembers what the first one meant.
    keys: Keys,
    /// How many calls are decided one by one. One call of a failed batch may
    /// have caused the failure, and the others should not fail with it again.
    one_by_one: usize,
}

impl Task {
    pub(crate) fn new(store: Arc<dyn Store>, policy: Policy, address: &str) -> Self {
        Self {
            store,
            policy,
            address: address.to_owned(),
            term: None,
            role: watch::Sender::new(Role::StandsBy { leader: None }),
            told: watch::Sender::new(0),
            ledger: None,
            batch: 0,
            under_way: Arc::default(),
            now: Timestamp::from_ms(i64::MIN),
            parked: Parked::default(),
            keys: Keys::default(),
            one_by_one: 0,
        }
    }

    /// Who leads; the receiver sees every change.
    pub(crate) fn role(&self) -> watch::Receiver<Role> {
        self.role.subscribe()
    }

    /// The number of the newest event, as it grows.
    pub(crate) fn told(&self) -> watch::Receiver<u64> {
        self.told.subscribe()
    }

    /// What workers cannot know yet.
    pub(crate) fn under_way(&self) -> Arc<UnderWay> {
        Arc::clone(&self.under_way)
    }

    /// The ledger, if it is loaded.
    pub(crate) const fn ledger(&self) -> Option<&Ledger> {
        self.ledger.as_ref()
    }

    /// Throws the ledger away; the next call loads it again.
    pub(crate) fn forget(&mut self) {
        self.ledger = None;
    }

    /// Takes the lead, if nobody has it, and loads what is open.
    pub(crate) async fn lead(&mut self) -> Result<()> {
        self.term = Some(self.store.lead(&self.address).await?);
        self.load().await?;
        self.role.send_replace(Role::Leads);
        Ok(())
    }

    /// Loads what is open.
    async fn load(&mut self) -> Result<()> {
        let start = self.store.start().await?;
        self.now = self.now.max(latest(&start));
        self.told.send_replace(start.last_event);
        let mut ledger = Ledger::start(self.policy.clone(), start);
        ledger.give_keys_after(self.keys);
        let mut after = CellKey(0);
        loop {
            let page = self.store.open_cells(after, PAGE).await?;
            let Some(last) = page.last() else {
                break;
            };
            after = last.key;
            ledger.warm(page, self.now);
            ledger.settle_batch();
        }
        ledger.all_is_told();
        self.ledger = Some(ledger);
        Ok(())
    }

    /// Serves until told to stop, or until all callers are gone.
    pub(crate) async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        let mut stopped = None;
        // It has just led, or tried to.
        let mut beat = interval_at(Instant::now() + RENEW_EVERY, RENEW_EVERY);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stopped.is_none() {
            let behind = self.ledger.as_ref().is_some_and(Ledger::is_behind);
            tokio::select! {
                biased;
                _ = beat.tick() => self.beat().await,
                first = messages.recv() => {
                    let Some(first) = first else { return };
                    let batch = Batch::gather(first, &mut messages);
                    stopped = self.take(batch).await;
                }
                () = std::future::ready(()), if behind => {}
            }
            if behind {
                self.catch_up().await;
            }
        }
        messages.close();
        self.parked.refuse_all(&closed());
        while let Some(message) = messages.recv().await {
            match message {
                Message::Call(call) => call.refuse(closed()),
                Message::Wait(waiting) => waiting.refuse(closed()),
                Message::EndWait(_) | Message::Stop(_) => {}
            }
        }
        if let Some(reply) = stopped {
            let _gone = reply.send(());
        }
    }

    /// Renews the lead, or tries to take it.
    pub(crate) async fn beat(&mut self) {
        match self.term {
            Some(term) => match self.store.renew(term).await {
                Ok(()) => {}
                Err(StoreError::InUse(_)) => self.step_down().await,
                Err(error) => {
                    tracing::warn!(error = %causes(&error), "the store cannot be reached");
                }
            },
            None => match self.lead().await {
                Ok(()) => tracing::info!("this coordinator leads now"),
                Err(StoreError::InUse(_)) => self.stand_by().await,
                Err(error) => {
                    self.term = None;
                    tracing::warn!(error = %causes(&error), "cannot try to lead");
                }
            },
        }
    }

    /// Somebody else leads: the ledger is worthless now.
    async fn step_down(&mut self) {
        tracing::warn!("another coordinator has taken the lead; this one stands by");
        self.term = None;
        self.ledger = None;
        self.stand_by().await;
        let refusal = self.not_leader();
        self.parked.refuse_all(&refusal);
    }

    pub(crate) async fn stand_by(&self) {
        let leader = self.store.leader().await.unwrap_or_default();
        self.role.send_if_modified(|role| {
            let now = Role::StandsBy { leader };
            let changed = *role != now;
            *role = now;
            changed
        });
    }

    fn not_leader(&self) -> Refusal {
        match &*self.role.borrow() {
            Role::StandsBy { leader } => Refusal::NotLeader(leader.clone()),
            Role::Leads => Refusal::NotLeader(None),
        }
    }

    /// Decides the calls of a batch; if the task is to end, returns whom to
    /// tell when it has.
    pub(crate) async fn take(&mut self, mut batch: Batch) -> Option<oneshot::Sender<()>> {
        for waiting in batch.waits.drain(..) {
            self.parked.add(waiting);
        }
        while batch.is_to_be_decided() {
            self.batch(&mut batch.calls).await;
            batch.parked = false;
        }
        for id in batch.ended.drain(..) {
            self.parked.end(id);
        }
        batch.stop
    }

    /// Files some of the jobs that are late; whoever waits may get one then.
    async fn catch_up(&mut self) {
        if let Some(ledger) = &mut self.ledger {
            ledger.catch_up(self.now);
            self.batch(&mut VecDeque::new()).await;
        }
        // The store may have had nothing to do.
        tokio::task::yield_now().await;
    }

    /// Decides calls from the front of `calls`, commits, and answers them.
    async fn batch(&mut self, calls: &mut VecDeque<Box<dyn Call>>) {
        let Some(term) = self.term else {
            let refusal = self.not_leader();
            self.parked.refuse_all(&refusal);
            for call in calls.drain(..) {
                call.refuse(refusal.clone());
            }
            return;
        };
        let mut answers = Vec::with_capacity(calls.len());
        self.batch += 1;
        let done = self.decide_and_commit(term, calls, &mut answers).await;
        self.under_way.answer(self.batch);
        let error = match done {
            Ok(()) => {
                for answer in answers {
                    answer(Ok(()));
                }
                return;
            }
            Err(error) => error,
        };
        // What was decided is not kept, or nobody knows whether it is.
        self.ledger = None;
        self.one_by_one = answers.len() + calls.len();
        let refusal = if matches!(error, StoreError::InUse(_)) {
            self.step_down().await;
            self.not_leader()
        } else {
            let why = causes(&error);
            tracing::error!(error = %why, "the store failed; what is open is loaded again");
            Refusal::Failed(why)
        };
        for answer in answers {
            answer(Err(refusal.clone()));
        }
        for call in calls.drain(..) {
            call.refuse(refusal.clone());
        }
    }

    async fn decide_and_commit(
        &mut self,
        term: Term,
        calls: &mut VecDeque<Box<dyn Call>>,
        answers: &mut Vec<Answer>,
    ) -> Result<()> {
        let mut looked = Looked::default();
        self.load_for(calls, &mut looked).await?;
        self.decide(calls, &mut looked, answers).await?;
        let Some(ledger) = &mut self.ledger else {
            return Ok(());
        };
        answers.extend(self.parked.serve(ledger, self.now));
        let changes = ledger.take_changes(self.now);
        self.keys = ledger.keys();
        self.under_way.grant(self.batch, &changes.attempts);
        let newest = changes.events.last().map(|event| event.seq);
        let told = journal::told(&changes.events, |job| ledger.sweep_of(job));
        if !changes.is_empty() {
            self.store.commit(term, changes).await?;
        }
        ledger.settle_batch();
        told.iter().for_each(journal::log);
        if let Some(newest) = newest {
            self.told.send_replace(newest);
        }
        Ok(())
    }

    /// Loads at once what the calls need, as far as that is known beforehand.
    async fn load_for(
        &mut self,
        calls: &VecDeque<Box<dyn Call>>,
        looked: &mut Looked,
    ) -> Result<()> {
        if self.ledger.is_none() {
            self.load().await?;
        }
        let Some(ledger) = &self.ledger else {
            return Ok(());
        };
        let mut names = Names::default();
        for call in calls {
            let missing = ledger.missing(call.wanted(), looked);
            names.jobs.extend(missing.jobs);
            names.cells.extend(missing.cells);
            names.sweeps.extend(missing.sweeps);
        }
        self.warm(names, looked).await
    }

    async fn warm(&mut self, names: Names, looked: &mut Looked) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let cells = self.store.load(&names).await?;
        looked.note(&names);
        if let Some(ledger) = &mut self.ledger {
            ledger.warm(cells, self.now);
        }
        Ok(())
    }

    async fn decide(
        &mut self,
        calls: &mut VecDeque<Box<dyn Call>>,
        looked: &mut Looked,
        answers: &mut Vec<Answer>,
    ) -> Result<()> {
        while let Some(call) = calls.pop_front() {
            let alone = !matches!(call.extra(), Extra::Nothing);
            if alone && !answers.is_empty() {
                calls.push_front(call);
                return Ok(());
            }
            match self.ready(&*call, looked).await {
                Ok(extras) => answers.push(self.ask(call, extras)?),
                Err(error) => {
                    calls.push_front(call);
                    return Err(error);
                }
            }
            if alone || self.one_by_one > 0 {
                self.one_by_one = self.one_by_one.saturating_sub(1);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Loads what a call needs: an earlier call of the batch may have made it need
    /// more, and what is loaded may name more.
    async fn ready(&mut self, call: &dyn Call, looked: &mut Looked) -> Result<Extras> {
        while let Some(ledger) = &self.ledger {
            let names = ledger.missing(call.wanted(), looked);
            if names.is_empty() {
                break;
            }
            self.warm(names, looked).await?;
        }
        self.extras(call.extra()).await
    }

    /// A panicking call takes its batch down, but nothing else.
    fn ask(&mut self, call: Box<dyn Call>, extras: Extras) -> Result<Answer> {
        if let Some(now) = call.now() {
            self.now = self.now.max(now);
        }
        let now = self.now;
        let Some(ledger) = &mut self.ledger else {
            return Err(broken());
        };
        let decide = AssertUnwindSafe(|| call.decide(ledger, now, extras));
        catch_unwind(decide).map_err(|_| broken())
    }

    async fn extras(&self, extra: &Extra) -> Result<Extras> {
        let mut extras = Extras::default();
        match extra {
            Extra::Nothing => {}
            Extra::Said { cells, sources } => {
                extras.said = self.store.said(cells, sources).await?;
            }
            Extra::Tail(sweep) => {
                let key = self.ledger.as_ref().and_then(|it| it.tail_of(*sweep));
                if let Some((key, cells)) = key {
                    extras.tail = self.store.tail(key, cells).await?;
                }
            }
            Extra::Specs(cells) => {
                let Some(ledger) = &self.ledger else {
                    return Ok(extras);
                };
                let keys: Vec<_> = cells.iter().map(|cell| ledger.cell_key(*cell)).collect();
                let held: Vec<_> = keys.iter().copied().flatten().collect();
                let mut specs = self.store.specs(&held).await?.into_iter();
                let spec = |key: Option<CellKey>| key.and_then(|_| specs.next());
                extras.specs = keys
                    .into_iter()
                    .map(spec)
                    .map(Option::unwrap_or_default)
                    .collect();
            }
        }
        Ok(extras)
    }
}

/// The calls that wait already; none after a stop.
#[derive(Default)]
pub(crate) struct Batch {
    calls: VecDeque<Box<dyn Call>>,
    waits: Vec<Waiting>,
    ended: Vec<WaitId>,
    /// Whether a worker began to wait: there may be a job for it by now.
    parked: bool,
    stop: Option<oneshot::Sender<()>>,
}

impl Batch {
    pub(crate) fn gather(first: Message, messages: &mut mpsc::Receiver<Message>) -> Self {
        let mut batch = Self::default();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Call(call) => batch.calls.push_back(call),
                Message::Wait(waiting) => batch.waits.push(waiting),
                Message::EndWait(id) => batch.ended.push(id),
                Message::Stop(reply) => {
                    batch.stop = Some(reply);
                    break;
                }
            }
            next = (batch.calls.len() < BATCH)
                .then(|| messages.try_recv().ok())
                .flatten();
        }
        batch.parked = !batch.waits.is_empty();
        batch
    }

    fn is_to_be_decided(&self) -> bool {
        !self.calls.is_empty() || self.parked
    }
}

/// The latest stored time of an end, a report or an event. If the wall clock was set
/// back since, a job must not end before it did.
fn latest(start: &Start) -> Timestamp {
    let ends = start.sweeps.iter().filter_map(|sweep| sweep.row.ended_at);
    let words = start.workers.iter().map(|worker| worker.seen_at);
    let latest = ends.chain(words).chain(start.last_event_at).max();
    latest.unwrap_or(Timestamp::from_ms(i64::MIN))
}

fn broken() -> StoreError {
    StoreError::Failed {
        message: "a call could not be decided, which is a fault of the coordinator: please report \
                  what the log says"
            .to_owned(),
        source: None,
    }
}
