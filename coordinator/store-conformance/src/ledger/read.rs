//! What readers see of the ledger.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{AttemptRow, End, JobRow, Ledger, LedgerError, Sweep};
use swath_model::curve::Curve;
use swath_model::id::{Attempt, CellDigest, JobDigest, Replicate, SweepDigest};
use swath_model::import;
use swath_model::job::{State, StateName};
use swath_model::message::{JobQuery, Known, Sources};
use swath_model::outcome::{Fault, Outcome};
use swath_model::probe::WorkloadKey;
use swath_model::view::{
    Alike, AttemptView, CellResults, Counts, CurvePoint, Epochs, JobDetail, JobView, LogChunk,
    ReplicateResult, SweepRecord, SweepState, SweepView, WorkerView,
};

impl Ledger {
    /// Every sweep, oldest first.
    pub fn sweeps(&self) -> Vec<SweepView> {
        let view = |sweep| self.sweep_view(sweep);
        self.sweeps.iter().map(view).collect()
    }

    fn sweep_view(&self, sweep: &Sweep) -> SweepView {
        let jobs = || sweep.jobs.iter().map(|index| &self.jobs[*index]);
        let mut counts = Counts::default();
        for row in jobs() {
            counts.add(row.job.state_name(), row.failed(), 1);
        }
        let finished = counts.done() == counts.total() && self.is_settled(sweep);
        SweepView {
            digest: sweep.digest,
            name: sweep.name.clone(),
            version: sweep.version,
            label: sweep.label.clone(),
            title: sweep.title.clone(),
            state: SweepState::of(sweep.live, finished, sweep.paused.is_some()),
            kind: sweep.kind,
            paused: sweep.paused.clone(),
            cells: sweep.cells.len() as u64,
            replicates: sweep.replicates,
            replication: self.replication_view(sweep),
            priority: sweep.priority,
            counts,
            submitted_at: sweep.submitted_at,
            finished_at: self.last_end(sweep).filter(|_| finished),
        }
    }

    /// One sweep with its definition.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NotFound`] for an unknown sweep.
    pub fn sweep_record(&self, sweep: SweepDigest) -> Result<SweepRecord, LedgerError> {
        let sweep = &self.sweeps[self.sweep(sweep)?];
        Ok(SweepRecord {
            view: self.sweep_view(sweep),
            definition: sweep.definition.clone(),
        })
    }

    /// What a sweep was submitted as.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NotFound`] for an unknown sweep.
    pub fn sources(&self, sweep: SweepDigest) -> Result<Sources, LedgerError> {
        Ok(self.sweeps[self.sweep(sweep)?].sources.clone())
    }

    /// The jobs that match, in order of submission.
    pub fn jobs(&self, query: &JobQuery) -> Vec<JobView> {
        let sweep = query
            .sweep
            .map(|sweep| self.sweep_index.get(&sweep).copied());
        let limit = query.limit.map_or(usize::MAX, |limit| limit as usize);
        let first = query.after.map_or(Some(0), |after| {
            self.job_index.get(&after).map(|index| index + 1)
        });
        self.jobs
            .iter()
            .skip(first.unwrap_or(usize::MAX))
            .filter(|row| {
                let state = row.job.state_name();
                let held =
                    |sweep: Option<usize>| sweep.is_some_and(|sweep| row.sweeps.contains(&sweep));
                let prefix = query.prefix.as_deref().unwrap_or_default();
                sweep.is_none_or(held)
                    && (query.states.is_empty() || query.states.contains(&state))
                    && row.digest.to_string().starts_with(prefix)
            })
            .take(limit)
            .scan(query.bytes.unwrap_or(usize::MAX), |left, row| {
                let view = (*left > 0).then(|| self.job_view(row))?;
                let spec = self.cells.get(&row.cell).map_or(0, |cell| cell.text.len());
                *left = left.saturating_sub(spec + view.message.len());
                Some(view)
            })
            .collect()
    }

    /// The jobs that failed last, of a sweep or of any, the newest end first.
    pub fn last_failed(&self, sweep: Option<SweepDigest>, limit: u32) -> Vec<JobView> {
        let mut failed = self.jobs(&JobQuery {
            sweep,
            states: vec![StateName::Failed],
            ..JobQuery::default()
        });
        failed.sort_by_key(|job| std::cmp::Reverse(job.ended_at));
        failed.truncate(limit as usize);
        failed
    }

    fn job_view(&self, row: &JobRow) -> JobView {
        let job = &row.job;
        let mut sweeps: Vec<String> = Vec::new();
        for sweep in &row.sweeps {
            let name = &self.sweeps[*sweep].name;
            if !sweeps.contains(name) {
                sweeps.push(name.clone());
            }
        }
        let cell = self.cells.get(&row.cell);
        let observations = row.newest_attempt().map(|attempt| &attempt.observations);
        JobView {
            digest: row.digest,
            cell: row.cell,
            replicate: row.replicate,
            seed: row.seed,
            spec: cell.map(|cell| cell.tree.clone()).unwrap_or_default(),
            unreadable: None,
            sweeps,
            holders: row
                .sweeps
                .iter()
                .map(|it| self.sweeps[*it].digest)
                .collect(),
            state: job.state_name(),
            fault: row.failed(),
            stop: job.stopping(),
            attempt: job.attempt,
            charged: job.charged,
            worker: job.owner.as_ref().map(|owner| owner.worker.clone()),
            devices: row.newest_attempt().map(|it| it.placement.clone()),
            granted_at: (job.attempt > Attempt(0)).then_some(job.granted_at),
            not_before: match job.state {
                State::Queued { not_before } => Some(not_before),
                _ => None,
            },
            deadline: job.lease().map(|lease| lease.deadline),
            ended_at: row.ended_at,
            progress: observations.and_then(|all| all.values().next_back().cloned()),
            measurement: row.measurement().cloned(),
            message: row
                .fault
                .as_ref()
                .map(|(_, message)| message.clone())
                .unwrap_or_default(),
        }
    }

    /// One job with its attempts.
    pub fn job(&self, job: JobDigest) -> Option<JobDetail> {
        let row = self.row(job)?;
        let attempts = row.attempts.iter().enumerate();
        Some(JobDetail {
            job: self.job_view(row),
            attempts: attempts
                .map(|(place, attempt)| JobRow::attempt_view(place, attempt))
                .collect(),
            late_outcomes: row.late.len() as u64,
        })
    }

    /// How many queued jobs are granted before this one.
    pub fn ahead(&self, job: JobDigest) -> u64 {
        let Some(&own) = self.job_index.get(&job) else {
            return 0;
        };
        let order = |index| Some((std::cmp::Reverse(self.urgency(index)?), index));
        let queued = |row: &JobRow| row.job.state_name() == StateName::Queued;
        let place = order(own).filter(|_| queued(&self.jobs[own]));
        let before = |(index, row): &(usize, &JobRow)| {
            queued(row) && order(*index).is_some_and(|other| Some(other) < place)
        };
        self.jobs.iter().enumerate().filter(before).count() as u64
    }

    /// Which of these jobs exist, and where they are.
    pub fn known(&self, jobs: &[JobDigest]) -> Vec<Option<Known>> {
        jobs.iter()
            .map(|job| {
                let row = self.row(*job)?;
                Some(Known {
                    state: row.job.state_name(),
                    fault: row.failed(),
                })
            })
            .collect()
    }

    /// Measured trainings of this workload, at most `limit`: those of the
    /// newest cells, and of a cell the newest jobs.
    pub fn alike(&self, workload: WorkloadKey, limit: u32) -> Vec<Alike> {
        let mut cells: BTreeMap<CellDigest, usize> = BTreeMap::new();
        let mut found = Vec::new();
        for (index, row) in self.jobs.iter().enumerate() {
            let first = *cells.entry(row.cell).or_insert(index);
            let text = self.cells.get(&row.cell).map_or("", |cell| &cell.text);
            let measured = row.job.state_name() == StateName::Succeeded
                && WorkloadKey::of_cell(text) == workload;
            let end = row
                .newest_attempt()
                .and_then(|attempt| attempt.end.as_ref());
            if measured
                && let Some((_, End::Outcome(outcome, provenance))) = end
                && let Outcome::Measured(outcome) = &**outcome
            {
                let alike = Alike {
                    spec: serde_json::from_str(text).unwrap_or_default(),
                    train_seconds: outcome.train_seconds,
                    device: provenance.device.clone(),
                };
                found.push((first, index, alike));
            }
        }
        found.sort_by_key(|(first, index, _)| std::cmp::Reverse((*first, *index)));
        found.truncate(limit as usize);
        found.into_iter().map(|(_, _, alike)| alike).collect()
    }

    /// A sweep's cells with the results of their replicates.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NotFound`] for an unknown sweep.
    pub fn results(
        &self,
        sweep: SweepDigest,
        epochs: Option<&Epochs>,
    ) -> Result<Vec<CellResults>, LedgerError> {
        let sweep = &self.sweeps[self.sweep(sweep)?];
        let cells = sweep.cells.iter().zip(&sweep.counts).enumerate();
        let mut rest = &sweep.jobs[..];
        Ok(cells
            .map(|(place, ((cell, axes), count))| {
                let (jobs, others) = rest.split_at(*count as usize);
                rest = others;
                let mut replicates = jobs
                    .iter()
                    .zip(1..)
                    .map(|(index, replicate)| {
                        self.jobs[*index].result(Replicate(replicate), epochs)
                    })
                    .collect();
                import::fill(&mut replicates, self.imports_of(&sweep.name, *cell));
                CellResults {
                    index: place as u64,
                    cell: *cell,
                    axes: axes.clone(),
                    replicates,
                }
            })
            .collect())
    }

    /// A job's observations, by attempt and epoch.
    pub fn curves(&self, job: JobDigest) -> Vec<CurvePoint> {
        let attempts = self.row(job).map_or(&[][..], |row| &row.attempts);
        let mut points = Vec::new();
        for (attempt, row) in (1..).zip(attempts) {
            points.extend(row.observations.values().map(|observation| CurvePoint {
                attempt: Attempt(attempt),
                observation: observation.clone(),
            }));
        }
        points
    }

    /// What a job's trainers wrote to stderr, after `position`.
    pub fn logs(&self, job: JobDigest, position: u64) -> Vec<LogChunk> {
        let logs = self.row(job).map_or(&[][..], |row| &row.logs);
        logs.iter()
            .filter(|log| !log.gone)
            .map(|log| &log.chunk)
            .filter(|chunk| chunk.position > position)
            .cloned()
            .collect()
    }

    /// Every worker, by name.
    pub fn workers(&self) -> Vec<WorkerView> {
        let mut held = BTreeMap::new();
        for lease in self.jobs.iter().filter_map(|row| row.job.lease()) {
            *held.entry(&lease.owner.worker).or_insert(0) += 1;
        }
        let workers = self.workers.iter();
        workers
            .filter(|(_, worker)| !worker.forgotten)
            .map(|(name, worker)| WorkerView {
                lacks: Vec::new(),
                name: name.clone(),
                state: worker.state,
                cordoned: worker.cordoned.clone(),
                session: worker.session,
                seen_at: worker.seen_at,
                about: worker.about.clone(),
                held: held.get(name).copied().unwrap_or(0),
                slots_held: None,
                kept: None,
                failed_in_a_row: worker.row.len() as u32,
                silent: worker.silent,
            })
            .collect()
    }
}

impl JobRow {
    const fn failed(&self) -> Option<Fault> {
        match self.job.state {
            State::Failed(fault) => Some(fault),
            _ => None,
        }
    }

    fn attempt_view(place: usize, row: &AttemptRow) -> AttemptView {
        let (ended, message, provenance) = match &row.end {
            None if row.lost.is_none() => ("", "", None),
            None => (Fault::Lost.name(), "", None),
            Some((_, End::Released)) => ("released", "", None),
            Some((_, End::Outcome(outcome, provenance))) => {
                let (ended, message) = match outcome.as_ref() {
                    Outcome::Measured(_) => ("measured", ""),
                    Outcome::Failed { fault, message } => (fault.name(), message.as_str()),
                };
                (ended, message, Some(provenance.clone()))
            }
        };
        AttemptView {
            attempt: Attempt(place as u32 + 1),
            worker: row.owner.worker.clone(),
            session: row.owner.session,
            granted_at: row.granted_at,
            ended_at: row.end.as_ref().map(|(at, _)| *at).or(row.lost),
            ended: ended.to_owned(),
            message: message.to_owned(),
            provenance,
            forgotten_at: row.forgotten,
        }
    }

    fn result(&self, replicate: Replicate, epochs: Option<&Epochs>) -> ReplicateResult {
        let state = self.job.state_name();
        let ran_on = match self.newest_attempt().and_then(|row| row.end.as_ref()) {
            Some((_, End::Outcome(_, provenance))) => Some(provenance),
            _ => None,
        };
        let ended = matches!(state, StateName::Succeeded | StateName::Failed);
        ReplicateResult {
            replicate,
            job: self.digest,
            seed: self.seed,
            state,
            fault: self.failed(),
            measurement: self.measurement().cloned(),
            last_values: epochs.map_or_else(Vec::new, |epochs| self.last_values(epochs)),
            provenance: ran_on.filter(|_| ended).cloned().map(Arc::new),
            imported: None,
        }
    }

    fn last_values(&self, epochs: &Epochs) -> Vec<f64> {
        if self.job.state_name() != StateName::Succeeded {
            return Vec::new();
        }
        let mut curve = Curve::default();
        for (place, row) in self.attempts.iter().enumerate() {
            if row.forgotten.is_some() {
                continue;
            }
            let attempt = Attempt(place as u32 + 1);
            for observation in row.observations.values() {
                let value = observation.values.get(&epochs.metric);
                curve.see(attempt, observation.epoch, value);
            }
        }
        let values: Vec<f64> = curve.epochs().values().copied().collect();
        values[values.len().saturating_sub(epochs.last as usize)..].to_vec()
    }
}
