//! Which cells fit into memory.

/// What is known about the memory that a cell needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Memory {
    /// Nothing is known.
    #[default]
    Unknown,
    /// Its steps used at most so many bytes.
    Bytes(f64),
    /// Its steps ran out of memory on this device model; empty when the probe
    /// did not report its device.
    RanOut(String),
}

impl Memory {
    /// Of two parts of a training, what the more demanding one needs.
    #[must_use]
    pub fn most(self, other: Self) -> Self {
        match (self, other) {
            (Self::RanOut(device), _) | (_, Self::RanOut(device)) => Self::RanOut(device),
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Bytes(one), Self::Bytes(other)) => Self::Bytes(one.max(other)),
        }
    }
}

/// A device that a worker offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its device model.
    pub model: String,
    /// Its memory in bytes; 0 when it is not known.
    pub memory_bytes: u64,
}

/// Whether a cell fits into the memory of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Unknown; the reason, where there is something to say.
    Unknown(String),
    /// It fits on at least one device.
    Fits,
    /// It fits on none; the reason.
    TooLarge(String),
}

/// Whether a cell that needs `memory` fits on any of `devices`.
pub fn fit(memory: &Memory, devices: &[Device]) -> Fit {
    let known = || devices.iter().filter(|device| device.memory_bytes > 0);
    let largest = known().max_by_key(|device| device.memory_bytes);
    match memory {
        Memory::Unknown => Fit::Unknown(String::new()),
        Memory::Bytes(needed) => match largest {
            Some(device) if device.memory_bytes as f64 >= *needed => Fit::Fits,
            // A device whose memory is not known may be larger.
            Some(device) if devices.iter().all(|device| device.memory_bytes > 0) => {
                let (needed, has) = (gibibytes(*needed), gibibytes(device.memory_bytes as f64));
                Fit::TooLarge(format!("{needed} needed, {} has {has}", device.model))
            }
            _ => Fit::Unknown(String::new()),
        },
        Memory::RanOut(model) if model.is_empty() => {
            Fit::TooLarge("its probe ran out of memory".to_owned())
        }
        Memory::RanOut(model) => {
            let why = format!("its probe ran out of memory on {model}");
            let tried = known().find(|device| device.model == *model);
            match (tried, largest) {
                (Some(tried), Some(largest)) if largest.memory_bytes > tried.memory_bytes => {
                    Fit::Unknown(format!("{why}; {} has more", largest.model))
                }
                _ => Fit::TooLarge(why),
            }
        }
    }
}

/// Bytes as people read them: `48.2 GiB`.
pub fn gibibytes(bytes: f64) -> String {
    format!(
        "{} GiB",
        swath_model::text::measured(bytes / f64::from(1 << 30), 1)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(model: &str, gib: u64) -> Device {
        Device {
            model: model.to_owned(),
            memory_bytes: gib << 30,
        }
    }

    fn needs(gib: f64) -> Memory {
        Memory::Bytes(gib * f64::from(1 << 30))
    }

    #[test]
    fn a_cell_fits_where_one_device_is_large_enough() {
        let devices = [device("small", 8), device("large", 40)];
        assert_eq!(fit(&needs(40.0), &devices), Fit::Fits);
        let why = "48.2 GiB needed, large has 40.0 GiB".to_owned();
        assert_eq!(fit(&needs(48.2), &devices), Fit::TooLarge(why));
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        let unknown = Fit::Unknown(String::new());
        assert_eq!(fit(&Memory::Unknown, &[device("x", 8)]), unknown);
        assert_eq!(fit(&needs(9.0), &[]), unknown);
        let some = [device("x", 8), device("secret", 0)];
        assert_eq!(fit(&needs(9.0), &some), unknown);
        assert_eq!(fit(&needs(8.0), &some), Fit::Fits);
    }

    #[test]
    fn what_ran_out_may_fit_on_a_larger_device() {
        let ran_out = Memory::RanOut("small".to_owned());
        let why = "its probe ran out of memory on small";
        let too_large = Fit::TooLarge(why.to_owned());
        assert_eq!(fit(&ran_out, &[]), too_large);
        assert_eq!(fit(&ran_out, &[device("small", 8)]), too_large);
        let both = [device("small", 8), device("large", 40)];
        let more = format!("{why}; large has more");
        assert_eq!(fit(&ran_out, &both), Fit::Unknown(more));
    }

    #[test]
    fn the_part_that_needs_most_decides() {
        assert_eq!(needs(1.0).most(needs(2.0)), needs(2.0));
        assert_eq!(needs(1.0).most(Memory::Unknown), Memory::Unknown);
        let out = Memory::RanOut(String::new());
        assert_eq!(Memory::Unknown.most(out.clone()), out);
    }
}
