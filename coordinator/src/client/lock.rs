//! Lock files: a table with everything behind it, which can be drawn anywhere.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use swath_coordinator::api::{ReadQuery, SweepResults, SweepSources};
use swath_report::counted;
use swath_results::lock::Lock;

use super::check::checked;
use super::connection::Connection;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::output::into_file;
use crate::settings::Context;

/// The largest lock file that is read, in bytes.
const LOCK_BYTES_MAX: u64 = 1 << 30;

/// Writes the lock file of one sweep.
pub(crate) async fn write(context: &Context, selector: Vec<String>, path: &Path) -> Outcome {
    let mut connection = Connection::open(context).await?;
    let mut found: SweepResults = connection.read(&ReadQuery::Results { selector }).await?;
    let selector = vec![found.sweep.digest.to_string()];
    let query = ReadQuery::Sources {
        selector: selector.clone(),
    };
    let sources: SweepSources = connection.read(&query).await?;
    let jobs = connection.jobs(selector, None).await?;
    connection.close().await?;
    let granted = jobs.iter().filter(|job| job.attempt.0 > 0);
    let attempts: BTreeMap<_, _> = granted.map(|job| (job.digest, job.attempt)).collect();
    let cells = found.take_cells();
    let version = env!("CARGO_PKG_VERSION");
    let lock = Lock::new(version, found.sweep, sources.sources, cells, &attempts)
        .map_err(Failure::error)?;
    into_file(path, |file| {
        serde_json::to_writer_pretty(&mut *file, &lock).map_err(Failure::error)?;
        Ok(file.write_all(b"\n")?)
    })?;
    let (jobs, shown) = (counted(jobs.len() as u64, "job"), path.display());
    context.printer.note(format!(
        "{shown} holds {} with {jobs}; `coordinator table --lock {shown}` draws its table anywhere",
        lock.sweep.name
    ));
    Ok(Exit::Ok)
}

/// Prints the table of a lock file without a coordinator; with `check` it is
/// compared with the published values, as a coordinator's table is.
pub(crate) fn table(context: &Context, path: &Path, check: bool) -> Outcome {
    let shown = path.display();
    let text = swath_files::read_text(path, LOCK_BYTES_MAX)
        .map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
    let wrong = |error: swath_results::lock::LockError| Failure::usage(format!("{shown}: {error}"));
    let results = Lock::parse(&text).and_then(Lock::results).map_err(wrong)?;
    let text = swath_report::results(&results, context.format, &context.style);
    context
        .printer
        .data(&text.map_err(|error| Failure::new(Exit::NotAllowed, error))?)?;
    if check {
        return checked(context, results.name(), results.check().as_ref());
    }
    Ok(Exit::Ok)
}
