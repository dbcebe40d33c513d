//! Trainings that are killed, stopped, and gone on with, through the built
//! program: the same bytes, and a word about everything that went wrong.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use safetensors::Dtype;
use serde_json::{Value, json};
use support::{Array, lines, succeed, trainer, write};

/// A job of 24 steps, eight per epoch with a last batch of 2, in a directory
/// of its own.
struct Stand {
    root: tempfile::TempDir,
    spec: Value,
}

impl Stand {
    fn new(extra: &Value) -> Self {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data.safetensors");
        write(&data, &images());
        let mut spec = json!({
            "dataset": {"name": "tensors", "path": data},
            "model": {"name": "resnet_preact", "depth": 8, "initial_channels": 4},
            "batch_size": 8, "steps": 24, "drop_last": false,
            "optimizer": {"lr": 0.05, "weight_decay": 1e-4},
            "augmentation": {"random_crop": {"padding": 1}, "horizontal_flip": true},
            "seed": 5,
        });
        for (key, value) in extra.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let stand = Self { root, spec };
        stand.write_spec(&stand.spec);
        stand
    }

    fn write_spec(&self, spec: &Value) {
        fs::write(self.path("spec.json"), spec.to_string()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// `trainer train` into the directory `out`.
    fn train(&self, out: &str, extra: &[&str]) -> Command {
        let mut command = trainer(self.root.path());
        command
            .arg("train")
            .arg("--spec")
            .arg(self.path("spec.json"))
            .arg("--out")
            .arg(self.path(out))
            .args(extra);
        command
    }

    fn bytes(&self, out: &str) -> [Vec<u8>; 2] {
        ["weights.safetensors", "history.jsonl"]
            .map(|name| fs::read(self.path(out).join(name)).unwrap())
    }

    /// Trains without interruption into `whole`.
    fn whole(&self) -> [Vec<u8>; 2] {
        succeed(&mut self.train("whole", &[]));
        self.bytes("whole")
    }

    /// Trains `out` up to `step`, with checkpoints of this step and the one
    /// before.
    fn stopped(&self, out: &str, step: &str) {
        let flags = ["--checkpoint-steps", "1", "--stop-after", step];
        let output = self.train(out, &flags).output().unwrap();
        assert_eq!(output.status.code(), Some(75), "{}", stderr(&output));
    }
}

fn images() -> BTreeMap<String, Array> {
    let bytes = |dtype, shape: &[usize], bytes: Vec<u8>| Array {
        dtype,
        shape: shape.to_vec(),
        bytes,
    };
    let split = |count: usize| {
        let pixels = (0..count * 64).map(|at| (at * 7919 % 251) as u8).collect();
        let labels = (0..count as i64).flat_map(|at| (at % 3).to_le_bytes());
        (
            bytes(Dtype::U8, &[count, 1, 8, 8], pixels),
            bytes(Dtype::I64, &[count], labels.collect()),
        )
    };
    let (train_images, train_labels) = split(58);
    let (test_images, test_labels) = split(10);
    [
        ("train_images", train_images),
        ("train_labels", train_labels),
        ("test_images", test_images),
        ("test_labels", test_labels),
    ]
    .map(|(name, array)| (name.to_owned(), array))
    .into()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn last(output: &Output) -> Value {
    lines(output).pop().unwrap_or_default()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}

/// Starts a training and gives it with the steps of its next `count`
/// checkpoints; fewer where it ends before.
fn follow(command: &mut Command, count: usize) -> (Child, Vec<u64>) {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(child.stdout.as_mut().unwrap());
    let mut steps = Vec::new();
    let mut line = String::new();
    while steps.len() < count && reader.read_line(&mut line).unwrap() > 0 {
        let event: Value = serde_json::from_str(&line).unwrap();
        if event["event"] == "checkpoint" {
            steps.push(event["step"].as_u64().unwrap());
        }
        line.clear();
    }
    (child, steps)
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
        let every = ["1", "3"][round % 2];
        let out = format!("killed-{}", round / 7);
        let flags = ["--resume", "--checkpoint-steps", every];
        let (mut child, steps) = follow(&mut stand.train(&out, &flags), 1 + round % 2);
        // The moment of the kill is random: within a step, within a write.
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        thread::sleep(Duration::from_micros(random >> 51));
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
        let (child, steps) = follow(&mut stand.train("out", &flags), 1);
        assert_eq!(steps.len(), 1);
        terminate(&child);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(75), "{round}");
        let last = last(&output);
        assert_eq!(last["event"], "checkpoint");
        assert!(last["step"].as_u64().unwrap() >= steps[0], "{last}");
        assert_eq!(
            last["epoch"].as_u64().unwrap() as usize,
            fs::read_to_string(stand.path("out/history.jsonl"))
                .unwrap()
                .lines()
                .count()
        );
    }
    succeed(&mut stand.train("out", &["--resume"]));
    assert!(stand.bytes("out") == whole);
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
            change(&out.join(NEWEST), |bytes| bytes.truncate(bytes.len() / 2))
        }),
        (NEWEST, |out| {
            change(&out.join(NEWEST), |bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            })
        }),
        (NEWEST_JSON, |out| {
            change(&out.join(NEWEST_JSON), |bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            })
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
    // What a kill between the two files leaves is no checkpoint, nor damage.
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
    // Without --resume it is another training's directory from now on.
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
    assert!(text.contains("is passed over"), "{text}");
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
    // A checkpoint holds the velocity, too: room for the weights is none for it.
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

/// `trainer serve` into `served`, given one spec.
fn serve(stand: &Stand, spec: &Value, flags: &[&str]) -> Child {
    let mut child = trainer(stand.root.path())
        .arg("serve")
        .arg("--out")
        .arg(stand.path("served"))
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Its stdin closes at the end of this function: one spec, then the end.
    writeln!(child.stdin.take().unwrap(), "{spec}").unwrap();
    child
}

/// Waits for the first checkpoint of a served training and kills it.
fn kill_served(stand: &Stand) {
    let mut child = serve(stand, &stand.spec, &["--checkpoint-steps", "1"]);
    let reader = BufReader::new(child.stdout.as_mut().unwrap());
    let seen = reader
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains("\"checkpoint\""));
    assert!(seen);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_served_training_goes_on_where_it_was_killed() {
    let stand = Stand::new(&json!({"steps": 200}));
    let whole = stand.whole();
    kill_served(&stand);
    let job = names(&stand.path("served")).remove(0);
    let output = serve(&stand, &stand.spec, &[]).wait_with_output().unwrap();
    assert!(
        stderr(&output).contains("going on from"),
        "{}",
        stderr(&output)
    );
    assert_eq!(last(&output)["event"], "finished");
    assert!(stand.bytes(&format!("served/{job}")) == whole);
}

#[test]
fn a_served_training_moves_a_foreign_checkpoint_aside() {
    let stand = Stand::new(&json!({"steps": 200}));
    let whole = stand.whole();
    kill_served(&stand);
    let job = names(&stand.path("served")).remove(0);
    // Other threads give other bytes: it starts from step 0.
    let flags = ["--threads", "2"];
    let output = serve(&stand, &stand.spec, &flags)
        .wait_with_output()
        .unwrap();
    let text = stderr(&output);
    assert!(text.contains("threads is 1 there and 2 here"), "{text}");
    assert!(text.contains("starting from step 0"), "{text}");
    assert_eq!(last(&output)["event"], "finished");
    let aside = stand.path(&format!("served/{job}/checkpoint.aside"));
    assert!(!names(&aside).is_empty());
    let lines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
    let found = stand.bytes(&format!("served/{job}"));
    assert_eq!(lines(&found[1]), lines(&whole[1]));
}

#[test]
fn two_trainers_do_not_share_a_directory() {
    let stand = Stand::new(&json!({"steps": 100_000}));
    let (mut first, _) = follow(&mut stand.train("out", &["--checkpoint-steps", "1"]), 1);
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
