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
#[derive(Clone, Debug)]
pub struct Hold<J> {
    /// The job; none if nobody wants it any more.
    job: Option<J>,
    memory_bytes: u64,
    cpus: Option<u32>,
    placement: Placement,
    since: Timestamp,
}

impl<J> Hold<J> {
    /// A job with these needs that was granted at the time `since`; none if nobody
    /// wants it any more.
    pub fn new(job: Option<J>, needs: &Needs, placement: Placement, since: Timestamp) -> Self {
        Self {
            job,
            memory_bytes: needs.memory_bytes.unwrap_or(0),
            cpus: needs.cpus,
            placement,
            since,
        }
    }
}

/// A worker that takes jobs, with all that it holds.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a, J> {
    /// What it offers.
    pub offer: &'a Offer,
    /// What it holds.
    pub held: &'a [Hold<J>],
}

/// Room that is kept on a worker for a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The devices on which the job is to run.
    pub placement: Placement,
    /// Those of them on which it does not fit yet, with what may begin there.
    pub busy: Vec<(Device, Beside)>,
    /// Whether too few processors are left for it.
    pub cpus: bool,
    /// How many processors others may take; none where it needs none.
    pub cpus_beside: Option<u32>,
    /// What has to end before the job fits; none if it fits already.
    pub ends: Option<Ends>,
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

/// Which jobs have to end before one fits. The worker with the least of these
/// keeps room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ends {
    /// Whether some of them have not passed it.
    old: bool,
    /// When the newest was granted.
    newest: Timestamp,
}

/// On which of these workers room is kept for a job; of several that are equal, on
/// the first. Each job is the first of its kind; they are asked for in the order of
/// grants, and a worker keeps room for one job at a time. `ends` says what has to
/// end on a worker before the job fits; none where it fits already or may not run.
pub fn keeper<W: Copy>(
    idle: impl IntoIterator<Item = W>,
    mut ends: impl FnMut(W) -> Option<Ends>,
) -> Option<W> {
    let could = idle.into_iter();
    let could = could.filter_map(|worker| Some((ends(worker)?, worker)));
    could
        .min_by_key(|(ends, _)| *ends)
        .map(|(_, worker)| worker)
}

impl<J: Copy + Ord> Candidate<'_, J> {
    /// What the worker would keep for a job, if it can run it.
    pub fn reservation(&self, waits: &Waits<'_, J>) -> Option<Reservation> {
        let needs = waits.needs;
        let large = |device: &Device| {
            let memory = self.offer.memory_of(*device);
            needs.memory_bytes.is_none_or(|bytes| memory >= Some(bytes))
        };
        let devices = needs.devices_of(self.offer).into_iter().filter(large);
        let mut devices: Vec<(Option<Ends>, Device, Beside)> = devices
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
            busy: busy.map(|(_, device, beside)| (*device, *beside)).collect(),
            placement: Placement::new(devices.iter().map(|(_, device, _)| *device).collect())?,
            cpus: on_cpus.is_some(),
            cpus_beside,
            ends: ends.chain([on_cpus]).max().flatten(),
        })
    }

    /// Which jobs of a device have to end; none if there is room beside them. And
    /// what jobs may begin there nevertheless.
    fn ends_on(&self, device: Device, waits: &Waits<'_, J>) -> (Option<Ends>, Beside) {
        let held = || self.held.iter().filter(|it| it.placement.has(device));
        let slots = self.offer.slots.iter().filter(|slot| **slot == device);
        let left = |all: usize, jobs: usize| all.saturating_sub(jobs) as u32;
        let memory = |taken: u64| {
            let all = self.offer.memory_of(device);
            all.map(|all| all.saturating_sub(taken))
        };
        let slots = slots.count();
        let bytes = |it: &Hold<J>| it.memory_bytes;
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
    fn ends_of_cpus(&self, waits: &Waits<'_, J>) -> (Option<Ends>, Option<u32>) {
        let Some(own) = waits.needs.cpus else {
            return (None, None);
        };
        let held = || self.held.iter().filter(|it| it.cpus.is_some());
        let cpus = |it: &Hold<J>| it.cpus.unwrap_or(0);
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
    fn ends<'a>(&self, held: impl Iterator<Item = &'a Hold<J>>) -> Option<Ends>
    where
        J: 'a,
    {
        let each = held.map(|it| Ends {
            old: !self.is_passed_by(it),
            newest: it.since,
        });
        each.reduce(|one, other| Ends {
            old: one.old || other.old,
            newest: one.newest.max(other.newest),
        })
    }

    /// Whether a job that is granted later than this one was granted while it
    /// waited.
    fn is_passed_by(&self, hold: &Hold<J>) -> bool {
        hold.since >= self.since && hold.job.is_none_or(|job| job > self.job)
    }
}

#[cfg(test)]
mod tests;
