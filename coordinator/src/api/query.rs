//! What commands ask a coordinator to read.

use serde::{Deserialize, Serialize};
use swath_model::id::{Attempt, InputDigest, JobDigest};
use swath_model::message::Sources;

use super::{Look, Shape};

/// What can be read. Selectors are the words that a user typed; the server
/// resolves them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ReadQuery {
    /// Every sweep → [`Sweeps`](super::Sweeps).
    Sweeps,
    /// How the coordinator and its machine are → [`Health`](crate::health::Health).
    Health,
    /// What forgetting the results of jobs would take away → [`Forgetting`](super::Forgetting).
    Forgetting {
        /// A selector of sweeps or jobs.
        selector: Vec<String>,
    },
    /// One sweep with its definition → [`SweepDocument`](super::SweepDocument).
    Sweep {
        /// A sweep selector that matches one sweep (the newest of its name).
        selector: Vec<String>,
    },
    /// The sweeps that match and the workers → [`Status`](super::Status).
    Status {
        /// A sweep selector; empty: every sweep.
        selector: Vec<String>,
    },
    /// A page of the jobs that match → [`Jobs`](super::Jobs).
    Jobs {
        /// A job selector; empty: every job.
        selector: Vec<String>,
        /// At most this many jobs; absent, or more than [`JOBS_PER_PAGE`](super::JOBS_PER_PAGE): that
        /// many.
        limit: Option<u32>,
        /// The last job of the page before.
        #[serde(default)]
        after: Option<JobDigest>,
    },
    /// One job → [`JobDetail`](super::JobDetail) with what explains it: [`Explanation`](super::Explanation).
    Explain {
        /// A job selector that matches one job.
        selector: Vec<String>,
    },
    /// One sweep's table, rendered by the server: the same store gives the same
    /// bytes to every reader → [`TableText`](super::TableText).
    Table {
        /// A sweep selector that matches one sweep (the newest of its name), and
        /// filters over its parameters.
        selector: Vec<String>,
        /// The layout, where it differs from the sweep file's.
        #[serde(default)]
        shape: Shape,
        /// The format, as `-o` names it.
        format: String,
        /// How it looks on a terminal.
        look: Look,
    },
    /// The results of every cell of one sweep → [`SweepResults`](super::SweepResults).
    Results {
        /// A sweep selector that matches one sweep (the newest of its name), and
        /// filters over its parameters.
        selector: Vec<String>,
    },
    /// What one sweep was submitted as → [`SweepSources`](super::SweepSources).
    Sources {
        /// A sweep selector that matches one sweep (the newest of its name).
        selector: Vec<String>,
    },
    /// The learning curves of the jobs that match → [`JobCurves`](super::JobCurves).
    JobCurves {
        /// A job selector.
        selector: Vec<String>,
        /// At most this many jobs; absent, or more than [`CURVES_MOST`](super::CURVES_MOST): that
        /// many.
        limit: Option<u32>,
    },
    /// Two sweeps beside each other, rendered by the server → [`CompareText`](super::CompareText).
    Compare {
        /// A sweep selector that matches one sweep.
        left: Vec<String>,
        /// A selector for the other sweep; differences are its values minus
        /// those of the left one.
        right: Vec<String>,
        /// The format, as `-o` names it.
        format: String,
        /// How it looks on a terminal.
        look: Look,
    },
    /// One job's observations → [`Curves`](super::Curves).
    Curves {
        /// A job selector that matches one job.
        selector: Vec<String>,
    },
    /// What one job's trainers wrote → [`Logs`](super::Logs).
    Logs {
        /// A job selector that matches one job.
        selector: Vec<String>,
        /// Only text after this position; 0: everything that is kept.
        position: u64,
    },
    /// What an attempt of one job left → [`crate::files::Files`].
    Files {
        /// A job selector that matches one job.
        selector: Vec<String>,
        /// Which attempt; absent: the one whose result counts, or else the
        /// last.
        #[serde(default)]
        attempt: Option<Attempt>,
    },
    /// Why the cells of one sweep have the replicates that they have →
    /// [`Decisions`](super::Decisions).
    Decisions {
        /// A sweep selector that matches one sweep.
        selector: Vec<String>,
    },
    /// The jobs of these digests that exist → [`Jobs`](super::Jobs); at most
    /// [`NAMED_MOST`](super::NAMED_MOST).
    Named {
        /// The digests.
        jobs: Vec<JobDigest>,
    },
    /// Every worker → [`Workers`](super::Workers).
    Workers,
    /// Every token and every worker's certificates → [`Credentials`](super::Credentials).
    Credentials,
    /// Measured trainings of the same cost → [`AlikeJobs`](super::AlikeJobs).
    Alike {
        /// The workloads, as [`swath_model::probe::workload`] writes them.
        workloads: Vec<String>,
    },
    /// What probes measured → [`Probes`](super::Probes).
    Probes {
        /// The digests of the probes' jobs.
        jobs: Vec<JobDigest>,
    },
    /// What a change of these sweeps or jobs would touch → [`Selection`](super::Selection).
    Selected {
        /// A sweep or job selector.
        selector: Vec<String>,
        /// Whether the change is only for whole sweeps.
        only_sweeps: bool,
    },
    /// Which of these files of programs have to be sent before a sweep can travel
    /// with them → [`MissingInputs`](super::MissingInputs); at most
    /// [`swath_model::program::INPUTS_MAX`].
    MissingInputs {
        /// The digests of the files.
        inputs: Vec<InputDigest>,
    },
    /// With which other sweeps a submit of this would share open jobs, where their
    /// files differ in what these need → [`Overlaps`](super::Overlaps).
    Overlaps {
        /// What would be submitted.
        sources: Sources,
    },
    /// Which of these jobs exist → [`KnownJobs`](super::KnownJobs).
    Known {
        /// The digests of the jobs.
        jobs: Vec<JobDigest>,
    },
    /// The large sweep that is being stored now → [`StoringSweep`](super::StoringSweep).
    Storing,
}
