//! Sweeps that their results steer: which are due for a look, and what becomes
//! of what the rule says.

use swath_model::id::Replicate;
use swath_model::message::{Steered, SteeringDue};
use swath_model::replication::{Bounds, Decision, Verdict};
use swath_model::seed::Seeds;
use swath_model::spec::job_digest;
use swath_model::steering::{Rule, Steering};
use swath_model::time::Timestamp;
use swath_model::view::{ReplicationView, SettledView};
use swath_store::{DecisionRow, GrownCell, ReplicationRow, SettledRow, SweepKey};

use super::sweep::Sweep;
use super::{Ledger, Result};

/// How far the replicates of a sweep are decided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replication {
    pub(super) max: u32,
    pub(super) rounds: u32,
    pub(super) seeds: u64,
    /// How the sweep is settled, and when the last of the jobs that were looked
    /// at had ended.
    pub(super) settled: Option<(Timestamp, SettledView)>,
}

impl Replication {
    pub(super) const fn new(max: u32) -> Self {
        Self {
            max,
            rounds: 0,
            seeds: 0,
            settled: None,
        }
    }

    fn settled_as_of(&self) -> Option<Timestamp> {
        self.settled.map(|(as_of, _)| as_of)
    }

    /// What readers see of it, where the sweep's last job ended at `end`; none
    /// while one is open.
    pub(super) fn view(&self, end: Option<Timestamp>) -> ReplicationView {
        let holds = end.is_some() && self.settled_as_of() == end;
        ReplicationView {
            max: self.max,
            rounds: self.rounds,
            seeds: self.seeds,
            settled: self.settled.map(|(_, view)| view).filter(|_| holds),
        }
    }
}

impl Ledger {
    /// The sweeps to look at, the oldest first.
    pub fn steering_due(&self) -> Vec<SteeringDue> {
        let sweeps = self.adaptive.iter().map(|key| self.sweep(*key));
        sweeps.filter_map(due).collect()
    }

    /// The sweep that a look is about, if the look is still due.
    pub(super) fn is_due(&self, asked: SteeringDue) -> Result<Option<SweepKey>> {
        let key = self.sweep_key(asked.sweep)?;
        Ok((due(self.sweep(key)) == Some(asked)).then_some(key))
    }

    /// Does what a rule said, if what it looked at is still due. The cells of
    /// what is added must be held; `specs` has their specs, in order.
    ///
    /// # Errors
    ///
    /// [`swath_store::StoreError::NotFound`] for an unknown sweep.
    pub fn steer(
        &mut self,
        now: Timestamp,
        asked: SteeringDue,
        said: Vec<Steering>,
        specs: &[String],
    ) -> Result<Steered> {
        let Some(key) = self.is_due(asked)? else {
            return Ok(Steered::default());
        };
        let (mut added, mut verdict) = (Vec::new(), None);
        for one in said {
            match one {
                Steering::Add(decision) => added.push(decision),
                Steering::Settle(found) => verdict = Some(found),
            }
        }
        let mut done = self.give(now, key, asked.rounds + 1, &added, specs);
        if let Some(verdict) = verdict {
            self.settle(now, key, asked.ended_at, verdict);
            done.settled = true;
        }
        Ok(done)
    }

    fn settle(&mut self, now: Timestamp, key: SweepKey, as_of: Timestamp, verdict: Verdict) {
        let settled = SettledView {
            at: now,
            pairs: verdict.pairs,
            undecided: verdict.undecided.len() as u64,
        };
        self.decide(key, |replication| {
            replication.settled = Some((as_of, settled));
        });
        self.changed_sweeps.insert(key);
        if let Some(row) = self.changes.replications.last_mut() {
            row.settled = Some(SettledRow {
                at: now,
                as_of,
                verdict,
            });
        }
    }

    /// Changes what is decided for a sweep, and notes that it must be written.
    fn decide(&mut self, key: SweepKey, change: impl FnOnce(&mut Replication)) {
        let sweep = self.sweeps.get_mut(&key);
        if let Some(replication) = sweep.and_then(|sweep| sweep.replication.as_mut()) {
            change(replication);
            self.changes.replications.push(ReplicationRow {
                sweep: key,
                max: replication.max,
                rounds: replication.rounds,
                seeds: replication.seeds,
                settled: None,
            });
        }
    }

    fn give(
        &mut self,
        now: Timestamp,
        key: SweepKey,
        round: u32,
        decisions: &[Decision],
        specs: &[String],
    ) -> Steered {
        let Some(Replication { max, seeds, .. }) = self.sweep(key).replication else {
            return Steered::default();
        };
        let before = self.last_job;
        let mut place = seeds;
        for (decision, spec) in decisions.iter().zip(specs) {
            let Some(cell) = self.give_one(now, key, max, decision, spec) else {
                continue;
            };
            place += 1;
            self.changes.decisions.push(DecisionRow {
                sweep: key,
                place,
                round,
                at: now,
                cell,
                replicate: decision.replicate,
                pair: decision.pair,
            });
        }
        let seeds = place - seeds;
        if seeds > 0 {
            self.decide(key, |replication| {
                replication.rounds = round;
                replication.seeds += seeds;
                replication.settled = None;
            });
        }
        Steered {
            seeds,
            new_jobs: (self.last_job.0 - before.0) as u64,
            settled: false,
        }
    }

    /// Gives one replicate; none if it is not the next one of a cell of the
    /// sweep.
    fn give_one(
        &mut self,
        now: Timestamp,
        key: SweepKey,
        max: u32,
        decision: &Decision,
        spec: &str,
    ) -> Option<swath_store::CellKey> {
        let place = self.find_cell(decision.cell)?;
        let cell = self.cell(place);
        let held = cell.held_by(key);
        let Replicate(next) = decision.replicate;
        if held == 0 || next != held + 1 || next > max {
            return None;
        }
        let cell = cell.key;
        let seed = Seeds::in_text(spec).seed(decision.cell, decision.replicate);
        self.join(key, place, next, now, |_| (seed, job_digest(spec, seed)));
        self.changes.grown.push(GrownCell {
            sweep: key,
            cell,
            replicates: next,
        });
        Some(cell)
    }
}

fn due(sweep: &Sweep) -> Option<SteeringDue> {
    let replication = sweep.replication.as_ref()?;
    let ended_at = sweep.last_end()?;
    let rests = !sweep.live || sweep.paused.is_some();
    if rests || replication.settled_as_of() == Some(ended_at) {
        return None;
    }
    Some(SteeringDue {
        sweep: sweep.digest,
        rule: Rule::Ranked(Bounds {
            min: sweep.replicates,
            max: replication.max,
        }),
        rounds: replication.rounds,
        ended_at,
    })
}
