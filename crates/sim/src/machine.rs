//! A worker's machine: its process with the agent, the children of the process,
//! and the disk with the spool, which alone survives.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use swath_agent::{Agent, Backoff, CallId, ChildId, Config, Effect, Entry, Event};
use swath_model::device::Device;
use swath_model::id::{Owner, StateId, WorkerName};
use swath_model::message::Held;
use swath_model::offer::{DeviceAbout, Offer};
use swath_model::placement::Placement;
use swath_model::view::WorkerAbout;

use crate::cells::{GPU_BYTES, PROGRAM, Takes};
use crate::chance::Chance;

/// How long a trainer may be silent.
const HANG_TIMEOUT: Duration = Duration::from_mins(2);

/// How many delivered outcomes a spool hands to an agent.
const RECENT_MAX: usize = 1024;

/// A machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: WorkerName,
    /// Its state directory.
    state: u64,
    /// What its host lacks.
    pub(crate) lacks: Option<Takes>,
    /// The device of each slot.
    slots: Vec<Device>,
    programs: bool,
    /// Grows by one whenever the process starts.
    pub(crate) life: u32,
    pub(crate) process: Option<Process>,
    pub(crate) spool: Spool,
    /// How late its shell may look at the clock, in milliseconds.
    pub(crate) laziness: u64,
}

/// A worker's process.
#[derive(Debug)]
pub(crate) struct Process {
    agent: Agent,
    slots: Vec<Device>,
    started: u64,
    /// Calls whose answers are awaited.
    pub(crate) calls: BTreeSet<CallId>,
    pub(crate) children: BTreeMap<ChildId, Child>,
    /// When it looks at the clock next, if nothing happens.
    pub(crate) wakes: u64,
}

/// A child of a worker's process.
#[derive(Debug, Default)]
pub(crate) struct Child {
    /// The devices that it uses.
    pub(crate) placement: Placement,
    /// Which execution, of all executions of the run, it works on.
    pub(crate) execution: Option<usize>,
}

/// Outcomes on a disk.
#[derive(Debug, Default)]
pub(crate) struct Spool {
    open: Vec<Entry>,
    recent: Vec<Entry>,
    /// Outcomes that were acknowledged; this is not synced at once.
    acknowledged: Vec<Held>,
}

impl Spool {
    pub(crate) fn put(&mut self, entries: &[Entry]) {
        for entry in entries {
            let held = entry.finish.held;
            self.open.retain(|known| known.finish.held != held);
            self.open.push(entry.clone());
        }
        self.sync();
    }

    pub(crate) fn acknowledge(&mut self, held: Vec<Held>) {
        self.acknowledged.extend(held);
    }

    fn sync(&mut self) {
        for held in std::mem::take(&mut self.acknowledged) {
            let found = self.open.iter().position(|it| it.finish.held == held);
            if let Some(place) = found {
                self.recent.push(self.open.remove(place));
            }
        }
        let excess = self.recent.len().saturating_sub(RECENT_MAX);
        self.recent.drain(..excess);
    }

    /// Whether everything in it was delivered.
    fn is_delivered(&self) -> bool {
        let mut open = self.open.iter();
        open.all(|entry| self.acknowledged.contains(&entry.finish.held))
    }
}

impl Machine {
    pub(crate) fn new(chance: &mut Chance, place: u64, lacking: f64) -> Option<Self> {
        // At least one host must have everything.
        let lacks = place > 0 && chance.happens(lacking);
        let lacks = lacks.then(|| *chance.one_of(&[Takes::Program, Takes::Data]));
        Some(Self {
            lacks,
            name: format!("w{place}").parse().ok()?,
            state: place,
            slots: slots(chance, place == 0),
            // At least one worker must run the programs.
            programs: place == 0 || chance.happens(0.5),
            life: 0,
            process: None,
            spool: Spool::default(),
            laziness: chance.within(300..2_500),
        })
    }

    /// Starts the process with what the spool has kept.
    pub(crate) fn start(&mut self, at: u64, seed: u64) {
        self.life += 1;
        let programs = if self.programs { &[PROGRAM][..] } else { &[] };
        let config = Config {
            worker: self.name.clone(),
            take_name: false,
            coordinator: "http://coordinator".to_owned(),
            about: WorkerAbout {
                version: "1".to_owned(),
                state_id: Some(StateId(u128::from(self.state))),
                offer: Offer {
                    slots: self.slots.clone(),
                    programs: programs.iter().map(ToString::to_string).collect(),
                    devices: self.slots.iter().map(|slot| about(*slot)).collect(),
                    ..Offer::default()
                },
                ..WorkerAbout::default()
            },
            threads: 1,
            hang_timeout: HANG_TIMEOUT,
            backoff: Backoff::default(),
            exit_when_idle: None,
            out: "/out".to_owned(),
            gpus: BTreeMap::new(),
            seed,
        };
        let (open, recent) = (self.spool.open.clone(), self.spool.recent.clone());
        self.process = Some(Process {
            agent: Agent::new(config, open, recent),
            slots: self.slots.clone(),
            started: at,
            calls: BTreeSet::new(),
            children: BTreeMap::new(),
            wakes: u64::MAX,
        });
    }

    /// The process ends, and every child with it. If not `synced`, what the
    /// disk had not synced may be lost.
    pub(crate) fn end(&mut self, synced: bool) {
        self.process = None;
        if synced {
            self.spool.sync();
        } else {
            self.spool.acknowledged.clear();
        }
    }

    /// Whether nothing is left to do or to report.
    pub(crate) fn is_idle(&self) -> bool {
        let works = |child: &Child| child.execution.is_some();
        let mut children = self.process.iter().flat_map(|it| it.children.values());
        !children.any(works) && self.spool.is_delivered()
    }
}

/// The devices of the slots of a machine. There are jobs that need two GPUs.
fn slots(chance: &mut Chance, has_two_gpus: bool) -> Vec<Device> {
    if !has_two_gpus && chance.happens(0.6) {
        return vec![Device::Cpu; chance.within(1..4) as usize];
    }
    let gpus = chance.within(2..4) as u16;
    let each = chance.within(1..3) as usize;
    (0..gpus)
        .flat_map(|number| vec![Device::Cuda(number); each])
        .collect()
}

fn about(device: Device) -> DeviceAbout {
    DeviceAbout {
        device,
        model: String::new(),
        memory_bytes: match device {
            Device::Cpu => 0,
            Device::Cuda(_) => GPU_BYTES,
        },
    }
}

impl Process {
    /// Whether more children use a device than it has slots.
    pub(crate) fn crowded(&self) -> Option<Device> {
        let slots = &self.slots;
        let most = |device: Device| slots.iter().filter(|slot| **slot == device).count();
        let users = |device: Device| {
            let children = self.children.values();
            children.filter(|it| it.placement.has(device)).count()
        };
        slots
            .iter()
            .copied()
            .find(|device| users(*device) > most(*device))
    }

    fn time(&self, at: u64) -> Duration {
        Duration::from_millis(at.saturating_sub(self.started))
    }

    pub(crate) fn handle(&mut self, at: u64, event: Event) {
        let now = self.time(at);
        self.agent.handle(now, event);
    }

    pub(crate) fn settle(&mut self, at: u64) -> Vec<Effect> {
        let now = self.time(at);
        self.agent.settle(now)
    }

    /// The session to which it says goodbye when it has ended.
    pub(crate) fn parting(&self) -> Option<Owner> {
        self.agent.parting()
    }

    /// When the process looks at the clock next if nothing happens, in the
    /// simulation's time.
    pub(crate) fn next_look(&self) -> u64 {
        self.started + self.agent.wakes().as_millis() as u64 + 1
    }
}
