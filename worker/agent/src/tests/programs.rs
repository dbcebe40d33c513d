//! What programs print, and how they end.

use swath_model::metrics::Metrics;
use swath_model::outcome::Fault;

use super::attempts::fault;
use super::*;

const FINISHED: &str = r#"{"event":"finished","loss":0.5}"#;

/// How a program ends that writes these lines and exits with code 0.
fn ends_after(lines: &[&str]) -> Entry {
    let lines = lines.iter().map(|line| Line::Text((*line).to_owned()));
    ends(lines, End::Exit(0))
}

/// How a program ends that writes these lines.
fn ends(lines: impl IntoIterator<Item = Line>, end: End) -> Entry {
    let (mut table, fetch) = Table::in_session(1);
    table.answer(fetch, exchanged(&[], vec![program(1, "python3")]));
    let child = table.started();
    for line in lines {
        table.tell(Event::Line { child, line });
    }
    table.tell(Event::Exited { child, end });
    let entries = table.effects.into_iter().filter_map(|effect| match effect {
        Effect::Spool(entries) => Some(entries),
        _ => None,
    });
    entries.flatten().next().expect("an outcome")
}

#[test]
fn a_number_that_is_not_finite_is_divergence_and_text_is_the_programs_fault() {
    let diverged = [
        (r#""loss":NaN"#, "its metric `loss` is NaN"),
        (r#""loss": -Infinity"#, "its metric `loss` is -Infinity"),
        (r#""loss":1e400"#, "its metric `loss` is Infinity"),
        (r#""metrics":{"loss":NaN}"#, "its metric `loss` is NaN"),
    ];
    let crashed = [
        (r#""loss":null"#, "`loss` of its `finished` line is null"),
        (
            r#""loss":"nan""#,
            "`loss` of its `finished` line is \"nan\"",
        ),
        (r#""loss":[1.0]"#, "`loss` of its `finished` line is [1.0]"),
        (r#""los":NaN"#, "its `finished` line has no `loss`"),
    ];
    let diverged = diverged.map(|(field, begins)| (Fault::Diverged, field, begins));
    let crashed = crashed.map(|(field, begins)| (Fault::Crashed, field, begins));
    for (wanted, field, begins) in diverged.into_iter().chain(crashed) {
        let line = format!(r#"{{"event":"finished",{field}}}"#);
        let entries = [ends_after(&[&line])];
        let (found, message) = fault(&entries);
        assert_eq!(found, wanted, "{field}");
        assert!(message.starts_with(begins), "{field}: {message}");
    }
}

#[test]
fn an_epoch_without_a_finite_number_is_told_once_and_costs_nothing() {
    let entry = ends_after(&[
        r#"{"event":"epoch","epoch":1,"loss":NaN,"lr":0.1}"#,
        r#"{"event":"epoch","epoch":2,"loss":NaN,"lr":[0.1],"metrics":{"acc":Infinity}}"#,
        r#"{"event":"finished","loss":0.5}"#,
    ]);
    assert_eq!(entry.finish.outcome.fault(), None);
    let seen: Vec<_> = entry
        .reports
        .iter()
        .flat_map(|it| &it.observations)
        .collect();
    let values = seen.iter().map(|it| it.values.clone());
    let wanted = [Metrics::from([("lr", 0.1)]), Metrics::new()];
    assert_eq!(values.collect::<Vec<_>>(), wanted);
    let left_out =
        |name| format!("warning: metric `{name}` is left out: it is not a finite number\n");
    assert_eq!(log(&entry), ["loss", "lr", "acc"].map(left_out).concat());
}

#[test]
fn metrics_that_find_no_room_are_told_and_the_own_one_always_has_it() {
    let beside: Vec<String> = (0..70).map(|at| format!(r#""a{at:02}":{at}"#)).collect();
    let all = beside.join(",");
    let entry = ends_after(&[
        &format!(r#"{{"event":"epoch","epoch":1,{all},"loss":0.7}}"#),
        &format!(r#"{{"event":"epoch","epoch":2,"metrics":{{{all},"loss":0.6}}}}"#),
        &format!(r#"{{"event":"finished","epoch":2,{all},"loss":0.5}}"#),
    ]);
    assert_eq!(loss(&entry), Some(0.5));
    let seen = entry.reports.iter().flat_map(|it| &it.observations);
    let losses: Vec<_> = seen
        .map(|it| (it.values.len(), it.values.get("loss")))
        .collect();
    assert_eq!(losses, [(64, Some(0.7)), (64, Some(0.6))]);
    let log = log(&entry);
    let told = "warning: metric `a63` and 6 more are left out: a training has at most 64 metrics \
                of its own\n";
    assert!(log.contains(told), "{log}");
    assert!(!log.contains("`epoch`"), "{log}");
}

#[test]
fn an_epoch_with_an_odd_number_is_kept_and_told_once() {
    let odd = ["-1", "1.5", "1e300", "\"3/10\"", "NaN"];
    let odd = odd.map(|epoch| format!(r#"{{"event":"epoch","epoch":{epoch},"loss":0.7}}"#));
    let mut lines = vec![
        r#"{"event":"epoch","loss":0.9}"#,
        r#"{"event":"epoch","epoch":"2","loss":0.8}"#,
    ];
    lines.extend(odd.iter().map(String::as_str));
    lines.extend([r#"{"event":"epoch","epoch":2,"loss":0.6}"#, FINISHED]);
    let entry = ends_after(&lines);
    let seen = entry.reports.iter().flat_map(|it| &it.observations);
    let seen = seen.map(|it| (it.epoch, it.values.get("loss")));
    let losses = [0.9, 0.8, 0.7, 0.7, 0.7, 0.7, 0.7, 0.6];
    assert!(seen.eq((1..).zip(losses.map(Some))));
    let log = log(&entry);
    assert_eq!(log.lines().count(), 4, "{log}");
    assert!(log.contains("`epoch` is no number in 2 epochs;"), "{log}");
}

fn log(entry: &Entry) -> String {
    let reports = entry.reports.iter();
    reports.map(|report| report.log.as_str()).collect()
}

fn loss(entry: &Entry) -> Option<f64> {
    match &entry.finish.outcome {
        Outcome::Measured(measured) => measured.values.get("loss"),
        Outcome::Failed { .. } => None,
    }
}

#[test]
fn what_is_not_understood_is_a_line_of_the_log() {
    let lines = [
        "",
        "loss: 3",
        "{\"loss\": 1}",
        r#"{"event": "epoch finished", "level": "info", "epoch": "3/10"}"#,
        r#"{"event": "finished", "level": "info", "logger": "trainer"}"#,
        r#"{"event": "failed", "what": "to download, retrying"}"#,
        r#"{"event": "epoch", "lr": 4}"#,
        r#"{"event": "epoch", "epoch": "3/10"}"#,
        r#"{"event": "epoch", "epoch": 5000000000}"#,
        r#"{"event": "finished", "loss": 0"#,
        "{'event': 'finished', 'loss': 5.0}",
    ];
    let all: Vec<_> = lines.into_iter().chain([FINISHED, "Bye!"]).collect();
    let entry = ends_after(&all);
    assert_eq!(loss(&entry), Some(0.5));
    assert_eq!(log(&entry), lines.join("\n") + "\nBye!\n");
}

#[test]
fn an_event_is_found_among_text_and_the_text_is_kept() {
    let json = r#"{"event":"epoch","epoch":1}"#;
    let entry = ends_after(&[
        &format!("12:00 INFO {json}{FINISHED}"),
        &format!("\u{1b}[32m{json}\u{1b}[0m"),
    ]);
    assert_eq!(loss(&entry), Some(0.5));
    assert_eq!(log(&entry), "12:00 INFO \n");
}

#[test]
fn an_event_may_take_several_lines() {
    let pretty = "{\n  \"event\": \"finished\",\n  \"loss\": 0.5,\n  \"metrics\": {\n  }\n}";
    let lines: Vec<_> = ["{", "not JSON"]
        .into_iter()
        .chain(pretty.lines())
        .collect();
    let entry = ends_after(&lines);
    assert_eq!(loss(&entry), Some(0.5));
    assert_eq!(log(&entry), lines.join("\n") + "\n");
}

#[test]
fn without_a_measurement_the_message_says_what_was_printed() {
    let cases = [
        (
            r#"{"event": "finished", "loss": 0"#,
            "a line with an event is not JSON: EOF",
        ),
        (
            "{'event': 'finished', 'loss': 5.0}",
            "a line with an event is a Python dict",
        ),
        (
            r#"{"event": "failed", "what": "x"}"#,
            "its `failed` line cannot be read: missing field `fault`",
        ),
    ];
    for (line, begins) in cases {
        let entries = [ends_after(&["epoch 1", line])];
        let (kind, message) = fault(&entries);
        assert_eq!(kind, Fault::Crashed, "{line}");
        assert!(message.starts_with(begins), "{message}");
        assert!(message.ends_with(line), "{message}");
    }
}

#[test]
fn a_warning_of_the_worker_is_no_reason_of_a_fault() {
    let epoch = r#"{"event":"epoch","epoch":1,"lr":NaN}"#;
    let lines = ["no luck", epoch].map(|line| Line::Text(line.to_owned()));
    let entries = [ends(lines, End::Exit(1))];
    assert_eq!(fault(&entries), (Fault::Crashed, "exit code 1: no luck"));
}

#[test]
fn a_fault_says_on_which_stream_it_quotes_the_end() {
    let lines = ["epoch 1", "no luck"].map(|line| Line::Text(line.to_owned()));
    let entries = [ends(lines, End::Exit(1))];
    insta::assert_snapshot!(fault(&entries).1, @r"
    exit code 1: no luck

    stdout ended with:
    epoch 1
    no luck
    ");
}

#[test]
fn fields_that_cannot_be_read_are_told_once() {
    let started = r#"{"event":"started","epoch":"one","total_epochs":"ten"}"#;
    let epoch = r#"{"event":"epoch","epoch":1.0,"step":-1,"lr":[0.1]}"#;
    let entry = ends_after(&[started, epoch, epoch, FINISHED]);
    assert_eq!(loss(&entry), Some(0.5));
    let seen = entry.reports.iter().flat_map(|it| &it.observations);
    assert!(seen.map(|it| it.epoch).eq([1, 1]));
    let told = [
        "warning: `epoch` of a line `started` is left out: it cannot be read",
        "warning: `total_epochs` of a line `started` is left out: it cannot be read",
        "warning: `step` of a line `epoch` is left out: it cannot be read",
        "warning: metric `lr` is left out: it is not a finite number",
    ];
    assert_eq!(log(&entry).lines().collect::<Vec<_>>(), told);
}

#[test]
fn a_long_line_is_kept_shortened_and_its_end_is_read() {
    let long = Line::Long {
        head: "[0.1, 0.1".to_owned(),
        dropped: 7,
        tail: format!(", 0.1] {FINISHED}"),
    };
    let entry = ends([Line::TooLong, long], End::Exit(0));
    assert_eq!(loss(&entry), Some(0.5));
    let chunks = entry.reports.iter().map(|it| (it.log_sequence, &*it.log));
    let wanted = [(9, "[0.1, 0.1"), (9 + 7 + 8, ", 0.1] \n")];
    assert_eq!(chunks.collect::<Vec<_>>(), wanted);
}

#[test]
fn what_was_measured_counts_however_the_program_ends() {
    let signal = |signal| End::Signal { signal, oom: false };
    let endings = [
        (End::Exit(1), "exit code 1"),
        (End::Exit(12), "out of memory"),
        (signal(11), "killed by signal 11 (SIGSEGV)"),
        (signal(15), "killed by signal 15 (SIGTERM)"),
    ];
    for (end, how) in endings {
        let entry = ends([Line::Text(FINISHED.to_owned())], end);
        assert_eq!(loss(&entry), Some(0.5), "{how}");
        let wanted =
            "warning: the program did not end well after its `finished` line, which counts";
        assert_eq!(log(&entry), format!("{wanted}: {how}\n"));
    }
    let failed = r#"{"event":"failed","fault":"crashed","message":"late"}"#;
    let entry = ends_after(&[FINISHED, failed]);
    assert_eq!(loss(&entry), Some(0.5));
    assert!(log(&entry).ends_with("which counts: late\n"));
}

#[test]
fn a_program_that_does_not_speak_the_protocol_ends_with_plain_codes() {
    let epoch = r#"{"event":"epoch","epoch":1,"loss":0.7}"#;
    let ended = |line: &str, code| {
        let line = Line::Text(line.to_owned());
        let entries = [ends([line], End::Exit(code))];
        fault(&entries).0
    };
    for (code, agreed) in [
        (75, Fault::Lost),
        (11, Fault::Invalid),
        (12, Fault::OutOfMemory),
    ] {
        assert_eq!(ended("training", code), Fault::Crashed, "{code}");
        assert_eq!(ended(r#"{"event":"epoch"}"#, code), Fault::Crashed);
        assert_eq!(ended(epoch, code), agreed, "{code}");
    }
    assert_eq!(ended("training", 10), Fault::Diverged);
}

#[test]
fn the_last_measurement_counts() {
    let entry = ends_after(&[FINISHED, r#"{"event":"finished","loss":0.7}"#]);
    assert_eq!(loss(&entry), Some(0.7));
    let entry = ends_after(&[FINISHED, r#"{"event":"finished","lose":0.7}"#]);
    assert_eq!(loss(&entry), Some(0.5));
}

#[test]
fn a_program_that_hangs_after_its_measurement_is_ended_and_counts() {
    let (mut table, fetch) = Table::in_session(1);
    table.answer(fetch, exchanged(&[], vec![program(1, "python3")]));
    let child = table.started();
    table.done();
    table.says(child, FINISHED);
    table.pass(Duration::from_hours(2) + 2 * SECOND);
    table.stopped(child, Duration::ZERO);
    assert_eq!(loss(&table.spool()[0]), Some(0.5));
}

#[test]
fn what_cannot_be_killed_keeps_the_slot_and_not_the_outcome() {
    let (mut table, fetch) = Table::in_session(1);
    table.answer(fetch, exchanged(&[], vec![program(1, "python3")]));
    let child = table.started();
    table.done();
    table.says(child, FINISHED);
    table.tell(Event::Remains {
        child,
        end: End::Exit(0),
        processes: "7 (sudo)".to_owned(),
    });
    assert_eq!(loss(&table.spool()[0]), Some(0.5));
    let (deliver, exchange, _) = table.exchange();
    assert_eq!(wants(&exchange), 0);
    table.answer(deliver, exchanged(&[Ack::Recorded], Vec::new()));
    table.next();
    table.pass(100 * SECOND);
    table.done();
    table.ends(child, 0);
    assert!(wants(&table.exchange().1) > 0);
}
