//! What a plan's jobs will cost: by what the store has measured, else by probes,
//! else by the published times in the reference file.

use std::collections::BTreeMap;

use swath_model::id::CellDigest;
use swath_model::job::StateName;
use swath_model::message::Known;
use swath_model::needs::{Lack, Needs};
use swath_report::{counted, duration};
use swath_results::import::{self, Candidate, CandidateCell};
use swath_results::price::Price;
use swath_sweep::Expansion;

use super::cell::{Distinct, Planned};
use super::ground::{Estimate, Ground};

/// The published seconds of each cell that has some.
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
    // Mistakes in the file are reported by the commands that show these values.
    let rows = import::read(&reference.file, &reference.text, "", None, &[candidate]);
    let rows = rows.unwrap_or_default().into_iter();
    rows.filter_map(|row| Some((row.cell, row.number.seconds?)))
        .collect()
}

/// The price of the jobs that are not measured yet, in one line. There is no time
/// where nobody can run some of them.
pub(super) fn sentence(price: &Price, slots: u32, lack: Option<&Lack>) -> Option<String> {
    if price.priced() == 0 {
        return lack.map(|lack| format!("it would wait: {lack}"));
    }
    let mut grounds = Vec::new();
    for (count, ground) in [
        (price.measured, "from what similar jobs took here"),
        (price.probed, "by probes of their steps"),
        (price.published, "by published times"),
        (price.unknown, "without a price"),
    ] {
        if count > 0 {
            grounds.push(format!("{} {ground}", counted(count, "job")));
        }
    }
    let hours = price.seconds / 3600.0;
    let digits = if hours < 10.0 { 2 } else { 1 };
    let text = format!(
        "{hours:.digits$} device-hours to go ({})",
        grounds.join(", ")
    );
    let slots_text = counted(u64::from(slots), "slot");
    if let Some(lack) = lack {
        return Some(format!("{text}, but some would wait: {lack}"));
    }
    Some(match price.through_in(slots) {
        Some(seconds) => format!("{text}, {} on {slots_text}", duration(seconds)),
        None => text,
    })
}

/// What programs get.
pub(super) fn document(price: &Price, slots: u32, lack: Option<&Lack>) -> serde_json::Value {
    let through_in = price.through_in(slots).filter(|_| lack.is_none());
    let mut document = serde_json::json!({
        "device_seconds": price.seconds,
        "jobs_by_measured_times": price.measured,
        "jobs_by_probes": price.probed,
        "jobs_by_published_times": price.published,
        "jobs_without_a_price": price.unknown,
        "slots": slots,
        "eta_seconds": through_in,
    });
    if let Some(lack) = lack {
        document["lack"] = serde_json::json!(lack);
    }
    document
}

/// Prices jobs cell by cell, each job once over several files.
#[derive(Debug, Default)]
pub(super) struct Pricing {
    pub(super) ground: Ground,
    pub(super) published: BTreeMap<CellDigest, f64>,
    pub(super) price: Price,
    /// The most replicates that a cell may get.
    pub(super) most: u32,
    /// On how many devices each of its jobs runs.
    pub(super) devices: u32,
    /// What the replicates beyond the first ones would take.
    pub(super) more_seconds: f64,
    /// What the jobs of the file need, beside their program.
    pub(super) needs: Needs,
    /// What comes closest, where no worker at work can run some of the jobs.
    pub(super) lack: Option<Lack>,
    seen: Distinct,
    seen_most: Distinct,
}

impl Pricing {
    pub(super) fn new(ground: Ground) -> Self {
        Self {
            ground,
            devices: 1,
            ..Self::default()
        }
    }

    /// The jobs with every replicate that results may ask for, each counted
    /// once.
    pub(super) fn most_jobs(&self) -> u64 {
        self.seen_most.jobs()
    }

    /// Adds the jobs of a cell that are not measured; returns what the cell
    /// needs.
    pub(super) fn add(&mut self, planned: &Planned) -> Estimate {
        let published = self.published.get(&planned.cell.digest).copied();
        let estimate = self.ground.estimate(&planned.cell.spec, published);
        let before = self
            .seen
            .see(planned.cell.digest, planned.jobs.len() as u32);
        let first = planned.jobs.len() as u32;
        let most = self.most.max(first);
        let before_most = self.seen_most.see(planned.cell.digest, most);
        // Replicates beyond the first ones; another file may have counted some.
        let more = most.saturating_sub(before_most);
        let more = more.saturating_sub(first.saturating_sub(before));
        let seconds = estimate.seconds.map_or(0.0, |(seconds, _)| seconds);
        self.more_seconds += seconds * f64::from(more) * f64::from(self.devices);
        let jobs = planned.jobs.iter().skip(before as usize);
        let is_open =
            |known: &Option<Known>| known.is_none_or(|known| known.state != StateName::Succeeded);
        let open = jobs.filter(|(_, known)| is_open(known)).count() as u64;
        self.price.add(open, self.devices, estimate.seconds);
        if open > 0 && self.lack.is_none() {
            let Needs { program, .. } = Needs::of(&planned.cell.spec);
            self.needs.program = program;
            self.lack = self.ground.lack(&self.needs);
        }
        estimate
    }
}
