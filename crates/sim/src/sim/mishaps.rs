//! What goes wrong in the first part of a run.

use super::{Event, HOUR, Happening, MINUTE, SECOND, Sim, Who};
use crate::chaos::{self, Mishap};
use crate::coordinator::Purpose;
use crate::disk::Trouble;

impl Sim {
    /// Makes something go wrong.
    pub(super) fn mishap(&mut self) {
        let next = self.chance.within(5 * SECOND..2 * MINUTE);
        let Some(mishap) = chaos::mishap(&mut self.chance, &self.faults) else {
            return;
        };
        self.after(next, Event::Mishap);
        let place = self.chance.within(0..self.machines.len() as u64) as usize;
        self.note(format!("{mishap:?}"));
        match mishap {
            Mishap::Crash => {
                let down = self.chance.within(SECOND..10 * MINUTE);
                let synced = self.chance.happens(0.5);
                self.ends(place, synced, down);
            }
            Mishap::Freeze => {
                let frozen = self.chance.within(5 * SECOND..12 * MINUTE);
                self.freeze(Who::Worker(place), frozen);
            }
            Mishap::Signal => {
                let life = self.machines[place].life;
                let what = Happening::Signal;
                let worker = place;
                self.after(0, Event::Happens { worker, life, what });
            }
            Mishap::Operator => {
                let workers: Vec<_> = self.machines.iter().map(|it| it.name.clone()).collect();
                let jobs = self.history.every_job();
                let deed = chaos::meddle(&mut self.chance, &workers, &jobs);
                self.errand(Purpose::Deed(deed));
            }
            Mishap::Away => {
                let away = self.chance.within(SECOND..5 * MINUTE);
                self.coordinator.disk.trouble(Some(Trouble::Away));
                self.after(away, Event::StoreComesBack);
            }
            Mishap::Outage | Mishap::Stall | Mishap::Takeover | Mishap::Jump => {
                self.befalls_coordinator(mishap);
            }
        }
    }

    fn befalls_coordinator(&mut self, mishap: Mishap) {
        match mishap {
            Mishap::Outage => {
                let away = self.chance.within(SECOND..20 * MINUTE);
                self.coordinator.crash();
                // The wall clock may be set to any time meanwhile.
                let by = self.chance.within(0..2 * HOUR) as i64;
                self.coordinator.jump(by - HOUR as i64);
                self.after(away, Event::CoordinatorStarts);
            }
            Mishap::Stall => {
                let stalled = self.chance.within(5 * SECOND..10 * MINUTE);
                self.freeze(Who::Coordinator, stalled);
            }
            Mishap::Takeover => {
                if !self.coordinator.becomes_ghost() {
                    return;
                }
                self.thaw(Who::Coordinator);
                let taken = self.chance.within(6 * SECOND..30 * SECOND);
                self.after(taken, Event::CoordinatorStarts);
                let wakes = taken + self.chance.within(1..3 * MINUTE);
                self.after(wakes, Event::GhostGoesOn);
            }
            _ => {
                let by = self.chance.within(2 * MINUTE..6 * HOUR);
                self.coordinator.jump(by as i64);
            }
        }
    }
}
