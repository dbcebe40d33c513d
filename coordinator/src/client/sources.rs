//! What a sweep was submitted as, read again.

use swath_coordinator::api::{ReadQuery, SweepSources};
use swath_model::id::SweepDigest;
use swath_model::message::{Files, Sources};
use swath_model::needs::Needs;
use swath_model::program::Launch;
use swath_sweep::SweepFile;

use super::connection::Connection;
use super::failure::{Failure, Outcome};

/// What a sweep was submitted as.
pub(super) async fn sources(connection: &mut Connection, sweep: SweepDigest) -> Outcome<Sources> {
    let query = ReadQuery::Sources {
        selector: vec![sweep.to_string()],
    };
    let sources: SweepSources = connection.read(&query).await?;
    Ok(sources.sources)
}

/// The sweep file among `files`.
pub(super) fn parse(files: &Files) -> Outcome<SweepFile> {
    let text = files.files.get(&files.main).map_or("", String::as_str);
    let known = |path: &str| files.files.get(path).cloned();
    let read = |path: &str| known(path).ok_or_else(|| "is not stored".to_owned());
    let file = SweepFile::parse(&files.main, text, &read);
    let mut file = file.map_err(|errors| Failure::files(&errors))?;
    file.found(&files.inputs, &files.executable, files.directory.clone());
    Ok(file)
}

/// What a sweep asks for its jobs, besides what they compute.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) needs: Needs,
    pub(super) launch: Launch,
}

impl Asked {
    /// As the file of the sweep says.
    pub(super) async fn of(connection: &mut Connection, sweep: SweepDigest) -> Outcome<Self> {
        Ok(match sources(connection, sweep).await? {
            Sources::Files(files) => {
                let file = parse(&files)?;
                Self {
                    needs: file.needs,
                    launch: file.launch,
                }
            }
            Sources::Cells(list) => Self {
                launch: list.needs.launch.clone(),
                needs: list.needs,
            },
        })
    }
}
