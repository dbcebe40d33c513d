//! What operators do to sweeps and jobs.

use swath_model::access::Credential;
use swath_model::id::{JobDigest, SweepDigest};
use swath_model::message::{Deleted, InputFile, Overlap, Shares, SweepChange};
use swath_model::time::Timestamp;
use swath_store::Result;

use crate::Engine;
use crate::call::{Extra, Extras};
use crate::ledger::{Ledger, Wanted};
use crate::parts::in_parts;

impl Engine {
    /// Changes a sweep, and its jobs accordingly. Cancelling cancels only the
    /// jobs that no other live sweep needs, and does nothing to a cancelled
    /// sweep.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown sweep, [`StoreError::Conflict`]
    /// for any other change to a cancelled one, except to what is said of it,
    /// and for a name that another sweep has.
    pub async fn change_sweep(
        &self,
        now: Timestamp,
        sweep: SweepDigest,
        change: SweepChange,
    ) -> Result<()> {
        let cancels = matches!(change, SweepChange::Cancel);
        let work = move |ledger: &mut Ledger, now| ledger.change_sweep(now, sweep, change.clone());
        self.after_cancelling(now, sweep, cancels, work).await
    }

    /// Begins the deletion of a sweep: it is cancelled, takes no change any more,
    /// and nothing is decided about its replicates. [`Engine::delete_some`] then
    /// deletes it. If that has begun already, nothing happens.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown sweep, [`StoreError::Conflict`]
    /// for one with open jobs, unless those are to be cancelled.
    pub async fn begin_deletion(
        &self,
        now: Timestamp,
        sweep: SweepDigest,
        cancel: bool,
    ) -> Result<()> {
        let work = move |ledger: &mut Ledger, now| ledger.begin_deletion(now, sweep, cancel);
        self.after_cancelling(now, sweep, cancel, work).await
    }

    /// Deletes some cells of a sweep, with those of their jobs that no other
    /// sweep holds, and everything about these; to be repeated until it is done.
    /// Jobs under way are deleted too: their workers are told that they are
    /// fenced. The numbers that were imported for a cell go with the last sweep
    /// of their name that has it.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown sweep, [`StoreError::Conflict`]
    /// for one whose deletion has not begun.
    pub async fn delete_some(&self, now: Timestamp, sweep: SweepDigest) -> Result<Deleted> {
        let work = move |ledger: &mut Ledger, now, extras: Extras| {
            ledger.delete_some(now, sweep, extras.tail)
        };
        self.run_with(Some(now), Wanted::Nothing, Extra::Tail(sweep), work)
            .await
    }

    /// Keeps files that are to travel with sweeps, each with its right digest; a
    /// file that is kept already stays as it is. One that no sweep needs is deleted
    /// when the sweep is, or, if no sweep came, a day after it did. Returns how many
    /// are new.
    pub async fn keep_inputs(&self, now: Timestamp, files: Vec<InputFile>) -> Result<u64> {
        let work = move |ledger: &mut Ledger, now| Ok(ledger.keep_inputs(now, files));
        self.run(Some(now), Wanted::Nothing, work).await
    }

    /// Cancels jobs, whichever sweeps want them. Returns how many changed;
    /// unknown jobs are ignored.
    pub async fn cancel_jobs(&self, now: Timestamp, jobs: Vec<JobDigest>) -> Result<u64> {
        let mut changed = 0;
        for jobs in in_parts(&jobs) {
            let work = move |ledger: &mut Ledger, now| Ok(ledger.cancel_jobs(now, &jobs));
            changed += self.run(Some(now), Wanted::Nothing, work).await?;
        }
        Ok(changed)
    }

    /// Queues failed and cancelled jobs again. Returns how many changed. If no
    /// live sweep holds a job, the newest sweep that holds it becomes live
    /// again, unpaused, but without wanting its other jobs: a waiting job is
    /// always needed by some sweep.
    pub async fn retry_jobs(&self, now: Timestamp, jobs: Vec<JobDigest>) -> Result<u64> {
        let mut changed = 0;
        for jobs in in_parts(&jobs) {
            let wanted = Wanted::Jobs(jobs.clone());
            let work = move |ledger: &mut Ledger, now| Ok(ledger.retry_jobs(now, &jobs));
            changed += self.run(Some(now), wanted, work).await?;
        }
        Ok(changed)
    }

    /// Throws the outcomes of succeeded and diverged jobs away and queues the jobs
    /// again, as [`Engine::retry_jobs`] does with others. Returns how many changed.
    /// The attempts stay on record, as forgotten at this time. Of a worker that
    /// offers such an outcome once more it is not taken, and not kept aside either.
    pub async fn forget_jobs(&self, now: Timestamp, jobs: Vec<JobDigest>) -> Result<u64> {
        let mut changed = 0;
        for jobs in in_parts(&jobs) {
            let wanted = Wanted::Forget(jobs.clone());
            let work = move |ledger: &mut Ledger, now| Ok(ledger.forget_jobs(now, &jobs));
            changed += self.run(Some(now), wanted, work).await?;
        }
        Ok(changed)
    }

    /// Keeps a token or a worker's certificates, in place of what was known under its
    /// id.
    pub async fn keep_credential(&self, credential: Credential) -> Result<()> {
        let work = move |ledger: &mut Ledger, _| {
            ledger.keep_credential(credential);
            Ok(())
        };
        self.run(None, Wanted::Nothing, work).await
    }

    /// With which other sweeps a submit would share open jobs, where their files
    /// differ in what these need.
    pub async fn overlaps(&self, asked: Shares) -> Result<Vec<Overlap>> {
        let work = move |ledger: &mut Ledger, _| Ok(ledger.overlaps(&asked));
        self.run(None, Wanted::Nothing, work).await
    }

    /// How many open jobs of a sweep another one does not hold: what goes on of
    /// it beside that one.
    pub async fn open_beside(&self, sweep: SweepDigest, other: SweepDigest) -> Result<u64> {
        let work = move |ledger: &mut Ledger, _| Ok(ledger.open_beside(sweep, other));
        self.run(None, Wanted::Nothing, work).await
    }
}
