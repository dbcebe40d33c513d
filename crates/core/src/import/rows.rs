//! The numbers of one file, each with its place.

use std::collections::BTreeMap;

use super::ImportRow;
use super::read::{Candidate, Found};
use crate::id::CellDigest;

/// Rows with a place each among those of the same source and cell.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) rows: Vec<ImportRow>,
    /// By candidate, cell and source.
    seen: BTreeMap<(usize, CellDigest, String), Vec<Seen>>,
}

/// Where a row is, and the tables that its number stood in.
struct Seen {
    row: usize,
    tables: Vec<String>,
}

impl Rows {
    pub(super) fn add(&mut self, found: Found, candidates: &[Candidate]) {
        let Found {
            numbers,
            table,
            cells,
        } = found;
        let each = cells
            .iter()
            .flat_map(|of| numbers.iter().map(move |it| (of, it)));
        for (&(at, cell), number) in each {
            let key = (at, cell, number.source.clone());
            let seen = self.seen.entry(key).or_default();
            // The same number under another table is the same number.
            let twin = seen.iter_mut().find(|Seen { row, tables }| {
                self.rows[*row].number.says(number) && !tables.contains(&table)
            });
            if let Some(Seen { tables, .. }) = twin {
                tables.push(table.clone());
                continue;
            }
            seen.push(Seen {
                row: self.rows.len(),
                tables: vec![table.clone()],
            });
            self.rows.push(ImportRow {
                sweep: candidates[at].sweep.clone(),
                cell,
                place: seen.len() as u32,
                number: number.clone(),
            });
        }
    }
}
