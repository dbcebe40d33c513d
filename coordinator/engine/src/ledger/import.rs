//! Imported numbers come in.

use std::collections::HashMap;

use swath_model::id::CellDigest;
use swath_model::import::{ImportBatch, ImportCounts, Imported};
use swath_model::time::Timestamp;
use swath_store::{NewImport, Said, StoreError};

use super::{Ledger, Result};

/// The known numbers, by sweep, source, cell and place.
type Known = HashMap<(String, String, CellDigest, u32), Imported>;

impl Ledger {
    /// Stores imported numbers, all or nothing. `said` is what exists for the
    /// cells of the batch's rows, in their order, and what the batch's sources
    /// have said about its sweeps.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when no sweep of that name has such a cell,
    /// [`StoreError::Conflict`] when a source contradicts what it said before,
    /// or a number may not be stored.
    pub fn import(
        &mut self,
        now: Timestamp,
        batch: ImportBatch,
        said: Said,
    ) -> Result<ImportCounts> {
        let mut counts = ImportCounts::default();
        let mut known = Known::new();
        if batch.replace {
            counts.removed = said.numbers.len() as u64;
        } else {
            let numbers = said.numbers.into_iter();
            known.extend(numbers.map(|(sweep, cell, place, number)| {
                ((sweep, number.source.clone(), cell, place), number)
            }));
        }
        let sources = sources(&batch);
        let mut new = Vec::new();
        for (row, cell) in batch.rows.into_iter().zip(said.cells) {
            if !row.number.is_sound() {
                return Err(StoreError::Conflict(row.is_unsound()));
            }
            let cell = cell.ok_or_else(|| StoreError::NotFound(row.cell_of_sweep()))?;
            let source = row.number.source.clone();
            let key = (row.sweep.clone(), source, row.cell, row.place);
            match known.get(&key) {
                Some(before) if before.says(&row.number) => {
                    counts.known += 1;
                    continue;
                }
                Some(before) => return Err(StoreError::Conflict(row.contradicts(before))),
                None => {
                    known.insert(key, row.number.clone());
                }
            }
            counts.new += 1;
            new.push(NewImport {
                sweep: row.sweep,
                cell,
                place: row.place,
                number: row.number,
                at: now,
            });
        }
        if batch.replace && counts.removed > 0 {
            self.changes.forgotten.extend(sources);
        }
        self.changes.imports.extend(new);
        Ok(counts)
    }
}

/// The names of sweeps, with the sources that say something about them; each
/// pair once.
pub(crate) fn sources(batch: &ImportBatch) -> Vec<(String, String)> {
    let pairs = batch.rows.iter();
    let pairs = pairs.map(|row| (row.sweep.clone(), row.number.source.clone()));
    let pairs: std::collections::BTreeSet<_> = pairs.collect();
    pairs.into_iter().collect()
}
