//! What is too large for one commit is done in parts. Calls of others are decided
//! in between, so nobody waits longer than for one part.
//!
//! A large submit is staged: nobody sees its sweep until the last part is there.
//! What a stopped process left of one is removed by the next.

use std::sync::{Arc, Mutex, PoisonError};

use swath_model::id::{JobDigest, SweepDigest};
use swath_model::message::{Storing, Submitted};
use swath_model::time::Timestamp;
use swath_store::Result;
use tokio::sync::Mutex as AsyncMutex;

use crate::Engine;
use crate::ledger::{Begun, Head, Ledger, Loc, Part, Prepared, WRITTEN_AT_ONCE, Wanted};

/// The large submits of one engine.
#[derive(Debug, Default)]
pub(crate) struct Staging {
    /// Whose turn it is.
    turn: AsyncMutex<()>,
    now: Mutex<Option<Storing>>,
}

impl Staging {
    fn set(&self, storing: Option<Storing>) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = storing;
    }
}

/// Takes back what is said of a sweep that is being stored, however that ends.
struct Told<'a>(&'a Staging);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

impl Engine {
    /// The sweep whose turn it is to be stored in parts, if there is one.
    pub fn storing(&self) -> Option<Storing> {
        let now = self.staging.now.lock();
        now.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// [`Engine::submit_prepared`] in commits of at most so many jobs, or of one
    /// cell. All or nothing holds all the same: until the last commit nobody sees
    /// the sweep. [`Engine::storing`] says how far it has come. Where the caller
    /// goes away, what was stored stays until the next such submit of this sweep, or
    /// until [`Engine::remove_staged`].
    ///
    /// # Errors
    ///
    /// As for [`Engine::submit`]. What was stored by then is removed.
    pub async fn submit_in_parts(
        &self,
        now: Timestamp,
        prepared: Prepared,
        jobs_max: usize,
    ) -> Result<Submitted> {
        if prepared.is_refused() {
            return self.submit_whole(now, prepared).await;
        }
        // Of two submits of one sweep the second finds what the first has stored.
        let _turn = self.staging.turn.lock().await;
        let digest = prepared.digest();
        let jobs = prepared.jobs();
        let (head, parts) = prepared.in_parts(jobs_max);
        self.staging.set(Some(head.storing(jobs)));
        let _told = Told(&self.staging);
        let head = Arc::new(head);
        let mut begun = self.stage(now, &head).await?;
        if begun == Begun::Left {
            self.unstage(now, digest).await?;
            begun = self.stage(now, &head).await?;
        }
        if begun == Begun::Known {
            return self.submit_again(now, digest, &head, parts).await;
        }
        let mut new_jobs = 0;
        for part in parts {
            let count = part.jobs() as u64;
            let wanted = Wanted::Cells(part.cells());
            let work = move |ledger: &mut Ledger, now| ledger.add_to(now, digest, part);
            match self.run(Some(now), wanted, work).await {
                Ok(new) => new_jobs += new,
                Err(error) => {
                    // If it cannot be removed now, whoever leads next does it.
                    let _removed = self.unstage(now, digest).await;
                    return Err(error);
                }
            }
            self.stored(count);
        }
        let work = move |ledger: &mut Ledger, now| ledger.unveil(now, digest, new_jobs);
        self.run(Some(now), Wanted::Nothing, work).await
    }

    /// Takes a known sweep again. Where that breaks off, the next submit of the
    /// sweep goes on with it.
    async fn submit_again(
        &self,
        now: Timestamp,
        digest: SweepDigest,
        head: &Arc<Head>,
        parts: impl Iterator<Item = Part>,
    ) -> Result<Submitted> {
        let head = Arc::clone(head);
        let work = move |ledger: &mut Ledger, now| ledger.begin_again(now, &head);
        let revived = self.run(Some(now), Wanted::Nothing, work).await?;
        for part in parts {
            let count = part.jobs() as u64;
            // Of a sweep that is not revived, what is not held has no open jobs.
            let wanted = if revived {
                Wanted::Cells(part.cells())
            } else {
                Wanted::Nothing
            };
            let work =
                move |ledger: &mut Ledger, now| ledger.take_part(now, digest, &part, revived);
            self.run(Some(now), wanted, work).await?;
            self.stored(count);
        }
        let work = move |ledger: &mut Ledger, now| ledger.end_again(now, digest, revived);
        self.run(Some(now), Wanted::Nothing, work).await
    }

    /// So many more jobs are stored.
    fn stored(&self, jobs: u64) {
        let mut now = self
            .staging
            .now
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(storing) = &mut *now {
            storing.stored += jobs;
        }
    }

    async fn stage(&self, now: Timestamp, head: &Arc<Head>) -> Result<Begun> {
        let head = Arc::clone(head);
        let work = move |ledger: &mut Ledger, now| ledger.stage(now, &head);
        self.run(Some(now), Wanted::Nothing, work).await
    }

    /// Removes what earlier processes left of submits that they did not bring to an
    /// end.
    ///
    /// # Errors
    ///
    /// Whatever the store says.
    pub async fn remove_staged(&self, now: Timestamp) -> Result<()> {
        let _turn = self.staging.turn.lock().await;
        let work = |ledger: &mut Ledger, _| Ok(ledger.staged());
        for digest in self.run(None, Wanted::Nothing, work).await? {
            self.unstage(now, digest).await?;
        }
        Ok(())
    }

    async fn unstage(&self, now: Timestamp, digest: SweepDigest) -> Result<()> {
        let work = move |ledger: &mut Ledger, now| ledger.begin_deletion(now, digest, true);
        self.run(Some(now), Wanted::Nothing, work).await?;
        while !self.delete_some(now, digest).await?.done {}
        Ok(())
    }

    /// Does something to a sweep that may cancel its jobs. Where these are too many
    /// for one commit, most are cancelled before.
    pub(crate) async fn after_cancelling(
        &self,
        now: Timestamp,
        sweep: SweepDigest,
        cancels: bool,
        work: impl Fn(&mut Ledger, Timestamp) -> Result<()> + Clone + Send + Sync + 'static,
    ) -> Result<()> {
        let last = work.clone();
        let first = move |ledger: &mut Ledger, now| {
            if cancels && ledger.open_jobs(sweep) > WRITTEN_AT_ONCE as u64 {
                return Ok(Some(Loc::FIRST));
            }
            work(ledger, now).map(|()| None)
        };
        let mut from = self.run(Some(now), Wanted::Nothing, first).await?;
        if from.is_none() {
            return Ok(());
        }
        while let Some(place) = from {
            let cancel = move |ledger: &mut Ledger, now| ledger.cancel_some(now, sweep, place);
            from = self.run(Some(now), Wanted::Nothing, cancel).await?;
        }
        self.run(Some(now), Wanted::Nothing, last).await
    }
}

/// Jobs in parts that one commit each can take; at least one, of none.
pub(crate) fn in_parts(jobs: &[JobDigest]) -> Vec<Vec<JobDigest>> {
    if jobs.is_empty() {
        return vec![Vec::new()];
    }
    jobs.chunks(WRITTEN_AT_ONCE).map(<[_]>::to_vec).collect()
}
