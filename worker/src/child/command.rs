//! What children are started with: words, variables and files.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use swath_agent::CommandLine;
use swath_model::device::Device;

use super::{FAMILY, Setting, User};

/// The file with the spec of a program, as long as that runs.
#[derive(Debug)]
pub(super) struct SpecFile(PathBuf);

impl SpecFile {
    /// Writes it, for the user as whom the program runs, if that is another one.
    pub(super) fn write(path: PathBuf, spec: &str, user: Option<&User>) -> Result<Self, String> {
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        // It goes too if only half of it could be written.
        let file = Self(path);
        let written = made.and_then(|()| std::fs::write(&file.0, spec));
        let give = |()| user.map_or(Ok(()), |user| user.give(&file.0));
        match written.and_then(give) {
            Ok(()) => Ok(file),
            Err(error) => Err(format!("its spec file {}: {error}", file.0.display())),
        }
    }
}

impl Drop for SpecFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%error, path = %self.0.display(), "a spec file cannot be removed");
        }
    }
}

/// The command of a program.
///
/// # Errors
///
/// When the system cannot hand a word over. A `Command` would silently replace it.
pub(super) fn of_line(line: &CommandLine, spec: &SpecFile) -> Result<Command, String> {
    let mut words = line.argv.iter().chain(&line.directory);
    if words.any(|word| word.contains('\0')) {
        return Err(
            "an argument or its directory contains a NUL character, which no program can be given"
                .to_owned(),
        );
    }
    let mut command = Command::new(&line.argv[0]);
    command.args(&line.argv[1..]).env("SWATH_SPEC", &spec.0);
    if let Some(directory) = &line.directory {
        command.current_dir(directory);
    }
    if std::env::var_os("PYTHONUNBUFFERED").is_none() {
        // Otherwise Python would hold its lines back until it ends.
        command.env("PYTHONUNBUFFERED", "1");
    }
    Ok(command)
}

/// Gives a command what every child has.
pub(super) fn prepare(command: &mut Command, setting: &Setting, device: Device, family: &str) {
    for name in &setting.kept_back {
        command.env_remove(name);
    }
    let threads = setting.threads.to_string();
    for name in [
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "RAYON_NUM_THREADS",
        "SWATH_THREADS",
    ] {
        command.env(name, &threads);
    }
    command
        .env("SWATH_DATA_DIR", &setting.data_dir)
        .env("SWATH_DEVICE", device.to_string())
        .env(FAMILY, family)
        // A trainer cannot leak what it does not get.
        .env_remove("SWATH_TOKEN_FILE");
}

/// Tells a trainer which data specs may name. A program reads its data itself.
pub(super) fn confine(command: &mut Command, setting: &Setting) {
    // A path with a colon in it can be told to no process.
    let plain = setting.allow_data.iter().map(|path| path.as_os_str());
    let plain: Vec<&OsStr> = plain
        .filter(|path| !path.as_encoded_bytes().contains(&b':'))
        .collect();
    command.env("SWATH_ALLOW_DATA", plain.join(OsStr::new(":")));
    if let Some(bytes) = setting.data_bytes {
        command.env("SWATH_DATA_BYTES", format!("{bytes}B"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_is_replaced_in_silence() {
        let line = |argv: &[&str]| CommandLine {
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            ..CommandLine::default()
        };
        let file = tempfile::tempdir().unwrap();
        let spec = SpecFile::write(file.path().join("spec.json"), "{}", None).unwrap();
        assert!(of_line(&line(&["sh", "a b"]), &spec).is_ok());
        let error = of_line(&line(&["sh", "a\0b"]), &spec).unwrap_err();
        assert!(error.contains("NUL"), "{error}");
    }
}
