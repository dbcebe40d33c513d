//! Where jobs find room, and where it is kept for those that do not fit yet, told
//! as naively as possible.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::Ledger;
use swath_model::device::Device;
use swath_model::id::WorkerName;
use swath_model::job::State;
use swath_model::needs::Needs;
use swath_model::offer::{Free, Offer};
use swath_model::placement::Placement;
use swath_model::time::Timestamp;
use swath_model::view::{Kept, WorkerState};

/// What is left of a worker in one exchange, besides what it holds.
pub(super) struct Left {
    free: Vec<Free>,
    /// How much memory of a device jobs may take, where some is kept.
    memory: BTreeMap<Device, u64>,
    /// The same of the processors.
    cpus: Option<u32>,
}

/// A job that a worker holds.
struct Held {
    index: usize,
    needs: Needs,
    placement: Placement,
    since: Timestamp,
}

/// What has to end before a job fits; none if it fits.
type Ends = Option<(bool, Timestamp)>;

impl Left {
    pub(super) const fn new(free: Vec<Free>) -> Self {
        Self {
            free,
            memory: BTreeMap::new(),
            cpus: None,
        }
    }

    pub(super) fn take(&mut self, needs: &Needs, placement: &Placement) {
        for free in self.free.iter_mut().filter(|it| placement.has(it.device)) {
            if free.slots > 0 {
                free.slots -= 1;
            } else {
                free.ahead -= 1;
            }
            if let Some(left) = self.memory.get_mut(&free.device) {
                *left = left.saturating_sub(needs.memory_bytes.unwrap_or(0));
            }
        }
        let cpus = needs.cpus.unwrap_or(0);
        self.cpus = self.cpus.map(|left| left.saturating_sub(cpus));
    }
}

impl Ledger {
    /// The jobs that may be granted, in the order of grants.
    pub(super) fn waiting(&self, now: Timestamp) -> Vec<usize> {
        let rested = |index: &usize| match self.jobs[*index].job.state {
            State::Queued { not_before } => not_before <= now,
            _ => false,
        };
        let waiting = (0..self.jobs.len()).filter(rested);
        let mut waiting: Vec<_> = waiting
            .filter_map(|index| Some((Reverse(self.urgency(index)?), index)))
            .collect();
        waiting.sort_unstable();
        waiting.into_iter().map(|(_, index)| index).collect()
    }

    fn held_by(&self, worker: &WorkerName) -> Vec<Held> {
        let mut held = Vec::new();
        for (index, row) in self.jobs.iter().enumerate() {
            let lease = row.job.lease();
            if let Some(attempt) = row.attempts.last()
                && lease.is_some_and(|lease| lease.owner.worker == *worker)
            {
                held.push(Held {
                    index,
                    needs: self.needs(index),
                    placement: attempt.placement.clone(),
                    since: attempt.granted_at,
                });
            }
        }
        held
    }

    /// Where the worker has room for a job, beside all that it holds and keeps:
    /// the devices with the most free slots.
    pub(super) fn place(
        &self,
        worker: &WorkerName,
        index: usize,
        left: &Left,
    ) -> Option<Placement> {
        let needs = self.needs(index);
        let offer = &self.workers.get(worker)?.about.offer;
        let held = self.held_by(worker);
        let cpus: u32 = held.iter().filter_map(|it| it.needs.cpus).sum();
        if let Some(own) = needs.cpus
            && (offer.cpus.is_none_or(|all| cpus + own > all)
                || left.cpus.is_some_and(|left| own > left))
        {
            return None;
        }
        let mut fitting: Vec<&Free> = Vec::new();
        for free in &left.free {
            let device = free.device;
            let open = free.slots > 0 || (needs.count() == 1 && free.ahead > 0);
            let right = needs.device.is_none_or(|kind| kind == device.kind());
            let most = left.memory.get(&device).copied().unwrap_or(u64::MAX);
            let enough = needs.memory_bytes.is_none_or(|own| own <= most);
            let there = on(&held, device);
            if open && right && enough && has_memory(offer, device, &there, &needs) {
                fitting.push(free);
            }
        }
        fitting.sort_by_key(|free| Reverse((free.slots, free.ahead, Reverse(free.device))));
        if needs.count() > 1 && fitting.len() < needs.count() {
            return behind(offer, &held, &needs, left);
        }
        let best = fitting.get(..needs.count())?;
        Placement::new(best.iter().map(|free| free.device).collect())
    }

    /// Keeps what the worker keeps for a job that does not fit, if it does.
    pub(super) fn keep(&self, worker: &WorkerName, index: usize, left: &mut Left, now: Timestamp) {
        let needs = self.needs(index);
        if !is_large(&needs) {
            return;
        }
        let Some((ends, own)) = self.keeps(worker, index) else {
            return;
        };
        if ends.is_some() && !self.reserved(now).contains(&own) {
            return;
        }
        let Some(row) = self.workers.get(worker) else {
            return;
        };
        let (offer, held) = (&row.about.offer, self.held_by(worker));
        let bytes = needs.memory_bytes.unwrap_or(0);
        let kept = left.free.iter_mut();
        for free in kept.filter(|it| own.devices.has(it.device)) {
            let device = free.device;
            let there = on(&held, device);
            let passed = self.passed(index, &there);
            let now = left.memory.get(&device).copied().unwrap_or(u64::MAX);
            let now = now.min(memory_beside(offer, device, &there));
            free.ahead = 0;
            if own.busy.contains(&device) {
                let later = memory_beside(offer, device, &passed);
                let fits = fits(offer, device, &passed, &needs);
                let slots = slots(offer, device).saturating_sub(passed.len() + 1);
                free.slots = free.slots.min(if fits { slots as u32 } else { 0 });
                left.memory
                    .insert(device, now.min(later.saturating_sub(bytes)));
            } else {
                free.slots = free.slots.saturating_sub(1);
                left.memory.insert(device, now.saturating_sub(bytes));
            }
        }
        if let Some(cpus) = needs.cpus {
            let all: Vec<&Held> = held.iter().collect();
            let now = cpus_beside(offer, &all);
            let later = cpus_beside(offer, &self.passed(index, &all));
            let most = if now >= cpus { now } else { later };
            let most = most.saturating_sub(cpus);
            left.cpus = Some(left.cpus.unwrap_or(u32::MAX).min(most));
        }
    }

    /// The room that is kept for jobs, in the order of grants.
    pub fn reserved(&self, now: Timestamp) -> Vec<Kept> {
        let mut seen: Vec<Needs> = Vec::new();
        let mut kept: Vec<Kept> = Vec::new();
        for index in self.waiting(now) {
            let needs = self.needs(index);
            if !is_large(&needs) || seen.contains(&needs) {
                continue;
            }
            let mut best: Option<(Ends, Kept)> = None;
            for (name, row) in &self.workers {
                let active = row.state == WorkerState::Active && !row.silent;
                let taken = kept.iter().any(|kept| kept.worker == *name);
                if !active || taken || !self.allows(name, index, now) {
                    continue;
                }
                let keeps = self.keeps(name, index);
                if let Some(keeps) = keeps
                    && keeps.0.is_some()
                    && best.as_ref().is_none_or(|(ends, _)| keeps.0 < *ends)
                {
                    best = Some(keeps);
                }
            }
            kept.extend(best.map(|(_, kept)| kept));
            seen.push(needs);
        }
        kept
    }

    /// What a worker that lacks nothing of it would keep for a job, and what has
    /// to end before.
    fn keeps(&self, worker: &WorkerName, index: usize) -> Option<(Ends, Kept)> {
        let needs = self.needs(index);
        let offer = &self.workers.get(worker)?.about.offer;
        let held = self.held_by(worker);
        let mut devices: Vec<(Ends, Device)> = Vec::new();
        for device in &offer.slots {
            let known = devices.iter().any(|(_, known)| known == device);
            let right = needs.device.is_none_or(|kind| kind == device.kind());
            if known || !right || !has_memory(offer, *device, &[], &needs) {
                continue;
            }
            let there = on(&held, *device);
            let passed = self.passed(index, &there);
            let ends = if fits(offer, *device, &there, &needs) {
                None
            } else if fits(offer, *device, &passed, &needs) {
                self.ends(index, &self.old(index, &there))
            } else {
                self.ends(index, &there)
            };
            devices.push((ends, *device));
        }
        devices.sort_unstable();
        devices.truncate(needs.count());
        let with_cpus = held.iter().filter(|it| it.needs.cpus.is_some());
        let with_cpus: Vec<&Held> = with_cpus.collect();
        let own = needs.cpus.unwrap_or(0);
        let on_cpus = if cpus_beside(offer, &with_cpus) >= own {
            None
        } else if cpus_beside(offer, &self.passed(index, &with_cpus)) >= own {
            self.ends(index, &self.old(index, &with_cpus))
        } else {
            self.ends(index, &with_cpus)
        };
        let ends = devices.iter().map(|(ends, _)| *ends);
        let ends = ends.chain([on_cpus]).max().flatten();
        let busy = devices.iter().filter(|(ends, _)| ends.is_some());
        let kept = Kept {
            job: self.jobs[index].digest,
            worker: worker.clone(),
            busy: busy
                .map(|(_, device)| *device)
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
            cpus: on_cpus.is_some(),
            devices: Placement::new(devices.iter().map(|(_, device)| *device).collect())?,
        };
        Some((ends, kept))
    }

    /// Whether some of these jobs have not passed the one that waits, and when the
    /// newest of them was granted.
    fn ends(&self, index: usize, held: &[&Held]) -> Ends {
        let newest = held.iter().map(|it| it.since).max()?;
        Some((!self.old(index, held).is_empty(), newest))
    }

    /// Those of these jobs that were granted while one waited that goes before them.
    fn passed<'a>(&self, index: usize, held: &[&'a Held]) -> Vec<&'a Held> {
        let State::Queued { not_before } = self.jobs[index].job.state else {
            return Vec::new();
        };
        let order = |index: usize| Some((Reverse(self.urgency(index)?), index));
        let passed = |it: &&&Held| {
            let later = order(it.index).is_none_or(|it| Some(it) > order(index));
            it.since >= not_before && later
        };
        held.iter().filter(passed).copied().collect()
    }

    /// The others.
    fn old<'a>(&self, index: usize, held: &[&'a Held]) -> Vec<&'a Held> {
        let passed = self.passed(index, held);
        let old = |it: &&&Held| !passed.iter().any(|passed| passed.index == it.index);
        held.iter().filter(old).copied().collect()
    }
}

/// Where a job of several devices is held in advance: behind one that has as many,
/// and shares none of them.
fn behind(offer: &Offer, held: &[Held], needs: &Needs, left: &Left) -> Option<Placement> {
    let mut best: Option<(u32, Placement)> = None;
    for placement in held.iter().map(|it| &it.placement) {
        if placement.count() != needs.count() {
            continue;
        }
        let mut least = u32::MAX;
        for device in placement.iter() {
            let free = left.free.iter().find(|it| it.device == device);
            let there = on(held, device);
            let most = left.memory.get(&device).copied().unwrap_or(u64::MAX);
            let right = needs.device.is_none_or(|kind| kind == device.kind())
                && needs.memory_bytes.is_none_or(|own| own <= most)
                && has_memory(offer, device, &there, needs)
                && there.iter().all(|it| it.placement == *placement);
            let ahead = free.filter(|it| right && it.slots == 0);
            least = least.min(ahead.map_or(0, |it| it.ahead));
        }
        let better = best
            .as_ref()
            .is_none_or(|(ahead, known)| (least, Reverse(placement)) > (*ahead, Reverse(known)));
        if least > 0 && better {
            best = Some((least, placement.clone()));
        }
    }
    best.map(|(_, placement)| placement)
}

/// Whether there is room for one more job on a device with these.
fn fits(offer: &Offer, device: Device, there: &[&Held], needs: &Needs) -> bool {
    there.len() < slots(offer, device) && has_memory(offer, device, there, needs)
}

fn on(held: &[Held], device: Device) -> Vec<&Held> {
    held.iter().filter(|it| it.placement.has(device)).collect()
}

fn slots(offer: &Offer, device: Device) -> usize {
    offer.slots.iter().filter(|slot| **slot == device).count()
}

/// The memory of a device beside these jobs; none where it is not known.
fn memory_beside(offer: &Offer, device: Device, there: &[&Held]) -> u64 {
    let taken: u64 = there.iter().filter_map(|it| it.needs.memory_bytes).sum();
    offer.memory_of(device).unwrap_or(0).saturating_sub(taken)
}

/// The processors beside these jobs.
fn cpus_beside(offer: &Offer, held: &[&Held]) -> u32 {
    let taken: u32 = held.iter().filter_map(|it| it.needs.cpus).sum();
    offer.cpus.unwrap_or(0).saturating_sub(taken)
}

/// Whether a free slot may not be enough.
fn is_large(needs: &Needs) -> bool {
    needs.memory_bytes.is_some() || needs.cpus.is_some() || needs.count() > 1
}

/// Whether a device has memory for one more job beside these.
fn has_memory(offer: &Offer, device: Device, there: &[&Held], needs: &Needs) -> bool {
    needs
        .memory_bytes
        .is_none_or(|own| own <= memory_beside(offer, device, there))
}
