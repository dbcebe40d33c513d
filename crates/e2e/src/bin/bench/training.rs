//! The trainer's speed and memory, beside PyTorch in the same run.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};
use swath_e2e::{Site, binary};

use crate::pytorch::{Pytorch, Run};
use crate::text::{Figure, progress, quantile};

const TEST_IMAGES: usize = 64;
const PIXELS: usize = 3 * 32 * 32;
/// Rounds of Swath and PyTorch in turn, so that a noisy neighbour hits all.
const ROUNDS: usize = 3;
/// The modes of PyTorch that Swath is compared with.
const WAYS: [&str; 3] = ["default", "channels_last", "compile"];
/// A mode that times only the convolutions of a model.
const CONVOLUTIONS: &str = "convolutions";
/// Swath's convolutions should take at least this share of its time.
const CONVOLUTIONS_SHARE: f64 = 0.85;

/// A network at a batch size.
struct Case {
    name: &'static str,
    /// The network's name in `benches/pytorch_models.py`.
    pytorch: &'static str,
    /// The network as `model` in a spec.
    model: Value,
    batch: usize,
    /// Timed steps per round.
    steps: usize,
}

impl Case {
    /// The goal for Swath's images per second, as a multiple of PyTorch's best.
    fn goal(&self) -> f64 {
        if self.batch >= 1024 { 1.3 } else { 1.1 }
    }
}

fn cases() -> Vec<Case> {
    let preact = |batch, steps| Case {
        name: "ResNet-preact-20",
        pytorch: "preact20",
        model: json!({"name": "resnet_preact", "depth": 20}),
        batch,
        steps,
    };
    vec![
        preact(32, 60),
        preact(128, 16),
        preact(1024, 3),
        preact(4096, 2),
        Case {
            name: "WRN-16-4",
            pytorch: "wrn16_4",
            model: json!({"name": "wrn", "depth": 16, "widening_factor": 4}),
            batch: 128,
            steps: 3,
        },
        Case {
            name: "DenseNet-BC-40-12",
            pytorch: "densenet_bc40_12",
            model: json!({"name": "densenet", "depth": 40, "block_type": "bottleneck", "growth_rate": 12}),
            batch: 64,
            steps: 8,
        },
        Case {
            name: "shake-shake-14 2x32d",
            pytorch: "shake14_32",
            model: json!({"name": "shake_shake", "depth": 14, "initial_channels": 32}),
            batch: 128,
            steps: 3,
        },
    ]
}

/// Measures all networks, then the starts.
pub(crate) fn measure() -> Vec<Figure> {
    let site = Site::new();
    let pytorch = Pytorch::find();
    let mut figures = Vec::new();
    for case in cases() {
        figures.extend(compare(&site, &case, pytorch.as_ref()));
    }
    figures.extend(starts(&site));
    figures
}

/// Measures one network with Swath and every mode of PyTorch in turn.
fn compare(site: &Site, case: &Case, pytorch: Option<&Pytorch>) -> Vec<Figure> {
    let name = format!("{}, batch {}", case.name, case.batch);
    let data = site.path().join("bench.safetensors");
    if let Err(error) = write_data(&data, case.batch * case.steps) {
        return vec![Figure::plain(name, format!("not measured: {error}"))];
    }
    let mut ours: Vec<Run> = Vec::new();
    let mut theirs: Vec<Vec<Run>> = vec![Vec::new(); WAYS.len()];
    let mut convolutions: Vec<Run> = Vec::new();
    for round in 1..=ROUNDS {
        progress(&format!("{name}, round {round} of {ROUNDS}"));
        ours.extend(swath(site, &data, case));
        let Some(pytorch) = pytorch else { continue };
        for (way, runs) in WAYS.iter().zip(&mut theirs) {
            runs.extend(pytorch.run(case.pytorch, case.batch, way, case.steps));
        }
        convolutions.extend(pytorch.run(case.pytorch, case.batch, CONVOLUTIONS, case.steps));
    }
    if ours.is_empty() {
        return vec![Figure::plain(name, "not measured: the trainer failed")];
    }
    let ours = median(&ours);
    let mut figures = vec![Figure::plain(format!("{name}: Swath"), shown(ours))];
    let Some(pytorch) = pytorch else {
        figures.push(Figure::plain(format!("{name}: PyTorch"), "not installed"));
        return figures;
    };
    let comparable = pytorch.is_comparable();
    let theirs: Vec<Run> = theirs
        .iter()
        .filter(|runs| !runs.is_empty())
        .map(|runs| median(runs))
        .collect();
    for (way, run) in WAYS.iter().zip(&theirs) {
        let what = format!("{name}: PyTorch {}, {way}", pytorch.version);
        figures.push(Figure::plain(what, shown(*run)));
    }
    if theirs.len() < WAYS.len() || convolutions.is_empty() {
        figures.push(Figure::plain(
            format!("{name}: PyTorch"),
            "a way of it failed",
        ));
        return figures;
    }
    figures.extend(verdicts(
        &name,
        case,
        ours,
        &theirs,
        median(&convolutions),
        comparable,
    ));
    figures
}

/// The figures with Swath's goals. A PyTorch other than the one of Swath's
/// libtorch is shown without goals.
fn verdicts(
    name: &str,
    case: &Case,
    ours: Run,
    theirs: &[Run],
    convolutions: Run,
    comparable: bool,
) -> Vec<Figure> {
    let best = theirs.iter().map(|run| run.images_per_second);
    let best = best.fold(f64::NAN, f64::max);
    let least = theirs.iter().map(|run| run.peak_bytes);
    let least = least.fold(f64::NAN, f64::min);
    let held = [
        Figure::at_least(
            format!("{name}: Swath over the best of PyTorch"),
            ours.images_per_second / best,
            case.goal(),
            "×",
        ),
        Figure::at_least(
            format!("{name}: Swath over its convolutions alone"),
            ours.images_per_second / convolutions.images_per_second,
            CONVOLUTIONS_SHARE,
            "×",
        ),
        Figure::at_most(
            format!("{name}: peak memory over the least of PyTorch"),
            ours.peak_bytes / least,
            1.0,
            "×",
        ),
    ];
    held.into_iter()
        .map(|figure| if comparable { figure } else { figure.unheld() })
        .collect()
}

fn shown(run: Run) -> String {
    let megabytes = run.peak_bytes / f64::from(1 << 20);
    format!("{:.0} images/s, {megabytes:.0} MiB", run.images_per_second)
}

fn median(runs: &[Run]) -> Run {
    let of =
        |value: fn(&Run) -> f64| quantile(&mut runs.iter().map(value).collect::<Vec<_>>(), 0.5);
    Run {
        images_per_second: of(|run| run.images_per_second),
        peak_bytes: of(|run| run.peak_bytes),
    }
}

/// Random images in a safetensors file: a length, a JSON header, the bytes.
fn write_data(path: &Path, train_images: usize) -> std::io::Result<()> {
    let mut header = serde_json::Map::new();
    let mut bytes: Vec<u8> = Vec::new();
    let mut state: u32 = 1;
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    for (part, count) in [("train", train_images), ("test", TEST_IMAGES)] {
        let start = bytes.len();
        bytes.extend((0..count * PIXELS).map(|_| random()));
        let entry = json!({"dtype": "U8", "shape": [count, 3, 32, 32], "data_offsets": [start, bytes.len()]});
        header.insert(format!("{part}_images"), entry);
        let start = bytes.len();
        bytes.extend((0..count).flat_map(|index| (index as i64 % 10).to_le_bytes()));
        let entry = json!({"dtype": "I64", "shape": [count], "data_offsets": [start, bytes.len()]});
        header.insert(format!("{part}_labels"), entry);
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = std::fs::File::create(path)?;
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    file.write_all(&bytes)
}

/// Trains for three epochs; the first one is the warm-up.
fn swath(site: &Site, data: &Path, case: &Case) -> Option<Run> {
    let spec = json!({
        "dataset": {"name": "tensors", "path": data, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
        "model": case.model,
        "batch_size": case.batch,
        "epochs": 3,
        "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": true, "weight_decay": 1e-4},
        "augmentation": {"random_crop": {"padding": 4}, "horizontal_flip": true},
    });
    let path = site.write("bench.json", &spec.to_string());
    let mut trainer = Command::new(binary("trainer"));
    let mut child = trainer
        .arg("train")
        .arg("--spec")
        .arg(path)
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut speeds = Vec::new();
    let mut peak = 0.0;
    for event in events(&mut child)? {
        peak = peak_bytes(&child).unwrap_or(peak);
        if event["event"] == "epoch" && event["epoch"] != 1 {
            speeds.extend(event["images_per_second"].as_f64());
        }
    }
    let finished = child.wait().ok()?.success() && !speeds.is_empty();
    finished.then(|| Run {
        images_per_second: quantile(&mut speeds, 0.5),
        peak_bytes: peak,
    })
}

/// The JSON lines of a trainer, as they come.
fn events(child: &mut Child) -> Option<impl Iterator<Item = Value> + use<>> {
    let lines = BufReader::new(child.stdout.take()?).lines();
    Some(lines.filter_map(|line| serde_json::from_str(&line.ok()?).ok()))
}

/// The largest resident memory of a process so far.
fn peak_bytes(child: &Child) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// How long a training waits for its first step, in its own process and in a
/// warm one.
fn starts(site: &Site) -> Vec<Figure> {
    progress("cold and warm starts");
    let spec = json!({
        "dataset": {"name": "digits"},
        "model": {"name": "resnet_preact", "depth": 20},
        "batch_size": 128, "steps": 1, "optimizer": {"lr": 0.1},
    });
    let line = format!("{spec}\n");
    let path = site.write("start.json", &line);
    let mut cold = Vec::new();
    let mut warm = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let mut trainer = Command::new(binary("trainer"));
        trainer.arg("train").arg("--spec").arg(&path);
        cold.extend(started_after(trainer.stdout(Stdio::piped()), begun));
    }
    warm.extend(warm_starts(&line).unwrap_or_default());
    if cold.is_empty() || warm.is_empty() {
        return vec![Figure::plain("starts", "not measured: the trainer failed")];
    }
    let (cold, warm) = (quantile(&mut cold, 0.5), quantile(&mut warm, 0.5));
    vec![
        Figure::below("cold trainer, exec to `started`", cold, 1.5, " s"),
        Figure::below("warm trainer, spec to `started`", warm * 1e3, 50.0, " ms"),
    ]
}

fn started_after(command: &mut Command, begun: Instant) -> Option<f64> {
    let mut child = command.spawn().ok()?;
    let mut events = events(&mut child)?;
    let started = events.find(|event| event["event"] == "started");
    let seconds = begun.elapsed().as_secs_f64();
    // A trainer whose output nobody reads fails.
    events.for_each(drop);
    child.wait().ok()?;
    started.map(|_| seconds)
}

/// Seconds from a line to its `started`, in one process, except the first.
fn warm_starts(line: &str) -> Option<Vec<f64>> {
    let mut child = Command::new(binary("trainer"))
        .arg("serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take()?;
    let mut events = events(&mut child)?;
    events.find(|event| event["event"] == "ready")?;
    let mut seconds = Vec::new();
    for round in 0..=ROUNDS {
        let begun = Instant::now();
        stdin.write_all(line.as_bytes()).ok()?;
        events.find(|event| event["event"] == "started")?;
        if round > 0 {
            seconds.push(begun.elapsed().as_secs_f64());
        }
        events.find(|event| event["event"] == "finished")?;
    }
    drop(stdin);
    child.wait().ok()?;
    Some(seconds)
}
