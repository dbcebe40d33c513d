//! What happens as time passes: leases expire, the coordinator starts, the
//! store was away.

use super::Ledger;
use swath_model::job::{Applied, Event, State, StateName};
use swath_model::message::Ticked;
use swath_model::time::Timestamp;

impl Ledger {
    /// The sweeper's pass over every job.
    pub fn tick(&mut self, now: Timestamp) -> Ticked {
        let mut ticked = Ticked::default();
        for index in 0..self.jobs.len() {
            if self.apply(index, &Event::Tick, now) == Ok(Applied::Changed) {
                match self.jobs[index].job.state_name() {
                    StateName::Suspect => ticked.suspected += 1,
                    StateName::Queued => ticked.requeued += 1,
                    _ => ticked.ended += 1,
                }
            }
        }
        let ttl = self.policy.ttl();
        for worker in self.workers.values_mut() {
            worker.silent |= now.since(worker.seen_at) > ttl;
        }
        self.drop_idle_inputs(now);
        ticked
    }

    /// The coordinator starts: every lease is extended to at least ttl + grace.
    pub fn restart(&mut self, now: Timestamp) {
        self.each(&Event::Restart, now);
    }

    /// The coordinator or its store was away: every lease is extended to at
    /// least one ttl.
    pub fn extend_leases(&mut self, now: Timestamp) {
        self.each(&Event::Extend, now);
    }

    fn each(&mut self, event: &Event<'_>, now: Timestamp) {
        for index in 0..self.jobs.len() {
            // Neither event is ever refused.
            let _applied = self.apply(index, event, now);
        }
    }

    /// When the next backoff after `now` ends, among jobs that could be granted
    /// then.
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let jobs = self.jobs.iter().enumerate();
        jobs.filter_map(|(index, row)| match row.job.state {
            State::Queued { not_before } if not_before > now => {
                self.urgency(index).map(|_| not_before)
            }
            _ => None,
        })
        .min()
    }
}
