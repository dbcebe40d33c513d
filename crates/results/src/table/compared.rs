//! A sweep's cells beside the values that were published for them.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use swath_model::job::StateName;
use swath_model::text::counted;
use swath_sweep::reference::Published;

use super::Results;
use super::verdict::{Side, Verdict, judge, over_all};
use crate::summary::Unit;

/// How many lines without a cell are named.
const LINES_MAX: usize = 20;

/// A cell beside one published line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared<'a> {
    /// What was published.
    #[serde(flatten, serialize_with = "without_cells")]
    pub published: &'a Published,
    /// Our value minus the published one. Of two published values, in table and
    /// figure, it uses the one that is reproduced, or else the nearer.
    pub difference: Option<f64>,
    /// The greatest difference at which the values agree.
    pub margin: Option<f64>,
    /// The verdict; none where no value was published.
    pub verdict: Option<Verdict>,
}

/// How a sweep compares with what was published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Cells whose value was reproduced; see [`Verdict::Reproduced`].
    pub reproduced: u32,
    /// See [`Verdict::NotReproduced`].
    pub not_reproduced: u32,
    /// See [`Verdict::Undecided`]; cells that are not final count here.
    pub undecided: u32,
    /// Published values that belong to no cell of the sweep; they do not affect
    /// the verdict.
    pub unmatched: u32,
    /// The lines of those values in the reference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmatched_lines: Vec<u32>,
    /// See [`Verdict::Imported`].
    #[serde(default)]
    pub imported: u32,
}

impl Check {
    /// The verdict over all cells: reproduced only where nothing is missing.
    pub const fn verdict(&self) -> Verdict {
        if self.not_reproduced > 0 {
            Verdict::NotReproduced
        } else if self.undecided > 0 || self.imported > 0 || self.reproduced == 0 {
            Verdict::Undecided
        } else {
            Verdict::Reproduced
        }
    }

    /// The counts in words: `12 reproduced, 1 not reproduced, 2 undecided, 3
    /// imported`.
    pub fn words(&self) -> String {
        let mut text = format!(
            "{} reproduced, {} not reproduced, {} undecided",
            self.reproduced, self.not_reproduced, self.undecided
        );
        // Writing to a String cannot fail.
        if self.imported > 0 {
            let _ = write!(text, ", {} imported", self.imported);
        }
        if self.unmatched > 0 {
            let lines = counted(u64::from(self.unmatched), "published value");
            let at: Vec<String> = self.unmatched_lines.iter().map(u32::to_string).collect();
            let noun = if at.len() == 1 { "line" } else { "lines" };
            let _ = write!(text, "; {lines} of no cell of this sweep");
            if !at.is_empty() {
                let _ = write!(text, " ({noun} {} of the reference)", at.join(", "));
            }
        }
        text
    }
}

impl Results {
    /// Whether there are published values to compare with.
    pub fn has_reference(&self) -> bool {
        !self.definition.published.is_empty()
    }

    /// The cell at `place` beside each published line about it, in the order of
    /// the file.
    ///
    /// Nothing is decided while replicates are open, unless none was begun: a
    /// cell with only imported numbers is complete as it is, and reproduces
    /// nothing. A cell that diverged in every replicate did not reproduce a
    /// value.
    pub fn compared(&self, place: usize) -> Vec<Compared<'_>> {
        let lines = self.published.get(place).map_or(&[][..], Vec::as_slice);
        let lines = lines.iter().map(|line| &self.definition.published[*line]);
        lines.map(|line| self.beside(place, line)).collect()
    }

    fn beside<'a>(&self, place: usize, published: &'a Published) -> Compared<'a> {
        let summary = &self.summaries[place];
        let (figure, tally) = (&summary.measured, summary.tally());
        let Some(median) = figure.median() else {
            let verdict = if tally.open == 0 && tally.diverged > 0 {
                Verdict::NotReproduced
            } else {
                Verdict::Undecided
            };
            return Compared {
                published,
                difference: None,
                margin: None,
                verdict: published.values().next().map(|_| verdict),
            };
        };
        let ours = Side {
            median,
            n: figure.n(),
            deviation: summary.deviation(),
        };
        let percent = self.definition.unit() == Unit::Percent;
        let judgements = published.values().map(|value| {
            let theirs = Side {
                median: value,
                n: published.n,
                deviation: None,
            };
            judge(ours, theirs, percent, published.tolerance)
        });
        let best = judgements.min_by(|left, right| {
            let key = |verdict| verdict != Verdict::Reproduced;
            let size = |difference: f64| difference.abs();
            key(left.verdict)
                .cmp(&key(right.verdict))
                .then(size(left.difference).total_cmp(&size(right.difference)))
        });
        Compared {
            published,
            difference: best.map(|it| it.difference),
            margin: best.and_then(|it| it.margin),
            verdict: best.map(|it| {
                if tally.open > 0 && self.is_begun(place) {
                    Verdict::Undecided
                } else if self.is_imported(place) {
                    Verdict::Imported
                } else {
                    it.verdict
                }
            }),
        }
    }

    /// Whether a replicate of the cell was trained here, or is being trained.
    fn is_begun(&self, place: usize) -> bool {
        let replicates = self.cells[place].replicates.iter();
        let mut ours = replicates.filter(|it| it.imported.is_none());
        ours.any(|it| !matches!(it.state, StateName::Queued | StateName::Cancelled))
    }

    /// Whether every number of the cell is from elsewhere.
    fn is_imported(&self, place: usize) -> bool {
        let replicates = self.cells[place].replicates.iter();
        let mut numbers = replicates.filter(|it| it.state == StateName::Succeeded);
        let some = numbers.clone().next().is_some();
        some && numbers.all(|it| it.imported.is_some())
    }

    /// The verdict over every published line about the cell at `place`:
    /// reproduced if any line is; none without a published value.
    pub fn verdict(&self, place: usize) -> Option<Verdict> {
        over_all(self.compared(place).iter().filter_map(|it| it.verdict))
    }

    /// How the cells compare with what was published; none without a reference.
    pub fn check(&self) -> Option<Check> {
        if !self.has_reference() {
            return None;
        }
        let mut check = Check::default();
        for place in 0..self.cells.len() {
            match self.verdict(place) {
                Some(Verdict::Reproduced) => check.reproduced += 1,
                Some(Verdict::NotReproduced) => check.not_reproduced += 1,
                Some(Verdict::Undecided) => check.undecided += 1,
                Some(Verdict::Imported) => check.imported += 1,
                None => {}
            }
        }
        let published = self.definition.published.iter();
        let unmatched = published.filter(|it| it.cells.is_empty() && it.values().next().is_some());
        check.unmatched_lines = unmatched.map(|it| it.line).collect();
        check.unmatched = check.unmatched_lines.len() as u32;
        check.unmatched_lines.truncate(LINES_MAX);
        Some(check)
    }

    /// For each cell the published lines about it.
    pub(super) fn lines_of_cells(
        definition: &super::Definition,
        cells: &[swath_model::view::CellResults],
    ) -> Vec<Vec<usize>> {
        if definition.published.is_empty() {
            return Vec::new();
        }
        let of_cell = |index: u64| {
            let lines = definition.published.iter().enumerate();
            let about = lines.filter(|(_, line)| line.cells.binary_search(&index).is_ok());
            about.map(|(at, _)| at).collect()
        };
        cells.iter().map(|cell| of_cell(cell.index)).collect()
    }
}

/// Leaves the cells out: programs find them by the row.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn without_cells<S: serde::Serializer>(
    published: &&Published,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let without = Published {
        cells: Vec::new(),
        ..(*published).clone()
    };
    without.serialize(serializer)
}
