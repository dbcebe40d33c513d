//! For which of the jobs that do not fit now room is kept, and on which worker.
//!
//! Jobs that need little would pass one that needs several devices, or much
//! memory, for ever. So for the first such job of each kind one worker begins
//! nothing on as many devices as the job needs, until it fits; only what has room
//! beside it, and beside all that has passed it, may begin there. That follows
//! from what is held at the moment and is stored nowhere: when the job is gone,
//! so is its reservation.
//!
//! The worker is one where all jobs that have to end have passed the waiting
//! one: there jobs end more often than elsewhere. As long as there is none, it is
//! one where older jobs run. Of several, it is the one where the newest of these
//! jobs was granted first. On it that time can only fall, because nothing begins
//! there; on others it rises with every grant. So another worker takes its place
//! only with jobs that were granted earlier still. When the jobs that ran as the
//! waiting one became the next have ended, in whatever order, only such are left
//! as have passed it; and when those have ended too, it has room.
//!
//! A worker on which the job fits takes it when it asks for all that it has free,
//! and keeps room for it until then. It is not the one that is chosen: something
//! may be wrong with it, so that it never asks.

use super::Needs;
use crate::device::Device;
use crate::offer::Offer;
use crate::placement::Placement;
use crate::time::Timestamp;

/// A job that waits. Jobs are ordered as they are granted.
#[derive(Clone, Copy, Debug)]
pub struct Waits<'a, J> {
    /// The job.
    pub job: J,
    /// What it needs.
    pub needs: &'a Needs,
    /// Since when it may be granted.
    pub since: Timestamp,
}

/// A job that a worker holds.
#[derive(Clone, Copy, Debug)]
pub struct Hold<'a, J> {
    /// The job; none if nobody wants it any more.
    pub job: Option<J>,
    /// What it needs.
    pub needs: &'a Needs,
    /// Where it runs.
    pub placement: &'a Placement,
    /// When it was granted.
    pub since: Timestamp,
}

/// A worker that takes jobs, with all that it holds. Workers are ordered by
/// name.
#[derive(Clone, Debug)]
pub struct Candidate<'a, J, W> {
    /// The worker.
    pub worker: W,
    /// What it offers.
    pub offer: &'a Offer,
    /// What it holds.
    pub held: Vec<Hold<'a, J>>,
}

/// Room that is kept on a worker for a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation<J, W> {
    /// The job.
    pub job: J,
    /// The worker.
    pub worker: W,
    /// The devices on which the job is to run.
    pub placement: Placement,
    /// Those of them on which it does not fit yet, with what may begin there.
    pub busy: Vec<(Device, Beside)>,
    /// Whether too few processors are left for it.
    pub cpus: bool,
    /// How many processors others may take; none where it needs none.
    pub cpus_beside: Option<u32>,
    ends: Ends,
}

/// What may begin on a device where a job waits for others to end, because there
/// is room for it beside the job and all that has passed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beside {
    /// So many jobs.
    pub slots: u32,
    /// With so much memory, in bytes; none where it is not known how much there
    /// is.
    pub memory: Option<u64>,
}

/// Which jobs have to end before one fits: whether some of them have not passed
/// it, and when the newest was granted. None if it fits.
type Ends = Option<(bool, Timestamp)>;

impl<J, W> Reservation<J, W> {
    /// Whether the job fits there already.
    pub const fn is_room(&self) -> bool {
        self.ends.is_none()
    }
}

/// The reservations for these jobs, each the first of its kind, in the order in
/// which they are granted, on workers where they do not fit yet. A worker keeps room for one job at a time; `may`
/// says whether a worker may run a job at all.
pub fn reservations<'a, J: Copy + Ord, W: Copy + Ord>(
    jobs: impl IntoIterator<Item = Waits<'a, J>>,
    workers: &[Candidate<'_, J, W>],
    may: impl Fn(J, W) -> bool,
) -> Vec<Reservation<J, W>> {
    let mut kept: Vec<Reservation<J, W>> = Vec::new();
    for waits in jobs {
        let is_idle = |it: &&Candidate<'_, J, W>| {
            may(waits.job, it.worker) && kept.iter().all(|kept| kept.worker != it.worker)
        };
        let idle = workers.iter().filter(is_idle);
        let could = idle.filter_map(|it| it.reservation(&waits));
        let could = could.filter(|it| !it.is_room());
        let best = could.min_by_key(|it| (it.ends, it.worker));
        kept.extend(best);
    }
    kept
}

impl<J: Copy + Ord, W: Copy> Candidate<'_, J, W> {
    /// What the worker would keep for a job, if it can run it.
    pub fn reservation(&self, waits: &Waits<'_, J>) -> Option<Reservation<J, W>> {
        let needs = waits.needs;
        let large = |device: &Device| {
            let memory = self.offer.memory_of(*device);
            needs.memory_bytes.is_none_or(|bytes| memory >= Some(bytes))
        };
        let devices = needs.devices_of(self.offer).into_iter().filter(large);
        let mut devices: Vec<(Ends, Device, Beside)> = devices
            .map(|device| {
                let (ends, beside) = self.ends_on(device, waits);
                (ends, device, beside)
            })
            .collect();
        let count = needs.count();
        let has_cpus = needs.cpus.is_none_or(|cpus| self.offer.cpus >= Some(cpus));
        if devices.len() < count || !has_cpus {
            return None;
        }
        devices.sort_unstable_by_key(|(ends, device, _)| (*ends, *device));
        devices.truncate(count);
        let (on_cpus, cpus_beside) = self.ends_of_cpus(waits);
        let ends = devices.iter().map(|(ends, ..)| *ends);
        let busy = devices.iter().filter(|(ends, ..)| ends.is_some());
        Some(Reservation {
            job: waits.job,
            worker: self.worker,
            busy: busy.map(|(_, device, beside)| (*device, *beside)).collect(),
            placement: Placement::new(devices.iter().map(|(_, device, _)| *device).collect())?,
            cpus: on_cpus.is_some(),
            cpus_beside,
            ends: ends.chain([on_cpus]).max().flatten(),
        })
    }

    /// Which jobs of a device have to end; none if there is room beside them. And
    /// what jobs may begin there nevertheless.
    fn ends_on(&self, device: Device, waits: &Waits<'_, J>) -> (Ends, Beside) {
        let held = || self.held.iter().filter(|it| it.placement.has(device));
        let slots = self.offer.slots.iter().filter(|slot| **slot == device);
        let left = |all: usize, jobs: usize| all.saturating_sub(jobs) as u32;
        let memory = |taken: u64| {
            let all = self.offer.memory_of(device);
            all.map(|all| all.saturating_sub(taken))
        };
        let slots = slots.count();
        let bytes = |it: &Hold<'_, J>| it.needs.memory_bytes.unwrap_or(0);
        let passed = || held().filter(|it| waits.is_passed_by(it));
        let now = (left(slots, held().count()), memory(held().map(bytes).sum()));
        let later = (
            left(slots, passed().count()),
            memory(passed().map(bytes).sum()),
        );
        let own = waits.needs.memory_bytes;
        let fits = |(slots, memory): (u32, Option<u64>)| {
            slots > 0 && own.is_none_or(|bytes| memory >= Some(bytes))
        };
        let beside = Beside {
            slots: later.0.saturating_sub(1),
            memory: later.1.map(|left| left.saturating_sub(own.unwrap_or(0))),
        };
        if fits(now) {
            (None, beside)
        } else if fits(later) {
            let old = held().filter(|it| !waits.is_passed_by(it));
            (waits.ends(old), beside)
        } else {
            let slots = 0;
            (waits.ends(held()), Beside { slots, ..beside })
        }
    }

    /// The same of the jobs that take processors, and how many others may take.
    fn ends_of_cpus(&self, waits: &Waits<'_, J>) -> (Ends, Option<u32>) {
        let Some(own) = waits.needs.cpus else {
            return (None, None);
        };
        let held = || self.held.iter().filter(|it| it.needs.cpus.is_some());
        let cpus = |it: &Hold<'_, J>| it.needs.cpus.unwrap_or(0);
        let passed = held().filter(|it| waits.is_passed_by(it)).map(cpus);
        let all = self.offer.cpus.unwrap_or(0);
        let now = all.saturating_sub(held().map(cpus).sum());
        let later = all.saturating_sub(passed.sum());
        if now >= own {
            (None, Some(now - own))
        } else if later >= own {
            let old = held().filter(|it| !waits.is_passed_by(it));
            (waits.ends(old), Some(later - own))
        } else {
            (waits.ends(held()), Some(0))
        }
    }
}

impl<J: Copy + Ord> Waits<'_, J> {
    fn ends<'a>(&self, held: impl Iterator<Item = &'a Hold<'a, J>>) -> Ends
    where
        J: 'a,
    {
        held.map(|it| (!self.is_passed_by(it), it.since))
            .reduce(|one, other| (one.0 || other.0, one.1.max(other.1)))
    }

    /// Whether a job that is granted later than this one was granted while it
    /// waited.
    fn is_passed_by(&self, hold: &Hold<'_, J>) -> bool {
        hold.since >= self.since && hold.job.is_none_or(|job| job > self.job)
    }
}

#[cfg(test)]
mod tests;
