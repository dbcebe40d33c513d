//! The coordinator's process: its engine, turned by hand, and the calls that it
//! is serving. All of it is gone when the process dies; the rows stay.

use std::cell::Cell;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use swath_agent::Reply;
use swath_engine::{ByHand, Engine};
use swath_model::policy::Policy;
use swath_model::time::Timestamp;
use swath_store::{Names, Result, Store, StoredCell};

use crate::chaos::Deed;
use crate::desk::{Desk, Over};
use crate::disk::Disk;
use crate::network::{Address, Request};

/// What a coordinator's clock shows when the simulation begins.
const EPOCH_MS: i64 = 1_000_000_000;

/// What the engine is asked something for.
#[derive(Clone, Debug)]
pub(crate) enum Purpose {
    Call(Request),
    Sweep,
    Steer,
    Deed(Deed),
}

/// The result of it.
#[derive(Debug)]
pub(crate) enum Done {
    Answered(Result<Reply>),
    /// With the time when the next backoff ends.
    Swept(Result<Option<Timestamp>>),
    Did(Result<()>),
}

struct Errand {
    number: u64,
    purpose: Purpose,
    over: Over,
    work: Pin<Box<dyn Future<Output = Done>>>,
}

/// One life of the process.
struct Life {
    hand: ByHand,
    desk: Desk,
    errands: Vec<Errand>,
}

/// The leader, the one that led until another took over, and the rows.
pub(crate) struct Coordinator {
    pub(crate) disk: Arc<Disk>,
    policy: Policy,
    clock: Rc<Cell<Timestamp>>,
    /// How far its clock is ahead of the simulation's.
    ahead_ms: i64,
    life: Option<Life>,
    /// A process that is frozen and does not know that it leads no more.
    ghost: Option<Life>,
    pub(crate) lives: u32,
    errands: u64,
}

/// The result of work that waits for nothing, as all work of a store in memory.
pub(crate) fn at_once<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("rows in memory are ready at once"),
    }
}

impl Life {
    /// Continues everything that is under way. Returns what is done.
    fn poll(&mut self) -> Vec<(Purpose, Done)> {
        let mut done = Vec::new();
        let mut context = Context::from_waker(Waker::noop());
        self.errands
            .retain_mut(|errand| match errand.work.as_mut().poll(&mut context) {
                Poll::Ready(result) => {
                    done.push((errand.purpose.clone(), result));
                    false
                }
                Poll::Pending => true,
            });
        done
    }

    fn turn(&mut self) -> Vec<(Purpose, Done)> {
        self.desk.asked.set(false);
        at_once(self.hand.turn());
        self.poll()
    }
}

impl Coordinator {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            disk: Arc::default(),
            policy,
            clock: Rc::new(Cell::new(Timestamp::from_ms(EPOCH_MS))),
            ahead_ms: EPOCH_MS,
            life: None,
            ghost: None,
            lives: 0,
            errands: 0,
        }
    }

    pub(crate) const fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.life.is_some()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.get()
    }

    /// Sets the time.
    pub(crate) fn pass(&self, at: u64) {
        self.clock
            .set(Timestamp::from_ms(at as i64 + self.ahead_ms));
    }

    /// Moves the clock by `by_ms`: ahead, or between two lives also back.
    pub(crate) const fn jump(&mut self, by_ms: i64) {
        self.ahead_ms += by_ms;
    }

    /// Starts a coordinator, unless the store cannot be reached. The leader
    /// before it is gone, or was silent for too long.
    pub(crate) fn start(&mut self, at: u64) -> bool {
        self.pass(at);
        let least = self.newest();
        if self.now() < least {
            self.ahead_ms = least.as_ms() - at as i64;
            self.pass(at);
        }
        self.disk.rows().depose();
        let store: Arc<dyn Store> = Arc::clone(&self.disk) as Arc<dyn Store>;
        let address = format!("http://coordinator:{}", self.lives);
        let Ok((engine, hand)) = at_once(Engine::by_hand(store, self.policy.clone(), &address))
        else {
            return false;
        };
        let clock = Rc::clone(&self.clock);
        let desk = Desk::new(engine, Arc::clone(&self.disk), self.policy.clone(), clock);
        let prepare = Errand {
            number: 0,
            purpose: Purpose::Sweep,
            over: Over::default(),
            work: {
                let desk = desk.clone();
                Box::pin(async move { Done::Did(desk.prepare().await) })
            },
        };
        let mut life = Life {
            hand,
            desk,
            errands: vec![prepare],
        };
        life.poll();
        life.turn();
        self.lives += 1;
        self.life = Some(life);
        true
    }

    /// The newest time in the rows.
    fn newest(&self) -> Timestamp {
        let rows = self.disk.rows();
        let workers = at_once(rows.workers()).unwrap_or_default();
        let sweeps = at_once(rows.sweeps()).unwrap_or_default();
        let told = workers.iter().map(|worker| worker.seen_at);
        let told = told.chain(sweeps.iter().map(|sweep| sweep.submitted_at));
        told.max().unwrap_or_default()
    }

    /// The process dies.
    pub(crate) fn crash(&mut self) {
        self.life = None;
    }

    /// Freezes the leader, which thereby loses the lead. Returns false if none
    /// is up.
    pub(crate) fn becomes_ghost(&mut self) -> bool {
        let up = self.is_up();
        if up {
            self.ghost = self.life.take();
        }
        up
    }

    /// The frozen process continues and finds that it leads no more, so the
    /// calls that waited are refused. Whether it notices by itself is a matter
    /// of chance.
    pub(crate) fn ghost_goes_on(&mut self, notices: bool) -> Vec<(Purpose, Done)> {
        let Some(mut ghost) = self.ghost.take() else {
            return Vec::new();
        };
        if notices {
            at_once(ghost.hand.beat());
        }
        let mut done = ghost.turn();
        done.extend(ghost.poll());
        done
    }

    /// Begins something. Returns its number, by which its wait can be ended.
    pub(crate) fn begin(&mut self, purpose: Purpose) -> u64 {
        let Some(life) = &mut self.life else { return 0 };
        self.errands += 1;
        let over = Over::default();
        let desk = life.desk.clone();
        let work: Pin<Box<dyn Future<Output = Done>>> = match purpose.clone() {
            Purpose::Call(request) => {
                let over = over.clone();
                Box::pin(async move { Done::Answered(desk.serve(request.call, over).await) })
            }
            Purpose::Sweep => Box::pin(async move { Done::Swept(desk.sweep().await) }),
            Purpose::Steer => Box::pin(async move { Done::Did(desk.steer().await) }),
            Purpose::Deed(deed) => Box::pin(async move { Done::Did(deed.done(desk).await) }),
        };
        life.errands.push(Errand {
            number: self.errands,
            purpose,
            over,
            work,
        });
        self.errands
    }

    /// Ends the wait of a call.
    pub(crate) fn end_wait(&mut self, number: u64) {
        let life = self.life.iter_mut();
        for errand in life.flat_map(|life| &mut life.errands) {
            if errand.number == number {
                errand.over.end();
            }
        }
        // This tells the engine.
        self.ask();
    }

    /// Nobody waits for the answer to this call any more.
    pub(crate) fn hang_up(&mut self, from: Address) {
        if let Some(life) = &mut self.life {
            life.errands.retain(
                |errand| !matches!(&errand.purpose, Purpose::Call(request) if request.from == from),
            );
        }
    }

    fn ask(&self) {
        if let Some(life) = &self.life {
            life.desk.asked.set(true);
        }
    }

    /// Continues what is under way; some of it may end without the engine.
    pub(crate) fn go_on(&mut self) -> Vec<(Purpose, Done)> {
        self.life.as_mut().map(Life::poll).unwrap_or_default()
    }

    /// Whether something waits for the engine.
    pub(crate) fn waits(&self) -> bool {
        self.life.as_ref().is_some_and(|it| it.desk.asked.get())
    }

    /// The engine handles what waits.
    pub(crate) fn turn(&mut self) -> Vec<(Purpose, Done)> {
        self.life.as_mut().map(Life::turn).unwrap_or_default()
    }

    /// Throws away what is in memory, as after a commit that failed.
    pub(crate) fn forget(&mut self) {
        if let Some(life) = &mut self.life {
            life.hand.forget();
        }
    }

    /// Whether something under way may bring back a final job.
    pub(crate) fn may_revive(&self) -> bool {
        let errands = self.life.iter().flat_map(|life| &life.errands);
        let mut purposes = errands.map(|errand| &errand.purpose);
        purposes.any(|purpose| matches!(purpose, Purpose::Deed(_) | Purpose::Steer))
    }

    /// Checks the invariants of what is in memory.
    pub(crate) fn check(&self) -> Result<(), String> {
        let ledger = self.life.as_ref().and_then(|life| life.hand.ledger());
        ledger.map_or(Ok(()), |ledger| {
            ledger.check().map_err(|broken| broken.to_string())
        })
    }

    /// The cells with these names, as they are stored.
    pub(crate) fn stored(&self, names: &Names) -> Vec<StoredCell> {
        at_once(self.disk.rows().load(names)).unwrap_or_default()
    }
}
