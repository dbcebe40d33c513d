//! What changes with time: leases that pass, starts, and absences.

use std::cmp::Reverse;

use swath_model::id::JobDigest;
use swath_model::job::{Applied, Event, StateName};
use swath_model::message::Ticked;
use swath_model::needs::{Lack, Needs};
use swath_model::time::Timestamp;

use super::Ledger;
use super::hot::Loc;
use super::index::Waiting;

impl Ledger {
    /// The sweeper's pass: leases that are over become suspect, and suspect
    /// jobs whose grace is over go back to the queue.
    pub fn tick(&mut self, now: Timestamp) -> Ticked {
        let mut ticked = Ticked::default();
        for at in self.index.over(now) {
            if self.apply(at, &Event::Tick, now) == Ok(Applied::Changed) {
                match self.entry(at).state_name() {
                    StateName::Suspect => ticked.suspected += 1,
                    StateName::Queued => ticked.requeued += 1,
                    _ => ticked.ended += 1,
                }
            }
        }
        self.note_silent(now);
        self.note_idle_inputs(now);
        ticked
    }

    /// Notes which workers have been silent for longer than a lease lasts.
    fn note_silent(&mut self, now: Timestamp) {
        let ttl = self.policy.ttl();
        for (key, worker) in &mut self.workers {
            if !worker.silent && now.since(worker.seen_at) > ttl {
                worker.silent = true;
                self.changed_workers.insert(*key);
            }
        }
    }

    /// The coordinator starts: every lease lives for at least another ttl +
    /// grace.
    pub fn restart(&mut self, now: Timestamp) {
        self.each_lease(&Event::Restart, now);
    }

    /// The coordinator or its store was away: every lease lives for at least
    /// another ttl.
    pub fn extend_leases(&mut self, now: Timestamp) {
        self.each_lease(&Event::Extend, now);
    }

    fn each_lease(&mut self, event: &Event<'_>, now: Timestamp) {
        for at in self.index.all_leases() {
            // Neither event is ever refused.
            let _applied = self.apply(at, event, now);
        }
    }

    /// Files the jobs whose backoff is over among those to grant.
    pub(super) fn file_rested(&mut self, now: Timestamp) {
        for at in self.index.rested(now) {
            self.refile(at, now);
        }
    }

    /// When the next backoff after `now` ends, among jobs that could be granted
    /// then.
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.index.next_rested(now)
    }

    /// How many queued jobs are granted before this one: those of a greater
    /// urgency, and of the same one submitted earlier. 0 when it does not wait
    /// to be granted.
    pub fn ahead(&self, job: JobDigest) -> u64 {
        let own = self.find_job(job).and_then(|at| self.waiting(at));
        let Some(own) = own else {
            return 0;
        };
        let resting = self.index.backing_off().filter_map(|at| self.waiting(at));
        self.index.waiting_before(own) + resting.filter(|other| *other < own).count() as u64
    }

    /// What a job needs of its worker; nothing if it is not held.
    pub fn needs_of_job(&self, job: JobDigest) -> (Needs, Option<Lack>) {
        let need = self.find_job(job).map(|at| self.cell(at.cell).need);
        need.map_or_else(Default::default, |need| {
            (self.needs_of(need).clone(), self.lack_of(need))
        })
    }

    /// The place of a job among those that wait to be granted.
    fn waiting(&self, at: Loc) -> Option<Waiting> {
        let entry = self.entry(at);
        let urgency = self.urgency(at)?;
        (entry.state_name() == StateName::Queued).then_some(Waiting {
            urgency: Reverse(urgency),
            job: entry.key,
            at,
        })
    }
}
