//! Why a job is in its state, in sentences, from the same facts by which jobs
//! are granted.

use swath_core::job::StateName;
use swath_core::outcome::Fault;
use swath_core::policy::Policy;
use swath_core::spec::{JobSpec, Work};
use swath_core::time::Timestamp;
use swath_core::view::{JobDetail, JobView, SweepState, SweepView, WorkerState, WorkerView};

use crate::api::OPERATOR_PAUSE;

/// The facts that explain a job's state.
pub(crate) struct Facts<'a> {
    pub(crate) detail: &'a JobDetail,
    pub(crate) sweeps: &'a [SweepView],
    pub(crate) workers: &'a [WorkerView],
    /// How many queued jobs are granted before it.
    pub(crate) ahead: u64,
    pub(crate) policy: &'a Policy,
    pub(crate) now: Timestamp,
}

/// The reasons, most important first.
pub(crate) fn reasons(facts: &Facts<'_>) -> Vec<String> {
    let job = &facts.detail.job;
    match job.state {
        StateName::Queued => queued(facts),
        StateName::Leased => leased(facts, job),
        StateName::Suspect => suspect(facts, job),
        StateName::Succeeded => succeeded(job),
        StateName::Failed => failed(facts, job),
        StateName::Cancelled => vec![format!(
            "cancelled; `coordinator retry {}` queues it again",
            job.digest.short()
        )],
    }
}

fn queued(facts: &Facts<'_>) -> Vec<String> {
    let job = &facts.detail.job;
    let mut reasons = Vec::new();
    if job.charged > 0 {
        reasons.push(format!(
            "{} of {} charged attempts failed; the last: {}",
            job.charged,
            facts.policy.charged_max,
            headline(job)
        ));
    }
    if let Some(not_before) = job.not_before.filter(|at| *at > facts.now) {
        let seconds = not_before.since(facts.now).as_secs() + 1;
        reasons.push(format!(
            "it backs off after a fault and may be granted in {seconds} s"
        ));
    }
    let holding: Vec<_> = facts
        .sweeps
        .iter()
        .filter(|sweep| job.holders.contains(&sweep.digest))
        .collect();
    if !holding
        .iter()
        .any(|sweep| sweep.state == SweepState::Active)
        && let Some(paused) = holding
            .iter()
            .find(|sweep| sweep.state == SweepState::Paused)
    {
        // Failures paused it; resuming alone would leave the failed jobs behind.
        let verb = if paused.reason == OPERATOR_PAUSE {
            "resume"
        } else {
            "retry"
        };
        reasons.push(format!(
            "sweep `{}` is paused{}; `coordinator {verb} {}` lets it go on",
            paused.name,
            colon(&paused.reason),
            told_apart(paused, facts.sweeps)
        ));
    }
    reasons.extend(no_worker(facts));
    if reasons.is_empty() {
        reasons.push(match facts.ahead {
            0 => "it is next: the next free slot takes it".to_owned(),
            1 => "one job goes before it; every slot is busy".to_owned(),
            ahead => format!("{ahead} jobs go before it; every slot is busy"),
        });
    }
    reasons
}

/// What to call a sweep in a command: its name, unless another sweep has the
/// same.
fn told_apart(sweep: &SweepView, all: &[SweepView]) -> String {
    let namesakes = all.iter().filter(|other| other.name == sweep.name).count();
    if namesakes > 1 {
        sweep.digest.short()
    } else {
        sweep.name.clone()
    }
}

/// Why no worker would take the job, if none would.
fn no_worker(facts: &Facts<'_>) -> Option<String> {
    let silent_after = facts.policy.ttl();
    let alive = |worker: &&WorkerView| facts.now.since(worker.seen_at) <= silent_after;
    let alive: Vec<_> = facts.workers.iter().filter(alive).collect();
    if alive.is_empty() {
        return Some(if facts.workers.is_empty() {
            "no worker has ever connected; start one: `worker --coordinator URL`".to_owned()
        } else {
            "no worker is connected; start one: `worker --coordinator URL`".to_owned()
        });
    }
    let active: Vec<_> = alive
        .iter()
        .filter(|worker| worker.state == WorkerState::Active)
        .collect();
    if active.is_empty() {
        let worker = alive[0];
        return Some(format!(
            "every connected worker is {}, `{}` because {}; `coordinator activate {}` lets it work",
            worker.state.name(),
            worker.name,
            if worker.reason.is_empty() {
                "an operator said so"
            } else {
                &worker.reason
            },
            worker.name
        ));
    }
    let program = program(&facts.detail.job)?;
    let allowed = active
        .iter()
        .any(|worker| worker.about.programs.contains(&program));
    (!allowed).then(|| {
        format!("no active worker may run `{program}`; start one with `--allow-command {program}`")
    })
}

fn program(job: &JobView) -> Option<String> {
    match JobSpec::from_value(&job.spec).ok()?.work() {
        Work::Command(command) => command.argv.first().cloned(),
        Work::Training(_) | Work::Null => None,
    }
}

fn leased(facts: &Facts<'_>, job: &JobView) -> Vec<String> {
    let mut reasons = Vec::new();
    let worker = job
        .worker
        .as_ref()
        .map_or_else(String::new, ToString::to_string);
    let since = job.granted_at.map_or(0, |at| facts.now.since(at).as_secs());
    let progress = match &job.progress {
        Some(observation) => format!("epoch {} is done", observation.epoch),
        None => "no epoch is done yet".to_owned(),
    };
    reasons.push(format!(
        "worker `{worker}` has had attempt {} for {since} s; {progress}",
        job.attempt
    ));
    if job.stop {
        reasons.push("it is cancelled; its worker learns of it at its next heartbeat".to_owned());
    }
    reasons
}

fn suspect(facts: &Facts<'_>, job: &JobView) -> Vec<String> {
    let worker = job
        .worker
        .as_ref()
        .map_or_else(String::new, ToString::to_string);
    let left = job.deadline.map_or(0, |at| at.since(facts.now).as_secs());
    vec![format!(
        "worker `{worker}` is not heard from; attempt {} may still come back, and in {left} s the job \
         is queued again",
        job.attempt
    )]
}

fn succeeded(job: &JobView) -> Vec<String> {
    let error = job.measurement.as_ref().map(|measured| measured.test_error);
    vec![match error {
        Some(error) => format!(
            "attempt {} measured a test error of {error:.2} %",
            job.attempt
        ),
        None => format!("attempt {} measured it", job.attempt),
    }]
}

fn failed(facts: &Facts<'_>, job: &JobView) -> Vec<String> {
    let fault = job.fault.unwrap_or(Fault::Lost);
    let id = job.digest.short();
    let rule = match fault {
        Fault::Diverged => {
            "divergence is a result: the same seed would diverge again, and it is shown in the table"
                .to_owned()
        }
        Fault::Invalid => {
            format!("the spec cannot be trained as it is; fix the cause, then `coordinator retry {id}`")
        }
        Fault::Lost => format!(
            "it was granted {} times without an end; `coordinator retry {id}` starts it over",
            facts.policy.attempts_max
        ),
        Fault::Crashed | Fault::OutOfMemory | Fault::TimedOut => format!(
            "it failed {} times; `coordinator logs {id}` shows what its trainers wrote, \
             `coordinator retry {id}` starts it over",
            job.charged
        ),
    };
    vec![format!("{fault}: {}", headline(job)), rule]
}

fn headline(job: &JobView) -> &str {
    swath_core::judge::headline(&job.message)
}

fn colon(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(" ({reason})")
    }
}
