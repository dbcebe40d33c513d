//! What a job needs of the worker that runs it, what a worker lacks of that, and
//! which of its devices has room for the job.

use std::cmp::Reverse;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::device::{Device, DeviceKind};
use crate::offer::{Free, Offer};
use crate::program::Launch;
use crate::spec::{JobSpec, Work};
use crate::text;

/// What a job needs of its worker. Jobs of one cell need the same. It takes no
/// part in the name of a job: it is where the job runs, not what it computes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Needs {
    /// The kind of device to run on; absent where any will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceKind>,
    /// How much of that device's memory it takes, in bytes; absent where that is
    /// not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// How many of the host's processors it takes; absent where that is not
    /// known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// The program to run; absent for the built-in trainer, which every worker
    /// has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The data set on which the built-in trainer trains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// How the program is started there.
    #[serde(default, skip_serializing_if = "Launch::is_empty")]
    pub launch: Launch,
}

/// What a worker lacks that a job needs, however idle it is. In the order in
/// which it is looked for, so that of several workers the one with the greatest
/// lack comes closest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "lack", rename_all = "snake_case")]
pub enum Lack {
    /// It may not run the program.
    Program {
        /// The program.
        program: String,
    },
    /// It has no slot on such a device.
    Device {
        /// The kind of device.
        device: DeviceKind,
    },
    /// None of its devices is known to have so much memory.
    Memory {
        /// The kind of device, where only one will do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<DeviceKind>,
        /// How many bytes.
        memory_bytes: u64,
    },
    /// Its host is not known to have so many processors.
    Cpus {
        /// How many.
        cpus: u32,
    },
    /// Its host has no such program, which showed when it was to be started.
    Executable {
        /// The program.
        program: String,
    },
    /// Its host has no built-in trainer, or none that starts: one without its
    /// libtorch.
    Trainer,
    /// Its host has no such directory.
    Directory {
        /// The directory.
        path: String,
    },
    /// Its host has not the file that a program is made of, or another one.
    Input {
        /// The file, as the sweep names it.
        path: String,
        /// Whether it is there, with another content.
        differs: bool,
    },
    /// It cannot get a file that travels with the sweep.
    Shipment {
        /// The file, as the sweep names it.
        path: String,
        /// What is in the way, for people.
        why: String,
    },
    /// Its host has no such data.
    Data {
        /// Which, and where they were searched for.
        what: String,
    },
}

impl Needs {
    /// The needs that follow from a job's spec.
    pub fn of(spec: &JobSpec) -> Self {
        let text = |path| spec.get(path).and_then(Value::as_str);
        match spec.work() {
            Work::Null => Self::default(),
            Work::Command(command) => Self {
                program: command.argv.first().cloned(),
                ..Self::default()
            },
            Work::Training(_) => {
                let parts = [text("dataset.name"), text("dataset.path")];
                let parts: Vec<&str> = parts.into_iter().flatten().collect();
                Self {
                    data: Some(parts.join(" ")),
                    ..Self::default()
                }
            }
        }
    }

    /// Whether it takes a part of something that jobs share.
    pub const fn takes_a_share(&self) -> bool {
        self.memory_bytes.is_some() || self.cpus.is_some()
    }

    /// The first thing that a worker lacks of it; none if the worker can run the
    /// job, at least when it has nothing else to do. Something of which the
    /// worker does not say how much it has does not count.
    pub fn lacking(&self, offer: &Offer) -> Option<Lack> {
        if let Some(program) = &self.program
            && !offer.programs.contains(program)
        {
            let program = program.clone();
            return Some(Lack::Program { program });
        }
        let fitting = || offer.slots.iter().filter(|slot| self.may_run_on(**slot));
        if let Some(device) = self.device
            && fitting().next().is_none()
        {
            return Some(Lack::Device { device });
        }
        if let Some(memory_bytes) = self.memory_bytes
            && !fitting().any(|slot| offer.memory_of(*slot) >= Some(memory_bytes))
        {
            let device = self.device;
            return Some(Lack::Memory {
                device,
                memory_bytes,
            });
        }
        let cpus = self.cpus.filter(|cpus| offer.cpus < Some(*cpus));
        cpus.map(|cpus| Lack::Cpus { cpus })
    }

    fn may_run_on(&self, device: Device) -> bool {
        self.device.is_none_or(|kind| kind == device.kind())
    }
}

/// The lack of the worker that comes closest, of several; none if one of them
/// lacks nothing, or if there are none.
pub fn closest(lacks: impl Iterator<Item = Option<Lack>>) -> Option<Lack> {
    lacks.collect::<Option<Vec<Lack>>>()?.into_iter().max()
}

/// What a worker that asks for jobs has left for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    devices: Vec<Spot>,
    /// Processors that no job has taken; none where it is not known how many
    /// there are.
    cpus: Option<u32>,
}

/// What is left of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spot {
    free: Free,
    /// Memory that no job has taken, in bytes; none where it is not known how
    /// much there is.
    memory: Option<u64>,
}

impl Room {
    /// The room of a worker that holds no job.
    pub fn new(offer: &Offer, free: &[Free]) -> Self {
        let spot = |free: &Free| Spot {
            free: *free,
            memory: offer.memory_of(free.device),
        };
        Self {
            devices: free.iter().map(spot).collect(),
            cpus: offer.cpus,
        }
    }

    /// Whether the worker takes another job.
    pub fn is_open(&self) -> bool {
        self.devices.iter().any(|spot| spot.free.jobs() > 0)
    }

    /// Notes that the worker holds a job on a device. A job that waits for its
    /// slot counts too: it may begin at any time.
    pub fn hold(&mut self, needs: &Needs, device: Device) {
        let taken = needs.cpus.unwrap_or(0);
        self.cpus = self.cpus.map(|cpus| cpus.saturating_sub(taken));
        let taken = needs.memory_bytes.unwrap_or(0);
        for spot in self.on(device) {
            spot.memory = spot.memory.map(|memory| memory.saturating_sub(taken));
        }
    }

    /// Notes that the worker is granted a job on a device.
    pub fn grant(&mut self, needs: &Needs, device: Device) {
        self.hold(needs, device);
        for Spot { free, .. } in self.on(device) {
            if free.slots > 0 {
                free.slots -= 1;
            } else {
                free.ahead = free.ahead.saturating_sub(1);
            }
        }
    }

    fn on(&mut self, device: Device) -> impl Iterator<Item = &mut Spot> {
        let spots = self.devices.iter_mut();
        spots.filter(move |spot| spot.free.device == device)
    }

    /// The device for a job with these needs, of a worker that lacks none of
    /// them: one that has room, first the one with the most free slots, so that
    /// jobs spread.
    pub fn place(&self, needs: &Needs) -> Option<Device> {
        if needs.cpus.is_some_and(|cpus| self.cpus < Some(cpus)) {
            return None;
        }
        let fits = |spot: &&Spot| {
            let enough = |bytes| spot.memory >= Some(bytes);
            spot.free.jobs() > 0
                && needs.may_run_on(spot.free.device)
                && needs.memory_bytes.is_none_or(enough)
        };
        let fitting = self.devices.iter().filter(fits);
        let by_room = |spot: &&Spot| (spot.free.slots, spot.free.ahead, Reverse(spot.free.device));
        fitting.max_by_key(by_room).map(|spot| spot.free.device)
    }
}

impl Lack {
    /// What one worker lacks, as it follows the worker's name.
    pub fn of_one(&self) -> String {
        match self {
            Self::Input {
                path,
                differs: true,
            } => format!("has another `{path}`"),
            Self::Shipment { path, why } => format!("cannot get `{path}`: {why}"),
            other => format!("has no {}", other.what()),
        }
    }

    fn what(&self) -> String {
        match self {
            Self::Program { program } => format!("permission to run `{program}`"),
            Self::Device { device } => format!("`{device}` device"),
            Self::Memory {
                device,
                memory_bytes,
            } => {
                let device = device.map_or_else(String::new, |device| format!("`{device}` "));
                let memory = text::bytes(*memory_bytes);
                format!("{device}device with {memory} of memory")
            }
            Self::Cpus { cpus } => format!("{cpus} CPUs"),
            Self::Executable { program } => format!("program `{program}`"),
            Self::Trainer => "built-in trainer that starts".to_owned(),
            Self::Directory { path } => format!("directory `{path}`"),
            Self::Input {
                path,
                differs: true,
            } => format!("this `{path}`, only another one"),
            Self::Input { path, .. } | Self::Shipment { path, .. } => format!("`{path}`"),
            Self::Data { what } => format!("data: {what}"),
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.what();
        match self {
            Self::Program { program } => write!(
                f,
                "no active worker may run `{program}`; start one with `--allow-command {program}`"
            ),
            Self::Device { device } => {
                let example = match device {
                    DeviceKind::Cpu => Device::Cpu,
                    DeviceKind::Cuda => Device::Cuda(0),
                };
                write!(
                    f,
                    "no active worker has a {what} for it; start one with `--device {example}`"
                )
            }
            Self::Memory { .. } => write!(f, "no active worker has a {what} for it"),
            Self::Cpus { .. } => write!(f, "no active worker has {what} for it"),
            Self::Executable { .. } => write!(
                f,
                "no active worker has the {what}; install it, or name it by a path that its host has"
            ),
            Self::Trainer => write!(
                f,
                "no active worker has a {what}; `pip install 'swath[torch]'` there, or name one \
                 that was built from source with `--trainer FILE`"
            ),
            Self::Shipment { path, why } => {
                write!(
                    f,
                    "no active worker can get `{path}`, which travels with it: {why}"
                )
            }
            Self::Directory { .. } | Self::Data { .. } => {
                write!(f, "no active worker has the {what}")
            }
            Self::Input { differs, .. } => {
                let or = if *differs {
                    ", or submit what is there"
                } else {
                    ""
                };
                write!(
                    f,
                    "no active worker has {what}; copy it to the worker's host{or}"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests;
