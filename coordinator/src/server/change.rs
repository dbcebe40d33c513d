//! The changes that commands make.

use std::collections::BTreeSet;
use std::sync::Arc;

use swath_model::cause::{CordonCause, PauseCause};
use swath_model::id::{JobDigest, WorkerName};
use swath_model::job::StateName;
use swath_model::label::{Relabel, TAGS_MAX, check_name, check_note, check_tag};
use swath_model::message::{SweepChange, WorkerChange};
use swath_model::outcome::Fault;
use swath_model::view::{SCHEMA_VERSION, SweepState, SweepView};

use super::access::{Caller, Whose};
use super::delete::delete;
use super::error::ApiError;
use super::forget::forget;
use super::import::import;
use super::select::{self, JobState, Selected};
use super::state::State;
use super::submit::submission;
use crate::api::{ChangeOrder, Changed};

/// Carries out one order.
///
/// # Errors
///
/// [`ApiError::Denied`] for a caller who may not do it, or not to these sweeps.
pub(crate) async fn change(
    state: &Arc<State>,
    caller: &Caller,
    order: ChangeOrder,
) -> Result<Changed, ApiError> {
    let whose = caller.may(order.deed())?;
    let changed = match order {
        ChangeOrder::Cancel { selector } => cancel(state, whose, &selector).await?,
        ChangeOrder::Retry {
            selector,
            failed,
            missing,
            diverged,
        } => {
            let all = !(failed || missing || diverged);
            let kinds = Kinds {
                failed: failed || all,
                missing: missing || all,
                diverged,
            };
            retry(state, whose, &selector, kinds).await?
        }
        ChangeOrder::Pause { selector } => {
            let change = SweepChange::Pause {
                cause: PauseCause::Operator,
            };
            each_sweep(state, whose, &selector, &change, "paused").await?
        }
        ChangeOrder::Resume { selector } => {
            each_sweep(state, whose, &selector, &SweepChange::Resume, "resumed").await?
        }
        ChangeOrder::Rename { selector, name } => rename(state, whose, &selector, name).await?,
        ChangeOrder::Note { selector, note } => {
            check_note(&note).map_err(ApiError::invalid)?;
            let sweep = whose.sweep(&*state.store, &selector).await?;
            let done = if note.is_empty() {
                "has no note now"
            } else {
                "has a note now"
            };
            relabel(state, &[sweep], &Relabel::Note(note), done).await?
        }
        ChangeOrder::Tag {
            selector,
            add,
            remove,
        } => {
            add.iter()
                .try_for_each(|tag| check_tag(tag))
                .map_err(ApiError::invalid)?;
            let sweeps = sweeps_named(state, whose, &selector).await?;
            check_room(&sweeps, &add, &remove)?;
            relabel(state, &sweeps, &Relabel::Tag { add, remove }, "tagged").await?
        }
        ChangeOrder::Archive { selector, undo } => {
            let sweeps = sweeps_named(state, whose, &selector).await?;
            let done = if undo {
                "shown in lists again"
            } else {
                "archived; `coordinator sweeps --all` lists them"
            };
            relabel(state, &sweeps, &Relabel::Archive(!undo), done).await?
        }
        ChangeOrder::Delete { selector, cancel } => {
            let sweeps = sweeps_named(state, whose, &selector).await?;
            delete(state, &sweeps, cancel).await?
        }
        ChangeOrder::ForgetResults { selector, until } => {
            forget(state, whose, &selector, until).await?
        }
        ChangeOrder::Extend {
            selector,
            replicates,
        } => extend(state, whose, &selector, replicates).await?,
        ChangeOrder::Import(order) => return import(state, whose, order).await,
        ChangeOrder::Cordon { worker } => {
            let cause = CordonCause::Operator;
            let change = WorkerChange::Cordon { cause };
            let done = "keeps what it has and gets no more jobs";
            change_worker(state, &worker, change, done).await?
        }
        ChangeOrder::Activate { worker } => {
            change_worker(state, &worker, WorkerChange::Activate, "gets jobs").await?
        }
        ChangeOrder::Forget { worker } => {
            change_worker(state, &worker, WorkerChange::Forget, "is forgotten").await?
        }
        ChangeOrder::Drain { worker } => {
            let done = "gives back what it has and leaves";
            change_worker(state, &worker, WorkerChange::Drain, done).await?
        }
        ChangeOrder::CreateToken(order) => state.access.create_token(state, caller, order).await?,
        ChangeOrder::RevokeToken { id } => state.access.revoke(state, caller, id).await?,
        ChangeOrder::RevokeWorker { worker } => {
            state.access.revoke_worker(state, caller, &worker).await?
        }
    };
    Ok(changed)
}

/// Changes whether a worker gets jobs; a draining one hears of it at its next
/// heartbeat.
async fn change_worker(
    state: &State,
    worker: &WorkerName,
    change: WorkerChange,
    done: &str,
) -> Result<Changed, ApiError> {
    let draining = match &change {
        WorkerChange::Drain => Some(true),
        WorkerChange::Activate | WorkerChange::Forget => Some(false),
        WorkerChange::Cordon { .. } => None,
    };
    let changed = state
        .engine
        .change_worker(state.now(), worker.clone(), change);
    changed.await.map_err(ApiError::from)?;
    if let Some(draining) = draining {
        state.set_draining(worker, draining);
    }
    Ok(said(format!("worker `{worker}` {done}")))
}

pub(crate) const fn said(message: String) -> Changed {
    Changed {
        schema_version: SCHEMA_VERSION,
        sweeps: Vec::new(),
        jobs: 0,
        message,
        refused: Vec::new(),
        token: None,
    }
}

async fn each_sweep(
    state: &State,
    whose: Whose<'_>,
    selector: &[String],
    change: &SweepChange,
    done: &str,
) -> Result<Changed, ApiError> {
    if selector.is_empty() {
        return Err(ApiError::invalid("name a sweep"));
    }
    let sweeps = whose.sweeps(&*state.store, selector).await?;
    change_each(state, &sweeps, change, done).await
}

/// Makes one change to each of these sweeps. One that is refused holds up no
/// other.
async fn change_each(
    state: &State,
    sweeps: &[SweepView],
    change: &SweepChange,
    done: &str,
) -> Result<Changed, ApiError> {
    let (mut changed, mut refusals) = (Vec::new(), Vec::new());
    for sweep in sweeps {
        let change = change.clone();
        let made = state.engine.change_sweep(state.now(), sweep.digest, change);
        match made.await.map_err(ApiError::from) {
            Ok(()) => changed.push(sweep.clone()),
            Err(error) => error.set_aside(&mut refusals)?,
        }
    }
    in_part(&changed, &refusals, |names| format!("{names} {done}"))
}

/// What is answered where sweeps were changed and others refused.
///
/// # Errors
///
/// The refusals, if all were refused.
pub(crate) fn in_part(
    changed: &[SweepView],
    refusals: &[ApiError],
    message: impl FnOnce(&str) -> String,
) -> Result<Changed, ApiError> {
    if changed.is_empty()
        && let Some(error) = ApiError::together(refusals)
    {
        return Err(error);
    }
    Ok(Changed {
        sweeps: select::digests(changed),
        refused: refusals.iter().map(ToString::to_string).collect(),
        ..said(message(&names(changed)))
    })
}

async fn sweeps_named(
    state: &State,
    whose: Whose<'_>,
    selector: &[String],
) -> Result<Vec<SweepView>, ApiError> {
    if selector.is_empty() {
        return Err(ApiError::invalid("name a sweep"));
    }
    whose.sweeps(&*state.store, selector).await
}

/// Changes what is said of sweeps.
async fn relabel(
    state: &State,
    sweeps: &[SweepView],
    change: &Relabel,
    done: &str,
) -> Result<Changed, ApiError> {
    change_each(state, sweeps, &SweepChange::Label(change.clone()), done).await
}

async fn rename(
    state: &State,
    whose: Whose<'_>,
    selector: &[String],
    name: String,
) -> Result<Changed, ApiError> {
    check_name(&name).map_err(ApiError::invalid)?;
    let sweep = whose.sweep(&*state.store, selector).await?;
    let done = format!("is named `{name}` now");
    relabel(state, &[sweep], &Relabel::Rename(name), &done).await
}

/// Refuses tags that one of the sweeps has no room for.
fn check_room(sweeps: &[SweepView], add: &[String], remove: &[String]) -> Result<(), ApiError> {
    for sweep in sweeps {
        let kept = sweep.label.tags.iter().filter(|tag| !remove.contains(tag));
        let tags: BTreeSet<&String> = kept.chain(add).collect();
        if tags.len() > TAGS_MAX {
            return Err(ApiError::invalid(format!(
                "sweep `{}` would have {} tags; at most {TAGS_MAX}",
                sweep.full_name(),
                tags.len()
            )));
        }
    }
    Ok(())
}

pub(crate) fn names(sweeps: &[SweepView]) -> String {
    let names: Vec<_> = sweeps
        .iter()
        .map(|sweep| format!("`{}`", sweep.full_name()))
        .collect();
    let noun = if names.len() == 1 { "sweep" } else { "sweeps" };
    format!("{noun} {}", names.join(", "))
}

pub(crate) fn digests_of(jobs: &[JobState]) -> Vec<JobDigest> {
    jobs.iter().map(|job| job.digest).collect()
}

async fn cancel(state: &State, whose: Whose<'_>, selector: &[String]) -> Result<Changed, ApiError> {
    match whose.selected(&*state.store, selector).await? {
        Selected::Sweeps(_) => {
            each_sweep(state, whose, selector, &SweepChange::Cancel, "cancelled").await
        }
        Selected::Jobs(jobs) => {
            let count = state
                .engine
                .cancel_jobs(state.now(), digests_of(&jobs))
                .await
                .map_err(ApiError::from)?;
            Ok(Changed {
                jobs: count,
                ..said(format!("{count} jobs cancelled"))
            })
        }
    }
}

/// Which jobs a retry includes.
#[derive(Clone, Copy)]
struct Kinds {
    failed: bool,
    missing: bool,
    diverged: bool,
}

impl Kinds {
    fn hold(self, job: &JobState) -> bool {
        match (job.state, job.fault) {
            // With the same seed it most likely diverges again, so only on
            // request.
            (StateName::Failed, Some(Fault::Diverged)) => self.diverged,
            (StateName::Failed, _) => self.failed,
            (StateName::Cancelled, _) => self.missing,
            _ => false,
        }
    }

    /// The words for them when there are none: `failed or cancelled job`.
    fn named(self) -> String {
        let names = [
            (self.failed, "failed"),
            (self.missing, "cancelled"),
            (self.diverged, "diverged"),
        ];
        let names: Vec<_> = names.iter().filter(|it| it.0).map(|it| it.1).collect();
        format!("{} job", names.join(" or "))
    }
}

async fn retry(
    state: &State,
    whose: Whose<'_>,
    selector: &[String],
    kinds: Kinds,
) -> Result<Changed, ApiError> {
    let (jobs, sweeps) = whose.jobs(&*state.store, selector).await?;
    let chosen: Vec<_> = jobs.into_iter().filter(|job| kinds.hold(job)).collect();
    let count = state
        .engine
        .retry_jobs(state.now(), digests_of(&chosen))
        .await
        .map_err(ApiError::from)?;
    resume(state, &sweeps).await?;
    let message = match count {
        0 => format!("no {} to retry", kinds.named()),
        1 => "1 job is queued again".to_owned(),
        count => format!("{count} jobs are queued again"),
    };
    Ok(Changed {
        sweeps: select::digests(&sweeps),
        jobs: count,
        ..said(message)
    })
}

/// Resumes those of these sweeps that are paused, as when everything failed: who
/// wants their jobs again wants them to be trained.
pub(crate) async fn resume(state: &State, sweeps: &[SweepView]) -> Result<(), ApiError> {
    let paused = sweeps.iter().filter(|it| it.state == SweepState::Paused);
    for sweep in paused {
        let resume = SweepChange::Resume;
        let changed = state.engine.change_sweep(state.now(), sweep.digest, resume);
        changed.await.map_err(ApiError::from)?;
    }
    Ok(())
}

async fn extend(
    state: &State,
    whose: Whose<'_>,
    selector: &[String],
    replicates: u32,
) -> Result<Changed, ApiError> {
    let sweep = whose.sweep(&*state.store, selector).await?;
    let most = sweep.replicates_most();
    if replicates <= most {
        let has = match sweep.replication {
            Some(_) => format!("may have up to {most} replicates per cell"),
            None => format!("has {most} replicates"),
        };
        return Err(ApiError::invalid(format!(
            "sweep `{}` {has} already; --replicates must be more",
            sweep.name
        )));
    }
    let sources = state
        .store
        .sources(sweep.digest)
        .await
        .map_err(ApiError::from)?;
    let sources = sources.with_replicates(replicates);
    let priority = sweep.priority;
    let submission = tokio::task::spawn_blocking(move || submission(sources, priority))
        .await
        .map_err(ApiError::internal)?
        .map_err(ApiError::invalid)?;
    let mut submission = submission;
    submission.name.clone_from(&sweep.name);
    submission.owner.clone_from(&sweep.label.owner);
    submission.tags.clone_from(&sweep.label.tags);
    let digest = submission.digest;
    let submitted = state
        .engine
        .submit(state.now(), submission)
        .await
        .map_err(ApiError::from)?;
    let has = match sweep.replication {
        Some(_) => {
            format!("may have up to {replicates} replicates per cell now, as its results need")
        }
        None => format!("has {replicates} replicates now"),
    };
    let message = format!(
        "sweep `{}` {has}: {} jobs, {} of them new",
        sweep.name, submitted.jobs, submitted.new_jobs
    );
    Ok(Changed {
        sweeps: vec![digest],
        jobs: submitted.new_jobs,
        ..said(message)
    })
}
