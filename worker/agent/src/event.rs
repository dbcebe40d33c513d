//! What the agent is told, and what it asks for.

use std::time::Duration;

use swath_model::id::{Owner, SessionId};
use swath_model::message::{Ack, Exchange, Finish, Grant, Held, Hello, Release, Report, Verdict};
use swath_model::needs::Lack;
use swath_model::placement::Placement;

use super::rows::Row;
use super::start::CommandLine;
use super::thinned::Thinned;

/// Identifies a call to the coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Identifies a child process: a trainer or a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildId(pub u64);

/// What the agent is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A call came back.
    Reply {
        /// The call.
        call: CallId,
        /// The answer, or why there is none.
        result: Result<Reply, CallError>,
    },
    /// A child wrote a line to its stdout.
    Line {
        /// The child.
        child: ChildId,
        /// The line.
        line: Line,
    },
    /// A child wrote to its stderr.
    Stderr {
        /// The child.
        child: ChildId,
        /// The text.
        text: String,
        /// Bytes left out after the text because they came too fast.
        dropped: u64,
    },
    /// A line of a child's stdout has not ended for a while.
    Partial {
        /// The child.
        child: ChildId,
        /// The newest state of the line, or the end of it.
        text: String,
    },
    /// A program whose files had to come first has been started: its time counts
    /// from now on.
    Begun {
        /// The child.
        child: ChildId,
    },
    /// Which version of its code a program was started from. It has ended.
    Version {
        /// The child.
        child: ChildId,
        /// The version, for people.
        version: String,
    },
    /// What a program wrote to the files where its numbers are read; or why they
    /// cannot be read. It has ended.
    Wrote {
        /// The child.
        child: ChildId,
        /// Its rows, in order.
        rows: Result<Thinned<Row>, String>,
    },
    /// A child ended, and so did everything that it had started.
    Exited {
        /// The child.
        child: ChildId,
        /// How it ended.
        end: End,
    },
    /// A child ended, and something that it had started does not, although it was
    /// killed. [`Event::Exited`] follows once that is gone.
    Remains {
        /// The child.
        child: ChildId,
        /// How it ended.
        end: End,
        /// The processes that are left, for people.
        processes: String,
    },
    /// Outcomes are on the disk.
    Spooled(Vec<Held>),
    /// Outcomes could not be put on the disk.
    SpoolFailed {
        /// The attempts of these outcomes.
        held: Vec<Held>,
        /// Why they could not be written.
        error: String,
    },
    /// What was on the disk is there no more.
    SpoolLost {
        /// What has become of it.
        error: String,
    },
    /// SIGTERM or SIGINT.
    Signal,
}

/// A line of stdout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Its text, without the newline.
    Text(String),
    /// The line is longer than allowed, and has not ended yet.
    TooLong,
    /// A line that was longer than allowed has ended.
    Long {
        /// How it begins.
        head: String,
        /// How many bytes were left out after that.
        dropped: u64,
        /// How it ends.
        tail: String,
    },
}

/// How a child ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It could not be started.
    NotStarted(String),
    /// It was not started, because this host lacks something of it.
    Lacks(Lack),
    /// It exited by itself, with this code.
    Exit(i32),
    /// A signal ended it.
    Signal {
        /// The signal's number.
        signal: i32,
        /// Whether the kernel reported an out-of-memory kill meanwhile.
        oom: bool,
    },
}

/// What the coordinator answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The reply to a hello.
    Welcome {
        /// The worker's session from now on.
        session: SessionId,
        /// One verdict per held attempt.
        verdicts: Vec<Verdict>,
        /// Time between two heartbeats.
        heartbeat: Duration,
        /// How long a drain may take.
        drain: Duration,
    },
    /// The reply to an exchange.
    Exchanged {
        /// One acknowledgement per outcome.
        acks: Vec<Ack>,
        /// New jobs.
        grants: Vec<Grant>,
        /// Whether the operator drains this worker.
        drain: bool,
    },
    /// The reply to a heartbeat.
    Beaten {
        /// One verdict per held attempt.
        verdicts: Vec<Verdict>,
        /// Whether the operator drains this worker.
        drain: bool,
    },
    /// The reply to reports.
    Observed(Vec<Verdict>),
    /// The reply to a release.
    Released,
    /// The reply to a goodbye.
    Parted,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The session is not this worker's newest, or the coordinator never gave
    /// it: say hello again.
    #[error("{0}")]
    Stale(String),
    /// Another worker is alive under this name.
    #[error("{0}")]
    NameTaken(String),
    /// Worker and coordinator use different protocols; trying again does not
    /// help.
    #[error("{0}")]
    Protocol(String),
    /// The coordinator takes this worker's certificate no more.
    #[error("{0}")]
    Revoked(String),
    /// The coordinator did not answer, which may pass.
    #[error("{0}")]
    Unreachable(String),
    /// Any other failure that may pass.
    #[error("{0}")]
    Retry(String),
}

/// A call to the coordinator.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Begin a session.
    Hello(Box<Hello>),
    /// Send outcomes, get jobs.
    Exchange {
        /// The outcomes, and how many jobs are wanted.
        exchange: Exchange,
        /// How long the coordinator may wait for a job.
        wait: Duration,
    },
    /// Keep the leases alive.
    Heartbeat {
        /// This worker in its session.
        owner: Owner,
        /// All held attempts.
        held: Vec<Held>,
    },
    /// Observations and logs.
    Observe {
        /// This worker in its session.
        owner: Owner,
        /// What its attempts report.
        reports: Vec<Report>,
    },
    /// Give attempts back.
    Release {
        /// This worker in its session.
        owner: Owner,
        /// The attempts.
        releases: Vec<Release>,
    },
    /// End the session.
    Goodbye {
        /// This worker in its session.
        owner: Owner,
    },
}

/// What the spool keeps: an outcome, with what its attempt had not reported
/// yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The outcome.
    pub finish: Finish,
    /// Observations and log text that must reach the coordinator first: it
    /// accepts none for an attempt that has ended.
    pub reports: Vec<Report>,
}

/// A process to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A warm trainer, fed specs one by one.
    Trainer,
    /// A program of the user's, for one spec.
    Command(Box<CommandLine>),
}

/// What the agent asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make a call; its reply comes as [`Event::Reply`].
    Call {
        /// The call's id.
        id: CallId,
        /// The request.
        call: Call,
    },
    /// Forget a call; its reply is not expected any more.
    Abort(CallId),
    /// Start a process; its end is reported as [`Event::Exited`], also when it
    /// cannot be started.
    Start {
        /// The child's id.
        child: ChildId,
        /// What to run.
        program: Program,
        /// The devices of its slots.
        placement: Placement,
    },
    /// Write a spec to a trainer.
    Feed {
        /// The trainer.
        child: ChildId,
        /// The spec, as one line of JSON.
        spec: String,
    },
    /// Send SIGTERM, and SIGKILL after `grace`; if that is zero, SIGKILL at
    /// once.
    Stop {
        /// The child to end.
        child: ChildId,
        /// How long it has to end by itself.
        grace: Duration,
    },
    /// Put outcomes on the disk.
    Spool(Vec<Entry>),
    /// Tell the spool that the coordinator has these outcomes.
    Acknowledged(Vec<Held>),
    /// End the process. [`super::Agent::parting`] says whether to say goodbye when
    /// its children are gone.
    Exit(Exit),
}

/// How the worker ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It ends as asked.
    Done,
    /// It ends at once, after a second signal.
    Interrupted,
    /// Another worker has this worker's name.
    Displaced(String),
    /// It cannot work with this coordinator.
    Failed(String),
}
