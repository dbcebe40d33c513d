//! The devices that jobs run on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A device of a host, written as `cpu` or `cuda:0`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(into = "String", try_from = "String")]
pub enum Device {
    /// The host's processor.
    #[default]
    Cpu,
    /// The CUDA device with this number.
    Cuda(u16),
}

/// A kind of device, written as `cpu` or `cuda`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// The host's processor.
    Cpu,
    /// A CUDA device.
    Cuda,
}

/// A text that does not name a kind of device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a kind of device; the kinds are `cpu` and `cuda`")]
pub struct ParseDeviceKindError(String);

/// A text that does not name a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a device; devices are `cpu`, `cuda:0`, `cuda:1`, …")]
pub struct ParseDeviceError(String);

impl Device {
    /// What kind of device it is.
    pub const fn kind(self) -> DeviceKind {
        match self {
            Self::Cpu => DeviceKind::Cpu,
            Self::Cuda(_) => DeviceKind::Cuda,
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.pad("cpu"),
            Self::Cuda(number) => f.pad(&format!("cuda:{number}")),
        }
    }
}

impl FromStr for Device {
    type Err = ParseDeviceError;

    fn from_str(text: &str) -> Result<Self, ParseDeviceError> {
        let number = text.strip_prefix("cuda:").filter(|rest| {
            // A sign would be read as part of a number.
            rest.bytes().all(|byte| byte.is_ascii_digit())
        });
        match number.map(str::parse) {
            Some(Ok(number)) => Ok(Self::Cuda(number)),
            None if text == "cpu" => Ok(Self::Cpu),
            _ => Err(ParseDeviceError(text.to_owned())),
        }
    }
}

impl From<Device> for String {
    fn from(device: Device) -> Self {
        device.to_string()
    }
}

impl TryFrom<String> for Device {
    type Error = ParseDeviceError;

    fn try_from(text: String) -> Result<Self, ParseDeviceError> {
        text.parse()
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        })
    }
}

impl FromStr for DeviceKind {
    type Err = ParseDeviceKindError;

    fn from_str(text: &str) -> Result<Self, ParseDeviceKindError> {
        match text {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            _ => Err(ParseDeviceKindError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_they_are_written() {
        for device in [Device::Cpu, Device::Cuda(0), Device::Cuda(u16::MAX)] {
            assert_eq!(device.to_string().parse(), Ok(device));
            let json = serde_json::to_string(&device).unwrap();
            assert_eq!(json, format!("\"{device}\""));
            assert_eq!(serde_json::from_str::<Device>(&json).unwrap(), device);
            assert_eq!(
                serde_json::to_value(device.kind()).unwrap(),
                device.kind().to_string()
            );
        }
        for wrong in [
            "",
            "CPU",
            "cpu:0",
            "cuda",
            "cuda:",
            "cuda:+1",
            "cuda:65536",
            " cpu",
        ] {
            assert!(wrong.parse::<Device>().is_err(), "{wrong}");
        }
    }
}
