//! Whether every job gets its turn, whatever ends when.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::super::Room;
use super::*;
use crate::device::DeviceKind;
use crate::offer::{DeviceAbout, Free};

/// A job that runs.
#[derive(Clone, Debug)]
struct Runs {
    job: u64,
    worker: usize,
    needs: Needs,
    placement: Placement,
    since: Timestamp,
}

/// Workers, what they run, and what waits; after that come jobs without end
/// that need nothing but a slot.
struct Lab {
    offers: Vec<Offer>,
    runs: Vec<Runs>,
    /// In the order in which they are granted, with when they came.
    waits: Vec<(u64, Needs, Timestamp)>,
    jobs: u64,
    clock: i64,
    /// Whether the first worker is there and never asks.
    is_first_mute: bool,
}

impl Lab {
    fn new(offers: Vec<Offer>) -> Self {
        Self {
            offers,
            runs: Vec::new(),
            waits: Vec::new(),
            jobs: 0,
            clock: 0,
            is_first_mute: false,
        }
    }

    fn submit(&mut self, needs: Needs) -> u64 {
        self.jobs += 1;
        let now = Timestamp::from_ms(self.clock);
        self.waits.push((self.jobs, needs, now));
        self.jobs
    }

    fn of(&self, worker: usize) -> impl Iterator<Item = &Runs> {
        self.runs.iter().filter(move |it| it.worker == worker)
    }

    fn free(&self, worker: usize) -> Vec<Free> {
        let slots = &self.offers[worker].slots;
        let mut free: Vec<Free> = Vec::new();
        for device in slots {
            if free.iter().any(|free| free.device == *device) {
                continue;
            }
            let all = slots.iter().filter(|slot| *slot == device).count();
            let taken = self.of(worker).filter(|it| it.placement.has(*device));
            free.push(Free {
                device: *device,
                slots: (all - taken.count()) as u32,
                ahead: 0,
            });
        }
        free
    }

    /// The reservations among jobs of a kind of their own each, with the job and
    /// the worker.
    fn reservations(&self) -> Vec<(u64, usize, Reservation)> {
        let held = |worker| {
            let runs = self.of(worker);
            let held =
                runs.map(|it| Hold::new(Some(it.job), &it.needs, it.placement.clone(), it.since));
            held.collect()
        };
        let held: Vec<Vec<Hold<u64>>> = (0..self.offers.len()).map(held).collect();
        let large = self
            .waits
            .iter()
            .filter(|(_, needs, _)| needs.may_not_fit());
        let mut firsts: Vec<Waits<'_, u64>> = Vec::new();
        for (job, needs, since) in large {
            if firsts.iter().all(|other| other.needs != needs) {
                let (job, since) = (*job, *since);
                firsts.push(Waits { job, needs, since });
            }
        }
        let mut kept: Vec<(u64, usize, Reservation)> = Vec::new();
        for waits in firsts {
            let would = |worker: usize| {
                let (offer, held) = (&self.offers[worker], &held[worker]);
                let may = waits.needs.lacking(offer).is_none();
                may.then(|| Candidate { offer, held }.reservation(&waits))?
            };
            let idle = (0..held.len()).filter(|worker| kept.iter().all(|it| it.1 != *worker));
            let keeper = keeper(idle, |worker| would(worker)?.ends);
            kept.extend(keeper.and_then(|worker| Some((waits.job, worker, would(worker)?))));
        }
        kept
    }

    /// A worker with free slots asks for jobs.
    fn ask(&mut self, worker: usize) {
        if worker == 0 && self.is_first_mute {
            return;
        }
        let mut room = Room::new(&self.offers[worker], &self.free(worker));
        for it in self.of(worker) {
            room.hold(&it.needs, &it.placement);
        }
        let mut refused: Vec<Needs> = Vec::new();
        for (job, needs, _) in self.waits.clone() {
            if needs.lacking(&self.offers[worker]).is_some() || refused.contains(&needs) {
                continue;
            }
            if let Some(placement) = room.place(&needs) {
                self.grant(&mut room, (job, worker), needs, placement);
                continue;
            }
            let kept = self.reservations();
            if let Some((.., kept)) = kept.iter().find(|it| (it.0, it.1) == (job, worker)) {
                room.keep(&needs, kept);
            }
            refused.push(needs);
        }
        while let Some(placement) = room.place(&Needs::default()) {
            self.jobs += 1;
            self.grant(&mut room, (self.jobs, worker), Needs::default(), placement);
        }
    }

    fn grant(
        &mut self,
        room: &mut Room,
        (job, worker): (u64, usize),
        needs: Needs,
        placement: Placement,
    ) {
        room.grant(&needs, &placement);
        self.waits.retain(|it| it.0 != job);
        self.runs.push(Runs {
            job,
            worker,
            needs,
            placement,
            since: Timestamp::from_ms(self.clock),
        });
    }

    /// A job ends; its worker asks first, then all others that have a free slot.
    fn end(&mut self, at: usize) {
        self.clock += 1;
        let ended = self.runs.remove(at);
        self.ask(ended.worker);
        self.all_ask();
    }

    /// Until nobody gets anything: what one gets may free what was kept on
    /// another.
    fn all_ask(&mut self) {
        loop {
            let before = self.runs.len();
            for worker in 0..self.offers.len() {
                self.ask(worker);
            }
            if self.runs.len() == before {
                return;
            }
        }
    }

    /// No device and no host has more than it can hold, and slots are idle only
    /// where they are kept for a job, on one worker for each.
    fn check(&self) -> Result<(), TestCaseError> {
        let kept = self.reservations();
        for (worker, offer) in self.offers.iter().enumerate() {
            let cpus: u32 = self.of(worker).filter_map(|it| it.needs.cpus).sum();
            prop_assert!(cpus <= offer.cpus.unwrap_or(0));
            let here: Vec<_> = kept.iter().filter(|it| it.1 == worker).collect();
            prop_assert!(here.len() <= 1);
            for free in self.free(worker) {
                let device = free.device;
                let there = self.of(worker).filter(|it| it.placement.has(device));
                let memory: u64 = there.filter_map(|it| it.needs.memory_bytes).sum();
                prop_assert!(memory <= offer.memory_of(device).unwrap_or(0));
                let is_kept = here.iter().any(|it| it.2.placement.has(device));
                prop_assert!(free.slots == 0 || is_kept, "{device} of {worker} is idle");
            }
        }
        Ok(())
    }
}

fn offer() -> impl Strategy<Value = Offer> {
    let gpus = vec((1..3_usize, 4..12_u64), 1..5);
    (gpus, 2..9_u32).prop_map(|(gpus, cpus)| {
        let mut offer = Offer {
            cpus: Some(cpus),
            ..Offer::default()
        };
        for (number, (slots, memory_bytes)) in (0..).zip(gpus) {
            let device = Device::Cuda(number);
            offer.slots.extend(vec![device; slots]);
            offer.devices.push(DeviceAbout {
                device,
                model: String::new(),
                memory_bytes,
            });
        }
        offer
    })
}

fn needs(count: u16, memory: u64, cpus: u32) -> impl Strategy<Value = Needs> {
    let parts = (
        1..=count,
        option::of(1..=memory),
        option::of(1..=cpus),
        any::<bool>(),
    );
    parts.prop_map(|(count, memory_bytes, cpus, gpu)| Needs {
        device: (gpu || count > 1).then_some(DeviceKind::Cuda),
        count: (count > 1).then_some(count),
        memory_bytes,
        cpus,
        ..Needs::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// When the jobs that ran as a job became the next one have ended, and then
    /// those that had passed it, it has been granted, however many others ended in
    /// between, and in whatever order. And while it waits, nothing is idle but what
    /// is kept for it.
    #[test]
    fn every_job_gets_its_turn(
        offers in vec(offer(), 1..4),
        small in vec(needs(1, 3, 2), 0..12),
        large in vec(needs(4, 10, 8), 1..4),
        ends in vec(any::<u16>(), 0..60),
        last in vec(any::<u16>(), 64),
    ) {
        let mut lab = Lab::new(offers);
        for needs in small {
            lab.submit(needs);
        }
        lab.all_ask();
        lab.waits.clear();
        let can = |lab: &Lab, needs: &Needs| {
            lab.offers.iter().any(|offer| needs.lacking(offer).is_none())
        };
        let mut large = large.into_iter().filter(|needs| can(&lab, needs)).collect::<Vec<_>>();
        let mut last = last.into_iter().cycle();
        // Each in turn is the next one.
        let all: Vec<u64> = large.drain(..).map(|needs| lab.submit(needs)).collect();
        lab.all_ask();
        lab.check()?;
        for job in all {
            for _generation in 0..2 {
                let old = lab.jobs;
                for end in &ends {
                    lab.end(usize::from(*end) % lab.runs.len());
                    lab.check()?;
                }
                loop {
                    let of_old = lab.runs.iter().enumerate().filter(|(_, it)| it.job <= old);
                    let of_old: Vec<usize> = of_old.map(|(at, _)| at).collect();
                    let Some(pick) = last.next().filter(|_| !of_old.is_empty()) else { break };
                    lab.end(of_old[usize::from(pick) % of_old.len()]);
                    lab.check()?;
                }
            }
            prop_assert!(lab.waits.iter().all(|it| it.0 != job), "{job} still waits");
        }
        prop_assert!(lab.waits.is_empty());
    }

    /// Where jobs end often, a job need not wait for those elsewhere, which may
    /// take days, nor for a worker that does not ask: after two generations of them
    /// it has its turn.
    #[test]
    fn a_job_waits_where_jobs_end(
        offers in vec(offer(), 2..4),
        ends in vec(any::<u16>(), 64),
        is_first_mute in any::<bool>(),
    ) {
        let mut lab = Lab::new(offers);
        lab.is_first_mute = is_first_mute;
        lab.all_ask();
        let slots = lab.offers[1].slots.len();
        let count = lab.offers[1].devices.len() as u16;
        let job = lab.submit(Needs {
            device: Some(DeviceKind::Cuda),
            count: Some(count).filter(|count| *count > 1),
            cpus: Some(1),
            ..Needs::default()
        });
        lab.clock += 1;
        lab.all_ask();
        let mut ends = ends.into_iter().cycle();
        let mut ended: Vec<u64> = Vec::new();
        for _generation in 0..2 {
            // Only on the second worker, each job once.
            let there: Vec<u64> = lab.of(1).map(|it| it.job).collect();
            prop_assert!(there.len() <= slots);
            let mut there = there;
            while !there.is_empty() && lab.waits.iter().any(|it| it.0 == job) {
                let pick = usize::from(ends.next().unwrap_or(0)) % there.len();
                let next = there.swap_remove(pick);
                ended.push(next);
                let at = lab.runs.iter().position(|it| it.job == next);
                lab.end(at.expect("a job that runs"));
            }
        }
        prop_assert!(lab.waits.is_empty(), "it waits after {} ends", ended.len());
    }

    /// What was kept for jobs that are gone is taken at once.
    #[test]
    fn nothing_is_kept_for_a_job_that_is_gone(
        offers in vec(offer(), 1..4),
        large in vec(needs(4, 10, 8), 1..4),
        ends in vec(any::<u16>(), 0..20),
    ) {
        let mut lab = Lab::new(offers);
        lab.all_ask();
        for needs in large {
            lab.submit(needs);
        }
        for end in ends {
            lab.end(usize::from(end) % lab.runs.len());
        }
        lab.waits.clear();
        lab.all_ask();
        for worker in 0..lab.offers.len() {
            prop_assert!(lab.free(worker).iter().all(|free| free.slots == 0));
        }
        prop_assert!(lab.reservations().is_empty());
    }
}
