//! What the tests use beyond the checkout. Nothing here is fatal: a test that lacks something says that it
//! skips.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::postgres;
use crate::process::{answers, output, say};

const FASHION_MNIST: &str = "dataset-fashion-mnist";
const FASHION_MNIST_FILES: &str = "/usr/share/datasets/fashion-mnist";
/// The package whose tests skip without Fashion-MNIST; each says `SKIP` and its name on stderr.
const FASHION_MNIST_TESTS: &str = "swath-trainer";
/// The package whose tests skip without a Postgres server.
const POSTGRES_TESTS: &str = "swath-store-postgres";

/// Whether this is CI, where nobody can be asked and no machine must be left as
/// it is.
pub(crate) fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// Installs what can be installed without asking anybody.
pub(crate) fn install() {
    let has_files = || Path::new(FASHION_MNIST_FILES).is_dir();
    if !has_files() {
        match apt_install(FASHION_MNIST) {
            Ok(()) if has_files() => {}
            Ok(()) => warn_fashion_mnist("the package brought none"),
            Err(why) => warn_fashion_mnist(&why),
        }
    }
    let named = std::env::var_os(postgres::SERVER).is_some_and(|url| !url.is_empty());
    if !named
        && !postgres::is_there()
        && let Err(why) = apt_install(postgres::PACKAGE)
    {
        say(format!(
            "warning: no Postgres server ({why}; or name one that is there in {}); the tests of {POSTGRES_TESTS} skip",
            postgres::SERVER
        ));
    }
}

/// Installs a Debian package, or returns why it could not.
fn apt_install(package: &str) -> Result<(), String> {
    if !is_root() {
        return Err(format!(
            "not root: `sudo apt-get install {package}` installs it"
        ));
    }
    say(format!("installing Debian's package {package}"));
    // Package lists may be missing or old, as in most containers; they are renewed only if the first try fails.
    let arguments = ["install", "--yes", "--no-install-recommends", package];
    if apt_get(&arguments) || (apt_get(&["update"]) && apt_get(&arguments)) {
        Ok(())
    } else {
        Err(format!("`apt-get install {package}` failed"))
    }
}

fn warn_fashion_mnist(why: &str) {
    say(fashion_mnist_warning(why));
}

fn fashion_mnist_warning(why: &str) -> String {
    format!(
        "warning: no {FASHION_MNIST_FILES} ({why}); the tests of {FASHION_MNIST_TESTS} that read Fashion-MNIST skip"
    )
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    /// Every Rust file of the tests below `directory`, and of the sources with tests inside.
    fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") && !path.ends_with("xtask") {
                sources(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }

    fn package_of(source: &Path) -> String {
        let manifest = source
            .ancestors()
            .map(|directory| directory.join("Cargo.toml"))
            .find(|manifest| manifest.is_file())
            .unwrap();
        let text = fs::read_to_string(manifest).unwrap();
        let name = text.lines().find_map(|line| line.strip_prefix("name = "));
        name.unwrap().trim_matches('"').to_owned()
    }

    #[test]
    fn the_warning_names_the_package_that_skips_and_its_tests_say_so() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut files = Vec::new();
        for part in ["coordinator", "crates", "worker"] {
            sources(&root.join(part), &mut files);
        }
        let mut packages = Vec::new();
        // A benchmark that could not measure says so; it is not a test that
        // skips.
        let is_benchmark = |file: &PathBuf| {
            // The checkout itself may be in a folder of that name.
            let below = file.strip_prefix(&root).unwrap_or(file);
            below.iter().any(|part| part == "bench")
        };
        for file in files.iter().filter(|file| !is_benchmark(file)) {
            let text = fs::read_to_string(file).unwrap();
            if text.contains(FASHION_MNIST_FILES) {
                assert!(text.contains("eprintln!(\"SKIP "), "{}", file.display());
                packages.push(package_of(file));
            }
        }
        assert_eq!(packages, [FASHION_MNIST_TESTS]);
        let warning = fashion_mnist_warning("because");
        assert!(
            warning.contains(FASHION_MNIST_TESTS) && !warning.contains("e2e"),
            "{warning}"
        );
    }
}
