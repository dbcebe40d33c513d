//! A sweep with the results of its cells: the source of every table, and the
//! rows that programs read.

use std::collections::BTreeMap;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::Value;
use swath_model::id::SweepDigest;
use swath_model::import::Imported;
use swath_model::job::StateName;
use swath_model::metrics::Metrics;
use swath_model::outcome::{COLUMNS, Measurement};
use swath_model::view::{
    CellResults, ReplicateResult, ReplicationView, SCHEMA_VERSION, SweepRecord,
};
use swath_stats::{Sample, range_coverage};
use swath_sweep::LABEL;

use super::imported::{numbers, share};
use super::{Compared, Definition, TableError, Verdict};
use crate::summary::{Figure, METHOD, Mixed, Quantity, Summary, Unit};

/// A sweep with its cells and their summaries.
#[derive(Clone, Debug)]
pub struct Results {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) digest: SweepDigest,
    pub(super) replicates: u32,
    /// How far results have decided the replicates, where they decide.
    pub(super) replication: Option<ReplicationView>,
    pub(super) definition: Definition,
    /// What is measured of each job.
    pub(super) measured: Quantity,
    /// Every axis, in order of first appearance.
    pub(super) axes: Vec<String>,
    /// The cells, in canonical order.
    pub(super) cells: Vec<CellResults>,
    /// The summaries, one per cell.
    pub(super) summaries: Vec<Summary>,
    /// For each cell the published lines about it; empty without a reference.
    pub(super) published: Vec<Vec<usize>>,
}

impl Results {
    /// Joins a sweep with its cells, which may come in any order.
    ///
    /// # Errors
    ///
    /// When the sweep's definition cannot be read, or a recorded number is not
    /// finite.
    pub fn new(sweep: &SweepRecord, mut cells: Vec<CellResults>) -> Result<Self, TableError> {
        let definition = Definition::read(&sweep.definition)?;
        cells.sort_by_key(|cell| (cell.index, cell.cell));
        let (measured, unit) = (definition.quantity(), definition.unit());
        let mut summaries = Vec::with_capacity(cells.len());
        for cell in &mut cells {
            cell.replicates.sort_by_key(|it| (it.replicate, it.job));
            let summary = Summary::new(cell, &measured, unit, sweep.replicates)
                .map_err(|_| TableError::NotFinite { cell: cell.cell })?;
            summaries.push(summary);
        }
        if sweep.replication.is_some() {
            count(&mut summaries);
        }
        Ok(Self {
            name: sweep.name.clone(),
            title: sweep.title.clone(),
            digest: sweep.digest,
            replicates: sweep.replicates,
            replication: sweep.replication,
            axes: axes(&cells),
            published: Self::lines_of_cells(&definition, &cells),
            definition,
            measured,
            cells,
            summaries,
        })
    }

    /// The name of the sweep.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The sweep's title; may be empty.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Every axis, in order of first appearance.
    pub fn axes(&self) -> &[String] {
        &self.axes
    }

    /// How the table is laid out.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// The cells in canonical order with their summaries.
    pub fn cells(&self) -> impl ExactSizeIterator<Item = (&CellResults, &Summary)> {
        self.cells.iter().zip(&self.summaries)
    }

    /// The rows for programs, in canonical order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = ResultRow<'_>> {
        self.cells()
            .enumerate()
            .map(|(place, (cell, summary))| ResultRow {
                cell,
                summary,
                results: self,
                place,
            })
    }

    /// The same sweep with only the cells at these places.
    #[must_use]
    pub fn only(&self, places: &[usize]) -> Self {
        let published = |place: &usize| self.published.get(*place).cloned();
        Self {
            cells: places.iter().map(|it| self.cells[*it].clone()).collect(),
            summaries: places
                .iter()
                .map(|it| self.summaries[*it].clone())
                .collect(),
            published: places.iter().filter_map(published).collect(),
            ..self.clone()
        }
    }

    /// The row of the cell at `place`, if there is one.
    pub fn row_at(&self, place: usize) -> Option<ResultRow<'_>> {
        self.rows().nth(place)
    }

    /// The document for programs: every row under the sweep's name.
    pub const fn document(&self) -> Document<'_> {
        Document(self)
    }

    /// The figure of `quantity` for the cell at `place`.
    pub(super) fn figure(
        &self,
        place: usize,
        quantity: &Quantity,
        unit: Unit,
    ) -> Result<Figure, TableError> {
        let (cell, summary) = (&self.cells[place], &self.summaries[place]);
        match quantity {
            Quantity::Measured(..) => Ok(summary.measured),
            Quantity::TrainSeconds => Ok(summary.train_time),
            Quantity::Metric(_) => Figure::new(quantity, unit, &cell.replicates, summary.tally())
                .map(|figure| figure.counted(summary.measured.is_counted()))
                .map_err(|_| TableError::NotFinite { cell: cell.cell }),
        }
    }
}

/// Makes every figure show its n where cells have different numbers of
/// replicates.
fn count(summaries: &mut [Summary]) {
    let mut counts = summaries.iter().map(|it| it.tally().of);
    let first = counts.next();
    if counts.all(|count| Some(count) == first) {
        return;
    }
    for summary in summaries {
        summary.measured = summary.measured.counted(true);
        summary.train_time = summary.train_time.counted(true);
    }
}

fn axes(cells: &[CellResults]) -> Vec<String> {
    let mut axes: Vec<String> = Vec::new();
    for cell in cells {
        // Nearly every cell has the same axes as the first, in the same order.
        let alike = cell.axes.len() == axes.len()
            && cell
                .axes
                .iter()
                .zip(&axes)
                .all(|((path, _), axis)| path == axis);
        if alike {
            continue;
        }
        for (path, _) in &cell.axes {
            if !axes.iter().any(|seen| seen == path) {
                axes.push(path.clone());
            }
        }
    }
    axes
}

/// All results as one JSON document.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a>(&'a Results);

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let results = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema_version", &SCHEMA_VERSION)?;
        map.serialize_entry("sweep", &results.name)?;
        map.serialize_entry("digest", &results.digest)?;
        map.serialize_entry("title", &results.title)?;
        map.serialize_entry("measure", &results.definition.measure.to_string())?;
        map.serialize_entry("metric", results.metric())?;
        if let Some(unit) = results.definition.sign() {
            map.serialize_entry("unit", unit)?;
        }
        map.serialize_entry("replicates", &results.replicates)?;
        if let Some(replication) = &results.replication {
            map.serialize_entry("replication", replication)?;
        }
        map.serialize_entry("rows", &Rows(results))?;
        map.end()
    }
}

struct Rows<'a>(&'a Results);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.rows())
    }
}

impl Results {
    /// The name of what is measured.
    pub fn metric(&self) -> &str {
        self.definition.metric()
    }

    /// What is measured of each job.
    pub const fn quantity(&self) -> &Quantity {
        &self.measured
    }

    /// The metrics that have no place of their own where results are listed.
    pub fn others(&self, measurement: &Measurement) -> Metrics {
        let [error, loss, best] = COLUMNS;
        measurement
            .values
            .without(&[error, loss, best, self.metric()])
    }
}

/// One cell for programs.
#[derive(Clone, Copy, Debug)]
pub struct ResultRow<'a> {
    /// The cell.
    pub cell: &'a CellResults,
    /// The summary of its replicates.
    pub summary: &'a Summary,
    results: &'a Results,
    place: usize,
}

impl<'a> ResultRow<'a> {
    /// The published values of the cell, and how they compare.
    pub fn compared(&self) -> Vec<Compared<'a>> {
        self.results.compared(self.place)
    }

    /// The verdict over all published values.
    pub fn verdict(&self) -> Option<Verdict> {
        self.results.verdict(self.place)
    }

    /// The id of the cell.
    pub fn id(&self) -> String {
        self.cell.cell.to_string()
    }

    /// The name that tables give it, if they do.
    pub fn label(&self) -> Option<&'a str> {
        let value = self.results.definition.value(LABEL, self.cell);
        value.and_then(Value::as_str)
    }

    /// How many of its runs are imported.
    pub fn imported(&self) -> u32 {
        share(self.cell)[0]
    }

    /// The sources of the imported numbers, such as `a paper (runs.csv:2)`,
    /// once for each.
    pub fn imported_from(&self) -> Vec<String> {
        let numbers = numbers(self.cell).into_iter();
        let text = |it: &Imported| format!("{} ({}:{})", it.source, it.file, it.line);
        numbers.map(text).collect()
    }

    /// Every metric of its replicates.
    fn metrics(&self) -> BTreeMap<String, Metric> {
        let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for replicate in &self.cell.replicates {
            let measurement = replicate.measurement.as_ref();
            let measurement = measurement.filter(|_| replicate.state == StateName::Succeeded);
            let beside = measurement.map(|it| self.results.others(it));
            for (name, value) in beside.iter().flat_map(Metrics::iter) {
                match values.get_mut(name) {
                    Some(values) => values.push(value),
                    None => drop(values.insert(name.to_owned(), vec![value])),
                }
            }
        }
        // Metrics are finite.
        let samples = values
            .into_iter()
            .filter_map(|(name, values)| Some((name, Sample::new(values).ok()?)));
        samples
            .map(|(name, sample)| (name, Metric::of(&sample)))
            .collect()
    }
}

/// A metric over the replicates of a cell that have it.
#[derive(Serialize)]
struct Metric {
    n: usize,
    median: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    range_coverage: Option<f64>,
}

impl Metric {
    fn of(sample: &Sample) -> Self {
        Self {
            n: sample.len(),
            median: sample.median(),
            min: sample.min(),
            max: sample.max(),
            range_coverage: range_coverage(sample.len()),
        }
    }
}

impl Serialize for ResultRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (measured, tally) = (&self.summary.measured, self.summary.tally());
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("cell", &self.cell.cell)?;
        map.serialize_entry("index", &self.cell.index)?;
        map.serialize_entry("axes", &Axes(&self.cell.axes))?;
        if let Some(label) = self.label() {
            map.serialize_entry(LABEL, label)?;
        }
        map.serialize_entry("n", &measured.n())?;
        map.serialize_entry("of", &measured.of())?;
        map.serialize_entry("median", &measured.median())?;
        map.serialize_entry("min", &measured.min())?;
        map.serialize_entry("max", &measured.max())?;
        map.serialize_entry("mean", &self.summary.mean())?;
        map.serialize_entry("deviation", &self.summary.deviation())?;
        map.serialize_entry("range_coverage", &self.summary.range_coverage())?;
        let interval = self.summary.interval();
        map.serialize_entry("interval", &interval.map(|it| it.ends))?;
        map.serialize_entry("interval_coverage", &interval.map(|it| it.coverage))?;
        map.serialize_entry("interval_method", &interval.map(|_| METHOD))?;
        map.serialize_entry("values", &Values(self.summary))?;
        map.serialize_entry("even", &measured.is_even())?;
        map.serialize_entry("succeeded", &tally.succeeded)?;
        map.serialize_entry("diverged", &tally.diverged)?;
        map.serialize_entry("failed", &tally.failed)?;
        map.serialize_entry("cancelled", &tally.cancelled)?;
        map.serialize_entry("open", &tally.open)?;
        map.serialize_entry("imported", &self.imported())?;
        let from = self.imported_from();
        if !from.is_empty() {
            map.serialize_entry("imported_from", &from)?;
        }
        map.serialize_entry("train_seconds_median", &self.summary.train_time.median())?;
        let metrics = self.metrics();
        if !metrics.is_empty() {
            map.serialize_entry("metrics", &metrics)?;
        }
        if self.summary.mixed != Mixed::default() {
            map.serialize_entry("mixed", &self.summary.mixed)?;
        }
        let compared = self.compared();
        map.serialize_entry("reference", &(!compared.is_empty()).then_some(&compared))?;
        map.serialize_entry("verdict", &self.verdict())?;
        map.serialize_entry("replicates", &Replicates(self))?;
        map.end()
    }
}

struct Axes<'a>(&'a [(String, Value)]);

impl Serialize for Axes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(path, value)| (path, value)))
    }
}

struct Values<'a>(&'a Summary);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.values.iter().map(|(_, value)| value))
    }
}

struct Replicates<'a, 'b>(&'b ResultRow<'a>);

impl Serialize for Replicates<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let replicates = &self.0.cell.replicates;
        let results = self.0.results;
        let mut seq = serializer.serialize_seq(Some(replicates.len()))?;
        for replicate in replicates {
            let value = results.measured.of(replicate);
            let beside = replicate.measurement.as_ref();
            seq.serialize_element(&OneReplicate {
                replicate,
                value: value.unwrap_or_default(),
                beside: beside.map(|it| results.others(it)).unwrap_or_default(),
            })?;
        }
        seq.end()
    }
}

struct OneReplicate<'a> {
    replicate: &'a ReplicateResult,
    value: Option<f64>,
    beside: Metrics,
}

impl Serialize for OneReplicate<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let it = self.replicate;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("replicate", &it.replicate)?;
        if let Some(imported) = &it.imported {
            map.serialize_entry("imported", imported)?;
        } else {
            map.serialize_entry("job", &it.job)?;
            map.serialize_entry("seed", &it.seed)?;
        }
        map.serialize_entry("state", it.state.name())?;
        if let Some(fault) = it.fault {
            map.serialize_entry("fault", fault.name())?;
        }
        map.serialize_entry("value", &self.value)?;
        if !self.beside.is_empty() {
            map.serialize_entry("metrics", &self.beside)?;
        }
        if let Some(device) = it.provenance.as_ref().map(|it| &it.device) {
            map.serialize_entry("device", device)?;
        }
        map.end()
    }
}
