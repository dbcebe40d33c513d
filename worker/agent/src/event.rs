//! What the agent is told, and what it asks for.

use std::time::Duration;

use swath_model::id::{Owner, SessionId};
use swath_model::message::{Ack, Exchange, Finish, Grant, Held, Hello, Report, Verdict};

/// One call to the coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// One child process: a trainer or a program.
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
        /// Bytes that were left out after it, for coming too fast.
        dropped: u64,
    },
    /// A child ended, with everything that it had started.
    Exited {
        /// The child.
        child: ChildId,
        /// How it ended.
        end: End,
    },
    /// Outcomes are on the disk.
    Spooled(Vec<Held>),
    /// They are not.
    SpoolFailed {
        /// Their attempts.
        held: Vec<Held>,
        /// Why they could not be written.
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
    /// It was longer than a line may be.
    TooLong,
}

/// How a child ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It could not be started.
    NotStarted(String),
    /// By itself.
    Exit(i32),
    /// By a signal.
    Signal {
        /// Its number.
        signal: i32,
        /// Whether the kernel counted an out-of-memory kill meanwhile.
        oom: bool,
    },
}

/// What the coordinator answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To a hello.
    Welcome {
        /// The session from now on.
        session: SessionId,
        /// One per held attempt.
        verdicts: Vec<Verdict>,
        /// Between two heartbeats.
        heartbeat: Duration,
        /// How long a drain may take.
        drain: Duration,
    },
    /// To an exchange.
    Exchanged {
        /// One per outcome.
        acks: Vec<Ack>,
        /// New jobs.
        grants: Vec<Grant>,
        /// The operator drains this worker.
        drain: bool,
    },
    /// To a heartbeat.
    Beaten {
        /// One per held attempt.
        verdicts: Vec<Verdict>,
        /// The operator drains this worker.
        drain: bool,
    },
    /// To reports.
    Observed(Vec<Verdict>),
    /// To a release.
    Released,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The session is not this worker's newest, or the coordinator never gave
    /// it: say hello.
    #[error("{0}")]
    Stale(String),
    /// The two speak different protocols; trying again does not help.
    #[error("{0}")]
    Protocol(String),
    /// The coordinator did not answer, which may pass.
    #[error("{0}")]
    Unreachable(String),
    /// Anything else that may pass.
    #[error("{0}")]
    Retry(String),
}

/// A call to the coordinator.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Begin a session.
    Hello(Hello),
    /// Outcomes out, jobs in.
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
        /// All of them.
        held: Vec<Held>,
    },
    /// Observations and logs.
    Observe {
        /// This worker in its session.
        owner: Owner,
        /// What its attempts have to tell.
        reports: Vec<Report>,
    },
    /// Give attempts back.
    Release {
        /// This worker in its session.
        owner: Owner,
        /// The attempts.
        held: Vec<Held>,
    },
}

/// An outcome with what its attempt had still to report: what the spool keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The outcome.
    pub finish: Finish,
    /// Observations and log text that must reach the coordinator first: it
    /// takes none of an attempt that has ended.
    pub reports: Vec<Report>,
}

/// A process to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A warm trainer, fed specs one by one.
    Trainer,
    /// A program of the user's, for one spec.
    Command {
        /// Program and arguments.
        argv: Vec<String>,
        /// The spec that it gets.
        spec: String,
    },
}

/// What the agent asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make a call; its reply comes as [`Event::Reply`].
    Call {
        /// Its name.
        id: CallId,
        /// What to ask.
        call: Call,
    },
    /// Forget a call; no reply is awaited any more.
    Abort(CallId),
    /// Start a process; its end comes as [`Event::Exited`], also when it cannot
    /// be started.
    Start {
        /// Its name.
        child: ChildId,
        /// What to run.
        program: Program,
        /// The device of its slot.
        device: String,
    },
    /// Write a spec to a trainer.
    Feed {
        /// The trainer.
        child: ChildId,
        /// One line of JSON.
        spec: String,
    },
    /// SIGTERM, and SIGKILL after `grace`; at once if that is zero.
    Stop {
        /// The child to end.
        child: ChildId,
        /// How long it has to end by itself.
        grace: Duration,
    },
    /// Put outcomes on the disk.
    Spool(Vec<Entry>),
    /// The coordinator has them.
    Acknowledged(Vec<Held>),
    /// End the process.
    Exit(Exit),
}

/// How the worker ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// As asked.
    Done,
    /// A second signal: at once.
    Interrupted,
    /// Another worker has this name.
    Displaced(String),
    /// It cannot work with this coordinator.
    Failed(String),
}
