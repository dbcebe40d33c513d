//! Gives whatever this crate links an rpath to libtorch, so that `trainer` and its tests start with nothing exported.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
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
            println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());
        }
        Err(_) => println!(
            "cargo::error=no libtorch in {}; run `cargo xtask setup`, which fetches it once",
            root.display()
        ),
    }
}
