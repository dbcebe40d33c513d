//! A data set of the user's own, from image files to the class of one image, by
//! the commands of the README.

mod support;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::GzDecoder;
use image::{GrayImage, Luma};
use serde_json::Value;
use support::{lines, read, succeed, trainer};

/// The classes: digits that are easy to tell apart.
const NAMES: [&str; 3] = ["zero", "one", "two"];

/// The spec of the README, made small.
const SPEC: &str = r#"
dataset = { name = "folder", path = "images", size = 16 }
model = { name = "resnet_preact", depth = 8, initial_channels = 4 }
batch_size = 32
epochs = 6
optimizer = { lr = 0.1, momentum = 0.9, weight_decay = 1e-4 }
schedule.name = "cosine"
seed = 1
"#;

/// Writes the first images of each of [`NAMES`] as PNG files of 8×8.
fn write_images(root: &Path, train: usize, test: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/digits.csv.gz");
    let mut text = String::new();
    GzDecoder::new(&*std::fs::read(path).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    let mut counts = [0; NAMES.len()];
    for line in text.lines() {
        let values: Vec<u8> = line.split(',').map(|v| v.parse().unwrap()).collect();
        let class = usize::from(values[64]);
        if class >= NAMES.len() || counts[class] == train + test {
            continue;
        }
        let split = if counts[class] < train {
            "train"
        } else {
            "test"
        };
        let directory = root.join(split).join(NAMES[class]);
        std::fs::create_dir_all(&directory).unwrap();
        let grey = |x: u32, y: u32| Luma([values[(8 * y + x) as usize] * 15]);
        GrayImage::from_fn(8, 8, grey)
            .save(directory.join(format!("{}.png", counts[class])))
            .unwrap();
        counts[class] += 1;
    }
}

/// `trainer` with `arguments`, started in `root`.
fn at(root: &Path, arguments: &str) -> Command {
    let mut command = trainer(root);
    command.current_dir(root).args(arguments.split_whitespace());
    command
}

#[test]
fn a_folder_is_trained_measured_and_asked() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write_images(&root.join("images"), 60, 20);
    std::fs::write(root.join("spec.toml"), SPEC).unwrap();

    let described = lines(&succeed(&mut at(root, "describe --spec spec.toml")));
    assert_eq!(described[0]["classes"], 3);
    assert_eq!(described[0]["steps_per_epoch"], 180 / 32);

    let output = succeed(&mut at(root, "train --spec spec.toml --out result"));
    let told = String::from_utf8_lossy(&output.stderr);
    for part in [
        "180 training and 60 test images of 1×16×16",
        "zero",
        "dataset.mean = [",
    ] {
        assert!(told.contains(part), "{told}");
    }
    let finished = lines(&output).pop().unwrap();
    let error = finished["test_error"].as_f64().unwrap();
    assert!(error < 10.0, "{finished}");

    let weighted = "--spec spec.toml --weights result/weights.safetensors";
    let measured = lines(&succeed(&mut at(root, &format!("evaluate {weighted}"))));
    assert_eq!(measured[0]["test_error"], finished["test_error"]);
    assert_eq!(measured[0]["per_class_error"].as_array().unwrap().len(), 3);

    asks_every_test_image(root, weighted, error);
}

/// `predict` reads a file as training did, so it is wrong as often as was
/// measured.
fn asks_every_test_image(root: &Path, weighted: &str, error: f64) {
    let mut files = Vec::new();
    for name in NAMES {
        let directory = root.join("images/test").join(name);
        let entries = std::fs::read_dir(&directory).unwrap();
        files.extend(entries.map(|entry| (name, entry.unwrap().path())));
    }
    let mut command = at(root, &format!("predict {weighted} --out logits --image"));
    let paths: Vec<&PathBuf> = files.iter().map(|(_, path)| path).collect();
    let answers = lines(&succeed(command.args(&paths)));
    assert_eq!(answers.len(), files.len());
    let mut wrong = 0;
    for ((name, path), answer) in files.iter().zip(&answers) {
        assert_eq!(answer["image"].as_str(), path.to_str());
        let top = answer["top"].as_array().unwrap();
        let sum: f64 = top.iter().map(|g| g["probability"].as_f64().unwrap()).sum();
        assert!(top.len() == 3 && (sum - 1.0).abs() < 1e-5, "{answer}");
        let class = top[0]["class"].as_u64().unwrap() as usize;
        // The names are sorted: one, two, zero.
        assert_eq!(top[0]["name"], ["one", "two", "zero"][class]);
        wrong += usize::from(top[0]["name"] != *name);
    }
    let measured = 100.0 * wrong as f64 / files.len() as f64;
    assert!((measured - error).abs() < 1e-9, "{measured} {error}");
    assert_eq!(read(&root.join("logits"))["logits"].shape, [files.len(), 3]);
}

#[test]
fn images_are_asked_about_with_names_of_the_built_in_classes() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write_images(&root.join("images"), 1, 1);
    let spec = SPEC.replace(
        r#"name = "folder", path = "images", size = 16"#,
        r#"name = "digits""#,
    );
    std::fs::write(root.join("spec.toml"), spec).unwrap();
    succeed(&mut at(root, "init --spec spec.toml --out weights"));
    let asked = "predict --spec spec.toml --weights weights --image images/test/two/1.png";
    let answer: Vec<Value> = lines(&succeed(&mut at(root, asked)));
    let top = answer[0]["top"].as_array().unwrap();
    assert_eq!(top.len(), 5);
    for guess in top {
        assert_eq!(guess["name"], guess["class"].to_string());
    }
}

#[test]
fn what_is_wrong_with_a_folder_or_an_image_is_said() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    std::fs::write(root.join("spec.toml"), SPEC).unwrap();
    let failed = |arguments: &str| {
        let output = at(root, arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), text)
    };
    let (code, text) = failed("train --spec spec.toml");
    let here = root.canonicalize().unwrap().display().to_string();
    assert_eq!(code, Some(11), "{text}");
    assert!(text.contains("images") && text.contains(&here), "{text}");
    write_images(&root.join("images"), 3, 1);
    let path = root.join("images/train/one/0.png");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let (code, text) = failed("train --spec spec.toml");
    assert_eq!(code, Some(11), "{text}");
    assert!(text.contains("images/train/one/0.png"), "{text}");
    std::fs::write(&path, &bytes).unwrap();
    succeed(&mut at(root, "init --spec spec.toml --out weights"));
    let (code, text) = failed("predict --spec spec.toml --weights weights --image spec.toml");
    assert_eq!(code, Some(11), "{text}");
    assert!(
        text.contains("spec.toml is not a complete PNG or JPEG"),
        "{text}"
    );
    let (code, text) = failed("predict --spec spec.toml --weights weights");
    assert_eq!(code, Some(2), "{text}");
}
