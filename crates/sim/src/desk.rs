//! What the server does with a call before and after it asks the engine, and
//! what it does on its own: sweeping, and looking at replicates.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use swath_agent::{Call, Reply};
use swath_engine::Engine;
use swath_engine::warmth::{Pass, Warmth};
use swath_model::id::WorkerName;
use swath_model::message::{Exchange, Exchanged, SteeringDue};
use swath_model::policy::Policy;
use swath_model::steering::Steering;
use swath_model::time::Timestamp;
use swath_results::steering::steer;
use swath_results::summary::{Objective, Quantity};
use swath_store::{Result, Store, StoreError};
use swath_sweep::Measure;

use crate::disk::Disk;

/// What the handlers share in one life of a coordinator.
#[derive(Clone)]
pub(crate) struct Desk {
    engine: Engine,
    pub(crate) disk: Arc<Disk>,
    pub(crate) policy: Policy,
    pub(crate) clock: Rc<Cell<Timestamp>>,
    pub(crate) draining: Rc<RefCell<BTreeSet<WorkerName>>>,
    warmth: Rc<RefCell<Warmth>>,
    /// Whether the engine was asked since its last turn.
    pub(crate) asked: Rc<Cell<bool>>,
}

/// Ends the wait of one call for jobs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Over(Arc<AtomicBool>);

impl Over {
    pub(crate) fn end(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Future for Over {
    type Output = ();

    /// Nothing need wake it, because everything here is polled after each step.
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.0.load(Ordering::Relaxed) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Desk {
    pub(crate) fn new(
        engine: Engine,
        disk: Arc<Disk>,
        policy: Policy,
        clock: Rc<Cell<Timestamp>>,
    ) -> Self {
        let warmth = Warmth::new(clock.get());
        Self {
            engine,
            disk,
            policy,
            clock,
            draining: Rc::default(),
            warmth: Rc::new(RefCell::new(warmth)),
            asked: Rc::default(),
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.asked.set(true);
        &self.engine
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.get()
    }

    fn is_draining(&self, worker: &WorkerName) -> bool {
        self.draining.borrow().contains(worker)
    }

    pub(crate) fn set_draining(&self, worker: &WorkerName, draining: bool) {
        let mut set = self.draining.borrow_mut();
        if draining {
            set.insert(worker.clone());
        } else {
            set.remove(worker);
        }
    }

    /// Runs before the first call: no lease expires for the time in which
    /// nobody led.
    pub(crate) async fn prepare(self) -> Result<()> {
        self.engine().restart(self.now()).await?;
        for worker in self.disk.workers().await? {
            let draining = worker.state == swath_model::view::WorkerState::Draining;
            self.set_draining(&worker.name, draining);
        }
        Ok(())
    }

    /// Answers a worker.
    pub(crate) async fn serve(self, call: Call, over: Over) -> Result<Reply> {
        match call {
            Call::Hello(hello) => {
                let worker = hello.worker.clone();
                let welcome = self.engine().hello(self.now(), *hello).await?;
                self.set_draining(&worker, false);
                Ok(Reply::Welcome {
                    session: welcome.session,
                    verdicts: welcome.verdicts,
                    heartbeat: std::time::Duration::from_millis(self.policy.heartbeat_ms),
                    drain: std::time::Duration::from_millis(self.policy.drain_ms),
                })
            }
            Call::Exchange { exchange, .. } => {
                let worker = exchange.owner.worker.clone();
                let exchanged = self.exchange_or_wait(exchange, over).await?;
                Ok(Reply::Exchanged {
                    acks: exchanged.acks,
                    grants: exchanged.grants,
                    drain: self.is_draining(&worker),
                })
            }
            Call::Heartbeat { owner, held } => {
                let drain = self.is_draining(&owner.worker);
                let verdicts = self.engine().heartbeat(self.now(), owner, held).await?;
                Ok(Reply::Beaten { verdicts, drain })
            }
            Call::Observe { owner, reports } => {
                let verdicts = self.engine().observe(self.now(), owner, reports).await?;
                Ok(Reply::Observed(verdicts))
            }
            Call::Release { owner, releases } => {
                self.engine().release(self.now(), owner, releases).await?;
                Ok(Reply::Released)
            }
            Call::Goodbye { owner } => {
                self.engine().goodbye(self.now(), owner).await?;
                Ok(Reply::Parted)
            }
        }
    }

    async fn exchange_or_wait(&self, exchange: Exchange, over: Over) -> Result<Exchanged> {
        let exchanged = self.engine().exchange(self.now(), exchange.clone()).await?;
        let wanted = exchange.asks() && exchange.finishes.is_empty();
        let draining = self.is_draining(&exchange.owner.worker);
        if !wanted || !exchanged.grants.is_empty() || draining {
            return Ok(exchanged);
        }
        self.engine().wait_for_jobs(exchange, over).await
    }

    /// The sweeper's pass. Returns when the next backoff ends, if it can be
    /// known.
    pub(crate) async fn sweep(self) -> Result<Option<Timestamp>> {
        let now = self.now();
        let pass = self.warmth.borrow_mut().pass(now, &self.policy);
        let swept = match pass {
            Pass::Forgive => self.engine().extend_leases(now).await,
            Pass::Tick => self.engine().tick(now).await.map(drop),
        };
        if let Err(error) = swept {
            self.warmth.borrow_mut().cool(self.now());
            return Err(error);
        }
        self.engine().next_due(now).await
    }

    /// Looks at every sweep that is due, until none is.
    pub(crate) async fn steer(self) -> Result<()> {
        loop {
            let mut moved = false;
            for due in self.engine().steering_due().await? {
                let said = self.said(due).await?;
                let done = self.engine().steer(self.now(), due, said).await?;
                moved |= done.seeds > 0 || done.settled;
            }
            if !moved {
                return Ok(());
            }
        }
    }

    async fn said(&self, due: SteeringDue) -> Result<Vec<Steering>> {
        let results = self.disk.results(due.sweep, None).await?;
        let measured = Quantity::Measured(Objective::new("test_error", Measure::Last));
        steer(due.rule, &measured, &results)
            .map_err(|error| StoreError::Conflict(error.to_string()))
    }
}
