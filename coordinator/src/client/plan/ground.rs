//! What is known about the time and memory that cells need.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use swath_coordinator::api::{AlikeJobs, ProbeView, Probes, ReadQuery, Workers};
use swath_coordinator::eta::{at_work, slots_at_work};
use swath_model::id::JobDigest;
use swath_model::job::StateName;
use swath_model::needs::{Lack, Needs, closest};
use swath_model::offer::Offer;
use swath_model::outcome::Fault;
use swath_model::probe::{self, Probe, Timing, workload};
use swath_model::spec::JobSpec;
use swath_model::view::{Alike, WorkerView};
use swath_results::fit::{self, Device, Fit, Memory};
use swath_results::price::{Paces, Source};

use crate::client::connection::Connection;
use crate::client::failure::Outcome;
use crate::client::local;

/// What a coordinator knows about times, memory and workers.
#[derive(Debug, Default)]
pub(super) struct Ground {
    paces: Paces,
    /// The workloads that were looked at.
    workloads: BTreeMap<String, Workload>,
    /// Slots of the workers that get jobs.
    pub(super) slots: u32,
    /// The devices of those workers.
    devices: Vec<Device>,
    /// What the workers offer that get jobs now.
    offers: Vec<Offer>,
}

/// What cells with the same cost have in common.
#[derive(Debug)]
struct Workload {
    /// The device model of the similar trainings; empty when there are several
    /// or none.
    device: String,
    parts: Vec<Part>,
}

/// One batch size of a workload.
#[derive(Clone, Debug)]
struct Part {
    batch_size: u32,
    known: Option<ProbeView>,
    timing: Option<Timing>,
}

/// What one cell needs, as far as it is known.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Estimate {
    /// Seconds of one of its jobs, and how that is known.
    pub(crate) seconds: Option<(f64, Source)>,
    /// Seconds of one step at its first batch size.
    pub(crate) step_seconds: Option<f64>,
    /// The device model that this was measured on; empty where it was not
    /// measured.
    pub(crate) device: String,
    pub(crate) memory: Memory,
    pub(crate) fit: Fit,
    /// Whether a probe could tell more.
    pub(crate) probeable: bool,
}

impl Default for Estimate {
    fn default() -> Self {
        Self {
            seconds: None,
            step_seconds: None,
            device: String::new(),
            memory: Memory::Unknown,
            fit: Fit::Unknown(String::new()),
            probeable: false,
        }
    }
}

impl Ground {
    /// What a coordinator has measured, and which workers would train.
    pub(super) async fn of(connection: &mut Connection) -> Outcome<Self> {
        let workers: Workers = connection.read(&ReadQuery::Workers).await?;
        let mut slots = slots_at_work(&workers.workers);
        let mut there: Vec<&WorkerView> = at_work(&workers.workers).collect();
        if there.is_empty() {
            // Workers that worked before will do so again.
            there = workers.workers.iter().collect();
        }
        if slots == 0 && connection.is_local() {
            // `run` starts its worker again.
            let local = |worker: &&&WorkerView| worker.name.as_str() == local::NAME;
            slots = there
                .iter()
                .find(local)
                .map_or(0, |worker| worker.about.offer.slots.len() as u32);
        }
        let devices = there.iter().flat_map(|worker| &worker.about.offer.devices);
        let devices = devices.map(|device| Device {
            model: device.model.clone(),
            memory_bytes: device.memory_bytes,
        });
        let at_work = at_work(&workers.workers);
        Ok(Self {
            slots,
            devices: devices.collect(),
            offers: at_work.map(|worker| worker.about.offer.clone()).collect(),
            ..Self::default()
        })
    }

    /// What comes closest to these needs, where workers are at work and none of them
    /// can run such a job.
    pub(super) fn lack(&self, needs: &Needs) -> Option<Lack> {
        closest(self.offers.iter().map(|offer| needs.lacking(offer)))
    }

    /// Asks for trainings and probes of workloads that it has not seen yet.
    pub(super) async fn learn<'a>(
        &mut self,
        connection: Option<&mut Connection>,
        specs: impl Iterator<Item = &'a JobSpec>,
    ) -> Outcome<()> {
        let mut asked: Vec<(String, Vec<Probe>)> = Vec::new();
        for spec in specs {
            let workload = workload(spec.cell_tree());
            let seen = asked.iter().any(|(seen, _)| *seen == workload);
            if !seen && !self.workloads.contains_key(&workload) {
                asked.push((workload, probe::probes(spec)));
            }
        }
        if asked.is_empty() {
            return Ok(());
        }
        let mut alike = Vec::new();
        let mut known = Vec::new();
        if let Some(connection) = connection {
            let workloads = asked.iter().map(|(workload, _)| workload.clone()).collect();
            let found: AlikeJobs = connection.read(&ReadQuery::Alike { workloads }).await?;
            alike = found.alike;
            let probes = asked.iter().flat_map(|(_, probes)| probes);
            known = ask(connection, probes.map(Probe::job).collect()).await?;
        }
        let (mut alike, mut known) = (alike.into_iter(), known.into_iter());
        for (workload, probes) in asked {
            let device = self.add(alike.next().unwrap_or_default());
            let parts = probes.into_iter().map(|probe| {
                let known = known.next().flatten();
                let measured = known.as_ref().and_then(|it| it.measurement.as_ref());
                Part {
                    batch_size: probe.batch_size,
                    timing: measured.and_then(|it| Timing::of(&it.values)),
                    known,
                }
            });
            let parts = parts.collect();
            self.workloads.insert(workload, Workload { device, parts });
        }
        Ok(())
    }

    /// Takes the paces of similar trainings: if there are some on devices that
    /// work here, only those. Returns the device model, if all have the same.
    fn add(&mut self, alike: Vec<Alike>) -> String {
        let is_here = |alike: &Alike| self.devices.iter().any(|it| it.model == alike.device);
        let some_here = alike.iter().any(is_here);
        let (here, _): (Vec<Alike>, Vec<Alike>) = alike
            .into_iter()
            .partition(|alike| !some_here || is_here(alike));
        for alike in &here {
            self.paces.add(&alike.spec, alike.train_seconds);
        }
        match here.first() {
            Some(first) if here.iter().all(|it| it.device == first.device) => first.device.clone(),
            _ => String::new(),
        }
    }

    /// What a cell needs; `published` says how long its jobs took elsewhere.
    pub(super) fn estimate(&self, spec: &JobSpec, published: Option<f64>) -> Estimate {
        let known = self.workloads.get(&workload(spec.cell_tree()));
        let parts = known.map_or(&[][..], |known| &known.parts);
        let timing = |size| {
            let part = parts.iter().find(|part| part.batch_size == size)?;
            part.timing.as_ref()
        };
        let measured = self.paces.seconds(spec.cell_tree());
        let seconds = [
            (measured, Source::Jobs),
            (probe::seconds(spec, timing), Source::Probe),
            (published, Source::Published),
        ];
        let memory = parts.iter().map(Part::memory).reduce(Memory::most);
        let memory = memory.unwrap_or_default();
        Estimate {
            seconds: seconds
                .into_iter()
                .find_map(|(seconds, source)| Some((seconds?, source))),
            step_seconds: parts
                .first()
                .and_then(|part| Some(part.timing?.step_seconds)),
            device: match known {
                Some(known) if !known.device.is_empty() => known.device.clone(),
                _ => parts.iter().find_map(Part::device).unwrap_or_default(),
            },
            fit: fit::fit(&memory, &self.devices),
            memory,
            probeable: parts.iter().any(Part::is_open),
        }
    }
}

impl Part {
    /// Whether a probe could tell more.
    fn is_open(&self) -> bool {
        self.timing.is_none() && !self.known.as_ref().is_some_and(is_answer)
    }

    fn device(&self) -> Option<String> {
        let known = self.known.as_ref()?;
        let provenance = known.provenance.as_ref()?;
        Some(provenance.device.clone()).filter(|device| !device.is_empty())
    }

    fn memory(&self) -> Memory {
        let ran_out = |known: &ProbeView| known.fault == Some(Fault::OutOfMemory);
        if self.known.as_ref().is_some_and(ran_out) {
            return Memory::RanOut(self.device().unwrap_or_default());
        }
        let bytes = self.timing.and_then(|timing| timing.memory_bytes);
        bytes.map_or(Memory::Unknown, Memory::Bytes)
    }
}

/// Whether repeating this probe would give the same answer.
pub(super) fn is_answer(known: &ProbeView) -> bool {
    let ends = [Fault::OutOfMemory, Fault::Invalid, Fault::Diverged];
    known.state == StateName::Succeeded || known.fault.is_some_and(|fault| ends.contains(&fault))
}

/// What these probes measured, in their order.
pub(super) async fn ask(
    connection: &mut Connection,
    jobs: Vec<JobDigest>,
) -> Outcome<Vec<Option<ProbeView>>> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let found: Probes = connection.read(&ReadQuery::Probes { jobs }).await?;
    Ok(found.probes)
}

impl Estimate {
    /// What programs get; null where nothing is known.
    pub(super) fn document(&self) -> Value {
        let (fits, why) = match &self.fit {
            Fit::Fits => (Some(true), ""),
            Fit::TooLarge(why) => (Some(false), &**why),
            Fit::Unknown(why) => (None, &**why),
        };
        let bytes = match self.memory {
            Memory::Bytes(bytes) => Some(bytes),
            Memory::Unknown | Memory::RanOut(_) => None,
        };
        json!({
            "job_seconds": self.seconds.map(|(seconds, _)| seconds),
            "from": self.seconds.map(|(_, source)| source),
            "step_seconds": self.step_seconds,
            "device": Some(&self.device).filter(|device| !device.is_empty()),
            "memory_bytes": bytes,
            "fits": fits,
            "memory_note": Some(why).filter(|why| !why.is_empty()),
        })
    }
}
