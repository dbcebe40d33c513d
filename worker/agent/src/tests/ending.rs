//! Drains and idleness.

use super::attempts::busy;
use super::*;

#[test]
fn a_drain_withdraws_stops_gives_back_delivers_and_ends() {
    let (mut table, fetch) = Table::in_session(2);
    table.answer(fetch, exchanged(&[], vec![training(1)]));
    let child = table.started();
    let (fetch, exchange, _) = table.exchange();
    let request = exchange.request;
    table.tell(Event::Signal);
    assert_eq!(table.next(), Effect::Abort(fetch));
    table.stopped(child, 20 * SECOND);
    // Asked again only for what may have been granted.
    let (fetch, exchange, wait) = table.exchange();
    assert_eq!((exchange.request, wants(&exchange)), (request, 0));
    assert_eq!(wait, Duration::ZERO);
    table.answer(fetch, exchanged(&[], vec![training(2)]));
    let (first, given) = table.release();
    assert_eq!(given, [held(2)]);
    table.answer(first, Reply::Released);
    table.done();
    table.ends(child, 75);
    let (second, given) = table.release();
    assert_eq!(given, [held(1)]);
    assert_eq!(table.agent.parting(), None);
    table.answer(second, Reply::Released);
    assert_eq!(table.next(), Effect::Exit(Exit::Done));
    table.done();
    assert_eq!(parting(&table), Some(1));
}

/// The session to which the worker says goodbye.
fn parting(table: &Table) -> Option<u64> {
    table.agent.parting().map(|owner| owner.session.0)
}

#[test]
fn an_outcome_is_delivered_before_the_end() {
    let (mut table, child) = busy();
    table.tell(Event::Signal);
    table.stopped(child, 20 * SECOND);
    table.says(child, r#"{"event":"finished","test_error":8}"#);
    table.spool();
    let (deliver, exchange, _) = table.exchange();
    assert_eq!(wants(&exchange), 0);
    table.ends(child, 75);
    table.done();
    table.answer(deliver, exchanged(&[Ack::Recorded], Vec::new()));
    assert_eq!(table.next(), Effect::Acknowledged(vec![held(1)]));
    assert_eq!(table.next(), Effect::Exit(Exit::Done));
    assert_eq!(parting(&table), Some(1));
}

#[test]
fn with_an_outcome_in_its_spool_a_worker_leaves_without_a_word() {
    let (mut table, child) = busy();
    table.says(child, r#"{"event":"finished","test_error":8}"#);
    table.spool();
    let _unanswered = table.exchange();
    table.effects.clear();
    table.tell(Event::Signal);
    table.pass(26 * SECOND);
    assert_eq!(table.effects.back(), Some(&Effect::Exit(Exit::Done)));
    // What it holds is that outcome's attempt: it is not to be given to others.
    assert_eq!(parting(&table), None);
}

#[test]
fn a_drain_ends_in_time_whatever_hangs() {
    let (mut table, child) = busy();
    table.tell(Event::Signal);
    table.stopped(child, 20 * SECOND);
    table.pass(24 * SECOND);
    table.done();
    table.pass(2 * SECOND);
    assert_eq!(table.next(), Effect::Exit(Exit::Done));
    // What it was training waits again at once.
    assert_eq!(parting(&table), Some(1));
}

#[test]
fn a_drain_does_not_wait_for_a_coordinator_that_is_away() {
    let mut table = Table::restored(config(1), vec![entry(1)], Vec::new());
    let Effect::Call { id, .. } = table.next() else {
        panic!("no hello");
    };
    table.reply(id, lost());
    table.tell(Event::Signal);
    table.pass(SECOND);
    let Effect::Call { id, .. } = table.next() else {
        panic!("no hello");
    };
    table.reply(id, lost());
    assert_eq!(table.next(), Effect::Exit(Exit::Done));
}

#[test]
fn a_second_signal_is_the_end() {
    let (mut table, child) = busy();
    table.tell(Event::Signal);
    table.stopped(child, 20 * SECOND);
    table.tell(Event::Signal);
    assert_eq!(table.next(), Effect::Exit(Exit::Interrupted));
    assert_eq!(parting(&table), Some(1));
    table.ends(child, 0);
    table.done();
}

#[test]
fn the_operator_drains_by_a_flag() {
    let (mut table, fetch) = Table::in_session(1);
    let reply = Reply::Exchanged {
        acks: Vec::new(),
        grants: vec![training(1)],
        drain: true,
    };
    table.answer(fetch, reply);
    let (release, given) = table.release();
    assert_eq!(given, [held(1)]);
    table.answer(release, Reply::Released);
    assert_eq!(table.next(), Effect::Exit(Exit::Done));
}

#[test]
fn an_idle_worker_ends_when_its_last_question_is_answered() {
    let idle = Config {
        exit_when_idle: Some(5 * SECOND),
        ..config(1)
    };
    let mut table = Table::new(idle);
    table.welcome(1, &[]);
    let (fetch, _, wait) = table.exchange();
    assert_eq!(wait, 5 * SECOND);
    table.pass(6 * SECOND);
    table.done();
    table.answer(fetch, exchanged(&[], Vec::new()));
    table.pass(SECOND);
    assert_eq!(table.next(), Effect::Exit(Exit::Done));
    table.done();
}

#[test]
fn without_a_coordinator_an_idle_worker_gives_up() {
    let idle = Config {
        exit_when_idle: Some(5 * SECOND),
        ..config(1)
    };
    let mut table = Table::new(idle);
    let unreachable = || Err(CallError::Unreachable("refused".to_owned()));
    let mut exit = None;
    while exit.is_none() && table.now < 60 * SECOND {
        while let Some(effect) = table.effects.pop_front() {
            match effect {
                Effect::Call { id, .. } => table.reply(id, unreachable()),
                Effect::Exit(how) => exit = Some(how),
                other => panic!("{other:?}"),
            }
        }
        table.pass(SECOND / 10);
    }
    assert!((5 * SECOND..6 * SECOND).contains(&table.now));
    let Some(Exit::Failed(why)) = exit else {
        panic!("{exit:?}");
    };
    assert!(why.contains("http://h:7070: refused") && why.contains("coordinator serve"));
    assert_eq!(parting(&table), None);
}
