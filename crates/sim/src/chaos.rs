//! Mishaps and operators.

use swath_engine::ledger::Prepared;
use swath_model::id::{JobDigest, StateId, SweepDigest, WorkerName};
use swath_model::message::{Hello, Submission, SweepChange, WorkerChange};
use swath_model::view::WorkerAbout;
use swath_store::Result;

use crate::Faults;
use crate::cells::sweeps;
use crate::chance::Chance;
use crate::desk::Desk;

/// What can go wrong at some moment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mishap {
    Crash,
    Freeze,
    Signal,
    Outage,
    Stall,
    Takeover,
    Away,
    Jump,
    Operator,
}

pub(crate) fn mishap(chance: &mut Chance, faults: &Faults) -> Option<Mishap> {
    let mishaps = [
        (faults.crash, Mishap::Crash),
        (faults.freeze, Mishap::Freeze),
        (faults.signal, Mishap::Signal),
        (faults.outage, Mishap::Outage),
        (faults.stall, Mishap::Stall),
        (faults.takeover, Mishap::Takeover),
        (faults.away, Mishap::Away),
        (faults.jump, Mishap::Jump),
        (faults.operator, Mishap::Operator),
    ];
    let weights = mishaps.map(|(weight, _)| weight);
    chance.weighted(&weights).map(|place| mishaps[place].1)
}

/// What an operator can do.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Submit(Box<Submission>),
    Change(SweepDigest, SweepChange),
    Cancel(JobDigest),
    Retry(JobDigest),
    Forget(JobDigest),
    Tend(WorkerName, WorkerChange),
    /// Somebody starts another worker under a name that is taken.
    Double(Hello),
}

impl Deed {
    /// Does it. Much of it is refused, because unknown or cancelled things take
    /// no change.
    pub(crate) async fn done(self, desk: Desk) -> Result<()> {
        let (engine, now) = (desk.engine(), desk.now());
        match self {
            Self::Submit(submission) => {
                let prepared = Prepared::new(*submission);
                engine.submit_prepared(now, prepared).await.map(drop)
            }
            Self::Change(sweep, change) => engine.change_sweep(now, sweep, change).await,
            Self::Cancel(job) => engine.cancel_jobs(now, vec![job]).await.map(drop),
            Self::Retry(job) => engine.retry_jobs(now, vec![job]).await.map(drop),
            Self::Forget(job) => engine.forget_jobs(now, vec![job]).await.map(drop),
            Self::Tend(worker, change) => {
                let draining = change == WorkerChange::Drain;
                engine.change_worker(now, worker.clone(), change).await?;
                desk.set_draining(&worker, draining);
                Ok(())
            }
            Self::Double(hello) => engine.hello(now, hello).await.map(drop),
        }
    }
}

/// Something that an operator could do, sensible or not.
pub(crate) fn meddle(chance: &mut Chance, workers: &[WorkerName], jobs: &[JobDigest]) -> Deed {
    let sweep = chance.one_of(&sweeps()).clone();
    let change = |change| Deed::Change(sweep.digest, change);
    let worker = chance.one_of(workers).clone();
    match chance.within(0..18) {
        0 => change(SweepChange::Cancel),
        1 => change(SweepChange::Pause {
            cause: swath_model::cause::PauseCause::Operator,
        }),
        2 => change(SweepChange::Priority(chance.within(0..5) as i32)),
        3..=5 => change(SweepChange::Resume),
        6 | 7 => Deed::Submit(Box::new(sweep)),
        8 if !jobs.is_empty() => Deed::Cancel(*chance.one_of(jobs)),
        9 | 10 if !jobs.is_empty() => Deed::Retry(*chance.one_of(jobs)),
        16 | 17 if !jobs.is_empty() => Deed::Forget(*chance.one_of(jobs)),
        11 => Deed::Tend(worker, WorkerChange::Drain),
        15 => Deed::Double(double(chance, worker)),
        12 => Deed::Tend(
            worker,
            WorkerChange::Cordon {
                cause: swath_model::cause::CordonCause::Operator,
            },
        ),
        _ => Deed::Tend(worker, WorkerChange::Activate),
    }
}

/// The hello of a worker that has a name but not its state directory, and is
/// never heard of again.
fn double(chance: &mut Chance, worker: WorkerName) -> Hello {
    Hello {
        worker,
        about: WorkerAbout {
            state_id: Some(StateId(u128::MAX)),
            ..WorkerAbout::default()
        },
        held: Vec::new(),
        takes_name: chance.happens(0.3),
    }
}

/// Undoes whatever keeps jobs from being granted.
pub(crate) fn soothe(workers: &[WorkerName]) -> Vec<Deed> {
    let resume = |sweep: Submission| Deed::Change(sweep.digest, SweepChange::Resume);
    let activate = |worker: &WorkerName| Deed::Tend(worker.clone(), WorkerChange::Activate);
    let resumed = sweeps().into_iter().map(resume);
    resumed.chain(workers.iter().map(activate)).collect()
}
