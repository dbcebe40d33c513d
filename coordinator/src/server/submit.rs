//! Turns a sweep's files or cells into what the store keeps.

use std::collections::BTreeMap;
use std::fmt::Write;

use rayon::prelude::*;
use serde_json::{Value, json};
use swath_model::id::InputDigest;
use swath_model::limits::{
    DEFINITION_BYTES_MAX, ERROR_BYTES_MAX, FILE_BYTES_MAX, FILES_MAX, LAUNCH_BYTES_MAX,
    SWEEP_BYTES_MAX,
};
use swath_model::message::{Files, Overlap, Shares, Sources, Submission, SubmittedCell};
use swath_model::needs::Needs;
use swath_model::program::{EXECUTABLES_MAX, Launch, is_below};
use swath_model::spec::{JobSpec, Work};
use swath_model::view::SweepView;
use swath_results::table::Definition;
use swath_sweep::{Measure, SweepFile, Whole, expand_whole, list_whole};

use super::error::ApiError;
use super::state::State;

/// Why a sweep cannot be submitted: one error per line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SubmitError(pub(crate) String);

/// The same as [`submission`] in a thread of its own, because a large grid occupies
/// it for a while. One is built at a time: each may take much memory.
pub(crate) async fn built(state: &State, sources: Sources) -> Result<Submission, ApiError> {
    let _turn = state.submits.lock().await;
    let submission = tokio::task::spawn_blocking(move || submission(sources, 0));
    let submission = submission.await.map_err(ApiError::internal)?;
    submission.map_err(ApiError::invalid)
}

/// Parses, expands and checks `sources`.
pub(crate) fn submission(sources: Sources, priority: i32) -> Result<Submission, SubmitError> {
    let sweep = match &sources {
        Sources::Files(files) => expand_whole(&parse(files)?).map_err(|errors| joined(&errors))?,
        Sources::Cells(list) => list_whole(list).map_err(|errors| joined(&errors))?,
    };
    let definition = definition(&sweep)?;
    check_definition(&definition)?;
    let ships = ships(&sweep)?;
    let launch = Launch {
        sweep: Some(sweep.name.clone()),
        wants_epochs: sweep.measure != Measure::Last,
        ..sweep.launch
    };
    check_launch(&launch, sweep.cells.len())?;
    let cells = sweep
        .cells
        .into_par_iter()
        .map(|cell| SubmittedCell {
            digest: cell.digest,
            axes: cell.axes,
            spec: cell.text,
            needs: needs(&sweep.needs, &launch, &cell.spec),
        })
        .collect();
    Ok(Submission {
        digest: sweep.digest,
        name: sweep.name,
        title: sweep.title,
        replicates: sweep.replicates,
        replicates_max: sweep.replicates_max,
        kind: sweep.kind,
        priority,
        sources,
        definition,
        cells,
        // Who submits it says the rest.
        owner: String::new(),
        tags: Vec::new(),
        ships,
    })
}

/// With which other sweeps a submission shares open jobs that it says something
/// else of. Nothing depends on the answer, so none is given where the engine has
/// none.
pub(crate) async fn overlaps(
    state: &State,
    submission: &Submission,
    sweeps: &[SweepView],
) -> Vec<Overlap> {
    let other = |sweep: &SweepView| sweep.is_open() && sweep.digest != submission.digest;
    if !sweeps.iter().any(other) {
        return Vec::new();
    }
    let overlaps = state.engine.overlaps(Shares::of(submission)).await;
    overlaps.unwrap_or_default()
}

/// The same of what is not submitted.
pub(crate) async fn overlaps_of(state: &State, sources: Sources) -> Result<Vec<Overlap>, ApiError> {
    let sweeps = state.store.sweeps().await.map_err(ApiError::from)?;
    if !sweeps.iter().any(SweepView::is_open) {
        return Ok(Vec::new());
    }
    let submission = built(state, sources).await?;
    Ok(overlaps(state, &submission, &sweeps).await)
}

/// The files that travel with a sweep, one for each place that its cells name.
fn ships(sweep: &Whole) -> Result<Vec<InputDigest>, SubmitError> {
    let Some(shipped) = &sweep.launch.shipped else {
        return Ok(Vec::new());
    };
    let mut files = BTreeMap::new();
    for cell in &sweep.cells {
        if let Work::Command(command) = cell.spec.work()
            && !command
                .inputs
                .iter()
                .all(|(path, digest)| files.get(path) == Some(digest))
        {
            files.extend(command.inputs.clone());
        }
    }
    let outside = |path: &&String| !is_below(path);
    if let Some(path) = files.keys().chain(&shipped.executable).find(outside) {
        let message = format!("`{path}` is not below the directory of its program");
        return Err(SubmitError(message));
    }
    if shipped.executable.len() > EXECUTABLES_MAX {
        let count = shipped.executable.len();
        let message = format!("{count} files may be executed; at most {EXECUTABLES_MAX}");
        return Err(SubmitError(message));
    }
    if !shipped.directory.is_empty() && !is_below(&shipped.directory) {
        let message = format!("`{}` is not below the sweep file", shipped.directory);
        return Err(SubmitError(message));
    }
    Ok(files.into_values().collect())
}

/// What the jobs of a cell need.
fn needs(needs: &Needs, launch: &Launch, spec: &JobSpec) -> Needs {
    let Needs { program, data, .. } = Needs::of(spec);
    let launch = match program {
        Some(_) => launch.clone(),
        None => Launch::default(),
    };
    Needs {
        program,
        data,
        launch,
        ..needs.clone()
    }
}

/// What the table needs, together with the grid and the published values.
fn definition(sweep: &Whole) -> Result<Value, SubmitError> {
    let wrong = |error: serde_json::Error| SubmitError(error.to_string());
    let mut definition = serde_json::to_value(Definition::new(sweep)).map_err(wrong)?;
    definition["grid"] = serde_json::to_value(&sweep.grid).map_err(wrong)?;
    if let Some(reference) = &sweep.reference {
        definition["reference"] = json!({ "file": reference.file, "text": reference.text });
    }
    Ok(definition)
}

/// Refuses a launch that is too long for a grant; each cell has a copy.
fn check_launch(launch: &Launch, cells: usize) -> Result<(), SubmitError> {
    let most = LAUNCH_BYTES_MAX.min(SWEEP_BYTES_MAX / cells.max(1));
    match launch.bytes() {
        bytes if bytes > most => Err(SubmitError(format!(
            "`local`: how the program is started takes {bytes} bytes in each of {cells} cells; at \
             most {most}"
        ))),
        _ => Ok(()),
    }
}

/// Refuses a definition that would make every table of the sweep slow.
fn check_definition(definition: &Value) -> Result<(), SubmitError> {
    let wrong = |error: serde_json::Error| SubmitError(error.to_string());
    let entries = definition.as_object().into_iter().flatten();
    let sizes = entries.map(|(key, value)| Ok((serde_json::to_string(value)?.len(), key)));
    let sizes: Vec<(usize, &String)> = sizes.collect::<Result<_, _>>().map_err(wrong)?;
    let bytes: usize = sizes.iter().map(|(bytes, _)| bytes).sum();
    if bytes <= DEFINITION_BYTES_MAX {
        return Ok(());
    }
    let largest = sizes.iter().max().map_or("", |(_, key)| key.as_str());
    Err(SubmitError(format!(
        "what the table needs of this sweep has {bytes} bytes, most of them under `{largest}`; at \
         most {DEFINITION_BYTES_MAX}: make several sweeps of it"
    )))
}

/// Reads the sweep file among `files`, with the recipes from the same.
fn parse(files: &Files) -> Result<SweepFile, SubmitError> {
    if files.files.len() > FILES_MAX {
        return Err(SubmitError(format!("more than {FILES_MAX} files")));
    }
    if let Some((path, text)) = files
        .files
        .iter()
        .find(|(_, text)| text.len() > FILE_BYTES_MAX)
    {
        let length = text.len();
        return Err(SubmitError(format!(
            "{path}: {length} bytes; at most {FILE_BYTES_MAX}"
        )));
    }
    let main = files.files.get(&files.main).ok_or_else(|| {
        SubmitError(format!(
            "the sweep file `{}` is not among the files sent",
            files.main
        ))
    })?;
    let read = |path: &str| {
        files
            .files
            .get(path)
            .cloned()
            .ok_or_else(|| "was not sent with the sweep".to_owned())
    };
    let mut file = SweepFile::parse(&files.main, main, &read).map_err(|errors| joined(&errors))?;
    file.found(&files.inputs, &files.executable, files.directory.clone());
    match (files.replicates, &mut file.replicates_max) {
        (Some(replicates), Some(max)) => *max = replicates,
        (Some(replicates), None) => file.replicates = replicates,
        (None, _) => {}
    }
    Ok(file)
}

/// The errors as lines, as many as fit into an answer.
fn joined(errors: &[impl ToString]) -> SubmitError {
    let mut text = String::new();
    for (at, error) in errors.iter().enumerate() {
        let line = error.to_string();
        if at > 0 && text.len() + line.len() > ERROR_BYTES_MAX - 64 {
            let _ = write!(text, "\nand {} more lines", errors.len() - at);
            break;
        }
        let gap = if at > 0 { "\n" } else { "" };
        let _ = write!(text, "{gap}{line}");
    }
    SubmitError(text)
}
