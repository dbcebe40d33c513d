use std::collections::BTreeMap;

use serde_json::json;
use swath_model::device::Device;
use swath_model::event::{Requeued, SweepNow, WorkerNow};
use swath_model::id::{Attempt, CellDigest, Replicate, SessionId, WorkerName};
use swath_model::outcome::{Fault, Observation};
use swath_model::view::{Counts, SCHEMA_VERSION, SweepKind, SweepState, WorkerState, WorkerView};

use super::*;

const SWEEP: SweepDigest = SweepDigest::from_bytes([1; 32]);
const OTHER: SweepDigest = SweepDigest::from_bytes([2; 32]);

fn job(number: u8) -> JobDigest {
    JobDigest::from_bytes([number; 32])
}

fn worker() -> WorkerName {
    "node".parse().unwrap()
}

fn sweep() -> SweepView {
    SweepView {
        digest: SWEEP,
        name: "s".to_owned(),
        version: 1,
        label: swath_model::label::Label::default(),
        title: String::new(),
        kind: SweepKind::Training,
        state: SweepState::Active,
        paused: None,
        cells: 4,
        replicates: 1,
        replication: None,
        priority: 0,
        counts: Counts {
            queued: 4,
            ..Counts::default()
        },
        submitted_at: Timestamp::from_ms(0),
        finished_at: None,
    }
}

fn view(number: u8, state: StateName, holder: SweepDigest) -> JobView {
    JobView {
        digest: job(number),
        cell: CellDigest::from_bytes([number; 32]),
        replicate: Replicate(1),
        seed: 0,
        spec: json!({}),
        unreadable: None,
        sweeps: vec!["s".to_owned()],
        holders: vec![holder],
        state,
        fault: (state == StateName::Failed).then_some(Fault::Crashed),
        stop: false,
        attempt: Attempt(1),
        charged: 0,
        worker: Some(worker()),
        devices: None,
        granted_at: Some(Timestamp::from_ms(1_000)),
        not_before: None,
        deadline: None,
        ended_at: (state == StateName::Failed).then_some(Timestamp::from_ms(1_500)),
        progress: None,
        measurement: None,
        message: String::new(),
    }
}

fn live() -> Live {
    let status = Status {
        schema_version: SCHEMA_VERSION,
        sweeps: vec![sweep()],
        workers: vec![WorkerView {
            lacks: Vec::new(),
            name: worker(),
            state: WorkerState::Active,
            cordoned: None,
            session: SessionId(1),
            seen_at: Timestamp::from_ms(0),
            about: swath_model::view::WorkerAbout {
                offer: swath_model::offer::Offer {
                    slots: vec![Device::Cpu],
                    ..Default::default()
                },
                ..Default::default()
            },
            held: 0,
            slots_held: None,
            kept: None,
            failed_in_a_row: 0,
            silent: false,
        }],
        open: Vec::new(),
        failed: Vec::new(),
        mean_job_seconds: None,
        paces: BTreeMap::new(),
        eta_seconds: BTreeMap::new(),
        lacks: BTreeMap::new(),
        last_event: 10,
        now_ms: 1_000,
    };
    Live::new(status, false)
}

/// News of these, numbered from `first` on.
fn news(first: u64, events: Vec<(Option<u8>, What)>) -> News {
    let event = |(seq, (number, what)): (u64, (Option<u8>, What))| Event {
        seq,
        at: Timestamp::from_ms(2_000),
        sweep: matches!(what, What::SweepChanged { .. }).then_some(SWEEP),
        job: number.map(job),
        attempt: number.map(|_| Attempt(1)),
        worker: Some(worker()),
        what,
    };
    let events: Vec<Event> = (first..).zip(events).map(event).collect();
    News {
        schema_version: SCHEMA_VERSION,
        last: events.last().map_or(first - 1, |event| event.seq),
        events,
        gone: false,
        now_ms: 2_000,
    }
}

fn now(counts: Counts) -> What {
    What::SweepChanged {
        was: Some(SweepState::Active),
        now: SweepNow {
            state: SweepState::Active,
            paused: None,
            priority: 3,
            counts,
            finished_at: None,
            replication: None,
        },
    }
}

#[test]
fn a_status_follows_a_job_from_its_grant_to_its_end() {
    let mut live = live();
    let counts = Counts {
        queued: 3,
        leased: 1,
        ..Counts::default()
    };
    let granted = news(11, vec![(Some(1), What::JobGranted), (None, now(counts))]);
    assert_eq!(live.fold(&granted), Folded::Known);
    assert_eq!(live.unknown(), [job(1)]);
    live.learn(vec![view(1, StateName::Leased, SWEEP)]);
    assert_eq!(live.unknown(), []);
    assert_eq!(live.status().open.len(), 1);
    assert_eq!(live.status().sweeps[0].counts, counts);
    assert_eq!(live.status().sweeps[0].priority, 3);
    // Seen twice is seen once.
    let before = live.status().clone();
    live.fold(&granted);
    assert_eq!(*live.status(), before);

    let observation = Observation {
        epoch: 2,
        ..Observation::default()
    };
    live.fold(&news(
        13,
        vec![(Some(1), What::JobObserved(observation.clone()))],
    ));
    assert_eq!(live.status().open[0].progress, Some(observation));
    let left = Counts {
        queued: 3,
        succeeded: 1,
        ..Counts::default()
    };
    let measured = What::JobMeasured { train_seconds: 4.0 };
    live.fold(&news(14, vec![(Some(1), measured), (None, now(left))]));
    assert_eq!(live.status().open, []);
    assert_eq!(
        live.status().paces[&SWEEP],
        Pace {
            jobs: 1,
            seconds: 4.0
        }
    );
    assert!((live.status().eta_seconds[&SWEEP] - 12.0).abs() < 1e-9);
    assert_eq!(live.last(), 15);
    // What nobody can run ends at no time that anybody knows.
    let lack = swath_model::needs::Lack::Trainer;
    live.status.lacks.insert(SWEEP, lack);
    live.fold(&news(16, Vec::new()));
    assert_eq!(live.status().eta_seconds, BTreeMap::new());
}

#[test]
fn jobs_of_two_slots_take_twice_as_long() {
    let (slots, now) = (4, Timestamp::from_ms(1_000));
    let mut sweep = sweep();
    sweep.counts.queued = 8;
    let seconds = |devices: &str| {
        let mut view = view(1, StateName::Leased, SWEEP);
        view.devices = Some(devices.parse().unwrap());
        let eta = eta::of_sweep(&sweep, Some(10.0), &[view], slots, now);
        eta.unwrap().as_secs_f64()
    };
    let (one, two) = (seconds("cuda:0"), seconds("cuda:0,cuda:1"));
    assert!((two - 2.0 * one).abs() < 1e-9, "{one} and {two}");
}

#[test]
fn a_failure_is_shown_with_its_reason_and_a_job_that_waits_again_is_not() {
    let mut live = live();
    live.fold(&news(
        11,
        vec![(Some(1), What::JobGranted), (Some(2), What::JobGranted)],
    ));
    live.learn(vec![
        view(1, StateName::Leased, SWEEP),
        view(2, StateName::Leased, SWEEP),
        view(3, StateName::Leased, OTHER),
    ]);
    assert_eq!(live.status().open.len(), 2, "what is of no sweep here");
    let failed = What::JobFailed(Failed {
        fault: Fault::Invalid,
        headline: "no data".to_owned(),
    });
    live.fold(&news(
        13,
        vec![
            (Some(1), failed),
            (Some(2), What::JobQueued(Requeued::Lost)),
        ],
    ));
    assert_eq!(live.status().open, []);
    let [shown] = &live.status().failed[..] else {
        panic!("{:?}", live.status().failed);
    };
    assert_eq!((shown.digest, shown.state), (job(1), StateName::Failed));
    assert_eq!(
        (shown.fault, shown.message.as_str()),
        (Some(Fault::Invalid), "no data")
    );
    // One that came and went between two messages is read.
    let failed = What::JobFailed(Failed {
        fault: Fault::Crashed,
        headline: "x".to_owned(),
    });
    live.fold(&news(
        15,
        vec![(Some(4), What::JobGranted), (Some(4), failed)],
    ));
    assert_eq!(live.unknown(), [job(4)]);
    live.learn(vec![view(4, StateName::Failed, SWEEP)]);
    let shown: Vec<_> = live.status().failed.iter().map(|it| it.digest).collect();
    assert_eq!(shown, [job(1), job(4)], "the newest end first");
    // One that is tried again has not failed any more, and an older one may be shown.
    let retried = What::JobQueued(Requeued::Wanted);
    let folded = live.fold(&news(17, vec![(Some(4), retried)]));
    assert_eq!(folded, Folded::Reread);
}

#[test]
fn a_worker_that_rests_takes_no_jobs() {
    let mut live = live();
    let rests = What::WorkerChanged {
        was: None,
        now: WorkerNow {
            state: WorkerState::Draining,
            cordoned: None,
            held: 2,
            slots_held: 3,
            failed_in_a_row: 0,
            silent: true,
        },
    };
    live.fold(&news(11, vec![(None, rests)]));
    let worker = &live.status().workers[0];
    assert_eq!((worker.state, worker.held), (WorkerState::Draining, 2));
    assert_eq!(worker.busy(), 3);
    assert!(worker.silent);
}

/// Whether other jobs wait in vain now is the coordinator's to say.
#[test]
fn a_worker_that_leaves_or_rests_is_read_anew() {
    let now = |state, silent| WorkerNow {
        state,
        cordoned: None,
        held: 0,
        slots_held: 0,
        failed_in_a_row: 0,
        silent,
    };
    let was = now(WorkerState::Active, false);
    for (now, folded) in [
        (was.clone(), Folded::Known),
        (now(WorkerState::Active, true), Folded::Reread),
        (now(WorkerState::Draining, false), Folded::Reread),
    ] {
        let was = Some(was.clone());
        let changed = What::WorkerChanged { was, now };
        assert_eq!(live().fold(&news(11, vec![(None, changed)])), folded);
    }
}

#[test]
fn what_has_no_place_is_read_anew() {
    assert_eq!(
        live().fold(&news(11, vec![(None, What::WorkerJoined)])),
        Folded::Reread
    );
    assert_eq!(
        live().fold(&news(11, vec![(None, What::SweepSubmitted)])),
        Folded::Known
    );
    // How long its training took counts no more.
    let forgotten = What::JobQueued(Requeued::Forgotten);
    assert_eq!(
        live().fold(&news(11, vec![(Some(1), forgotten)])),
        Folded::Reread
    );
    let mut all = Live::new(live().status().clone(), true);
    assert_eq!(
        all.fold(&news(11, vec![(None, What::SweepSubmitted)])),
        Folded::Reread
    );
    let gone = News {
        gone: true,
        ..news(99, Vec::new())
    };
    assert_eq!(live().fold(&gone), Folded::Reread);
}
