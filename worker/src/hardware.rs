//! The devices of this host, and how much memory they have.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use swath_model::device::{Device, DeviceKind};
use swath_model::offer::DeviceAbout;

/// The variable by which a process sees some GPUs only.
const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";

/// The devices of a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hardware {
    /// Each once, in the order of the slots.
    pub devices: Vec<DeviceAbout>,
    /// What CUDA calls each GPU, whichever others a process sees.
    pub gpus: BTreeMap<u16, String>,
}

/// A GPU as its driver's tool tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Gpu {
    model: String,
    memory_bytes: u64,
    uuid: Option<String>,
}

/// The devices that these slots name. A number counts the GPUs that this process
/// sees: all of the host, unless `CUDA_VISIBLE_DEVICES` is set.
///
/// # Errors
///
/// A GPU that there is not, as far as that can be told.
pub fn look(slots: &[Device]) -> Result<Hardware, String> {
    let wants_gpu = slots.iter().any(|it| it.kind() == DeviceKind::Cuda);
    let gpus = if wants_gpu { gpus() } else { BTreeMap::new() };
    let visible = std::env::var(VISIBLE).ok();
    named(slots, &gpus, visible.as_deref())
}

fn named(
    slots: &[Device],
    gpus: &BTreeMap<u16, Gpu>,
    visible: Option<&str>,
) -> Result<Hardware, String> {
    let visible = visible.filter(|text| !text.trim().is_empty());
    let visible: Option<Vec<&str>> = visible.map(|it| it.split(',').map(str::trim).collect());
    let mut hardware = Hardware::default();
    for device in slots {
        if hardware.devices.iter().any(|known| known.device == *device) {
            continue;
        }
        let (model, memory_bytes) = match device {
            Device::Cpu => (cpu(), memory().unwrap_or(0)),
            Device::Cuda(number) => {
                let (name, gpu) = gpu_of(*number, gpus, visible.as_deref())?;
                let same = hardware.gpus.iter().find(|(_, known)| **known == name);
                if let Some((other, _)) = same {
                    return Err(format!(
                        "cuda:{other} and cuda:{number} are the same GPU, {name}; for several slots \
                         on one write `cuda:{other}=2`"
                    ));
                }
                hardware.gpus.insert(*number, name);
                (gpu.model, gpu.memory_bytes)
            }
        };
        hardware.devices.push(DeviceAbout {
            device: *device,
            model,
            memory_bytes,
        });
    }
    Ok(hardware)
}

/// What CUDA calls a GPU, and what is known of it.
fn gpu_of(
    number: u16,
    gpus: &BTreeMap<u16, Gpu>,
    visible: Option<&[&str]>,
) -> Result<(String, Gpu), String> {
    let name = match visible {
        None => number.to_string(),
        Some(names) => names.get(usize::from(number)).map_or_else(
            || {
                Err(format!(
                    "there is no cuda:{number}: {VISIBLE} is {}",
                    names.join(",")
                ))
            },
            |name| Ok((*name).to_owned()),
        )?,
    };
    let by_name = |gpu: &&Gpu| gpu.uuid.as_ref().is_some_and(|uuid| *uuid == name);
    let index: Option<u16> = name.parse().ok();
    let found = index.map_or_else(|| gpus.values().find(by_name), |index| gpus.get(&index));
    match found {
        Some(gpu) => Ok((gpu.uuid.clone().unwrap_or(name), gpu.clone())),
        // Without the tool, or of a part of a GPU, nothing is known.
        None if gpus.is_empty() || index.is_none() => Ok((name, Gpu::default())),
        None => {
            let known: Vec<String> = gpus.keys().map(|index| format!("cuda:{index}")).collect();
            Err(format!(
                "there is no cuda:{number} here, only {}",
                known.join(", ")
            ))
        }
    }
}

/// The model of the CPU, in the trainer's words.
fn cpu() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    format!("{} (cpu)", cpu_model(&text).unwrap_or("unknown"))
}

fn cpu_model(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

/// The memory of this host in bytes, or what its control group leaves of it.
pub(crate) fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = total_memory(&text)?;
    let limits = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ];
    // Without a limit the file holds a word, or a number greater than any
    // memory.
    let limit = |path| {
        let text = std::fs::read_to_string(Path::new(path)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let limits = limits.into_iter().filter_map(limit);
    Some(limits.fold(total, u64::min))
}

fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// The GPUs of this host by their numbers, as reported by the driver's tool;
/// empty where there is no such tool.
fn gpus() -> BTreeMap<u16, Gpu> {
    let told = Command::new("nvidia-smi")
        .args([
            "--query-gpu=index,name,memory.total,uuid",
            "--format=csv,noheader,nounits",
        ])
        .output();
    match told {
        Ok(told) => gpus_of(&String::from_utf8_lossy(&told.stdout)),
        Err(_) => BTreeMap::new(),
    }
}

/// Reads lines of number, model, mebibytes, and the name that never changes.
fn gpus_of(told: &str) -> BTreeMap<u16, Gpu> {
    let gpus = told.lines().filter_map(|line| {
        let (index, rest) = line.split_once(',')?;
        let (rest, uuid) = match rest.rsplit_once(',') {
            Some((rest, uuid)) if uuid.trim().starts_with("GPU-") => (rest, Some(uuid.trim())),
            _ => (rest, None),
        };
        let (model, mebibytes) = rest.rsplit_once(',')?;
        let mebibytes: Option<u64> = mebibytes.trim().parse().ok();
        let gpu = Gpu {
            model: model.trim().to_owned(),
            memory_bytes: mebibytes.unwrap_or(0) << 20,
            uuid: uuid.map(str::to_owned),
        };
        Some((index.trim().parse().ok()?, gpu))
    });
    gpus.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_is_told_once() {
        let devices = look(&[Device::Cpu, Device::Cpu]).unwrap().devices;
        assert_eq!(devices.len(), 1);
        assert!(devices[0].model.ends_with(" (cpu)"), "{devices:?}");
        assert!(devices[0].memory_bytes > 0, "{devices:?}");
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let text = "MemTotal:       16384 kB\nMemFree: 1 kB\n";
        assert_eq!(total_memory(text), Some(16 << 20));
        assert_eq!(total_memory(""), None);
        let text = "processor: 0\nmodel name\t: Some CPU: 9\n";
        assert_eq!(cpu_model(text), Some("Some CPU: 9"));
    }

    const TOLD: &str = "0, NVIDIA H100, 81559, GPU-aa\n1, NVIDIA A100, [N/A], GPU-bb\nno GPU\n";

    fn gpu(model: &str, memory_bytes: u64, uuid: Option<&str>) -> Gpu {
        Gpu {
            model: model.to_owned(),
            memory_bytes,
            uuid: uuid.map(str::to_owned),
        }
    }

    #[test]
    fn gpus_are_read_from_their_tool() {
        let gpus = gpus_of(TOLD);
        assert_eq!(gpus.len(), 2);
        assert_eq!(gpus[&0], gpu("NVIDIA H100", 81_559 << 20, Some("GPU-aa")));
        assert_eq!(gpus[&1], gpu("NVIDIA A100", 0, Some("GPU-bb")));
        let old = gpus_of("3, NVIDIA T4, 100\n");
        assert_eq!(old[&3], gpu("NVIDIA T4", 100 << 20, None));
    }

    #[test]
    fn a_gpu_that_is_not_there_is_refused() {
        let gpus = gpus_of(TOLD);
        let cuda = |number| [Device::Cuda(number)];
        let both = [Device::Cuda(0), Device::Cuda(1)];
        for visible in ["GPU-bb,GPU-bb", "1, GPU-bb"] {
            let error = named(&both, &gpus, Some(visible)).unwrap_err();
            let told = "cuda:0 and cuda:1 are the same GPU, GPU-bb; for several slots on one write \
                        `cuda:0=2`";
            assert_eq!(error, told);
        }
        let name = |number, gpus: &BTreeMap<u16, Gpu>, visible| {
            named(&cuda(number), gpus, visible).map(|it| it.gpus[&number].clone())
        };
        assert_eq!(name(1, &gpus, None), Ok("GPU-bb".to_owned()));
        assert_eq!(name(0, &gpus, Some("1")), Ok("GPU-bb".to_owned()));
        assert_eq!(name(0, &gpus, Some("MIG-x,GPU-aa")), Ok("MIG-x".to_owned()));
        assert_eq!(name(1, &gpus, Some("1,GPU-aa")), Ok("GPU-aa".to_owned()));
        assert_eq!(
            name(3, &gpus, None),
            Err("there is no cuda:3 here, only cuda:0, cuda:1".to_owned())
        );
        let wrong = name(1, &gpus, Some("0")).unwrap_err();
        assert_eq!(wrong, "there is no cuda:1: CUDA_VISIBLE_DEVICES is 0");
        assert_eq!(name(3, &BTreeMap::new(), None), Ok("3".to_owned()));
    }
}
