//! Turns a sweep's files into what the store keeps.

use serde_json::{Value, json};
use swath_model::message::{Sources, Submission, SubmittedCell};
use swath_model::needs::Needs;
use swath_results::table::Definition;
use swath_sweep::{Cell, Expansion, FileError, SweepFile, expand_whole};

/// The largest sweep file or recipe, in bytes.
const FILE_BYTES_MAX: usize = 4 << 20;
/// The most recipes.
const FILES_MAX: usize = 64;

/// Why files cannot be submitted: one error per line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SubmitError(pub(crate) String);

/// Parses, expands and checks `sources`.
pub(crate) fn submission(sources: Sources, priority: i32) -> Result<Submission, SubmitError> {
    let file = parse(&sources)?;
    let (expansion, cells) = expand_whole(&file).map_err(|errors| joined(&errors))?;
    let definition = definition(&expansion, &cells)?;
    let cells = cells
        .into_iter()
        .map(|cell| SubmittedCell {
            digest: cell.digest,
            axes: cell.axes,
            spec: cell.text,
            needs: Needs::of(&cell.spec),
        })
        .collect();
    Ok(Submission {
        digest: expansion.digest(),
        name: file.name.clone(),
        title: file.title.clone(),
        replicates: file.replicates,
        replicates_max: file.replicates_max,
        kind: expansion.kind(),
        priority,
        sources,
        definition,
        cells,
    })
}

/// What the table needs, together with the grid and the published values.
fn definition(expansion: &Expansion<'_>, cells: &[Cell]) -> Result<Value, SubmitError> {
    let wrong = |error: serde_json::Error| SubmitError(error.to_string());
    let mut definition = serde_json::to_value(Definition::new(expansion, cells)).map_err(wrong)?;
    definition["grid"] = serde_json::to_value(expansion.grid()).map_err(wrong)?;
    if let Some(reference) = &expansion.file().reference {
        definition["reference"] = json!({ "file": reference.file, "text": reference.text });
    }
    Ok(definition)
}

/// Reads the sweep file among `sources`, with the recipes from the same.
pub(crate) fn parse(sources: &Sources) -> Result<SweepFile, SubmitError> {
    if sources.files.len() > FILES_MAX {
        return Err(SubmitError(format!("more than {FILES_MAX} files")));
    }
    if let Some((path, text)) = sources
        .files
        .iter()
        .find(|(_, text)| text.len() > FILE_BYTES_MAX)
    {
        let length = text.len();
        return Err(SubmitError(format!(
            "{path}: {length} bytes; at most {FILE_BYTES_MAX}"
        )));
    }
    let main = sources.files.get(&sources.main).ok_or_else(|| {
        SubmitError(format!(
            "the sweep file `{}` is not among the files sent",
            sources.main
        ))
    })?;
    let read = |path: &str| {
        sources
            .files
            .get(path)
            .cloned()
            .ok_or_else(|| "was not sent with the sweep".to_owned())
    };
    let mut file =
        SweepFile::parse(&sources.main, main, &read).map_err(|errors| joined(&errors))?;
    match (sources.replicates, &mut file.replicates_max) {
        (Some(replicates), Some(max)) => *max = replicates,
        (Some(replicates), None) => file.replicates = replicates,
        (None, _) => {}
    }
    Ok(file)
}

fn joined(errors: &[FileError]) -> SubmitError {
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    SubmitError(lines.join("\n"))
}
