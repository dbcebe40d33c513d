//! Which devices a worker offers, and in how many slots.

use std::str::FromStr;

use swath_model::device::Device;

/// The most slots of one worker.
const SLOTS_MAX: usize = 1024;

/// Devices with the number of their slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Devices(Vec<(Device, usize)>);

/// A text that does not name devices.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; examples: cpu:2, cuda:0=4, cuda:0=4,cuda:1=4")]
pub struct DevicesError(String);

impl Devices {
    /// The device of each slot. Several devices take turns, so that the first
    /// jobs spread over them.
    pub fn slots(&self) -> Vec<Device> {
        let most = self.0.iter().map(|(_, slots)| *slots).max().unwrap_or(0);
        let round = |turn: usize| {
            let here = self.0.iter().filter(move |(_, slots)| *slots > turn);
            here.map(|(device, _)| *device)
        };
        (0..most).flat_map(round).collect()
    }
}

impl FromStr for Devices {
    type Err = DevicesError;

    fn from_str(text: &str) -> Result<Self, DevicesError> {
        let devices = text
            .split(',')
            .map(|part| device(part.trim()))
            .collect::<Result<Vec<_>, _>>()?;
        let twice = |index: usize| {
            devices[..index]
                .iter()
                .any(|(name, _)| *name == devices[index].0)
        };
        if let Some(index) = (0..devices.len()).find(|index| twice(*index)) {
            let name = &devices[index].0;
            return Err(DevicesError(format!("`{name}` is named twice")));
        }
        if devices.iter().map(|(_, slots)| slots).sum::<usize>() > SLOTS_MAX {
            return Err(DevicesError(format!("more than {SLOTS_MAX} slots")));
        }
        Ok(Self(devices))
    }
}

/// A device with its slots: `cpu`, `cpu:2`, `cuda:0`, `cuda:0=4`.
fn device(part: &str) -> Result<(Device, usize), DevicesError> {
    let of_cpu = || Some(("cpu", part.strip_prefix("cpu:")?));
    let (name, slots) = part.split_once('=').or_else(of_cpu).unwrap_or((part, "1"));
    let device = name
        .parse()
        .map_err(|_| DevicesError(format!("`{part}` is not a device")))?;
    match slots.parse() {
        Ok(slots) if (1..=SLOTS_MAX).contains(&slots) => Ok((device, slots)),
        _ => Err(DevicesError(format!(
            "`{slots}` is not a number of slots (1 to {SLOTS_MAX}) in `{part}`"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(text: &str) -> Vec<Device> {
        text.parse::<Devices>().unwrap().slots()
    }

    #[test]
    fn devices_become_slots_in_turn() {
        use Device::{Cpu, Cuda};
        assert_eq!(slots("cpu"), [Cpu]);
        assert_eq!(slots("cpu:2"), [Cpu, Cpu]);
        assert_eq!(slots("cpu=2"), [Cpu, Cpu]);
        assert_eq!(slots("cuda:3"), [Cuda(3)]);
        assert_eq!(slots("cuda:0=2, cuda:1=1"), [Cuda(0), Cuda(1), Cuda(0)]);
    }

    #[test]
    fn what_is_no_device_is_told() {
        for bad in [
            "",
            "gpu",
            "cpu:0",
            "cpu:x",
            "cuda",
            "cuda:x=1",
            "cuda:0=",
            "cpu:9999",
            "cpu,cpu:2",
        ] {
            assert!(bad.parse::<Devices>().is_err(), "{bad}");
        }
    }
}
