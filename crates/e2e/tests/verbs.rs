//! Commands, exit codes and bad input, through the binary.

use std::time::Duration;

use serde_json::Value;
use swath_e2e::{Process, Site, SweepText, binary};

#[test]
fn run_does_everything_and_goes_on_where_it_was() {
    let site = Site::new();
    site.write("digits.toml", &SweepText::digits("digits").to_string());
    let output = site.run(&["run", "digits.toml"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stdout.contains("batch size"), "{}", output.stdout);
    // Afterwards without a server.
    let table = site.json(&["table", "digits"]);
    assert_eq!(table["rows"].as_array().unwrap().len(), 2);
    let again = site.run(&["run", "digits.toml"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(again.stdout, output.stdout);
    let markdown = site.ok(&["table", "digits", "-o", "md"]);
    assert!(markdown.contains("| ---"), "{markdown}");
    let extended = site.run(&["extend", "digits", "--replicates", "3", "--run"]);
    assert_eq!(extended.code, Some(0), "{}", extended.stderr);
    let wider = site.json(&["table", "digits"]);
    for (old, new) in table["rows"]
        .as_array()
        .unwrap()
        .iter()
        .zip(wider["rows"].as_array().unwrap())
    {
        assert_eq!(new["n"], 3);
        assert_eq!(
            old["values"].as_array().unwrap()[..],
            new["values"].as_array().unwrap()[..2]
        );
    }
}

#[test]
fn a_replay_is_bit_for_bit_the_same_and_leaves_nothing() {
    let site = Site::new();
    site.write("digits.toml", &SweepText::digits("digits").to_string());
    let output = site.run(&["run", "digits.toml"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let before = site.ok(&["jobs", "-o", "json"]);
    let second = ["digits", "replicate=2", "batch_size=128"];
    let replay = site.json(&[&["replay"], &second[..]].concat());
    assert_eq!(replay["identical"], true, "{replay}");
    assert_eq!(replay["differences"], serde_json::json!([]));
    assert!(replay["compared"].as_u64().unwrap() > 10, "{replay}");
    let weights = &replay["weights"];
    assert_eq!(weights["before"].as_str().unwrap().len(), 64, "{replay}");
    assert_eq!(weights["now"], weights["before"]);
    let job = site.json(&[&["explain"], &second[..]].concat());
    assert_eq!(
        job["detail"]["job"]["measurement"]["weights"],
        weights["before"]
    );
    let text = site.ok(&[&["replay"], &second[..]].concat());
    assert!(
        text.contains("identical") && text.contains("and weights "),
        "{text}"
    );
    let after = site.ok(&["jobs", "-o", "json"]);
    let jobs = |text: &str| serde_json::from_str::<Value>(text).unwrap()["jobs"].clone();
    assert_eq!(jobs(&after), jobs(&before));
    let missing = site.run(&["replay", "ffffffffffff"]);
    assert_eq!(missing.code, Some(3), "{}", missing.stderr);
}

#[test]
fn the_python_example_fills_its_table() {
    let site = Site::new();
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/python");
    for name in ["train.py", "sweep.toml"] {
        let text = std::fs::read_to_string(format!("{examples}/{name}")).unwrap();
        site.write(name, &text);
    }
    let output = site.run(&["run", "sweep.toml"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let sweeps = site.json(&["sweeps"]);
    let name = sweeps["sweeps"][0]["name"].as_str().unwrap();
    let table = site.json(&["table", name]);
    let rows = table["rows"].as_array().unwrap();
    assert!(
        rows.len() > 1 && rows.iter().all(|row| row["n"] == row["of"]),
        "{table}"
    );
}

#[test]
fn wrong_files_exit_2_with_the_place_and_store_nothing() {
    let site = Site::new();
    let good = SweepText::digits("digits").to_string();
    let cases = [
        (good.replace("epochs", "epoch"), "did you mean `epochs`"),
        (
            good.replace("depth = 8", "dept = 8"),
            "did you mean `model.depth`",
        ),
        (good.replace("depth = 8", "depth = 9"), "6n+2"),
        (good.replace("[64, 128]", "[]"), "batch_size"),
        (good.replace("[64, 128]", "[64, \"lots\"]"), "lots"),
        (good.replace("[64, 128]", "\"2 *\""), "2 *"),
        (
            good.replace(
                "epochs = 2",
                "augmentation = { mixup.alpha = 1, cutmix.alpha = 1 }\nepochs = 2",
            ),
            "contradicts",
        ),
        (
            good.replace("replicates = 2", "replicates = \"two\""),
            "replicates",
        ),
        (good.replace("[[grid]]", "[[gird]]"), "did you mean `grid`"),
        (
            good.replace("replicates = 2", "replicates = 10000")
                .replace("[64, 128]", &format!("{:?}", (1..200).collect::<Vec<_>>())),
            "at most 1000000",
        ),
    ];
    for (text, said) in cases {
        site.write("wrong.toml", &text);
        for verb in ["plan", "submit"] {
            let output = site.run(&[verb, "wrong.toml"]);
            assert_eq!(output.code, Some(2), "{verb}: {}\n{text}", output.stderr);
            assert!(output.stderr.contains("wrong.toml:"), "{}", output.stderr);
            assert!(
                output.stderr.contains(said),
                "`{said}` in: {}",
                output.stderr
            );
            assert!(output.stdout.is_empty(), "{}", output.stdout);
        }
    }
    assert!(!site.path().join("swath.db").exists());
    let output = site.run(&["plan", "absent.toml"]);
    assert_eq!(output.code, Some(2), "{}", output.stderr);
    assert!(output.stderr.contains("absent.toml"), "{}", output.stderr);
}

#[test]
fn plans_count_each_job_once() {
    let site = Site::new();
    site.write("one.toml", &SweepText::digits("one").to_string());
    site.write(
        "two.toml",
        &SweepText::digits("two")
            .grid("batch_size = [128, 256]\n")
            .to_string(),
    );
    let plan = site.json(&["plan", "one.toml", "two.toml"]);
    assert_eq!(plan["totals"]["jobs"], 8);
    assert_eq!(plan["totals"]["distinct_jobs"], 6);
    let plan = site.json(&["plan", "one.toml"]);
    assert_eq!(plan["schema_version"], 1);
    assert_eq!(plan["cells"][0]["spec"]["batch_size"], 64);
    assert_eq!(plan["cells"][0]["jobs"][0]["known"], false);
    assert_eq!(plan["totals"]["cells"], 2);
}

#[test]
fn what_one_sweep_computed_fills_the_other_at_once() {
    let mut site = Site::new();
    let _coordinator = site.serve();
    let _worker = site.worker("w", 2, &[]);
    site.write("one.toml", &SweepText::null("one", 3).to_string());
    site.ok(&["submit", "one.toml", "--wait"]);
    assert_eq!(site.ok(&["wait", "one"]), site.ok(&["table", "one"]));
    site.write("two.toml", &SweepText::null("two", 3).to_string());
    let plan = site.json(&["plan", "two.toml"]);
    let known = |cell: &Value| cell["jobs"][0]["known"].clone();
    assert!(
        plan["cells"]
            .as_array()
            .unwrap()
            .iter()
            .all(|cell| known(cell) == true),
        "{plan}"
    );
    site.ok(&["submit", "two.toml"]);
    let table = site.json(&["table", "two"]);
    assert!(
        table["rows"]
            .as_array()
            .unwrap()
            .iter()
            .all(|row| row["n"] == 1),
        "{table}"
    );
}

#[test]
fn exit_codes_are_as_documented() {
    let mut site = Site::new();
    let mut offline = site.coordinator();
    offline
        .env("SWATH_COORDINATOR", "http://127.0.0.1:9")
        .args(["sweeps"]);
    let output = offline.output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("http://127.0.0.1:9"), "{said}");
    assert_eq!(site.run(&["no-such-verb"]).code, Some(2));

    let _coordinator = site.serve();
    assert_eq!(site.run(&["table", "absent"]).code, Some(3));
    assert_eq!(site.run(&["explain", "abcdef"]).code, Some(3));
    site.write("null.toml", &SweepText::null("null", 1).to_string());
    let output = site.run(&["submit", "null.toml", "--wait", "--timeout", "1"]);
    assert_eq!(output.code, Some(12), "{}", output.stderr);
    let output = site.run(&["wait", "null", "--timeout", "1"]);
    assert_eq!(output.code, Some(12), "{}", output.stderr);
    assert_eq!(site.run(&["wait", "absent"]).code, Some(3));
    site.ok(&["cancel", "null"]);
    assert_eq!(site.run(&["wait", "null"]).code, Some(11));
    let _worker = site.worker("w", 1, &["false"]);
    site.write(
        "bad.toml",
        &SweepText::command("bad", &["false"], 1).to_string(),
    );
    let output = site.run(&["submit", "bad.toml", "--wait"]);
    assert_eq!(output.code, Some(10), "{}", output.stderr);
    assert_eq!(site.run(&["wait", "bad"]).code, Some(10));
}

#[test]
fn a_second_coordinator_is_refused() {
    let mut site = Site::new();
    let first = site.serve();
    let output = site.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(
        output.stderr.contains(&first.pid().to_string()),
        "{}",
        output.stderr
    );
    let port = site.url().trim_start_matches("http://").to_owned();
    let output = site.run(&["serve", "--listen", &port, "--database", "sqlite:other.db"]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("--listen"), "{}", output.stderr);
}

#[test]
fn daemons_stop_when_asked() {
    let mut site = Site::new();
    let mut coordinator = site.serve();
    let mut worker = site.worker("w", 1, &[]);
    worker.wait_for_line("in session");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", coordinator.pid())).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let numbers: Vec<_> = files.split_whitespace().skip(3).take(2).collect();
    assert_eq!(
        numbers[0], numbers[1],
        "hundreds of workers hold two connections each"
    );
    worker.signal(libc::SIGTERM);
    assert_eq!(worker.wait(Duration::from_secs(20)), 0);
    coordinator.signal(libc::SIGTERM);
    assert_eq!(
        coordinator.wait(Duration::from_secs(15)),
        0,
        "{}",
        coordinator.stderr()
    );
}

#[test]
fn workers_refuse_what_they_cannot_work_with() {
    let mut site = Site::new();
    let _coordinator = site.serve();
    let mut command = std::process::Command::new(binary("worker"));
    command.args(["--coordinator", site.url(), "--name", "../x"]);
    assert_eq!(command.output().unwrap().status.code(), Some(2));
    let blocked = site.write("file", "");
    let mut command = std::process::Command::new(binary("worker"));
    command.args([
        "--coordinator",
        site.url(),
        "--name",
        "w",
        "--device",
        "cpu:1",
    ]);
    command.arg("--state-dir").arg(blocked.join("state"));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("file/state"), "{said}");
    let _first = site.worker("w", 1, &[]);
    let mut twin = site.worker_command("w", 1);
    let mut waits = Process::start("first", &mut site.worker_command("other", 1));
    waits.wait_for_line("in session");
    let output = twin.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        output.status.code(),
        Some(1),
        "a state directory serves one worker: {said}"
    );
}
