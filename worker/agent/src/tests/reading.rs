//! Programs as they are: how they are called, and numbers that they write in
//! their own way.

use std::collections::BTreeMap;

use swath_model::metrics::Metrics;
use swath_model::needs::Lack;
use swath_model::offer::DeviceAbout;
use swath_model::outcome::{Fault, Observation};
use swath_model::program::Launch;

use super::attempts::fault;
use super::*;

fn asked(read: &serde_json::Value, launch: Launch) -> Grant {
    let trainer = json!({
        "command": ["python3", "t.py", "--lr={lr}", "{seed}", "{out}"],
        "arguments": "template",
        "metric": "val/acc",
        "read": read,
        "environment": { "MODE": "fast" },
    });
    let spec = json!({ "trainer": trainer, "params": { "lr": 1.0 }, "seed": 7 });
    Grant {
        launch,
        ..grant(1, &spec)
    }
}

/// A table whose only slot runs the program, and its child.
fn running(grant: Grant) -> (Table, ChildId) {
    let (mut table, fetch) = Table::in_session(1);
    table.answer(fetch, exchanged(&[], vec![grant]));
    let child = table.started();
    (table, child)
}

/// How the program ends after these events and exit code 0.
fn ends_after(read: &serde_json::Value, events: impl Fn(ChildId) -> Vec<Event>) -> Entry {
    let (mut table, child) = running(asked(read, Launch::default()));
    for event in events(child) {
        table.tell(event);
    }
    let end = End::Exit(0);
    table.tell(Event::Exited { child, end });
    spooled(table).remove(0)
}

/// The outcomes that a table has written.
fn spooled(table: Table) -> Vec<Entry> {
    let entries = table.effects.into_iter().filter_map(|effect| match effect {
        Effect::Spool(entries) => Some(entries),
        _ => None,
    });
    entries.flatten().collect()
}

fn lines(child: ChildId, lines: &[&str]) -> Vec<Event> {
    let lines = lines.iter().map(|line| Event::Line {
        child,
        line: Line::Text((*line).to_owned()),
    });
    lines.collect()
}

fn epochs(entry: &Entry) -> Vec<&Observation> {
    let reports = entry.reports.iter();
    reports.flat_map(|it| &it.observations).collect()
}

fn values(entry: &Entry) -> &Metrics {
    match &entry.finish.outcome {
        Outcome::Measured(measured) => &measured.values,
        failed @ Outcome::Failed { .. } => panic!("{failed:?}"),
    }
}

#[test]
fn a_program_gets_its_parameters_and_what_tells_its_attempt() {
    let launch = Launch {
        directory: Some("/code".to_owned()),
        sweep: Some("digits".to_owned()),
        local: BTreeMap::from([("data".to_owned(), "\"/d\"".to_owned())]),
        ..Launch::default()
    };
    let (mut table, fetch) = Table::in_session(1);
    let read = json!({ "json": "{out}/r.json" });
    table.answer(fetch, exchanged(&[], vec![asked(&read, launch)]));
    let Effect::Start {
        program: Program::Command(line),
        ..
    } = table.next()
    else {
        panic!("nothing is started");
    };
    let job = held(1).job;
    let out = format!("/out/{}-1", job.short());
    assert_eq!(line.argv, ["python3", "t.py", "--lr=1.0", "7", &*out]);
    assert_eq!(line.directory.as_deref(), Some("/code"));
    assert!(!line.takes_stdin);
    let spec: serde_json::Value = serde_json::from_str(&line.spec).unwrap();
    assert_eq!(spec["params"], json!({ "lr": 1.0, "data": "/d" }));
    let wanted: BTreeMap<String, String> = [
        ("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
        ("MODE", "fast"),
        ("SWATH_ATTEMPT", "1"),
        ("SWATH_DEVICE", "cpu"),
        ("SWATH_DEVICES", "cpu"),
        ("SWATH_JOB", &job.to_string()),
        ("SWATH_OUT", &out),
        ("SWATH_REPLICATE", "1"),
        ("SWATH_SEED", "7"),
        ("SWATH_SWEEP", "digits"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    assert_eq!(line.environment, wanted);
    assert_eq!(line.asked, ["MODE".to_owned()].into());
    let read = swath_model::program::Read::Json(format!("{out}/r.json"));
    assert_eq!(line.read, Some(read));
}

#[test]
fn a_program_sees_the_gpu_of_its_slot_as_its_first() {
    let device = Device::Cuda(3);
    let mut config = config(1);
    config.about.offer.slots = vec![device];
    config.gpus = BTreeMap::from([(3, "GPU-x".to_owned())]);
    config.about.offer.devices = vec![DeviceAbout {
        device,
        model: "NVIDIA H100".to_owned(),
        memory_bytes: 0,
    }];
    let mut table = Table::new(config);
    table.welcome(1, &[]);
    let (fetch, ..) = table.exchange();
    let grant = Grant {
        placement: device.into(),
        ..asked(&json!({ "csv": "r" }), Launch::default())
    };
    table.answer(fetch, exchanged(&[], vec![grant]));
    let Effect::Start {
        child,
        program: Program::Command(line),
        ..
    } = table.next()
    else {
        panic!("nothing is started");
    };
    assert_eq!(line.environment["CUDA_VISIBLE_DEVICES"], "GPU-x");
    assert_eq!(line.environment["SWATH_DEVICE"], "cuda:0");
    assert_eq!(line.environment["SWATH_DEVICES"], "cuda:0");
    // Equal devices are alike, whatever their numbers.
    let end = End::Exit(1);
    table.tell(Event::Exited { child, end });
    assert_eq!(spooled(table)[0].finish.provenance.device, "NVIDIA H100");
}

#[test]
fn numbers_are_read_from_lines_by_a_pattern() {
    let read = json!({ "stdout": r"(?:loss (?<loss>\S+) )?acc (?<val/acc>\S+)" });
    let entry = ends_after(&read, |child| {
        lines(
            child,
            &["loss 2.0 acc 0.5", "saving", "\rloss 1.0 acc 0.75"],
        )
    });
    let seen: Vec<_> = epochs(&entry)
        .iter()
        .map(|it| (it.epoch, it.values.clone()))
        .collect();
    let wanted = [
        (1, Metrics::from([("loss", 2.0), ("val/acc", 0.5)])),
        (2, Metrics::from([("loss", 1.0), ("val/acc", 0.75)])),
    ];
    assert_eq!(seen, wanted);
    assert_eq!(
        *values(&entry),
        Metrics::from([("loss", 1.0), ("val/acc", 0.75)])
    );
    let log: String = entry.reports.iter().map(|it| &*it.log).collect();
    assert_eq!(log, "loss 2.0 acc 0.5\nsaving\nloss 1.0 acc 0.75\n");
}

#[test]
fn numbers_are_read_from_what_a_program_wrote() {
    let row = |pairs: &[(&str, f64)]| Row {
        values: pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect(),
        ..Row::default()
    };
    let wrote = |rows: Result<Vec<Row>, String>| {
        ends_after(&json!({ "jsonl": "log" }), move |child| {
            let rows = rows.clone().map(|rows| {
                let mut kept = Thinned::new(100, 10);
                for row in rows {
                    kept.push(row, None);
                }
                kept
            });
            vec![Event::Wrote { child, rows }]
        })
    };
    let rows = vec![
        row(&[("epoch", 1.0), ("val/acc", 0.5)]),
        row(&[("epoch", 2.0), ("val/acc", 0.75)]),
    ];
    let entry = wrote(Ok(rows));
    assert_eq!(epochs(&entry).len(), 2);
    assert_eq!(values(&entry).get("val/acc"), Some(0.75));
    let entries = [wrote(Ok(vec![row(&[("val/acc", f64::NAN)])]))];
    assert_eq!(
        fault(&entries),
        (Fault::Diverged, "its metric `val/acc` is NaN")
    );
    let entries = [wrote(Ok(vec![row(&[("acc", 0.5)])]))];
    assert_eq!(
        fault(&entries),
        (Fault::Crashed, "what it wrote has no `val/acc`")
    );
    let entries = [wrote(Err(
        "`read`: the program has not written /x".to_owned()
    ))];
    assert_eq!(
        fault(&entries),
        (Fault::Crashed, "`read`: the program has not written /x")
    );
}

#[test]
fn a_pattern_that_matches_nothing_is_told_with_what_was_printed() {
    let read = json!({ "stdout": "acc=(.*)" });
    let entries = [ends_after(&read, |child| lines(child, &["accuracy 0.5"]))];
    let (found, message) = fault(&entries);
    assert_eq!(found, Fault::Crashed);
    assert!(
        message.starts_with("no line of its stdout matches the pattern of `val/acc`: accuracy 0.5"),
        "{message}"
    );
    let entries = [ends_after(&read, |child| lines(child, &["acc=fast"]))];
    assert!(
        fault(&entries)
            .1
            .starts_with("`val/acc` is no number: `fast`")
    );
}

#[test]
fn a_text_in_place_of_the_last_number_is_a_fault_and_an_earlier_one_is_told() {
    let read = json!({ "stdout": "acc=(.*)" });
    let read = |texts: &[&str]| {
        let all: Vec<_> = texts.iter().map(|text| format!("acc={text}")).collect();
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        ends_after(&read, |child| lines(child, &all))
    };
    for text in ["NA", "None", "null", "0.3s", "1_000", "0x10", "1,5", ""] {
        let entries = [read(&["0.5", text])];
        let (found, message) = fault(&entries);
        assert_eq!(found, Fault::Crashed, "{text}");
        let wanted = format!("`val/acc` is no number: `{text}`");
        assert!(message.starts_with(&wanted), "{message}");
        // The epoch without a number has its place.
        let entry = read(&[text, "0.5"]);
        assert_eq!(values(&entry).get("val/acc"), Some(0.5));
        assert!(epochs(&entry).iter().map(|it| it.epoch).eq([1, 2]));
    }
}

#[test]
fn a_number_on_stderr_is_told_with_how_it_can_be_read() {
    let read = json!({ "stdout": r"val_acc=([\d.]+)" });
    let bar = "\rEpoch 1/3: 33%| val_acc=0.1\r\u{1b}[32mEpoch 3/3: 100%| val_acc=0.251";
    let on_stderr = |child| {
        let texts = [bar, "\nbye\n"].into_iter().map(|text| Event::Stderr {
            child,
            text: text.to_owned(),
            dropped: 0,
        });
        texts.collect::<Vec<_>>()
    };
    let entries = [ends_after(&read, on_stderr)];
    insta::assert_snapshot!(fault(&entries).1, @"a line of its stderr matches the pattern of `val/acc`, but only stdout is read; give tqdm `file=sys.stdout`, or add `2>&1` to the command in `sh -c`: Epoch 3/3: 100%| val_acc=0.251");
    // A bar whose line has not ended when the program does.
    let entries = [ends_after(&read, |child| on_stderr(child)[..1].to_vec())];
    assert!(
        fault(&entries)
            .1
            .ends_with(": Epoch 3/3: 100%| val_acc=0.251")
    );
    let entry = ends_after(&read, |child| {
        [on_stderr(child), lines(child, &["val_acc=0.5"])].concat()
    });
    assert_eq!(values(&entry).get("val/acc"), Some(0.5));
}

#[test]
fn colours_do_not_hide_a_number() {
    let read = json!({ "stdout": r"^acc: (\S+)$" });
    let line = "\u{1b}[1macc: \u{1b}[38;5;6m0.25\u{1b}[0m\u{1b}[K";
    let entry = ends_after(&read, |child| lines(child, &[line]));
    assert_eq!(values(&entry).get("val/acc"), Some(0.25));
    let log: String = entry.reports.iter().map(|it| &*it.log).collect();
    assert_eq!(log, format!("{line}\n"));
}

#[test]
fn texts_are_told_once_where_a_number_was_asked_for() {
    let read = json!({ "stdout": r"loss=(?<loss>\S+) acc=(?<val/acc>\S+)" });
    let entry = ends_after(&read, |child| {
        lines(child, &["loss=a acc=b", "loss=c acc=d", "loss=e acc=0.5"])
    });
    assert_eq!(*values(&entry), Metrics::from([("val/acc", 0.5)]));
    let log: String = entry.reports.iter().map(|it| &*it.log).collect();
    let told = log.lines().filter(|line| line.starts_with("warning"));
    let told = told.collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(told, @r"
    warning: metric `loss` is left out: it is no number: `a`
    warning: metric `val/acc` is left out: it is no number: `b`
    ");
    // Of a line that is written anew, the last state counts.
    for (line, wanted) in [
        ("acc=0.5 loss=1\racc=-", None),
        ("acc=-\racc=0.5", Some(0.5)),
    ] {
        let read = json!({ "stdout": r"acc=(\S+)" });
        let entry = ends_after(&read, |child| lines(child, &[line]));
        let found = match &entry.finish.outcome {
            Outcome::Measured(measured) => measured.values.get("val/acc"),
            Outcome::Failed { .. } => None,
        };
        assert_eq!(found, wanted, "{line}");
    }
}

#[test]
fn a_program_that_crashes_has_measured_nothing_by_its_epochs() {
    let read = json!({ "stdout": "acc=(.*)" });
    let (mut table, child) = running(asked(&read, Launch::default()));
    for event in lines(child, &["acc=0.5"]) {
        table.tell(event);
    }
    // A logger of its own may write what looks like the protocol.
    table.tell(lines(child, &[r#"{"event":"epoch","epoch":1}"#]).remove(0));
    let end = End::Exit(75);
    table.tell(Event::Exited { child, end });
    let entries = spooled(table);
    let (found, message) = fault(&entries);
    assert_eq!(found, Fault::Crashed);
    assert!(message.starts_with("exit code 75: "), "{message}");
    assert_eq!(epochs(&entries[0]).len(), 2);
}

#[test]
fn what_a_host_lacks_sends_the_job_elsewhere() {
    let lack = Lack::Input {
        path: "t.py".to_owned(),
        differs: true,
    };
    let ended = |event: Event| {
        let (mut table, child) = running(asked(&json!({ "csv": "r" }), Launch::default()));
        assert_eq!(child, ChildId(1));
        table.tell(event);
        let end = End::Exit(11);
        table.tell(Event::Exited { child, end });
        let releases = table.effects.into_iter().find_map(|effect| match effect {
            Effect::Call {
                call: Call::Release { releases, .. },
                ..
            } => Some(releases),
            _ => None,
        });
        releases.expect("a release")
    };
    let child = ChildId(1);
    let end = End::Lacks(lack.clone());
    let released = ended(Event::Exited { child, end });
    assert_eq!(released.len(), 1);
    assert_eq!(
        (released[0].held, &released[0].lack),
        (held(1), &Some(lack))
    );
    let line = r#"{"event":"failed","fault":"invalid","lacks":"fold 3"}"#;
    let released = ended(lines(child, &[line]).remove(0));
    let what = "fold 3".to_owned();
    assert_eq!(released[0].lack, Some(Lack::Data { what }));
}

#[test]
fn a_trainer_without_its_libraries_is_lacking() {
    let lacks = |ready: bool, code| {
        let (mut table, child) = running(training(1));
        if ready {
            let line = r#"{"event":"ready","provenance":{"trainer":"t"}}"#;
            table.tell(lines(child, &[line]).remove(0));
        }
        let end = End::Exit(code);
        table.tell(Event::Exited { child, end });
        table.effects.into_iter().any(|effect| {
            let Effect::Call { call, .. } = effect else {
                return false;
            };
            matches!(call, Call::Release { releases, .. } if releases[0].lack == Some(Lack::Trainer))
        })
    };
    assert!(lacks(false, 127));
    assert!(!lacks(false, 1));
    assert!(!lacks(true, 127));
}

#[test]
fn a_program_has_its_own_limits_of_time() {
    let launch = Launch {
        timeout_ms: Some(100_000),
        silence_ms: Some(30_000),
        ..Launch::default()
    };
    let read = json!({ "stdout": "acc=(.*)" });
    let (mut table, _child) = running(asked(&read, launch.clone()));
    table.pass(Duration::from_secs(31));
    let entries = spooled(table);
    assert_eq!(
        fault(&entries),
        (Fault::TimedOut, "hangs: no line for 30 s")
    );
    let (mut table, child) = running(asked(&read, launch));
    for _ in 0..4 {
        table.pass(Duration::from_secs(25));
        let text = "step\n".to_owned();
        let dropped = 0;
        table.tell(Event::Stderr {
            child,
            text,
            dropped,
        });
    }
    table.pass(Duration::from_secs(1));
    let entries = spooled(table);
    let (found, message) = fault(&entries);
    assert_eq!(found, Fault::TimedOut);
    assert!(
        message.starts_with("took longer than its `timeout`, 1 m 40 s"),
        "{message}"
    );
}

#[test]
fn a_result_without_the_epochs_that_the_sweep_compares_is_told_at_once() {
    let launch = Launch {
        wants_epochs: true,
        ..Launch::default()
    };
    let result = |metric: &str, line: &str| {
        let trainer = json!({ "command": ["python3", "t.py"], "metric": metric });
        let spec = json!({ "trainer": trainer, "seed": 7 });
        let launch = launch.clone();
        let (mut table, child) = running(Grant {
            launch,
            ..grant(1, &spec)
        });
        for event in lines(child, &line.split('\n').collect::<Vec<_>>()) {
            table.tell(event);
        }
        let end = End::Exit(0);
        table.tell(Event::Exited { child, end });
        spooled(table).remove(0)
    };
    let finished = r#"{"event":"finished","f1":0.9}"#;
    let entry = result("f1", finished);
    let (found, message) = fault(std::slice::from_ref(&entry));
    assert_eq!(found, Fault::Invalid);
    assert_eq!(
        message,
        "the sweep's `measure` takes `f1` of its epochs, and the program has told it only at its \
         end (0.9); print it for every epoch, or write measure = \"last\""
    );
    let epoch = r#"{"event":"epoch","epoch":1,"f1":0.8}"#;
    let entry = result("f1", &format!("{epoch}\n{finished}"));
    assert_eq!(values(&entry).get("f1"), Some(0.9));
    // A trainer that knows its best epoch need not tell all of them.
    let finished = r#"{"event":"finished","test_error":9.0,"best_test_error":8.0}"#;
    let best = |line: &str| values(&result("test_error", line)).get("best_test_error");
    assert_eq!(best(finished), Some(8.0));
}

#[test]
fn the_time_of_a_program_counts_from_when_it_has_its_files() {
    let launch = Launch {
        timeout_ms: Some(100_000),
        silence_ms: Some(30_000),
        shipped: Some(swath_model::program::Shipped::default()),
        ..Launch::default()
    };
    let (mut table, child) = running(asked(&json!({ "stdout": "acc=(.*)" }), launch));
    for _ in 0..9 {
        table.beat(Verdict::Keep);
        table.pass(Duration::from_secs(15));
    }
    table.tell(Event::Begun { child });
    table.tell(Event::Line {
        child,
        line: Line::Text("acc=3".to_owned()),
    });
    table.pass(Duration::from_secs(20));
    let end = End::Exit(0);
    table.tell(Event::Exited { child, end });
    let entries = spooled(table);
    let Outcome::Measured(measured) = &entries[0].finish.outcome else {
        panic!("{entries:?}");
    };
    assert!((measured.train_seconds - 20.0).abs() < 1e-9, "{measured:?}");
}

#[test]
fn an_outcome_says_from_which_version_of_its_code_it_is() {
    let launch = Launch::default();
    let (mut table, child) = running(asked(&json!({ "stdout": "acc=(.*)" }), launch));
    table.tell(Event::Line {
        child,
        line: Line::Text("acc=3".to_owned()),
    });
    let version = "git 1a2b3c4d5e6f".to_owned();
    table.tell(Event::Version { child, version });
    let end = End::Exit(0);
    table.tell(Event::Exited { child, end });
    let entries = spooled(table);
    let trainer = &entries[0].finish.provenance.trainer;
    assert!(trainer.ends_with(", git 1a2b3c4d5e6f"), "{trainer}");
}
