//! How children are started: with which variables, pipes and files.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;

use swath_agent::CommandLine;
use swath_model::device::Device;
use tokio::process::Command;

use super::{FAMILY, Setting, die_with};

/// The file with the spec of a program, as long as that runs.
#[derive(Debug)]
pub(super) struct SpecFile(PathBuf);

impl SpecFile {
    pub(super) fn write(path: PathBuf, spec: &str) -> Result<Self, String> {
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        // It goes too if only half of it could be written.
        let file = Self(path);
        let written = made.and_then(|()| std::fs::write(&file.0, spec));
        match written {
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
pub(super) fn of_line(line: &CommandLine, spec: &SpecFile) -> Command {
    let mut command = Command::new(&line.argv[0]);
    command.args(&line.argv[1..]).env("SWATH_SPEC", &spec.0);
    if let Some(directory) = &line.directory {
        command.current_dir(directory);
    }
    if std::env::var_os("PYTHONUNBUFFERED").is_none() {
        // Otherwise Python would hold its lines back until it ends.
        command.env("PYTHONUNBUFFERED", "1");
    }
    command
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
        .env_remove("SWATH_TOKEN_FILE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    die_with_worker(command);
}

/// Makes the child die with the worker.
#[expect(
    unsafe_code,
    reason = "pre_exec has no safe interface; the closure makes two system calls and allocates \
              nothing, as it must between fork and exec"
)]
fn die_with_worker(command: &mut Command) {
    let worker = rustix::process::getpid();
    unsafe {
        command.pre_exec(move || die_with(worker));
    }
}
