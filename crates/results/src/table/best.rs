//! The best cells of a sweep, and their marks in a table.

use std::fmt::Write as _;

use serde::Serialize;
use swath_model::metrics::Goal;
use swath_model::text::counted;

use super::{Field, Results, Shown, Table};
use crate::summary::{Figure, alike};

impl Results {
    /// The complete cells with the best median: several where they tie. Only
    /// complete cells take part, because a median of the surviving replicates is
    /// too good.
    pub fn best(&self) -> Vec<usize> {
        let complete = |at: &usize| best_of(&self.summaries[*at].measured);
        let medians = (0..self.cells.len()).filter_map(|at| Some((at, complete(&at)?)));
        let goal = self.definition.goal();
        let Some(best) = goal.best(medians.clone().map(|(_, median)| median)) else {
            return Vec::new();
        };
        let tied = medians.filter(|(_, median)| alike(*median, best));
        tied.map(|(at, _)| at).collect()
    }
}

/// The cells that take no part in the search for the best one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unfit {
    /// Cells without a result whose replicates are not all done.
    pub waiting: u64,
    /// Cells with a result whose replicates are not all done.
    pub partial: u64,
    /// Cells that are done, with fewer results than replicates.
    pub fewer: u64,
}

impl Unfit {
    /// The cells of `results` that take no part.
    pub fn of(results: &Results) -> Self {
        let mut unfit = Self::default();
        for summary in &results.summaries {
            let figure = &summary.measured;
            let count = match (figure.median(), figure.tally().open) {
                _ if figure.is_complete() => continue,
                (_, 0) => &mut unfit.fewer,
                (None, _) => &mut unfit.waiting,
                (Some(_), _) => &mut unfit.partial,
            };
            *count += 1;
        }
        unfit
    }

    /// A sentence for each kind that there is, of so many cells.
    pub fn words(&self, cells: usize) -> Vec<String> {
        let cells = counted(cells as u64, "cell");
        let has = |count: u64| if count == 1 { "has" } else { "have" };
        let mut words = Vec::new();
        let mut tell = |count: u64, what: &str| {
            if count > 0 {
                words.push(format!("{count} of {cells} {} {what}", has(count)));
            }
        };
        tell(self.waiting, "no result yet");
        tell(
            self.partial,
            "only some of their results yet, and take no part",
        );
        tell(
            self.fewer,
            "fewer results than replicates for good, and take no part",
        );
        words
    }
}

/// The median with which a figure takes part in the search for the best.
fn best_of(figure: &Figure) -> Option<f64> {
    figure.median().filter(|_| figure.is_complete())
}

/// The figures of a column.
fn figures(table: &Table, at: usize) -> impl Iterator<Item = &Shown> + Clone {
    table
        .rows
        .iter()
        .filter_map(move |row| match row.fields.get(at) {
            Some(Field::Figure(shown)) => Some(shown),
            _ => None,
        })
}

/// Marks the best medians of the columns at these places, and says what the mark
/// means and where several cells tie. The numbers get as many decimals as tell
/// the best of their column from the others.
pub(super) fn mark_best(table: &mut Table, columns: &[(usize, Goal)]) {
    let mut marked = Vec::new();
    let mut precise = Vec::new();
    for (at, goal) in columns {
        let medians = figures(table, *at).filter_map(|it| best_of(&it.figure));
        let Some(best) = goal.best(medians.clone()) else {
            continue;
        };
        let Some(unit) = figures(table, *at).map(|it| it.figure.unit()).next() else {
            continue;
        };
        precise.push((
            *at,
            unit.telling_apart(medians.clone().map(|it| [it, best])),
        ));
        if medians.count() > 1 {
            marked.push((*at, *goal, best));
        }
    }
    // The columns of a pivot show one measure, and look alike.
    for (at, _) in &precise {
        let group = |at: usize| table.columns[at].group.as_ref();
        let like = precise.iter().filter(|(other, _)| {
            at == other || (group(*at).is_some() && group(*at) == group(*other))
        });
        let more = like.map(|(_, more)| *more).max().unwrap_or(0);
        for row in &mut table.rows {
            if let Some(Field::Figure(shown)) = row.fields.get_mut(*at) {
                shown.figure = shown.figure.precise(more);
            }
        }
    }
    let mut ties = Vec::new();
    for (at, _, best) in &marked {
        let mut count = 0;
        for row in &mut table.rows {
            if let Some(Field::Figure(shown)) = row.fields.get_mut(*at) {
                shown.best = best_of(&shown.figure).is_some_and(|it| alike(it, *best));
                count += u64::from(shown.best);
            }
        }
        if count > 1 {
            ties.push((*at, counted(count, "cell")));
        }
    }
    table.best = said(table, &marked, &ties);
}

/// What the mark means.
fn said(table: &Table, marked: &[(usize, Goal, f64)], ties: &[(usize, String)]) -> Option<String> {
    let (_, goal, _) = marked.first()?;
    let mut said = if marked.iter().all(|(_, other, _)| other == goal) {
        let superlative = goal.superlative();
        format!("the {superlative} of its column among cells with every run")
    } else {
        "the best of its column (the least or, where more is better, the greatest) among cells \
         with every run"
            .to_owned()
    };
    let name = |at: usize| {
        let column = &table.columns[at];
        let group = column.group.as_ref().map(|it| format!("{it} "));
        format!("{}{}", group.unwrap_or_default(), column.name)
    };
    // Writing to a String cannot fail.
    match ties {
        [] => {}
        [(_, cells)] if marked.len() == 1 => {
            let _ = write!(said, "; {cells} tie");
        }
        ties => {
            let each = ties
                .iter()
                .map(|(at, cells)| format!("{cells} in {}", name(*at)));
            let _ = write!(said, "; ties: {}", each.collect::<Vec<_>>().join(", "));
        }
    }
    Some(said)
}
