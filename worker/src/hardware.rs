//! The devices of this host, and how much memory they have.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use swath_model::device::{Device, DeviceKind};
use swath_model::offer::DeviceAbout;

/// The devices that these slots name, each once.
pub fn devices(slots: &[Device]) -> Vec<DeviceAbout> {
    let mut devices: Vec<Device> = Vec::new();
    for slot in slots {
        if !devices.contains(slot) {
            devices.push(*slot);
        }
    }
    let wants_gpu = devices.iter().any(|it| it.kind() == DeviceKind::Cuda);
    let gpus = if wants_gpu { gpus() } else { BTreeMap::new() };
    let about = devices.into_iter().map(|device| {
        let (model, memory_bytes) = match device {
            Device::Cuda(number) => gpus.get(&number).cloned().unwrap_or_default(),
            Device::Cpu => (cpu(), host_memory().unwrap_or(0)),
        };
        DeviceAbout {
            device,
            model,
            memory_bytes,
        }
    });
    about.collect()
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
fn host_memory() -> Option<u64> {
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

/// Model and memory of each GPU by its number, as reported by the driver's
/// tool; empty where there is no such tool.
fn gpus() -> BTreeMap<u16, (String, u64)> {
    let told = Command::new("nvidia-smi")
        .args([
            "--query-gpu=index,name,memory.total",
            "--format=csv,noheader,nounits",
        ])
        .output();
    match told {
        Ok(told) => gpus_of(&String::from_utf8_lossy(&told.stdout)),
        Err(_) => BTreeMap::new(),
    }
}

/// Reads lines of number, model and mebibytes.
fn gpus_of(told: &str) -> BTreeMap<u16, (String, u64)> {
    let gpus = told.lines().filter_map(|line| {
        let (index, rest) = line.split_once(',')?;
        let (model, mebibytes) = rest.rsplit_once(',')?;
        let mebibytes: u64 = mebibytes.trim().parse().ok()?;
        let about = (model.trim().to_owned(), mebibytes << 20);
        Some((index.trim().parse().ok()?, about))
    });
    gpus.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_is_told_once() {
        let devices = devices(&[Device::Cpu, Device::Cpu]);
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

    #[test]
    fn gpus_are_read_from_their_tool() {
        let text = "0, NVIDIA H100, 81559\n1, NVIDIA A100, [N/A]\nno GPU\n";
        let expected = ("NVIDIA H100".to_owned(), 81_559 << 20);
        let gpus = gpus_of(text);
        assert_eq!(gpus.len(), 1);
        assert_eq!(gpus[&0], expected);
    }
}
