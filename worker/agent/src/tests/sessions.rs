//! Sessions, heartbeats, and what happens when calls fail.

use super::*;

#[test]
fn a_start_is_hello_then_a_question_that_waits() {
    let mut table = Table::new(config(2));
    assert_eq!(table.welcome(1, &[]), []);
    let (_, exchange, wait) = table.exchange();
    assert_eq!((wants(&exchange), exchange.request), (2, 1));
    assert_eq!(wait, 30 * SECOND);
    table.done();
}

#[test]
fn heartbeats_keep_their_jittered_pace_whatever_else_fails() {
    let (mut table, _) = Table::in_session(1);
    table.beat(Verdict::Keep);
    let mut last = table.now;
    for _ in 0..20 {
        table.beat(Verdict::Keep);
        let pause = table.now.saturating_sub(last);
        assert!((8 * SECOND..=13 * SECOND).contains(&pause), "{pause:?}");
        last = table.now;
    }
}

#[test]
fn a_lost_reply_is_asked_for_again_as_it_was() {
    let (mut table, fetch) = Table::in_session(2);
    table.reply(fetch, lost());
    table.done();
    table.pass(SECOND);
    let (fetch, exchange, _) = table.exchange();
    assert_eq!((exchange.request, wants(&exchange)), (1, 2));
    table.answer(fetch, exchanged(&[], vec![training(1)]));
    table.started();
    let (_, exchange, _) = table.exchange();
    assert_eq!((exchange.request, wants(&exchange)), (2, 1));
    table.done();
}

#[test]
fn an_unanswered_hello_is_repeated_ever_more_slowly() {
    let mut table = Table::new(config(1));
    let mut hellos = 0;
    for _ in 0..600 {
        while let Some(effect) = table.effects.pop_front() {
            let Effect::Call {
                id,
                call: Call::Hello(_),
            } = effect
            else {
                panic!("{effect:?}");
            };
            hellos += 1;
            table.reply(id, lost());
        }
        table.pass(SECOND);
    }
    assert!((25..120).contains(&hellos), "{hellos} in ten minutes");
}

#[test]
fn a_stale_session_is_begun_anew_with_everything_held() {
    let (mut table, fetch) = Table::in_session(2);
    table.answer(fetch, exchanged(&[], vec![training(1), null(2)]));
    table.started();
    table.spool();
    // More jobs are asked for, and the outcome is on its way.
    let (fetch, _, _) = table.exchange();
    let (deliver, exchange, _) = table.exchange();
    assert_eq!(exchange.finishes.len(), 1);
    table.reply(fetch, stale());
    let mut aborted = vec![table.next()];
    while matches!(table.effects.front(), Some(Effect::Abort(_))) {
        aborted.push(table.next());
    }
    assert!(aborted.contains(&Effect::Abort(deliver)));
    let mut held_now = table.welcome(2, &[Verdict::Keep, Verdict::Keep]);
    held_now.sort();
    assert_eq!(held_now, [held(1), held(2)]);
    // An answer of the old session changes nothing.
    table.answer(deliver, exchanged(&[Ack::Recorded], vec![training(9)]));
    let (_, exchange, _) = table.exchange();
    assert_eq!(exchange.owner.session, SessionId(2));
    assert_eq!(exchange.finishes[0].held, held(2));
}

#[test]
fn who_loses_its_name_again_and_again_yields() {
    let (mut table, mut fetch) = Table::in_session(1);
    for session in 2.. {
        table.reply(fetch, stale());
        table.pass(31 * SECOND);
        table
            .effects
            .retain(|effect| !matches!(effect, Effect::Abort(_)));
        match table
            .effects
            .iter()
            .find(|effect| matches!(effect, Effect::Exit(_)))
        {
            Some(Effect::Exit(Exit::Displaced(why))) => {
                assert!(why.contains("--name"));
                assert_eq!(session, 7);
                return;
            }
            Some(other) => panic!("{other:?}"),
            None => {}
        }
        table.welcome(session, &[]);
        (fetch, _, _) = table.exchange();
    }
}

#[test]
fn a_name_that_another_worker_has_is_the_end() {
    let (mut table, fetch) = Table::in_session(1);
    table.reply(fetch, stale());
    table.pass(SECOND);
    let hello = table.effects.iter().find_map(|effect| match effect {
        Effect::Call {
            id,
            call: Call::Hello(_),
        } => Some(*id),
        _ => None,
    });
    table.effects.clear();
    let taken = CallError::NameTaken("gpu1 has it".to_owned());
    table.reply(hello.unwrap(), Err(taken));
    let exit = Exit::Displaced("gpu1 has it".to_owned());
    assert_eq!(table.next(), Effect::Exit(exit));
}

#[test]
fn a_name_is_taken_once() {
    let mut table = Table::new(Config {
        take_name: true,
        ..config(1)
    });
    let mut asked = Vec::new();
    for session in 1..=2 {
        let Some(Effect::Call {
            call: Call::Hello(hello),
            ..
        }) = table.effects.front()
        else {
            panic!("no hello");
        };
        asked.push(hello.takes_name);
        table.welcome(session, &[]);
        let (fetch, _, _) = table.exchange();
        table.reply(fetch, stale());
        table.pass(SECOND);
        table
            .effects
            .retain(|effect| !matches!(effect, Effect::Abort(_)));
    }
    assert_eq!(asked, [true, false]);
}

#[test]
fn another_protocol_is_the_end() {
    let mut table = Table::new(config(1));
    let Effect::Call { id, .. } = table.next() else {
        panic!("no hello");
    };
    let error = CallError::Protocol("protocol 1, not 2".to_owned());
    table.reply(id, Err(error));
    let exit = Exit::Failed("protocol 1, not 2".to_owned());
    assert_eq!(table.next(), Effect::Exit(exit));
    table.pass(10 * SECOND);
    table.done();
}

#[test]
fn a_coordinator_that_answers_with_nothing_is_not_pestered() {
    let (mut table, mut fetch) = Table::in_session(1);
    let began = table.now;
    for _ in 0..10 {
        table.answer(fetch, exchanged(&[], Vec::new()));
        table.pass(4 * SECOND);
        (fetch, _, _) = table.exchange();
    }
    assert!(table.now >= began + 40 * SECOND);
    table.done();
}

#[test]
fn a_store_that_lost_an_outcome_gets_it_again() {
    let recent = vec![entry(1), entry(2)];
    let mut table = Table::restored(config(1), Vec::new(), recent);
    // The newest is named first: 2, then 1.
    let named = table.welcome(1, &[Verdict::Fenced, Verdict::Keep]);
    assert_eq!(named, [held(2), held(1)]);
    let entries = table.spool();
    assert_eq!(entries, [entry(1)]);
    table.exchange();
    let (deliver, exchange, _) = table.exchange();
    assert_eq!(exchange.finishes, [entry(1).finish]);
    table.answer(deliver, exchanged(&[Ack::Recorded], Vec::new()));
    assert_eq!(table.next(), Effect::Acknowledged(vec![held(1)]));
    table.done();
}

#[test]
fn an_unreachable_coordinator_is_complained_of_every_minute_until_it_is_back() {
    let (mut table, mut fetch) = Table::in_session(1);
    let mut told = Vec::new();
    let end = 150 * SECOND;
    while table.now < end {
        table.reply(fetch, Err(CallError::Unreachable("refused".to_owned())));
        let at = table.agent.away.as_ref().and_then(|away| away.told);
        told.extend(at.filter(|at| told.last() != Some(at)));
        table.pass(31 * SECOND);
        table.skip_beats();
        (fetch, _, _) = table.exchange();
        table.effects.clear();
    }
    assert_eq!(told.len(), 3, "{told:?}");
    table.answer(fetch, exchanged(&[], Vec::new()));
    assert!(table.agent.away.is_none());
}
