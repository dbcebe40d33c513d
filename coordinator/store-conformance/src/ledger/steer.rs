//! Sweeps whose results decide how many replicates their cells get.

use super::{Ledger, LedgerError, Sweep};
use swath_model::id::{Replicate, SweepDigest};
use swath_model::job::Event;
use swath_model::message::{Steered, SteeringDue};
use swath_model::replication::{Bounds, Decision, Verdict};
use swath_model::steering::{Rule, Steering};
use swath_model::time::Timestamp;
use swath_model::view::{DecisionView, ReplicationRecord, ReplicationView, SettledView};

/// What was decided about the replicates of a sweep.
#[derive(Clone, Debug)]
pub(super) struct Replication {
    max: u32,
    rounds: u32,
    decisions: Vec<DecisionView>,
    settled: Option<Settled>,
}

#[derive(Clone, Debug)]
struct Settled {
    at: Timestamp,
    /// When the last of the jobs that were looked at had ended.
    as_of: Timestamp,
    verdict: Verdict,
}

impl Replication {
    pub(super) const fn new(max: u32) -> Self {
        Self {
            max,
            rounds: 0,
            decisions: Vec::new(),
            settled: None,
        }
    }
}

impl Ledger {
    /// When the last job of a sweep ended; `None` while one is open.
    pub(super) fn last_end(&self, sweep: &Sweep) -> Option<Timestamp> {
        let rows = || sweep.jobs.iter().map(|index| &self.jobs[*index]);
        let open = rows().any(|row| !row.job.state_name().is_final());
        rows()
            .filter_map(|row| row.ended_at)
            .max()
            .filter(|_| !open)
    }

    /// How a sweep is settled, if its last look saw the jobs as they are now.
    fn settled<'a>(&self, sweep: &'a Sweep) -> Option<&'a Settled> {
        let settled = sweep.replication.as_ref()?.settled.as_ref()?;
        Some(settled).filter(|it| self.last_end(sweep) == Some(it.as_of))
    }

    /// Whether no more replicates are to follow.
    pub(super) fn is_settled(&self, sweep: &Sweep) -> bool {
        sweep.replication.is_none() || self.settled(sweep).is_some()
    }

    pub(super) fn replication_view(&self, sweep: &Sweep) -> Option<ReplicationView> {
        let replication = sweep.replication.as_ref()?;
        Some(ReplicationView {
            max: replication.max,
            rounds: replication.rounds,
            seeds: replication.decisions.len() as u64,
            settled: self.settled(sweep).map(|it| SettledView {
                at: it.at,
                pairs: it.verdict.pairs,
                undecided: it.verdict.undecided.len() as u64,
            }),
        })
    }

    /// What to look at, oldest sweep first.
    pub fn steering_due(&self) -> Vec<SteeringDue> {
        let due = |sweep| self.due(sweep);
        self.sweeps.iter().filter_map(due).collect()
    }

    fn due(&self, sweep: &Sweep) -> Option<SteeringDue> {
        let replication = sweep.replication.as_ref()?;
        if !sweep.live || sweep.paused.is_some() || self.is_settled(sweep) {
            return None;
        }
        Some(SteeringDue {
            sweep: sweep.digest,
            rule: Rule::Ranked(Bounds {
                min: sweep.replicates,
                max: replication.max,
            }),
            rounds: replication.rounds,
            ended_at: self.last_end(sweep)?,
        })
    }

    /// Does what a rule said, if that look is still the one that is due.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NotFound`] for an unknown sweep.
    pub fn steer(
        &mut self,
        now: Timestamp,
        due: SteeringDue,
        said: Vec<Steering>,
    ) -> Result<Steered, LedgerError> {
        let sweep = self.sweep(due.sweep)?;
        if self.due(&self.sweeps[sweep]) != Some(due) {
            return Ok(Steered::default());
        }
        let decisions = said.iter().filter_map(|one| match one {
            Steering::Add(decision) => Some(*decision),
            Steering::Settle(_) => None,
        });
        let mut done = self.give(now, sweep, due.rounds + 1, decisions.collect());
        for one in said {
            if let (Steering::Settle(verdict), Some(replication)) =
                (one, &mut self.sweeps[sweep].replication)
            {
                done.settled = true;
                replication.settled = Some(Settled {
                    at: now,
                    as_of: due.ended_at,
                    verdict,
                });
            }
        }
        Ok(done)
    }

    fn give(
        &mut self,
        now: Timestamp,
        sweep: usize,
        round: u32,
        decisions: Vec<Decision>,
    ) -> Steered {
        let existing = self.jobs.len();
        let max = self.sweeps[sweep]
            .replication
            .as_ref()
            .map_or(0, |it| it.max);
        let mut given = Vec::new();
        for decision in decisions {
            if self.give_one(now, sweep, max, &decision).is_some() {
                given.push(DecisionView {
                    round,
                    at: now,
                    decision,
                });
            }
        }
        let seeds = given.len() as u64;
        if let Some(replication) = &mut self.sweeps[sweep].replication
            && seeds > 0
        {
            replication.rounds = round;
            replication.settled = None;
            replication.decisions.extend(given);
        }
        Steered {
            seeds,
            new_jobs: (self.jobs.len() - existing) as u64,
            settled: false,
        }
    }

    /// `None` if the replicate is not the next one of a cell of the sweep.
    fn give_one(
        &mut self,
        now: Timestamp,
        sweep: usize,
        max: u32,
        decision: &Decision,
    ) -> Option<()> {
        let row = &self.sweeps[sweep];
        let place = row.cells.iter().position(|it| it.0 == decision.cell)?;
        let Replicate(next) = decision.replicate;
        if next != row.counts[place] + 1 || next > max {
            return None;
        }
        let text = self.cells.get(&decision.cell)?.text.clone();
        let index = self.job_of(decision.cell, &text, decision.replicate, sweep, now);
        let row = &mut self.sweeps[sweep];
        row.counts[place] = next;
        let end: u32 = row.counts[..=place].iter().sum();
        row.jobs.insert(end as usize - 1, index);
        // A want is never refused.
        let _applied = self.apply(index, &Event::Want, now);
        Some(())
    }

    /// What was decided about the replicates of a sweep, and how it is settled.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NotFound`] for an unknown sweep.
    pub fn replication(&self, sweep: SweepDigest) -> Result<ReplicationRecord, LedgerError> {
        let sweep = &self.sweeps[self.sweep(sweep)?];
        let decisions = sweep.replication.as_ref().map(|it| it.decisions.clone());
        Ok(ReplicationRecord {
            decisions: decisions.unwrap_or_default(),
            verdict: self.settled(sweep).map(|it| it.verdict.clone()),
        })
    }
}
