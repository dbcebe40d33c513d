//! The numbers of one file, each with its place.

use std::collections::BTreeMap;

use swath_model::id::CellDigest;
use swath_model::import::{ImportRow, Imported};

use super::read::{Candidate, Found};

/// Which number this is: candidate, cell and source.
type Key = (usize, CellDigest, String);

/// Rows, numbered among those of the same source and cell.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) all: Vec<ImportRow>,
    places: BTreeMap<Key, u32>,
    /// What was seen of each number, as [`Imported::says`] compares them.
    seen: BTreeMap<(Key, Number), Seen>,
}

type Number = (u64, Option<u64>, u32, Option<u32>, Option<u64>);

/// How often a number counts, and how often each table has it.
#[derive(Default)]
struct Seen {
    rows: u32,
    tables: BTreeMap<String, u32>,
}

impl Rows {
    /// Adds a number. The same number under another table counts once; twice
    /// under the same table, it counts twice.
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
            let seen = self.seen.entry((key.clone(), said(number))).or_default();
            let here = seen.tables.entry(table.clone()).or_default();
            *here += 1;
            if *here <= seen.rows {
                continue;
            }
            seen.rows += 1;
            let place = self.places.entry(key).or_default();
            *place += 1;
            self.all.push(ImportRow {
                sweep: candidates[at].sweep.clone(),
                cell,
                place: *place,
                number: number.clone(),
            });
        }
    }
}

fn said(number: &Imported) -> Number {
    (
        number.test_error.to_bits(),
        number.seconds.map(f64::to_bits),
        number.runs,
        number.replicate.map(|it| it.0),
        number.seed,
    )
}
