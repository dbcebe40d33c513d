//! The list of workers.

use std::collections::BTreeMap;

use swath_coordinator::api::Workers;
use swath_model::device::Device;
use swath_model::needs::Lack;
use swath_model::time::Timestamp;
use swath_model::view::{WorkerState, WorkerView};
use swath_proto::Upgrade;
use swath_report::{Listing, ListingColumn as Column, ago, utc};

use super::{document, words};

pub(crate) fn listing(workers: &Workers) -> Listing {
    let now = Timestamp::from_ms(workers.now_ms);
    let columns = [
        Column::text("worker"),
        Column::text("state"),
        Column::text("slots"),
        Column::number("busy"),
        Column::number("seen"),
        Column::text("host"),
        Column::text("reason"),
        Column::text("version").wide(),
        Column::number("pid").wide(),
        Column::text("programs").wide(),
    ];
    let mut listing = Listing::new("workers", columns);
    for worker in &workers.workers {
        let fields = vec![
            worker.name.to_string(),
            state(worker),
            slots(worker),
            worker.busy().to_string(),
            ago(worker.seen_at, now),
            worker.about.host.clone(),
            told(worker, workers.protocol),
            worker.about.version.clone(),
            worker.about.pid.to_string(),
            worker.about.offer.programs.join(" "),
        ];
        listing.push(worker.name.as_str(), fields, document(worker));
    }
    listing
}

/// What is to be known of a worker of a coordinator that speaks version `ours` of the protocol.
fn told(worker: &WorkerView, ours: u32) -> String {
    let reason = reason(worker);
    let its = worker.about.protocol;
    let its = its.filter(|its| Upgrade::is_due(*its, ours));
    let behind = its.map(|its| format!("is behind: protocol {its} of {ours}; upgrade it"));
    let reason = Some(reason).filter(|reason| !reason.is_empty());
    let all: Vec<String> = behind.into_iter().chain(reason).collect();
    all.join("; ")
}

/// Why a worker gets no jobs, or not all, on some of its slots.
pub(super) fn reason(worker: &WorkerView) -> String {
    let lacks = worker.lacks.iter().map(Lack::of_one);
    let lacks = lacks.collect::<Vec<_>>().join("; ");
    let kept = worker.kept.as_ref();
    let kept = kept.map_or_else(String::new, |kept| {
        format!("keeps {} free for job {}", kept.devices, kept.job.short())
    });
    [words(worker.cordoned.as_ref()), lacks, kept]
        .into_iter()
        .filter(|reason| !reason.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

/// A list of workers for programs: plain numbers, one fact per column.
pub(crate) fn records(workers: &Workers) -> Listing {
    let names = [
        "worker", "state", "slots", "devices", "busy", "seen_at", "host", "pid", "version",
        "programs", "reason",
    ];
    let mut listing = Listing::new("workers", names.map(Column::text));
    for worker in &workers.workers {
        let fields = vec![
            worker.name.to_string(),
            worker.state.name().to_owned(),
            worker.about.offer.slots.len().to_string(),
            devices(worker).join(" "),
            worker.busy().to_string(),
            utc(worker.seen_at),
            worker.about.host.clone(),
            worker.about.pid.to_string(),
            worker.about.version.clone(),
            worker.about.offer.programs.join(" "),
            told(worker, workers.protocol),
        ];
        listing.push(worker.name.as_str(), fields, document(worker));
    }
    listing
}

fn state(worker: &WorkerView) -> String {
    match (worker.silent, worker.state) {
        (false, state) => state.name().to_owned(),
        (true, WorkerState::Active) => "not connected".to_owned(),
        (true, state) => format!("{}, not connected", state.name()),
    }
}

/// The device of each slot.
fn devices(worker: &WorkerView) -> Vec<String> {
    let slots = worker.about.offer.slots.iter();
    slots.map(ToString::to_string).collect()
}

/// `4 cpu`, `2 cuda:0, 2 cuda:1`.
pub(crate) fn slots(worker: &WorkerView) -> String {
    let mut devices: BTreeMap<Device, u32> = BTreeMap::new();
    for slot in &worker.about.offer.slots {
        *devices.entry(*slot).or_default() += 1;
    }
    let parts = devices
        .into_iter()
        .map(|(device, count)| format!("{count} {device}"));
    parts.collect::<Vec<_>>().join(", ")
}
