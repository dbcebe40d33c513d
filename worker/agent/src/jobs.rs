//! Attempts: from the grant to a slot to the outcome.

use std::time::Duration;

use swath_model::device::Device;
use swath_model::message::{Finish, Grant, Held, Release};
use swath_model::metrics::TEST_ERROR;
use swath_model::needs::Lack;
use swath_model::outcome::{Fault, Measurement, Outcome, Provenance};
use swath_model::protocol::TrainerEvent;
use swath_model::spec::{JobSpec, Work};

use super::event::{ChildId, Effect, End, Entry, Line};
use super::pace::{LONG, Sort};
use super::rows::Row;
use super::slot::{Child, Running, broken};
use super::tail::Tail;
use super::thinned::Thinned;
use super::{Agent, Waiting};
use crate::classify::{failed, told};
use crate::line::{Parsed, parse};

/// How long a cancelled attempt has to stop by itself.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// How long a job held in advance may wait for a slot before it is given back.
const WAITING_MAX: Duration = Duration::from_mins(1);

/// After this many attempts a job is kept even without a slot, or returns alone
/// could use up its attempts.
const BOUNCES_MAX: u32 = 8;

impl Agent {
    /// Takes jobs for this worker. Those that it would not have asked for, had
    /// it known their sort, are given back for others.
    pub(super) fn take(&mut self, grants: Vec<Grant>) {
        let mut sorts = Vec::with_capacity(grants.len());
        for grant in grants {
            sorts.extend(self.granted(grant));
        }
        self.pace.granted(&sorts);
        self.give_back_surplus();
    }

    /// Takes one job; returns its sort if it can be run here.
    fn granted(&mut self, grant: Grant) -> Option<Sort> {
        let held = grant.held;
        if self.outbox.contains(&held) || self.open().any(|open| open == held) {
            return None;
        }
        if self.drain.is_some() {
            self.releases.push(held.into());
            return None;
        }
        let placement = grant.placement;
        if placement
            .iter()
            .any(|device| !self.devices.contains(&device))
        {
            tracing::warn!(job = %held.job.short(), %placement, "there is no such device here");
            self.releases.push(held.into());
            return None;
        }
        let spec = match JobSpec::from_json(&grant.spec) {
            Ok(spec) => spec,
            Err(errors) => {
                let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
                let version = &self.config.about.version;
                let message = format!(
                    "worker {version} cannot read the spec: {}",
                    errors.join("; ")
                );
                let fault = Fault::Invalid;
                self.ended_here(held, Outcome::Failed { fault, message });
                return None;
            }
        };
        let sort = Sort::of(spec.work());
        let program = match spec.work() {
            Work::Null => {
                self.pace.job(sort, Duration::ZERO);
                self.ended_here(held, null_outcome(spec.seed()));
                return Some(sort);
            }
            Work::Command(command) => {
                let program = &command.argv[0];
                if !self.config.about.offer.programs.contains(program) {
                    let message = format!(
                        "worker `{}` may not run `{program}`; start it with --allow-command {program}",
                        self.config.worker
                    );
                    let fault = Fault::Crashed;
                    self.ended_here(held, Outcome::Failed { fault, message });
                    return None;
                }
                Some(Box::new(spec))
            }
            Work::Training(_) if placement.count() > 1 => {
                let message = "the built-in trainer trains on one device".to_owned();
                let fault = Fault::Invalid;
                self.ended_here(held, Outcome::Failed { fault, message });
                return None;
            }
            Work::Training(_) => None,
        };
        self.waiting.push_back(Waiting {
            held,
            spec: grant.spec,
            program,
            placement,
            replicate: grant.replicate,
            launch: grant.launch,
            since: self.now,
        });
        Some(sort)
    }

    /// Gives back waiting jobs, the newest first, that exceed what the free
    /// slots take and what may be held in advance of their sort.
    fn give_back_surplus(&mut self) {
        let free = |slot: &&super::Slot| slot.running.is_none() && !slot.stuck;
        let devices = self.devices.iter();
        let room = devices.map(|device| {
            let free = self.slots_on(*device).filter(free).count();
            (*device, free, self.brief_slots(*device))
        });
        let room: Vec<(Device, usize, usize)> = room.collect();
        for job in std::mem::take(&mut self.waiting) {
            let fits = |device: Device| {
                let same = |other: &&Waiting| other.placement.has(device);
                let kept = self.waiting.iter().filter(same).count();
                room.iter().any(|(known, free, brief)| {
                    let advance = brief * self.pace.tolerable(job.sort());
                    *known == device && kept < free + advance
                })
            };
            if job.placement.iter().all(fits) || job.held.attempt.0 > BOUNCES_MAX {
                self.waiting.push_back(job);
            } else {
                self.releases.push(job.held.into());
            }
        }
    }

    /// Slots of a device that can be used and whose job is not known to be long;
    /// that shows only while it runs.
    pub(super) fn brief_slots(&self, device: Device) -> usize {
        let brief = |slot: &&super::Slot| {
            let running = slot.running.as_ref();
            !slot.stuck && running.is_none_or(|running| running.started + LONG >= self.now)
        };
        self.slots_on(device).filter(brief).count()
    }

    /// Ends an attempt that needs no slot.
    pub(super) fn ended_here(&mut self, held: Held, outcome: Outcome) {
        let provenance = Provenance {
            device: "none".to_owned(),
            trainer: format!("worker {}", self.config.about.version),
            determinism: "bitwise".to_owned(),
            ..Provenance::default()
        };
        let finish = Finish {
            held,
            outcome,
            provenance,
        };
        self.outbox.push(Entry {
            finish,
            reports: Vec::new(),
        });
    }

    /// The program of this child has its files, and has been started.
    pub(super) fn begun(&mut self, child: ChildId) {
        let now = self.now;
        let slot = self.slot_of(child).map(|index| &mut self.slots[index]);
        if let Some(running) = slot.and_then(|slot| slot.running.as_mut()) {
            running.waits = false;
            running.started = now;
            running.sign = now;
        }
    }

    /// The program of this child was started from this version of its code.
    pub(super) fn has_version(&mut self, child: ChildId, version: String) {
        let slot = self.slot_of(child).map(|index| &mut self.slots[index]);
        if let Some(running) = slot.and_then(|slot| slot.running.as_mut()) {
            running.version = Some(version);
        }
    }

    pub(super) fn slot_of(&self, child: ChildId) -> Option<usize> {
        self.slots
            .iter()
            .position(|slot| slot.child.as_ref().is_some_and(|found| found.id == child))
    }

    pub(super) fn stderr(&mut self, child: ChildId, text: &str, dropped: u64) {
        let Some(index) = self.slot_of(child) else {
            return;
        };
        let now = self.now;
        if let Some(running) = self.slots[index].running.as_mut() {
            if running.runs.is_some() {
                running.sign = now;
            }
            running.journal.stderr(text, dropped);
        } else {
            tracing::debug!(slot = index, text, "an idle trainer writes");
        }
    }

    pub(super) fn line(&mut self, child: ChildId, line: Line) {
        let Some(index) = self.slot_of(child) else {
            return;
        };
        let is_program = |running: &Running| running.runs.is_some();
        if self.slots[index].running.as_ref().is_some_and(is_program) {
            return self.program_line(index, line);
        }
        let text = match line {
            Line::Text(text) => text,
            Line::TooLong | Line::Long { .. } => return self.broke(index, "a line is too long"),
        };
        let now = self.now;
        let slot = &mut self.slots[index];
        let (Some(child), running) = (slot.child.as_mut(), slot.running.as_mut()) else {
            return;
        };
        let parsed = parse(&text);
        if let Parsed::Event(TrainerEvent::Ready { provenance }, _) = parsed {
            child.provenance = provenance;
            if let Some(running) = running {
                running.sign = now;
            }
            return;
        }
        let Some(running) = running else {
            if !child.ending && parsed != Parsed::Unknown {
                self.broke(index, "a line without a spec");
            }
            return;
        };
        running.sign = now;
        match parsed {
            Parsed::Event(event, fields) => self.event(index, event, &fields),
            Parsed::Unknown => {}
            Parsed::Text => {
                let how = format!("a line is not JSON: {}", super::first(&text, 100));
                self.broke(index, &how);
            }
            Parsed::Broken(how) => self.broke(index, &how),
        }
    }

    fn event(&mut self, index: usize, event: TrainerEvent, fields: &serde_json::Value) {
        let now = self.now;
        let Some(running) = self.slots[index].running.as_mut() else {
            return;
        };
        let outcome = match event {
            TrainerEvent::Started {
                provenance, step, ..
            } => {
                running.provenance = provenance;
                running.resumed_at = step;
                return;
            }
            TrainerEvent::Epoch(observation) => {
                running.observed(observation, fields, now);
                return;
            }
            TrainerEvent::Ready { .. } | TrainerEvent::Checkpoint { .. } => return,
            TrainerEvent::Finished(_) => {
                let outcome = running.measured(event, fields, now);
                outcome.unwrap_or_else(|how| failed(Fault::Crashed, &how, &Tail::default()))
            }
            TrainerEvent::Failed {
                lacks: Some(what), ..
            } => return self.lacks(index, Lack::Data { what }),
            TrainerEvent::Failed { fault, message, .. } => told(fault, &message),
        };
        self.ended(index, outcome);
    }

    /// The attempt on this slot needs something that this host has not: another
    /// worker may have it.
    fn lacks(&mut self, index: usize, lack: Lack) {
        let Some(running) = self.slots[index].running.take() else {
            return;
        };
        let held = running.held;
        tracing::warn!(job = %held.job.short(), attempt = %held.attempt, worker = %self.config.worker, %lack, "goes elsewhere");
        let lack = Some(lack);
        self.part(Release { held, lack }, running.close());
    }

    /// The child of this slot wrote something that it must not.
    fn broke(&mut self, index: usize, how: &str) {
        let tail = self.slots[index]
            .running
            .as_ref()
            .map_or_else(Tail::default, |running| running.journal.tail());
        self.ended(index, broken(how, &tail));
    }

    /// Ends the attempt on this slot. After a fault the child is replaced, and a
    /// program is for one attempt only.
    fn ended(&mut self, index: usize, outcome: Outcome) {
        let slot = &mut self.slots[index];
        let fault = outcome.fault();
        if let Some(child) = slot.child.as_mut()
            && (fault.is_some() || !child.serves)
            && !child.ending
        {
            child.ending = true;
            self.effects.push(Effect::Stop {
                child: child.id,
                grace: Duration::ZERO,
            });
        }
        let Some(running) = slot.running.take() else {
            tracing::warn!(slot = index, ?outcome, "replacing an idle trainer");
            return;
        };
        let child = slot.child.as_ref().map(|child| child.provenance.clone());
        let device = self.config.about.offer.models_of(&running.placement);
        let provenance =
            running.provenance(&child.unwrap_or_default(), &device, self.config.threads);
        let held = running.held;
        let sort = running.sort();
        match &outcome {
            Outcome::Measured(measurement) => {
                self.pace
                    .job(sort, self.now.saturating_sub(running.started));
                let metric = running.metric();
                let value = measurement.values.get(metric);
                tracing::info!(job = %held.job.short(), attempt = %held.attempt, worker = %self.config.worker, slot = index, metric, value, "finished");
            }
            Outcome::Failed { fault, message } => {
                let message = message.lines().next().unwrap_or_default();
                tracing::warn!(job = %held.job.short(), attempt = %held.attempt, worker = %self.config.worker, slot = index, %fault, why = message, "failed");
                self.pace.failed(sort);
                self.give_back_surplus();
            }
        }
        self.outbox.push(Entry {
            finish: Finish {
                held,
                outcome,
                provenance,
            },
            reports: running.close(),
        });
    }

    /// What a program wrote to files, which are read when it has ended.
    pub(super) fn wrote(&mut self, child: ChildId, rows: Result<Thinned<Row>, String>) {
        let now = self.now;
        let slot = self.slot_of(child).map(|index| &mut self.slots[index]);
        if let Some(running) = slot.and_then(|slot| slot.running.as_mut()) {
            running.wrote(rows, now);
        }
    }

    pub(super) fn child_ended(&mut self, child: ChildId, end: End) {
        let Some(index) = self.slot_of(child) else {
            return;
        };
        for slot in &mut self.slots {
            slot.lent_to = slot.lent_to.filter(|to| *to != index);
        }
        self.slots[index].stuck = false;
        let ended = self.slots[index].child.take();
        self.conclude(index, ended, end);
    }

    /// Its attempt has ended, and its slot is not free.
    pub(super) fn child_remains(&mut self, child: ChildId, end: End, processes: &str) {
        let Some(index) = self.slot_of(child) else {
            return;
        };
        tracing::error!(
            slot = index,
            processes,
            "processes that were started here cannot be killed; no jobs are taken for this slot \
             until they have ended"
        );
        let slot = &mut self.slots[index];
        slot.stuck = true;
        let ended = slot.child.take();
        slot.child = Some(Child {
            id: child,
            serves: false,
            ending: true,
            provenance: Provenance::default(),
        });
        self.conclude(index, ended, end);
    }

    /// Concludes the attempt of a child that ended.
    fn conclude(&mut self, index: usize, ended: Option<Child>, end: End) {
        let now = self.now;
        let slot = &mut self.slots[index];
        let is_unusable = ended
            .as_ref()
            .is_some_and(|child| child.never_started(&end));
        let provenance = ended.map(|child| child.provenance);
        let Some(running) = slot.running.as_mut() else {
            return;
        };
        if let Some(provenance) = provenance.filter(|_| running.provenance == Provenance::default())
        {
            running.provenance = provenance;
        }
        let lack = match end {
            End::Lacks(lack) => Some(lack),
            _ if is_unusable => Some(Lack::Trainer),
            end if running.lack.is_none() => match running.concluded(&end, now) {
                Some(outcome) => return self.ended(index, outcome),
                None => None,
            },
            _ => None,
        };
        if let Some(lack) = lack.or_else(|| running.lack.take()) {
            return self.lacks(index, lack);
        }
        let held = running.held;
        let reports = slot.running.take().map(Running::close);
        tracing::info!(job = %held.job.short(), attempt = %held.attempt, worker = %self.config.worker, slot = index, "stopped");
        self.part(held.into(), reports.unwrap_or_default());
    }

    /// The coordinator wants this attempt stopped and given back.
    pub(super) fn stop_attempt(&mut self, held: Held) {
        if let Some(at) = self.waiting.iter().position(|job| job.held == held) {
            self.waiting.remove(at);
            self.releases.push(held.into());
            return;
        }
        for slot in &mut self.slots {
            let Some(running) = slot.running.as_mut() else {
                continue;
            };
            if running.held != held || running.stopping {
                continue;
            }
            running.stopping = true;
            if let Some(child) = slot.child.as_mut().filter(|child| !child.ending) {
                child.ending = true;
                self.effects.push(Effect::Stop {
                    child: child.id,
                    grace: STOP_GRACE,
                });
            }
        }
    }

    /// Somebody else has this job now, so nothing of this attempt counts.
    pub(super) fn forget(&mut self, held: Held) {
        self.waiting.retain(|job| job.held != held);
        self.partings.forget(held);
        for slot in &mut self.slots {
            if slot
                .running
                .as_ref()
                .is_none_or(|running| running.held != held)
            {
                continue;
            }
            tracing::warn!(job = %held.job.short(), attempt = %held.attempt, worker = %self.config.worker, "fenced: a newer attempt or a final state stands");
            slot.running = None;
            if let Some(child) = slot.child.as_mut() {
                child.ending = true;
                self.effects.push(Effect::Stop {
                    child: child.id,
                    grace: Duration::ZERO,
                });
            }
        }
    }

    /// Ends attempts whose child has been silent for too long.
    pub(super) fn watch(&mut self) {
        let timeout = self.config.hang_timeout;
        for index in 0..self.slots.len() {
            let Some(running) = self.slots[index].running.as_mut() else {
                continue;
            };
            let Some(how) = running.overdue(timeout, self.now) else {
                continue;
            };
            let outcome = running.given_up(&how);
            self.ended(index, outcome);
        }
    }

    /// Gives back jobs that were taken in advance and do not get a slot.
    pub(super) fn give_back_waiting(&mut self) {
        while let Some(job) = self.waiting.front() {
            if self.now.saturating_sub(job.since) < WAITING_MAX {
                return;
            }
            self.releases.push(job.held.into());
            self.pace.misled(job.sort());
            self.waiting.pop_front();
            self.note_stuck_slots();
        }
    }

    /// Marks slots that hang: a process stuck in a driver or a file system
    /// cannot even be killed. One job has waited for its slot in vain. No
    /// others should, or each would be given back until it has used up its
    /// attempts.
    fn note_stuck_slots(&mut self) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let ending = slot.child.as_ref().is_some_and(|child| child.ending);
            if slot.running.is_none() && ending && !slot.stuck {
                tracing::warn!(
                    slot = index,
                    "its process has not ended; no jobs are taken for this slot until it has"
                );
                slot.stuck = true;
            }
        }
    }
}

/// The measurement of a job that only measures the queue.
fn null_outcome(seed: u64) -> Outcome {
    Outcome::Measured(Measurement {
        train_seconds: 0.0,
        values: [(TEST_ERROR, (seed % 1000) as f64 / 10.0)].into(),
        weights: None,
    })
}
