//! What a plan's jobs will cost: by what the store has measured, else by the
//! times in the file of published values.

use std::collections::BTreeMap;

use swath_coordinator::api::{ReadQuery, Workers};
use swath_core::id::CellDigest;
use swath_core::import::{self, Candidate, CandidateCell};
use swath_core::job::StateName;
use swath_core::message::Known;
use swath_core::price::{Paces, Price};
use swath_core::sweep::Expansion;
use swath_core::time::Timestamp;
use swath_report::{counted, duration};

use super::{Distinct, Planned};
use crate::client::connection::Connection;
use crate::client::failure::Outcome;
use crate::client::render::workers::slots_at_work;

/// Measured jobs that paces are taken from: bounds the time that a plan takes
/// over a store of a million jobs.
pub(super) const PACES_OVER: u32 = 2_000;

/// The published seconds of each cell of a sweep that has some.
pub(super) fn published(expansion: &Expansion<'_>) -> BTreeMap<CellDigest, f64> {
    let Some(reference) = &expansion.file().reference else {
        return BTreeMap::new();
    };
    let cells = expansion.cells().map(|cell| CandidateCell {
        digest: cell.digest,
        spec: cell.spec.cell_tree().clone(),
        axes: cell.axes,
    });
    let candidate = Candidate {
        sweep: expansion.file().name.clone(),
        cells: cells.collect(),
    };
    // Whoever shows the values beside ours says what is wrong with them.
    let rows = import::read(&reference.file, &reference.text, "", None, &[candidate]);
    let rows = rows.unwrap_or_default().into_iter();
    rows.filter_map(|row| Some((row.cell, row.number.seconds?)))
        .collect()
}

/// The price of the jobs that are not measured yet, in one line.
pub(super) fn sentence(price: &Price, slots: u32) -> Option<String> {
    if price.measured + price.published == 0 {
        return None;
    }
    let mut grounds = Vec::new();
    for (count, ground) in [
        (price.measured, "by what others like them took here"),
        (price.published, "by published times"),
        (price.unknown, "without a price"),
    ] {
        if count > 0 {
            grounds.push(format!("{} {ground}", counted(count, "job")));
        }
    }
    let hours = price.seconds / 3600.0;
    let text = format!("{hours:.1} device-hours to go ({})", grounds.join(", "));
    let slots_text = counted(u64::from(slots), "slot");
    Some(match price.through_in(slots) {
        Some(seconds) => format!("{text}, {} on {slots_text}", duration(seconds)),
        None => text,
    })
}

/// What programs get.
pub(super) fn document(price: &Price, slots: u32) -> serde_json::Value {
    serde_json::json!({
        "device_seconds": price.seconds,
        "jobs_by_measured_times": price.measured,
        "jobs_by_published_times": price.published,
        "jobs_without_a_price": price.unknown,
        "slots": slots,
        "eta_seconds": price.through_in(slots),
    })
}

/// What is known of paces.
#[derive(Debug, Default)]
pub(super) struct Ground {
    pub(super) paces: Paces,
    /// Slots of the workers that get jobs.
    pub(super) slots: u32,
}

impl Ground {
    /// What a coordinator has measured, and who would work.
    pub(super) async fn of(connection: &mut Connection) -> Outcome<Self> {
        let selector = vec!["state=succeeded".to_owned()];
        let jobs = connection.jobs(selector, Some(PACES_OVER)).await?;
        let mut paces = Paces::default();
        for job in &jobs {
            if let Some(measurement) = &job.measurement {
                paces.add(&job.spec, measurement.train_seconds);
            }
        }
        let workers: Workers = connection.read(&ReadQuery::Workers).await?;
        let now = Timestamp::from_ms(workers.now_ms);
        let slots = slots_at_work(&workers.workers, now);
        Ok(Self { paces, slots })
    }
}

/// Prices jobs cell by cell, each job once over several files.
#[derive(Debug, Default)]
pub(super) struct Pricing {
    pub(super) ground: Ground,
    pub(super) published: BTreeMap<CellDigest, f64>,
    pub(super) price: Price,
    seen: Distinct,
}

impl Pricing {
    pub(super) fn new(ground: Ground) -> Self {
        Self {
            ground,
            ..Self::default()
        }
    }

    /// Adds what is not measured of a cell.
    pub(super) fn add(&mut self, planned: &Planned) {
        let before = self
            .seen
            .see(planned.cell.digest, planned.jobs.len() as u32);
        let jobs = planned.jobs.iter().skip(before as usize);
        let is_open =
            |known: &Option<Known>| known.is_none_or(|known| known.state != StateName::Succeeded);
        let open = jobs.filter(|(_, known)| is_open(known)).count() as u64;
        if open > 0 {
            let measured = self.ground.paces.seconds(planned.cell.spec.cell_tree());
            let published = self.published.get(&planned.cell.digest).copied();
            self.price.add(open, measured, published);
        }
    }
}
