//! Numbers from elsewhere: published, or measured by other means.
//!
//! An imported number is no outcome of a job. A job is named by what it
//! computes, recipe and seed, and it is one job for every sweep that holds its
//! cell; a number from a paper was computed by something else, and holds for
//! the table that it was published in. So imports lie beside the jobs, under
//! the sweep's name and the cell: jobs stay as they are and can be trained,
//! a grown sweep keeps its imports, and only the table joins both, by [`fill`].

use serde::{Deserialize, Serialize};

use crate::id::{CellDigest, JobDigest, Replicate};
use crate::job::StateName;
use crate::view::ReplicateResult;

/// The most runs that one imported number may stand for.
pub const RUNS_MAX: u32 = 1000;

/// A number from elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Imported {
    /// Test error in percent, or the metric that the sweep measures.
    pub test_error: f64,
    /// Seconds of one training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// How many runs it is the median of.
    pub runs: u32,
    /// The replicate that it stands for, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicate: Option<Replicate>,
    /// The seed that it was computed with, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The source of the number, as the user names it.
    pub source: String,
    /// The file that it came in.
    pub file: String,
    /// Its line there, from 1.
    pub line: u32,
}

impl Imported {
    /// Whether `other` says the same, in whatever file and line it stands.
    pub fn says(&self, other: &Self) -> bool {
        let all = |it: &Self| {
            let seconds = it.seconds.map(f64::to_bits);
            let test_error = it.test_error.to_bits();
            (test_error, seconds, it.runs, it.replicate, it.seed)
        };
        self.source == other.source && all(self) == all(other)
    }

    /// Whether it sums up runs whose values are not known one by one. It counts
    /// in a median, but it is no run: it does not show how runs scatter.
    pub const fn is_summary(&self) -> bool {
        self.runs > 1
    }

    /// Whether its numbers are finite and in range, so that it may be stored.
    pub fn is_sound(&self) -> bool {
        self.test_error.is_finite()
            && self.seconds.is_none_or(|it| it.is_finite() && it >= 0.0)
            && (1..=RUNS_MAX).contains(&self.runs)
    }
}

/// One number for one cell of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportRow {
    /// The name of the sweep. Every sweep of this name with this cell shows the
    /// number.
    pub sweep: String,
    /// The cell.
    pub cell: CellDigest,
    /// Tells apart the numbers that one source has for one cell, from 1.
    pub place: u32,
    /// The number.
    pub number: Imported,
}

impl ImportRow {
    /// The message that its source has said something else before.
    pub fn contradicts(&self, known: &Imported) -> String {
        let Imported {
            source, file, line, ..
        } = &self.number;
        format!(
            "{file}:{line}: `{source}` said {} of this cell before ({}:{}), not {}; import it \
             under another source, or let it replace what that source said",
            known.test_error, known.file, known.line, self.number.test_error
        )
    }

    /// The message that its numbers may not be stored.
    pub fn is_unsound(&self) -> String {
        let Imported { file, line, .. } = &self.number;
        format!("{file}:{line}: its numbers are not finite, or it counts no runs or too many")
    }

    /// The message that its cell does not exist.
    pub fn cell_of_sweep(&self) -> String {
        format!("cell {} in a sweep `{}`", self.cell.short(), self.sweep)
    }
}

/// Numbers to store, all or nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImportBatch {
    /// Remove first what the same sources have said about the same sweeps.
    pub replace: bool,
    /// The numbers.
    pub rows: Vec<ImportRow>,
}

/// The result of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportCounts {
    /// Numbers that are new.
    pub new: u64,
    /// Numbers that were there already with the same value.
    pub known: u64,
    /// Numbers that were removed first.
    pub removed: u64,
}

/// Lets imported numbers count among a cell's `replicates`, which come in
/// order.
///
/// A number that names a replicate, or its seed, takes that place. Other
/// numbers take the first free places, one per run. A replicate that was
/// measured or that failed here is never replaced: a number without a free
/// place is appended.
pub fn fill(replicates: &mut Vec<ReplicateResult>, numbers: impl IntoIterator<Item = Imported>) {
    let mut others = Vec::new();
    for number in numbers {
        let named = replicates.iter_mut().find(|it| {
            number.replicate == Some(it.replicate)
                || (number.replicate.is_none() && number.seed == Some(it.seed))
        });
        match named {
            Some(it) if number.runs == 1 && is_free(it) => stand_in(it, number),
            _ => others.push(number),
        }
    }
    let mut from = 0;
    for number in others {
        for _ in 0..number.runs {
            while replicates.get(from).is_some_and(|it| !is_free(it)) {
                from += 1;
            }
            match replicates.get_mut(from) {
                Some(it) => stand_in(it, number.clone()),
                None => replicates.push(extra(replicates.last(), number.clone())),
            }
        }
    }
}

fn is_free(replicate: &ReplicateResult) -> bool {
    let ended_here = matches!(replicate.state, StateName::Succeeded | StateName::Failed);
    !ended_here && replicate.imported.is_none()
}

fn stand_in(replicate: &mut ReplicateResult, number: Imported) {
    replicate.state = StateName::Succeeded;
    replicate.fault = None;
    replicate.measurement = None;
    replicate.last_values.clear();
    replicate.provenance = None;
    replicate.imported = Some(Box::new(number));
}

/// A number beyond the sweep's own replicates; it has no job.
fn extra(last: Option<&ReplicateResult>, number: Imported) -> ReplicateResult {
    ReplicateResult {
        replicate: Replicate(last.map_or(0, |it| it.replicate.0).saturating_add(1)),
        job: JobDigest::from_bytes([0; 32]),
        seed: number.seed.unwrap_or(0),
        state: StateName::Succeeded,
        fault: None,
        measurement: None,
        last_values: Vec::new(),
        provenance: None,
        imported: Some(Box::new(number)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn job(replicate: u32, state: StateName) -> ReplicateResult {
        ReplicateResult {
            replicate: Replicate(replicate),
            job: JobDigest::from_bytes([replicate as u8; 32]),
            seed: 100 + u64::from(replicate),
            state,
            fault: None,
            measurement: None,
            last_values: Vec::new(),
            provenance: None,
            imported: None,
        }
    }

    fn number(test_error: f64, runs: u32, replicate: Option<u32>) -> Imported {
        Imported {
            test_error,
            seconds: None,
            runs,
            replicate: replicate.map(Replicate),
            seed: None,
            source: "me".to_owned(),
            file: "runs.csv".to_owned(),
            line: 2,
        }
    }

    fn shown(replicates: &[ReplicateResult]) -> Vec<(u32, Option<f64>)> {
        let one =
            |it: &ReplicateResult| (it.replicate.0, it.imported.as_ref().map(|it| it.test_error));
        replicates.iter().map(one).collect()
    }

    #[test]
    fn numbers_take_the_places_of_what_is_not_measured() {
        let mut replicates = vec![
            job(1, StateName::Succeeded),
            job(2, StateName::Queued),
            job(3, StateName::Failed),
            job(4, StateName::Cancelled),
        ];
        let mut seeded = number(4.0, 1, None);
        seeded.seed = Some(102);
        let numbers = [number(1.0, 1, Some(1)), number(2.0, 2, None), seeded];
        fill(&mut replicates, numbers);
        assert_eq!(
            shown(&replicates),
            [
                (1, None),
                (2, Some(4.0)),
                (3, None),
                (4, Some(1.0)),
                (5, Some(2.0)),
                (6, Some(2.0))
            ]
        );
    }

    proptest! {
        /// What was measured or failed here stays, and every run counts once.
        #[test]
        fn nothing_is_hidden_and_nothing_is_lost(
            states in proptest::collection::vec(0..StateName::ALL.len(), 0..6),
            numbers in proptest::collection::vec((1..4_u32, proptest::option::of(1..8_u32)), 0..5),
        ) {
            let before: Vec<_> = (1..)
                .zip(&states)
                .map(|(replicate, state)| job(replicate, StateName::ALL[*state]))
                .collect();
            let mut after = before.clone();
            fill(&mut after, numbers.iter().map(|(runs, replicate)| number(1.0, *runs, *replicate)));
            let kept = |it: &&ReplicateResult| matches!(it.state, StateName::Succeeded | StateName::Failed);
            for it in before.iter().filter(kept) {
                prop_assert_eq!(&after[it.replicate.0 as usize - 1], it);
            }
            let runs: u32 = numbers.iter().map(|(runs, _)| runs).sum();
            let imported = after.iter().filter(|it| it.imported.is_some()).count();
            prop_assert_eq!(imported, runs as usize);
            for (place, it) in (1..).zip(&after) {
                prop_assert_eq!(it.replicate, Replicate(place));
            }
        }
    }
}
