//! Finds the one cell that has the fields of a row.

use std::collections::BTreeMap;

use serde_json::Value;
use swath_model::id::CellDigest;
use swath_model::suggest::nearest_value;

use super::read::{Candidate, CandidateCell};
use super::value::{Written, written};

/// How many sets of cells are kept; a file may write one number in many ways.
const KEPT_MAX: usize = 4096;

/// A field that names a value of a parameter.
pub(super) struct Field<'a> {
    /// The index of its column.
    pub(super) place: usize,
    pub(super) name: &'a str,
    /// The text of the field; an empty one matches any value.
    pub(super) text: &'a str,
}

/// Why no cell was found.
pub(super) enum Missed {
    /// Because of the field in this column.
    At(usize, String),
    Whole(String),
}

/// Finds cells of a candidate. Each field that was seen keeps the set of cells that
/// have it, so that long files over large grids are read in one pass.
pub(super) struct Finder<'a> {
    candidate: &'a Candidate,
    all: Cells,
    /// The cells that match, by column and text.
    having: BTreeMap<(usize, String), Cells>,
    /// The cells without the parameter, by its column.
    bare: BTreeMap<usize, Cells>,
}

/// A set of cells: a bit for each.
#[derive(Clone, Debug)]
struct Cells(Vec<u64>);

impl Cells {
    fn of(candidate: &Candidate, has: impl Fn(&CandidateCell) -> bool) -> Self {
        let chunks = candidate.cells.chunks(64).map(|cells| {
            let bits = cells.iter().enumerate();
            bits.fold(0, |all, (at, cell)| all | (u64::from(has(cell)) << at))
        });
        Self(chunks.collect())
    }

    fn and(&self, other: &Self) -> Self {
        let pairs = self.0.iter().zip(&other.0);
        Self(pairs.map(|(left, right)| left & right).collect())
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|bits| *bits == 0)
    }

    fn len(&self) -> usize {
        self.0.iter().map(|bits| bits.count_ones() as usize).sum()
    }

    fn places(&self) -> impl Iterator<Item = usize> {
        let chunks = self.0.iter().enumerate().filter(|(_, bits)| **bits != 0);
        chunks.flat_map(|(chunk, bits)| {
            // `bits` without its lowest set bit.
            let rest = |bits: &u64| Some(bits & bits.wrapping_sub(1));
            let set = std::iter::successors(Some(*bits), rest).take_while(|bits| *bits != 0);
            set.map(move |bits| chunk * 64 + bits.trailing_zeros() as usize)
        })
    }
}

impl<'a> Finder<'a> {
    pub(super) fn new(candidate: &'a Candidate) -> Self {
        Self {
            candidate,
            all: Cells::of(candidate, |_| true),
            having: BTreeMap::new(),
            bare: BTreeMap::new(),
        }
    }

    pub(super) fn sweep(&self) -> &'a str {
        &self.candidate.sweep
    }

    /// The cell that has these fields. Where several match, cells without the
    /// parameter of an empty field are preferred; then exactly one must be
    /// left.
    pub(super) fn find(&mut self, fields: &[Field<'_>]) -> Result<CellDigest, Missed> {
        let candidate = self.candidate;
        let mut left = self.all.clone();
        for field in fields.iter().filter(|it| !it.text.is_empty()) {
            let fitting = left.and(self.having(field));
            if fitting.is_empty() && !left.is_empty() {
                let cells = left.places().map(|at| &candidate.cells[at]);
                return Err(Missed::At(field.place, no_cell(candidate, cells, field)));
            }
            left = fitting;
        }
        if left.len() > 1 {
            let empty = fields.iter().filter(|it| it.text.is_empty());
            let bare = empty.fold(left.clone(), |bare, field| bare.and(self.bare(field)));
            if !bare.is_empty() {
                left = bare;
            }
        }
        let count = left.len();
        let mut cells = left.places().map(|at| &candidate.cells[at]);
        match (cells.next(), cells.next()) {
            (Some(cell), None) => Ok(cell.digest),
            (None, _) => {
                let message = format!("sweep `{}` has no cell", candidate.sweep);
                Err(Missed::Whole(message))
            }
            (Some(first), Some(second)) => {
                let differs = |(axis, value): &&(String, Value)| second.value(axis) != Some(value);
                let axis = first.axes.iter().find(differs);
                let axis = axis.map_or("", |(axis, _)| axis.as_str());
                Err(Missed::Whole(format!(
                    "it fits {count} cells of `{}`, which differ in `{axis}`; say its value",
                    candidate.sweep
                )))
            }
        }
    }

    fn having(&mut self, field: &Field<'_>) -> &Cells {
        let candidate = self.candidate;
        if self.having.len() >= KEPT_MAX {
            self.having.clear();
        }
        let key = (field.place, field.text.to_owned());
        self.having.entry(key).or_insert_with(|| {
            let written = Written::new(field.text);
            Cells::of(candidate, |cell| {
                written.is(cell.value(field.name).unwrap_or(&Value::Null))
            })
        })
    }

    /// The cells that have no value, or one that says nothing, where a field is
    /// empty.
    fn bare(&mut self, field: &Field<'_>) -> &Cells {
        let candidate = self.candidate;
        self.bare.entry(field.place).or_insert_with(|| {
            Cells::of(candidate, |cell| match cell.value(field.name) {
                None | Some(Value::Null | Value::Bool(false)) => true,
                Some(Value::Number(number)) => number.as_f64() == Some(0.0),
                Some(_) => false,
            })
        })
    }
}

/// The error when none of `cells`, which match the fields before, has this
/// field.
fn no_cell<'a>(
    candidate: &Candidate,
    cells: impl Iterator<Item = &'a CandidateCell>,
    field: &Field<'_>,
) -> String {
    let value = |cell: &CandidateCell| written(cell.value(field.name).unwrap_or(&Value::Null));
    let mut values: Vec<String> = cells.map(value).collect();
    values.sort();
    values.dedup();
    format!(
        "no cell of `{}` with what stands before has `{}`; {}",
        candidate.sweep,
        field.text,
        nearest_value(field.text, &values)
    )
}
