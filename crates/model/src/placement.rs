//! The devices that one attempt runs on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::device::{Device, ParseDeviceError};

/// The devices that an attempt runs on, at least one and each another; it has
/// one slot of each. Written as `cuda:0` or `cuda:0,cuda:1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Placement {
    first: Device,
    /// Empty for most: then nothing is allocated.
    others: Box<[Device]>,
}

/// A text that does not name devices.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParsePlacementError {
    /// A part of it is not a device.
    #[error(transparent)]
    Device(#[from] ParseDeviceError),
    /// It names a device twice.
    #[error("`{0}` names a device twice")]
    Twice(String),
}

impl Placement {
    /// These devices in their order by kind and number; none if there are none,
    /// or one is there twice.
    pub fn new(mut devices: Vec<Device>) -> Option<Self> {
        devices.sort_unstable();
        let twice = devices.windows(2).any(|pair| pair[0] == pair[1]);
        let (first, others) = devices.split_first()?;
        (!twice).then(|| Self {
            first: *first,
            others: others.into(),
        })
    }

    /// The first device.
    pub const fn first(&self) -> Device {
        self.first
    }

    /// How many devices there are.
    pub const fn count(&self) -> usize {
        self.others.len() + 1
    }

    /// The devices, in order.
    pub fn iter(&self) -> impl Iterator<Item = Device> {
        let others = self.others.iter().copied();
        std::iter::once(self.first).chain(others)
    }

    /// Whether a device is one of them.
    pub fn has(&self, device: Device) -> bool {
        self.first == device || self.others.contains(&device)
    }
}

impl From<Device> for Placement {
    fn from(device: Device) -> Self {
        Self {
            first: device,
            others: Box::default(),
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        self.others
            .iter()
            .try_for_each(|device| write!(f, ",{device}"))
    }
}

impl FromStr for Placement {
    type Err = ParsePlacementError;

    fn from_str(text: &str) -> Result<Self, ParsePlacementError> {
        let devices = text.split(',').map(str::parse);
        let devices: Vec<Device> = devices.collect::<Result<_, _>>()?;
        Self::new(devices).ok_or_else(|| ParsePlacementError::Twice(text.to_owned()))
    }
}

impl From<Placement> for String {
    fn from(placement: Placement) -> Self {
        placement.to_string()
    }
}

impl TryFrom<String> for Placement {
    type Error = ParsePlacementError;

    fn try_from(text: String) -> Result<Self, ParsePlacementError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placements_are_read_as_they_are_written() {
        let two = Placement::new(vec![Device::Cuda(2), Device::Cuda(0)]).unwrap();
        assert_eq!(two.to_string(), "cuda:0,cuda:2");
        assert_eq!((two.first(), two.count()), (Device::Cuda(0), 2));
        for placement in [two, Placement::default(), Device::Cuda(7).into()] {
            assert_eq!(placement.to_string().parse(), Ok(placement.clone()));
            let json = serde_json::to_string(&placement).unwrap();
            assert_eq!(serde_json::from_str::<Placement>(&json).unwrap(), placement);
            assert!(placement.iter().all(|device| placement.has(device)));
            assert_eq!(placement.iter().count(), placement.count());
        }
        assert_eq!(Placement::default(), Device::Cpu.into());
        for wrong in ["", "cuda:0,", ",cuda:0", "cuda:0,cuda:0", "cuda:0 cuda:1"] {
            assert!(wrong.parse::<Placement>().is_err(), "{wrong}");
        }
        assert_eq!(Placement::new(Vec::new()), None);
        assert_eq!(Placement::new(vec![Device::Cpu, Device::Cpu]), None);
    }
}
