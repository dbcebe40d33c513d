//! What commands ask of a coordinator and what it answers: JSON inside the
//! messages of the `Control` service, so that a later HTTP API can serve the
//! same documents.

mod access;
mod forget;
mod query;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use swath_model::access::CredentialId;
use swath_model::id::{CellDigest, InputDigest, JobDigest, SweepDigest, WorkerName};
use swath_model::job::StateName;
use swath_model::message::{Known, Overlap, Sources, Storing};
use swath_model::needs::Lack;
use swath_model::outcome::{Fault, Measurement, Provenance};
use swath_model::replication::Undecided;
use swath_model::time::Timestamp;
use swath_model::view::{
    Alike, CellResults, CurvePoint, DecisionView, JobDetail, JobView, LogChunk, SCHEMA_VERSION,
    SweepRecord, SweepView, WorkerView,
};
use swath_results::table::Check;

pub use self::access::{CreateToken, CredentialView, Credentials, Myself};
pub use self::forget::{Forgetting, Losing, Spared};
pub use self::query::ReadQuery;
use crate::explain::ExplainItem;
use crate::files::Left;

/// The files that have to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingInputs {
    /// The version of the document.
    pub schema_version: u32,
    /// Their digests.
    pub inputs: Vec<InputDigest>,
}

/// How a table is laid out. Where a field is empty, the sweep file's layout
/// holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// The parameters that name the rows.
    pub rows: Vec<String>,
    /// What the columns show; with `cell`, the one parameter whose values are
    /// the columns.
    pub columns: Vec<String>,
    /// The measure in the fields of a pivot.
    pub cell: Option<String>,
    /// What rows are sorted by; with a hyphen before it, in falling order.
    pub sort: Option<String>,
}

/// How a table looks on a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Look {
    /// The width of the terminal in columns; absent: no limit.
    pub width: Option<u16>,
    /// Whether to use colours.
    pub color: bool,
    /// Whether to use box-drawing characters.
    pub unicode: bool,
}

/// One sweep's table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableText {
    /// The version of the document.
    pub schema_version: u32,
    /// The sweep.
    pub sweep: SweepRecord,
    /// The table in the format asked for.
    pub text: String,
    /// How its cells compare with what was published; absent without a
    /// reference.
    #[serde(default)]
    pub check: Option<Check>,
}

/// One sweep's results as facts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepResults {
    /// The version of the document.
    pub schema_version: u32,
    /// The sweep.
    pub sweep: SweepRecord,
    /// The cells that were asked for, with every replicate. What these ran on is
    /// in `provenances`, because most share it.
    pub cells: Vec<CellResults>,
    /// Says which cells these are, if they are not all; for captions.
    pub chosen: Option<String>,
    /// What replicates ran on, each once.
    pub provenances: Vec<Arc<Provenance>>,
    /// The place in `provenances` of each replicate, in the order of `cells`; none
    /// for one that never ran.
    pub ran_on: Vec<Option<usize>>,
}

impl SweepResults {
    /// The document about these cells.
    pub fn new(sweep: SweepRecord, mut cells: Vec<CellResults>, chosen: Option<String>) -> Self {
        let mut provenances: Vec<Arc<Provenance>> = Vec::new();
        let mut place = |provenance: Arc<Provenance>| {
            let is_same = |it: &Arc<_>| Arc::ptr_eq(it, &provenance) || *it == provenance;
            let found = provenances.iter().position(is_same);
            found.unwrap_or_else(|| {
                provenances.push(provenance);
                provenances.len() - 1
            })
        };
        let replicates = cells.iter_mut().flat_map(|cell| &mut cell.replicates);
        let ran_on = replicates.map(|it| it.provenance.take().map(&mut place));
        let ran_on = ran_on.collect();
        Self {
            schema_version: SCHEMA_VERSION,
            sweep,
            cells,
            chosen,
            provenances,
            ran_on,
        }
    }

    /// The cells with what their replicates ran on.
    pub fn take_cells(&mut self) -> Vec<CellResults> {
        let mut cells = std::mem::take(&mut self.cells);
        let replicates = cells.iter_mut().flat_map(|cell| &mut cell.replicates);
        for (replicate, place) in replicates.zip(&self.ran_on) {
            replicate.provenance = place.and_then(|it| self.provenances.get(it).cloned());
        }
        cells
    }
}

/// What one sweep was submitted as.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepSources {
    /// The version of the document.
    pub schema_version: u32,
    /// The sweep.
    pub sweep: SweepDigest,
    /// Its files or its cells.
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
    /// The version of the document.
    pub schema_version: u32,
    /// The comparison in the format asked for.
    pub text: String,
}

/// Every sweep, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sweeps {
    /// The version of the document.
    pub schema_version: u32,
    /// The sweeps.
    pub sweeps: Vec<SweepView>,
}

/// Active sweeps, and the workers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The version of the document.
    pub schema_version: u32,
    /// The sweeps that match, oldest first.
    pub sweeps: Vec<SweepView>,
    /// Every worker.
    pub workers: Vec<WorkerView>,
    /// Open attempts of these sweeps, each with its newest observation; at most
    /// 1,000 of each sweep.
    pub open: Vec<JobView>,
    /// Failed jobs of these sweeps, newest first, at most 10.
    pub failed: Vec<JobView>,
    /// Mean duration of the succeeded jobs' trainings in seconds, if there are
    /// any.
    pub mean_job_seconds: Option<f64>,
    /// How long trainings of sweeps in work take: of the newest 8 that have a
    /// measured job.
    #[serde(default)]
    pub paces: BTreeMap<SweepDigest, Pace>,
    /// Seconds until active sweeps end, including running jobs, where an
    /// estimate is possible: for the newest 8 that have a measured job.
    #[serde(default)]
    pub eta_seconds: BTreeMap<SweepDigest, f64>,
    /// What comes closest to what waiting jobs of these sweeps need, where no
    /// active worker can run them. Such sweeps have no estimate. The leading
    /// coordinator knows it, no store.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lacks: BTreeMap<SweepDigest, Lack>,
    /// The newest event that this is sure to contain: [`crate::live::Live`]
    /// goes on from it.
    #[serde(default)]
    pub last_event: u64,
    /// The time on the coordinator's clock.
    pub now_ms: i64,
}

/// How many failed jobs a status shows.
pub const FAILED_SHOWN: u32 = 10;
/// How many open attempts a status shows, of one sweep or of all.
pub const OPEN_SHOWN: u32 = 1000;

/// How long trainings take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    /// How many trainings were measured.
    pub jobs: u64,
    /// Their mean, in seconds.
    pub seconds: f64,
}

impl Pace {
    /// The pace with one more training.
    #[must_use]
    pub fn and(self, seconds: f64) -> Self {
        let jobs = self.jobs + 1;
        Self {
            jobs,
            seconds: self.seconds + (seconds - self.seconds) / jobs as f64,
        }
    }
}

/// How many jobs can be asked for by digest at once.
pub const NAMED_MOST: usize = 100;

/// The most jobs of one answer.
pub const JOBS_PER_PAGE: u32 = 10_000;

/// Jobs in order of submission.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Jobs {
    /// The version of the document.
    pub schema_version: u32,
    /// The jobs.
    pub jobs: Vec<JobView>,
    /// Where the next page begins; absent when this is the last.
    #[serde(default)]
    pub next: Option<JobDigest>,
    /// The time on the coordinator's clock.
    pub now_ms: i64,
}

/// One job, and why it is in its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The version of the document.
    pub schema_version: u32,
    /// The job and its attempts.
    pub detail: JobDetail,
    /// Why the job is in its state and what could be done, most important
    /// first.
    pub items: Vec<ExplainItem>,
    /// The same reasons as text, one sentence each.
    pub reasons: Vec<String>,
    /// Where its program leaves files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Left>,
    /// The time on the coordinator's clock.
    pub now_ms: i64,
}

/// One job's learning curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curves {
    /// The version of the document.
    pub schema_version: u32,
    /// The job.
    pub job: JobView,
    /// The unit that its newest sweep gives its metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Its observations, by attempt and epoch.
    pub points: Vec<CurvePoint>,
}

/// The most jobs of one answer with curves.
pub const CURVES_MOST: u32 = 10_000;

/// Learning curves of several jobs, in order of submission.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobCurves {
    /// The version of the document.
    pub schema_version: u32,
    /// The jobs with their observations, by attempt and epoch.
    pub jobs: Vec<JobCurve>,
    /// Whether there are more matching jobs.
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
    /// The version of the document.
    pub schema_version: u32,
    /// The job.
    pub job: JobView,
    /// The text, in order.
    pub chunks: Vec<LogChunk>,
}

/// What the results of one sweep decided about its replicates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decisions {
    /// The version of the document.
    pub schema_version: u32,
    /// The sweep.
    pub sweep: SweepView,
    /// The replicates that were given, in the order of the decisions.
    pub decisions: Vec<Decided>,
    /// The pairs whose order stays undecided, once no more replicates will be
    /// given.
    pub undecided: Vec<Undecided>,
    /// The cells that the decisions and pairs are about.
    pub cells: Vec<NamedCell>,
}

/// One replicate that was given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    /// The replicate's job.
    pub job: Option<JobDigest>,
    /// Why it was given.
    pub decision: DecisionView,
}

/// A cell with what names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedCell {
    /// The cell's digest.
    pub cell: CellDigest,
    /// Its axes in written order.
    pub axes: Vec<(String, serde_json::Value)>,
}

/// Every worker, by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workers {
    /// The version of the document.
    pub schema_version: u32,
    /// The workers.
    pub workers: Vec<WorkerView>,
    /// The version of the protocol that the coordinator speaks; 0 where it does not say.
    #[serde(default)]
    pub protocol: u32,
    /// The time on the coordinator's clock.
    pub now_ms: i64,
}

/// How far a large sweep has come that is being stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoringSweep {
    /// The version of the document.
    pub schema_version: u32,
    /// The sweep, if there is one.
    pub storing: Option<Storing>,
}

/// Which jobs exist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnownJobs {
    /// The version of the document.
    pub schema_version: u32,
    /// What is known of each job, in the order asked for.
    pub jobs: Vec<Option<Known>>,
}

/// The most trainings of one workload in an answer.
pub const ALIKE_MOST: u32 = 64;

/// Measured trainings of the same cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlikeJobs {
    /// The version of the document.
    pub schema_version: u32,
    /// The trainings, by workload in the order asked for: at most [`ALIKE_MOST`]
    /// of each, those of the newest cells first.
    pub alike: Vec<Vec<Alike>>,
}

/// What probes measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probes {
    /// The version of the document.
    pub schema_version: u32,
    /// The probes, in the order asked for; none where there is no such job.
    pub probes: Vec<Option<ProbeView>>,
}

/// What one probe measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeView {
    /// The state of its job.
    pub state: StateName,
    /// Why it failed; absent if it did not.
    pub fault: Option<Fault>,
    /// The last fault's message; empty when there is none.
    pub message: String,
    /// What it measured.
    pub measurement: Option<Measurement>,
    /// What the attempt of its newest outcome ran on.
    pub provenance: Option<Provenance>,
}

/// What can be changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ChangeOrder {
    /// Cancels the sweeps or the jobs that match.
    Cancel {
        /// A sweep or job selector.
        selector: Vec<String>,
    },
    /// Queues failed and cancelled jobs again: those of the matching sweeps, or
    /// the matching jobs.
    Retry {
        /// A sweep or job selector.
        selector: Vec<String>,
        /// Retry jobs that failed, but did not diverge.
        #[serde(default)]
        failed: bool,
        /// Retry jobs that were cancelled.
        #[serde(default)]
        missing: bool,
        /// Retry jobs that diverged. With none of the three set: failed and
        /// cancelled ones.
        diverged: bool,
    },
    /// Pauses the sweeps that match.
    Pause {
        /// A sweep selector.
        selector: Vec<String>,
    },
    /// Resumes the sweeps that match.
    Resume {
        /// A sweep selector.
        selector: Vec<String>,
    },
    /// Gives a sweep another name.
    Rename {
        /// A sweep selector that matches one sweep.
        selector: Vec<String>,
        /// The name.
        name: String,
    },
    /// Notes something about a sweep.
    Note {
        /// A sweep selector that matches one sweep.
        selector: Vec<String>,
        /// The note; empty: none.
        note: String,
    },
    /// Changes the tags of the sweeps that match.
    Tag {
        /// A sweep selector.
        selector: Vec<String>,
        /// Tags to add.
        add: Vec<String>,
        /// Tags to remove.
        remove: Vec<String>,
    },
    /// Leaves the sweeps that match out of lists.
    Archive {
        /// A sweep selector.
        selector: Vec<String>,
        /// Shows them in lists again.
        undo: bool,
    },
    /// Deletes the sweeps that match, with the jobs that no other sweep holds.
    Delete {
        /// A sweep selector.
        selector: Vec<String>,
        /// Whether open jobs are cancelled; otherwise they keep their sweep.
        cancel: bool,
    },
    /// Throws away what the jobs that match have measured, or that they diverged,
    /// and queues them again.
    ForgetResults {
        /// A selector of sweeps or jobs.
        selector: Vec<String>,
        /// Only what was recorded until then; absent: everything.
        #[serde(default)]
        until: Option<Timestamp>,
    },
    /// Submits a sweep again with more replicates.
    Extend {
        /// A sweep selector that matches one sweep.
        selector: Vec<String>,
        /// Replicates per cell; must be more than it has.
        replicates: u32,
    },
    /// Stores imported numbers.
    Import(ImportOrder),
    /// Gives a worker no more jobs.
    Cordon {
        /// The worker's name.
        worker: WorkerName,
    },
    /// Gives a worker jobs again.
    Activate {
        /// The worker's name.
        worker: WorkerName,
    },
    /// Leaves a worker that is gone out of lists.
    Forget {
        /// The worker's name.
        worker: WorkerName,
    },
    /// Asks a worker to give back its jobs and to leave.
    Drain {
        /// The worker's name.
        worker: WorkerName,
    },
    /// Makes a token, which the answer holds.
    CreateToken(CreateToken),
    /// Takes a token, or the certificates of a worker, no more.
    RevokeToken {
        /// Which.
        id: CredentialId,
    },
    /// Takes the certificates that a worker has no more.
    RevokeWorker {
        /// The worker's name.
        worker: WorkerName,
    },
}

/// The sweep that a name meant before a submit gave it to another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// The sweep.
    pub digest: SweepDigest,
    /// Which of the sweeps of its name it is.
    pub version: u32,
    /// Who submitted it; may be empty.
    pub owner: String,
    /// How many of its open jobs the sweep that took its place does not hold.
    pub open_jobs: u64,
}

/// What a submit would share with other sweeps that say otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlaps {
    /// The version of the document.
    pub schema_version: u32,
    /// One for each other sweep, in order of submission.
    pub overlaps: Vec<Overlap>,
}

/// What a change would touch: sweeps, or single jobs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// The version of the document.
    pub schema_version: u32,
    /// Whole sweeps, oldest first.
    pub sweeps: Vec<SweepView>,
    /// Jobs by the name of the newest sweep that holds them.
    pub jobs: Vec<SelectedJobs>,
}

/// Some jobs of one sweep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectedJobs {
    /// The sweep's name.
    pub sweep: String,
    /// How many jobs.
    pub jobs: u64,
}

/// Numbers to import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportOrder {
    /// A sweep selector; empty: the sweeps that name the file as their
    /// reference.
    pub selector: Vec<String>,
    /// The file's name, for errors and footnotes.
    pub file: String,
    /// The text of the file, as CSV.
    pub text: String,
    /// Who published the numbers, where the file does not say.
    pub source: String,
    /// Only rows with this value in the column `table`.
    #[serde(default)]
    pub table: Option<String>,
    /// First remove the earlier numbers of the same sources in these sweeps.
    #[serde(default)]
    pub replace: bool,
}

/// The result of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The version of the document.
    pub schema_version: u32,
    /// The sweeps that were changed or created.
    pub sweeps: Vec<SweepDigest>,
    /// How many jobs changed or are new; for an import, how many numbers.
    pub jobs: u64,
    /// One sentence for people.
    pub message: String,
    /// Why something of what was asked for was not done, one line each; the rest
    /// was done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// A token that was made: its secret is nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}
