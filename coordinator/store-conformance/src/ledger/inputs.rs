//! Files that travel with sweeps.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Ledger, LedgerError};
use swath_model::id::{CellDigest, InputDigest};
use swath_model::message::InputFile;
use swath_model::program::{INPUTS_BYTES_MAX, INPUTS_MAX};
use swath_model::time::Timestamp;

/// How long a file waits for its sweep.
const WAIT: Duration = Duration::from_hours(24);

/// Files with their lengths, and when they came.
pub(super) type Inputs = BTreeMap<InputDigest, (u64, Timestamp)>;

impl Ledger {
    /// Keeps files; returns how many are new.
    pub fn keep_inputs(&mut self, now: Timestamp, files: &[InputFile]) -> u64 {
        let before = self.inputs.len();
        for file in files {
            self.inputs
                .entry(file.digest)
                .or_insert((file.bytes(), now));
        }
        (self.inputs.len() - before) as u64
    }

    /// Those of these files that are kept.
    pub fn kept(&self, inputs: &[InputDigest]) -> Vec<InputDigest> {
        let kept = inputs.iter().filter(|it| self.inputs.contains_key(it));
        kept.copied().collect()
    }

    pub(super) fn check_shipped(&self, ships: &[InputDigest]) -> Result<(), LedgerError> {
        let bytes = ships.iter().map(|it| Some(self.inputs.get(it)?.0));
        let fits = bytes
            .sum::<Option<u64>>()
            .is_some_and(|bytes| bytes <= INPUTS_BYTES_MAX && ships.len() <= INPUTS_MAX);
        let conflict = || LedgerError::Conflict("its files cannot travel with it".to_owned());
        fits.then_some(()).ok_or_else(conflict)
    }

    /// What was started from the files of a sweep that goes still needs them.
    pub(super) fn leave_inputs(&mut self, index: usize) {
        let shipped = |cell: &CellDigest| self.cells[cell].needs.launch.shipped.is_some();
        let going = &self.sweeps[index];
        let cells = going.cells.iter().map(|(cell, _)| *cell);
        let cells: Vec<CellDigest> = cells.filter(shipped).collect();
        let files = going.ships.clone();
        for sweep in &mut self.sweeps {
            if sweep.cells.iter().any(|(cell, _)| cells.contains(cell)) {
                sweep.ships.extend(&files);
            }
        }
    }

    /// Lets go of files that a sweep had, or that waited for one too long.
    pub(super) fn drop_inputs(&mut self, goes: impl Fn(&InputDigest, Timestamp) -> bool) {
        let sweeps = &self.sweeps;
        let travels = |it: &InputDigest| sweeps.iter().any(|sweep| sweep.ships.contains(it));
        self.inputs
            .retain(|digest, (_, since)| travels(digest) || !goes(digest, *since));
    }

    pub(super) fn drop_idle_inputs(&mut self, now: Timestamp) {
        self.drop_inputs(|_, since| now.since(since) > WAIT);
    }
}
