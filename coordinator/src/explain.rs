//! Why a job is where it is, and what could be done: facts, and how they read.

use serde::{Deserialize, Serialize};
use swath_model::cause::{CordonCause, PauseCause};
use swath_model::id::{Attempt, JobDigest, WorkerName};
use swath_model::outcome::Fault;
use swath_model::view::WorkerState;

/// One reason why a job is where it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ExplainItem {
    /// Attempts of it failed, and it waits for the next one.
    Charged {
        /// How many were charged to it.
        charged: u32,
        /// How many may be.
        most: u32,
        /// The first line of the last fault's message.
        headline: String,
    },
    /// It rests after a fault.
    BackingOff {
        /// Seconds until it may be granted.
        seconds: u64,
    },
    /// No sweep that wants it is active, and this one is paused.
    SweepPaused {
        /// What to call the sweep in a command: its name, or the first digits of
        /// its digest where others share the name.
        sweep: String,
        /// Its name.
        name: String,
        /// Why.
        cause: Option<PauseCause>,
    },
    /// No worker is connected.
    NoWorker {
        /// Whether one ever was.
        ever: bool,
    },
    /// Workers are connected, and none of them takes jobs.
    WorkersRest {
        /// One of them.
        worker: WorkerName,
        /// How it rests.
        state: WorkerState,
        /// Why it is cordoned, if it is.
        cause: Option<CordonCause>,
        /// How many others rest.
        others: u64,
    },
    /// No active worker may run its program.
    ProgramNotAllowed {
        /// The program.
        program: String,
    },
    /// Other jobs go first.
    Ahead {
        /// How many; 0 when it is next.
        jobs: u64,
    },
    /// A worker has it.
    Running {
        /// The worker.
        worker: Option<WorkerName>,
        /// The attempt.
        attempt: Attempt,
        /// Seconds since the grant.
        seconds: u64,
        /// The last epoch that is done.
        epoch: Option<u32>,
    },
    /// It is cancelled, and its worker does not know yet.
    Stopping,
    /// The worker that has it is not heard of.
    Unheard {
        /// The worker.
        worker: Option<WorkerName>,
        /// The attempt.
        attempt: Attempt,
        /// Seconds until the job is queued again.
        seconds: u64,
    },
    /// It succeeded.
    Measured {
        /// The attempt that did.
        attempt: Attempt,
        /// The test error in percent.
        test_error: Option<f64>,
    },
    /// It failed for good.
    Failed {
        /// The fault.
        fault: Fault,
        /// The first line of its message.
        headline: String,
        /// The attempts that count against it by the rule of that fault.
        attempts: u32,
    },
    /// It was cancelled.
    Cancelled,
}

impl ExplainItem {
    /// The reason in words, with what to type; `job` is the job that it is
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
            Self::ProgramNotAllowed { program } => format!(
                "no active worker may run `{program}`; start one with `--allow-command {program}`"
            ),
            Self::Ahead { jobs: 0 } => "it is next: the next free slot takes it".to_owned(),
            Self::Ahead { jobs: 1 } => "one job goes before it; every slot is busy".to_owned(),
            Self::Ahead { jobs } => format!("{jobs} jobs go before it; every slot is busy"),
            Self::Running {
                worker,
                attempt,
                seconds,
                epoch,
            } => {
                let progress = match epoch {
                    Some(epoch) => format!("epoch {epoch} is done"),
                    None => "no epoch is done yet".to_owned(),
                };
                let worker = named(worker.as_ref());
                format!("{worker} has run attempt {attempt} for {seconds} s; {progress}")
            }
            Self::Stopping => {
                "it is cancelled; its worker hears so at its next heartbeat".to_owned()
            }
            Self::Unheard {
                worker,
                attempt,
                seconds,
            } => format!(
                "{} is not heard of; attempt {attempt} may still come back, and in {seconds} s the \
                 job is queued again",
                named(worker.as_ref())
            ),
            Self::Measured {
                attempt,
                test_error: Some(error),
            } => format!("attempt {attempt} measured a test error of {error:.2} %"),
            Self::Measured { attempt, .. } => format!("attempt {attempt} measured it"),
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

fn named(worker: Option<&WorkerName>) -> String {
    worker.map_or_else(|| "a worker".to_owned(), |name| format!("worker `{name}`"))
}

fn paused(sweep: &str, name: &str, cause: Option<&PauseCause>) -> String {
    // Failures paused it: resuming alone would leave the failed jobs behind.
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
        1 => ", and so does the other one".to_owned(),
        _ => format!(", and so do the {others} others"),
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
            "the spec cannot be trained as it is; mend the cause, then `coordinator retry {id}`"
        ),
        Fault::Lost => format!(
            "it was granted {attempts} times without an end; `coordinator retry {id}` starts anew"
        ),
        Fault::Crashed | Fault::OutOfMemory | Fault::TimedOut => format!(
            "it failed {attempts} times; `coordinator logs {id}` shows what its trainers wrote, \
             `coordinator retry {id}` starts anew"
        ),
    }
}
