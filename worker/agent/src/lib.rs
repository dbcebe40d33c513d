//! What a worker decides: a state machine without IO. The shell reports
//! [`Event`]s to [`Agent::handle`], then asks [`Agent::settle`] what to do, and
//! calls it again no later than [`Agent::wakes`].
//!
//! Time is counted from the worker's start; wall clocks are not used.

mod assign;
mod away;
mod calls;
mod classify;
mod clip;
mod drain;
mod epochs;
mod event;
mod jobs;
mod journal;
mod kinds;
mod lane;
mod line;
mod number;
mod open_line;
mod outbox;
mod pace;
mod parting;
mod program;
pub mod quota;
mod replies;
mod rows;
mod slot;
mod start;
mod tail;
#[cfg(test)]
mod tests;
mod thinned;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use swath_model::device::Device;
use swath_model::id::{Owner, Replicate, SessionId, WorkerName};
use swath_model::message::{Held, Release, Report};
use swath_model::offer::Free;
use swath_model::placement::Placement;
use swath_model::program::Launch;
use swath_model::spec::JobSpec;
use swath_model::view::WorkerAbout;

use self::away::Away;
use self::clip::{first, last};
use self::drain::Drain;
pub use self::event::{
    Call, CallError, CallId, ChildId, Effect, End, Entry, Event, Exit, Line, Program, Reply,
};
pub use self::kinds::Kinds;
pub use self::lane::Backoff;
use self::lane::{Jitter, Lane};
use self::outbox::Outbox;
use self::pace::{Pace, Sort};
use self::parting::Partings;
pub use self::rows::{Row, rows_of_json};
use self::slot::Slot;
pub use self::start::CommandLine;
pub use self::thinned::Thinned;

/// After this many failed questions in a row, an idle worker ends without
/// waiting for the coordinator.
const FAILURES_BEFORE_IDLE: u32 = 3;

/// The agent looks at least once per second; if it has not for this long, the
/// process was stopped.
const STOPPED: Duration = Duration::from_secs(30);

/// What does not change while the worker runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// The worker's name.
    pub worker: WorkerName,
    /// Whether its first session takes the name from another worker.
    pub take_name: bool,
    /// The coordinator's URLs, for messages.
    pub coordinator: String,
    /// What the worker says about itself; its slots are the devices.
    pub about: WorkerAbout,
    /// Threads of a trainer.
    pub threads: u32,
    /// How long a trainer may be silent.
    pub hang_timeout: Duration,
    /// Pauses after failed calls.
    pub backoff: Backoff,
    /// How long the worker may be idle before it ends.
    pub exit_when_idle: Option<Duration>,
    /// Seed of the random numbers for jitter.
    pub seed: u64,
    /// The directory under which programs get directories of their own.
    pub out: String,
    /// What CUDA calls each GPU.
    pub gpus: BTreeMap<u16, String>,
}

/// An exchange that is repeated until it is answered, because its reply may
/// contain jobs.
#[derive(Clone, Debug)]
struct Pending {
    request: u64,
    outcomes: Vec<Held>,
    free: Vec<Free>,
    wait: Duration,
}

/// A job that waits for a slot.
#[derive(Clone, Debug)]
struct Waiting {
    held: Held,
    spec: String,
    /// The spec of a program; none for the built-in trainer.
    program: Option<Box<JobSpec>>,
    /// Where to run it.
    placement: Placement,
    replicate: Replicate,
    launch: Launch,
    since: Duration,
}

impl Waiting {
    fn sort(&self) -> Sort {
        Sort::for_slot(self.program.is_some())
    }
}

/// The decisions of one worker.
#[derive(Debug)]
pub struct Agent {
    config: Config,
    jitter: Jitter,
    now: Duration,
    settled: Duration,
    effects: Vec<Effect>,
    calls: u64,
    children: u64,
    requests: u64,

    session: Option<SessionId>,
    session_since: Duration,
    /// How many sessions in a row were taken away soon after they began.
    displaced: u32,
    away: Option<Away>,
    heartbeat: Duration,
    drain_time: Duration,

    hello: Lane,
    hello_held: Vec<Held>,
    fetch: Lane,
    fetching: Option<Pending>,
    fetched_nothing: u32,
    deliver: Lane,
    delivering: Option<Pending>,
    beat: Lane,
    beat_held: Vec<Held>,
    observe: Lane,
    observing: Vec<Report>,
    release: Lane,
    releases: Vec<Release>,
    releasing: usize,
    /// Attempts to be given back once their reports have arrived.
    partings: Partings,

    slots: Vec<Slot>,
    /// The devices of the slots, each once.
    devices: Vec<Device>,
    waiting: VecDeque<Waiting>,
    outbox: Outbox,
    /// Until when outcomes may wait for others; see [`Agent::gathers`].
    gathers_until: Duration,
    pace: Pace,
    idle_since: Option<Duration>,
    drain: Option<Drain>,
    exited: bool,
}

impl Agent {
    /// A worker at its start, with what its spool contained: outcomes to
    /// deliver, and the newest ones that were delivered.
    pub fn new(config: Config, open: Vec<Entry>, recent: Vec<Entry>) -> Self {
        let mut devices: Vec<Device> = Vec::new();
        for device in &config.about.offer.slots {
            if !devices.contains(device) {
                devices.push(*device);
            }
        }
        let slots = config.about.offer.slots.iter().map(|device| Slot {
            device: *device,
            lent_to: None,
            child: None,
            running: None,
            stuck: false,
        });
        Self {
            slots: slots.collect(),
            devices,
            jitter: Jitter(config.seed),
            config,
            now: Duration::ZERO,
            settled: Duration::ZERO,
            effects: Vec::new(),
            calls: 0,
            children: 0,
            requests: 0,
            session: None,
            session_since: Duration::ZERO,
            displaced: 0,
            away: None,
            heartbeat: Duration::from_secs(10),
            drain_time: Duration::from_secs(25),
            hello: Lane::default(),
            hello_held: Vec::new(),
            fetch: Lane::default(),
            fetching: None,
            fetched_nothing: 0,
            deliver: Lane::default(),
            delivering: None,
            beat: Lane::default(),
            beat_held: Vec::new(),
            observe: Lane::default(),
            observing: Vec::new(),
            release: Lane::default(),
            releases: Vec::new(),
            releasing: 0,
            partings: Partings::default(),
            waiting: VecDeque::new(),
            outbox: Outbox::restored(open, recent),
            gathers_until: Duration::ZERO,
            pace: Pace::default(),
            idle_since: None,
            drain: None,
            exited: false,
        }
    }

    /// Takes in what has happened.
    pub fn handle(&mut self, now: Duration, event: Event) {
        self.now = now;
        if self.exited {
            return;
        }
        match event {
            Event::Reply { call, result } => self.replied(call, result),
            Event::Line { child, line } => self.line(child, line),
            Event::Stderr {
                child,
                text,
                dropped,
            } => self.stderr(child, &text, dropped),
            Event::Partial { child, text } => self.partial(child, &text),
            Event::Begun { child } => self.begun(child),
            Event::Version { child, version } => self.has_version(child, version),
            Event::Wrote { child, rows } => self.wrote(child, rows),
            Event::Exited { child, end } => self.child_ended(child, end),
            Event::Remains {
                child,
                end,
                processes,
            } => self.child_remains(child, end, &processes),
            Event::Spooled(held) => self.outbox.spooled(&held),
            Event::SpoolFailed { held, error } => {
                tracing::error!(
                    outcomes = held.len(),
                    error,
                    "the spool cannot be written; outcomes stay in memory, and no new jobs are taken"
                );
                self.outbox.spool_failed(&held, now);
            }
            Event::SpoolLost { error } => {
                tracing::error!(
                    outcomes = self.outbox.len(),
                    error,
                    "the spool is gone; outcomes stay in memory, and no new jobs are taken until it can be written again"
                );
                self.outbox.lost(now);
            }
            Event::Signal => self.signal(),
        }
    }

    /// Decides what to do after the events so far.
    pub fn settle(&mut self, now: Duration) -> Vec<Effect> {
        self.now = now;
        if self.exited {
            return std::mem::take(&mut self.effects);
        }
        self.forgive_a_gap();
        self.complain();
        self.give_back_waiting();
        self.watch();
        self.assign();
        if !self.gathers()
            && let Some(entries) = self.outbox.take_unwritten(now)
        {
            self.effects.push(Effect::Spool(entries));
        }
        self.make_calls();
        self.drained();
        self.look_idle();
        std::mem::take(&mut self.effects)
    }

    /// If the worker itself was stopped, it heard nobody, and its trainers may
    /// have been stopped with it: that silence is not their fault.
    fn forgive_a_gap(&mut self) {
        let gap = self.now.saturating_sub(self.settled);
        self.settled = self.now;
        if gap < STOPPED {
            return;
        }
        tracing::warn!(seconds = gap.as_secs(), "this process was stopped");
        for slot in &mut self.slots {
            if let Some(running) = slot.running.as_mut() {
                running.sign = self.now;
            }
        }
    }

    /// When to settle again if nothing happens before.
    pub fn wakes(&self) -> Duration {
        let lanes = [
            (&self.hello, self.session.is_none()),
            (&self.fetch, self.session.is_some()),
            (&self.deliver, self.session.is_some()),
            (&self.beat, self.session.is_some()),
            (&self.observe, self.session.is_some()),
            (&self.release, self.session.is_some()),
        ];
        let lanes = lanes
            .into_iter()
            .filter(|(lane, used)| *used && lane.call.is_none() && lane.not_before > self.now)
            .map(|(lane, _)| lane.not_before);
        // The other times need not be so exact.
        let journals = self.slots.iter().filter_map(|slot| slot.running.as_ref());
        let busy = journals
            .into_iter()
            .any(|running| !running.journal.is_empty());
        let coarse = Duration::from_millis(if busy || self.drain.is_some() {
            100
        } else {
            1000
        });
        let gathers = self.gathers() && !self.outbox.is_empty();
        lanes
            .chain(self.outbox.wakes())
            .chain(self.asks_anew())
            .chain(gathers.then_some(self.gathers_until))
            .chain([self.now + self.pause(coarse)])
            .min()
            .unwrap_or(self.now + coarse)
    }

    /// Tests shorten the hang timeout; the checks must come often enough for
    /// it.
    fn pause(&self, coarse: Duration) -> Duration {
        coarse
            .min(self.config.hang_timeout / 4)
            .min(
                self.config
                    .exit_when_idle
                    .unwrap_or(coarse)
                    .max(Duration::from_millis(20)),
            )
            .max(Duration::from_millis(10))
    }

    /// Whether outcomes wait for others shortly after a delivery. Each delivery is
    /// a commit for the coordinator and a write to the disk for the worker, so
    /// that short jobs cost less together. Nobody waits for it: every slot has its
    /// next job here.
    fn gathers(&self) -> bool {
        self.now < self.gathers_until && self.waiting.len() >= self.slots.len()
    }

    fn owner(&self) -> Option<Owner> {
        Some(Owner {
            worker: self.config.worker.clone(),
            session: self.session?,
        })
    }

    fn exit(&mut self, exit: Exit) {
        self.exited = true;
        self.effects.push(Effect::Exit(exit));
    }

    /// The attempts that train or wait to train.
    fn open(&self) -> impl Iterator<Item = Held> + '_ {
        let waiting = self.waiting.iter().map(|job| job.held);
        let running = self.slots.iter().filter_map(|slot| slot.running.as_ref());
        waiting.chain(running.map(|running| running.held))
    }

    fn held(&self) -> Vec<Held> {
        let ended = self.outbox.held().chain(self.partings.held());
        self.open().chain(ended).collect()
    }

    /// Gives back an attempt that ran, once its reports have arrived.
    fn part(&mut self, release: Release, reports: Vec<Report>) {
        self.releases.extend(self.partings.push(release, reports));
    }

    /// Whether attempts are still to be given back.
    fn gives_back(&self) -> bool {
        !self.releases.is_empty() || !self.partings.is_empty()
    }

    /// Ends the worker after a while without anything to do.
    fn look_idle(&mut self) {
        // Without a session nothing can be delivered.
        let delivered = self.outbox.is_empty() || self.session.is_none();
        let idle = self.open().next().is_none() && delivered && !self.gives_back();
        if !idle {
            self.idle_since = None;
            return;
        }
        self.idle_since.get_or_insert(self.now);
        if self.session.is_none() {
            self.give_up();
            return;
        }
        // A waiting exchange may be granted a job just now, unless nobody
        // answers.
        let asking = self.fetching.is_some() && self.fetch.failures < FAILURES_BEFORE_IDLE;
        if self.idle_is_over() && !asking && self.drain.is_none() {
            self.begin_drain("nothing to do");
        }
    }

    fn idle_is_over(&self) -> bool {
        match (self.config.exit_when_idle, self.idle_since) {
            (Some(patience), Some(since)) => since + patience <= self.now,
            _ => false,
        }
    }
}
