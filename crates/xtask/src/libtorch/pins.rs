//! What is fetched: the wheels that contain libtorch, by version and digest, and the few files needed from
//! each.

/// The version that the `tch` crate in the root Cargo.toml is made for; both change together.
pub(crate) const VERSION: &str = "2.13.0";

/// A GPU PyTorch of the same minor version has the same C++ interface.
pub(crate) const SERIES: &str = "2.13.";

/// The wheel tags that pip is asked for, whatever Python runs pip: one pinned file serves
/// every user.
pub(crate) const PYTHON_TAGS: [&str; 8] = [
    "--python-version",
    "3.11",
    "--implementation",
    "cp",
    "--abi",
    "cp311",
    "--abi",
    "none",
];

/// glibc 2.17 to 2.28: pip does not take a wheel for an older glibc unless that version is
/// listed too.
pub(crate) const GLIBC_MINORS: std::ops::RangeInclusive<u32> = 17..=28;

pub(crate) struct Wheel {
    pub(crate) project: &'static str,
    pub(crate) version: &'static str,
    pub(crate) bytes: u64,
    pub(crate) sha256: &'static str,
    /// For each member of the wheel, or folder with its slash: (its name there,
    /// where it goes)
    pub(crate) members: &'static [(&'static str, &'static str)],
}

/// The wheel of PyTorch is built for CUDA, so its CPU half names two CUDA libraries, which are small and never called.
pub(crate) const WHEELS: [Wheel; 3] = [
    Wheel {
        project: "torch",
        version: VERSION,
        bytes: 526_574_961,
        sha256: "60fcdcb2f3876e21146cb4524ef06397d727ca9ad5f020818547e25075fe3cb7",
        members: &[
            ("torch/include/", "include/"),
            ("torch/lib/libc10.so", "lib/libc10.so"),
            ("torch/lib/libgomp.so.1", "lib/libgomp.so.1"),
            ("torch/lib/libtorch.so", "lib/libtorch.so"),
            ("torch/lib/libtorch_cpu.so", "lib/libtorch_cpu.so"),
        ],
    },
    Wheel {
        project: "nvidia-cuda-cupti",
        version: "13.0.85",
        bytes: 10_715_597,
        sha256: "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
        members: &[("nvidia/cu13/lib/libcupti.so.13", "lib/libcupti.so.13")],
    },
    Wheel {
        project: "nvidia-cuda-runtime",
        version: "13.0.96",
        bytes: 2_243_632,
        sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
        members: &[("nvidia/cu13/lib/libcudart.so.13", "lib/libcudart.so.13")],
    },
];

impl Wheel {
    pub(crate) fn requirement(&self) -> String {
        format!("{}=={}", self.project, self.version)
    }

    /// The project name as file names spell it.
    pub(crate) fn file_prefix(&self) -> String {
        format!("{}-{}-", self.project.replace('-', "_"), self.version)
    }
}

/// The name of the cache directory: another version or another wheel is another directory.
pub(crate) fn directory_name() -> String {
    format!("{VERSION}-{}", &WHEELS[0].sha256[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_named_by_version_and_digest() {
        assert_eq!(directory_name(), "2.13.0-60fcdcb2f387");
    }

    #[test]
    fn every_pin_is_a_whole_digest() {
        for wheel in &WHEELS {
            assert_eq!(wheel.sha256.len(), 64, "{}", wheel.project);
            assert!(
                wheel.sha256.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{}",
                wheel.project
            );
        }
        assert_eq!(WHEELS[1].file_prefix(), "nvidia_cuda_cupti-13.0.85-");
    }
}
