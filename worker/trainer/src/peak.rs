//! How much memory an attempt takes at most.

use tch::Device;

/// The most memory that is in use at one time since some moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peak {
    device: Device,
}

impl Peak {
    /// Starts to measure now. `None` where that is not possible. The memory
    /// that the allocator keeps is given back first, because it would count.
    pub(crate) fn begin(device: Device) -> Option<Self> {
        let begun = match device {
            Device::Cpu => {
                give_back_freed_memory();
                // 5: forget the peak of the resident size (proc_pid_clear_refs(5)).
                std::fs::write("/proc/self/clear_refs", "5").is_ok()
            }
            Device::Cuda(index) => i8::try_from(index).is_ok_and(reset_device_peak),
            _ => false,
        };
        begun.then_some(Self { device })
    }

    /// The peak so far in bytes: of the device, or on the CPU of this process.
    /// 0 where it cannot be measured.
    pub(crate) fn bytes(self) -> u64 {
        if let Device::Cuda(index) = self.device {
            let peak = i8::try_from(index).map_or(-1, device_peak);
            return u64::try_from(peak).unwrap_or(0);
        }
        let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        resident_peak(&text).unwrap_or(0)
    }
}

/// The peak of the resident size in a `/proc/PID/status`, in bytes.
fn resident_peak(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[expect(
    unsafe_code,
    reason = "glibc's allocator has no safe interface; free pages are all it touches"
)]
fn give_back_freed_memory() {
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

#[expect(
    unsafe_code,
    reason = "libtorch's allocators are asked in C++ (`cpp/device.cpp`)"
)]
unsafe extern "C" {
    fn swath_reset_device_peak(index: i8) -> bool;
    fn swath_device_peak(index: i8) -> i64;
}

#[expect(unsafe_code, reason = "a number goes to C++ and another comes back")]
fn reset_device_peak(index: i8) -> bool {
    unsafe { swath_reset_device_peak(index) }
}

#[expect(unsafe_code, reason = "a number goes to C++ and another comes back")]
fn device_peak(index: i8) -> i64 {
    unsafe { swath_device_peak(index) }
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;

    #[test]
    fn the_peak_holds_what_was_freed_since() {
        let peak = Peak::begin(Device::Cpu).unwrap();
        let before = peak.bytes();
        let size = 256 << 20;
        let block = Tensor::ones([size], (Kind::Uint8, Device::Cpu));
        drop(block);
        assert!(peak.bytes() >= before.max(size as u64), "{}", peak.bytes());
    }

    #[test]
    fn the_peak_is_read_in_bytes() {
        let status = "VmPeak:\t  90 kB\nVmHWM:\t   12 kB\n";
        assert_eq!(resident_peak(status), Some(12 << 10));
        assert_eq!(resident_peak("VmPeak:\t  90 kB\n"), None);
    }
}
