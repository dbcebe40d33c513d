//! Expansion: the cells of a sweep in canonical order, and their jobs.

use std::collections::BTreeSet;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use swath_model::id::{CellDigest, JobDigest, Replicate, SweepDigest};
use swath_model::limits::{
    AXES_MAX, CELLS_MAX, MISTAKE_BYTES_MAX, MISTAKES_TOLD_MAX, SWEEP_BYTES_MAX, SWEEP_VALUES_MAX,
};
use swath_model::spec::{JobSpec, cell_digest, job_digest, lookup, too_long, values};
use swath_model::text::{cut, parameter};
use swath_model::view::SweepKind;

use super::error::FileError;
use super::file::SweepFile;
use super::grid::Block;
use super::naming::Labels;
use super::needs;
use super::resolve::{Plan, Point, unused};
use super::whole::{Grid, Head, Metrics, Tally, Whole};

/// The most jobs that one sweep may have.
pub const JOBS_MAX: u128 = 1_000_000;
/// So many cells are built at a time, on all processors; fewer if they take more
/// memory than this, in bytes.
const AT_ONCE: usize = 4096;
const AT_ONCE_BYTES: usize = 32 << 20;

/// A sweep file whose cells were all built once and found correct.
#[derive(Clone, Debug)]
pub struct Expansion<'a> {
    file: &'a SweepFile,
    plans: Vec<Plan<'a>>,
    /// Every axis of the sweep, in order of first appearance.
    paths: Vec<&'a str>,
    /// For each point, over all blocks: whether it is a cell of its own.
    kept: Vec<bool>,
    digest: SweepDigest,
    grid: Grid,
    totals: Totals,
}

/// How large a sweep is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// How many different cells it has.
    pub cells: u64,
    /// Cells times replicates; the number at first, where results decide how
    /// many.
    pub jobs: u64,
    /// Points that repeat an earlier cell and were dropped.
    pub duplicates: u64,
    /// Points that `exclude` removed.
    pub excluded: u64,
    /// Cells that measure steps instead of training: either all of them or
    /// none.
    #[serde(default)]
    pub probes: u64,
}

/// One cell: every axis fixed, the seed not.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Its place in the canonical order, counted from 0.
    pub index: u32,
    /// Every axis of the sweep with its value in this cell. An axis that this
    /// cell's block does not vary has the value of the spec, if there is one.
    pub axes: Vec<(String, Value)>,
    /// The spec that it computes.
    pub spec: JobSpec,
    /// The cell's digest.
    pub digest: CellDigest,
    /// The canonical text of its spec.
    pub text: String,
    /// What tables call it, where its block says so.
    pub label: Option<String>,
}

/// One job of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedJob {
    /// Which repetition it is.
    pub replicate: Replicate,
    /// The job's seed.
    pub seed: u64,
    /// The job's digest.
    pub digest: JobDigest,
}

impl Cell {
    pub(super) fn new(
        index: u32,
        axes: Vec<(String, Value)>,
        spec: JobSpec,
        label: Option<String>,
    ) -> Self {
        let text = spec.cell_text();
        Self {
            index,
            axes,
            digest: cell_digest(&text),
            spec,
            text,
            label,
        }
    }

    /// Its jobs, for replicates 1 to `replicates`.
    pub fn jobs(&self, replicates: u32) -> impl Iterator<Item = PlannedJob> {
        let seeds = self.spec.seeds();
        (1..=replicates).map(move |number| {
            let replicate = Replicate(number);
            let seed = seeds.seed(self.digest, replicate);
            PlannedJob {
                replicate,
                seed,
                digest: job_digest(&self.text, seed),
            }
        })
    }
}

/// Expands a sweep file: builds and checks every cell once.
///
/// # Errors
///
/// Cells that cannot be trained, at the line that set the key; a grid that is
/// empty or too large.
pub fn expand(file: &SweepFile) -> Result<Expansion<'_>, Vec<FileError>> {
    built(file, &mut drop)
}

/// The same with its cells, which are built for it anyway: for a submit, which
/// needs every one.
///
/// # Errors
///
/// As [`expand`].
pub fn expand_whole(file: &SweepFile) -> Result<Whole, Vec<FileError>> {
    let mut cells = Vec::new();
    let expansion = built(file, &mut |cell| cells.push(cell))?;
    Ok(Whole {
        digest: expansion.digest,
        kind: expansion.kind(),
        grid: expansion.grid,
        name: file.name.clone(),
        title: file.title.clone(),
        replicates: file.replicates,
        replicates_max: file.replicates_max,
        measure: file.measure,
        needs: file.needs.clone(),
        launch: file.launch.clone(),
        keep: file.keep,
        unit: file.unit.clone(),
        layout: file.layout.clone(),
        reference: file.reference.clone(),
        cells,
    })
}

/// Gives each cell to `take` as soon as it is built.
fn built<'a>(
    file: &'a SweepFile,
    take: &mut dyn FnMut(Cell),
) -> Result<Expansion<'a>, Vec<FileError>> {
    check_size(file)?;
    let errors = unused(file);
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut expansion = Expansion {
        file,
        plans: plans(file)?,
        grid: Grid::default(),
        paths: paths(file)?,
        kept: Vec::new(),
        digest: SweepDigest::from_bytes([0; 32]),
        totals: Totals::default(),
    };
    expansion.survey(take)?;
    Ok(expansion)
}

/// Every axis of the sweep, in order of first appearance.
fn paths(file: &SweepFile) -> Result<Vec<&str>, Vec<FileError>> {
    let mut seen = BTreeSet::new();
    let paths = file.blocks.iter().flat_map(Block::paths);
    let paths: Vec<&str> = paths.filter(|path| seen.insert(*path)).collect();
    if paths.len() > AXES_MAX {
        let message = format!("has {} axes; at most {AXES_MAX}", paths.len());
        return Err(vec![file.place.error("grid", message)]);
    }
    Ok(paths)
}

/// A plan of each block: each has a copy of what all cells have.
fn plans(file: &SweepFile) -> Result<Vec<Plan<'_>>, Vec<FileError>> {
    let mut plans = Vec::with_capacity(file.blocks.len());
    let mut bytes = 0;
    for block in &file.blocks {
        let plan = Plan::new(file, block);
        plan.check_size()?;
        bytes += plan.weight();
        if bytes > SWEEP_BYTES_MAX {
            let (count, at) = (file.blocks.len(), plans.len() + 1);
            let message = format!(
                "{count} blocks of this size are too many: block {at} goes beyond {SWEEP_BYTES_MAX} \
                 bytes of all together; make axes of them"
            );
            return Err(vec![block.place.error("grid", message)]);
        }
        plans.push(plan);
    }
    Ok(plans)
}

fn check_size(file: &SweepFile) -> Result<(), Vec<FileError>> {
    let cells = file
        .blocks
        .iter()
        .map(Block::size)
        .fold(0, u128::saturating_add);
    let replicates = file.replicates_max.unwrap_or(file.replicates);
    let jobs = cells.saturating_mul(replicates.into());
    let largest = file.blocks.iter().max_by_key(|block| block.size());
    match largest {
        Some(block) if jobs > JOBS_MAX => {
            let message = format!(
                "makes {jobs} jobs, {cells} cells x {replicates} replicates; \
                 a sweep has at most {JOBS_MAX}, counted before `exclude`"
            );
            Err(vec![block.place.error("grid", message)])
        }
        _ => Ok(()),
    }
}

impl<'a> Expansion<'a> {
    /// The file.
    pub fn file(&self) -> &'a SweepFile {
        self.file
    }

    /// The sweep's digest. It covers what the file resolves to, so not comments
    /// and formatting.
    pub fn digest(&self) -> SweepDigest {
        self.digest
    }

    /// The lines of its reference that match no cell; see
    /// [`crate::reference::Reference::strays`].
    pub fn strays(&self) -> Vec<FileError> {
        let reference = self.file.reference.as_ref();
        let read = reference.and_then(|it| {
            let shown = super::recipe::join(&self.file.path, &it.file);
            crate::reference::Reference::read(&shown, &it.text).ok()
        });
        read.map_or_else(Vec::new, |it| it.strays(&self.cells().collect::<Vec<_>>()))
    }

    /// Its axes and their values.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// How large the sweep is.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Whether its cells train, or measure steps.
    pub fn kind(&self) -> SweepKind {
        if self.totals.probes > 0 {
            SweepKind::Probe
        } else {
            SweepKind::Training
        }
    }

    /// The cells in canonical order, made one by one.
    pub fn cells(&self) -> Cells<'_> {
        Cells {
            expansion: self,
            points: self.points(),
            index: 0,
        }
    }

    fn points(&self) -> Points<'_> {
        Points {
            plans: &self.plans,
            block: 0,
            next: 0,
            passed: 0,
        }
    }

    fn cell(&self, index: u32, point: (&Plan<'_>, u64), tree: &Value, spec: JobSpec) -> Cell {
        let (plan, at) = point;
        let written = |path: &str| {
            let value = lookup(tree, path).or_else(|| spec.get(path));
            value.map_or_else(|| "none".to_owned(), parameter)
        };
        let labels = plan.block.labels.as_ref();
        let label = labels.and_then(|it| it.of(at, written));
        let axes = self.paths.iter().filter_map(|path| {
            let value = lookup(tree, path).or_else(|| spec.get(path))?;
            Some(((*path).to_owned(), value.clone()))
        });
        let axes = axes.collect();
        Cell::new(index, axes, spec, label)
    }

    /// Builds a point; a cell with any index.
    fn built(&self, (plan, at): (&Plan<'_>, u64)) -> Built {
        match plan.point(at) {
            Point::Excluded => Built::Excluded,
            Point::Wrong(errors) => Built::Wrong(errors),
            Point::Cell { tree, spec } => {
                if let Some(message) = needs::beyond(&self.file.needs, &spec) {
                    let place = self.file.needs_place.as_ref().unwrap_or(&self.file.place);
                    return Built::Wrong(vec![place.error("sweep.needs.cuda", message)]);
                }
                let cell = self.cell(0, (plan, at), &tree, *spec);
                match too_long(&tree, &cell.text) {
                    None => Built::Cell(Box::new(cell)),
                    Some(error) => Built::Wrong(vec![plan.wrong(at, error)]),
                }
            }
        }
    }

    /// Builds every point once.
    fn survey(&mut self, take: &mut dyn FnMut(Cell)) -> Result<(), Vec<FileError>> {
        let mut seen = Survey {
            faults: Faults::default(),
            tally: Tally::new(&head(self.file), &self.paths),
            kept: Vec::new(),
            totals: Totals::default(),
            metrics: Metrics::default(),
            size: SweepSize::default(),
        };
        let mut points = self.points();
        let largest = self.plans.iter().map(Plan::weight).max().unwrap_or(0);
        let at_once = (AT_ONCE_BYTES / largest.max(1)).clamp(1, AT_ONCE);
        loop {
            let some: Vec<(&Plan<'_>, u64)> = points.by_ref().take(at_once).collect();
            let built: Vec<Built> = some.par_iter().map(|point| self.built(*point)).collect();
            if built.is_empty() {
                break;
            }
            for ((plan, at), built) in some.into_iter().zip(built) {
                seen.take(built, || plan.describe(at), take)?;
                if let Some(message) = seen.size.beyond() {
                    return Err(vec![self.file.place.error("grid", message)]);
                }
            }
        }
        let Survey {
            faults,
            tally,
            kept,
            mut totals,
            metrics,
            ..
        } = seen;
        if !faults.list.is_empty() {
            return Err(faults.report(Some(kept.len() as u64 - totals.excluded)));
        }
        if totals.cells == 0 {
            return Err(vec![self.emptied()]);
        }
        if totals.probes > 0 && totals.probes < totals.cells {
            let Totals { cells, probes, .. } = totals;
            let message = format!(
                "is set in {probes} of {cells} cells; trainings and probes need a sweep each"
            );
            return Err(vec![self.file.place.error("probe", message)]);
        }
        if let Some([one, other]) = metrics.different {
            let message = format!(
                "some cells say {one} and some {other}; a table compares its cells by one metric"
            );
            return Err(vec![self.file.place.error("trainer.metric", message)]);
        }
        totals.jobs = totals.cells * u64::from(self.file.replicates);
        (self.kept, self.totals) = (kept, totals);
        (self.digest, self.grid) = tally.close();
        Ok(())
    }

    /// The error for a grid that has no cells.
    fn emptied(&self) -> FileError {
        let exclude = self
            .file
            .blocks
            .iter()
            .flat_map(|block| &block.excludes)
            .next();
        match exclude {
            Some(exclude) => {
                let message = "removes every cell; nothing is left to train";
                exclude.place(0).error("exclude", message)
            }
            None => self.file.place.error("grid", "has no cell"),
        }
    }
}

/// A point, built.
enum Built {
    Excluded,
    Wrong(Vec<FileError>),
    Cell(Box<Cell>),
}

/// What the points add up to, taken in canonical order.
struct Survey {
    faults: Faults,
    tally: Tally,
    /// Whether each point is a cell that did not come before.
    kept: Vec<bool>,
    totals: Totals,
    metrics: Metrics,
    size: SweepSize,
}

/// How much the cells are together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SweepSize {
    cells: usize,
    bytes: usize,
    values: usize,
}

impl SweepSize {
    pub(super) fn add(&mut self, cell: &Cell) {
        self.cells += 1;
        self.bytes += cell.text.len();
        self.values += values(cell.spec.cell_tree());
    }

    /// Which limit they are beyond, in words.
    pub(super) fn beyond(self) -> Option<String> {
        let limits = [
            (self.cells, CELLS_MAX, "cells"),
            (self.bytes, SWEEP_BYTES_MAX, "bytes of specs"),
            (self.values, SWEEP_VALUES_MAX, "values in all cells"),
        ];
        let (_, most, what) = limits.into_iter().find(|(is, most, _)| is > most)?;
        Some(format!(
            "makes more than {most} {what}, which is the limit of a sweep; make several sweeps of it"
        ))
    }
}

impl Survey {
    fn take(
        &mut self,
        built: Built,
        point: impl Fn() -> String,
        take: &mut dyn FnMut(Cell),
    ) -> Result<(), Vec<FileError>> {
        let totals = &mut self.totals;
        let mut new = false;
        match built {
            Built::Excluded => totals.excluded += 1,
            Built::Wrong(errors) => {
                self.faults.add(errors, point);
                if self.faults.list.len() >= MISTAKES_TOLD_MAX {
                    return Err(std::mem::take(&mut self.faults).report(None));
                }
            }
            Built::Cell(mut cell) => {
                cell.index = totals.cells as u32;
                new = self.tally.add(&cell).is_ok();
                if new {
                    totals.cells += 1;
                    totals.probes += u64::from(cell.spec.is_probe());
                    self.size.add(&cell);
                    self.metrics.see(cell.spec.work());
                    take(*cell);
                } else {
                    totals.duplicates += 1;
                }
            }
        }
        self.kept.push(new);
        Ok(())
    }
}

/// The points of all blocks, in canonical order.
#[derive(Clone, Debug)]
struct Points<'a> {
    plans: &'a [Plan<'a>],
    block: usize,
    next: u64,
    /// How many points came before, over all blocks.
    passed: usize,
}

impl<'a> Iterator for Points<'a> {
    type Item = (&'a Plan<'a>, u64);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let plan = self.plans.get(self.block)?;
            if u128::from(self.next) < plan.block.size() {
                self.next += 1;
                self.passed += 1;
                return Some((plan, self.next - 1));
            }
            self.block += 1;
            self.next = 0;
        }
    }
}

/// The cells of a sweep; see [`Expansion::cells`].
#[derive(Clone, Debug)]
pub struct Cells<'a> {
    expansion: &'a Expansion<'a>,
    points: Points<'a>,
    index: u32,
}

impl Iterator for Cells<'_> {
    type Item = Cell;

    fn next(&mut self) -> Option<Cell> {
        loop {
            let kept = self.expansion.kept.get(self.points.passed)?;
            let (plan, at) = self.points.next()?;
            if !kept {
                continue;
            }
            // `survey` built every point: those that were kept are cells.
            if let Point::Cell { tree, spec } = plan.point(at) {
                let cell = self.expansion.cell(self.index, (plan, at), &tree, *spec);
                self.index += 1;
                return Some(cell);
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let rest = (self.expansion.totals.cells - u64::from(self.index)) as usize;
        (rest, Some(rest))
    }
}

impl ExactSizeIterator for Cells<'_> {}

/// What the digest of the sweep covers in addition to its cells.
fn head(file: &SweepFile) -> Head<'_> {
    let labels = file.blocks.iter().map(|block| block.labels.as_ref());
    Head {
        name: &file.name,
        title: &file.title,
        replicates: file.replicates,
        replicates_max: file.replicates_max,
        measure: file.measure,
        needs: &file.needs,
        launch: &file.launch,
        keep: file.keep,
        unit: file.unit.as_deref(),
        layout: &file.layout,
        reference: file.reference.as_ref().map(|it| &*it.text),
        labels: labels.map(|it| it.map(Labels::written)).collect(),
    }
}

/// Errors of cells, each kind once.
#[derive(Default)]
struct Faults {
    list: Vec<(FileError, String, u64)>,
}

impl Faults {
    fn add(&mut self, errors: Vec<FileError>, cell: impl Fn() -> String) {
        for error in errors {
            match self.list.iter_mut().find(|(known, ..)| *known == error) {
                Some((_, _, count)) => *count += 1,
                None => self.list.push((error, cell(), 1)),
            }
        }
    }

    /// The errors in the order of the file. An error that not all of the
    /// `points` have names the first cell that has it.
    fn report(mut self, points: Option<u64>) -> Vec<FileError> {
        self.list.sort_by(|(left, ..), (right, ..)| {
            (&left.file, left.line, left.column).cmp(&(&right.file, right.line, right.column))
        });
        let errors = self.list.into_iter().map(|(mut error, cell, count)| {
            if points != Some(count) {
                let cells = match count {
                    1 => format!(" (in the cell {cell})"),
                    _ => format!(" (in {count} cells, first {cell})"),
                };
                error.message.push_str(&cut(cells, MISTAKE_BYTES_MAX));
            }
            error
        });
        errors.collect()
    }
}
