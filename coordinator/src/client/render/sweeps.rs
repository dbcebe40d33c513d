//! The list of sweeps.

use swath_model::view::{SweepState, SweepView};
use swath_report::{Listing, ListingColumn as Column};

use super::{document, moment};

pub(crate) const fn state_name(state: SweepState) -> &'static str {
    match state {
        SweepState::Active => "active",
        SweepState::Paused => "paused",
        SweepState::Finished => "finished",
        SweepState::Cancelled => "cancelled",
    }
}

pub(crate) fn listing(sweeps: &[SweepView]) -> Listing {
    let columns = [
        Column::text("sweep"),
        Column::text("id"),
        Column::text("state"),
        Column::number("cells"),
        Column::number("replicates"),
        Column::number("jobs"),
        Column::number("succeeded"),
        Column::number("open"),
        Column::number("diverged"),
        Column::number("failed"),
        Column::number("cancelled").wide(),
        Column::number("priority").wide(),
        Column::text("submitted"),
        Column::text("finished").wide(),
        Column::text("digest").wide(),
        Column::text("title").wide(),
        Column::text("reason").wide(),
    ];
    let mut listing = Listing::new("sweeps", columns);
    for sweep in sweeps {
        listing.push(sweep.digest.to_string(), fields(sweep), document(sweep));
    }
    listing
}

fn fields(sweep: &SweepView) -> Vec<String> {
    let counts = &sweep.counts;
    vec![
        sweep.name.clone(),
        sweep.digest.short(),
        state_name(sweep.state).to_owned(),
        sweep.cells.to_string(),
        match sweep.replication {
            Some(it) => format!("{} to {}", sweep.replicates, it.max),
            None => sweep.replicates.to_string(),
        },
        counts.total().to_string(),
        counts.succeeded.to_string(),
        (counts.total() - counts.done()).to_string(),
        counts.diverged.to_string(),
        counts.failed.to_string(),
        counts.cancelled.to_string(),
        sweep.priority.to_string(),
        moment(Some(sweep.submitted_at)),
        moment(sweep.finished_at),
        sweep.digest.to_string(),
        sweep.title.clone(),
        super::words(sweep.paused.as_ref()),
    ]
}
