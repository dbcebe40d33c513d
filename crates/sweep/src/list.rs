//! Sweeps that are given by their cells, without a file.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;
use swath_model::keep::Keep;
use swath_model::limits::{AXES_MAX, MISTAKE_BYTES_MAX, MISTAKES_TOLD_MAX};
use swath_model::message::CellList;
use swath_model::probe::{MEMORY_BYTES, STEP_SECONDS};
use swath_model::program::Launch;
use swath_model::seed::Seeds;
use swath_model::spec::{JobSpec, Work, keys, too_long};
use swath_model::text::cut;
use swath_model::view::SweepKind;

use super::expand::{Cell, JOBS_MAX, SweepSize};
use super::file::{self, Measure};
use super::layout::Layout;
use super::needs;
use super::replicates;
use super::settings::{PARAMS, SEED};
use super::whole::{Head, Tally, Whole};

/// What every cell of a program says; it tells none from another.
const SEEDS: &str = "trainer.seeds";

/// Always axes, where the cells have them.
const AXES: [&str; 2] = ["model.name", "batch_size"];

/// What is wrong with a list of cells, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListError {
    /// The cell's place in the list, from 1; 0 when the sweep as a whole is
    /// meant.
    pub cell: usize,
    /// The dotted path of the key; empty when no key is meant.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl ListError {
    fn new(cell: usize, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            cell,
            key: key.into(),
            message: cut(message.into(), MISTAKE_BYTES_MAX),
        }
    }
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cell {
            0 => f.write_str("the list of cells")?,
            cell => write!(f, "cell {cell}")?,
        }
        if !self.key.is_empty() {
            write!(f, ": `{}`", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for ListError {}

/// Checks a list of cells as strictly as a file. Its axes are what varies; its
/// table has a row per cell, and shows of probes what they measure.
///
/// # Errors
///
/// Every mistake, up to a limit.
pub fn list_whole(list: &CellList) -> Result<Whole, Vec<ListError>> {
    let mut errors = heading(list);
    let specs = specs(list, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let leaves: Vec<Leaves> = specs.iter().map(|it| leaves_of(it.cell_tree())).collect();
    let paths = axes(&leaves);
    if paths.len() > AXES_MAX {
        let message = format!("differ in {} keys; at most {AXES_MAX}", paths.len());
        return Err(vec![ListError::new(0, "cells", message)]);
    }
    let layout = layout(list.kind, &paths, &specs);
    let head = Head {
        name: &list.name,
        title: &list.title,
        replicates: list.replicates,
        replicates_max: None,
        measure: Measure::Last,
        needs: &list.needs,
        // It is among the needs.
        launch: &Launch::default(),
        keep: Keep::default(),
        unit: None,
        layout: &layout,
        reference: None,
        labels: Vec::new(),
    };
    let mut tally = Tally::new(&head, &paths);
    let mut size = SweepSize::default();
    let mut cells = Vec::with_capacity(specs.len());
    for (index, (spec, leaves)) in specs.into_iter().zip(&leaves).enumerate() {
        let axes = paths.iter().filter_map(|path| {
            let leaf = leaves.iter().find(|(other, _)| other == path);
            leaf.cloned()
        });
        let cell = Cell::new(index as u32, axes.collect(), spec, None);
        size.add(&cell);
        if let Some(error) = too_long(cell.spec.cell_tree(), &cell.text) {
            errors.push(ListError::new(index + 1, error.key, error.message));
        }
        if let Err(before) = tally.add(&cell) {
            let message = format!("is the same as cell {}", before + 1);
            errors.push(ListError::new(index + 1, "", message));
        }
        cells.push(cell);
        if let Some(message) = size.beyond() {
            return Err(vec![ListError::new(0, "cells", message)]);
        }
    }
    if !errors.is_empty() {
        errors.truncate(MISTAKES_TOLD_MAX);
        return Err(errors);
    }
    let (digest, grid) = tally.close();
    Ok(Whole {
        digest,
        name: list.name.clone(),
        title: list.title.clone(),
        kind: list.kind,
        replicates: list.replicates,
        replicates_max: None,
        measure: Measure::Last,
        needs: list.needs.clone(),
        launch: list.needs.launch.clone(),
        keep: Keep::default(),
        unit: None,
        layout,
        reference: None,
        grid,
        cells,
    })
}

/// What is wrong with everything but the cells.
fn heading(list: &CellList) -> Vec<ListError> {
    let mut errors = Vec::new();
    let mut wrong = |key: &str, message: String| errors.push(ListError::new(0, key, message));
    if !file::is_name(&list.name) {
        wrong("name", file::NAME.to_owned());
    }
    if !file::is_title(&list.title) {
        wrong("title", file::TITLE.to_owned());
    }
    if let Err(message) = replicates::checked(&list.replicates.into()) {
        wrong("replicates", message);
    }
    for (key, message) in needs::wrong(&list.needs) {
        wrong(&format!("needs.{key}"), message);
    }
    let (cells, replicates) = (list.cells.len(), list.replicates);
    let jobs = (cells as u128).saturating_mul(replicates.into());
    if cells == 0 {
        wrong("cells", "has no cell".to_owned());
    } else if jobs > JOBS_MAX {
        let message = format!(
            "makes {jobs} jobs, {cells} cells x {replicates} replicates; \
             a sweep has at most {JOBS_MAX}"
        );
        wrong("cells", message);
    }
    errors
}

/// The checked specs, as far as there are not too many errors.
fn specs(list: &CellList, errors: &mut Vec<ListError>) -> Vec<JobSpec> {
    let mut specs = Vec::with_capacity(list.cells.len());
    for (place, tree) in (1..).zip(&list.cells) {
        if errors.len() >= MISTAKES_TOLD_MAX {
            break;
        }
        match spec(list.kind, tree) {
            Ok(spec) => specs.push(spec),
            Err(wrong) => {
                let wrong = wrong.into_iter();
                errors.extend(wrong.map(|(key, message)| ListError::new(place, key, message)));
            }
        }
    }
    let beyond = |spec| needs::beyond(&list.needs, spec);
    let beyond = specs.iter().find_map(beyond);
    errors.extend(beyond.map(|it| ListError::new(0, "needs.count", it)));
    specs
}

/// One cell's spec, or what is wrong at which key.
fn spec(kind: SweepKind, tree: &Value) -> Result<JobSpec, Vec<(String, String)>> {
    let one = |key: &str, message: String| Err(vec![(key.to_owned(), message)]);
    if !tree.is_object() {
        let what = keys::describe(tree);
        return one("", format!("must be a table of keys, not {what}"));
    }
    if tree.get("seed").is_some() {
        return one("seed", SEED.to_owned());
    }
    if tree.get("params").is_some_and(|params| !params.is_object()) {
        return one("params", PARAMS.to_owned());
    }
    let spec = JobSpec::from_value(&with_seeds(tree)).map_err(|errors| {
        let errors = errors.into_iter();
        errors.map(|it| (it.key, it.message)).collect::<Vec<_>>()
    })?;
    let is = match (kind, spec.is_probe()) {
        (SweepKind::Training, true) => "is set, in a sweep of trainings",
        (SweepKind::Probe, false) => "is not set, in a sweep of probes",
        _ => return Ok(spec),
    };
    one(
        "probe",
        format!("{is}; trainings and probes need a sweep each"),
    )
}

/// The same, saying how the replicates of a program get their seeds.
fn with_seeds(tree: &Value) -> Value {
    let mut tree = tree.clone();
    let trainer = tree.get_mut("trainer").and_then(Value::as_object_mut);
    if let Some(trainer) = trainer.filter(|trainer| trainer.contains_key("command"))
        && let Some(seeds) = Seeds::Distinct.to_value()
    {
        trainer.entry("seeds").or_insert(seeds);
    }
    tree
}

fn layout(kind: SweepKind, paths: &[&str], specs: &[JobSpec]) -> Layout {
    let rows = paths.iter().map(|&path| path.to_owned()).collect();
    match (kind, specs.first().map(JobSpec::work)) {
        (SweepKind::Probe, _) => Layout::List {
            rows,
            columns: [STEP_SECONDS, MEMORY_BYTES]
                .map(|name| format!("metrics.{name}"))
                .to_vec(),
        },
        (SweepKind::Training, Some(Work::Command(command))) => Layout::plain(rows, &command.metric),
        (SweepKind::Training, _) => Layout::plain(rows, "test_error"),
    }
}

/// The keys of a spec with their values.
type Leaves = Vec<(String, Value)>;

fn leaves_of(tree: &Value) -> Leaves {
    let mut leaves = Vec::new();
    walk(tree, String::new(), &mut leaves);
    leaves
}

fn walk(value: &Value, path: String, leaves: &mut Leaves) {
    match value {
        Value::Object(entries) if path.is_empty() || is_open(&path) => {
            for (name, value) in entries {
                let dot = if path.is_empty() { "" } else { "." };
                walk(value, format!("{path}{dot}{name}"), leaves);
            }
        }
        _ => leaves.push((path, value.clone())),
    }
}

/// Whether the values under this path are keys of their own.
fn is_open(path: &str) -> bool {
    keys::is_table(path) || path == "params" || path.starts_with("params.")
}

/// The keys that are axes, in order of first appearance: those that not all
/// cells have alike. There is one at least, because it names the row.
fn axes(cells: &[Leaves]) -> Vec<&str> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    // Each key, its first value, and how many cells have that.
    let mut found: Vec<(&str, &Value, usize)> = Vec::new();
    for (path, value) in cells.iter().flatten() {
        let place = *places.entry(path).or_insert(found.len());
        match found.get_mut(place) {
            Some((_, first, alike)) => *alike += usize::from(*first == value),
            None => found.push((path, value, 1)),
        }
    }
    let varies = |alike: usize| alike < cells.len();
    let mut axes: Vec<&str> = found
        .iter()
        .filter(|(path, _, alike)| AXES.contains(path) || varies(*alike))
        .map(|(path, ..)| *path)
        .collect();
    if axes.is_empty() {
        let named = |path: &&str| *path != SEEDS;
        axes.extend(found.iter().rev().map(|(path, ..)| *path).find(named));
    }
    axes
}
