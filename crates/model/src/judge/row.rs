//! Whether what fails on a worker speaks against its host.
//!
//! A failure may be the doing of the job, of the program that all jobs of its
//! sweep run, or of the host. What a worker has failed in a row, without a
//! measurement between, is weighed so that a host on which everything fails is
//! soon found, and no host is stopped for a program that would fail everywhere:
//!
//! * Replicates of one cell compute the same thing, so they are one failure.
//! * If the sweep has results, its program works, and each cell that fails counts
//!   ([`Failure::by_itself`]). So it does while the sweep is on trial: it has failed
//!   on this host alone, and another worker is at a job of it, which will tell. In
//!   both cases another worker must be there that could take the job. Otherwise
//!   nobody would find out whose doing it is, and everybody's work would stop for
//!   this one sweep.
//! * All other failures of one person's sweeps count once, however many they
//!   are: while somebody gets a program to run at all, much of it fails.
//! * What fails on another worker too counts for neither; nor does what is not
//!   wanted any more, as when its sweep was paused because its first jobs failed
//!   alike.
//!
//! So a sweep without results may be paused ([`super::pause`]), and cordons nobody
//! unless it is on trial; a sweep with results is never paused, and its failures may
//! cordon.

use std::collections::BTreeSet;

use crate::cause::CordonCause;
use crate::id::{CellDigest, JobDigest};
use crate::policy::Policy;

/// The most failures of which a row consists; after that the oldest go.
pub const ROW_MAX: usize = 64;

/// A job that has failed on a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The job.
    pub job: JobDigest,
    /// Its cell.
    pub cell: CellDigest,
    /// Whose sweep wants it.
    pub owner: String,
    /// Whether such a sweep has results, or is on trial on another worker, and
    /// another worker could take the job.
    pub by_itself: bool,
}

/// A worker's row after one more charged fault. Only the first failure of a cell
/// is in it.
pub fn lengthened(mut row: Vec<Failure>, failure: Failure) -> Vec<Failure> {
    if row.iter().all(|known| known.cell != failure.cell) {
        row.push(failure);
    }
    let excess = row.len().saturating_sub(ROW_MAX);
    row.drain(..excess);
    row
}

/// How much a row counts against the host.
pub fn weight(row: &[Failure]) -> u64 {
    let cells = row.iter().filter(|it| it.by_itself).map(|it| it.cell);
    let cells: BTreeSet<CellDigest> = cells.collect();
    let others = row.iter().filter(|it| !it.by_itself);
    let owners: BTreeSet<&str> = others.map(|it| it.owner.as_str()).collect();
    (cells.len() + owners.len()) as u64
}

/// The reason to cordon a worker with this row, if there is one. The jobs of the
/// row are then uncharged. `headline` is that of the last of them.
pub fn cordon(row: &[Failure], headline: &str, policy: &Policy) -> Option<CordonCause> {
    is_reason(row, policy).then(|| CordonCause::FailedInARow {
        jobs: row.len() as u64,
        headline: headline.to_owned(),
    })
}

fn is_reason(row: &[Failure], policy: &Policy) -> bool {
    weight(row) >= u64::from(policy.cordon_after)
}

/// Whether a measurement ends the row of a worker that is cordoned for this. A row
/// that is the reason stays: what was measured was granted before.
pub const fn ends_with_a_measurement(cordoned: Option<&CordonCause>) -> bool {
    !matches!(cordoned, Some(CordonCause::FailedInARow { .. }))
}

/// Whether a cordoned worker gets jobs again, because its row is no reason any
/// more.
pub fn excused(row: &[Failure], cordoned: Option<&CordonCause>, policy: &Policy) -> bool {
    let for_its_row = matches!(cordoned, Some(CordonCause::FailedInARow { .. }));
    for_its_row && !is_reason(row, policy)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn failure(cell: u8, replicate: u8, owner: &str, by_itself: bool) -> Failure {
        let mut job = [cell; 32];
        job[0] = replicate;
        Failure {
            job: JobDigest::from_bytes(job),
            cell: CellDigest::from_bytes([cell; 32]),
            owner: owner.to_owned(),
            by_itself,
        }
    }

    fn row_of(failures: impl IntoIterator<Item = Failure>) -> Vec<Failure> {
        failures.into_iter().fold(Vec::new(), lengthened)
    }

    fn any_failure() -> impl Strategy<Value = Failure> {
        let owner = prop::sample::select(vec!["anna", "ben", "cleo"]);
        (0..12_u8, 1..4_u8, owner, any::<bool>()).prop_map(|(cell, replicate, owner, by_itself)| {
            failure(cell, replicate, owner, by_itself)
        })
    }

    fn any_failures() -> impl Strategy<Value = Vec<Failure>> {
        prop::collection::vec(any_failure(), 0..40)
    }

    proptest! {
        /// Whatever fails of one person's sweeps, none of which has results, or
        /// which nobody else could run.
        #[test]
        fn one_persons_broken_programs_cordon_nobody(failures in any_failures()) {
            let failures = failures.into_iter().map(|it| Failure {
                owner: "anna".to_owned(),
                by_itself: false,
                ..it
            });
            prop_assert_eq!(cordon(&row_of(failures), "no", &Policy::default()), None);
        }

        /// However many replicates of it fail, whoever wants them.
        #[test]
        fn one_cell_cordons_nobody(failures in any_failures()) {
            let one = failures.into_iter().map(|it| Failure {
                cell: CellDigest::from_bytes([1; 32]),
                ..it
            });
            let row = row_of(one);
            prop_assert!(row.len() <= 1);
            prop_assert_eq!(cordon(&row, "no", &Policy::default()), None);
        }

        /// A host on which all of a sweep fails that others can run.
        #[test]
        fn a_host_that_fails_what_runs_elsewhere_is_cordoned(
            before in any_failures(),
            cells in 3..9_u8,
        ) {
            let more = (100..100 + cells).map(|cell| failure(cell, 1, "anna", true));
            let row = row_of(before.into_iter().chain(more));
            prop_assert!(cordon(&row, "no", &Policy::default()).is_some());
        }

        /// A host on which everybody's programs fail.
        #[test]
        fn a_host_that_fails_three_persons_is_cordoned(before in any_failures()) {
            let owners = ["dora", "emil", "fritz"].into_iter().zip(100..);
            let more = owners.map(|(owner, cell)| failure(cell, 1, owner, false));
            let row = row_of(before.into_iter().chain(more));
            prop_assert!(cordon(&row, "no", &Policy::default()).is_some());
        }

        /// It depends on what failed, not on the order, and never counts more
        /// than the cells that failed.
        #[test]
        fn a_weight_is_of_the_cells(failures in any_failures(), more in any_failure()) {
            let row = row_of(failures);
            let cells: BTreeSet<CellDigest> = row.iter().map(|it| it.cell).collect();
            prop_assert_eq!(cells.len(), row.len());
            prop_assert!(weight(&row) <= cells.len() as u64);
            let reversed: Vec<Failure> = row.iter().rev().cloned().collect();
            prop_assert_eq!(weight(&reversed), weight(&row));
            let longer = lengthened(row.clone(), more);
            prop_assert!(weight(&longer) >= weight(&row));
            prop_assert!(weight(&longer) <= weight(&row) + 1);
        }
    }

    #[test]
    fn a_row_is_bounded() {
        let row = row_of((0..=200).map(|cell| failure(cell, 1, "anna", false)));
        assert_eq!(row.len(), ROW_MAX);
        assert_eq!(row.last().map(|it| it.cell.as_bytes()[1]), Some(200));
    }

    #[test]
    fn only_a_cordon_for_the_row_is_lifted_with_it() {
        let policy = Policy::default();
        let row = row_of((1..=3).map(|cell| failure(cell, 1, "anna", true)));
        let cause = cordon(&row, "No space left on device", &policy);
        let told = cause.as_ref().map(CordonCause::to_string);
        assert_eq!(
            told.as_deref(),
            Some(
                "3 different jobs failed on it in a row, the last with: No space left on device; look \
                 at its logs, then activate it"
            )
        );
        assert!(!excused(&row, cause.as_ref(), &policy));
        assert!(excused(&row[..2], cause.as_ref(), &policy));
        let operator = CordonCause::Operator;
        assert!(!excused(&[], Some(&operator), &policy));
        assert!(!excused(&[], None, &policy));
        assert!(!ends_with_a_measurement(cause.as_ref()));
        assert!(ends_with_a_measurement(Some(&operator)));
        assert!(ends_with_a_measurement(None));
    }
}
