//! Why a job is in its state, and what could be done: as facts, and as text.

use serde::{Deserialize, Serialize};
use swath_model::cause::{CordonCause, PauseCause};
use swath_model::device::Device;
use swath_model::id::{Attempt, JobDigest, WorkerName};
use swath_model::metrics::{self, Unit};
use swath_model::needs::Lack;
use swath_model::outcome::Fault;
use swath_model::placement::Placement;
use swath_model::text::measured;
use swath_model::time::Timestamp;
use swath_model::view::{Kept, WorkerState};
use swath_report::utc;

/// One reason why a job is in its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ExplainItem {
    /// Attempts of the job failed, and it waits for the next one.
    Charged {
        /// How many attempts were charged to it.
        charged: u32,
        /// How many may be charged before it fails.
        most: u32,
        /// The first line of the last fault's message.
        headline: String,
    },
    /// The job backs off after a fault.
    BackingOff {
        /// Seconds until it may be granted.
        seconds: u64,
    },
    /// No sweep that wants the job is active, and this one is paused.
    SweepPaused {
        /// The sweep's name in a command: its name, or the first digits of its
        /// digest if others share the name.
        sweep: String,
        /// The sweep's name.
        name: String,
        /// Why it is paused.
        cause: Option<PauseCause>,
    },
    /// No worker is connected.
    NoWorker {
        /// Whether one was ever connected.
        ever: bool,
    },
    /// Workers are connected, and none of them takes jobs.
    WorkersRest {
        /// One of these workers.
        worker: WorkerName,
        /// Whether it is cordoned or draining.
        state: WorkerState,
        /// Why it is cordoned, if it is.
        cause: Option<CordonCause>,
        /// How many other connected workers take no jobs either.
        others: u64,
    },
    /// No active worker has what the job needs.
    Lacks {
        /// What one of them lacks.
        lack: Lack,
    },
    /// It takes a part of what jobs share, and waits for a worker with that much
    /// left; other jobs may go first.
    Room {
        /// How many jobs are before it.
        jobs: u64,
    },
    /// It needs more than is free, and a worker keeps that for it.
    Kept(Kept),
    /// Other jobs go first.
    Ahead {
        /// How many jobs; 0 when this one is next.
        jobs: u64,
    },
    /// A worker runs the job.
    Running {
        /// The worker.
        worker: Option<WorkerName>,
        /// The attempt.
        attempt: Attempt,
        /// The devices, each with one slot.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        devices: Option<Placement>,
        /// Seconds since the grant.
        seconds: u64,
        /// The last epoch that is done.
        epoch: Option<u32>,
    },
    /// The job is cancelled, and its worker does not know yet.
    Stopping,
    /// The worker that has the job is silent.
    Unheard {
        /// The worker.
        worker: Option<WorkerName>,
        /// The attempt.
        attempt: Attempt,
        /// Seconds until the job is queued again.
        seconds: u64,
    },
    /// The job succeeded.
    Measured {
        /// The attempt that succeeded.
        attempt: Attempt,
        /// The metric by which it is compared.
        metric: String,
        /// What it measured of that.
        value: Option<f64>,
    },
    /// What an attempt brought was thrown away.
    Forgotten {
        /// The newest such attempt.
        attempt: Attempt,
        /// How it ended: `measured` or `diverged`.
        ended: String,
        /// When it was thrown away.
        at: Timestamp,
    },
    /// The job failed for good.
    Failed {
        /// The fault.
        fault: Fault,
        /// The first line of its message.
        headline: String,
        /// How many attempts count against it by the rule for that fault.
        attempts: u32,
    },
    /// The job was cancelled.
    Cancelled,
}

impl ExplainItem {
    /// The reason as text, with what to type. `job` is the job that it is
    /// about.
    pub fn text(&self, job: JobDigest) -> String {
        match self {
            Self::Charged {
                charged,
                most,
                headline,
            } => format!("{charged} of {most} charged attempts failed; the last: {headline}"),
            Self::BackingOff { seconds } => {
                format!("it backs off after a fault and may be granted in {seconds} s")
            }
            Self::SweepPaused { sweep, name, cause } => paused(sweep, name, cause.as_ref()),
            Self::NoWorker { ever: false } => {
                "no worker has ever connected; start one: `worker --coordinator URL`".to_owned()
            }
            Self::NoWorker { ever: true } => {
                "no worker is connected; start one: `worker --coordinator URL`".to_owned()
            }
            Self::WorkersRest {
                worker,
                state,
                cause,
                others,
            } => rest(worker, *state, cause.as_ref(), *others),
            Self::Lacks { lack } => lack.to_string(),
            Self::Room { jobs } => waits_for_room(*jobs),
            Self::Kept(kept) => kept_for_it(kept),
            Self::Ahead { jobs: 0 } => "it is next: the next free slot takes it".to_owned(),
            Self::Ahead { jobs: 1 } => "one job goes before it; every slot is busy".to_owned(),
            Self::Ahead { jobs } => format!("{jobs} jobs go before it; every slot is busy"),
            Self::Running {
                worker,
                attempt,
                devices,
                seconds,
                epoch,
            } => {
                let run = format!("attempt {attempt}{}", on(devices.as_ref()));
                let (worker, progress) = (named(worker.as_ref()), progress(*epoch));
                format!("{worker} has run {run} for {seconds} s; {progress}")
            }
            Self::Stopping => {
                "it is cancelled; its worker learns of it at its next heartbeat".to_owned()
            }
            Self::Unheard {
                worker,
                attempt,
                seconds,
            } => format!(
                "{} is not heard from; attempt {attempt} may still come back, and in {seconds} s the \
                 job is queued again",
                named(worker.as_ref())
            ),
            Self::Measured {
                attempt,
                metric,
                value,
            } => format!("attempt {attempt} measured {}", result(metric, *value)),
            Self::Forgotten { attempt, ended, at } => format!(
                "attempt {attempt} {ended}, which its owner forgot at {}; it counts no more",
                utc(*at)
            ),
            Self::Failed {
                fault,
                headline,
                attempts,
            } => format!("{fault}: {headline}; {}", advice(*fault, *attempts, job)),
            Self::Cancelled => format!(
                "cancelled; `coordinator retry {}` queues it again",
                job.short()
            ),
        }
    }
}

fn waits_for_room(jobs: u64) -> String {
    let before = match jobs {
        0 => "no job is".to_owned(),
        1 => "one job is".to_owned(),
        jobs => format!("{jobs} jobs are"),
    };
    format!(
        "{before} before it; it takes the first worker with as much left as it needs, and when \
         none like it waits before it, one keeps that for it"
    )
}

fn on(devices: Option<&Placement>) -> String {
    // A processor is nothing special.
    let devices = devices.filter(|it| it.first() != Device::Cpu);
    devices.map_or_else(String::new, |devices| format!(" on {devices}"))
}

fn progress(epoch: Option<u32>) -> String {
    match epoch {
        Some(epoch) => format!("epoch {epoch} is done"),
        None => "no epoch is done yet".to_owned(),
    }
}

fn result(metric: &str, value: Option<f64>) -> String {
    let Some(value) = value else {
        return "it".to_owned();
    };
    match metrics::known(metric).map(|known| known.unit) {
        Some(Unit::Percent) => {
            let name = metric.replace('_', " ");
            format!("a {name} of {} %", measured(value, 2))
        }
        _ => format!("{metric} = {value}"),
    }
}

fn kept_for_it(kept: &Kept) -> String {
    let (worker, devices) = (&kept.worker, &kept.devices);
    let busy = kept.busy.iter().map(ToString::to_string);
    let cpus = kept.cpus.then(|| "enough CPUs".to_owned());
    let busy: Vec<String> = busy.chain(cpus).collect();
    format!(
        "worker `{worker}` keeps {devices} free for it and begins nothing else there; it still \
         waits for {}",
        busy.join(" and ")
    )
}

fn named(worker: Option<&WorkerName>) -> String {
    worker.map_or_else(|| "a worker".to_owned(), |name| format!("worker `{name}`"))
}

fn paused(sweep: &str, name: &str, cause: Option<&PauseCause>) -> String {
    // Failures paused it; resuming alone would leave the failed jobs behind.
    let failed = cause.is_some_and(PauseCause::is_failure);
    let verb = if failed { "retry" } else { "resume" };
    let why = cause.map_or_else(String::new, |cause| format!(" ({cause})"));
    format!("sweep `{name}` is paused{why}; `coordinator {verb} {sweep}` lets it go on")
}

fn rest(
    worker: &WorkerName,
    state: WorkerState,
    cause: Option<&CordonCause>,
    others: u64,
) -> String {
    let why = cause.map_or_else(String::new, |cause| format!(" ({cause})"));
    let rest = format!("worker `{worker}` is {}{why}", state.name());
    let others = match others {
        0 => String::new(),
        1 => ", and the other one takes none either".to_owned(),
        _ => format!(", and the {others} others take none either"),
    };
    format!(
        "no connected worker takes jobs: {rest}{others}; `coordinator activate {worker}` lets it work"
    )
}

fn advice(fault: Fault, attempts: u32, job: JobDigest) -> String {
    let id = job.short();
    match fault {
        Fault::Diverged => {
            "divergence is a result: the same seed would diverge again, and it is shown in the table"
                .to_owned()
        }
        Fault::Invalid => format!(
            "the spec cannot be trained as it is; fix the cause, then `coordinator retry {id}`"
        ),
        Fault::Lost => format!(
            "it was granted {attempts} times without an end; `coordinator retry {id}` starts it over"
        ),
        Fault::Crashed | Fault::OutOfMemory | Fault::TimedOut => format!(
            "it failed {attempts} times; `coordinator logs {id}` shows what its trainers wrote, \
             `coordinator retry {id}` starts it over"
        ),
    }
}
