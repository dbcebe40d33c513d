//! The rules by which results steer sweeps.

use swath_model::steering::{Rule, Steering};
use swath_model::view::CellResults;
use swath_stats::NotFinite;

use crate::replication::{Trials, look};
use crate::summary::Quantity;

/// What a rule says of these results of a sweep where this is `measured`; nothing
/// where it is too early. It follows from the results alone, so it may be asked again.
///
/// # Errors
///
/// When a recorded number is not finite.
pub fn steer(
    rule: Rule,
    measured: &Quantity,
    cells: &[CellResults],
) -> Result<Vec<Steering>, NotFinite> {
    match rule {
        Rule::Ranked(bounds) => {
            let trials = cells.iter().map(|it| Trials::new(it, measured));
            let trials = trials.collect::<Result<Vec<_>, _>>()?;
            Ok(look(bounds, measured.goal(), &trials))
        }
    }
}
