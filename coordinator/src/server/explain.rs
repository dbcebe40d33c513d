//! Why a job is in its state, from the same facts by which jobs are granted.

use swath_model::job::StateName;
use swath_model::judge::headline;
use swath_model::label::versioned;
use swath_model::metrics;
use swath_model::needs::{Lack, Needs};
use swath_model::outcome::Fault;
use swath_model::policy::Policy;
use swath_model::time::Timestamp;
use swath_model::view::{JobDetail, JobView, Kept, SweepState, SweepView, WorkerState, WorkerView};

use crate::explain::ExplainItem;

/// The facts that explain a job's state.
pub(crate) struct Facts<'a> {
    pub(crate) detail: &'a JobDetail,
    pub(crate) sweeps: &'a [SweepView],
    pub(crate) workers: &'a [WorkerView],
    /// What it needs of its worker.
    pub(crate) needs: &'a Needs,
    /// What comes closest to that, where no active worker can run it.
    pub(crate) lack: Option<&'a Lack>,
    /// The room that is kept for it, if some is.
    pub(crate) kept: Option<&'a Kept>,
    /// How many queued jobs are granted before it.
    pub(crate) ahead: u64,
    pub(crate) policy: &'a Policy,
    pub(crate) now: Timestamp,
}

/// The reasons, most important first.
pub(crate) fn reasons(facts: &Facts<'_>) -> Vec<ExplainItem> {
    let job = &facts.detail.job;
    let mut reasons = match job.state {
        StateName::Queued => queued(facts),
        StateName::Leased => leased(facts, job),
        StateName::Suspect => vec![ExplainItem::Unheard {
            worker: job.worker.clone(),
            attempt: job.attempt,
            seconds: job.deadline.map_or(0, |at| at.since(facts.now).as_secs()),
        }],
        StateName::Succeeded => vec![ExplainItem::Measured {
            attempt: job.attempt,
            metric: metrics::own(&job.spec).to_owned(),
            value: job.measured(),
        }],
        StateName::Failed => vec![failed(facts, job)],
        StateName::Cancelled => vec![ExplainItem::Cancelled],
    };
    reasons.extend(forgotten(facts.detail));
    reasons
}

/// The newest attempt whose result was thrown away.
fn forgotten(detail: &JobDetail) -> Option<ExplainItem> {
    let mut newest = detail.attempts.iter().rev();
    newest.find_map(|it| {
        Some(ExplainItem::Forgotten {
            attempt: it.attempt,
            ended: it.ended.clone(),
            at: it.forgotten_at?,
        })
    })
}

fn queued(facts: &Facts<'_>) -> Vec<ExplainItem> {
    let job = &facts.detail.job;
    let mut reasons = Vec::new();
    if job.charged > 0 {
        reasons.push(ExplainItem::Charged {
            charged: job.charged,
            most: facts.policy.charged_max,
            headline: headline(&job.message).to_owned(),
        });
    }
    if let Some(not_before) = job.not_before.filter(|at| *at > facts.now) {
        let seconds = not_before.since(facts.now).as_secs() + 1;
        reasons.push(ExplainItem::BackingOff { seconds });
    }
    reasons.extend(sweep_paused(facts));
    reasons.extend(no_worker(facts));
    if reasons.is_empty() {
        let jobs = facts.ahead;
        reasons.push(match facts.kept {
            Some(kept) => ExplainItem::Kept(kept.clone()),
            None if facts.needs.may_not_fit() => ExplainItem::Room { jobs },
            None => ExplainItem::Ahead { jobs },
        });
    }
    reasons
}

/// The reason that every sweep which wants the job is inactive and one of them
/// is paused, if that is so.
fn sweep_paused(facts: &Facts<'_>) -> Option<ExplainItem> {
    let holders = &facts.detail.job.holders;
    let holds = |sweep: &&SweepView| holders.contains(&sweep.digest);
    let in_state = |state| {
        let mut holding = facts.sweeps.iter().filter(holds);
        holding.find(|sweep| sweep.state == state)
    };
    if in_state(SweepState::Active).is_some() {
        return None;
    }
    let paused = in_state(SweepState::Paused)?;
    Some(ExplainItem::SweepPaused {
        sweep: told_apart(paused, facts.sweeps),
        name: paused.name.clone(),
        cause: paused.paused.clone(),
    })
}

/// What to call a sweep in a command: its name, with its version where another
/// sweep has the same.
pub(crate) fn told_apart(sweep: &SweepView, all: &[SweepView]) -> String {
    let namesakes = all.iter().filter(|other| other.name == sweep.name).count();
    if namesakes > 1 {
        versioned(&sweep.name, sweep.version)
    } else {
        sweep.name.clone()
    }
}

/// Why no worker would take the job, if none would.
fn no_worker(facts: &Facts<'_>) -> Option<ExplainItem> {
    let connected = || facts.workers.iter().filter(|worker| !worker.silent);
    let Some(first) = connected().next() else {
        return Some(ExplainItem::NoWorker {
            ever: !facts.workers.is_empty(),
        });
    };
    let active = || connected().filter(|worker| worker.state == WorkerState::Active);
    if active().next().is_none() {
        return Some(ExplainItem::WorkersRest {
            worker: first.name.clone(),
            state: first.state,
            cause: first.cordoned.clone(),
            others: connected().count() as u64 - 1,
        });
    }
    let lack = facts.lack?.clone();
    Some(ExplainItem::Lacks { lack })
}

fn leased(facts: &Facts<'_>, job: &JobView) -> Vec<ExplainItem> {
    let mut reasons = vec![ExplainItem::Running {
        worker: job.worker.clone(),
        attempt: job.attempt,
        devices: job.devices.clone(),
        seconds: job.granted_at.map_or(0, |at| facts.now.since(at).as_secs()),
        epoch: job.progress.as_ref().map(|observation| observation.epoch),
    }];
    if job.stop {
        reasons.push(ExplainItem::Stopping);
    }
    reasons
}

fn failed(facts: &Facts<'_>, job: &JobView) -> ExplainItem {
    let fault = job.fault.unwrap_or(Fault::Lost);
    ExplainItem::Failed {
        fault,
        headline: headline(&job.message).to_owned(),
        attempts: match fault {
            Fault::Lost => facts.policy.attempts_max,
            _ => job.charged,
        },
    }
}
