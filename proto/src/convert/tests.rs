use proptest::prelude::*;
use serde_json::json;
use swath_model::device::DeviceKind;
use swath_model::id::WeightsDigest;
use swath_model::metrics::Metrics;
use swath_model::needs::Needs;
use swath_model::outcome::{Fault, Measurement, Observation, Outcome, Provenance};
use swath_model::view::SweepKind;

use super::*;

fn any_held() -> impl Strategy<Value = message::Held> {
    (any::<[u8; 32]>(), any::<u32>()).prop_map(|(job, attempt)| message::Held {
        job: JobDigest::from_bytes(job),
        attempt: Attempt(attempt),
    })
}

fn any_values() -> impl Strategy<Value = Metrics> {
    let known = swath_model::metrics::KNOWN.map(|known| known.name).to_vec();
    let name = prop_oneof![
        proptest::sample::select(known).prop_map(str::to_owned),
        "[!-~]{1,128}",
    ];
    let value = prop_oneof![any::<f64>(), any::<u32>().prop_map(f64::from)];
    proptest::collection::vec((name, value), 0..12).prop_map(|pairs| pairs.into_iter().collect())
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    let measured = (any::<f64>(), any_values()).prop_map(|(train_seconds, values)| {
        Outcome::Measured(Measurement {
            train_seconds,
            values,
            weights: Some(WeightsDigest::from_bytes([9; 32])),
        })
    });
    let failed = (0..Fault::ALL.len(), ".{0,40}").prop_map(|(index, message)| Outcome::Failed {
        fault: Fault::ALL[index],
        message,
    });
    prop_oneof![measured, failed]
}

proptest! {
    #[test]
    fn an_exchange_survives_the_wire(
        held in any_held(),
        outcome in any_outcome(),
        request in any::<u64>(),
        (slots, ahead) in (0..limits::WANT_MAX / 4, 0..limits::WANT_MAX / 4),
        device in ".{0,20}",
    ) {
        let exchange_in = message::Exchange {
            owner: owner("w-1", 7).unwrap(),
            request,
            finishes: vec![message::Finish {
                held,
                outcome,
                provenance: Provenance { device, threads: 2, ..Provenance::default() },
            }],
            free: [Device::Cpu, Device::Cuda(3)].map(|device| Free { device, slots, ahead }).to_vec(),
        };
        let out = exchange(exchange_message(exchange_in.clone(), 9));
        prop_assert_eq!(out, Ok(exchange_in));
    }

    #[test]
    fn a_report_survives_the_wire(
        held in any_held(),
        seen in proptest::collection::vec(
            (any::<u32>(), any::<u64>(), proptest::option::of(any::<f64>()), any_values()),
            0..4,
        ),
    ) {
        let observation = |(epoch, step, seconds, values)| Observation { epoch, step, seconds, values };
        let report_in = message::Report {
            held,
            observations: seen.into_iter().map(observation).collect(),
            log_sequence: 3,
            log: "line\n".to_owned(),
        };
        let out = reports(vec![report_message(report_in.clone())]);
        prop_assert_eq!(out, Ok(vec![report_in]));
    }
}

#[test]
fn what_is_wrong_is_refused_with_its_field() {
    let text = |error: DecodeError| error.to_string();
    assert_eq!(
        text(job_digest(&[1, 2]).unwrap_err()),
        "field `job`: must be 32 bytes"
    );
    assert!(text(owner("../x", 1).unwrap_err()).starts_with("field `worker`: "));
    assert!(text(verdict(9).unwrap_err()).contains("unknown"));
    assert!(text(verdicts(&[1], 2).unwrap_err()).contains("1 for 2"));
    let too_many = vec![
        v1::Held {
            lease: Vec::new(),
            job: vec![0; 32],
            attempt: 1
        };
        limits::HELD_MAX + 1
    ];
    assert!(text(held_all(&too_many).unwrap_err()).contains("at most 4096"));
    let empty = v1::ExchangeRequest {
        worker: "w".to_owned(),
        finishes: vec![v1::Finish::default()],
        ..Default::default()
    };
    assert_eq!(
        text(exchange(empty).unwrap_err()),
        "field `outcome`: is missing"
    );
}

#[test]
fn what_may_not_be_recorded_is_left_out() {
    let measured = v1::Measurement {
        values: [("a", 1.0), ("b", f64::NAN), ("C ", 2.0)]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
        weights: Some(vec![1; 31]),
        ..Default::default()
    };
    let finish = v1::Finish {
        held: Some(held_message(message::Held {
            job: JobDigest::from_bytes([1; 32]),
            attempt: Attempt(1),
        })),
        outcome: Some(v1::finish::Outcome::Measured(measured)),
        provenance: None,
    };
    let Outcome::Measured(read) = super::finish(finish).unwrap().outcome else {
        panic!("not measured");
    };
    assert_eq!(read.values, Metrics::from([("a", 1.0)]));
    assert_eq!(read.weights, None);
}

#[test]
fn observations_name_each_metric_once() {
    let seen = |epoch, value| Observation {
        epoch,
        values: Metrics::from([("lr", 0.1), ("val/acc", value)]),
        ..Observation::default()
    };
    let report = message::Report {
        held: message::Held {
            job: JobDigest::from_bytes([1; 32]),
            attempt: Attempt(1),
        },
        observations: vec![seen(1, 0.5), seen(2, 0.75)],
        log_sequence: 0,
        log: String::new(),
    };
    let message = report_message(report);
    assert_eq!(message.names, ["lr", "val/acc"]);
    let broken = |change: fn(&mut v1::Observation)| {
        let mut message = message.clone();
        change(&mut message.observations[1]);
        reports(vec![message])
    };
    let infinite = broken(|it| it.values[1] = f64::INFINITY).unwrap();
    let left = &infinite[0].observations[1].values;
    assert_eq!(left, &Metrics::from([("lr", 0.1)]));
    assert!(broken(|it| it.names[1] = 2).is_err());
    assert!(broken(|it| it.values.truncate(1)).is_err());
}

fn gpu() -> v1::Needs {
    v1::Needs {
        device: Some("gpu".to_owned()),
        ..v1::Needs::default()
    }
}

#[test]
fn sweeps_survive_the_wire_as_files_and_as_cells() {
    let files = message::Sources::Files(message::Files {
        executable: ["run.sh".to_owned()].into(),
        main: "a.toml".to_owned(),
        files: [("a.toml".to_owned(), "x".to_owned())].into(),
        replicates: Some(3),
        ..Default::default()
    });
    let list = message::CellList {
        name: "a".to_owned(),
        title: "A".to_owned(),
        kind: SweepKind::Probe,
        replicates: 2,
        needs: Needs {
            device: Some(DeviceKind::Cuda),
            count: Some(2),
            memory_bytes: Some(1 << 30),
            cpus: Some(4),
            program: None,
            data: None,
            launch: swath_model::program::Launch {
                directory: Some("/x".to_owned()),
                ..Default::default()
            },
        },
        cells: vec![json!({"optimizer": {"lr": 0.1}, "epochs": 3}), json!({})],
    };
    let cells = message::Sources::Cells(list.clone());
    let training = message::Sources::Cells(message::CellList {
        kind: SweepKind::Training,
        ..list
    });
    for sent in [files, cells.clone(), training] {
        let request = submit_request(sent.clone(), Some(-4));
        assert_eq!(request.priority, Some(-4));
        assert_eq!(sources(request), Ok(sent));
    }
    let wrong = |change: fn(&mut v1::SubmitRequest, &mut v1::CellList)| {
        let mut request = submit_request(cells.clone(), None);
        let mut list = request.cells.take().unwrap();
        change(&mut request, &mut list);
        request.cells = Some(list);
        sources(request).unwrap_err().to_string()
    };
    let both = "stands instead of";
    assert!(wrong(|it, _| it.main = "a.toml".to_owned()).contains(both));
    assert!(wrong(|it, _| it.replicates = Some(1)).contains(both));
    assert!(wrong(|_, it| it.kind = 0).contains("`cells.kind`"));
    assert!(wrong(|_, it| it.kind = 9).contains("`cells.kind`"));
    assert!(wrong(|_, it| it.needs = Some(gpu())).contains("`cells.needs.device`: `gpu`"));
    assert!(wrong(|_, it| it.specs[1] = "{".to_owned()).contains("cell 2: not JSON"));
}

#[test]
fn a_worker_says_no_more_of_itself_than_is_kept() {
    let hello = |programs: Vec<String>| {
        hello(v1::HelloRequest {
            worker: "gpu1".to_owned(),
            programs,
            ..v1::HelloRequest::default()
        })
    };
    let most = "p".repeat(limits::PROGRAMS_BYTES / 2);
    assert!(hello(vec![most.clone(), most.clone()]).is_ok());
    let refused = hello(vec![most.clone(), most, "p".to_owned()]).unwrap_err();
    assert!(refused.to_string().contains("programs"), "{refused}");
    let kept = provenance(v1::Provenance {
        libtorch: "ä".repeat(4 << 20),
        device: "cpu".to_owned(),
        ..v1::Provenance::default()
    });
    assert!(kept.libtorch.len() <= limits::PROVENANCE_BYTES + 3);
    assert!(kept.libtorch.ends_with('…'));
    assert_eq!(kept.device, "cpu");
}
