//! From the waiting jobs to the slots.

use std::time::Duration;

use swath_model::device::Device;
use swath_model::outcome::{Fault, Outcome, Provenance};
use swath_model::spec::Work;

use super::event::{ChildId, Effect, Program};
use super::slot::{About, Child, Running, Slot};
use super::start::command_line;
use super::{Agent, Waiting};

/// How long an idle trainer has to end when its slot is needed for a program.
const IDLE_GRACE: Duration = Duration::from_secs(2);

impl Agent {
    /// Assigns waiting jobs to free slots. A job that cannot begin yet, because a
    /// child has to end first, keeps the slots that it is going to have.
    pub(super) fn assign(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let is_free = |slot: &Slot| slot.running.is_none() && slot.lent_to.is_none();
        let free = self.slots.iter().enumerate();
        let mut free: Vec<usize> = free
            .filter(|(_, slot)| is_free(slot))
            .map(|(index, _)| index)
            .collect();
        let mut next = 0;
        while next < self.waiting.len() && !free.is_empty() {
            let job = &self.waiting[next];
            let serves = job.program.is_none();
            let own: Vec<usize> = job
                .placement
                .iter()
                .filter_map(|device| self.best_of(&free, device, serves))
                .collect();
            free.retain(|index| !own.contains(index));
            let ready = own.len() == job.placement.count();
            // All of them make way at once, also where some are not free yet.
            let ready = own.iter().fold(ready, |ready, index| {
                self.makes_way(*index, serves) && ready
            });
            if !ready {
                next += 1;
            } else if let Some(job) = self.waiting.remove(next) {
                self.begin(&own, job);
            }
        }
    }

    /// The free slot of a device for a job: one that can take it at once, if there
    /// is one.
    fn best_of(&self, free: &[usize], device: Device, serves: bool) -> Option<usize> {
        let here = || {
            let free = free.iter().copied();
            free.filter(|index| self.slots[*index].device == device)
        };
        let is_ready = |index: &usize| match &self.slots[*index].child {
            None => true,
            Some(child) => !child.ending && child.serves && serves,
        };
        here().find(is_ready).or_else(|| here().next())
    }

    /// Whether a free slot can take a job; its idle trainer is told to end if it
    /// is in the way.
    fn makes_way(&mut self, index: usize, serves: bool) -> bool {
        match self.slots[index].child.as_mut() {
            None => true,
            Some(child) if child.ending => false,
            Some(child) if child.serves && serves => true,
            Some(child) => {
                child.ending = true;
                self.effects.push(Effect::Stop {
                    child: child.id,
                    grace: IDLE_GRACE,
                });
                false
            }
        }
    }

    /// Begins a job in these slots; its child is that of the first.
    fn begin(&mut self, slots: &[usize], job: Waiting) {
        let [index, ref others @ ..] = *slots else {
            return;
        };
        tracing::info!(job = %job.held.job.short(), attempt = %job.held.attempt, worker = %self.config.worker, slot = index, "begins");
        let started = job.program.as_deref().and_then(|spec| match spec.work() {
            Work::Command(command) => {
                Some((command, command_line(&self.config, &job, spec, command)))
            }
            Work::Training(_) | Work::Null => None,
        });
        let waits = job.launch.shipped.is_some() && started.is_some();
        let (program, runs) = match started {
            None => (Program::Trainer, None),
            Some((command, line)) => match line {
                Ok(line) => {
                    let about = About::new(command, &job.launch);
                    (Program::Command(Box::new(line)), Some(about))
                }
                Err(missing) => {
                    let message = missing.to_string();
                    let fault = Fault::Invalid;
                    return self.ended_here(job.held, Outcome::Failed { fault, message });
                }
            },
        };
        let serves = runs.is_none();
        let slot = &mut self.slots[index];
        let child = if let Some(child) = &slot.child {
            child.id
        } else {
            self.children += 1;
            let id = ChildId(self.children);
            slot.child = Some(Child {
                id,
                serves,
                ending: false,
                provenance: Provenance::default(),
            });
            self.effects.push(Effect::Start {
                child: id,
                program,
                placement: job.placement.clone(),
            });
            id
        };
        if serves {
            self.effects.push(Effect::Feed {
                child,
                spec: job.spec,
            });
        }
        let mut running = Running::new(job.held, runs, self.now);
        running.placement = job.placement;
        running.waits = waits;
        slot.running = Some(running);
        for other in others {
            self.slots[*other].lent_to = Some(index);
        }
    }
}
