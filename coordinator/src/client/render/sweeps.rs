//! The list of sweeps.

use std::collections::HashMap;

use swath_model::label::versioned;
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
        Column::text("owner"),
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
        Column::text("tags"),
        Column::text("finished").wide(),
        Column::text("digest").wide(),
        Column::text("title").wide(),
        Column::text("note").wide(),
        Column::text("reason").wide(),
    ];
    let mut listing = Listing::new("sweeps", columns);
    for (sweep, name) in sweeps.iter().zip(names(sweeps)) {
        let fields = fields(sweep, name);
        listing.push(sweep.digest.to_string(), fields, document(sweep));
    }
    listing
}

/// What to call each of these sweeps: its name, with its version where others
/// have the same.
pub(crate) fn names(sweeps: &[SweepView]) -> Vec<String> {
    let mut namesakes: HashMap<&str, u32> = HashMap::new();
    for sweep in sweeps {
        *namesakes.entry(&sweep.name).or_default() += 1;
    }
    let name = |sweep: &SweepView| match namesakes[&*sweep.name] {
        1 => sweep.full_name(),
        _ => versioned(&sweep.name, sweep.version),
    };
    sweeps.iter().map(name).collect()
}

fn fields(sweep: &SweepView, name: String) -> Vec<String> {
    let (counts, label) = (&sweep.counts, &sweep.label);
    vec![
        name,
        sweep.digest.short(),
        label.owner.clone(),
        if label.deleting {
            "deleting".to_owned()
        } else {
            state_name(sweep.state).to_owned()
        },
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
        label.tags.join(" "),
        moment(sweep.finished_at),
        sweep.digest.to_string(),
        sweep.title.clone(),
        label.note.clone(),
        super::words(sweep.paused.as_ref()),
    ]
}
