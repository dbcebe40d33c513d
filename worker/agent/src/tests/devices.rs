//! Jobs of several devices, and which slots they have.

use swath_model::offer::DeviceAbout;

use super::*;
use crate::calls::ANSWERED;

const GPU_0: Device = Device::Cuda(0);
const GPU_1: Device = Device::Cuda(1);

/// A worker in session with a slot on each of two GPUs, whose question for jobs
/// is waiting.
fn two_gpus() -> (Table, CallId) {
    let mut config = config(2);
    config.about.offer.slots = vec![GPU_0, GPU_1];
    config.gpus = BTreeMap::from([(0, "GPU-a".to_owned()), (1, "GPU-b".to_owned())]);
    let about = [GPU_0, GPU_1].map(|device| DeviceAbout {
        device,
        model: "NVIDIA H100".to_owned(),
        memory_bytes: 0,
    });
    config.about.offer.devices = about.to_vec();
    let mut table = Table::new(config);
    table.welcome(1, &[]);
    let (fetch, exchange, _) = table.exchange();
    assert_eq!(free(&exchange), [(GPU_0, 1), (GPU_1, 1)]);
    (table, fetch)
}

/// The devices with free slots that an exchange names, and how many.
fn free(exchange: &Exchange) -> Vec<(Device, u32)> {
    let free = exchange.free.iter().filter(|free| free.slots > 0);
    free.map(|free| (free.device, free.slots)).collect()
}

fn on(devices: &str, job: u8) -> Grant {
    Grant {
        placement: devices.parse().unwrap(),
        ..program(job, "python3")
    }
}

const FINISHED: &str = r#"{"event":"finished","loss":0.5}"#;

#[test]
fn a_job_of_two_gpus_has_both_until_its_process_has_ended() {
    let (mut table, fetch) = two_gpus();
    table.answer(fetch, exchanged(&[], vec![on("cuda:0,cuda:1", 1)]));
    let Effect::Start {
        child,
        program: Program::Command(line),
        placement,
    } = table.next()
    else {
        panic!("nothing is started");
    };
    assert_eq!(placement.to_string(), "cuda:0,cuda:1");
    let of = |name: &str| &*line.environment[name];
    assert_eq!(of("CUDA_VISIBLE_DEVICES"), "GPU-a,GPU-b");
    assert_eq!(of("SWATH_DEVICE"), "cuda:0");
    assert_eq!(of("SWATH_DEVICES"), "cuda:0,cuda:1");
    table.says(child, FINISHED);
    // It has not ended, so no other job is asked for.
    table.done();
    table.ends(child, 0);
    let entries = table.spool();
    assert_eq!(entries[0].finish.provenance.device, "2 × NVIDIA H100");
    let (_, exchange, _) = table.exchange();
    assert_eq!(free(&exchange), [(GPU_0, 1), (GPU_1, 1)]);
}

#[test]
fn a_slot_is_lent_until_the_process_is_gone() {
    let (mut table, fetch) = two_gpus();
    table.answer(fetch, exchanged(&[], vec![on("cuda:0,cuda:1", 1)]));
    let child = table.started();
    table.done();
    table.pass(Duration::from_hours(3));
    // It hangs, and is killed.
    while !matches!(table.effects.front(), Some(Effect::Stop { .. })) {
        table.effects.pop_front().expect("it is stopped");
    }
    table.stopped(child, Duration::ZERO);
    table.spool();
    let (fetch, exchange, _) = table.exchange();
    assert_eq!(free(&exchange), [(GPU_0, 1), (GPU_1, 1)]);
    let (deliver, ..) = table.exchange();
    table.answer(deliver, exchanged(&[Ack::Recorded], Vec::new()));
    table.effects.clear();
    table.answer(fetch, exchanged(&[], vec![on("cuda:1", 2)]));
    // Another one may have the first when the process is gone, not before.
    assert_eq!(free(&table.exchange().1), [(GPU_0, 1)]);
    table.done();
    table.ends(child, 137);
    assert_ne!(table.started(), child);
}

#[test]
fn a_job_begins_when_all_of_its_devices_are_free() {
    let (mut table, fetch) = two_gpus();
    let training = Grant {
        placement: GPU_1.into(),
        ..training(1)
    };
    table.answer(fetch, exchanged(&[], vec![training]));
    let trainer = table.started();
    let (fetch, exchange, _) = table.exchange();
    assert_eq!(free(&exchange), [(GPU_0, 1)]);
    table.says(trainer, r#"{"event":"finished","test_error":8.5}"#);
    table.spool();
    let (deliver, exchange, _) = table.exchange();
    assert_eq!(free(&exchange), [(GPU_1, 1)]);
    table.answer(deliver, exchanged(&[Ack::Recorded], Vec::new()));
    table.next();
    table.done();
    // The waiting question names one of the two only, so it is asked anew.
    table.pass(Duration::from_millis(50));
    assert_eq!(table.next(), Effect::Abort(fetch));
    let (fetch, exchange, _) = table.exchange();
    assert_eq!((exchange.request, free(&exchange)), (2, vec![]));
    table.answer(fetch, exchanged(&[], Vec::new()));
    table.pass(SECOND);
    let (fetch, exchange, _) = table.exchange();
    assert_eq!(
        (exchange.request, free(&exchange)),
        (4, vec![(GPU_0, 1), (GPU_1, 1)])
    );
    // An idle trainer has to make way on the second.
    table.answer(fetch, exchanged(&[], vec![on("cuda:0,cuda:1", 2)]));
    table.stopped(trainer, 2 * SECOND);
    table.done();
    table.ends(trainer, 0);
    assert_ne!(table.started(), trainer);
    table.done();
}

/// Answers all calls that do not wait, and writes what is to be written; returns
/// the question that waits for a job.
fn serve(table: &mut Table) -> (CallId, Exchange) {
    let mut waiting = None;
    while let Some(effect) = table.effects.pop_front() {
        match effect {
            Effect::Spool(entries) => {
                let held = entries.iter().map(|entry| entry.finish.held).collect();
                table.tell(Event::Spooled(held));
            }
            Effect::Call {
                id,
                call: Call::Exchange { exchange, wait },
            } => {
                if wait.is_zero() {
                    let acks = vec![Ack::Recorded; exchange.finishes.len()];
                    table.answer(id, exchanged(&acks, Vec::new()));
                } else {
                    waiting = Some((id, exchange));
                }
            }
            Effect::Abort(id) => waiting = waiting.filter(|(known, _)| *known != id),
            _ => {}
        }
    }
    waiting.expect("a question")
}

#[test]
fn what_was_asked_for_in_advance_is_asked_for_anew_when_it_is_free() {
    let (mut table, mut fetch) = two_gpus();
    let mut exchange = None;
    for job in [1, 2] {
        table.answer(fetch, exchanged(&[], vec![on("cuda:1", job)]));
        let child = table.started();
        exchange = Some(serve(&mut table).1);
        table.now += 2 * ANSWERED;
        table.says(child, FINISHED);
        table.ends(child, 0);
        table.pass(2 * ANSWERED);
        let asked = serve(&mut table);
        assert_eq!(free(&asked.1), [(GPU_0, 1), (GPU_1, 1)]);
        fetch = asked.0;
    }
    // It was known how long a program takes, so one more was asked for.
    let ahead = exchange.unwrap().free.into_iter().map(|free| free.ahead);
    assert_eq!(ahead.collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn a_cancelled_job_gives_all_of_its_devices_back() {
    let (mut table, fetch) = two_gpus();
    table.answer(fetch, exchanged(&[], vec![on("cuda:0,cuda:1", 1)]));
    let child = table.started();
    assert_eq!(table.beat(Verdict::Stop), [held(1)]);
    table.stopped(child, 10 * SECOND);
    table.done();
    table.ends(child, 75);
    assert_eq!(table.release().1, [held(1)]);
    assert_eq!(free(&table.exchange().1), [(GPU_0, 1), (GPU_1, 1)]);
}

#[test]
fn the_built_in_trainer_gets_one_device() {
    let (mut table, fetch) = two_gpus();
    let both = Grant {
        placement: "cuda:0,cuda:1".parse().unwrap(),
        ..training(1)
    };
    table.answer(fetch, exchanged(&[], vec![both]));
    let entries = table.spool();
    assert_eq!(
        attempts::fault(&entries).0,
        swath_model::outcome::Fault::Invalid
    );
}
