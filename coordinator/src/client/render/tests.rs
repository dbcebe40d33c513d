use std::collections::BTreeMap;

use serde_json::json;
use swath_coordinator::api::{Decided, Decisions, Explanation, NamedCell, Status, Workers};
use swath_coordinator::explain::ExplainItem;
use swath_coordinator::files::{Files, Left};
use swath_model::cause::PauseCause;
use swath_model::device::Device;
use swath_model::files::{Absent, AttemptFiles, FileKind, FileView, FilesState, Listing, Remover};
use swath_model::id::{
    Attempt, CellDigest, JobDigest, Replicate, SessionId, SweepDigest, WorkerName,
};
use swath_model::job::StateName;
use swath_model::needs::Lack;
use swath_model::offer::Offer;
use swath_model::outcome::{Fault, Measurement, Observation, Provenance};
use swath_model::placement::Placement;
use swath_model::replication::{Decision, Neighbour, Pair, Stop, Undecided};
use swath_model::time::Timestamp;
use swath_model::view::{
    AttemptView, Counts, DecisionView, JobDetail, JobView, Kept, SCHEMA_VERSION, SweepState,
    SweepView, WorkerAbout, WorkerState, WorkerView,
};
use swath_report::{Format, Style};

use super::{decisions, explain, failures, files, jobs, status, sweeps, workers};

/// 2026-03-01T12:00:00Z.
const NOW_MS: i64 = 1_772_366_400_000;

fn at(seconds_ago: i64) -> Timestamp {
    Timestamp::from_ms(NOW_MS - seconds_ago * 1000)
}

fn worker_name() -> WorkerName {
    "local".parse().unwrap()
}

/// Of a coordinator that has nothing yet.
pub(crate) fn status() -> Status {
    Status {
        schema_version: SCHEMA_VERSION,
        sweeps: Vec::new(),
        workers: Vec::new(),
        open: Vec::new(),
        failed: Vec::new(),
        mean_job_seconds: None,
        paces: BTreeMap::new(),
        eta_seconds: BTreeMap::new(),
        lacks: BTreeMap::new(),
        last_event: 0,
        now_ms: NOW_MS,
    }
}

pub(crate) fn sweep(name: &str) -> SweepView {
    SweepView {
        digest: SweepDigest::from_bytes([0x5e; 32]),
        name: name.to_owned(),
        version: 1,
        label: swath_model::label::Label::default(),
        title: "A small sweep".to_owned(),
        state: SweepState::Active,
        kind: swath_model::view::SweepKind::Training,
        paused: None,
        cells: 15,
        replicates: 3,
        replication: None,
        priority: 0,
        counts: Counts {
            queued: 20,
            leased: 2,
            succeeded: 20,
            failed: 1,
            diverged: 2,
            ..Counts::default()
        },
        submitted_at: at(100),
        finished_at: None,
    }
}

pub(crate) fn job(number: u8, state: StateName) -> JobView {
    JobView {
        digest: JobDigest::from_bytes([number; 32]),
        cell: CellDigest::from_bytes([number / 2; 32]),
        replicate: Replicate(u32::from(number % 3) + 1),
        seed: 1000 + u64::from(number),
        unreadable: None,
        spec: json!({
            "batch_size": 16 * u32::from(number),
            "epochs": 30,
            "optimizer": {"name": "sgd", "lr": 0.05},
        }),
        sweeps: vec!["small".to_owned()],
        holders: Vec::new(),
        state,
        fault: None,
        stop: false,
        attempt: Attempt(1),
        charged: 0,
        worker: Some(worker_name()),
        devices: None,
        granted_at: Some(at(12)),
        not_before: None,
        deadline: None,
        ended_at: None,
        progress: Some(Observation {
            epoch: 4,
            values: [("test_error", 12.5)].into(),
            ..Observation::default()
        }),
        measurement: None,
        message: String::new(),
    }
}

fn succeeded(number: u8) -> JobView {
    JobView {
        measurement: Some(Measurement {
            values: [("test_error", 3.056)].into(),
            train_seconds: 4.2,
            weights: None,
        }),
        ended_at: Some(at(3)),
        ..job(number, StateName::Succeeded)
    }
}

fn failed(number: u8, fault: Fault, message: &str) -> JobView {
    JobView {
        fault: Some(fault),
        message: message.to_owned(),
        ended_at: Some(at(2)),
        ..job(number, StateName::Failed)
    }
}

fn worker(name: &str, seen: i64) -> WorkerView {
    WorkerView {
        lacks: Vec::new(),
        name: name.parse().unwrap(),
        state: WorkerState::Active,
        cordoned: None,
        silent: seen > 120,
        session: SessionId(3),
        seen_at: at(seen),
        about: WorkerAbout {
            host: "desk".to_owned(),
            pid: 4711,
            version: "0.1.0".to_owned(),
            offer: Offer {
                slots: vec![Device::Cpu; 2],
                programs: vec!["python3".to_owned()],
                ..Offer::default()
            },
            state_id: None,
            out: None,
            protocol: None,
        },
        held: 2,
        slots_held: None,
        kept: None,
        failed_in_a_row: 0,
    }
}

#[test]
fn the_list_of_sweeps() {
    let listing = sweeps::listing(&[sweep("small")]);
    insta::assert_snapshot!(listing.render(Format::Table, &Style::PIPE));
}

#[test]
fn the_list_of_jobs() {
    let jobs = [
        job(1, StateName::Leased),
        succeeded(2),
        failed(3, Fault::Crashed, "the trainer died\nwith much to say"),
        failed(4, Fault::Diverged, "loss is not finite"),
    ];
    let listing = jobs::listing(&jobs);
    insta::assert_snapshot!("jobs_table", listing.render(Format::Table, &Style::PIPE));
    let records = jobs::records(&jobs);
    insta::assert_snapshot!("jobs_csv", records.render(Format::Csv, &Style::PIPE));
}

#[test]
fn jobs_of_a_program_have_its_metric_by_name_and_with_digits_that_tell() {
    let of = |number: u8, value: f64| {
        let mut job = succeeded(number);
        job.spec["trainer"] = json!({"command": ["train"], "metric": "val/acc"});
        let measurement = job.measurement.as_mut().unwrap();
        measurement.values = [("val/acc", value)].into();
        job.progress.as_mut().unwrap().values = [("val/acc", value / 2.0)].into();
        job
    };
    let jobs = [of(1, 0.99991), of(2, 0.99994), of(3, 1.3e-6)];
    let shown = jobs::listing(&jobs).render(Format::Table, &Style::PIPE);
    for said in ["val/acc", "0.99991", "0.99994", "1.3"] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    let head = |jobs: &[JobView]| {
        let text = jobs::records(jobs).render(Format::Csv, &Style::PIPE);
        let mut lines = text.lines().map(str::to_owned);
        (lines.next().unwrap(), lines.next().unwrap())
    };
    let (names, first) = head(&jobs);
    assert!(
        names.contains(",epoch,epoch_val/acc,val/acc,train_seconds,"),
        "{names}"
    );
    assert!(!names.contains("test_error"), "{names}");
    assert!(first.contains(",0.499955,0.99991,"), "{first}");
    // Each metric of a list has its own columns.
    let (names, first) = head(&[succeeded(2), of(1, 0.5)]);
    let all = ",epoch_test_error,test_error,epoch_val/acc,val/acc,";
    assert!(names.contains(all), "{names}");
    assert!(first.contains(",,,"), "{first}");
}

#[test]
fn the_list_of_workers() {
    let document = Workers {
        protocol: 4,
        schema_version: SCHEMA_VERSION,
        workers: vec![worker("local", 2), worker("gone", 4000)],
        now_ms: NOW_MS,
    };
    let listing = workers::listing(&document);
    insta::assert_snapshot!(listing.render(Format::Wide, &Style::PIPE));
    let records = workers::records(&document);
    insta::assert_snapshot!("workers_csv", records.render(Format::Csv, &Style::PIPE));
}

#[test]
fn the_list_of_decisions() {
    let digest = |number: u8| CellDigest::from_bytes([number; 32]);
    let side = |number, n, median| Neighbour {
        cell: digest(number),
        replicates: n,
        n,
        median,
    };
    let pair = Pair {
        better: side(1, 3, Some(8.25)),
        worse: side(2, 3, Some(8.5)),
        p: 0.7,
        level: 0.00625,
    };
    let decided = Decided {
        job: Some(JobDigest::from_bytes([9; 32])),
        decision: DecisionView {
            round: 1,
            at: at(60),
            decision: Decision {
                cell: digest(2),
                replicate: Replicate(4),
                pair,
            },
        },
    };
    let diverged = Pair {
        better: side(2, 10, Some(8.5)),
        worse: side(3, 10, None),
        p: 0.19,
        ..pair
    };
    let tie = Pair {
        worse: side(3, 3, Some(8.25)),
        ..pair
    };
    let undecided = [
        (Stop::Max, diverged),
        (Stop::Cancelled, pair),
        (Stop::Max, tie),
    ];
    let undecided = undecided.map(|(stop, pair)| Undecided { pair, stop });
    let named = [(1, 0.1), (2, 0.2), (3, 0.4)].map(|(number, lr)| NamedCell {
        cell: digest(number),
        axes: vec![
            ("batch_size".to_owned(), json!(128)),
            ("optimizer.lr".to_owned(), json!(lr)),
        ],
    });
    let document = Decisions {
        schema_version: SCHEMA_VERSION,
        sweep: sweep("close"),
        decisions: vec![decided],
        undecided: undecided.to_vec(),
        cells: named.to_vec(),
    };
    let listing = decisions::listing(&document, true);
    insta::assert_snapshot!(listing.render(Format::Table, &Style::PIPE));
    insta::assert_snapshot!(
        "decisions_jsonl",
        listing.render(Format::Jsonl, &Style::PIPE)
    );
    let jobs = decisions::listing(&document, false);
    assert_eq!(
        jobs.render(Format::Ids, &Style::PIPE),
        format!("{}\n", "09".repeat(32))
    );
}

#[test]
fn the_status_screen() {
    let mut paused = sweep("paused");
    paused.state = SweepState::Paused;
    paused.paused = Some(PauseCause::FailedAlike {
        jobs: 3,
        fault: Fault::Crashed,
        headline: "no data".to_owned(),
    });
    let document = Status {
        schema_version: SCHEMA_VERSION,
        sweeps: vec![paused, sweep("small")],
        workers: vec![worker("local", 2), worker("gone", 4000)],
        open: vec![job(1, StateName::Leased), job(2, StateName::Leased)],
        failed: vec![failed(3, Fault::Crashed, "the trainer died")],
        mean_job_seconds: Some(4.0),
        paces: BTreeMap::new(),
        eta_seconds: BTreeMap::new(),
        lacks: BTreeMap::new(),
        last_event: 0,
        now_ms: NOW_MS,
    };
    insta::assert_snapshot!(status::screen(&document, false, "", &Style::PIPE));
}

#[test]
fn an_empty_status_says_what_to_do() {
    insta::assert_snapshot!(status::screen(&status(), false, "", &Style::PIPE));
}

#[test]
fn a_sweep_that_waits_for_a_worker_says_what_the_workers_do() {
    let waits_for = |states: &[WorkerState]| {
        let workers = states.iter().map(|&state| WorkerView {
            lacks: Vec::new(),
            state,
            ..worker("gpu-01", 5)
        });
        let status = Status {
            workers: workers.collect(),
            ..status()
        };
        let mut sweep = sweep("small");
        sweep.counts.leased = 0;
        let line = super::progress::line(&status, &sweep, &Style::PIPE);
        line.rsplit(", ").next().unwrap().to_owned()
    };
    use WorkerState::{Cordoned, Draining};
    assert_eq!(waits_for(&[]), "no worker is connected");
    for resting in [&[Cordoned][..], &[Draining], &[Cordoned, Draining]] {
        assert_eq!(waits_for(resting), "no worker takes jobs");
    }
}

#[test]
fn there_is_no_estimate_for_what_no_worker_can_run() {
    let sweep = sweep("small");
    let mut status = Status {
        workers: vec![worker("local", 2)],
        mean_job_seconds: Some(4.0),
        ..status()
    };
    let line = |status: &Status| super::progress::line(status, &sweep, &Style::PIPE);
    assert!(line(&status).contains(", ETA "), "{}", line(&status));
    let lack = Lack::Program {
        program: "sh".to_owned(),
    };
    status.lacks.insert(sweep.digest, lack);
    let told = line(&status);
    let (_, told) = told
        .split_once("so far")
        .expect("the time since the submit");
    assert_eq!(told, ", no ETA: no active worker can run what waits");
}

/// A job that runs on two GPUs, and a worker that keeps two free for another.
#[test]
fn devices_that_jobs_have_and_those_that_are_kept() {
    let two = || "cuda:0,cuda:1".parse().unwrap();
    let mut gpus = worker("gpus", 5);
    gpus.about.offer.slots = (0..4).map(Device::Cuda).collect();
    gpus.held = 3;
    gpus.slots_held = Some(4);
    gpus.kept = Some(Kept {
        job: JobDigest::from_bytes([9; 32]),
        worker: gpus.name.clone(),
        devices: two(),
        busy: vec![Device::Cuda(1)],
        cpus: true,
    });
    let kept = gpus.kept.clone().unwrap();
    let mut running = job(1, StateName::Leased);
    running.devices = Some(two());
    let status = Status {
        workers: vec![gpus],
        open: vec![running],
        ..status()
    };
    let of = running_on(two());
    let lines = [
        status::screen(&status, false, "", &Style::PIPE),
        of.text(kept.job),
        ExplainItem::Kept(kept.clone()).text(kept.job),
    ];
    insta::assert_snapshot!(lines.join("\n"));
    let json = serde_json::to_value(ExplainItem::Kept(kept.clone())).unwrap();
    assert_eq!(json["kind"], "kept");
    assert_eq!(json["devices"], "cuda:0,cuda:1");
    assert_eq!(
        serde_json::from_value::<ExplainItem>(json).unwrap(),
        ExplainItem::Kept(kept)
    );
}

fn running_on(devices: Placement) -> ExplainItem {
    ExplainItem::Running {
        worker: Some(worker_name()),
        attempt: Attempt(2),
        devices: Some(devices),
        seconds: 7,
        epoch: Some(3),
    }
}

#[test]
fn an_explanation() {
    let attempt = AttemptView {
        attempt: Attempt(1),
        worker: worker_name(),
        session: SessionId(3),
        granted_at: at(60),
        ended_at: Some(at(20)),
        ended: "out_of_memory".to_owned(),
        message: "cannot allocate 4 GiB".to_owned(),
        provenance: Some(Provenance::default()),
        forgotten_at: None,
    };
    let document = Explanation {
        schema_version: SCHEMA_VERSION,
        detail: JobDetail {
            job: failed(3, Fault::OutOfMemory, "cannot allocate 4 GiB\nat conv2d"),
            attempts: vec![attempt],
            late_outcomes: 1,
        },
        items: vec![ExplainItem::Failed {
            fault: Fault::OutOfMemory,
            headline: "cannot allocate 4 GiB".to_owned(),
            attempts: 5,
        }],
        reasons: Vec::new(),
        left: Some(Left {
            attempt: Attempt(1),
            worker: worker_name(),
            host: "lab3".to_owned(),
            directory: "/out/030303030303-1".to_owned(),
        }),
        now_ms: NOW_MS,
    };
    insta::assert_snapshot!(explain::text(&document, false, &Style::PIPE));
}

#[test]
fn a_forgotten_attempt_is_told() {
    let item = ExplainItem::Forgotten {
        attempt: Attempt(2),
        ended: "measured".to_owned(),
        at: at(5),
    };
    assert_eq!(
        item.text(JobDigest::from_bytes([3; 32])),
        "attempt 2 measured, which its owner forgot at 2026-03-01T11:59:55Z; it counts no more"
    );
}

#[test]
fn failures_that_are_alike_are_told_once() {
    let lines = failures::lines(
        &[
            failed(1, Fault::Crashed, "no data\nmore"),
            failed(2, Fault::Crashed, "no data\nelse"),
            failed(3, Fault::TimedOut, ""),
            failed(4, Fault::Diverged, "loss is not finite"),
        ],
        "",
    );
    insta::assert_snapshot!(lines.join("\n"));
}

fn left(state: FilesState) -> Files {
    Files {
        schema_version: SCHEMA_VERSION,
        job: failed(3, Fault::OutOfMemory, ""),
        attempts: vec![Attempt(1), Attempt(2)],
        found: Some(AttemptFiles {
            attempt: Attempt(2),
            worker: worker_name(),
            host: "lab3".to_owned(),
            directory: Some("/out/030303030303-2".to_owned()),
            seen_at: Some(at(3600)),
            state,
        }),
        now_ms: NOW_MS,
    }
}

#[test]
fn files_are_listed_with_who_has_them() {
    let file = |path: &str, bytes, kind| FileView {
        path: path.to_owned(),
        bytes,
        modified_at: at(60),
        kind,
    };
    let target = "/data/model.pt".to_owned();
    let document = left(FilesState::Listed(Listing {
        files: vec![
            file("figures/loss.png", 20_480, FileKind::File),
            file("model.pt", 0, FileKind::Link { target }),
        ],
        more: 12_000,
        bytes: 3 << 30,
    }));
    let attempt = document.found.as_ref().unwrap();
    let listing = files::listing(Some(attempt));
    let notes = files::notes(&document, attempt).join("\n");
    let table = listing.render(Format::Table, &Style::PIPE);
    insta::assert_snapshot!(format!("{table}{notes}"));
    let whole = serde_json::to_string_pretty(&files::whole(&document)).unwrap();
    insta::assert_snapshot!(whole);
}

#[test]
fn who_has_the_files_that_cannot_be_had_is_told() {
    let away = |connected| {
        let document = left(FilesState::Away { connected });
        let attempt = document.found.as_ref().unwrap();
        files::away(&document, attempt, connected).join("\n")
    };
    let absent = |why: Absent| {
        let document = left(FilesState::Absent(why.clone()));
        files::absent(document.found.as_ref().unwrap(), &why)
    };
    let removed = |by| Absent::Removed { at: at(60), by };
    let told = [
        away(false),
        away(true),
        absent(Absent::Nothing),
        absent(removed(Remover::Quota)),
        absent(removed(Remover::Keep)),
    ];
    insta::assert_snapshot!(told.join("\n"));
}
