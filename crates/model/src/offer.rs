//! What a worker offers to jobs, and what of it is free.

use serde::{Deserialize, Serialize};

use crate::device::Device;
use crate::placement::Placement;

/// What a worker offers to jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Its slots, each by its device.
    pub slots: Vec<Device>,
    /// The programs that it may run.
    pub programs: Vec<String>,
    /// Its devices, each once; empty where the worker does not report them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceAbout>,
    /// How many processors its host has; absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
}

/// What a worker says about one of its devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceAbout {
    /// The device.
    pub device: Device,
    /// Its model, in the words of a provenance; empty when it is not known.
    pub model: String,
    /// Its memory in bytes (of the CPU the host's); 0 when it is not known.
    pub memory_bytes: u64,
}

/// What is free of a device of a worker that asks for jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Free {
    /// The device.
    pub device: Device,
    /// How many jobs it could run at once in addition to those that it has.
    pub slots: u32,
    /// How many more jobs the worker would hold for it in advance, so that
    /// short jobs do not wait for an exchange.
    pub ahead: u32,
}

impl Free {
    /// The most jobs to grant to the device.
    pub const fn jobs(&self) -> u32 {
        self.slots.saturating_add(self.ahead)
    }

    /// So many free slots of the processor.
    pub fn cpu(slots: u32) -> Vec<Self> {
        let device = Device::Cpu;
        let ahead = 0;
        vec![Self {
            device,
            slots,
            ahead,
        }]
    }
}

impl Offer {
    /// The model of a device, or its kind where the model is not known: results
    /// of equal devices are compared, whatever their numbers.
    pub fn model_of(&self, device: Device) -> String {
        let about = self.devices.iter().find(|about| about.device == device);
        let model = about.map(|about| about.model.clone());
        let known = model.filter(|model| !model.is_empty());
        known.unwrap_or_else(|| device.kind().to_string())
    }

    /// The models of the devices of an attempt: several of one model are counted,
    /// since results of one and of two devices are compared too.
    pub fn models_of(&self, placement: &Placement) -> String {
        let mut models: Vec<(String, usize)> = Vec::new();
        for model in placement.iter().map(|device| self.model_of(device)) {
            match models.iter_mut().find(|(known, _)| *known == model) {
                Some((_, count)) => *count += 1,
                None => models.push((model, 1)),
            }
        }
        let told = models.into_iter().map(|(model, count)| match count {
            1 => model,
            count => format!("{count} × {model}"),
        });
        told.collect::<Vec<_>>().join(" + ")
    }

    /// A device's memory in bytes, where it is known.
    pub fn memory_of(&self, device: Device) -> Option<u64> {
        let about = self.devices.iter().find(|about| about.device == device);
        about
            .map(|about| about.memory_bytes)
            .filter(|bytes| *bytes > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_counted() {
        let about = |number, model: &str| DeviceAbout {
            device: Device::Cuda(number),
            model: model.to_owned(),
            memory_bytes: 0,
        };
        let offer = Offer {
            devices: vec![about(0, "A"), about(1, "A"), about(2, "B")],
            ..Offer::default()
        };
        let models = |text: &str| offer.models_of(&text.parse().unwrap());
        assert_eq!(models("cuda:1"), "A");
        assert_eq!(models("cuda:0,cuda:1"), "2 × A");
        assert_eq!(models("cuda:0,cuda:1,cuda:2"), "2 × A + B");
        assert_eq!(models("cuda:3,cuda:4"), "2 × cuda");
    }
}
