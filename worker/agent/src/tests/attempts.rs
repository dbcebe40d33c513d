//! Attempts on slots.

use swath_model::metrics::Metrics;
use swath_model::outcome::Fault;

use super::*;

const FINISHED: &str = r#"{"event":"finished","test_error":8.5,"train_seconds":3}"#;

/// A worker with one slot that has just begun to train job 1.
pub(super) fn busy() -> (Table, ChildId) {
    let (mut table, fetch) = Table::in_session(1);
    table.answer(fetch, exchanged(&[], vec![training(1)]));
    let child = table.started();
    table.done();
    (table, child)
}

pub(super) fn fault(entries: &[Entry]) -> (Fault, &str) {
    match &entries[0].finish.outcome {
        Outcome::Failed { fault, message } => (*fault, message),
        Outcome::Measured(_) => panic!("measured"),
    }
}

#[test]
fn a_warm_trainer_takes_the_next_job() {
    let (mut table, child) = busy();
    table.now += SECOND;
    table.says(child, r#"{"event":"started","provenance":{"device":"X"}}"#);
    table.says(child, FINISHED);
    let entries = table.spool();
    assert_eq!(entries[0].finish.outcome, measured(8.5, 3.0));
    assert_eq!(entries[0].finish.provenance.device, "X");
    let (_, exchange, _) = table.exchange();
    // A free slot, and one job in advance now that jobs are known to be short.
    assert_eq!((wants(&exchange), exchange.finishes.len()), (2, 0));
    let (deliver, exchange, _) = table.exchange();
    assert_eq!((wants(&exchange), exchange.finishes.len()), (0, 1));
    table.answer(deliver, exchanged(&[Ack::Recorded], vec![training(2)]));
    assert_eq!(table.next(), Effect::Acknowledged(vec![held(1)]));
    table.fed(child);
    table.done();
}

#[test]
fn after_a_fault_the_slot_waits_for_another_trainer() {
    let (mut table, child) = busy();
    table.says(
        child,
        r#"{"event":"failed","fault":"diverged","message":"NaN"}"#,
    );
    table.stopped(child, Duration::ZERO);
    let entries = table.spool();
    assert_eq!(fault(&entries), (Fault::Diverged, "NaN"));
    let (fetch, _, _) = table.exchange();
    table.exchange();
    table.answer(fetch, exchanged(&[], vec![training(2)]));
    table.done();
    table.ends(child, 0);
    assert_ne!(table.started(), child);
    table.done();
}

#[test]
fn a_cancelled_attempt_is_given_back_when_it_has_stopped() {
    let (mut table, child) = busy();
    assert_eq!(table.beat(Verdict::Stop), [held(1)]);
    table.stopped(child, 10 * SECOND);
    // Still held, and told to stop only once.
    assert_eq!(table.beat(Verdict::Stop), [held(1)]);
    table.done();
    table.ends(child, 75);
    let (release, given) = table.release();
    assert_eq!(given, [held(1)]);
    table.exchange();
    assert_eq!(table.beat(Verdict::Keep), []);
    table.answer(release, Reply::Released);
    table.done();
}

#[test]
fn what_an_attempt_wrote_arrives_before_it_is_given_back() {
    let (mut table, child) = busy();
    let say = |table: &mut Table, text: &str| {
        let (text, dropped) = (text.to_owned(), 0);
        table.tell(Event::Stderr {
            child,
            text,
            dropped,
        });
    };
    say(&mut table, "one\n");
    let (observe, _) = table.observe();
    table.beat(Verdict::Stop);
    table.stopped(child, 10 * SECOND);
    say(&mut table, "interrupted, saving\n");
    table.ends(child, 75);
    // What is on its way counts once.
    table.answer(observe, Reply::Observed(vec![Verdict::Stop]));
    table.exchange();
    let (observe, reports) = table.observe();
    assert_eq!(
        (reports.len(), &*reports[0].log),
        (1, "interrupted, saving\n")
    );
    table.reply(observe, lost());
    assert_eq!(table.beat(Verdict::Stop), [held(1)]);
    let (observe, again) = table.observe();
    assert_eq!(again, reports);
    table.answer(observe, Reply::Observed(vec![Verdict::Stop]));
    assert_eq!(table.release().1, [held(1)]);
    table.done();
}

#[test]
fn what_does_not_count_any_more_holds_up_nothing() {
    let (mut table, child) = busy();
    table.beat(Verdict::Stop);
    table.stopped(child, 10 * SECOND);
    table.says(child, r#"{"event":"epoch","epoch":1,"test_error":9}"#);
    table.ends(child, 75);
    let (observe, _) = table.observe();
    table.exchange();
    table.answer(observe, Reply::Observed(vec![Verdict::Fenced]));
    assert_eq!(table.release().1, [held(1)]);
    table.done();
}

#[test]
fn a_lost_release_is_repeated() {
    let (mut table, child) = busy();
    table.beat(Verdict::Stop);
    table.stopped(child, 10 * SECOND);
    table.ends(child, 75);
    let (release, given) = table.release();
    table.exchange();
    table.reply(release, lost());
    table.pass(SECOND);
    assert_eq!(table.release().1, given);
    table.done();
}

#[test]
fn a_measurement_counts_even_when_it_was_to_stop() {
    let (mut table, child) = busy();
    table.beat(Verdict::Stop);
    table.stopped(child, 10 * SECOND);
    table.says(child, FINISHED);
    assert_eq!(table.spool()[0].finish.outcome, measured(8.5, 3.0));
}

#[test]
fn a_fenced_attempt_is_killed_and_forgotten() {
    let (mut table, child) = busy();
    table.beat(Verdict::Fenced);
    table.stopped(child, Duration::ZERO);
    table.exchange();
    table.says(child, FINISHED);
    table.ends(child, 0);
    assert_eq!(table.beat(Verdict::Keep), []);
    table.done();
}

#[test]
fn garbage_is_a_crash_and_unknown_events_are_none() {
    let (mut table, child) = busy();
    table.says(child, r#"{"event":"confetti"}"#);
    table.done();
    table.says(child, "loss: 3");
    table.stopped(child, Duration::ZERO);
    let entries = table.spool();
    let (kind, message) = fault(&entries);
    assert_eq!(kind, Fault::Crashed);
    assert!(message.starts_with("broke the protocol"), "{message}");
}

#[test]
fn the_watchdog_learns_how_long_epochs_take() {
    let (mut table, child) = busy();
    let minutes = |minutes: u64| Duration::from_mins(minutes);
    // The first epoch may take two hours, and takes one.
    table.now += minutes(60);
    table.says(child, r#"{"event":"epoch","epoch":1}"#);
    let (_, reports) = table.observe();
    assert_eq!(reports[0].observations.len(), 1);
    // Twenty hours of patience from now on.
    table.pass(minutes(19 * 60));
    table.done();
    table.pass(minutes(61));
    table.stopped(child, Duration::ZERO);
    let entries = table.spool();
    let (kind, message) = fault(&entries);
    assert_eq!(kind, Fault::TimedOut);
    assert_eq!(message, "hangs: no line for 72000 s");
}

#[test]
fn silence_while_the_worker_itself_was_stopped_is_no_hang() {
    let (mut table, child) = busy();
    table.now += Duration::from_hours(3);
    table.settle();
    table.pass(Duration::from_hours(2));
    table.done();
    table.pass(2 * SECOND);
    table.stopped(child, Duration::ZERO);
}

#[test]
fn a_program_counts_when_it_has_exited() {
    let (mut table, fetch) = Table::in_session(1);
    table.answer(fetch, exchanged(&[], vec![program(1, "python3")]));
    let child = table.started();
    table.says(child, "epoch 1 of 1");
    table.says(child, r#"{"event":"finished","loss":0.25}"#);
    table.now += 2 * SECOND;
    table.settle();
    let (_, reports) = table.observe();
    assert_eq!(reports[0].log, "epoch 1 of 1\n");
    table.done();
    table.ends(child, 0);
    let entries = table.spool();
    let Outcome::Measured(measured) = &entries[0].finish.outcome else {
        panic!("not measured");
    };
    assert_eq!(measured.values, Metrics::from([("loss", 0.25)]));
    assert_eq!(entries[0].finish.provenance.trainer, "python3 train.py");
}

#[test]
fn every_metric_is_recorded_and_what_is_none_is_told() {
    let (mut table, child) = busy();
    let line = r#"{"event":"finished","test_error":8.5,"train_seconds":3,"distance":1.5,
        "train_loss":null,"val/acc":0.5,"note":"x",
        "metrics":{"test_error":77,"goal.10.epoch":2," bad":1,"worse":NaN}}"#;
    table.says(child, &line.replace('\n', ""));
    let entries = table.spool();
    let Outcome::Measured(measured) = &entries[0].finish.outcome else {
        panic!("not measured");
    };
    let values = [
        ("test_error", 8.5),
        ("distance", 1.5),
        ("val/acc", 0.5),
        ("goal.10.epoch", 2.0),
    ];
    assert_eq!(measured.values, Metrics::from(values));
    let log = &entries[0].reports[0].log;
    let told: Vec<_> = log.lines().map(|line| &line[..30]).collect();
    assert_eq!(
        told,
        [
            "warning: metric `train_loss` i",
            "warning: metric ` bad` is left",
            "warning: metric `worse` is lef"
        ]
    );
}

#[test]
fn a_program_that_is_not_allowed_does_not_run() {
    let (mut table, fetch) = Table::in_session(1);
    table.answer(fetch, exchanged(&[], vec![program(1, "rm")]));
    let entries = table.spool();
    let (kind, message) = fault(&entries);
    assert_eq!(kind, Fault::Crashed);
    assert!(message.contains("--allow-command rm"), "{message}");
}

#[test]
fn a_program_takes_the_slot_of_an_idle_trainer() {
    let (mut table, child) = busy();
    table.now += SECOND;
    table.says(child, FINISHED);
    table.spool();
    let (fetch, _, _) = table.exchange();
    table.exchange();
    table.answer(fetch, exchanged(&[], vec![program(2, "python3")]));
    table.stopped(child, 2 * SECOND);
    table.done();
    table.ends(child, 0);
    assert_ne!(table.started(), child);
    table.done();
}

/// A worker that has run so many null jobs, with its question for more.
fn after_null_jobs(count: u8) -> (Table, CallId) {
    let (mut table, fetch) = Table::in_session(1);
    table.answer(
        fetch,
        exchanged(&[], (100..100 + count).map(null).collect()),
    );
    table.spool();
    let (fetch, exchange, _) = table.exchange();
    assert_eq!(wants(&exchange), 1 + u32::from(count).min(64));
    let (deliver, _, _) = table.exchange();
    let acks = vec![Ack::Recorded; count.into()];
    table.answer(deliver, exchanged(&acks, Vec::new()));
    table.next();
    (table, fetch)
}

#[test]
fn trainings_after_null_jobs_are_not_held_in_bulk() {
    let (mut table, fetch) = after_null_jobs(100);
    let many: Vec<_> = (1..=65).map(training).collect();
    table.answer(fetch, exchanged(&[], many));
    let child = table.started();
    let (release, given) = table.release();
    assert_eq!(given, (2..=65).map(held).collect::<Vec<_>>());
    table.answer(release, Reply::Released);
    // Nothing more is asked for while nobody knows how long they take.
    table.done();
    table.now += SECOND;
    table.says(child, FINISHED);
    table.spool();
    assert_eq!(wants(&table.exchange().1), 2);
}

#[test]
fn programs_in_bulk_are_given_back_when_one_fails() {
    let (mut table, fetch) = Table::in_session(1);
    let python = |job| program(job, "python3");
    table.answer(fetch, exchanged(&[], vec![python(1)]));
    let child = table.started();
    table.now += Duration::from_millis(1);
    table.says(child, r#"{"event":"finished","loss":1}"#);
    table.ends(child, 0);
    table.spool();
    let (fetch, exchange, _) = table.exchange();
    assert_eq!(wants(&exchange), 2);
    table.exchange();
    table.answer(fetch, exchanged(&[], vec![python(2), python(3)]));
    let child = table.started();
    let (fetch, exchange, _) = table.exchange();
    assert_eq!(wants(&exchange), 2);
    table.answer(fetch, exchanged(&[], vec![python(4), python(5)]));
    table.exchange();
    table.ends(child, 1);
    // The next one takes the slot, and one waits.
    table.started();
    assert_eq!(fault(&table.spool()).0, Fault::Crashed);
    assert_eq!(table.release().1, [held(5)]);
}

#[test]
fn a_job_that_many_have_given_back_is_kept() {
    let (mut table, fetch) = after_null_jobs(100);
    let mut bounced = training(2);
    bounced.held.attempt = Attempt(9);
    table.answer(
        fetch,
        exchanged(&[], vec![training(1), bounced, training(3)]),
    );
    table.started();
    assert_eq!(table.release().1, [held(3)]);
    table.done();
}

#[test]
fn a_job_is_taken_once() {
    let (mut table, fetch) = Table::in_session(1);
    let twice = vec![training(1), training(1)];
    table.answer(fetch, exchanged(&[], twice));
    table.started();
    table.done();
}

#[test]
fn a_long_job_after_short_ones_is_not_queued_behind_for_ever() {
    let (mut table, child) = busy();
    table.now += SECOND;
    table.says(child, FINISHED);
    table.spool();
    let (fetch, exchange, _) = table.exchange();
    assert_eq!(wants(&exchange), 2);
    let (deliver, _, _) = table.exchange();
    table.answer(deliver, exchanged(&[Ack::Recorded], Vec::new()));
    table.next();
    table.answer(fetch, exchanged(&[], vec![training(2), training(3)]));
    table.fed(child);
    table.pass(61 * SECOND);
    let (release, given) = table.release();
    assert_eq!(given, [held(3)]);
    table.answer(release, Reply::Released);
    // Job 2 goes on, and no other job is taken meanwhile.
    table.pass(100 * SECOND);
    table.done();
}

#[test]
fn a_slot_whose_process_does_not_end_takes_no_jobs() {
    let (mut table, child) = busy();
    table.says(child, r#"{"event":"failed","fault":"diverged"}"#);
    table.stopped(child, Duration::ZERO);
    table.spool();
    let (fetch, _, _) = table.exchange();
    let (deliver, _, _) = table.exchange();
    table.answer(deliver, exchanged(&[Ack::Recorded], Vec::new()));
    table.next();
    table.answer(fetch, exchanged(&[], vec![training(2)]));
    table.pass(61 * SECOND);
    let (release, given) = table.release();
    assert_eq!(given, [held(2)]);
    table.answer(release, Reply::Released);
    table.pass(100 * SECOND);
    table.done();
    table.ends(child, 137);
    assert_eq!(wants(&table.exchange().1), 1);
}

#[test]
fn a_spec_that_cannot_be_read_is_invalid() {
    let (mut table, fetch) = Table::in_session(1);
    let mut unreadable = training(1);
    unreadable.spec = r#"{"optimizr":1}"#.to_owned();
    table.answer(fetch, exchanged(&[], vec![unreadable]));
    let entries = table.spool();
    assert_eq!(fault(&entries).0, Fault::Invalid);
}
