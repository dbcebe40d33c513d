//! What must hold of the rows after every commit.

use swath_model::event::{SweepNow, WorkerNow};
use swath_model::job::StateName;
use swath_model::outcome::Fault;
use swath_model::view::Counts;

use super::commit::{Refused, ensure};
use super::tables::{JobRec, SweepRec, Tables};
use crate::{End, JobRow};

/// Whether a job may change from its present row to this one. What it is
/// granted, and the outcome of that, are written before.
pub(super) fn step(rec: &JobRec, row: &JobRow) -> Refused {
    let (key, before, after) = (row.key, &rec.row.job, &row.job);
    let (was, is) = (before.state_name(), after.state_name());
    ensure(after.attempt >= before.attempt, || {
        format!("the attempts of job {key} grow less")
    })?;
    let newest = rec.attempt(before.attempt);
    let is_forgotten = newest.is_some_and(|it| it.forgotten.is_some());
    let stays = was == StateName::Succeeded && !is_forgotten;
    ensure(!stays || rec.row == *row, || {
        format!("job {key} has succeeded and changes")
    })?;
    // Only a retry, a new want, or a forgotten outcome leaves a final state.
    let again = is == StateName::Queued || after.attempt > before.attempt;
    ensure(!was.is_final() || again || is.is_final(), || {
        format!("job {key} goes on after it was final")
    })
}

impl Tables {
    pub(super) fn verify(&self) -> Refused {
        // Half a copy also has jobs whose sweeps have other counts.
        if self.copying.is_some() {
            return Ok(());
        }
        self.inputs_hold()?;
        self.jobs.values().try_for_each(|rec| self.job_holds(rec))?;
        self.sweeps
            .values()
            .try_for_each(|rec| self.sweep_holds(rec))?;
        self.told_is_so()
    }

    /// Whether the events say what the rows say. A copy has no events.
    fn told_is_so(&self) -> Refused {
        if self.events.is_empty() {
            return Ok(());
        }
        for view in self.sweeps() {
            let told = self.told.sweeps.get(&view.digest);
            let is = SweepNow {
                state: view.state,
                paused: view.paused,
                priority: view.priority,
                counts: view.counts,
                finished_at: view.finished_at,
                replication: view.replication,
            };
            ensure(told == Some(&is), || {
                format!("sweep {} was told as {told:?} and is {is:?}", view.name)
            })?;
        }
        for view in self.workers() {
            let told = self.told.workers.get(&view.name);
            let is = WorkerNow {
                state: view.state,
                cordoned: view.cordoned,
                held: view.held,
                slots_held: self.slots_held_by(&view.name),
                failed_in_a_row: view.failed_in_a_row,
                silent: view.silent,
            };
            ensure(told == Some(&is), || {
                format!("worker {} was told as {told:?} and is {is:?}", view.name)
            })?;
        }
        for rec in self.jobs.values() {
            let told = self.told.jobs.get(&rec.new.digest).copied();
            let told = told.unwrap_or(StateName::Queued);
            ensure(told == rec.state(), || {
                let (key, is) = (rec.new.key, rec.state());
                format!("job {key} was told as {told:?} and is {is:?}")
            })?;
        }
        Ok(())
    }

    fn job_holds(&self, rec: &JobRec) -> Refused {
        let (key, row, job) = (rec.new.key, &rec.row, &rec.row.job);
        let holds = |holds: bool, what: &str| ensure(holds, || format!("job {key} {what}"));
        let is_final = rec.state().is_final();
        let lease = job.lease();
        holds(
            rec.attempts.len() as u32 == job.attempt.0,
            "has other attempts than its number says",
        )?;
        holds(
            job.grants <= job.attempt.0,
            "was granted more often than its attempts say",
        )?;
        holds(
            row.ended_at.is_some() == is_final,
            "has an end without being final, or the reverse",
        )?;
        let name = row.worker.map(|worker| &self.workers[&worker].name);
        holds(
            name == job.owner.as_ref().map(|owner| &owner.worker),
            "names another worker than its owner",
        )?;
        holds(
            row.faulted.is_some() == rec.remembered().is_some(),
            "remembers a fault that nobody brought",
        )?;
        let measured = rec.attempts.iter().filter(|it| it.outcome.is_some());
        let measured: Vec<u32> = measured.map(|it| it.new.attempt.0).collect();
        let succeeded = rec.state() == StateName::Succeeded;
        let wanted = if succeeded {
            vec![job.attempt.0]
        } else {
            vec![]
        };
        holds(
            measured == wanted,
            "has a measurement without its state, or the reverse",
        )?;
        let told = rec.attempts.iter().all(|it| {
            let end = it.end.as_ref().map(|it| &it.end);
            let counts = it.forgotten.is_none();
            it.outcome.is_some() == (counts && matches!(end, Some(End::Measured { .. })))
        });
        holds(told, "has an outcome whose attempt has not ended with it")?;
        let result = succeeded || rec.fault() == Some(Fault::Diverged);
        let forgotten = rec.newest().is_some_and(|it| it.forgotten.is_some());
        holds(!result || !forgotten, "has a result that is forgotten")?;
        let ended = rec.newest().is_none_or(|it| it.end.is_some());
        holds(
            !ended || (job.closed && lease.is_none()),
            "goes on with an attempt that has ended",
        )?;
        let newest = lease.is_none_or(|lease| {
            let worker = row.worker.map(|worker| &self.workers[&worker]);
            worker.is_some_and(|worker| worker.session == lease.owner.session)
        });
        holds(newest, "is leased by a session that is not the newest")?;
        let holders = &self.cells[&rec.new.cell].holders;
        let held = |sweep| self.replicates_of(sweep, rec.new.cell) >= rec.new.replicate.0;
        let mut holders = holders.iter().filter(|sweep| held(**sweep)).peekable();
        holds(holders.peek().is_some(), "is of no sweep")?;
        let stopping = job.stopping();
        let live = holders.any(|sweep| {
            let rec = &self.sweeps[sweep];
            // Its jobs wait for the last of its cells.
            rec.row.live || rec.new.label.staged
        });
        holds(is_final || stopping || live, "waits and nobody needs it")
    }

    fn sweep_holds(&self, rec: &SweepRec) -> Refused {
        let key = rec.new.key;
        let holds = |holds: bool, what: &str| ensure(holds, || format!("sweep {key} {what}"));
        let all = rec.cells.len() as u64;
        let partly = rec.new.label.staged && all < rec.new.cells;
        let whole = (partly || all == rec.new.cells)
            && rec
                .cells
                .iter()
                .all(|held| self.cells[&held.cell].jobs.len() as u32 >= held.replicates);
        holds(whole, "has not all of its cells and jobs")?;
        let mut counts = Counts::default();
        for job in self.jobs_of(rec) {
            counts.add(job.state(), job.fault(), 1);
        }
        ensure(counts == rec.row.counts, || {
            format!(
                "sweep {key} counts its jobs as {:?}, and they are {counts:?}",
                rec.row.counts
            )
        })?;
        let ended = self.jobs_of(rec).filter_map(|job| job.row.ended_at).max();
        let done = counts.done() == counts.total();
        let whole = !rec.new.label.deleting && !rec.new.label.staged;
        ensure(!whole || !done || ended == rec.row.ended_at, || {
            format!(
                "sweep {key} ended at {:?} and not at {ended:?}",
                rec.row.ended_at
            )
        })?;
        let seeds = rec.replication.as_ref().map_or(0, |it| it.seeds);
        holds(
            seeds == rec.decisions.len() as u64,
            "has other decisions than it counts",
        )
    }
}
