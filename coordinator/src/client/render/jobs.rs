//! The list of jobs, and names for single ones.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use swath_model::device::Device;
use swath_model::job::StateName;
use swath_model::judge::headline;
use swath_model::metrics::{self, TEST_ERROR};
use swath_model::outcome::Fault;
use swath_model::spec::{canonical, lookup};
use swath_model::view::JobView;
use swath_report::{Listing, ListingColumn as Column, duration, parameter};

use super::{document, metric, metric_head, moment, more_decimals};

/// More parameters than this would not fit beside the other columns.
const VARYING_MAX: usize = 6;

/// A job's state, with its fault, and whether its spec can be read.
pub(crate) fn state(job: &JobView) -> String {
    let state = state_alone(job);
    match job.unreadable {
        None => state,
        Some(_) => format!("{state}, unreadable"),
    }
}

fn state_alone(job: &JobView) -> String {
    match (job.state, job.fault) {
        (StateName::Failed, Some(Fault::Diverged)) => "diverged".to_owned(),
        (StateName::Failed, Some(fault)) => format!("failed: {fault}"),
        (state, _) if job.stop => format!("{}, stopping", state.name()),
        (state, _) => state.name().to_owned(),
    }
}

/// The worker of its newest attempt, with the devices as far as they are GPUs.
pub(crate) fn place(job: &JobView) -> String {
    let devices = job.devices.as_ref();
    match (&job.worker, devices.filter(|it| it.first() != Device::Cpu)) {
        (None, _) => String::new(),
        (Some(worker), None) => worker.to_string(),
        (Some(worker), Some(devices)) => format!("{worker} {devices}"),
    }
}

/// A list of jobs, with the parameters in which they differ.
pub(crate) fn listing(jobs: &[JobView]) -> Listing {
    let varying = varying(jobs);
    let head = [Column::text("job"), Column::text("state")];
    let middle = varying.iter().map(|path| Column::number(path));
    let tail = [
        Column::number("replicate"),
        Column::number("epoch"),
        Column::number(&metric_head(jobs)),
        Column::number("time"),
        Column::number("attempt"),
        Column::text("worker"),
        Column::text("sweeps").wide(),
        Column::number("seed").wide(),
        Column::text("cell").wide(),
        Column::text("digest").wide(),
        Column::text("ended").wide(),
        Column::text("message").wide(),
    ];
    let mut listing = Listing::new("jobs", head.into_iter().chain(middle).chain(tail));
    let value = |job: &JobView| job.measured().or_else(|| job.observed());
    let more = more_decimals(jobs, value);
    for job in jobs {
        let measured = metric(job, value(job), more);
        let fields = fields(job, &varying, measured);
        listing.push(job.digest.to_string(), fields, document(job));
    }
    listing
}

fn fields(job: &JobView, varying: &[String], measure: String) -> Vec<String> {
    let measured = job.measurement.as_ref();
    let time = measured.map(|measured| duration(measured.train_seconds));
    let mut fields = vec![job.digest.short(), state(job)];
    fields.extend(values(job, varying));
    fields.extend([
        job.replicate.to_string(),
        epochs(job),
        measure,
        time.unwrap_or_default(),
        if job.attempt.0 == 0 {
            String::new()
        } else {
            job.attempt.to_string()
        },
        place(job),
        job.sweeps.join(" "),
        job.seed.to_string(),
        job.cell.to_string(),
        job.digest.to_string(),
        moment(job.ended_at),
        told(job),
    ]);
    fields
}

/// What is said of a job beside the facts: why its spec cannot be read, or what
/// the last fault said.
fn told(job: &JobView) -> String {
    match job.unreadable {
        Some(why) => why.to_string(),
        None => headline(&job.message).to_owned(),
    }
}

/// A list of jobs for programs: whole ids, plain numbers, one fact a column. A
/// metric by which jobs are compared has a column under its own name, and one
/// for its value at the newest epoch.
pub(crate) fn records(jobs: &[JobView]) -> Listing {
    let varying: Vec<String> = differing(jobs).collect();
    let head = ["job", "cell", "sweeps", "replicate", "seed"];
    let middle = ["state", "fault", "attempt", "worker", "devices", "epoch"];
    let tail = ["train_seconds", "granted_at", "ended_at", "message"];
    let mut metrics: BTreeSet<&str> = jobs.iter().map(|job| metrics::own(&job.spec)).collect();
    if metrics.is_empty() {
        metrics.insert(TEST_ERROR);
    }
    let own = metrics.iter();
    let own: Vec<String> = own
        .flat_map(|name| [format!("epoch_{name}"), (*name).to_owned()])
        .collect();
    let names = varying.iter().map(String::as_str);
    let names = head.into_iter().chain(names).chain(middle);
    let names = names.chain(own.iter().map(String::as_str)).chain(tail);
    let mut listing = Listing::new("jobs", names.map(Column::text));
    for job in jobs {
        let mut fields = vec![
            job.digest.to_string(),
            job.cell.to_string(),
            job.sweeps.join(" "),
            job.replicate.to_string(),
            job.seed.to_string(),
        ];
        fields.extend(values(job, &varying));
        fields.extend(record(job, &metrics));
        listing.push(job.digest.to_string(), fields, document(job));
    }
    listing
}

/// The columns of a record after the parameters.
fn record(job: &JobView, metrics: &BTreeSet<&str>) -> Vec<String> {
    let progress = job.progress.as_ref();
    let measured = job.measurement.as_ref();
    let mut fields = vec![
        job.state.name().to_owned(),
        plain(job.fault),
        plain((job.attempt.0 > 0).then_some(job.attempt)),
        plain(job.worker.as_ref()),
        plain(job.devices.as_ref()),
        plain(progress.map(|observation| observation.epoch)),
    ];
    for metric in metrics {
        let is_own = metrics::own(&job.spec) == *metric;
        let values = [job.observed(), job.measured()];
        fields.extend(values.map(|value| plain(value.filter(|_| is_own))));
    }
    fields.extend([
        plain(measured.map(|measured| measured.train_seconds)),
        moment(job.granted_at),
        moment(job.ended_at),
        told(job),
    ]);
    fields
}

/// A value with every digit; empty when it is absent.
fn plain(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// A job's values at `paths`; empty where it has none.
pub(crate) fn values(job: &JobView, paths: &[String]) -> impl Iterator<Item = String> {
    paths
        .iter()
        .map(|path| lookup(&job.spec, path).map(parameter).unwrap_or_default())
}

/// `4/30`, or `4` where the budget is in steps; empty before the first.
pub(crate) fn epochs(job: &JobView) -> String {
    let Some(progress) = &job.progress else {
        return String::new();
    };
    match lookup(&job.spec, "epochs").and_then(Value::as_u64) {
        Some(of) => format!("{}/{of}", progress.epoch),
        None => progress.epoch.to_string(),
    }
}

/// The first parameters in which `jobs` differ, as many as fit.
pub(crate) fn varying(jobs: &[JobView]) -> Vec<String> {
    differing(jobs).take(VARYING_MAX).collect()
}

/// The parameters in which `jobs` differ, each a leaf of the spec.
fn differing(jobs: &[JobView]) -> impl Iterator<Item = String> {
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    for job in jobs {
        leaves(&job.spec, "", &mut |path, value| {
            let text = canonical(value);
            let entry = seen.entry(path).or_insert_with(|| Seen {
                first: text.clone(),
                differs: false,
                jobs: 0,
            });
            entry.differs |= entry.first != text;
            entry.jobs += 1;
        });
    }
    let all = jobs.len();
    seen.into_iter()
        .filter(move |(_, seen)| seen.differs || seen.jobs < all)
        .map(|(path, _)| path)
}

struct Seen {
    first: String,
    differs: bool,
    /// How many jobs have this value.
    jobs: usize,
}

fn leaves(tree: &Value, prefix: &str, found: &mut dyn FnMut(String, &Value)) {
    let Value::Object(entries) = tree else {
        return;
    };
    for (name, value) in entries {
        let path = match prefix {
            "" => name.clone(),
            _ => format!("{prefix}.{name}"),
        };
        match value {
            Value::Object(_) => leaves(value, &path, found),
            leaf => found(path, leaf),
        }
    }
}

/// A job in a few words: its id, what sets it apart, and its replicate.
pub(crate) fn name(job: &JobView, varying: &[String]) -> String {
    let mut words = vec![job.digest.short()];
    let pairs = varying.iter().zip(values(job, varying));
    words.extend(
        pairs
            .filter(|(_, value)| !value.is_empty())
            .map(|(path, value)| format!("{path}={value}")),
    );
    words.push(format!("replicate={}", job.replicate));
    words.join(" ")
}
