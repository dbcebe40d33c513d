//! The files under `sweeps/`, and what they expand to.

use serde_json::Value;
use swath_model::spec::{canonical, number_text};
use swath_sweep::{Cell, FileError, SweepFile, expand};

macro_rules! shipped {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../../sweeps/", $path)))),*]
    };
}

/// Every file by its path under `sweeps/`.
const FILES: &[(&str, &str)] = shipped![
    "README.md",
    "fashion_mnist.toml",
    "fashion_mnist_published.toml",
    "ghost_bn.toml",
    "initial_lr.toml",
    "kmnist.toml",
    "lars.toml",
    "linear_scaling.toml",
    "longer_training.toml",
    "mnist.toml",
    "models.toml",
    "precision.toml",
    "quickstart.toml",
    "regularization.toml",
    "residual_units.toml",
    "resnet_preact20_wide.toml",
    "weight_decay_bn.toml",
    "wrn_multi_gpu.toml",
    "wrn_shake_shake.toml",
    "recipes/cifar10.toml",
    "recipes/published.toml",
    "recipes/resnet_preact20.toml",
    "recipes/resnet_preact20_cifar10.toml",
    "recipes/resnet_preact20_fashion_mnist.toml",
    "recipes/resnet_preact20_kmnist.toml",
    "recipes/resnet_preact20_mnist.toml",
    "recipes/resnet_preact56_cifar10.toml",
    "recipes/resnet_preact8_digits.toml",
    "recipes/wrn28_10_cifar10.toml",
    "reference/fashion_mnist_published.csv",
    "reference/ghost_bn.csv",
    "reference/initial_lr.csv",
    "reference/kmnist.csv",
    "reference/lars.csv",
    "reference/linear_scaling.csv",
    "reference/longer_training.csv",
    "reference/mnist.csv",
    "reference/models.csv",
    "reference/precision.csv",
    "reference/published_cells.csv",
    "reference/published_jobs.csv",
    "reference/regularization.csv",
    "reference/residual_units.csv",
    "reference/resnet_preact20_wide.csv",
    "reference/weight_decay_bn.csv",
    "reference/wrn_multi_gpu.csv",
    "reference/wrn_shake_shake.csv",
];

/// The names of the sweep files.
pub(crate) fn sweeps() -> impl Iterator<Item = &'static str> {
    let names = FILES.iter().map(|(path, _)| *path);
    names.filter(|path| *path != "README.md" && !path.contains('/'))
}

pub(crate) fn read(path: &str) -> Result<String, String> {
    let found = FILES.iter().find(|(name, _)| *name == path);
    found
        .map(|(_, text)| (*text).to_owned())
        .ok_or_else(|| "no such file".to_owned())
}

pub(crate) fn sweep(path: &str) -> SweepFile {
    let text = read(path).unwrap();
    SweepFile::parse(path, &text, &read).unwrap_or_else(|errors| panic!("{}", lines(&errors)))
}

pub(crate) fn cells(path: &str) -> Vec<Cell> {
    let file = sweep(path);
    let expansion = expand(&file).unwrap_or_else(|errors| panic!("{}", lines(&errors)));
    expansion.cells().collect()
}

fn lines(errors: &[FileError]) -> String {
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// The value of a cell at `path`, as an axis or in its spec; empty if there is
/// none.
pub(crate) fn value(cell: &Cell, path: &str) -> String {
    let mut axes = cell.axes.iter();
    let axis = axes.find(|(axis, _)| axis == path).map(|(_, value)| value);
    match axis.or_else(|| cell.spec.get(path)) {
        None => String::new(),
        Some(Value::Number(number)) => number_text(number),
        Some(Value::String(text)) => text.clone(),
        Some(other) => canonical(other),
    }
}

/// Whether two texts are the same number, or the same text.
pub(crate) fn same(left: &str, right: &str) -> bool {
    match (left.parse::<f64>(), right.parse::<f64>()) {
        (Ok(left), Ok(right)) => left.total_cmp(&right).is_eq(),
        _ => left == right,
    }
}

/// The lines of a CSV file, each with its columns' names.
pub(crate) struct Lines {
    header: Vec<String>,
    lines: Vec<Vec<String>>,
}

/// One line of a CSV file.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    header: &'a [String],
    fields: &'a [String],
}

impl Lines {
    pub(crate) fn of(path: &str) -> Self {
        let text = read(path).unwrap();
        let mut lines: Vec<_> = text.lines().map(fields).collect();
        let header = lines.remove(0);
        for line in &lines {
            assert_eq!(line.len(), header.len(), "{path}: {line:?}");
        }
        Self { header, lines }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Line<'_>> {
        self.lines.iter().map(|fields| Line {
            header: &self.header,
            fields,
        })
    }

    pub(crate) fn columns(&self) -> &[String] {
        &self.header
    }
}

impl<'a> Line<'a> {
    /// The field of a column; empty if there is no such column.
    pub(crate) fn get(self, column: &str) -> &'a str {
        let at = self.header.iter().position(|name| name == column);
        at.map_or("", |at| self.fields[at].as_str())
    }
}

/// The fields of a line; quoted ones may hold commas and doubled quotes.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for part in line.split_inclusive(['"', ',']) {
        let (text, end) = match part.strip_suffix(['"', ',']) {
            Some(text) => (text, part.chars().last()),
            None => (part, None),
        };
        let last = fields.last_mut().unwrap();
        last.push_str(text);
        match end {
            Some('"') => quoted = !quoted,
            Some(comma) if quoted => last.push(comma),
            Some(_) => fields.push(String::new()),
            None => {}
        }
    }
    fields
}
