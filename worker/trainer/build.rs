//! Builds the fused layers, and gives whatever this crate links an rpath to libtorch, so that `trainer` and its tests start with nothing exported.

use std::env;
use std::path::Path;

/// The minor versions of Python 3 for which there is, or may soon be, this version of PyTorch.
const PYTHONS: std::ops::RangeInclusive<u32> = 9..=16;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=cpp");
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    let Some(root) = env::var_os("LIBTORCH") else {
        println!(
            "cargo::error=LIBTORCH is not set; run `cargo xtask setup`, which fetches libtorch once"
        );
        return;
    };
    // The real directory, not the link in the checkout: a binary keeps working when the link later points elsewhere.
    match Path::new(&root).join("lib").canonicalize() {
        Ok(lib) => {
            // Changes with its link, and is one file to stat where the directory would be thousands.
            println!(
                "cargo::rerun-if-changed={}",
                lib.join("libtorch_cpu.so").display()
            );
            rpath(&lib);
            fused(&Path::new(&root).join("include"));
        }
        Err(_) => println!(
            "cargo::error=no libtorch in {}; run `cargo xtask setup`, which fetches it once",
            root.display()
        ),
    }
}

/// Names the directories where the libraries are searched for when a program starts: those of the PyTorch in the
/// Python environment where the program is installed, if it is, and the one that it was built against, unless the
/// program is for other machines.
fn rpath(lib: &Path) {
    println!("cargo::rerun-if-env-changed=SWATH_TRAINER_ELSEWHERE");
    for minor in PYTHONS {
        println!(
            "cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib/python3.{minor}/site-packages/torch/lib"
        );
    }
    if env::var_os("SWATH_TRAINER_ELSEWHERE").is_none() {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());
    }
}

/// Compiles `cpp/` against libtorch's headers.
fn fused(include: &Path) {
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++20")
        // Optimized in every profile: unoptimized loops would dominate a training.
        .opt_level(3)
        .debug(false)
        .flag("-fopenmp")
        // The headers are not held to this crate's warnings.
        .flag("-isystem")
        .flag(include)
        .flag("-isystem")
        .flag(include.join("torch/csrc/api/include"))
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        .files(
            ["norm", "loops", "shake", "dense", "memory", "device"]
                .map(|name| format!("cpp/{name}.cpp")),
        )
        .compile("swath_fused");
}
