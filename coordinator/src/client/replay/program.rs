//! The program of a job that is trained again: how it is started, and whether it is
//! still what it was.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use swath_model::id::InputDigest;
use swath_model::message::InputFile;
use swath_model::program::{Command, INPUTS_BYTES_MAX, Launch, input_digest};
use swath_model::spec::{JobSpec, Work};
use swath_model::view::JobView;
use swath_report::utc;

use crate::client::connection::Connection;
use crate::client::exit::Exit;
use crate::client::failure::{Failure, Outcome};
use crate::client::sources::Asked;
use crate::settings::Context;

/// How the program of a job is started. What travels with its sweep is put into
/// `directory`; what does not must be here as it was.
pub(super) async fn launch(
    context: &Context,
    connection: &mut Connection,
    job: &JobView,
    directory: &Path,
) -> Outcome<Launch> {
    let spec = JobSpec::from_value(&job.spec).ok();
    let Some(Work::Command(command)) = spec.as_ref().map(JobSpec::work) else {
        return Ok(Launch::default());
    };
    let asked = match job.holders.last() {
        Some(sweep) => Asked::of(connection, *sweep).await?,
        None => Asked::default(),
    };
    let launch = Launch {
        sweep: job.sweeps.last().cloned(),
        ..asked.launch
    };
    if launch.shipped.is_none() {
        check(context, command, &launch, job)?;
        return Ok(launch);
    }
    for digest in distinct(command) {
        let content = connection.fetch(digest).await?;
        let path = place(directory, digest);
        fs::write(&path, content)
            .map_err(|error| Failure::error(format!("cannot write {}: {error}", path.display())))?;
    }
    Ok(launch)
}

fn distinct(command: &Command) -> BTreeSet<InputDigest> {
    command.inputs.values().copied().collect()
}

fn place(directory: &Path, digest: InputDigest) -> PathBuf {
    directory.join(digest.to_string())
}

/// The files that travel with a job, from `directory`.
pub(super) fn files(spec: &JobSpec, launch: &Launch, directory: &Path) -> Outcome<Vec<InputFile>> {
    let Work::Command(command) = spec.work() else {
        return Ok(Vec::new());
    };
    if launch.shipped.is_none() {
        return Ok(Vec::new());
    }
    let read = |digest| {
        let content = fs::read(place(directory, digest)).map_err(Failure::error)?;
        Ok(InputFile::new(&content))
    };
    distinct(command).into_iter().map(read).collect()
}

/// Refuses to train with another program than the one that the job was trained
/// with.
fn check(context: &Context, command: &Command, launch: &Launch, job: &JobView) -> Outcome<()> {
    let directory = Path::new(launch.directory.as_deref().unwrap_or(""));
    let changed = command.inputs.iter().find_map(|(path, digest)| {
        let path = directory.join(path);
        let found = swath_files::read(&path, INPUTS_BYTES_MAX).ok();
        let found = found.map(|content| input_digest(&content));
        (found != Some(*digest)).then_some((path, found.is_some()))
    });
    let Some((path, is_there)) = changed else {
        return Ok(());
    };
    let (id, path) = (job.digest.short(), path.display());
    let when = job
        .ended_at
        .map_or_else(String::new, |at| format!(" on {}", utc(at)));
    let how = if is_there {
        format!("{path} is another one than{when}, when job {id} was measured")
    } else {
        format!("{path} is not here, with which job {id} was measured{when}")
    };
    let again = job.sweeps.last().map_or("SWEEP", String::as_str);
    let asked = &context.asked;
    Err(Failure::new(Exit::NotAllowed, how).hint(format!(
        "bring that version back to replay it; `coordinator retry --stale {again}{asked}` trains \
         with the one that is there"
    )))
}
