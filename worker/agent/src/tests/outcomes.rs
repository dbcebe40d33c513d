//! Outcomes: to the disk, after their reports, to the coordinator, once.

use super::attempts::busy;
use super::*;

#[test]
fn null_jobs_are_answered_in_bulk_beside_the_question_for_more() {
    let (mut table, fetch) = Table::in_session(2);
    table.answer(fetch, exchanged(&[], vec![null(1), null(2)]));
    // One write for both.
    let entries = table.spool();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0].finish.outcome, measured(23.4, 0.0));
    // Jobs that take no time: as many per slot in advance as came in a row.
    let (fetch, exchange, wait) = table.exchange();
    assert_eq!((wants(&exchange), exchange.finishes.len()), (2 + 2 * 2, 0));
    assert_eq!(wait, Duration::ZERO);
    let (deliver, exchange, wait) = table.exchange();
    assert_eq!((wants(&exchange), exchange.finishes.len()), (0, 2));
    assert_eq!(wait, Duration::ZERO);
    // The question is still open; what ends meanwhile does not wait for it.
    table.now += Duration::from_millis(20);
    table.answer(
        deliver,
        exchanged(&[Ack::Recorded, Ack::AlreadyRecorded], Vec::new()),
    );
    assert_eq!(table.next(), Effect::Acknowledged(vec![held(1), held(2)]));
    let many: Vec<_> = (3..103).map(null).collect();
    table.answer(fetch, exchanged(&[], many));
    assert_eq!(table.spool().len(), 100);
    let (fetch, exchange, _) = table.exchange();
    assert_eq!(wants(&exchange), 2 + 2 * 64);
    assert_eq!(table.exchange().1.finishes.len(), 100);
    // The queue is empty, so the next jobs may be of another sort.
    table.answer(fetch, exchanged(&[], Vec::new()));
    let (_, exchange, wait) = table.exchange();
    assert_eq!((wants(&exchange), wait), (2, 30 * SECOND));
    table.done();
}

#[test]
fn a_lost_acknowledgement_is_asked_for_again_and_no_outcome_overtakes() {
    let (mut table, fetch) = Table::in_session(2);
    table.answer(fetch, exchanged(&[], vec![null(1)]));
    table.spool();
    let (fetch, _, _) = table.exchange();
    let (deliver, first, _) = table.exchange();
    table.reply(deliver, lost());
    table.answer(fetch, exchanged(&[], vec![null(2)]));
    table.spool();
    table.exchange();
    table.pass(SECOND);
    let (deliver, again, _) = table.exchange();
    assert_eq!(again, first);
    table.answer(deliver, exchanged(&[Ack::Recorded], Vec::new()));
    assert_eq!(table.next(), Effect::Acknowledged(vec![held(1)]));
    let (_, exchange, _) = table.exchange();
    assert_eq!(exchange.finishes[0].held, held(2));
    table.done();
}

#[test]
fn what_a_slow_link_does_not_take_goes_in_pieces() {
    let with_log = |job| {
        let mut kept = entry(job);
        kept.reports.push(Report {
            held: held(job),
            observations: Vec::new(),
            log_sequence: 1,
            log: "x".repeat(32 << 10),
        });
        kept
    };
    let logs = (1..=20).map(with_log);
    let open: Vec<_> = logs.chain((21..=24).map(entry)).collect();
    let verdicts = vec![Verdict::Keep; open.len()];
    let mut table = Table::restored(config(1), open, Vec::new());
    table.welcome(1, &verdicts);
    let (observe, reports) = table.observe();
    assert_eq!(reports.len(), 20);
    let (deliver, first, _) = table.exchange();
    assert_eq!(first.finishes.len(), 4);
    table.reply(observe, lost());
    table.reply(deliver, lost());
    table.pass(SECOND);
    let (_, reports) = table.observe();
    assert_eq!(reports.len(), 15);
    let (deliver, second, _) = table.exchange();
    assert_eq!(second.request, first.request);
    assert_eq!(second.finishes, first.finishes[..2]);
    table.answer(deliver, exchanged(&[Ack::Recorded; 2], Vec::new()));
    table.next();
    assert_eq!(table.exchange().1.finishes, first.finishes[2..]);
}

#[test]
fn reports_arrive_before_the_outcome() {
    let (mut table, child) = busy();
    table.says(child, r#"{"event":"epoch","epoch":1,"test_error":9}"#);
    let (observe, _) = table.observe();
    table.says(child, r#"{"event":"epoch","epoch":2,"test_error":8}"#);
    let (text, dropped) = ("bye\n".to_owned(), 0);
    table.tell(Event::Stderr {
        child,
        text,
        dropped,
    });
    table.says(child, r#"{"event":"finished","test_error":8}"#);
    let entries = table.spool();
    assert_eq!(entries[0].reports.len(), 2);
    table.exchange();
    table.done();
    // The first report's answer comes after the end.
    table.answer(observe, Reply::Observed(vec![Verdict::Keep]));
    let (observe, reports) = table.observe();
    assert_eq!(
        (reports[0].observations[0].epoch, reports[0].log.as_str()),
        (2, "bye\n")
    );
    table.reply(observe, lost());
    table.done();
    table.pass(SECOND);
    let (observe, _) = table.observe();
    table.answer(observe, Reply::Observed(vec![Verdict::Fenced]));
    let (_, exchange, _) = table.exchange();
    assert_eq!(exchange.finishes[0].held, held(1));
    table.done();
}

#[test]
fn a_verdict_on_an_ended_attempt_does_not_drop_its_outcome() {
    let (mut table, child) = busy();
    table.says(child, r#"{"event":"finished","test_error":8}"#);
    table.spool();
    table.exchange();
    let (deliver, _, _) = table.exchange();
    assert_eq!(table.beat(Verdict::Fenced), [held(1)]);
    table.answer(deliver, exchanged(&[Ack::Stale], Vec::new()));
    assert_eq!(table.next(), Effect::Acknowledged(vec![held(1)]));
    table.done();
}

#[test]
fn a_refused_measurement_becomes_a_fault() {
    let (mut table, child) = busy();
    table.says(child, r#"{"event":"finished","test_error":8}"#);
    table.spool();
    table.exchange();
    let (deliver, _, _) = table.exchange();
    table.answer(deliver, exchanged(&[Ack::Refused], Vec::new()));
    let entries = table.spool();
    assert!(matches!(entries[0].finish.outcome, Outcome::Failed { .. }));
    let (deliver, _, _) = table.exchange();
    table.answer(deliver, exchanged(&[Ack::Recorded], Vec::new()));
    assert_eq!(table.next(), Effect::Acknowledged(vec![held(1)]));
    table.done();
}

#[test]
fn no_text_is_longer_than_the_coordinator_takes() {
    let (mut table, child) = busy();
    let long = "ä".repeat(100 << 10);
    let started = format!(r#"{{"event":"started","provenance":{{"device":"{long}"}}}}"#);
    table.says(child, &started);
    table.says(child, &format!(r#"{{"event":"epoch","epoch":"{long}"}}"#));
    table.stopped(child, Duration::ZERO);
    let finish = table.spool().remove(0).finish;
    assert_eq!(finish.provenance.device.len(), 1 << 10);
    let Outcome::Failed { message, .. } = finish.outcome else {
        panic!("measured");
    };
    assert!(message.starts_with("broke the protocol: its `epoch` line"));
    assert!(message.len() <= swath_model::limits::MESSAGE_BYTES);
}

#[test]
fn a_full_disk_stops_new_jobs_but_loses_nothing() {
    let (mut table, fetch) = Table::in_session(1);
    table.answer(fetch, exchanged(&[], vec![null(1)]));
    let Effect::Spool(entries) = table.next() else {
        panic!("nothing to spool");
    };
    let (fetch, _, _) = table.exchange();
    let held_now: Vec<_> = entries.iter().map(|entry| entry.finish.held).collect();
    table.tell(Event::SpoolFailed {
        held: held_now.clone(),
        error: "no space".to_owned(),
    });
    // Offered from memory.
    let (deliver, exchange, _) = table.exchange();
    assert_eq!((exchange.finishes.len(), wants(&exchange)), (1, 0));
    table.answer(fetch, exchanged(&[], Vec::new()));
    table.done();
    table.reply(deliver, lost());
    // Tried again while it is not acknowledged.
    let mut deliver = None;
    table.pass(6 * SECOND);
    table.skip_beats();
    while let Some(effect) = table.effects.pop_front() {
        match effect {
            Effect::Spool(entries) => assert_eq!(entries.len(), 1),
            Effect::Call { id, .. } => deliver = Some(id),
            other => panic!("{other:?}"),
        }
        table.skip_beats();
    }
    table.tell(Event::SpoolFailed {
        held: held_now,
        error: "no space".to_owned(),
    });
    table.answer(deliver.unwrap(), exchanged(&[Ack::Recorded], Vec::new()));
    assert_eq!(table.next(), Effect::Acknowledged(vec![held(1)]));
    table.done();
    // Then the disk is probed, and jobs are taken again when it is well.
    table.pass(6 * SECOND);
    assert_eq!(table.next(), Effect::Spool(Vec::new()));
    table.done();
    table.tell(Event::Spooled(Vec::new()));
    assert!(wants(&table.exchange().1) > 0);
    table.done();
}

#[test]
fn a_disk_that_is_well_again_gets_what_it_had_refused() {
    let (mut table, fetch) = Table::in_session(1);
    table.answer(fetch, exchanged(&[], vec![null(1)]));
    assert!(matches!(table.next(), Effect::Spool(_)));
    let (fetch, _, _) = table.exchange();
    table.answer(fetch, exchanged(&[], vec![null(2)]));
    table.exchange();
    table.tell(Event::SpoolFailed {
        held: vec![held(1)],
        error: "no space".to_owned(),
    });
    assert_eq!(table.spool()[0].finish.held, held(2));
    table.exchange();
    // It is not acknowledged, and must not exist only in memory.
    assert_eq!(table.spool()[0].finish.held, held(1));
    table.done();
}

#[test]
fn a_restart_delivers_what_the_spool_kept() {
    let mut kept = entry(3);
    kept.reports.push(Report {
        held: held(3),
        observations: Vec::new(),
        log_sequence: 4,
        log: "x\n".to_owned(),
    });
    let mut table = Table::restored(config(1), vec![kept, entry(4)], Vec::new());
    table.welcome(1, &[Verdict::Keep, Verdict::Fenced]);
    let (observe, reports) = table.observe();
    assert_eq!(reports[0].log_sequence, 4);
    let (deliver, exchange, _) = table.exchange();
    // It asks for a job on the way.
    assert_eq!(
        (exchange.finishes.clone(), wants(&exchange)),
        (vec![entry(4).finish], 1)
    );
    table.done();
    table.answer(observe, Reply::Observed(vec![Verdict::Keep]));
    table.answer(deliver, exchanged(&[Ack::Stale], Vec::new()));
    assert_eq!(table.next(), Effect::Acknowledged(vec![held(4)]));
    let (_, exchange, _) = table.exchange();
    assert_eq!(
        (exchange.finishes.clone(), wants(&exchange)),
        (vec![entry(3).finish], 1)
    );
    table.done();
}

#[test]
fn outcomes_of_short_jobs_wait_for_each_other_while_jobs_wait_for_slots() {
    let (mut table, fetch) = Table::in_session(1);
    let many = |from: u8, to| (from..to).map(|job| program(job, "python3")).collect();
    let child = |effects: &[Effect]| {
        let start = |effect: &Effect| match effect {
            Effect::Start { child, .. } => Some(*child),
            _ => None,
        };
        effects.iter().find_map(start).expect("a start")
    };
    let spooled = |effects: &[Effect]| -> Vec<Held> {
        let entries = effects.iter().filter_map(|effect| match effect {
            Effect::Spool(entries) => Some(entries),
            _ => None,
        });
        entries.flatten().map(|entry| entry.finish.held).collect()
    };
    // Ends a program after a millisecond, and returns what happens then.
    let end = |table: &mut Table, child| -> Vec<Effect> {
        table.effects.clear();
        table.now += Duration::from_millis(1);
        table.says(child, r#"{"event":"finished","loss":1}"#);
        table.ends(child, 0);
        table.effects.drain(..).collect()
    };
    table.answer(fetch, exchanged(&[], many(1, 2)));
    let first = table.started();
    table.says(first, r#"{"event":"finished","loss":1}"#);
    table.ends(first, 0);
    assert_eq!(table.spool().len(), 1);
    let (fetch, _, _) = table.exchange();
    let (deliver, _, _) = table.exchange();
    table.answer(fetch, exchanged(&[], many(2, 6)));
    table.answer(deliver, exchanged(&[Ack::Recorded], Vec::new()));
    let second = child(table.effects.make_contiguous());
    // Within 4 ms of that delivery two more end; they are written together.
    let effects = end(&mut table, second);
    assert_eq!(spooled(&effects), []);
    let effects = end(&mut table, child(&effects));
    assert_eq!(spooled(&effects), []);
    table.pass(Duration::from_millis(2));
    assert_eq!(spooled(table.effects.make_contiguous()), [held(2), held(3)]);
    table.tell(Event::Spooled(vec![held(2), held(3)]));
    // The next one is too late for them, and has nothing to wait for: nothing
    // was delivered since.
    let effects = end(&mut table, child(&effects));
    assert_eq!(spooled(&effects), [held(4)]);
}

#[test]
fn what_is_gone_from_the_disk_is_written_again_before_new_jobs_are_taken() {
    let (mut table, fetch) = Table::in_session(1);
    table.answer(fetch, exchanged(&[], vec![null(1)]));
    table.spool();
    let (fetch, _, _) = table.exchange();
    table.exchange();
    table.tell(Event::SpoolLost {
        error: "removed".to_owned(),
    });
    table.answer(fetch, exchanged(&[], Vec::new()));
    table.done();
    table.pass(6 * SECOND);
    table.skip_beats();
    assert_eq!(table.spool()[0].finish.held, held(1));
    assert!(wants(&table.exchange().1) > 0);
}
