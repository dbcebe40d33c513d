//! What an engine begins with, and what it asks for later.

use std::collections::BTreeSet;

use swath_model::id::CellDigest;
use swath_model::judge::{LastFault, headline};
use swath_model::view::SettledView;

use super::tables::{JobRec, SweepRec, Tables};
use crate::{
    CellKey, Names, Said, Start, StoredCell, StoredJob, StoredReplication, StoredRequest,
    StoredSweep, SweepKey, Tail, Tally,
};

impl Tables {
    /// What an engine begins with, unless the rows are half a copy.
    pub(super) fn begin(&self) -> crate::Result<Start> {
        match self.copying {
            Some(_) => Err(crate::unfinished()),
            None => Ok(self.start()),
        }
    }

    fn start(&self) -> Start {
        let request = |it: &crate::GrantRequest| StoredRequest {
            worker: it.worker,
            request: it.request,
            grants: it
                .grants
                .iter()
                .map(|(job, attempt)| (self.jobs[job].new.digest, *attempt))
                .collect(),
        };
        Start {
            sweeps: self
                .sweeps
                .values()
                .map(|it| self.stored_sweep(it))
                .collect(),
            inputs: self.inputs.values().map(|(input, _)| *input).collect(),
            shipped: self.shipped.iter().copied().collect(),
            workers: self.workers.values().cloned().collect(),
            requests: self.requests.iter().map(request).collect(),
            last_cell: self.cells.keys().next_back().copied().unwrap_or_default(),
            last_job: self.jobs.keys().next_back().copied().unwrap_or_default(),
            last_event: self.events.last().map_or(0, |event| event.seq),
            last_event_at: self.events.last().map(|event| event.at),
        }
    }

    fn stored_sweep(&self, rec: &SweepRec) -> StoredSweep {
        let replication = rec.replication.as_ref().map(|it| StoredReplication {
            max: it.max,
            rounds: it.rounds,
            seeds: it.seeds,
            settled: it.settled.as_ref().map(|it| {
                let view = SettledView {
                    at: it.at,
                    pairs: it.verdict.pairs,
                    undecided: it.verdict.undecided.len() as u64,
                };
                (it.as_of, view)
            }),
        });
        let mut faults = Tally::default();
        if rec.row.counts.succeeded == 0 {
            for job in self.jobs_of(rec) {
                if let Some(fault) = last_fault(job) {
                    faults.add(fault, job.new.cell);
                }
            }
        }
        StoredSweep {
            digest: rec.new.digest,
            name: rec.new.name.clone(),
            version: rec.new.version,
            label: rec.new.label.clone(),
            kind: rec.new.kind,
            replicates: rec.new.replicates,
            row: rec.row.clone(),
            replication,
            faults: faults.faults(),
        }
    }

    pub(super) fn open_cells(&self, after: CellKey, limit: u32) -> Vec<StoredCell> {
        let open = |cell: &CellKey| {
            let mut jobs = self.cells[cell].jobs.iter();
            jobs.any(|job| !self.jobs[job].state().is_final())
        };
        let cells = self.cells.keys().copied();
        cells
            .filter(|cell| *cell > after && open(cell))
            .take(limit as usize)
            .map(|cell| self.stored_cell(cell))
            .collect()
    }

    pub(super) fn load(&self, names: &Names) -> Vec<StoredCell> {
        let jobs = names.jobs.iter().filter_map(|job| self.job_of(*job));
        let mut cells: BTreeSet<CellKey> = jobs.map(|job| job.new.cell).collect();
        let named = |cell: &CellDigest| self.cell_keys.get(cell).copied();
        cells.extend(names.cells.iter().filter_map(named));
        let sweeps = names.sweeps.iter().filter_map(|it| self.sweeps.get(it));
        cells.extend(sweeps.flat_map(|it| it.cells.iter().map(|held| held.cell)));
        cells.into_iter().map(|it| self.stored_cell(it)).collect()
    }

    pub(super) fn tail(&self, sweep: SweepKey, limit: u32) -> Tail {
        let held = self.sweeps.get(&sweep).map_or(&[][..], |it| &it.cells);
        let before = held.len().saturating_sub(limit as usize);
        let cells = held[before..]
            .iter()
            .map(|held| self.stored_cell(held.cell));
        Tail {
            before: before as u64,
            cells: cells.collect(),
        }
    }

    fn stored_cell(&self, key: CellKey) -> StoredCell {
        let rec = &self.cells[&key];
        let holder = |sweep: &crate::SweepKey| (*sweep, self.replicates_of(*sweep, key));
        StoredCell {
            key,
            digest: rec.new.digest,
            needs: rec.new.needs.clone(),
            holders: rec.holders.iter().map(holder).collect(),
            jobs: rec.jobs.iter().map(|job| self.stored_job(*job)).collect(),
        }
    }

    fn stored_job(&self, key: crate::JobKey) -> StoredJob {
        let rec = &self.jobs[&key];
        let outcomes = rec.attempts.iter().filter_map(|it| {
            let worker = self.workers[&it.new.worker].name.clone();
            it.ran_on()?;
            Some((it.new.attempt, worker, it.outcome()))
        });
        StoredJob {
            key,
            digest: rec.new.digest,
            job: rec.row.job.clone(),
            placement: rec.row.placement.clone(),
            unmentioned: rec.row.unmentioned,
            fault: rec.row.faulted.zip(last_fault(rec)),
            ended_at: rec.row.ended_at,
            outcomes: outcomes.collect(),
        }
    }

    pub(super) fn specs(&self, cells: &[CellKey]) -> Result<Vec<String>, String> {
        let spec = |cell: &CellKey| {
            let found = self.cells.get(cell).map(|it| it.new.spec.clone());
            found.ok_or_else(|| format!("there is no cell {cell}"))
        };
        cells.iter().map(spec).collect()
    }

    pub(super) fn said(
        &self,
        cells: &[(String, CellDigest)],
        sources: &[(String, String)],
    ) -> Said {
        let key = |(sweep, cell): &(String, CellDigest)| {
            let key = *self.cell_keys.get(cell)?;
            let mut holders = self.cells[&key].holders.iter();
            let named = holders.any(|it| self.sweeps[it].new.name == *sweep);
            named.then_some(key)
        };
        let numbers = self.imports.iter().filter(|((sweep, _, source, _), _)| {
            let mut asked = sources.iter();
            asked.any(|(of, by)| of == sweep && by == source)
        });
        Said {
            cells: cells.iter().map(key).collect(),
            numbers: numbers
                .map(|((sweep, cell, _, place), number)| {
                    let cell = self.cells[cell].new.digest;
                    (sweep.clone(), cell, *place, number.number.clone())
                })
                .collect(),
        }
    }
}

fn last_fault(rec: &JobRec) -> Option<LastFault> {
    let (_, fault, message) = rec.remembered()?;
    Some(LastFault {
        fault,
        headline: headline(message).to_owned(),
    })
}
