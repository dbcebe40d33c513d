//! What a worker that asks for jobs has left for them.

use std::cmp::Reverse;

use super::{Needs, Reservation};
use crate::offer::{Free, Offer};
use crate::placement::Placement;

/// What a worker that asks for jobs has left for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    devices: Vec<Spot>,
    /// Processors that no job has taken; none where it is not known how many
    /// there are.
    cpus: Option<u32>,
    /// The devices of each job that it holds.
    held: Vec<Placement>,
}

/// What is left of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spot {
    free: Free,
    /// Memory that no job has taken, in bytes; none where it is not known how
    /// much there is.
    memory: Option<u64>,
}

impl Spot {
    fn has_memory_for(&self, needs: &Needs) -> bool {
        needs
            .memory_bytes
            .is_none_or(|bytes| self.memory >= Some(bytes))
    }
}

impl Room {
    /// The room of a worker that holds no job.
    pub fn new(offer: &Offer, free: &[Free]) -> Self {
        let spot = |free: &Free| Spot {
            free: *free,
            memory: offer.memory_of(free.device),
        };
        Self {
            devices: free.iter().map(spot).collect(),
            cpus: offer.cpus,
            held: Vec::new(),
        }
    }

    /// Whether the worker takes another job.
    pub fn is_open(&self) -> bool {
        self.devices.iter().any(|spot| spot.free.jobs() > 0)
    }

    /// Notes that the worker holds a job on these devices. A job that waits for
    /// its slot counts too: it may begin at any time.
    pub fn hold(&mut self, needs: &Needs, placement: &Placement) {
        self.take_cpus(needs);
        self.held.push(placement.clone());
        let taken = needs.memory_bytes.unwrap_or(0);
        for spot in self.on(placement) {
            spot.memory = spot.memory.map(|memory| memory.saturating_sub(taken));
        }
    }

    /// Notes that the worker is granted a job on these devices.
    pub fn grant(&mut self, needs: &Needs, placement: &Placement) {
        self.hold(needs, placement);
        for Spot { free, .. } in self.on(placement) {
            if free.slots > 0 {
                free.slots -= 1;
            } else {
                free.ahead = free.ahead.saturating_sub(1);
            }
        }
    }

    /// Keeps devices for a job that does not fit yet: of a device with room for it
    /// its part is taken, and on the others only what has room beside it begins. The
    /// same holds for the processors.
    pub fn keep(&mut self, needs: &Needs, kept: &Reservation) {
        if let Some(most) = kept.cpus_beside {
            self.cpus = self.cpus.map(|cpus| cpus.min(most));
        }
        let taken = needs.memory_bytes.unwrap_or(0);
        for spot in self.on(&kept.placement) {
            // What is held in advance would begin in the slot that is kept.
            spot.free.ahead = 0;
            let mut busy = kept.busy.iter();
            let here = busy.find(|(device, _)| *device == spot.free.device);
            if let Some((_, beside)) = here {
                spot.free.slots = spot.free.slots.min(beside.slots);
                spot.memory = spot.memory.min(beside.memory);
            } else {
                spot.free.slots = spot.free.slots.saturating_sub(1);
                spot.memory = spot.memory.map(|memory| memory.saturating_sub(taken));
            }
        }
    }

    fn take_cpus(&mut self, needs: &Needs) {
        let taken = needs.cpus.unwrap_or(0);
        self.cpus = self.cpus.map(|cpus| cpus.saturating_sub(taken));
    }

    fn on(&mut self, placement: &Placement) -> impl Iterator<Item = &mut Spot> {
        let spots = self.devices.iter_mut();
        spots.filter(move |spot| placement.has(spot.free.device))
    }

    /// The devices for a job with these needs, of a worker that lacks none of
    /// them: those that have room, first the ones with the most free slots, so
    /// that jobs spread.
    pub fn place(&self, needs: &Needs) -> Option<Placement> {
        if needs.cpus.is_some_and(|cpus| self.cpus < Some(cpus)) {
            return None;
        }
        let count = needs.count();
        let fits = |spot: &&Spot| {
            let free = &spot.free;
            let open = free.slots > 0 || (count == 1 && free.ahead > 0);
            open && needs.may_run_on(free.device) && spot.has_memory_for(needs)
        };
        let fitting = self.devices.iter().filter(fits);
        let by_room = |spot: &Spot| (spot.free.slots, spot.free.ahead, Reverse(spot.free.device));
        if count == 1 {
            let best = fitting.max_by_key(|spot| by_room(spot));
            return best.map(|spot| spot.free.device.into());
        }
        let mut fitting: Vec<&Spot> = fitting.collect();
        if fitting.len() < count {
            return self.behind(needs).cloned();
        }
        fitting.sort_unstable_by_key(|spot| Reverse(by_room(spot)));
        let best = fitting[..count].iter().map(|spot| spot.free.device);
        Placement::new(best.collect())
    }

    /// The devices on which a job of several is held in advance: those of jobs of
    /// as many that share them with no others. They get free at once, and none of
    /// them is idle because the job waits for another one.
    fn behind(&self, needs: &Needs) -> Option<&Placement> {
        let spot = |device| self.devices.iter().find(|spot| spot.free.device == device);
        let ahead = |placement: &Placement| {
            let waits = |spot: &Spot| spot.free.slots == 0 && spot.has_memory_for(needs);
            let ahead = |device| Some(spot(device).filter(|it| waits(it))?.free.ahead);
            let least = placement.iter().map(|device| ahead(device).unwrap_or(0));
            least.min().unwrap_or(0)
        };
        let alone = |placement: &Placement| {
            let others = self.held.iter().filter(|other| *other != placement);
            let mut others = others.flat_map(Placement::iter);
            !others.any(|device| placement.has(device))
        };
        let fits = |placement: &&Placement| {
            placement.count() == needs.count()
                && placement.iter().all(|device| needs.may_run_on(device))
                && ahead(placement) > 0
                && alone(placement)
        };
        let fitting = self.held.iter().filter(fits);
        fitting.max_by_key(|placement| (ahead(placement), Reverse(*placement)))
    }
}
