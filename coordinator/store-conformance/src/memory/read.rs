//! What readers see of the rows.

use std::cmp::Reverse;
use std::sync::Arc;

use swath_model::curve::Curve;
use swath_model::id::{Attempt, JobDigest, SweepDigest, WorkerName};
use swath_model::import;
use swath_model::job::{State, StateName};
use swath_model::outcome::{Fault, Outcome};
use swath_model::placement::Placement;
use swath_model::probe::WorkloadKey;
use swath_model::replication::Decision;
use swath_model::spec::read_stored;
use swath_model::view::{
    Alike, AttemptView, CellResults, CurvePoint, DecisionView, Epochs, JobDetail, JobView,
    LogChunk, ReplicateResult, ReplicationRecord, ReplicationView, SettledView, SweepRecord,
    SweepState, SweepView, WorkerView,
};

use super::tables::{AttemptRec, JobRec, SweepRec, Tables};
use crate::{CopiedLog, DecisionRow, End, JobQuery, Known, NewSweepCell, Result};

impl Tables {
    pub(super) fn replication(&self, sweep: SweepDigest) -> Result<ReplicationRecord> {
        let rec = self.sweep_of(sweep)?;
        let decision = |row: &DecisionRow| DecisionView {
            round: row.round,
            at: row.at,
            decision: Decision {
                cell: self.cells[&row.cell].new.digest,
                replicate: row.replicate,
                pair: row.pair,
            },
        };
        Ok(ReplicationRecord {
            decisions: rec.decisions.iter().map(decision).collect(),
            verdict: rec.settled().map(|it| it.verdict.clone()),
        })
    }

    pub(super) fn sweep(&self, sweep: SweepDigest) -> Result<SweepRecord> {
        let rec = self.sweep_of(sweep)?;
        Ok(SweepRecord {
            view: sweep_view(rec),
            definition: rec.new.definition.clone(),
        })
    }

    pub(super) fn sweeps(&self) -> Vec<SweepView> {
        let whole = self.sweeps.values().filter(|rec| !rec.new.label.staged);
        whole.map(sweep_view).collect()
    }

    pub(super) fn jobs(&self, query: &JobQuery) -> Vec<JobView> {
        let after = query.after.map(|after| self.job_keys.get(&after));
        let sweep = query.sweep.map(|sweep| self.sweep_of(sweep).ok());
        let held = |rec: &JobRec| match sweep {
            None => true,
            Some(None) => false,
            Some(Some(sweep)) => {
                self.replicates_of(sweep.new.key, rec.new.cell) >= rec.new.replicate.0
            }
        };
        let prefix = query.prefix.as_deref().unwrap_or_default();
        let jobs = self.jobs.values().filter(|rec| {
            after.is_none_or(|after| after.is_some_and(|after| rec.new.key > *after))
                && held(rec)
                && (query.states.is_empty() || query.states.contains(&rec.state()))
                && rec.new.digest.to_string().starts_with(prefix)
        });
        let limit = query.limit.map_or(usize::MAX, |limit| limit as usize);
        let mut left = query.bytes.unwrap_or(usize::MAX);
        let mut found = Vec::new();
        for rec in jobs.take(limit) {
            if left == 0 {
                break;
            }
            let view = self.job_view(rec);
            let spec = self.cells[&rec.new.cell].new.spec.len();
            left = left.saturating_sub(spec + view.message.len());
            found.push(view);
        }
        found
    }

    pub(super) fn last_failed(&self, sweep: Option<SweepDigest>, limit: u32) -> Vec<JobView> {
        let mut failed = self.jobs(&JobQuery {
            sweep,
            states: vec![StateName::Failed],
            ..JobQuery::default()
        });
        failed.sort_by_key(|job| Reverse(job.ended_at));
        failed.truncate(limit as usize);
        failed
    }

    fn job_view(&self, rec: &JobRec) -> JobView {
        let job = &rec.row.job;
        let cell = &self.cells[&rec.new.cell];
        let mut sweeps: Vec<String> = Vec::new();
        let mut holders = Vec::new();
        for sweep in &cell.holders {
            if self.replicates_of(*sweep, rec.new.cell) < rec.new.replicate.0 {
                continue;
            }
            let sweep = &self.sweeps[sweep].new;
            holders.push(sweep.digest);
            if !sweeps.contains(&sweep.name) {
                sweeps.push(sweep.name.clone());
            }
        }
        let observations = rec.newest().map(|it| &it.observations);
        let measured = rec.newest().and_then(|it| it.outcome.as_ref());
        let spec = read_stored(&cell.new.spec);
        JobView {
            digest: rec.new.digest,
            cell: cell.new.digest,
            replicate: rec.new.replicate,
            seed: rec.new.seed,
            unreadable: spec.as_ref().err().copied(),
            spec: spec.unwrap_or_default(),
            sweeps,
            holders,
            state: job.state_name(),
            fault: rec.fault(),
            stop: job.stopping(),
            attempt: job.attempt,
            charged: job.charged,
            worker: job.owner.as_ref().map(|owner| owner.worker.clone()),
            devices: rec.row.placement.clone(),
            granted_at: (job.attempt > Attempt(0)).then_some(job.granted_at),
            not_before: match job.state {
                State::Queued { not_before } => Some(not_before),
                _ => None,
            },
            deadline: job.lease().map(|lease| lease.deadline),
            ended_at: rec.row.ended_at,
            progress: observations.and_then(|it| it.values().next_back().cloned()),
            measurement: measured.map(|row| row.measurement.clone()),
            message: rec
                .remembered()
                .map_or_else(String::new, |(_, _, message)| message.to_owned()),
        }
    }

    pub(super) fn job(&self, job: JobDigest) -> Option<JobDetail> {
        let rec = self.job_of(job)?;
        let attempts = rec.attempts.iter();
        Some(JobDetail {
            job: self.job_view(rec),
            attempts: attempts.map(|it| self.attempt_view(it)).collect(),
            late_outcomes: rec.late.len() as u64,
        })
    }

    fn attempt_view(&self, row: &AttemptRec) -> AttemptView {
        let (ended, message) = match row.end.as_ref().map(|it| &it.end) {
            None if row.lost.is_none() => ("", ""),
            None => (Fault::Lost.name(), ""),
            Some(End::Released) => ("released", ""),
            Some(End::Measured { .. }) => ("measured", ""),
            Some(End::Failed { fault, message, .. }) => (fault.name(), message.as_str()),
        };
        AttemptView {
            attempt: row.new.attempt,
            worker: self.workers[&row.new.worker].name.clone(),
            session: row.new.session,
            granted_at: row.new.granted_at,
            ended_at: row.end.as_ref().map(|it| it.at).or(row.lost),
            ended: ended.to_owned(),
            message: message.to_owned(),
            provenance: row.ran_on().cloned(),
            forgotten_at: row.forgotten,
        }
    }

    pub(super) fn known(&self, job: JobDigest) -> Option<Known> {
        let rec = self.job_of(job)?;
        Some(Known {
            state: rec.state(),
            fault: rec.fault(),
        })
    }

    pub(super) fn alike(&self, workload: WorkloadKey, limit: u32) -> Vec<Alike> {
        let cells = self.cells.values().rev();
        let cells = cells.filter(|cell| cell.new.workload == workload);
        let alike = cells.flat_map(|cell| {
            let jobs = cell.jobs.iter().rev().map(|job| &self.jobs[job]);
            jobs.filter_map(|rec| {
                let newest = rec.newest()?;
                let (outcome, provenance) = (newest.outcome()?, newest.ran_on()?);
                let Outcome::Measured(measured) = outcome else {
                    return None;
                };
                Some(Alike {
                    spec: serde_json::from_str(&cell.new.spec).unwrap_or_default(),
                    train_seconds: measured.train_seconds,
                    device: provenance.device.clone(),
                })
            })
        });
        alike.take(limit as usize).collect()
    }

    pub(super) fn results(
        &self,
        sweep: SweepDigest,
        epochs: Option<&Epochs>,
    ) -> Result<Vec<CellResults>> {
        let rec = self.sweep_of(sweep)?;
        let cell = |held: &NewSweepCell| {
            let jobs = self.held_by(held);
            let mut replicates = jobs.map(|it| result(it, epochs)).collect();
            let imported = self
                .imports
                .iter()
                .filter(|((name, cell, ..), _)| *name == rec.new.name && *cell == held.cell);
            import::fill(&mut replicates, imported.map(|(_, it)| it.number.clone()));
            CellResults {
                index: held.position,
                cell: self.cells[&held.cell].new.digest,
                axes: held.axes.clone(),
                replicates,
            }
        };
        Ok(rec.cells.iter().map(cell).collect())
    }

    pub(super) fn curves(&self, job: JobDigest) -> Vec<CurvePoint> {
        let attempts = self.job_of(job).map_or(&[][..], |rec| &rec.attempts);
        let points = attempts.iter().flat_map(|row| {
            row.observations.values().map(|observation| CurvePoint {
                attempt: row.new.attempt,
                observation: observation.clone(),
            })
        });
        points.collect()
    }

    pub(super) fn logs(&self, job: JobDigest, position: u64) -> Vec<LogChunk> {
        let logs = self.job_of(job).map_or(&[][..], |rec| &rec.logs);
        let chunks = logs.iter().filter(|log| log.position > position);
        let chunks = chunks.map(|CopiedLog { position, row }| {
            LogChunk::ending(*position, row.attempt, row.sequence, row.text.clone())
        });
        chunks.collect()
    }

    /// How many slots the leases of a worker have.
    pub(super) fn slots_held_by(&self, worker: &WorkerName) -> u64 {
        let jobs = self.jobs.values().map(|rec| &rec.row);
        let held = jobs.filter(|row| row.job.lease().is_some_and(|it| it.owner.worker == *worker));
        let slots = held.map(|row| row.placement.as_ref().map_or(1, Placement::count));
        slots.sum::<usize>() as u64
    }

    pub(super) fn workers(&self) -> Vec<WorkerView> {
        let held = |name: &WorkerName| {
            let leases = self.jobs.values().filter_map(|rec| rec.row.job.lease());
            leases.filter(|lease| lease.owner.worker == *name).count()
        };
        let workers = self.worker_keys.iter();
        workers
            .filter(|(_, key)| !self.workers[key].forgotten)
            .map(|(name, key)| {
                let row = &self.workers[key];
                WorkerView {
                    lacks: Vec::new(),
                    name: name.clone(),
                    state: row.state,
                    cordoned: row.cordoned.clone(),
                    session: row.session,
                    seen_at: row.seen_at,
                    about: row.about.clone(),
                    held: held(name) as u64,
                    slots_held: None,
                    kept: None,
                    failed_in_a_row: row.failed.len() as u32,
                    silent: row.silent,
                }
            })
            .collect()
    }
}

fn sweep_view(rec: &SweepRec) -> SweepView {
    let (new, row) = (&rec.new, &rec.row);
    let settled = rec.replication.is_none() || rec.settled().is_some();
    let finished = row.counts.done() == row.counts.total() && settled;
    let replication = rec.replication.as_ref().map(|it| ReplicationView {
        max: it.max,
        rounds: it.rounds,
        seeds: it.seeds,
        settled: rec.settled().map(|it| SettledView {
            at: it.at,
            pairs: it.verdict.pairs,
            undecided: it.verdict.undecided.len() as u64,
        }),
    });
    SweepView {
        digest: new.digest,
        name: new.name.clone(),
        version: new.version,
        label: new.label.clone(),
        title: new.title.clone(),
        state: SweepState::of(row.live, finished, row.paused.is_some()),
        kind: new.kind,
        paused: row.paused.clone(),
        cells: new.cells,
        replicates: new.replicates,
        replication,
        priority: row.priority,
        counts: row.counts,
        submitted_at: new.submitted_at,
        finished_at: rec.last_end().filter(|_| finished),
    }
}

fn result(rec: &JobRec, epochs: Option<&Epochs>) -> ReplicateResult {
    let state = rec.state();
    let ended = matches!(state, StateName::Succeeded | StateName::Failed);
    let newest = rec.newest().filter(|_| ended);
    let measured = rec.newest().and_then(|it| it.outcome.as_ref());
    ReplicateResult {
        replicate: rec.new.replicate,
        job: rec.new.digest,
        seed: rec.new.seed,
        state,
        fault: rec.fault(),
        measurement: measured.map(|row| row.measurement.clone()),
        last_values: epochs.map_or_else(Vec::new, |epochs| last_values(rec, epochs)),
        provenance: newest.and_then(AttemptRec::ran_on).cloned().map(Arc::new),
        imported: None,
    }
}

fn last_values(rec: &JobRec, epochs: &Epochs) -> Vec<f64> {
    if rec.state() != StateName::Succeeded {
        return Vec::new();
    }
    let mut curve = Curve::default();
    for attempt in rec.attempts.iter().filter(|it| it.forgotten.is_none()) {
        for observation in attempt.observations.values() {
            let value = observation.values.get(&epochs.metric);
            curve.see(attempt.new.attempt, observation.epoch, value);
        }
    }
    let values: Vec<f64> = curve.epochs().values().copied().collect();
    values[values.len().saturating_sub(epochs.last as usize)..].to_vec()
}
