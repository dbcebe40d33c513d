//! Results that are thrown away: which those are that a selector means, and what
//! sweeps lose with them.

use std::collections::{BTreeSet, HashSet};

use swath_model::id::{JobDigest, SweepDigest};
use swath_model::job::StateName;
use swath_model::outcome::Fault;
use swath_model::time::Timestamp;
use swath_model::view::{CellResults, ReplicateResult, SCHEMA_VERSION, SweepView};
use swath_report::counted;

use super::access::Whose;
use super::change::{digests_of, resume, said};
use super::error::ApiError;
use super::explain::told_apart;
use super::select::{self, JobState};
use super::state::State;
use crate::api::{Changed, Forgetting, Losing, Spared};

/// What a selector means.
struct Meant {
    /// Whole sweeps; none where jobs are meant.
    sweeps: Vec<SweepView>,
    /// The jobs with a result.
    jobs: Vec<JobState>,
    spared: Spared,
}

impl Meant {
    /// The sweeps that have the jobs.
    fn holders(&self) -> BTreeSet<SweepDigest> {
        let holders = self.jobs.iter().flat_map(|job| &job.holders);
        holders.copied().collect()
    }
}

/// What forgetting would take away.
///
/// # Errors
///
/// [`ApiError::Conflict`] when there is nothing to forget.
pub(crate) async fn forgetting(
    state: &State,
    whose: Whose<'_>,
    selector: &[String],
) -> Result<Forgetting, ApiError> {
    let at = state.now();
    let meant = meant(state, whose, selector, Some(at)).await?;
    let (store, holders) = (&state.store, meant.holders());
    let jobs: HashSet<JobDigest> = meant.jobs.iter().map(|job| job.digest).collect();
    let mut sweeps = Vec::with_capacity(holders.len());
    let all = store.sweeps().await.map_err(ApiError::from)?;
    for sweep in all.iter().filter(|it| holders.contains(&it.digest)) {
        let cells = store.results(sweep.digest, None).await;
        sweeps.push(Losing {
            sweep: told_apart(sweep, &all),
            owner: sweep.label.owner.clone(),
            ..losing(&cells.map_err(ApiError::from)?, &jobs)
        });
    }
    Ok(Forgetting {
        schema_version: SCHEMA_VERSION,
        at,
        results: jobs.len() as u64,
        meant: select::digests(&meant.sweeps),
        sweeps,
        spared: meant.spared,
    })
}

/// Forgets what was recorded until then, or everything.
///
/// # Errors
///
/// [`ApiError::Conflict`] when there is nothing to forget.
pub(crate) async fn forget(
    state: &State,
    whose: Whose<'_>,
    selector: &[String],
    until: Option<Timestamp>,
) -> Result<Changed, ApiError> {
    let meant = meant(state, whose, selector, until).await?;
    let jobs = digests_of(&meant.jobs);
    let forgotten = state.engine.forget_jobs(state.now(), jobs).await;
    let count = forgotten.map_err(ApiError::from)?;
    resume(state, &meant.sweeps).await?;
    tracing::info!(jobs = count, "results are forgotten");
    let shared = shared(state, &meant).await?;
    let done = if count == 1 {
        "1 result is forgotten, and its job is queued again".to_owned()
    } else {
        format!("{count} results are forgotten, and their jobs are queued again")
    };
    Ok(Changed {
        sweeps: select::digests(&meant.sweeps),
        jobs: count,
        ..said(format!("{done}{shared}"))
    })
}

/// Which sweeps that were not named have lost results too.
async fn shared(state: &State, meant: &Meant) -> Result<String, ApiError> {
    let holders = meant.holders();
    let all = state.store.sweeps().await.map_err(ApiError::from)?;
    let named = |sweep: &SweepView| meant.sweeps.iter().any(|it| it.digest == sweep.digest);
    let others = all
        .iter()
        .filter(|it| holders.contains(&it.digest) && !named(it));
    let others: Vec<&SweepView> = others.collect();
    if others.is_empty() || meant.sweeps.is_empty() {
        return Ok(String::new());
    }
    let is_shared = |job: &&JobState| others.iter().any(|it| job.holders.contains(&it.digest));
    let jobs = meant.jobs.iter().filter(is_shared).count() as u64;
    let names = others
        .iter()
        .map(|it| format!("`{}`", told_apart(it, &all)));
    let names: Vec<String> = names.collect();
    Ok(format!(
        "; {} of {} too",
        counted(jobs, "job"),
        names.join(", ")
    ))
}

async fn meant(
    state: &State,
    whose: Whose<'_>,
    selector: &[String],
    until: Option<Timestamp>,
) -> Result<Meant, ApiError> {
    let (all, sweeps) = whose.jobs(&*state.store, selector).await?;
    let (mut jobs, mut spared) = (Vec::new(), Spared::default());
    for job in all {
        match (job.state, job.fault) {
            (StateName::Succeeded, _) | (StateName::Failed, Some(Fault::Diverged)) => {
                if until.is_none_or(|until| job.ended_at <= Some(until)) {
                    jobs.push(job);
                }
            }
            (StateName::Failed, _) => spared.failed += 1,
            (StateName::Cancelled, _) => spared.cancelled += 1,
            (StateName::Queued | StateName::Leased | StateName::Suspect, _) => spared.open += 1,
        }
    }
    if jobs.is_empty() {
        return Err(nothing(selector, spared));
    }
    Ok(Meant {
        sweeps,
        jobs,
        spared,
    })
}

/// There is nothing to forget; what can be done instead.
fn nothing(selector: &[String], spared: Spared) -> ApiError {
    let words = selector.join(" ");
    let Spared {
        failed,
        cancelled,
        open,
    } = spared;
    let kinds = [
        (failed, "failed"),
        (cancelled, "cancelled"),
        (open, "not ended yet"),
    ];
    let there = kinds.iter().filter(|(jobs, _)| *jobs > 0);
    let there: Vec<String> = there.map(|(jobs, kind)| format!("{jobs} {kind}")).collect();
    let retry = match failed + cancelled {
        0 => String::new(),
        _ => format!("; `coordinator retry {words}` queues what failed or was cancelled"),
    };
    ApiError::conflict(format!(
        "`{words}` has no result to forget ({}){retry}",
        there.join(", ")
    ))
}

/// What a sweep with these cells loses with the results of these jobs.
fn losing(cells: &[CellResults], jobs: &HashSet<JobDigest>) -> Losing {
    let mut losing = Losing::default();
    for cell in cells {
        let there = cell.replicates.iter().filter(|it| is_result(it));
        let (gone, left): (Vec<_>, Vec<_>) = there.partition(|it| goes(it, jobs));
        losing.results += gone.len() as u64;
        losing.cells += u64::from(!gone.is_empty());
        losing.emptied += u64::from(!gone.is_empty() && left.is_empty());
    }
    losing
}

fn is_result(replicate: &ReplicateResult) -> bool {
    replicate.measurement.is_some()
        || replicate.imported.is_some()
        || replicate.fault == Some(Fault::Diverged)
}

/// Whether what a replicate shows comes from one of these jobs.
fn goes(replicate: &ReplicateResult, jobs: &HashSet<JobDigest>) -> bool {
    replicate.imported.is_none() && jobs.contains(&replicate.job)
}
