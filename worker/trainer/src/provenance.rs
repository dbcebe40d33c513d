//! What a training ran on.

use std::sync::OnceLock;

use swath_model::outcome::Provenance;
use tch::Device;

/// The version of libtorch that tch is bound to; tch does not build with
/// another.
const LIBTORCH: &str = "2.13.0";

/// Hexadecimal digits of the program's digest in its version.
const DIGEST_DIGITS: usize = 12;

/// The provenance of a training on `device` in this process.
pub(crate) fn of(device: Device) -> Provenance {
    let on_cpu = device == Device::Cpu;
    Provenance {
        device: match device {
            Device::Cuda(index) => gpu_model(index),
            _ => format!("{} (cpu)", cpu_model()),
        },
        driver: if on_cpu { String::new() } else { driver() },
        libtorch: LIBTORCH.to_owned(),
        trainer: version().to_owned(),
        threads: tch::get_num_threads().max(0) as u32,
        determinism: if on_cpu { "bitwise" } else { "none" }.to_owned(),
    }
}

/// Version and digest of this program: two builds of one version may compute
/// different bytes.
fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let version = env!("CARGO_PKG_VERSION");
        match std::fs::read("/proc/self/exe") {
            Ok(bytes) => {
                let digest = blake3::hash(&bytes).to_hex();
                format!("{version}+{}", &digest[..DIGEST_DIGITS])
            }
            Err(_) => version.to_owned(),
        }
    })
}

fn cpu_model() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    model_name(&text).unwrap_or("unknown").to_owned()
}

fn model_name(cpuinfo: &str) -> Option<&str> {
    cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .and_then(|rest| rest.split_once(':'))
        .map(|(_, name)| name.trim())
}

/// The model of a GPU, from the proc files of its driver.
fn gpu_model(index: usize) -> String {
    let mut names: Vec<String> = std::fs::read_dir("/proc/driver/nvidia/gpus")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("information")).ok())
        .filter_map(|text| {
            let line = text.lines().find(|line| line.starts_with("Model:"))?;
            Some(line.trim_start_matches("Model:").trim().to_owned())
        })
        .collect();
    if index < names.len() {
        names.swap_remove(index)
    } else {
        format!("cuda:{index}")
    }
}

fn driver() -> String {
    std::fs::read_to_string("/sys/module/nvidia/version")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_model_of_the_cpu() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC 9000\nflags\t: fpu\n";
        assert_eq!(model_name(text), Some("AMD EPYC 9000"));
        assert_eq!(model_name(""), None);
    }
}
