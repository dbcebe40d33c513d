//! Trainings through the built program: events, files, exit codes, and the same
//! bytes warm and cold.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use support::{digits, lines, succeed, trainer, write_spec};

/// A `trainer serve` under way.
struct Warm {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Warm {
    fn start(root: &Path) -> Self {
        let mut child = trainer(root)
            .arg("serve")
            .arg("--out")
            .arg(root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut warm = Self {
            child,
            stdin,
            stdout,
        };
        assert_eq!(warm.event()["event"], "ready");
        warm
    }

    fn send(&mut self, spec: &Value) {
        writeln!(self.stdin.as_mut().unwrap(), "{spec}").unwrap();
    }

    fn event(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// The events of one training, up to its last.
    fn training(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.event();
            let last = event["event"] == "finished" || event["event"] == "failed";
            events.push(event);
            if last {
                return events;
            }
        }
    }
}

impl Drop for Warm {
    fn drop(&mut self) {
        // A failed test leaves no process behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn terminate(child: &Child) {
    let id = child.id().to_string();
    let status = Command::new("kill").args(["-TERM", &id]).status().unwrap();
    assert!(status.success());
}

fn digest_directory(root: &Path, but: &[String]) -> String {
    let names = std::fs::read_dir(root).unwrap().flatten();
    names
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .find(|name| !but.contains(name))
        .unwrap()
}

#[test]
fn warm_and_cold_trainings_give_the_same_bytes() {
    let root = tempfile::tempdir().unwrap();
    let spec = digits(&json!({
        "augmentation": {"random_crop": {"padding": 1}, "horizontal_flip": true, "cutout": {"size": 2}},
    }));
    let served = root.path().join("served");
    std::fs::create_dir(&served).unwrap();
    let mut warm = Warm::start(&served);
    warm.send(&digits(&json!({"seed": 1, "batch_size": 32})));
    assert_eq!(warm.training().last().unwrap()["event"], "finished");
    let other = digest_directory(&served, &[]);
    warm.send(&spec);
    let events = warm.training();
    assert_eq!(events.last().unwrap()["event"], "finished");
    drop(warm.stdin.take());
    assert!(warm.child.wait().unwrap().success());
    let directory = served.join(digest_directory(&served, &[other]));

    let cold = root.path().join("cold");
    let path = write_spec(root.path(), &spec);
    let mut command = trainer(root.path());
    let output = succeed(
        command
            .arg("train")
            .arg("--spec")
            .arg(&path)
            .arg("--out")
            .arg(&cold),
    );
    let bytes = |directory: &Path| std::fs::read(directory.join("weights.safetensors")).unwrap();
    assert!(bytes(&cold) == bytes(&directory), "weights differ");
    let last = |events: &[Value]| events.last().unwrap().clone();
    let (warm, cold) = (last(&events), last(&lines(&output)));
    assert_eq!(warm["test_loss"], cold["test_loss"]);
    // The weights are named after the file that holds them.
    let digest = blake3::hash(&bytes(&directory)).to_string();
    assert_eq!(warm["weights"], digest);
    assert_eq!(cold["weights"], digest);
}

#[test]
fn weights_are_named_although_nobody_keeps_them() {
    let root = tempfile::tempdir().unwrap();
    let named = |spec: &Value| {
        let path = write_spec(root.path(), spec);
        let output = succeed(trainer(root.path()).arg("train").arg("--spec").arg(&path));
        let events = lines(&output);
        events.last().unwrap()["weights"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let [first, second] = [1, 2].map(|seed| digits(&json!({"seed": seed, "epochs": 1})));
    let digest = named(&first);
    assert_eq!(digest.len(), 64);
    assert_eq!(named(&first), digest);
    assert_ne!(named(&second), digest);
    assert_eq!(
        std::fs::read_dir(root.path()).unwrap().count(),
        1,
        "only the spec"
    );
}

#[test]
fn a_training_learns_and_says_so() {
    let root = tempfile::tempdir().unwrap();
    let path = write_spec(root.path(), &digits(&json!({"epochs": 3})));
    let out = root.path().join("out");
    let mut command = trainer(root.path());
    let output = succeed(
        command
            .arg("train")
            .arg("--spec")
            .arg(&path)
            .arg("--out")
            .arg(&out),
    );
    let events = lines(&output);
    assert_eq!(events.len(), 5);
    assert_eq!(events[0]["event"], "started");
    assert_eq!(events[0]["total_steps"], 63);
    assert_eq!(events[0]["total_epochs"], 3);
    let provenance = &events[0]["provenance"];
    assert_eq!(provenance["libtorch"], "2.13.0");
    assert_eq!(provenance["determinism"], "bitwise");
    for (index, event) in events[1..4].iter().enumerate() {
        assert_eq!(event["event"], "epoch");
        assert_eq!(event["epoch"], index + 1);
        assert_eq!(event["step"], 21 * (index + 1));
        for key in [
            "train_loss",
            "test_loss",
            "lr",
            "seconds",
            "images_per_second",
        ] {
            assert!(event[key].as_f64().unwrap() > 0.0, "{key}");
        }
    }
    let finished = &events[4];
    assert!(
        finished["test_error"].as_f64().unwrap() < 50.0,
        "{finished}"
    );
    assert_eq!(finished["test_error"], events[3]["test_error"]);
    let history = std::fs::read_to_string(out.join("history.jsonl")).unwrap();
    assert_eq!(history.lines().count(), 3);
    let names = [
        "finished.json",
        "history.jsonl",
        "timing.jsonl",
        "weights.safetensors",
    ];
    assert_eq!(file_names(&out), names);

    let mut command = trainer(root.path());
    command.arg("evaluate").arg("--spec").arg(&path);
    let output = succeed(
        command
            .arg("--weights")
            .arg(out.join("weights.safetensors")),
    );
    let evaluated = lines(&output).remove(0);
    assert_eq!(evaluated["test_error"], finished["test_error"]);
    assert_eq!(evaluated["test_loss"], finished["test_loss"]);
    let confusion = evaluated["confusion"].as_array().unwrap();
    let cells = confusion.iter().flat_map(|row| row.as_array().unwrap());
    assert_eq!(cells.map(|cell| cell.as_i64().unwrap()).sum::<i64>(), 450);
    assert_eq!(evaluated["per_class_error"].as_array().unwrap().len(), 10);
}

fn file_names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}

/// Runs `train` and returns exit code, last event and stderr.
fn train(root: &Path, spec: &Value, extra: &[&str]) -> (i32, Value, String) {
    let path = write_spec(root, spec);
    let mut command = trainer(root);
    let output = command
        .arg("train")
        .arg("--spec")
        .arg(&path)
        .args(extra)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = lines(&output).pop().unwrap_or_default();
    (output.status.code().unwrap(), last, stderr)
}

/// Each step multiplies every weight by about a million: f32 overflows after
/// six.
fn diverging() -> Value {
    json!({"lr": 1e6, "weight_decay": 1.0})
}

#[test]
fn a_divergence_ends_the_training_at_once() {
    let root = tempfile::tempdir().unwrap();
    let spec = digits(&json!({"optimizer": diverging(), "epochs": 1000}));
    let out = root.path().join("out");
    let (code, last, _) = train(root.path(), &spec, &["--out", out.to_str().unwrap()]);
    assert_eq!((code, &last["fault"]), (10, &json!("diverged")), "{last}");
    assert!(last["message"].as_str().unwrap().contains("step"), "{last}");
    assert!(!out.join("weights.safetensors").exists());
}

#[test]
fn what_cannot_be_trained_is_invalid() {
    let root = tempfile::tempdir().unwrap();
    let cases = [
        (json!({"precision": "bf61"}), "precision"),
        (json!({"batch_size": 2000}), "1347 training images"),
        (json!({"dataset": {"name": "kmnist"}}), "SWATH_DATA_MIRROR"),
        (json!({"epoch": 3}), "epoch"),
    ];
    for (extra, part) in cases {
        let (code, last, stderr) = train(root.path(), &digits(&extra), &[]);
        assert_eq!((code, &last["fault"]), (11, &json!("invalid")), "{stderr}");
        assert!(stderr.contains(part), "{stderr}");
        assert!(last["message"].as_str().unwrap().contains(part), "{last}");
    }
    let broken = root.path().join("broken.safetensors");
    std::fs::write(&broken, "no weights").unwrap();
    let arguments = ["--weights", broken.to_str().unwrap()];
    let (code, last, _) = train(root.path(), &digits(&json!({})), &arguments);
    assert_eq!(code, 11);
    assert!(
        last["message"]
            .as_str()
            .unwrap()
            .contains("broken.safetensors"),
        "{last}"
    );
}

#[test]
fn a_model_above_the_memory_is_out_of_memory() {
    let root = tempfile::tempdir().unwrap();
    // 76 GB of weights in an address space of 16 GB.
    let spec = digits(&json!({"model": {"depth": 20, "initial_channels": 4096}}));
    let path = write_spec(root.path(), &spec);
    let limited = "ulimit -v 16000000; exec \"$0\" train --spec \"$1\"";
    let mut command = Command::new("sh");
    command.args(["-c", limited, env!("CARGO_BIN_EXE_trainer")]);
    let output = command.arg(&path).output().unwrap();
    let last = lines(&output).pop().unwrap();
    assert_eq!(output.status.code(), Some(12), "{last}");
    assert_eq!(last["fault"], "out_of_memory", "{last}");
}

#[test]
fn sigterm_stops_a_training_within_a_step() {
    let root = tempfile::tempdir().unwrap();
    let mut warm = Warm::start(root.path());
    warm.send(&digits(&json!({"epochs": 100_000})));
    assert_eq!(warm.event()["event"], "started");
    assert_eq!(warm.event()["event"], "epoch");
    terminate(&warm.child);
    assert_eq!(warm.child.wait().unwrap().code(), Some(75));
}

#[test]
fn sigterm_stops_a_trainer_that_waits() {
    let root = tempfile::tempdir().unwrap();
    let mut warm = Warm::start(root.path());
    terminate(&warm.child);
    assert_eq!(warm.child.wait().unwrap().code(), Some(75));
}

#[test]
fn a_warm_trainer_outlives_faults() {
    let root = tempfile::tempdir().unwrap();
    let mut warm = Warm::start(root.path());
    warm.send(&digits(&json!({"optimizer": diverging()})));
    assert_eq!(warm.training().last().unwrap()["fault"], "diverged");
    writeln!(warm.stdin.as_mut().unwrap(), "no spec").unwrap();
    assert_eq!(warm.training().last().unwrap()["fault"], "invalid");
    warm.send(&digits(&json!({"epochs": 1})));
    assert_eq!(warm.training().last().unwrap()["event"], "finished");
    drop(warm.stdin.take());
    assert!(warm.child.wait().unwrap().success());
}

#[test]
fn the_schedule_is_printed_step_by_step() {
    let root = tempfile::tempdir().unwrap();
    let spec = digits(&json!({
        "schedule": {"name": "multistep", "milestones": [1]}, "warmup": {
            "name": "linear", "steps": 2, "start_factor": 0.5,
        },
    }));
    let path = write_spec(root.path(), &spec);
    let output = succeed(
        trainer(root.path())
            .arg("schedule")
            .arg("--spec")
            .arg(&path),
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!(rows.len(), 43);
    assert_eq!(rows[0], "step,epoch,lr,batch_size");
    assert_eq!(rows[1], "0,0,0.025,64");
    assert_eq!(rows[3], "2,0,0.05,64");
    assert!(rows[22].starts_with("21,1,0.005"), "{}", rows[22]);
}

/// Where Debian's package puts Fashion-MNIST.
const FASHION_MNIST: &str = "/usr/share/datasets/fashion-mnist";

/// Whether the real Fashion-MNIST is on this machine; says so if it is not.
#[expect(
    clippy::print_stderr,
    reason = "whoever reads the log must know what was not tested"
)]
fn has_fashion_mnist(test: &str) -> bool {
    let there = Path::new(FASHION_MNIST).is_dir();
    if !there {
        eprintln!("SKIP {test}: no {FASHION_MNIST} (on Debian: dataset-fashion-mnist)");
    }
    there
}

/// A few steps on 28×28 images of `dataset`.
fn short(dataset: &str) -> Value {
    json!({
        "dataset": {"name": dataset},
        "model": {"name": "resnet_preact", "depth": 8, "initial_channels": 4},
        "batch_size": 128, "steps": 2,
        "optimizer": {"lr": 0.1},
    })
}

#[test]
fn fashion_mnist_trains() {
    if !has_fashion_mnist("fashion_mnist_trains") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let spec = json!({
        "dataset": {"name": "fashion_mnist"},
        "model": {"name": "resnet_preact", "depth": 8, "initial_channels": 4},
        "batch_size": 128, "steps": 40,
        "optimizer": {"lr": 0.1, "weight_decay": 1e-4},
        "schedule": {"name": "cosine"},
        "augmentation": {"random_crop": {"padding": 2}, "horizontal_flip": true},
    });
    let (code, last, stderr) = train(root.path(), &spec, &[]);
    assert_eq!(code, 0, "{stderr}");
    assert!(last["test_error"].as_f64().unwrap() < 75.0, "{last}");
    // Its sums are known, so there is no warning.
    assert!(!stderr.contains("warning"), "{stderr}");
}

#[test]
fn fashion_mnist_under_another_name_is_refused() {
    if !has_fashion_mnist("fashion_mnist_under_another_name_is_refused") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let stem = "train-images-idx3-ubyte";
    let packed = std::fs::read(format!("{FASHION_MNIST}/{stem}.gz")).unwrap();
    let mut content = Vec::new();
    flate2::read::MultiGzDecoder::new(&packed[..])
        .read_to_end(&mut content)
        .unwrap();
    for dataset in ["mnist", "kmnist"] {
        let directory = root.path().join("no-data").join(dataset);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(stem), &content).unwrap();
        for rest in [
            "train-labels-idx1-ubyte",
            "t10k-images-idx3-ubyte",
            "t10k-labels-idx1-ubyte",
        ] {
            let name = format!("{rest}.gz");
            let from = Path::new(FASHION_MNIST).join(&name);
            std::fs::copy(from, directory.join(name)).unwrap();
        }
        // A list of one's own sums does not make it another data set.
        let sum = "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888";
        std::fs::write(directory.join("SHA256SUMS"), format!("{sum}  {stem}\n")).unwrap();
        let (code, last, stderr) = train(root.path(), &short(dataset), &[]);
        assert_eq!((code, &last["fault"]), (11, &json!("invalid")), "{stderr}");
        for part in [
            stem,
            "`fashion_mnist`",
            &format!("`{dataset}`"),
            &sum[..12],
            "delete",
        ] {
            assert!(stderr.contains(part), "{stderr}");
        }
    }
}

#[test]
fn data_that_could_only_be_counted_are_warned_of() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("no-data/kmnist");
    std::fs::create_dir_all(&directory).unwrap();
    for (part, count) in [("train", 60_000_u32), ("t10k", 10_000)] {
        let mut images = vec![0, 0, 8, 3];
        images.extend([count, 28, 28].into_iter().flat_map(u32::to_be_bytes));
        images.resize(16 + 784 * count as usize, 0);
        std::fs::write(directory.join(format!("{part}-images-idx3-ubyte")), images).unwrap();
        let mut labels = vec![0, 0, 8, 1];
        labels.extend(count.to_be_bytes());
        labels.resize(8 + count as usize, 0);
        std::fs::write(directory.join(format!("{part}-labels-idx1-ubyte")), labels).unwrap();
    }
    let (code, _, stderr) = train(root.path(), &short("kmnist"), &[]);
    assert_eq!(code, 0, "{stderr}");
    for part in [
        "warning",
        "kmnist/t10k-labels-idx1-ubyte",
        "not their content",
        "SHA256SUMS",
    ] {
        assert!(stderr.contains(part), "{stderr}");
    }
}
