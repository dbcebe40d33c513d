//! Imports numbers from elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use super::{Ledger, LedgerError};
use swath_model::id::CellDigest;
use swath_model::import::{ImportBatch, ImportCounts, ImportRow, Imported};

/// Imported numbers by sweep, cell, source and place.
pub(super) type Imports = BTreeMap<(String, CellDigest, String, u32), Imported>;

impl Ledger {
    /// Stores numbers from elsewhere, all or nothing.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NotFound`] when no sweep of that name has such a cell,
    /// [`LedgerError::Conflict`] when a source contradicts what it said before,
    /// or a number may not be stored.
    pub fn import(&mut self, batch: ImportBatch) -> Result<ImportCounts, LedgerError> {
        let mut imports = self.imports.clone();
        let mut counts = ImportCounts::default();
        if batch.replace {
            let said: BTreeSet<_> = batch.rows.iter().map(said_by).collect();
            let before = imports.len();
            imports.retain(|(sweep, _, source, _), _| !said.contains(&(sweep, source)));
            counts.removed = (before - imports.len()) as u64;
        }
        for row in batch.rows {
            self.check_import(&row)?;
            let source = row.number.source.clone();
            let key = (row.sweep.clone(), row.cell, source, row.place);
            match imports.get(&key) {
                None => {
                    imports.insert(key, row.number);
                    counts.new += 1;
                }
                Some(known) if known.says(&row.number) => counts.known += 1,
                Some(known) => return Err(LedgerError::Conflict(row.contradicts(known))),
            }
        }
        self.imports = imports;
        Ok(counts)
    }

    fn check_import(&self, row: &ImportRow) -> Result<(), LedgerError> {
        if !row.number.is_sound() {
            return Err(LedgerError::Conflict(row.is_unsound()));
        }
        let named = self.sweeps.iter().filter(|sweep| sweep.name == row.sweep);
        let mut cells = named.flat_map(|sweep| &sweep.cells);
        if cells.any(|(cell, _)| *cell == row.cell) {
            return Ok(());
        }
        Err(LedgerError::NotFound(row.cell_of_sweep()))
    }

    /// Gives cells the numbers under a new name that they have under an old one;
    /// under that, nothing is left if it was the `last` sweep of that name.
    pub(super) fn rename_imports(
        &mut self,
        from: &str,
        to: &str,
        cells: &BTreeSet<CellDigest>,
        last: bool,
    ) {
        let mut copies = Imports::new();
        for ((sweep, cell, source, place), number) in &self.imports {
            if sweep == from && cells.contains(cell) {
                let key = (to.to_owned(), *cell, source.clone(), *place);
                copies.insert(key, number.clone());
            }
        }
        self.imports.extend(copies);
        if last {
            self.imports.retain(|(sweep, ..), _| sweep != from);
        }
    }

    /// What was imported for a cell of the sweeps of this name.
    pub(super) fn imports_of(
        &self,
        sweep: &str,
        cell: CellDigest,
    ) -> impl Iterator<Item = Imported> {
        let name = sweep.to_owned();
        let rows = self.imports.range((name.clone(), cell, String::new(), 0)..);
        rows.take_while(move |((sweep, of, ..), _)| *sweep == name && *of == cell)
            .map(|(_, number)| number.clone())
    }
}

fn said_by(row: &ImportRow) -> (&str, &str) {
    (&row.sweep, &row.number.source)
}
