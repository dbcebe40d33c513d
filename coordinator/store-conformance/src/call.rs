//! Calls that change something, as values, so that several can be made at once
//! and made again to the model.

use swath_model::access::Credential;
use swath_model::id::{JobDigest, Owner, SweepDigest, WorkerName};
use swath_model::import::{ImportBatch, ImportCounts};
use swath_model::steering::Steering;
use swath_model::time::Timestamp;

use crate::subject::Subject;
use crate::{
    Exchange, Exchanged, Held, Hello, InputFile, Release, Report, Result, Steered, SteeringDue,
    Submission, Submitted, SweepChange, Ticked, Verdict, Welcome, WorkerChange,
};

/// One call.
#[derive(Clone, Debug)]
pub enum Call {
    /// [`Subject::restart`].
    Restart,
    /// [`Subject::submit`].
    Submit(Submission),
    /// [`Subject::submit_in_parts`].
    SubmitInParts(Submission, usize),
    /// [`Subject::hello`].
    Hello(Hello),
    /// [`Subject::exchange`].
    Exchange(Exchange),
    /// [`Subject::heartbeat`].
    Heartbeat(Owner, Vec<Held>),
    /// [`Subject::observe`].
    Observe(Owner, Vec<Report>),
    /// [`Subject::release`].
    Release(Owner, Vec<Release>),
    /// [`Subject::goodbye`].
    Goodbye(Owner),
    /// [`Subject::tick`].
    Tick,
    /// [`Subject::extend_leases`].
    Extend,
    /// [`Subject::change_sweep`].
    ChangeSweep(SweepDigest, SweepChange),
    /// [`Subject::cancel_jobs`].
    CancelJobs(Vec<JobDigest>),
    /// [`Subject::retry_jobs`].
    RetryJobs(Vec<JobDigest>),
    /// [`Subject::forget_jobs`].
    ForgetJobs(Vec<JobDigest>),
    /// [`Subject::delete`].
    Delete(SweepDigest, bool),
    /// [`Subject::keep_inputs`].
    KeepInputs(Vec<InputFile>),
    /// [`Subject::keep_credential`].
    KeepCredential(Credential),
    /// [`Subject::steer`].
    Steer(SteeringDue, Vec<Steering>),
    /// [`Subject::import`].
    Import(ImportBatch),
    /// [`Subject::change_worker`].
    ChangeWorker(WorkerName, WorkerChange),
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To submit.
    Submitted(Submitted),
    /// To hello.
    Welcome(Welcome),
    /// To exchange.
    Exchanged(Exchanged),
    /// To heartbeat and observe.
    Verdicts(Vec<Verdict>),
    /// To tick.
    Ticked(Ticked),
    /// To calls that return nothing.
    Done(()),
    /// To cancel, retry, forget, delete and goodbye: how many jobs changed; to keep
    /// files: how many are new.
    Changed(u64),
    /// To replicate.
    Steered(Steered),
    /// To import.
    Imported(ImportCounts),
}

impl Call {
    /// Makes this call on `subject`.
    pub async fn make(self, subject: &dyn Subject, now: Timestamp) -> Result<Reply> {
        match self {
            Self::Restart => subject.restart(now).await.map(Reply::Done),
            Self::Submit(sweep) => subject.submit(now, sweep).await.map(Reply::Submitted),
            Self::SubmitInParts(sweep, jobs_max) => {
                let submitted = subject.submit_in_parts(now, sweep, jobs_max).await;
                submitted.map(Reply::Submitted)
            }
            Self::Hello(hello) => subject.hello(now, hello).await.map(Reply::Welcome),
            Self::Exchange(exchange) => {
                let exchanged = subject.exchange(now, exchange).await;
                exchanged.map(Reply::Exchanged)
            }
            Self::Heartbeat(owner, held) => {
                let verdicts = subject.heartbeat(now, owner, held).await;
                verdicts.map(Reply::Verdicts)
            }
            Self::Observe(owner, reports) => {
                let verdicts = subject.observe(now, owner, reports).await;
                verdicts.map(Reply::Verdicts)
            }
            Self::Release(owner, releases) => {
                let done = subject.release(now, owner, releases).await;
                done.map(Reply::Done)
            }
            Self::Goodbye(owner) => subject.goodbye(now, owner).await.map(Reply::Changed),
            Self::Tick => subject.tick(now).await.map(Reply::Ticked),
            Self::Extend => subject.extend_leases(now).await.map(Reply::Done),
            Self::ChangeSweep(sweep, change) => {
                let done = subject.change_sweep(now, sweep, change).await;
                done.map(Reply::Done)
            }
            Self::CancelJobs(jobs) => subject.cancel_jobs(now, jobs).await.map(Reply::Changed),
            Self::RetryJobs(jobs) => subject.retry_jobs(now, jobs).await.map(Reply::Changed),
            Self::ForgetJobs(jobs) => subject.forget_jobs(now, jobs).await.map(Reply::Changed),
            Self::Delete(sweep, cancel) => {
                let jobs = subject.delete(now, sweep, cancel).await;
                jobs.map(Reply::Changed)
            }
            Self::KeepInputs(files) => {
                let kept = subject.keep_inputs(now, files).await;
                kept.map(Reply::Changed)
            }
            Self::KeepCredential(credential) => {
                let kept = subject.keep_credential(now, credential).await;
                kept.map(Reply::Done)
            }
            Self::Steer(due, said) => {
                let replicated = subject.steer(now, due, said).await;
                replicated.map(Reply::Steered)
            }
            Self::Import(batch) => subject.import(now, batch).await.map(Reply::Imported),
            Self::ChangeWorker(worker, change) => {
                let done = subject.change_worker(now, worker, change).await;
                done.map(Reply::Done)
            }
        }
    }
}

/// What is inside one kind of reply.
pub trait Said: Sized {
    /// Takes it out of a reply.
    ///
    /// # Panics
    ///
    /// When the reply is of another kind.
    fn of(reply: Reply) -> Self;
}

macro_rules! said {
    ($($kind:ident($what:ty),)*) => {
        $(impl Said for $what {
            fn of(reply: Reply) -> Self {
                match reply {
                    Reply::$kind(what) => what,
                    other => panic!("{other:?} is the reply to another call"),
                }
            }
        })*
    };
}

said! {
    Submitted(Submitted),
    Welcome(Welcome),
    Exchanged(Exchanged),
    Verdicts(Vec<Verdict>),
    Ticked(Ticked),
    Done(()),
    Changed(u64),
    Steered(Steered),
    Imported(ImportCounts),
}
