//! Whose sweeps and jobs a caller may change.

use std::collections::BTreeSet;

use swath_model::access::{Deed, Principal, Reach};
use swath_model::id::SweepDigest;
use swath_model::message::Submission;
use swath_model::view::{SweepState, SweepView};
use swath_store::Store;
use swath_sweep::{Selector, Target};

use super::super::error::ApiError;
use super::super::select::{self, JobState, Selected};

/// Everybody's, or those of one person.
///
/// A pattern means one's own: `cancel '*'` does not touch what belongs to others.
/// Who names something of somebody else's is told that it is not theirs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whose<'a> {
    principal: &'a Principal,
    reach: Reach,
}

impl<'a> Whose<'a> {
    pub(super) const fn new(principal: &'a Principal, reach: Reach) -> Self {
        Self { principal, reach }
    }

    /// Whether it is everybody's.
    fn all(&self) -> bool {
        self.reach == Reach::All
    }

    /// Whether a sweep is one of them.
    fn has(&self, sweep: &SweepView) -> bool {
        self.all() || self.principal.owns(&sweep.label.owner)
    }

    /// Refuses a sweep that is not one of them.
    fn check(&self, sweep: &SweepView) -> Result<(), ApiError> {
        if self.has(sweep) {
            return Ok(());
        }
        let owner = match sweep.label.owner.as_str() {
            "" => "nobody who has an account".to_owned(),
            owner => owner.to_owned(),
        };
        Err(ApiError::Denied(format!(
            "sweep `{}` belongs to {owner}; only its owner and admins change it",
            sweep.full_name()
        )))
    }

    /// Refuses to submit a sweep again that is somebody else's, where that would change
    /// it. To ask for what is there already changes nothing.
    pub(crate) fn check_again(
        &self,
        known: &SweepView,
        submission: &Submission,
        priority: Option<i32>,
    ) -> Result<(), ApiError> {
        let changes = known.state == SweepState::Cancelled
            || priority.is_some_and(|it| it != known.priority)
            || submission
                .tags
                .iter()
                .any(|tag| !known.label.tags.contains(tag));
        // Who submits may submit everything; what changes must be one's own.
        let own = matches!(self.principal.reach(Deed::ChangeSweep), Some(Reach::All))
            || self.principal.owns(&known.label.owner);
        if changes && !own {
            return Whose::new(self.principal, Reach::Own).check(known);
        }
        Ok(())
    }

    /// Those of these sweeps, which words mean, that may be changed.
    fn narrowed(
        &self,
        words: &[String],
        found: Vec<SweepView>,
    ) -> Result<Vec<SweepView>, ApiError> {
        if found.iter().all(|sweep| self.has(sweep)) {
            return Ok(found);
        }
        let (own, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|it| self.has(it));
        if is_pattern(words) {
            if own.is_empty() {
                return Err(ApiError::not_found(format!(
                    "no sweep of yours matches `{}`; only admins change those of others",
                    words.join(" ")
                )));
            }
            return Ok(own);
        }
        others.iter().try_for_each(|sweep| self.check(sweep))?;
        Ok(own)
    }

    /// As [`select::sweeps`].
    pub(crate) async fn sweeps(
        &self,
        store: &dyn Store,
        words: &[String],
    ) -> Result<Vec<SweepView>, ApiError> {
        self.narrowed(words, select::sweeps(store, words).await?)
    }

    /// As [`select::sweep`].
    pub(crate) async fn sweep(
        &self,
        store: &dyn Store,
        words: &[String],
    ) -> Result<SweepView, ApiError> {
        let sweep = select::sweep(store, words).await?;
        self.check(&sweep)?;
        Ok(sweep)
    }

    /// As [`select::selected`]. A job is one's own if all sweeps that hold it are:
    /// whatever is done to it is done to each of them.
    pub(crate) async fn selected(
        &self,
        store: &dyn Store,
        words: &[String],
    ) -> Result<Selected, ApiError> {
        match select::selected(store, words).await? {
            Selected::Sweeps(sweeps) => Ok(Selected::Sweeps(self.narrowed(words, sweeps)?)),
            Selected::Jobs(jobs) => Ok(Selected::Jobs(self.own_jobs(store, words, jobs).await?)),
        }
    }

    /// As [`select::jobs`].
    pub(crate) async fn jobs(
        &self,
        store: &dyn Store,
        words: &[String],
    ) -> Result<(Vec<JobState>, Vec<SweepView>), ApiError> {
        match select::selected(store, words).await? {
            Selected::Sweeps(sweeps) => {
                let sweeps = self.narrowed(words, sweeps)?;
                let jobs = select::jobs(store, words).await?.0;
                let named: BTreeSet<SweepDigest> = sweeps.iter().map(|it| it.digest).collect();
                let meant = jobs.into_iter();
                let meant = meant.filter(|job| job.holders.iter().any(|it| named.contains(it)));
                let meant = self.own_jobs(store, words, meant.collect()).await?;
                Ok((meant, sweeps))
            }
            Selected::Jobs(jobs) => Ok((self.own_jobs(store, words, jobs).await?, Vec::new())),
        }
    }

    async fn own_jobs(
        &self,
        store: &dyn Store,
        words: &[String],
        jobs: Vec<JobState>,
    ) -> Result<Vec<JobState>, ApiError> {
        if self.all() {
            return Ok(jobs);
        }
        let sweeps = store.sweeps().await.map_err(ApiError::from)?;
        let foreign: Vec<&SweepView> = sweeps.iter().filter(|it| !self.has(it)).collect();
        let others: BTreeSet<SweepDigest> = foreign.iter().map(|it| it.digest).collect();
        let is_own = |job: &JobState| !job.holders.iter().any(|it| others.contains(it));
        let (own, shared): (Vec<_>, Vec<_>) = jobs.into_iter().partition(is_own);
        // Of many jobs, those that others have too are left alone; of one that is
        // named, that is an error.
        match shared.first() {
            Some(job) if own.is_empty() => {
                let holds = |it: &&&SweepView| job.holders.contains(&it.digest);
                let sweep = foreign.iter().find(holds).copied();
                sweep.map_or(Ok(()), |sweep| self.check(sweep))?;
                Err(ApiError::not_found(format!(
                    "no job of yours matches `{}`",
                    words.join(" ")
                )))
            }
            _ => Ok(own),
        }
    }
}

/// Whether words mean whatever matches them, rather than something by its name.
fn is_pattern(words: &[String]) -> bool {
    let any = |_: &str| "params".to_owned();
    match Selector::parse_as(&words.join(" "), &any) {
        Ok(selector) => matches!(selector.target, None | Some(Target::Glob(_))),
        Err(_) => false,
    }
}
