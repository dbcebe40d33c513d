//! Reading a training spec from a file or a line.

use std::path::Path;

use swath_model::extent;
use swath_model::limits::FILE_BYTES_MAX;
use swath_model::spec::{JobSpec, TrainingSpec, Work};

use crate::failure::Failure;
use crate::files;

/// Reads a spec from a JSON or TOML file. The content tells which: a JSON spec
/// begins with `{`, which no TOML file does.
///
/// # Errors
///
/// [`Failure::Invalid`] with the file, and every key that is wrong.
pub(crate) fn read(path: &Path) -> Result<JobSpec, Failure> {
    let bytes = files::read(path, FILE_BYTES_MAX as u64)?;
    parse(&String::from_utf8_lossy(&bytes))
        .map_err(|message| Failure::Invalid(format!("{}: {message}", path.display())))
}

/// Reads a spec from one line of JSON.
///
/// # Errors
///
/// [`Failure::Invalid`] with every key that is wrong.
pub(crate) fn read_line(line: &str) -> Result<JobSpec, Failure> {
    parse(line).map_err(Failure::Invalid)
}

/// The training that `job` describes.
///
/// # Errors
///
/// [`Failure::Invalid`] where `job` is not a training.
pub(crate) fn training(job: &JobSpec) -> Result<&TrainingSpec, Failure> {
    match (job.training(), job.work()) {
        (Some(spec), _) => Ok(spec),
        (None, Work::Command(_)) => Err(Failure::invalid(
            "`trainer.command`: this spec is for another program, not for the built-in trainer",
        )),
        (None, _) => Err(Failure::invalid("this spec trains nothing")),
    }
}

fn parse(text: &str) -> Result<JobSpec, String> {
    let tree = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?
    } else {
        extent::check(text).map_err(|excess| {
            let line = text[..excess.offset].lines().count().max(1);
            format!("line {line}: {}", excess.message)
        })?;
        toml::from_str(text).map_err(|error| format!("not TOML: {}", error.message()))?
    };
    JobSpec::from_value(&tree).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"dataset":{"name":"digits"},"model":{"name":"resnet_preact","depth":8},
        "batch_size":32,"epochs":1,"optimizer":{"lr":0.1}}"#;
    const TOML: &str = "batch_size = 32\nepochs = 1\ndataset.name = \"digits\"\n\
        optimizer.lr = 0.1\n[model]\nname = \"resnet_preact\"\ndepth = 8\n";

    #[test]
    fn json_and_toml_are_the_same_job() {
        assert_eq!(
            parse(JSON).unwrap().job_digest(),
            parse(TOML).unwrap().job_digest()
        );
    }

    #[test]
    fn levels_have_a_limit_in_either_form() {
        let tables = |levels: usize| "{\"a\":".repeat(levels) + "1" + &"}".repeat(levels);
        let lists = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        for levels in [70, 200, 500_000] {
            let name = "a.".repeat(levels);
            for text in [
                tables(levels),
                format!("{{\"dataset\":{}}}", lists(levels)),
                format!("\n{name}a = 1"),
                format!("\n[{name}a]"),
                format!("\n[[{name}a]]"),
                format!("\na = {}", lists(levels)),
                format!("\na = {}1{}", "{ a = ".repeat(levels), " }".repeat(levels)),
            ] {
                let message = parse(&text).unwrap_err();
                let is_toml = text.starts_with('\n');
                assert!(
                    !is_toml || message.contains("line 2: more than 64 levels"),
                    "{message}"
                );
                assert!(message.len() < 1000, "{message}");
            }
        }
    }

    #[test]
    fn a_spec_is_a_regular_file_of_bounded_size() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("spec.json");
        std::fs::File::create(&path)
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
        for (path, why) in [(&*path, "1 TiB"), (Path::new("/dev/zero"), "a device")] {
            let told = read(path).unwrap_err().to_string();
            assert!(
                told.contains(why) && told.contains(&*path.to_string_lossy()),
                "{told}"
            );
        }
    }

    #[test]
    fn wrong_keys_are_named() {
        let message = parse(&JSON.replace("batch_size", "batch_szie")).unwrap_err();
        assert!(message.contains("batch_szie"), "{message}");
    }
}
