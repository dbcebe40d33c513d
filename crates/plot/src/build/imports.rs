//! What a plot says about imported numbers.

use swath_model::text::counted;
use swath_model::view::CellResults;
use swath_results::table::Results;

/// Whether a number of the cell is imported.
pub(super) fn has(cell: &CellResults) -> bool {
    cell.replicates.iter().any(|it| it.imported.is_some())
}

/// Says how many runs are imported, and whether their spread is unknown. Where
/// only some are, `mark` names what points them out, such as `Ringed`.
pub(super) fn notes(results: &Results, mark: &str) -> Vec<String> {
    let all = || results.cells().flat_map(|(cell, _)| &cell.replicates);
    let imported = || all().filter_map(|it| it.imported.as_ref());
    let count = imported().count() as u64;
    if count == 0 {
        return Vec::new();
    }
    let runs: u64 = results
        .cells()
        .map(|(_, it)| u64::from(it.measured.n()))
        .sum();
    let verb = if count == 1 { "is" } else { "are" };
    let mut notes = vec![if count == runs {
        "Every number is imported, not trained here.".to_owned()
    } else {
        let counted = counted(count, "run");
        format!(
            "{mark}: with numbers from elsewhere ({counted} {verb} imported, not trained here)."
        )
    }];
    let medians: u64 = results
        .cells()
        .map(|(_, it)| u64::from(it.summarised))
        .sum();
    if medians > 0 {
        notes.push(format!(
            "Of {} only the median is known: no spread is shown.",
            counted(medians, "imported run")
        ));
    }
    notes
}

/// Whether imported numbers need a mark; where all are imported, the caption
/// says so.
pub(super) fn some(results: &Results) -> bool {
    let (mut imported, mut own) = (false, false);
    for (cell, summary) in results.cells() {
        let count = cell
            .replicates
            .iter()
            .filter(|it| it.imported.is_some())
            .count();
        imported |= count > 0;
        own |= summary.measured.n() as usize > count;
    }
    imported && own
}
