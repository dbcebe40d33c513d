//! The list of decisions about the replicates of a sweep.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use swath_coordinator::api::{Decisions, NamedCell};
use swath_model::id::CellDigest;
use swath_model::replication::{Neighbour, Pair, Stop};
use swath_model::text::{measured, told_apart};
use swath_report::{Listing, ListingColumn as Column, parameter, utc};
use swath_results::table::label;

/// One row per replicate that was given, then one per pair that stays
/// undecided. The pairs come only with `all`, because they are no jobs.
pub(crate) fn listing(document: &Decisions, all: bool) -> Listing {
    let columns = [
        Column::number("round"),
        Column::text("at").wide(),
        Column::text("decision"),
        Column::text("better"),
        Column::number("median"),
        Column::number("n"),
        Column::text("worse"),
        Column::number("its median"),
        Column::number("its n"),
        Column::number("p"),
        Column::number("level"),
        Column::text("job").wide(),
    ];
    let mut listing = Listing::new("decisions", columns);
    let names = names(&document.cells);
    let name = |cell: CellDigest| names.get(&cell).cloned().unwrap_or_else(|| cell.short());
    for decided in &document.decisions {
        let it = &decided.decision;
        let decision = &it.decision;
        let job = decided.job.map(|job| job.to_string()).unwrap_or_default();
        let tie = if decision.pair.is_tie() {
            ", a tie"
        } else {
            ""
        };
        let what = format!(
            "replicate {} of {}{tie}",
            decision.replicate,
            name(decision.cell)
        );
        let head = [it.round.to_string(), utc(it.at), what];
        let fields = head
            .into_iter()
            .chain(pair(&decision.pair, &name))
            .chain([job.clone()]);
        let mut row = super::document(it);
        row["job"] = super::document(&decided.job);
        row["name"] = name(decision.cell).into();
        row["tie"] = decision.pair.is_tie().into();
        listing.push(job, fields.collect(), row);
    }
    for undecided in document.undecided.iter().filter(|_| all) {
        let why = match undecided.stop {
            Stop::Max => "undecided at the most replicates",
            Stop::Cancelled => "undecided, a job was cancelled",
        };
        let tie = if undecided.pair.is_tie() {
            ", a tie"
        } else {
            ""
        };
        let head = [String::new(), String::new(), format!("{why}{tie}")];
        let fields = head
            .into_iter()
            .chain(pair(&undecided.pair, &name))
            .chain([String::new()]);
        let tie = undecided.pair.is_tie();
        let row: Value = json!({ "undecided": undecided.stop, "pair": undecided.pair, "tie": tie });
        let id = undecided.pair.worse.cell.to_string();
        listing.push(id, fields.collect(), row);
    }
    listing
}

/// Both cells of a pair, and what tells them apart or does not.
fn pair(pair: &Pair, name: &dyn Fn(CellDigest) -> String) -> Vec<String> {
    let [better, worse] = [pair.better.median, pair.worse.median];
    // One of a pair that diverged needs no telling apart.
    let any = better.or(worse).unwrap_or_default();
    let texts = told_apart([better.unwrap_or(any), worse.unwrap_or(any)]);
    let side = |it: &Neighbour, text: &str| {
        let median = it.median.map_or("diverged", |_| text);
        [name(it.cell), median.to_owned(), it.n.to_string()]
    };
    let sides = side(&pair.better, &texts[0]).into_iter();
    let sides = sides.chain(side(&pair.worse, &texts[1]));
    let test = [measured(pair.p, 4), measured(pair.level, 5)];
    sides.chain(test).collect()
}

/// Cells by what tells them apart: `lr 0.1, batch size 128`.
fn names(cells: &[NamedCell]) -> BTreeMap<CellDigest, String> {
    let varies = |path: &str, value: &Value| {
        let mut others = cells.iter().flat_map(|cell| &cell.axes);
        cells.len() < 2 || others.any(|(axis, other)| axis == path && other != value)
    };
    let name = |cell: &NamedCell| {
        let told = cell.axes.iter().filter(|(path, value)| varies(path, value));
        let told: Vec<String> = told
            .map(|(path, value)| format!("{} {}", label(path), parameter(value)))
            .collect();
        match told.as_slice() {
            [] => cell.cell.short(),
            told => told.join(", "),
        }
    };
    cells.iter().map(|cell| (cell.cell, name(cell))).collect()
}
