//! What the tests use beyond the checkout. Nothing here is fatal: a test that lacks its need says that it skips.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::{answers, output, say};

const FASHION_MNIST: &str = "dataset-fashion-mnist";
const FASHION_MNIST_FILES: &str = "/usr/share/datasets/fashion-mnist";

/// Installs what can be installed without asking anybody.
pub(crate) fn install() {
    if Path::new(FASHION_MNIST_FILES).is_dir() {
        return;
    }
    if !is_root() {
        warn_fashion_mnist(&format!(
            "not root: `sudo apt-get install {FASHION_MNIST}` installs it"
        ));
        return;
    }
    say(format!("installing Debian's package {FASHION_MNIST}"));
    // Package lists may be missing or old, as in most containers; they are renewed only if the first try fails.
    let installed = apt_get(&["install", "--yes", "--no-install-recommends", FASHION_MNIST])
        || (apt_get(&["update"])
            && apt_get(&["install", "--yes", "--no-install-recommends", FASHION_MNIST]));
    if !installed || !Path::new(FASHION_MNIST_FILES).is_dir() {
        warn_fashion_mnist(&format!("`apt-get install {FASHION_MNIST}` failed"));
    }
}

fn warn_fashion_mnist(why: &str) {
    say(format!(
        "warning: no {FASHION_MNIST_FILES} ({why}); the tests that train on Fashion-MNIST (swath-trainer, swath-e2e) skip"
    ));
}

fn apt_get(arguments: &[&str]) -> bool {
    answers(
        Command::new("apt-get")
            .arg("-qq")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

fn is_root() -> bool {
    output(Command::new("id").arg("-u").stdin(Stdio::null())).is_ok_and(|id| id.trim() == "0")
}
