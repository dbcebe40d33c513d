//! Trainings that are killed, stopped and resumed, through the built program:
//! they give the same bytes, and report everything that went wrong.

mod support;

use std::fs;
use std::io::{self, BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;

use serde_json::{Value, json};
use support::stand::{Stand, copy, images, last, names, stderr};
use support::{lines, succeed, trainer, write};

/// Starts a training. Returns it with its output and the steps of its next
/// `count` checkpoints, or fewer if it ends before.
fn follow(command: &mut Command, count: usize) -> (Child, Lines<BufReader<ChildStdout>>, Vec<u64>) {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let steps = checkpoints(&mut lines).take(count).collect();
    (child, lines, steps)
}

/// The steps of the checkpoints that are reported.
fn checkpoints(lines: &mut impl Iterator<Item = io::Result<String>>) -> impl Iterator<Item = u64> {
    lines.filter_map(|line| {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let is_checkpoint = event["event"] == "checkpoint";
        is_checkpoint.then(|| event["step"].as_u64().unwrap())
    })
}

/// Returns once `child` makes, renames or removes a file of `directory`, or has
/// ended. A kill then hits while a checkpoint is being written.
fn wait_for_a_write(child: &mut Child, directory: &Path) {
    let before = names(directory);
    while names(directory) == before && child.try_wait().unwrap().is_none() {
        thread::yield_now();
    }
}

fn terminate(child: &Child) {
    let id = child.id().to_string();
    let status = Command::new("kill").args(["-TERM", &id]).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_training_killed_at_any_moment_gives_the_same_bytes() {
    let stand = Stand::new(&json!({}));
    let whole = stand.whole();
    let mut kills = 0;
    let mut random = 12345_u64;
    for round in 0.. {
        let every = ["1", "3"][round / 2 % 2];
        let out = format!("killed-{}", round / 7);
        let flags = ["--resume", "--checkpoint-steps", every];
        let (mut child, mut lines, _) = follow(&mut stand.train(&out, &flags), 0);
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        // The first line is `started`: some are killed before a checkpoint.
        let events = 1 + (random >> 62) as usize;
        let steps: Vec<u64> = checkpoints(&mut lines.by_ref().take(events)).collect();
        if round % 2 == 1 {
            wait_for_a_write(&mut child, &stand.path(&out));
        }
        child.kill().unwrap();
        let killed = child.wait().unwrap().code().is_none();
        kills += u32::from(killed);
        assert!(steps.is_sorted_by(|a, b| a < b), "{steps:?}");
        if kills >= 10 || round > 30 {
            break;
        }
    }
    assert!(kills >= 10, "{kills}");
    for out in names(stand.root.path()) {
        if out.starts_with("killed") {
            succeed(&mut stand.train(&out, &["--resume"]));
            assert!(stand.bytes(&out) == whole, "{out}");
            let left = names(&stand.path(&out));
            let expected = [
                "finished.json",
                "history.jsonl",
                "timing.jsonl",
                "weights.safetensors",
            ];
            assert_eq!(left, expected);
        }
    }
}

#[test]
fn sigterm_writes_a_checkpoint_and_exits_with_75() {
    let stand = Stand::new(&json!({"steps": 400}));
    let whole = stand.whole();
    for round in 0..2 {
        let flags = ["--resume", "--checkpoint-steps", "50"];
        let (mut child, mut lines, mut steps) = follow(&mut stand.train("out", &flags), 1);
        assert_eq!(steps.len(), 1);
        terminate(&child);
        // The list is empty where the signal came right after a checkpoint.
        steps.extend(checkpoints(&mut lines));
        assert_eq!(child.wait().unwrap().code(), Some(75), "{round}");
        let name = format!("checkpoint.{:08}.json", steps[steps.len() - 1]);
        let left = names(&stand.path("out"));
        assert!(left.contains(&name), "{name} {left:?}");
    }
    succeed(&mut stand.train("out", &["--resume"]));
    assert!(stand.bytes("out") == whole);
}

#[test]
fn a_finished_training_says_what_it_was_not_asked_to_measure() {
    let stand = Stand::new(&json!({}));
    let first = ["--resume", "--goal", "99.9", "--train-evaluation"];
    succeed(&mut stand.train("out", &first));
    let again = stderr(&succeed(&mut stand.train("out", &first)));
    assert!(again.contains("finished already"), "{again}");
    assert!(!again.contains("warning"), "{again}");
    let more = ["--resume", "--norms", "--predictions"];
    let text = stderr(&succeed(&mut stand.train("out", &more)));
    assert!(text.contains("lacks --norms, --predictions,"), "{text}");
    assert!(text.contains("leave out --resume"), "{text}");
}

#[test]
fn a_stop_without_a_directory_says_that_nothing_is_kept() {
    let stand = Stand::new(&json!({}));
    let mut command = trainer(stand.root.path());
    command
        .args(["train", "--stop-after", "3", "--spec"])
        .arg(stand.path("spec.json"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(75));
    assert!(
        stderr(&output).contains("without --out"),
        "{}",
        stderr(&output)
    );
    let events: Vec<Value> = lines(&output);
    assert_eq!(events.len(), 1, "only `started`: {events:?}");
}

/// A way to damage a directory with the checkpoints of the steps 10 and 11.
type Damage = fn(&Path);

fn change(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    how(&mut bytes);
    fs::write(path, bytes).unwrap();
}

const NEWEST: &str = "checkpoint.00000011.safetensors";
const NEWEST_JSON: &str = "checkpoint.00000011.json";

#[test]
fn a_damaged_checkpoint_falls_back_to_the_one_before() {
    let stand = Stand::new(&json!({}));
    let whole = stand.whole();
    stand.stopped("base", "11");
    let damages: [(&str, Damage); 6] = [
        (NEWEST, |out| {
            change(&out.join(NEWEST), |bytes| bytes.truncate(bytes.len() / 2));
        }),
        (NEWEST, |out| {
            change(&out.join(NEWEST), |bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            });
        }),
        (NEWEST_JSON, |out| {
            change(&out.join(NEWEST_JSON), |bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            });
        }),
        (NEWEST, |out| {
            fs::copy(
                out.join("checkpoint.00000010.safetensors"),
                out.join(NEWEST),
            )
            .unwrap();
        }),
        (NEWEST_JSON, |out| {
            fs::copy(out.join("checkpoint.00000010.json"), out.join(NEWEST_JSON)).unwrap();
        }),
        (NEWEST, |out| fs::remove_file(out.join(NEWEST)).unwrap()),
    ];
    for (index, (file, damage)) in damages.into_iter().enumerate() {
        let out = format!("damaged-{index}");
        copy(&stand.path("base"), &stand.path(&out));
        damage(&stand.path(&out));
        let text = stderr(&succeed(&mut stand.train(&out, &["--resume"])));
        assert!(text.contains(file), "{index}: {text}");
        assert!(
            text.contains("going on from the checkpoint of step 10"),
            "{text}"
        );
        assert!(stand.bytes(&out) == whole, "{out}");
        assert!(stand.path(&out).join("checkpoint.aside").is_dir());
    }
}

#[test]
fn without_a_whole_checkpoint_a_training_starts_from_step_0() {
    let stand = Stand::new(&json!({}));
    let whole = stand.whole();
    stand.stopped("out", "11");
    for name in [NEWEST, "checkpoint.00000010.json"] {
        change(&stand.path("out").join(name), Vec::clear);
    }
    // What a kill between the two files leaves is neither a checkpoint nor
    // damage.
    fs::write(stand.path("out/checkpoint.00000012.safetensors"), "half").unwrap();
    let text = stderr(&succeed(&mut stand.train("out", &["--resume"])));
    for part in [NEWEST, "checkpoint.00000010.json", "starting from step 0"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("00000012"), "{text}");
    assert!(stand.bytes("out") == whole);

    let text = stderr(&succeed(&mut stand.train("none", &["--resume"])));
    assert!(text.contains("starting from step 0"), "{text}");
}

#[test]
fn the_checkpoint_of_another_training_is_refused() {
    let stand = Stand::new(&json!({}));
    stand.stopped("out", "11");
    let before = names(&stand.path("out"));
    let refused = |flags: &[&str], parts: &[&str]| {
        let output = stand.train("out", flags).output().unwrap();
        assert_eq!(output.status.code(), Some(11), "{}", stderr(&output));
        assert_eq!(last(&output)["fault"], "invalid");
        for part in [&["--resume", NEWEST_JSON], parts].concat() {
            assert!(
                stderr(&output).contains(part),
                "{part}: {}",
                stderr(&output)
            );
        }
        assert_eq!(names(&stand.path("out")), before);
    };
    let changed = |key: &str, value: Value| {
        let mut spec = stand.spec.clone();
        spec[key] = value;
        stand.write_spec(&spec);
    };
    changed("seed", json!(6));
    refused(&["--resume"], &["`seed` is 5 there and 6 here"]);
    changed("optimizer", json!({"lr": 0.1, "weight_decay": 1e-4}));
    refused(
        &["--resume"],
        &["`optimizer.lr` is 0.05 there and 0.1 here"],
    );
    stand.write_spec(&stand.spec);
    refused(
        &["--resume", "--threads", "2"],
        &["threads is 1 there and 2 here"],
    );
    let mut other = images();
    other.get_mut("train_images").unwrap().bytes[0] ^= 1;
    write(&stand.path("data.safetensors"), &other);
    refused(&["--resume"], &["the digest of the data"]);
}

#[test]
fn a_finished_training_is_told_again_and_another_one_is_refused() {
    let stand = Stand::new(&json!({}));
    let first = succeed(&mut stand.train("out", &[]));
    let bytes = stand.bytes("out");
    let again = succeed(&mut stand.train("out", &["--resume"]));
    assert_eq!(last(&again), last(&first));
    assert_eq!(lines(&again).len(), 1);
    assert!(
        stderr(&again).contains("finished already"),
        "{}",
        stderr(&again)
    );
    let mut spec = stand.spec.clone();
    spec["seed"] = json!(6);
    stand.write_spec(&spec);
    let output = stand.train("out", &["--resume"]).output().unwrap();
    assert_eq!(output.status.code(), Some(11));
    assert!(stderr(&output).contains("`seed`"), "{}", stderr(&output));
    // Without --resume the directory belongs to another training from now on.
    succeed(&mut stand.train("out", &[]));
    assert!(stand.bytes("out") != bytes);
}

#[test]
fn starting_anew_moves_a_checkpoint_aside() {
    let stand = Stand::new(&json!({}));
    let whole = stand.whole();
    stand.stopped("out", "11");
    let flags = ["--keep-checkpoints", "--checkpoint-steps", "5"];
    let text = stderr(&succeed(&mut stand.train("out", &flags)));
    assert!(text.contains("checkpoint of step 11"), "{text}");
    assert!(stand.bytes("out") == whole);
    let aside = names(&stand.path("out/checkpoint.aside"));
    assert_eq!(aside.len(), 4, "{aside:?}");
    let kept = names(&stand.path("out"));
    let kept: Vec<&String> = kept
        .iter()
        .filter(|name| name.ends_with("s.json"))
        .collect();
    assert!(kept.is_empty(), "{kept:?}");
    for step in ["15", "20"] {
        assert!(
            stand
                .path(&format!("out/checkpoint.000000{step}.json"))
                .exists(),
            "{step}"
        );
    }
    assert!(!stand.path("out/checkpoint.00000010.json").exists());
}

#[test]
fn a_checkpoint_wins_over_given_weights() {
    let stand = Stand::new(&json!({}));
    let weights = stand.path("initial.safetensors");
    succeed(
        trainer(stand.root.path())
            .arg("init")
            .arg("--spec")
            .arg(stand.path("spec.json"))
            .arg("--out")
            .arg(&weights),
    );
    let mut arrays = support::read(&weights);
    for array in arrays.values_mut() {
        for value in array.bytes.as_chunks_mut::<4>().0 {
            *value = (f32::from_le_bytes(*value) * 0.5).to_le_bytes();
        }
    }
    write(&weights, &arrays);
    let given = ["--weights", weights.to_str().unwrap()];
    succeed(&mut stand.train("whole", &given));
    let stop = [&given[..], &["--stop-after", "11"]].concat();
    assert_eq!(stand.train("out", &stop).status().unwrap().code(), Some(75));
    let resume = [&given[..], &["--resume"]].concat();
    let text = stderr(&succeed(&mut stand.train("out", &resume)));
    assert!(text.contains("is ignored"), "{text}");
    assert!(stand.bytes("out") == stand.bytes("whole"));
    succeed(&mut stand.train("plain", &[]));
    assert!(stand.bytes("plain") != stand.bytes("whole"));
}

#[test]
fn a_full_disk_costs_a_checkpoint_and_not_the_training() {
    let stand = Stand::new(&json!({}));
    let whole = stand.whole();
    stand.stopped("out", "11");
    let size = |name: &str| fs::metadata(stand.path(name)).unwrap().len();
    // A checkpoint also holds the velocity, so room for the weights is not room
    // for it.
    let blocks = size("whole/weights.safetensors").div_ceil(1024) + 1;
    assert!(blocks * 1024 < size(&format!("out/{NEWEST}")));
    let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let plain = stand.train("out", &["--resume", "--checkpoint-steps", "4"]);
    let mut command = Command::new("bash");
    command
        .arg("-c")
        .arg(limited)
        .arg(plain.get_program())
        .args(plain.get_args());
    command.env("SWATH_TRAINER_THREADS", "1");
    let output = succeed(&mut command);
    let text = stderr(&output);
    assert!(text.contains("warning: no checkpoint of step 15"), "{text}");
    assert!(text.contains("that of step 11 stays"), "{text}");
    assert!(stand.bytes("out") == whole);
}

#[test]
fn two_trainers_do_not_share_a_directory() {
    let stand = Stand::new(&json!({"steps": 100_000}));
    let (mut first, _lines, _) = follow(&mut stand.train("out", &["--checkpoint-steps", "1"]), 1);
    let output = stand.train("out", &["--resume"]).output().unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("another trainer"),
        "{}",
        stderr(&output)
    );
}

/// A training with a further test set that takes a while to measure.
fn stand_with_a_long_ending() -> Stand {
    let count = 60_000;
    let stand = Stand::new(&json!({"extra_test_sets": ["tensors:further.safetensors"]}));
    let mut arrays = images();
    arrays.retain(|name, _| name.starts_with("test_"));
    let pixels = arrays.get_mut("test_images").unwrap();
    pixels.shape[0] = count;
    pixels.bytes = vec![7; count * 64];
    let labels = arrays.get_mut("test_labels").unwrap();
    labels.shape = vec![count];
    labels.bytes = vec![0; count * 8];
    write(&stand.path("further.safetensors"), &arrays);
    stand
}

#[test]
fn a_stop_in_the_measurements_at_the_end_keeps_the_training() {
    let stand = stand_with_a_long_ending();
    let train = |out: &str, flags: &[&str]| {
        let mut command = stand.train(out, flags);
        command.current_dir(stand.root.path());
        command
    };
    let mut child = train("out", &[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut messages = BufReader::new(child.stderr.take().unwrap()).lines();
    let measuring = |line: &io::Result<String>| line.as_ref().unwrap().contains("measuring");
    assert!(messages.by_ref().any(|line| measuring(&line)));
    terminate(&child);
    let said: Vec<String> = messages.map(Result::unwrap).collect();
    let said = said.join(" ");
    for part in ["stopped by SIGTERM", "step 24", "--resume"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(child.wait().unwrap().code(), Some(75));
    let left = names(&stand.path("out"));
    for name in ["checkpoint.00000024.json", "weights.safetensors"] {
        assert!(left.contains(&name.to_owned()), "{left:?}");
    }

    // Only the measurements are repeated.
    let output = succeed(&mut train("out", &["--resume"]));
    let events = lines(&output);
    assert_eq!(events[0]["step"], 24);
    let metrics = &last(&output)["metrics"];
    assert_eq!(metrics["test_images.further"], 60_000.0);
    let mut plain = stand.spec.clone();
    plain.as_object_mut().unwrap().remove("extra_test_sets");
    stand.write_spec(&plain);
    assert!(stand.whole() == stand.bytes("out"));
}

#[test]
fn a_failure_at_the_end_keeps_the_training() {
    let stand = Stand::new(&json!({}));
    let whole = stand.whole();
    stand.stopped("out", "11");
    let blocked = stand.path("out/predictions.safetensors");
    fs::create_dir(&blocked).unwrap();
    let flags = ["--resume", "--predictions", "--checkpoint-steps", "1"];
    let output = stand.train("out", &flags).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stand.bytes("out") == whole);
    fs::remove_dir(&blocked).unwrap();
    let events = lines(&succeed(&mut stand.train("out", &flags)));
    assert_eq!(events[0]["step"], 24);
    assert!(blocked.is_file());
    assert!(stand.bytes("out") == whole);
}

#[test]
fn results_of_an_earlier_training_do_not_stay_beside_a_new_one() {
    let stand = Stand::new(&json!({}));
    let flags = ["--norms", "--predictions"];
    succeed(&mut stand.train("out", &flags));
    let earlier = fs::read(stand.path("out/norms.jsonl")).unwrap();
    let mut spec = stand.spec.clone();
    spec["seed"] = json!(6);
    stand.write_spec(&spec);
    // The second of three epochs is under way.
    stand.stopped("out", "11");
    let late = [
        "norms.jsonl",
        "predictions.safetensors",
        "weights.safetensors",
    ];
    for name in late {
        assert!(!stand.path("out").join(name).exists(), "{name}");
        assert!(stand.path("out/result.aside").join(name).exists(), "{name}");
    }
    assert!(fs::read(stand.path("out/result.aside/norms.jsonl")).unwrap() == earlier);
    succeed(&mut stand.train("out", &["--resume", "--norms"]));
    let norms = fs::read_to_string(stand.path("out/norms.jsonl")).unwrap();
    let epochs: Vec<Value> = norms
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["epoch"].take())
        .collect();
    assert_eq!(epochs, [2, 3]);
}

#[test]
fn norms_that_cannot_be_written_do_not_end_a_training() {
    let stand = Stand::new(&json!({}));
    let whole = stand.whole();
    stand.stopped("out", "11");
    fs::create_dir(stand.path("out/norms.jsonl")).unwrap();
    let text = stderr(&succeed(&mut stand.train("out", &["--resume", "--norms"])));
    assert!(text.contains("the norms of epoch 2"), "{text}");
    assert!(stand.bytes("out") == whole);
}
