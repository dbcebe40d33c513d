//! What a job needs of the worker that runs it, what a worker lacks of that,
//! which of its devices have room for the job, and on which worker room is kept
//! for it.

mod differs;
mod reserve;
mod room;

use std::cmp::Reverse;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::differs::Differs;
pub use self::reserve::{Beside, Candidate, Ends, Hold, Reservation, Waits, keeper};
pub use self::room::Room;
use crate::device::{Device, DeviceKind};
use crate::offer::Offer;
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
    /// How many such devices it runs on at once, each another one; absent for
    /// one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u16>,
    /// How much memory it takes of each of its devices, in bytes; absent where
    /// that is not known.
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
    /// It has slots on too few such devices.
    Device {
        /// The kind of device.
        device: DeviceKind,
        /// How many are needed.
        #[serde(default = "one")]
        count: u32,
        /// How many it has.
        #[serde(default)]
        has: u32,
    },
    /// Too few of its devices are known to have so much memory.
    Memory {
        /// The kind of device, where only one will do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<DeviceKind>,
        /// How many bytes.
        memory_bytes: u64,
        /// How many devices must have it.
        #[serde(default = "one")]
        count: u32,
        /// How many bytes as many of its devices have; 0 where that is not
        /// known.
        #[serde(default)]
        has_bytes: u64,
    },
    /// Its host is not known to have so many processors.
    Cpus {
        /// How many.
        cpus: u32,
        /// How many it has; 0 where that is not known.
        #[serde(default)]
        has: u32,
    },
    /// It may run the program, but not as the job wants it: with these words, there,
    /// with these variables.
    Permission {
        /// What the job wants, after "permission".
        wish: String,
        /// What the worker allows of the kind.
        allows: String,
        /// The worker's option that says so.
        option: String,
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

/// Lacks were of one device once.
const fn one() -> u32 {
    1
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

    /// How many devices it runs on at once.
    pub fn count(&self) -> usize {
        // Several devices are of one kind.
        let several = self.count.filter(|_| self.device.is_some());
        several.unwrap_or(1).max(1).into()
    }

    /// These needs, of a submit with a cell that an earlier one has brought with
    /// needs `before`: a result that the earlier one can use is no fault.
    #[must_use]
    pub fn after(&self, before: &Self) -> Self {
        let mut after = self.clone();
        after.launch.wants_epochs &= before.launch.wants_epochs;
        after
    }

    /// Whether a free slot of its device may not be enough for it. Smaller jobs
    /// would pass it for ever if no room were kept for it.
    pub fn may_not_fit(&self) -> bool {
        self.memory_bytes.is_some() || self.cpus.is_some() || self.count() > 1
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
        let devices = self.devices_of(offer);
        let count = self.count();
        if let Some(device) = self.device
            && devices.len() < count
        {
            let (count, has) = (count as u32, devices.len() as u32);
            return Some(Lack::Device { device, count, has });
        }
        if let Some(memory_bytes) = self.memory_bytes {
            let memory = devices.iter().map(|it| offer.memory_of(*it).unwrap_or(0));
            let mut memory: Vec<u64> = memory.collect();
            memory.sort_unstable_by_key(|bytes| Reverse(*bytes));
            let has_bytes = memory.get(count - 1).copied().unwrap_or(0);
            if has_bytes < memory_bytes {
                return Some(Lack::Memory {
                    device: self.device,
                    memory_bytes,
                    count: count as u32,
                    has_bytes,
                });
            }
        }
        let has = offer.cpus.unwrap_or(0);
        let cpus = self.cpus.filter(|cpus| has < *cpus);
        cpus.map(|cpus| Lack::Cpus { cpus, has })
    }

    /// The devices of a worker that are of the right kind, each once.
    fn devices_of(&self, offer: &Offer) -> Vec<Device> {
        let slots = offer.slots.iter().copied();
        let mut devices: Vec<Device> = slots.filter(|slot| self.may_run_on(*slot)).collect();
        devices.sort_unstable();
        devices.dedup();
        devices
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

impl Lack {
    /// What one worker lacks, as it follows the worker's name.
    pub fn of_one(&self) -> String {
        match self {
            Self::Input {
                path,
                differs: true,
            } => format!("has another `{path}`"),
            Self::Shipment { path, why } => format!("cannot get `{path}`: {why}"),
            Self::Permission { allows, option, .. } => {
                format!("has no {}; it allows {allows} ({option})", self.what())
            }
            other => format!("has no {}", other.what()),
        }
    }

    fn what(&self) -> String {
        match self {
            Self::Program { program } => format!("permission to run `{program}`"),
            Self::Device { device, count, .. } => devices(Some(*device), *count),
            Self::Memory {
                device,
                memory_bytes,
                count,
                ..
            } => {
                let memory = text::bytes(*memory_bytes);
                format!("{} with {memory} of memory", devices(*device, *count))
            }
            Self::Cpus { cpus, .. } => format!("{cpus} CPUs"),
            Self::Permission { wish, .. } => format!("permission {wish}"),
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

/// So many devices, in words.
fn devices(kind: Option<DeviceKind>, count: u32) -> String {
    let kind = kind.map_or_else(String::new, |kind| format!("`{kind}` "));
    match count {
        0 | 1 => format!("{kind}device"),
        count => format!("{count} {kind}devices"),
    }
}

const fn article(count: u32) -> &'static str {
    if count > 1 { "" } else { "a " }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.what();
        match self {
            Self::Program { program } => write!(
                f,
                "no active worker may run `{program}`; start one with `--allow-command {program}`"
            ),
            Self::Device { device, count, has } => {
                let a = article(*count);
                write!(f, "no active worker has {a}{what} for it; ")?;
                match (device, count, has) {
                    (_, _, 1..) => write!(f, "the closest has {has}"),
                    (DeviceKind::Cpu, ..) => write!(f, "start one with `--device cpu`"),
                    (DeviceKind::Cuda, 0 | 1, 0) => write!(f, "start one with `--device cuda:0`"),
                    (DeviceKind::Cuda, ..) => {
                        write!(f, "start one with `--device cuda:0,cuda:1` and so on")
                    }
                }
            }
            Self::Memory {
                count, has_bytes, ..
            } => {
                let a = article(*count);
                write!(f, "no active worker has {a}{what} for it")?;
                match has_bytes {
                    0 => Ok(()),
                    has => write!(f, "; the closest has {}", text::bytes(*has)),
                }
            }
            Self::Cpus { has, .. } => {
                write!(f, "no active worker has {what} for it")?;
                match has {
                    0 => Ok(()),
                    has => write!(f, "; the closest has {has}"),
                }
            }
            Self::Permission { allows, option, .. } => write!(
                f,
                "no active worker has {what}; the closest allows {allows} ({option})"
            ),
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
