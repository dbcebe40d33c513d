//! A comparison for programs: every number in full.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use swath_model::view::{CellResults, SCHEMA_VERSION};
use swath_stats::Test;

use super::super::imported::share;
use super::{ALPHA, Comparison, Outcome, Pair};
use crate::summary::Summary;

/// One pair.
#[derive(Clone, Copy, Debug)]
pub struct PairRow<'a> {
    /// The left cell.
    pub left: PairSide<'a>,
    /// The right one.
    pub right: PairSide<'a>,
    /// The right median minus the left one.
    pub difference: Option<f64>,
    /// The test, where there was one.
    pub test: Option<Test>,
    /// Its p, corrected for all tests of the comparison.
    pub corrected: Option<f64>,
    /// The result of the comparison.
    pub outcome: Outcome,
}

/// A cell of a pair.
#[derive(Clone, Copy, Debug)]
pub struct PairSide<'a> {
    /// The cell.
    pub cell: &'a CellResults,
    /// The summary of its replicates.
    pub summary: &'a Summary,
}

impl PairSide<'_> {
    /// How many of its runs are imported.
    pub fn imported(&self) -> u32 {
        share(self.cell)[0]
    }
}

impl<'a> PairRow<'a> {
    pub(super) fn new(comparison: &Comparison<'a>, pair: &Pair) -> Self {
        let side = |side| {
            let (cell, summary) = comparison.cell(side, pair.places);
            PairSide { cell, summary }
        };
        Self {
            left: side(0),
            right: side(1),
            difference: pair.difference,
            test: pair.test,
            corrected: pair.corrected,
            outcome: pair.outcome,
        }
    }
}

impl Comparison<'_> {
    /// The axes in the order of the table: those of both sweeps, then those of
    /// only the left one, then those of only the right one.
    pub fn axes(&self) -> impl Iterator<Item = &str> {
        let [left, right] = &self.own;
        self.shared.iter().chain(left).chain(right).copied()
    }
}

impl Serialize for Comparison<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema_version", &SCHEMA_VERSION)?;
        for (side, results) in [("left", self.left), ("right", self.right)] {
            let sweep = serde_json::json!({"sweep": results.name, "digest": results.digest});
            map.serialize_entry(side, &sweep)?;
        }
        map.serialize_entry("metric", self.left.metric())?;
        if let Some(unit) = self.left.definition.sign() {
            map.serialize_entry("unit", unit)?;
        }
        map.serialize_entry("measure", &self.left.definition.measure.to_string())?;
        map.serialize_entry("test", "mann_whitney")?;
        map.serialize_entry("correction", "holm")?;
        map.serialize_entry("alpha", &ALPHA)?;
        map.serialize_entry("tests", &self.tests())?;
        map.serialize_entry("alone", &self.alone)?;
        let best = self.best.as_ref();
        map.serialize_entry("best", &best.map(|pair| PairRow::new(self, pair)))?;
        map.serialize_entry("best_cells", &best.map(|_| self.ties))?;
        map.serialize_entry("rows", &self.rows().collect::<Vec<_>>())?;
        map.end()
    }
}

impl Serialize for PairRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("left", &self.left)?;
        map.serialize_entry("right", &self.right)?;
        map.serialize_entry("difference", &self.difference)?;
        map.serialize_entry("p", &self.test.map(|it| it.p))?;
        map.serialize_entry("p_corrected", &self.corrected)?;
        map.serialize_entry("p_least", &self.test.map(|it| it.least))?;
        map.serialize_entry("exact", &self.test.map(|it| it.exact))?;
        map.serialize_entry("outcome", &self.outcome)?;
        map.end()
    }
}

impl Serialize for PairSide<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (cell, summary) = (self.cell, self.summary);
        let axes: serde_json::Map<String, Value> = cell.axes.iter().cloned().collect();
        let values: Vec<f64> = summary.values.iter().map(|(_, it)| *it).collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("cell", &cell.cell)?;
        map.serialize_entry("axes", &axes)?;
        map.serialize_entry("n", &summary.measured.n())?;
        map.serialize_entry("of", &summary.measured.of())?;
        map.serialize_entry("median", &summary.measured.median())?;
        map.serialize_entry("values", &values)?;
        map.serialize_entry("imported", &self.imported())?;
        map.end()
    }
}
