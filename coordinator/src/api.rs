//! What commands ask of a coordinator and what it answers: JSON inside the
//! `Control` service's messages, so that a later HTTP API serves the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use swath_model::id::{CellDigest, JobDigest, SweepDigest, WorkerName};
use swath_model::job::StateName;
use swath_model::message::{Known, Sources};
use swath_model::outcome::{Fault, Measurement, Provenance};
use swath_model::replication::Undecided;
use swath_model::view::{
    Alike, CellResults, CurvePoint, DecisionView, JobDetail, JobView, LogChunk, SweepRecord, SweepView,
    WorkerView,
};
use swath_results::table::Check;

use crate::explain::ExplainItem;

/// What can be read. Selectors are the words that a user typed; the server
/// resolves them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ReadQuery {
    /// Every sweep → [`Sweeps`].
    Sweeps,
    /// One sweep with its definition → [`SweepDocument`].
    Sweep {
        /// A sweep selector that matches one sweep (the newest of its name).
        selector: Vec<String>,
    },
    /// The sweeps that match and the workers → [`Status`].
    Status {
        /// A sweep selector; empty: every sweep.
        selector: Vec<String>,
    },
    /// A page of the jobs that match → [`Jobs`].
    Jobs {
        /// A job selector; empty: every job.
        selector: Vec<String>,
        /// At most so many; absent, or more than [`JOBS_PER_PAGE`]: that many.
        limit: Option<u32>,
        /// Where the page before ended.
        #[serde(default)]
        after: Option<JobDigest>,
    },
    /// One job → [`JobDetail`] with what explains it: [`Explanation`].
    Explain {
        /// A job selector that matches one job.
        selector: Vec<String>,
    },
    /// One sweep's table, rendered by the server: the same store gives the same
    /// bytes to every reader → [`TableText`].
    Table {
        /// A sweep selector that matches one sweep (the newest of its name), and
        /// filters over its parameters.
        selector: Vec<String>,
        /// How it is laid out, where not as the sweep file says.
        #[serde(default)]
        shape: Shape,
        /// As `-o` names it.
        format: String,
        /// How it looks on a terminal.
        look: Look,
    },
    /// What every cell of one sweep has come to → [`SweepResults`].
    Results {
        /// A sweep selector that matches one sweep (the newest of its name), and
        /// filters over its parameters.
        selector: Vec<String>,
    },
    /// The files that one sweep was submitted from → [`SweepSources`].
    Sources {
        /// A sweep selector that matches one sweep (the newest of its name).
        selector: Vec<String>,
    },
    /// The learning curves of the jobs that match → [`JobCurves`].
    JobCurves {
        /// A job selector.
        selector: Vec<String>,
        /// At most so many jobs; absent, or more than [`CURVES_MOST`]: that many.
        limit: Option<u32>,
    },
    /// Two sweeps beside each other, rendered by the server → [`CompareText`].
    Compare {
        /// A sweep selector that matches one sweep.
        left: Vec<String>,
        /// Another; differences are this one's less the left one's.
        right: Vec<String>,
        /// As `-o` names it.
        format: String,
        /// How it looks on a terminal.
        look: Look,
    },
    /// One job's observations → [`Curves`].
    Curves {
        /// A job selector that matches one job.
        selector: Vec<String>,
    },
    /// What one job's trainers wrote → [`Logs`].
    Logs {
        /// A job selector that matches one job.
        selector: Vec<String>,
        /// Only what comes after it; 0: everything kept.
        position: u64,
    },
    /// Why the cells of one sweep have the replicates that they have →
    /// [`Decisions`].
    Decisions {
        /// A sweep selector that matches one sweep.
        selector: Vec<String>,
    },
    /// The jobs of these digests that exist → [`Jobs`]; at most
    /// [`NAMED_MOST`].
    Named {
        /// The digests.
        jobs: Vec<JobDigest>,
    },
    /// Every worker → [`Workers`].
    Workers,
    /// Trainings that cost alike and were measured → [`AlikeJobs`].
    Alike {
        /// Workloads, as [`swath_model::probe::workload`] writes them.
        workloads: Vec<String>,
    },
    /// What probes came to → [`Probes`].
    Probes {
        /// Their digests.
        jobs: Vec<JobDigest>,
    },
    /// Which of these jobs exist → [`KnownJobs`].
    Known {
        /// Their digests.
        jobs: Vec<JobDigest>,
    },
}

/// How a table is laid out. What is empty is as the sweep file has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// The parameters that name the rows.
    pub rows: Vec<String>,
    /// What the columns show; with `cell` the one parameter whose values they
    /// are.
    pub columns: Vec<String>,
    /// The measure in the fields of a pivot.
    pub cell: Option<String>,
    /// What rows are sorted by; a hyphen before it: falling.
    pub sort: Option<String>,
}

/// How a table looks on a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Look {
    /// Columns of the terminal; absent: as wide as it gets.
    pub width: Option<u16>,
    /// With colours.
    pub color: bool,
    /// With box-drawing characters.
    pub unicode: bool,
}

/// One sweep's table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableText {
    /// Of the document.
    pub schema_version: u32,
    /// The sweep.
    pub sweep: SweepRecord,
    /// The table in the format asked for.
    pub text: String,
    /// How its cells stand to what was published; absent without a reference.
    #[serde(default)]
    pub check: Option<Check>,
}

/// One sweep's results as facts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepResults {
    /// Of the document.
    pub schema_version: u32,
    /// The sweep.
    pub sweep: SweepRecord,
    /// Those of its cells that were asked for, with every replicate.
    pub cells: Vec<CellResults>,
    /// Says which these are, when they are not all; for captions.
    pub chosen: Option<String>,
}

/// The files that one sweep was submitted from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepSources {
    /// Of the document.
    pub schema_version: u32,
    /// The sweep.
    pub sweep: SweepDigest,
    /// Its files.
    pub sources: Sources,
}

/// One sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepDocument {
    /// Of the document.
    pub schema_version: u32,
    /// The sweep.
    pub sweep: SweepRecord,
}

/// Two sweeps beside each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompareText {
    /// Of the document.
    pub schema_version: u32,
    /// The comparison in the format asked for.
    pub text: String,
}

/// Every sweep, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sweeps {
    /// Of the document.
    pub schema_version: u32,
    /// The sweeps.
    pub sweeps: Vec<SweepView>,
}

/// Sweeps in work, and who works.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Of the document.
    pub schema_version: u32,
    /// The sweeps that match, oldest first.
    pub sweeps: Vec<SweepView>,
    /// Every worker.
    pub workers: Vec<WorkerView>,
    /// Open attempts of these sweeps with their newest observation, at most 1,000
    /// of each.
    pub open: Vec<JobView>,
    /// Failed jobs of these sweeps, newest first, at most 10.
    pub failed: Vec<JobView>,
    /// Mean seconds of the succeeded jobs' trainings, if there are any.
    pub mean_job_seconds: Option<f64>,
    /// How long trainings of sweeps in work take: of the newest 8 that have a
    /// measured job.
    #[serde(default)]
    pub paces: BTreeMap<SweepDigest, Pace>,
    /// Seconds until sweeps in work are through, jobs under way included, where
    /// that can be told: of the newest 8 that have a measured job.
    #[serde(default)]
    pub eta_seconds: BTreeMap<SweepDigest, f64>,
    /// The newest event that this is sure to contain: [`crate::live::Live`]
    /// goes on from it.
    #[serde(default)]
    pub last_event: u64,
    /// The coordinator's clock.
    pub now_ms: i64,
}

/// Failed jobs of a status.
pub const FAILED_SHOWN: u32 = 10;
/// Open attempts, of a sweep or of all, of a status.
pub const OPEN_SHOWN: u32 = 1000;

/// How long trainings take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    /// How many were measured.
    pub jobs: u64,
    /// Their mean, in seconds.
    pub seconds: f64,
}

impl Pace {
    /// With one more training.
    #[must_use]
    pub fn and(self, seconds: f64) -> Self {
        let jobs = self.jobs + 1;
        Self {
            jobs,
            seconds: self.seconds + (seconds - self.seconds) / jobs as f64,
        }
    }
}

/// The most jobs that can be asked for by name at once.
pub const NAMED_MOST: usize = 100;

/// The most jobs of one answer.
pub const JOBS_PER_PAGE: u32 = 10_000;

/// Jobs in order of submission.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Jobs {
    /// Of the document.
    pub schema_version: u32,
    /// The jobs.
    pub jobs: Vec<JobView>,
    /// Where the next page begins; absent when this is the last.
    #[serde(default)]
    pub next: Option<JobDigest>,
    /// The coordinator's clock.
    pub now_ms: i64,
}

/// One job, and why it is where it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Of the document.
    pub schema_version: u32,
    /// The job and its attempts.
    pub detail: JobDetail,
    /// Why it is where it is and what could be done, most important first.
    pub items: Vec<ExplainItem>,
    /// The same in words, a sentence each.
    pub reasons: Vec<String>,
    /// The coordinator's clock.
    pub now_ms: i64,
}

/// One job's learning curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curves {
    /// Of the document.
    pub schema_version: u32,
    /// The job.
    pub job: JobView,
    /// Its observations, by attempt and epoch.
    pub points: Vec<CurvePoint>,
}

/// The most jobs of one answer with curves.
pub const CURVES_MOST: u32 = 10_000;

/// Learning curves of several jobs, in order of submission.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobCurves {
    /// Of the document.
    pub schema_version: u32,
    /// The jobs with their observations, by attempt and epoch.
    pub jobs: Vec<JobCurve>,
    /// Whether more jobs match.
    pub more: bool,
}

/// One job with its learning curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobCurve {
    /// The job.
    pub job: JobView,
    /// Its observations, by attempt and epoch.
    pub points: Vec<CurvePoint>,
}

/// What one job's trainers wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logs {
    /// Of the document.
    pub schema_version: u32,
    /// The job.
    pub job: JobView,
    /// The text, in order.
    pub chunks: Vec<LogChunk>,
}

/// What the results of one sweep decided about its replicates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decisions {
    /// Of the document.
    pub schema_version: u32,
    /// The sweep.
    pub sweep: SweepView,
    /// The replicates that were given, in the order in which they were.
    pub decisions: Vec<Decided>,
    /// Once nothing more is to be given, the pairs whose order is not decided.
    pub undecided: Vec<Undecided>,
    /// The cells that all this is about.
    pub cells: Vec<NamedCell>,
}

/// One replicate that was given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    /// Its job.
    pub job: Option<JobDigest>,
    /// Why it was given.
    pub decision: DecisionView,
}

/// A cell with what names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedCell {
    /// Its digest.
    pub cell: CellDigest,
    /// Its axes in written order.
    pub axes: Vec<(String, serde_json::Value)>,
}

/// Every worker, by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workers {
    /// Of the document.
    pub schema_version: u32,
    /// The workers.
    pub workers: Vec<WorkerView>,
    /// The coordinator's clock.
    pub now_ms: i64,
}

/// Which jobs exist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnownJobs {
    /// Of the document.
    pub schema_version: u32,
    /// In the order asked.
    pub jobs: Vec<Option<Known>>,
}

/// The most trainings of one workload in an answer.
pub const ALIKE_MOST: u32 = 64;

/// Trainings that cost alike and were measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlikeJobs {
    /// Of the document.
    pub schema_version: u32,
    /// In the order asked: at most [`ALIKE_MOST`] of each workload, those of the
    /// newest cells first.
    pub alike: Vec<Vec<Alike>>,
}

/// What probes came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probes {
    /// Of the document.
    pub schema_version: u32,
    /// In the order asked; none where there is no such job.
    pub probes: Vec<Option<ProbeView>>,
}

/// What one probe came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeView {
    /// Where it is.
    pub state: StateName,
    /// Why it failed; absent otherwise.
    pub fault: Option<Fault>,
    /// The last fault's message; empty when there is none.
    pub message: String,
    /// What it measured.
    pub measurement: Option<Measurement>,
    /// What its newest outcome ran on.
    pub provenance: Option<Provenance>,
}

/// What can be changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ChangeOrder {
    /// Cancels the sweeps or the jobs that match.
    Cancel {
        /// A selector.
        selector: Vec<String>,
    },
    /// Queues failed and cancelled jobs of the sweeps, or those that match,
    /// again.
    Retry {
        /// A selector.
        selector: Vec<String>,
        /// Those that failed, but did not diverge.
        #[serde(default)]
        failed: bool,
        /// Those that were cancelled.
        #[serde(default)]
        missing: bool,
        /// Those that diverged. None of the three: failed and missing ones.
        diverged: bool,
    },
    /// Pauses the sweeps that match.
    Pause {
        /// A sweep selector.
        selector: Vec<String>,
    },
    /// Resumes them.
    Resume {
        /// A sweep selector.
        selector: Vec<String>,
    },
    /// Submits a sweep again with more replicates.
    Extend {
        /// A sweep selector that matches one sweep.
        selector: Vec<String>,
        /// Replicates per cell; more than it has.
        replicates: u32,
    },
    /// Stores numbers from elsewhere.
    Import(ImportOrder),
    /// Gives a worker no more jobs.
    Cordon {
        /// Its name.
        worker: WorkerName,
    },
    /// Gives a worker jobs again.
    Activate {
        /// Its name.
        worker: WorkerName,
    },
    /// Asks a worker to give back what it has and to leave.
    Drain {
        /// Its name.
        worker: WorkerName,
    },
}

/// Numbers to import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportOrder {
    /// A sweep selector; empty: the sweeps whose reference the file is.
    pub selector: Vec<String>,
    /// The file's name, for errors and for the footnote.
    pub file: String,
    /// Its text, CSV.
    pub text: String,
    /// Who says so, where the file does not.
    pub source: String,
    /// Only rows whose column `table` says this.
    #[serde(default)]
    pub table: Option<String>,
    /// Forget first what the same sources had said of these sweeps.
    #[serde(default)]
    pub replace: bool,
}

/// What came of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Of the document.
    pub schema_version: u32,
    /// The sweeps that changed, or that were made.
    pub sweeps: Vec<SweepDigest>,
    /// How many jobs changed, or are new; of an import, how many numbers.
    pub jobs: u64,
    /// One sentence for people.
    pub message: String,
}
