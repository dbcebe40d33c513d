//! One commit: every list in its order, and either all of it or nothing.

use std::collections::BTreeSet;

use swath_model::access::Credential;
use swath_model::event::Event;
use swath_model::id::Attempt;
use swath_model::outcome::Fault;
use swath_store::{LOG_HEAD_BYTES, LOG_TAIL_BYTES, kept_text};

use super::tables::{AttemptRec, CellRec, JobRec, Said, SweepRec, Tables};
use crate::{
    AttemptEnd, CellKey, Changes, Copied, CopiedLog, DecisionRow, DroppedOutcome, End,
    GrantRequest, GrownCell, JobKey, JobRow, LabelRow, LateOutcome, LogRow, LostAttempt, NeedsRow,
    NewAttempt, NewCell, NewImport, NewJob, NewSweep, NewSweepCell, ObservationRow, OutcomeRow,
    REQUESTS_KEPT, RenamedSweep, ReplicationRow, SweepKey, SweepRow, WorkerKey, WorkerRow,
};

/// Why a row may not be written.
pub(super) type Refused = std::result::Result<(), String>;

/// Refuses the commit unless `holds`.
pub(super) fn ensure(holds: bool, what: impl FnOnce() -> String) -> Refused {
    if holds { Ok(()) } else { Err(what()) }
}

impl Tables {
    /// Writes `changes`, or none of them if something in them must never be
    /// written.
    pub(super) fn commit(&mut self, changes: Changes) -> Refused {
        let mut next = self.clone();
        next.write(changes)
            .and_then(|()| next.verify())
            .map_err(|why| format!("a commit was refused: {why}"))?;
        *self = next;
        Ok(())
    }

    fn write(&mut self, changes: Changes) -> Refused {
        // Every change is named here, so that a new list is not forgotten.
        let Changes {
            new_sweeps,
            sweeps,
            labels,
            renamed,
            inputs,
            pieces,
            shipped,
            cells,
            needs,
            sweep_cells,
            grown,
            workers,
            new_jobs,
            attempts,
            dropped,
            outcomes,
            ends,
            lost,
            jobs,
            late,
            observations,
            logs,
            requests,
            replications,
            decisions,
            forgotten,
            imports,
            credentials,
            deleted,
            events,
            copied,
        } = changes;
        each_once("sweep", sweeps.iter().map(|row| row.key))?;
        each_once("worker", workers.iter().map(|row| row.key))?;
        each_once("job", jobs.iter().map(|row| row.key))?;
        for new in new_sweeps {
            let row = sweeps.iter().find(|row| row.key == new.key);
            self.add_sweep(new, row)?;
        }
        all(sweeps, |row| self.change_sweep(row))?;
        all(labels, |row| self.relabel(row))?;
        all(inputs, |new| self.add_input(new))?;
        all(pieces, |piece| self.add_piece(piece))?;
        all(shipped, |row| self.ship(row))?;
        all(cells, |new| self.add_cell(new))?;
        all(needs, |row| self.change_needs(row))?;
        all(sweep_cells, |new| self.add_sweep_cell(new))?;
        all(grown, |row| self.grow(row))?;
        all(workers, |row| self.put_worker(row))?;
        all(new_jobs, |new| self.add_job(new))?;
        all(attempts, |new| self.add_attempt(new))?;
        all(dropped, |row| self.drop_outcome(row))?;
        all(outcomes, |row| self.add_outcome(row))?;
        all(ends, |row| self.end_attempt(row))?;
        all(lost, |row| self.lose_attempt(row))?;
        all(jobs, |row| self.change_job(row))?;
        all(late, |row| self.keep_aside(row))?;
        all(observations, |row| self.add_observation(row))?;
        all(logs, |row| self.add_log(row))?;
        all(requests, |row| self.add_request(row))?;
        self.drop_requests();
        all(replications, |row| self.put_replication(row))?;
        all(decisions, |row| self.add_decision(row))?;
        all(renamed, |row| self.rename_imports(&row))?;
        for (sweep, source) in forgotten {
            self.imports
                .retain(|(of, _, by, _), _| *of != sweep || *by != source);
        }
        all(imports, |new| self.add_import(new))?;
        all(credentials, |row| self.put_credential(row))?;
        self.delete(deleted)?;
        all(events, |event| self.add_event(event))?;
        match copied {
            Some(copied) => self.write_copied(*copied),
            None => Ok(()),
        }
    }

    fn write_copied(&mut self, copied: Copied) -> Refused {
        for gone in copied.gone {
            self.attempt_mut(gone.job, gone.attempt)?.log_gone = gone.sequence;
        }
        for log in copied.logs {
            let key = log.row.job;
            self.attempt_mut(key, log.row.attempt)?;
            let logs = &mut self.job_mut(key)?.logs;
            let follows = logs.last().is_none_or(|last| last.position < log.position);
            ensure(follows, || {
                format!("a piece of the log of job {key} does not follow")
            })?;
            logs.push(log);
        }
        self.copying = copied.copying;
        Ok(())
    }

    fn add_sweep(&mut self, new: NewSweep, row: Option<&SweepRow>) -> Refused {
        let key = new.key;
        let row = row.ok_or_else(|| format!("sweep {key} is new and has no row"))?;
        let last = self.sweeps.keys().next_back();
        ensure(last.is_none_or(|last| *last < key) && key.0 > 0, || {
            format!("sweep {key} is not after the last one")
        })?;
        let before = self.sweep_keys.insert(new.digest, key);
        ensure(before.is_none(), || format!("sweep {key} is there twice"))?;
        let rec = SweepRec {
            new,
            row: row.clone(),
            cells: Vec::new(),
            replication: None,
            decisions: Vec::new(),
        };
        self.sweeps.insert(key, rec);
        Ok(())
    }

    fn change_sweep(&mut self, row: SweepRow) -> Refused {
        let key = row.key;
        self.sweep_mut(key)?.row = row;
        Ok(())
    }

    fn relabel(&mut self, row: LabelRow) -> Refused {
        let mut others = self.sweeps.values().filter(|it| it.new.key != row.key);
        let taken = others.any(|it| (&it.new.name, it.new.version) == (&row.name, row.version));
        ensure(!taken, || {
            format!("two sweeps are {}@{}", row.name, row.version)
        })?;
        let new = &mut self.sweep_mut(row.key)?.new;
        (new.name, new.version, new.label) = (row.name, row.version, row.label);
        Ok(())
    }

    fn rename_imports(&mut self, row: &RenamedSweep) -> Refused {
        let cells = &self.sweep_mut(row.key)?.cells;
        let cells: BTreeSet<CellKey> = cells.iter().map(|held| held.cell).collect();
        let moves = |(sweep, cell, ..): &(String, CellKey, String, u32)| {
            *sweep == row.from && cells.contains(cell)
        };
        let moved = self.imports.iter().filter(|(key, _)| moves(key));
        let mut moved: Vec<_> = moved
            .map(|(key, said)| (key.clone(), said.clone()))
            .collect();
        moved.sort_by_key(|(_, said)| said.came);
        for ((_, cell, source, place), mut said) in moved {
            said.came = self.came;
            self.came += 1;
            let key = (row.to.clone(), cell, source, place);
            let before = self.imports.insert(key, said);
            ensure(before.is_none(), || {
                format!("`{}` has imported numbers already", row.to)
            })?;
        }
        if row.last {
            self.imports.retain(|(sweep, ..), _| *sweep != row.from);
        }
        Ok(())
    }

    pub(super) fn sweep_mut(
        &mut self,
        key: SweepKey,
    ) -> std::result::Result<&mut SweepRec, String> {
        let found = self.sweeps.get_mut(&key);
        found.ok_or_else(|| format!("there is no sweep {key}"))
    }

    fn add_cell(&mut self, new: NewCell) -> Refused {
        let key = new.key;
        let last = self.cells.keys().next_back();
        ensure(last.is_none_or(|last| *last < key) && key.0 > 0, || {
            format!("cell {key} is not after the last one")
        })?;
        let before = self.cell_keys.insert(new.digest, key);
        ensure(before.is_none(), || format!("cell {key} is there twice"))?;
        let rec = CellRec {
            new,
            jobs: Vec::new(),
            holders: BTreeSet::new(),
        };
        self.cells.insert(key, rec);
        Ok(())
    }

    fn change_needs(&mut self, row: NeedsRow) -> Refused {
        self.cell_mut(row.cell)?.new.needs = row.needs;
        Ok(())
    }

    pub(super) fn cell_mut(&mut self, key: CellKey) -> std::result::Result<&mut CellRec, String> {
        let found = self.cells.get_mut(&key);
        found.ok_or_else(|| format!("there is no cell {key}"))
    }

    fn add_sweep_cell(&mut self, new: NewSweepCell) -> Refused {
        let (key, cell) = (new.sweep, new.cell);
        let first = self.cell_mut(cell)?.holders.insert(key);
        ensure(first, || format!("sweep {key} has cell {cell} twice"))?;
        let cells = &mut self.sweep_mut(key)?.cells;
        ensure(new.position == cells.len() as u64, || {
            format!("cell {cell} of sweep {key} is not at its place")
        })?;
        cells.push(new);
        Ok(())
    }

    fn grow(&mut self, row: GrownCell) -> Refused {
        let cells = &mut self.sweep_mut(row.sweep)?.cells;
        let held = cells.iter_mut().find(|held| held.cell == row.cell);
        let held = held.ok_or_else(|| format!("sweep {} lacks cell {}", row.sweep, row.cell))?;
        ensure(held.replicates < row.replicates, || {
            format!("cell {} of sweep {} does not grow", row.cell, row.sweep)
        })?;
        held.replicates = row.replicates;
        Ok(())
    }

    fn put_worker(&mut self, row: WorkerRow) -> Refused {
        let key = row.key;
        let named = self.worker_keys.insert(row.name.clone(), key);
        ensure(named.is_none_or(|named| named == key) && key.0 > 0, || {
            format!("worker {key} has the name of another")
        })?;
        let before = self.workers.insert(key, row);
        let now = &self.workers[&key];
        ensure(
            before.is_none_or(|it| it.session <= now.session && it.name == now.name),
            || format!("worker {key} has an older session or another name"),
        )
    }

    fn worker(&self, key: WorkerKey) -> std::result::Result<&WorkerRow, String> {
        let found = self.workers.get(&key);
        found.ok_or_else(|| format!("there is no worker {key}"))
    }

    fn add_job(&mut self, new: NewJob) -> Refused {
        let key = new.key;
        let last = self.jobs.keys().next_back();
        ensure(last.is_none_or(|last| *last < key) && key.0 > 0, || {
            format!("job {key} is not after the last one")
        })?;
        let before = self.job_keys.insert(new.digest, key);
        ensure(before.is_none(), || format!("job {key} is there twice"))?;
        let jobs = &mut self.cell_mut(new.cell)?.jobs;
        jobs.push(key);
        ensure(jobs.len() as u32 == new.replicate.0, || {
            format!("job {key} is not the next replicate of cell {}", new.cell)
        })?;
        self.jobs.insert(key, JobRec::new(new));
        Ok(())
    }

    fn job_mut(&mut self, key: JobKey) -> std::result::Result<&mut JobRec, String> {
        let found = self.jobs.get_mut(&key);
        found.ok_or_else(|| format!("there is no job {key}"))
    }

    fn add_attempt(&mut self, new: NewAttempt) -> Refused {
        let given = self.worker(new.worker)?.session;
        ensure(new.session <= given && new.session.0 > 0, || {
            format!(
                "worker {} was never given session {}",
                new.worker, new.session
            )
        })?;
        let attempts = &mut self.job_mut(new.job)?.attempts;
        attempts.push(AttemptRec {
            new,
            outcome: None,
            end: None,
            lost: None,
            forgotten: None,
            log_gone: 0,
            observations: std::collections::BTreeMap::new(),
        });
        ensure(attempts.len() as u32 == new.attempt.0, || {
            format!("attempt {} of job {} leaves a gap", new.attempt, new.job)
        })
    }

    fn attempt_mut(
        &mut self,
        job: JobKey,
        attempt: swath_model::id::Attempt,
    ) -> std::result::Result<&mut AttemptRec, String> {
        let place = (attempt.0 as usize).checked_sub(1);
        let attempts = &mut self.job_mut(job)?.attempts;
        let found = place.and_then(|place| attempts.get_mut(place));
        found.ok_or_else(|| format!("there is no attempt {attempt} of job {job}"))
    }

    fn drop_outcome(&mut self, row: DroppedOutcome) -> Refused {
        let (key, attempt) = (row.job, row.attempt);
        let rec = self.attempt_mut(key, attempt)?;
        let is_result = match rec.end.as_ref().map(|it| &it.end) {
            // It ends in this commit.
            None | Some(End::Measured { .. }) => true,
            Some(End::Failed { fault, .. }) => *fault == Fault::Diverged,
            Some(End::Released) => false,
        };
        ensure(rec.forgotten.is_none() && is_result, || {
            format!("attempt {attempt} of job {key} has no outcome to forget")
        })?;
        rec.forgotten = Some(row.at);
        rec.outcome = None;
        Ok(())
    }

    fn add_outcome(&mut self, row: OutcomeRow) -> Refused {
        let (key, attempt) = (row.job, row.attempt);
        let job = self.job_mut(key)?;
        ensure(job.attempts.len() as u32 == attempt.0, || {
            format!("attempt {attempt} of job {key} is not its newest")
        })?;
        ensure(row.measurement.is_finite(), || {
            format!("what job {key} measured is not finite")
        })?;
        let rec = self.attempt_mut(key, attempt)?;
        let is_open = rec.outcome.is_none() && rec.end.is_none() && rec.forgotten.is_none();
        ensure(is_open, || {
            format!("attempt {attempt} of job {key} has ended before it measured")
        })?;
        rec.outcome = Some(row);
        Ok(())
    }

    fn lose_attempt(&mut self, row: LostAttempt) -> Refused {
        self.attempt_mut(row.job, row.attempt)?.lost = row.at;
        Ok(())
    }

    fn add_event(&mut self, event: Event) -> Refused {
        let last = self.events.last().map_or(0, |event| event.seq);
        ensure(event.seq == last + 1, || {
            format!("event {} follows event {last}", event.seq)
        })?;
        self.told.add(&event);
        self.events.push(event);
        Ok(())
    }

    fn end_attempt(&mut self, row: AttemptEnd) -> Refused {
        let (key, attempt) = (row.job, row.attempt);
        let rec = self.attempt_mut(key, attempt)?;
        ensure(rec.end.is_none(), || {
            format!("attempt {attempt} of job {key} ends twice")
        })?;
        let outcome = rec.outcome.as_ref();
        let agrees = match &row.end {
            End::Measured { .. } if rec.forgotten.is_some() => outcome.is_none(),
            End::Measured { provenance } => {
                outcome.is_some_and(|it| it.provenance == *provenance && it.recorded_at == row.at)
            }
            End::Released | End::Failed { .. } => outcome.is_none(),
        };
        ensure(agrees, || {
            format!("attempt {attempt} of job {key} ends otherwise than its outcome says")
        })?;
        rec.end = Some(row);
        Ok(())
    }

    fn change_job(&mut self, row: JobRow) -> Refused {
        let key = row.key;
        let rec = self.job_mut(key)?;
        super::verify::step(rec, &row)?;
        rec.row = row;
        Ok(())
    }

    fn keep_aside(&mut self, row: LateOutcome) -> Refused {
        self.worker(row.worker)?;
        let came = self.came;
        let late = &mut self.job_mut(row.job)?.late;
        let same = |(_, it): &(u64, LateOutcome)| {
            it.attempt == row.attempt && it.worker == row.worker && it.outcome == row.outcome
        };
        if !late.iter().any(same) {
            late.push((came, row));
            self.came += 1;
        }
        Ok(())
    }

    fn add_observation(&mut self, row: ObservationRow) -> Refused {
        let rec = self.attempt_mut(row.job, row.attempt)?;
        let epoch = row.observation.epoch;
        rec.observations.entry(epoch).or_insert(row.observation);
        Ok(())
    }

    fn add_log(&mut self, mut row: LogRow) -> Refused {
        ensure(row.sequence > 0, || {
            format!("a piece of the log of job {} without a number", row.job)
        })?;
        if self.attempt_mut(row.job, row.attempt)?.log_gone >= row.sequence {
            return Ok(());
        }
        let logs = &mut self.job_mut(row.job)?.logs;
        let same =
            |it: &CopiedLog| it.row.attempt == row.attempt && it.row.sequence == row.sequence;
        if logs.iter().any(same) {
            return Ok(());
        }
        let position = logs.last().map_or(0, |it| it.position) + 1;
        let (job, attempt) = (row.job, row.attempt);
        let gone = row.text.len() - kept_text(&row.text).len();
        row.text.drain(..gone);
        logs.push(CopiedLog { position, row });
        self.drop_old_log(job, attempt)
    }

    /// Keeps the first and the newest chunks of an attempt that fit together.
    fn drop_old_log(&mut self, job: JobKey, attempt: Attempt) -> Refused {
        let gone_before = self.attempt_mut(job, attempt)?.log_gone;
        let logs = &self.job_mut(job)?.logs;
        let own = logs.iter().filter(|it| it.row.attempt == attempt);
        let mut from_end: usize = own.clone().map(|it| it.row.text.len()).sum();
        let mut from_start = 0;
        let mut gone = Vec::new();
        for log in own {
            from_start += log.row.text.len();
            let is_beginning = from_start <= LOG_HEAD_BYTES
                && (gone_before == 0 || log.row.sequence <= gone_before);
            if from_end > LOG_TAIL_BYTES && !is_beginning {
                gone.push(log.row.sequence);
            }
            from_end -= log.row.text.len();
        }
        let is_gone = |it: &CopiedLog| it.row.attempt == attempt && gone.contains(&it.row.sequence);
        self.job_mut(job)?.logs.retain(|it| !is_gone(it));
        let newest = gone.iter().copied().max().unwrap_or(0);
        self.attempt_mut(job, attempt)?.log_gone = gone_before.max(newest);
        Ok(())
    }

    fn add_request(&mut self, row: GrantRequest) -> Refused {
        self.worker(row.worker)?;
        ensure(!row.grants.is_empty(), || {
            format!("request {} was granted nothing", row.request)
        })?;
        for (job, attempt) in &row.grants {
            let rec = self.attempt_mut(*job, *attempt)?;
            ensure(
                rec.new.worker == row.worker && rec.new.session == row.session,
                || format!("attempt {attempt} of job {job} was granted to another"),
            )?;
        }
        let same = |it: &GrantRequest| {
            (it.worker, it.session, it.request) == (row.worker, row.session, row.request)
        };
        ensure(!self.requests.iter().any(same), || {
            format!("request {} is there twice", row.request)
        })?;
        self.requests.push(row);
        Ok(())
    }

    /// Keeps the newest few of each worker's newest session.
    fn drop_requests(&mut self) {
        let workers = &self.workers;
        let newest = |it: &GrantRequest| workers[&it.worker].session == it.session;
        self.requests.retain(newest);
        for worker in self.workers.keys() {
            let of_it = |it: &&GrantRequest| it.worker == *worker;
            let kept = self.requests.iter().filter(of_it).count();
            let mut extra = kept.saturating_sub(REQUESTS_KEPT);
            self.requests.retain(|it| {
                let dropped = it.worker == *worker && extra > 0;
                extra -= usize::from(dropped);
                !dropped
            });
        }
    }

    fn put_replication(&mut self, row: ReplicationRow) -> Refused {
        let key = row.sweep;
        self.sweep_mut(key)?.replication = Some(row);
        Ok(())
    }

    fn add_decision(&mut self, row: DecisionRow) -> Refused {
        let sweep = self.sweep_mut(row.sweep)?;
        let place = sweep.decisions.len() as u64 + 1;
        let held = sweep.cells.iter().find(|held| held.cell == row.cell);
        let follows = held.is_some_and(|held| row.replicate.0 <= held.replicates);
        ensure(row.place == place && follows, || {
            format!(
                "decision {} of sweep {} does not follow",
                row.place, row.sweep
            )
        })?;
        sweep.decisions.push(row);
        Ok(())
    }

    fn add_import(&mut self, new: NewImport) -> Refused {
        let holders = &self.cell_mut(new.cell)?.holders.clone();
        let mut named = holders.iter().map(|sweep| &self.sweeps[sweep].new.name);
        ensure(named.any(|name| *name == new.sweep), || {
            format!("no sweep `{}` has cell {}", new.sweep, new.cell)
        })?;
        let key = (new.sweep, new.cell, new.number.source.clone(), new.place);
        let text = format!("import {key:?} is there twice");
        let said = Said {
            number: new.number,
            at: new.at,
            came: self.came,
        };
        self.came += 1;
        let before = self.imports.insert(key, said);
        ensure(before.is_none(), || text)
    }

    fn put_credential(&mut self, row: Credential) -> Refused {
        let Some(before) = self.credentials.get(&row.id) else {
            self.credentials.insert(row.id, row);
            return Ok(());
        };
        let same = before.secret == row.secret
            && before.role == row.role
            && before.holder == row.holder
            && (!row.is_token() || before.created_at == row.created_at);
        ensure(same, || format!("credential {} becomes another", row.id))?;
        let revived = before.revoked_at.is_some()
            && (row.revoked_at.is_none() || row.is_token() && before.revoked_at != row.revoked_at);
        ensure(!revived, || format!("credential {} is revived", row.id))?;
        let falls = match (before.uses_left, row.uses_left) {
            (Some(before), Some(now)) => now <= before,
            (before, now) => before == now,
        };
        ensure(falls, || format!("credential {} gets more uses", row.id))?;
        self.credentials.insert(row.id, row);
        Ok(())
    }
}

fn all<T>(rows: Vec<T>, write: impl FnMut(T) -> Refused) -> Refused {
    rows.into_iter().try_for_each(write)
}

fn each_once<K: Ord + std::fmt::Display>(what: &str, keys: impl Iterator<Item = K>) -> Refused {
    let mut seen = BTreeSet::new();
    for key in keys {
        let text = format!("{what} {key} changes twice in one commit");
        ensure(seen.insert(key), || text)?;
    }
    Ok(())
}
