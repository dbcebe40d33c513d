//! What changes with time: leases that pass, starts, and absences.

use std::cmp::Reverse;

use swath_core::id::JobDigest;
use swath_core::job::{Applied, Event, StateName};
use swath_core::message::Ticked;
use swath_core::time::Timestamp;

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
        ticked
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

    /// When the next backoff after `now` ends, among jobs that could be granted
    /// then.
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.index.next_rested(now)
    }

    /// How many queued jobs are granted before this one: those with a greater
    /// priority, and those with the same priority that were submitted earlier.
    /// 0 when the job does not wait to be granted.
    pub fn ahead(&self, job: JobDigest) -> u64 {
        let own = self.find_job(job).and_then(|at| self.waiting(at));
        let Some(own) = own else {
            return 0;
        };
        let resting = self.index.backing_off().filter_map(|at| self.waiting(at));
        self.index.waiting_before(own) + resting.filter(|other| *other < own).count() as u64
    }

    /// The place of a job among those that wait to be granted.
    fn waiting(&self, at: Loc) -> Option<Waiting> {
        let entry = self.entry(at);
        let priority = self.priority(at)?;
        (entry.state_name() == StateName::Queued).then_some(Waiting {
            priority: Reverse(priority),
            job: entry.key,
            at,
        })
    }
}
