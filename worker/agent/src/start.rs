//! How a program of a user's is started: its words, its environment, its
//! directories.

use std::collections::{BTreeMap, BTreeSet};

use swath_model::device::Device;
use swath_model::files::directory_name;
use swath_model::id::InputDigest;
use swath_model::message::Held;
use swath_model::placement::Placement;
use swath_model::program::{Command, Facts, MissingName, Read, Shipped, argv};
use swath_model::spec::{JobSpec, canonical, set};

use super::{Config, Waiting};

/// A program to start, for one attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Variables of its environment, besides those of the worker.
    pub environment: BTreeMap<String, String>,
    /// Which of these the sweep asks for; the others are the worker's own.
    pub asked: BTreeSet<String>,
    /// The directory in which it is started; absent: the worker's.
    pub directory: Option<String>,
    /// The attempt that runs it.
    pub held: Option<Held>,
    /// A directory for what it writes; to be made.
    pub out: String,
    /// The spec that it gets.
    pub spec: String,
    /// Whether it gets the spec on its stdin too.
    pub takes_stdin: bool,
    /// How its files travel with the sweep, if they do: it is started in a copy of
    /// them, and `directory` means nothing.
    pub shipped: Option<Shipped>,
    /// The files that it is made of.
    pub inputs: BTreeMap<String, InputDigest>,
    /// Where its numbers are to be read when it has ended, if they are in files.
    pub read: Option<Read>,
    /// The metric by which it is compared.
    pub metric: String,
}

/// How to start the program of a job.
pub(super) fn command_line(
    config: &Config,
    job: &Waiting,
    spec: &JobSpec,
    command: &Command,
) -> Result<CommandLine, MissingName> {
    let (digest, attempt) = (job.held.job.to_string(), job.held.attempt.0);
    let sweep = job.launch.sweep.clone().unwrap_or_default();
    let facts = Facts {
        seed: spec.seed(),
        out: format!("{}/{}", config.out, directory_name(&job.held)),
        job: digest,
        attempt,
        sweep,
        replicate: job.replicate.0,
        device: as_seen(0, job.placement.first()).to_string(),
    };
    let files = command
        .read
        .as_ref()
        .filter(|it| !matches!(it, Read::Stdout(_)));
    Ok(CommandLine {
        argv: argv(command, spec.cell_tree(), &job.launch, &facts)?,
        environment: environment(config, job, command, &facts),
        asked: command.environment.keys().cloned().collect(),
        directory: job.launch.directory.clone(),
        shipped: job.launch.shipped.clone(),
        read: files.map(|read| read.filled(&facts)).transpose()?,
        held: Some(job.held),
        out: facts.out,
        spec: with_locals(job, spec),
        takes_stdin: command.takes_stdin(),
        metric: command.metric.clone(),
        inputs: command.inputs.clone(),
    })
}

/// The spec for the program, with all of its parameters.
fn with_locals(job: &Waiting, spec: &JobSpec) -> String {
    if job.launch.local.is_empty() {
        return job.spec.clone();
    }
    let mut tree = spec.cell_tree().clone();
    set(&mut tree, "seed", spec.seed().into());
    for name in job.launch.local.keys() {
        if let Some(value) = job.launch.local(name) {
            set(&mut tree, &format!("params.{name}"), value);
        }
    }
    canonical(&tree)
}

/// What a program calls its device with this number: it sees its own only.
const fn as_seen(number: u16, device: Device) -> Device {
    match device {
        Device::Cuda(_) => Device::Cuda(number),
        Device::Cpu => Device::Cpu,
    }
}

fn all_seen(placement: &Placement) -> String {
    let devices = (0..).zip(placement.iter());
    let seen = devices.map(|(number, device)| as_seen(number, device).to_string());
    seen.collect::<Vec<_>>().join(",")
}

fn environment(
    config: &Config,
    job: &Waiting,
    command: &Command,
    facts: &Facts,
) -> BTreeMap<String, String> {
    let own = [
        ("SWATH_OUT", facts.out.clone()),
        ("SWATH_JOB", facts.job.clone()),
        ("SWATH_ATTEMPT", facts.attempt.to_string()),
        ("SWATH_SWEEP", facts.sweep.clone()),
        ("SWATH_REPLICATE", facts.replicate.to_string()),
        ("SWATH_SEED", facts.seed.to_string()),
        ("SWATH_DEVICE", facts.device.clone()),
        ("SWATH_DEVICES", all_seen(&job.placement)),
    ];
    let gpus = job.placement.iter().filter_map(|device| match device {
        Device::Cuda(number) => {
            let known = config.gpus.get(&number).cloned();
            Some(known.unwrap_or_else(|| number.to_string()))
        }
        Device::Cpu => None,
    });
    let gpus: Vec<String> = gpus.collect();
    let visible = (!gpus.is_empty()).then(|| ("CUDA_VISIBLE_DEVICES", gpus.join(",")));
    let own = own.into_iter().chain(visible);
    // The number of a device is that of `nvidia-smi`, not that of its speed.
    let order = ("CUDA_DEVICE_ORDER", "PCI_BUS_ID".to_owned());
    let own = own
        .chain([order])
        .map(|(name, value)| (name.to_owned(), value));
    own.chain(command.environment.clone()).collect()
}
