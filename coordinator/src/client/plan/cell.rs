//! The cells of a plan.

use std::collections::BTreeMap;

use swath_model::id::CellDigest;
use swath_model::message::Known;
use swath_sweep::{Cell, PlannedJob};

/// One cell of the plan.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) cell: Cell,
    pub(super) jobs: Vec<(PlannedJob, Option<Known>)>,
}

/// Counts each job once over several files. A cell's jobs are its first
/// replicates, so the greatest number of replicates covers all.
#[derive(Debug, Default)]
pub(super) struct Distinct {
    cells: BTreeMap<CellDigest, u32>,
}

impl Distinct {
    /// Notes a cell; returns how many of its replicates were there before.
    pub(super) fn see(&mut self, cell: CellDigest, replicates: u32) -> u32 {
        let most = self.cells.entry(cell).or_default();
        let before = *most;
        *most = replicates.max(before);
        before
    }

    pub(super) fn jobs(&self) -> u64 {
        self.cells.values().map(|count| u64::from(*count)).sum()
    }
}
