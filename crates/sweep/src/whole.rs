//! A sweep with all of its cells, and what they add up to: the digest of the
//! sweep and its grid. The rules are the same whether the cells come from a file
//! or from a list.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use swath_model::id::{CellDigest, SweepDigest};
use swath_model::keep::Keep;
use swath_model::metrics::{Goal, TEST_ERROR};
use swath_model::needs::Needs;
use swath_model::program::Launch;
use swath_model::replication::{Bounds, UNTIL_RANKED};
use swath_model::spec::{Work, canonical};
use swath_model::view::SweepKind;

use super::expand::Cell;
use super::file::{Measure, Reference};
use super::layout::Layout;

/// A sweep as it is submitted.
#[derive(Clone, Debug)]
pub struct Whole {
    /// The sweep's digest. It covers the content, so not comments and
    /// formatting.
    pub digest: SweepDigest,
    /// The name, `[a-z0-9_-]{1,64}`.
    pub name: String,
    /// The title for people.
    pub title: String,
    /// Whether its cells train, or measure steps.
    pub kind: SweepKind,
    /// How often each cell is trained; at first, where there is a `replicates_max`.
    pub replicates: u32,
    /// How often each cell is trained at most, where results decide: see
    /// [`swath_model::replication`].
    pub replicates_max: Option<u32>,
    /// Which of a training's test errors counts.
    pub measure: Measure,
    /// What its jobs need of the device and the host on which they run.
    pub needs: Needs,
    /// How its program is started.
    pub launch: Launch,
    /// Which directories of its program's attempts are kept.
    pub keep: Keep,
    /// The unit of its program's metric, for people.
    pub unit: Option<String>,
    /// How the table is laid out.
    pub layout: Layout,
    /// The values to compare with.
    pub reference: Option<Reference>,
    /// Its axes and their values.
    pub grid: Grid,
    /// Its cells in canonical order, no two alike.
    pub cells: Vec<Cell>,
}

/// The axes of a sweep and their values, as tables show them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// The axes, in order of first appearance.
    pub axes: Vec<GridAxis>,
}

/// One axis of a [`Grid`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GridAxis {
    /// The path of the parameter.
    pub path: String,
    /// Its different values, in order of first appearance.
    pub values: Vec<Value>,
}

impl Grid {
    fn new(paths: &[&str]) -> Self {
        let axes = paths.iter().map(|path| GridAxis {
            path: (*path).to_owned(),
            values: Vec::new(),
        });
        Self {
            axes: axes.collect(),
        }
    }

    /// The axis over `path`.
    pub fn axis(&self, path: &str) -> Option<&GridAxis> {
        self.axes.iter().find(|axis| axis.path == path)
    }
}

/// What the digest of a sweep covers in addition to its cells.
pub(super) struct Head<'a> {
    pub(super) name: &'a str,
    pub(super) title: &'a str,
    pub(super) replicates: u32,
    pub(super) replicates_max: Option<u32>,
    pub(super) measure: Measure,
    pub(super) needs: &'a Needs,
    pub(super) launch: &'a Launch,
    pub(super) keep: Keep,
    pub(super) unit: Option<&'a str>,
    pub(super) layout: &'a Layout,
    /// The text of the published values.
    pub(super) reference: Option<&'a str>,
    /// The labels of each block, as written.
    pub(super) labels: Vec<Option<Vec<String>>>,
}

impl Head<'_> {
    fn text(&self) -> String {
        let min = self.replicates;
        let replicates = match self.replicates_max.map(|max| Bounds { min, max }) {
            None => json!(min),
            Some(Bounds { min, max }) => json!({ "min": min, "max": max, "until": UNTIL_RANKED }),
        };
        let mut covered = json!({
            "name": self.name,
            "title": self.title,
            "replicates": replicates,
            "measure": self.measure.to_string(),
            "table": self.layout,
            "reference": self.reference,
        });
        // Sweeps without needs keep the digest that they had before there were any.
        if *self.needs != Needs::default() {
            covered["needs"] = json!(self.needs);
        }
        if !self.launch.is_empty() {
            covered["launch"] = json!(self.launch);
        }
        if !self.keep.is_default() {
            covered["keep"] = json!(self.keep);
        }
        if let Some(unit) = self.unit {
            covered["unit"] = json!(unit);
        }
        // Sweeps without labels keep the digest that they had before there were
        // labels.
        if self.labels.iter().any(Option::is_some) {
            covered["labels"] = json!(self.labels);
        }
        canonical(&covered)
    }
}

/// By which metrics the cells are compared.
#[derive(Default)]
pub(super) struct Metrics {
    first: Option<(String, Option<Goal>)>,
    /// Two that differ, in words.
    pub(super) different: Option<[String; 2]>,
}

impl Metrics {
    pub(super) fn see(&mut self, work: &Work) {
        let (metric, goal) = match work {
            Work::Command(command) => (&*command.metric, command.goal),
            Work::Training(_) | Work::Null => (TEST_ERROR, None),
        };
        let Some(first) = &self.first else {
            self.first = Some((metric.to_owned(), goal));
            return;
        };
        if self.different.is_none() && (&*first.0, first.1) != (metric, goal) {
            let told = |metric: &str, goal: Option<Goal>| match goal {
                Some(goal) => format!("`{metric}`, {goal}d"),
                None => format!("`{metric}`"),
            };
            self.different = Some([told(&first.0, first.1), told(metric, goal)]);
        }
    }
}

/// Adds up cells that come one by one, in canonical order.
pub(super) struct Tally {
    hasher: blake3::Hasher,
    grid: Grid,
    /// The values of each axis, as text.
    values: Vec<BTreeSet<String>>,
    /// The index of each cell.
    cells: BTreeMap<CellDigest, u32>,
}

impl Tally {
    /// For a sweep with these axes.
    pub(super) fn new(head: &Head<'_>, paths: &[&str]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("swath sweep v1");
        hasher.update(head.text().as_bytes());
        Self {
            hasher,
            grid: Grid::new(paths),
            values: vec![BTreeSet::new(); paths.len()],
            cells: BTreeMap::new(),
        }
    }

    /// Adds a cell, whose axes must be in the order of the sweep's; it may lack
    /// some.
    ///
    /// # Errors
    ///
    /// The index of the same cell, if it came before: it is not added again.
    pub(super) fn add(&mut self, cell: &Cell) -> Result<(), u32> {
        if let Some(before) = self.cells.get(&cell.digest) {
            return Err(*before);
        }
        // It changes what the sweep says, though no job.
        if self.cells.is_empty()
            && let Work::Command(command) = cell.spec.work()
            && let Some(goal) = command.goal
        {
            self.hasher.update(format!("goal={goal};").as_bytes());
        }
        self.cells.insert(cell.digest, cell.index);
        self.hasher.update(cell.digest.as_bytes());
        let mut axes = self.grid.axes.iter_mut().zip(&mut self.values);
        for (path, value) in &cell.axes {
            let text = canonical(value);
            for part in [path.as_bytes(), b"=", text.as_bytes(), b";"] {
                self.hasher.update(part);
            }
            let Some((axis, seen)) = axes.find(|(axis, _)| axis.path == *path) else {
                break;
            };
            if seen.insert(text) {
                axis.values.push(value.clone());
            }
        }
        Ok(())
    }

    /// The digest of the sweep, and its grid.
    pub(super) fn close(self) -> (SweepDigest, Grid) {
        let digest = SweepDigest::from_bytes(*self.hasher.finalize().as_bytes());
        (digest, self.grid)
    }
}
