//! Which calls to make now.

use std::time::Duration;

use swath_model::device::Device;
use swath_model::limits;
use swath_model::message::{Exchange, Held, Hello};
use swath_model::offer::Free;

use super::event::{Call, CallId, Effect};
use super::outbox::{REPORT_BYTES, report_bytes};
use super::{Agent, Pending};

/// The most jobs that one exchange asks for: their specs must fit into a
/// message.
const WANT_MAX: usize = 256;

/// With more undelivered outcomes than this, no new jobs are taken.
const BACKLOG: usize = 1024;

/// A question for jobs that is not answered by then waits for one.
pub(crate) const ANSWERED: Duration = Duration::from_millis(50);

/// How often the size of a call that does not get through is halved.
const HALVED_MAX: u32 = 5;

const _: () = assert!(WANT_MAX <= limits::WANT_MAX as usize);

/// The kind of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Hello,
    Fetch,
    Deliver,
    Beat,
    Observe,
    Release,
}

impl Agent {
    pub(super) fn make_calls(&mut self) {
        if self.session.is_none() {
            self.say_hello();
            return;
        }
        self.send_releases();
        self.send_reports();
        self.send_outcomes();
        self.ask_for_jobs();
        self.send_heartbeat();
    }

    fn call(&mut self, kind: Kind, call: Call) {
        self.calls += 1;
        let id = CallId(self.calls);
        let now = self.now;
        self.lane(kind).sent(id, now);
        self.effects.push(Effect::Call { id, call });
    }

    pub(super) fn lane(&mut self, kind: Kind) -> &mut super::Lane {
        match kind {
            Kind::Hello => &mut self.hello,
            Kind::Fetch => &mut self.fetch,
            Kind::Deliver => &mut self.deliver,
            Kind::Beat => &mut self.beat,
            Kind::Observe => &mut self.observe,
            Kind::Release => &mut self.release,
        }
    }

    /// The kind of a call whose reply has come; none if nobody waits for it any
    /// more.
    pub(super) fn kind_of(&mut self, call: CallId) -> Option<Kind> {
        [
            Kind::Hello,
            Kind::Fetch,
            Kind::Deliver,
            Kind::Beat,
            Kind::Observe,
            Kind::Release,
        ]
        .into_iter()
        .find(|kind| self.lane(*kind).call == Some(call))
    }

    fn say_hello(&mut self) {
        if !self.hello.is_free(self.now) {
            return;
        }
        let mut held = self.held();
        // Recently delivered outcomes are named too: if the store has lost
        // them, it gets them again.
        let mut recent: Vec<_> = self.outbox.recent().collect();
        recent.retain(|recent| !held.contains(recent));
        held.extend(recent);
        held.truncate(limits::HELD_MAX);
        self.hello_held.clone_from(&held);
        let hello = Hello {
            worker: self.config.worker.clone(),
            about: self.config.about.clone(),
            held,
            takes_name: self.config.take_name,
        };
        self.call(Kind::Hello, Call::Hello(Box::new(hello)));
    }

    fn send_heartbeat(&mut self) {
        let Some(owner) = self.owner() else { return };
        if !self.beat.is_free(self.now) {
            return;
        }
        let mut held = self.held();
        held.truncate(limits::HELD_MAX);
        self.beat_held.clone_from(&held);
        self.call(Kind::Beat, Call::Heartbeat { owner, held });
    }

    fn send_releases(&mut self) {
        let Some(owner) = self.owner() else { return };
        if self.releases.is_empty() || !self.release.is_free(self.now) {
            return;
        }
        let count = self.releases.len().min(limits::HELD_MAX);
        let releases = self.releases[..count].to_vec();
        self.releasing = count;
        self.call(Kind::Release, Call::Release { owner, releases });
    }

    fn send_reports(&mut self) {
        let Some(owner) = self.owner() else { return };
        if !self.observe.is_free(self.now) {
            return;
        }
        let now = self.now;
        // Smaller pieces get through a slow link in time where a full call does
        // not.
        let mut room = REPORT_BYTES >> self.observe.failures.min(HALVED_MAX);
        let mut reports = self.outbox.reports(room);
        for report in &reports {
            room = room.saturating_sub(report_bytes(report));
        }
        for report in self.partings.reports() {
            if reports.len() >= limits::HELD_MAX || room == 0 {
                break;
            }
            room = room.saturating_sub(report_bytes(report));
            reports.push(report.clone());
        }
        for running in self
            .slots
            .iter_mut()
            .filter_map(|slot| slot.running.as_mut())
        {
            if reports.len() >= limits::HELD_MAX || room == 0 {
                break;
            }
            if let Some(report) = running.journal.due(now) {
                room = room.saturating_sub(report_bytes(report));
                reports.push(report.clone());
            }
        }
        if reports.is_empty() {
            return;
        }
        self.observing.clone_from(&reports);
        self.call(Kind::Observe, Call::Observe { owner, reports });
    }

    /// Delivers outcomes, and asks for jobs in the same call.
    fn send_outcomes(&mut self) {
        if !self.deliver.is_free(self.now) {
            return;
        }
        if self.delivering.is_none() && self.outbox.has_ready() && !self.gathers() {
            let outcomes = self.outbox.offer();
            if outcomes.is_empty() {
                return;
            }
            let pending = self.pending(outcomes, self.room(), Duration::ZERO);
            self.delivering = Some(pending);
        }
        self.exchange(Kind::Deliver);
    }

    /// Asks for jobs and waits for them. This is a separate call, because
    /// outcomes must not wait behind it.
    fn ask_for_jobs(&mut self) {
        if self.asks_anew().is_some_and(|at| at <= self.now) {
            self.withdraw_fetch();
        }
        if !self.fetch.is_free(self.now) {
            return;
        }
        if self.fetching.is_none() {
            let free = self.room();
            if free.is_empty() {
                return;
            }
            let pending = self.pending(Vec::new(), free, self.wait());
            self.fetching = Some(pending);
        }
        self.exchange(Kind::Fetch);
    }

    /// When to ask anew because the question that waits for a job names fewer
    /// free slots of a device than there are by now: a job may need several
    /// devices at once.
    pub(super) fn asks_anew(&self) -> Option<Duration> {
        if self.devices.len() < 2 || self.delivering.is_some() || self.fetch.call.is_none() {
            return None;
        }
        let asked = self.fetching.as_ref().filter(|it| !it.free.is_empty())?;
        let named = |device: Device| {
            let free = asked.free.iter().find(|free| free.device == device);
            free.map_or(0, |free| free.slots as usize)
        };
        let mut devices = self.devices.iter();
        let more = devices.any(|device| self.free_slots(*device) > named(*device));
        more.then(|| self.fetch.sent_at + ANSWERED)
    }

    /// How many slots of a device have no job, and none that waits for them.
    fn free_slots(&self, device: Device) -> usize {
        let (slots, taken) = self.slots_and_jobs(device);
        slots.saturating_sub(taken)
    }

    /// How many slots of a device there are, and how many jobs for them.
    fn slots_and_jobs(&self, device: Device) -> (usize, usize) {
        let slots = self.slots_on(device).filter(|slot| !slot.stuck).count();
        let waiting = self.waiting.iter().filter(|job| job.placement.has(device));
        let running = self.slots_on(device).filter(|slot| slot.running.is_some());
        (slots, waiting.count() + running.count())
    }

    fn pending(&mut self, outcomes: Vec<Held>, free: Vec<Free>, wait: Duration) -> Pending {
        self.requests += 1;
        Pending {
            request: self.requests,
            outcomes,
            free,
            wait,
        }
    }

    fn exchange(&mut self, kind: Kind) {
        let pending = match kind {
            Kind::Deliver => &self.delivering,
            _ => &self.fetching,
        };
        let (Some(pending), Some(owner)) = (pending.clone(), self.owner()) else {
            return;
        };
        let exchange = Exchange {
            owner,
            request: pending.request,
            finishes: self.outbox.finishes(&pending.outcomes),
            free: pending.free,
        };
        let wait = pending.wait;
        self.call(kind, Call::Exchange { exchange, wait });
    }

    /// What is free: on each device its free slots and what to hold in advance,
    /// minus what was asked for already. Nothing if no jobs are wanted.
    fn room(&self) -> Vec<Free> {
        let blocked = self.drain.is_some()
            || self.idle_is_over()
            || !self.outbox.disk_is_well()
            || self.outbox.len() >= BACKLOG;
        if blocked {
            return Vec::new();
        }
        let mut most = WANT_MAX;
        let free = self.devices.iter().map(|device| {
            let free = self.room_on(*device, most);
            most -= free.jobs() as usize;
            free
        });
        free.filter(|free| free.jobs() > 0).collect()
    }

    /// What is free on a device, of at most this many jobs.
    fn room_on(&self, device: Device, most: usize) -> Free {
        let (slots, jobs) = self.slots_and_jobs(device);
        let ahead = self.brief_slots(device) * self.pace.expected();
        let asked = [&self.fetching, &self.delivering]
            .into_iter()
            .flatten()
            .flat_map(|pending| &pending.free)
            .filter(|free| free.device == device)
            .map(|free| free.jobs() as usize)
            .sum::<usize>();
        let taken = jobs + asked;
        let jobs = (slots + ahead).saturating_sub(taken).min(most);
        let slots = slots.saturating_sub(taken).min(jobs);
        Free {
            device,
            slots: slots as u32,
            ahead: (jobs - slots) as u32,
        }
    }

    /// The slots of a device; in place of one that is lent, the slot that it is
    /// lent to.
    pub(super) fn slots_on(&self, device: Device) -> impl Iterator<Item = &super::Slot> {
        let own = self.slots.iter().filter(move |slot| slot.device == device);
        own.map(|slot| slot.lent_to.map_or(slot, |index| &self.slots[index]))
    }

    /// How long the coordinator may wait for a job.
    fn wait(&self) -> Duration {
        // Jobs that reach an empty queue next may be of another sort, and
        // should not be taken in bulk. Without an answer the next question is a
        // small one.
        if self.pace.expected() > 1 {
            return Duration::ZERO;
        }
        let longest = limits::EXCHANGE_WAIT_MAX;
        match (self.config.exit_when_idle, self.idle_since) {
            (Some(patience), Some(since)) => {
                longest.min((since + patience).saturating_sub(self.now))
            }
            (Some(patience), None) => longest.min(patience),
            (None, _) => longest,
        }
    }

    /// Withdraws the question that waits for a job. It is asked again without
    /// waiting and without wanting new jobs, because jobs that were granted to
    /// it meanwhile must not be lost.
    pub(super) fn withdraw_fetch(&mut self) {
        let Some(pending) = self.fetching.as_mut() else {
            return;
        };
        pending.free.clear();
        pending.wait = Duration::ZERO;
        if let Some(call) = self.fetch.call.take() {
            self.effects.push(Effect::Abort(call));
        }
        self.fetch.not_before = self.now;
    }
}
