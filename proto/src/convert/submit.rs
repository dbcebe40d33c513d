//! What a sweep is submitted as.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use swath_model::device::ParseDeviceKindError;
use swath_model::id::{InputDigest, ParseIdError};
use swath_model::label::{TAGS_MAX, WordError, check_owner, check_tag};
use swath_model::limits;
use swath_model::message::{CellList, Files, Sources};
use swath_model::needs::Needs;
use swath_model::spec::values;
use swath_model::view::SweepKind;

use super::{DecodeError, Result, launch, launch_text};
use crate::v1;

/// What is to be submitted.
///
/// # Errors
///
/// When there are files and cells, a cell is not JSON, the kind of the sweep is
/// missing, or that of a device is unknown.
pub fn sources(message: v1::SubmitRequest) -> Result<Sources> {
    let Some(list) = message.cells else {
        let inputs = message.inputs.into_iter().map(|(path, digest)| {
            let wrong = |error: ParseIdError| DecodeError::new("inputs", error.to_string());
            Ok((path, digest.parse().map_err(wrong)?))
        });
        return Ok(Sources::Files(Files {
            main: message.main,
            files: message.files.into_iter().collect(),
            replicates: message.replicates,
            inputs: inputs.collect::<Result<_>>()?,
            directory: Some(message.directory).filter(|it| !it.is_empty()),
            executable: message.executable.into_iter().collect(),
        }));
    };
    if !message.main.is_empty() || !message.files.is_empty() || message.replicates.is_some() {
        let problem = "stands instead of `main`, `files` and `replicates`, not beside them";
        return Err(DecodeError::new("cells", problem));
    }
    let kind = match list.kind() {
        v1::SweepKind::Training => SweepKind::Training,
        v1::SweepKind::Probe => SweepKind::Probe,
        v1::SweepKind::Unspecified => {
            return Err(DecodeError::new("cells.kind", "is missing or unknown"));
        }
    };
    let mut count = 0;
    let spec = |(place, text): (usize, String)| {
        let wrong =
            |why: String| DecodeError::new("cells.specs", format!("cell {}: {why}", place + 1));
        if text.len() > limits::SPEC_BYTES_MAX {
            let (bytes, most) = (text.len(), limits::SPEC_BYTES_MAX);
            return Err(wrong(format!("{bytes} bytes; at most {most}")));
        }
        let spec: Value =
            serde_json::from_str(&text).map_err(|error| wrong(format!("not JSON: {error}")))?;
        count += values(&spec);
        if count > limits::SWEEP_VALUES_MAX {
            let most = limits::SWEEP_VALUES_MAX;
            return Err(wrong(format!(
                "more than {most} values with those before it"
            )));
        }
        Ok(spec)
    };
    let needs = list.needs.map_or(Ok(Needs::default()), needs)?;
    let cells: Result<Vec<Value>> = list.specs.into_iter().enumerate().map(spec).collect();
    Ok(Sources::Cells(CellList {
        name: list.name,
        title: list.title,
        kind,
        replicates: list.replicates,
        needs,
        cells: cells?,
    }))
}

/// Who submits a sweep, and by which words it is to be found.
///
/// # Errors
///
/// When the name of the owner or a tag is wrong, or there are too many tags.
pub fn said_of(message: &v1::SubmitRequest) -> Result<(String, Vec<String>)> {
    let wrong = |field| move |error: WordError| DecodeError::new(field, error.to_string());
    check_owner(&message.owner).map_err(wrong("owner"))?;
    super::at_most("tags", message.tags.len(), TAGS_MAX)?;
    let checked = message.tags.iter().try_for_each(|tag| check_tag(tag));
    checked.map_err(wrong("tags"))?;
    Ok((message.owner.clone(), message.tags.clone()))
}

fn needs(message: v1::Needs) -> Result<Needs> {
    let device = message.device.map(|name| {
        name.parse().map_err(|error: ParseDeviceKindError| {
            DecodeError::new("cells.needs.device", error.to_string())
        })
    });
    Ok(Needs {
        device: device.transpose()?,
        // More than a job may have is refused as such.
        count: message.count.map(|it| it.try_into().unwrap_or(u16::MAX)),
        memory_bytes: message.memory_bytes,
        cpus: message.cpus,
        program: None,
        data: None,
        launch: launch("cells.needs.launch", &message.launch)?,
    })
}

fn texts(inputs: BTreeMap<String, InputDigest>) -> HashMap<String, String> {
    let inputs = inputs.into_iter();
    inputs
        .map(|(path, digest)| (path, digest.to_string()))
        .collect()
}

/// A request to store a sweep.
pub fn submit_request(sources: Sources, priority: Option<i32>) -> v1::SubmitRequest {
    match sources {
        Sources::Files(files) => v1::SubmitRequest {
            main: files.main,
            files: files.files.into_iter().collect(),
            priority,
            replicates: files.replicates,
            inputs: texts(files.inputs),
            directory: files.directory.unwrap_or_default(),
            executable: files.executable.into_iter().collect(),
            ..v1::SubmitRequest::default()
        },
        Sources::Cells(list) => v1::SubmitRequest {
            priority,
            cells: Some(v1::CellList {
                name: list.name,
                title: list.title,
                kind: match list.kind {
                    SweepKind::Training => v1::SweepKind::Training,
                    SweepKind::Probe => v1::SweepKind::Probe,
                }
                .into(),
                replicates: list.replicates,
                needs: Some(v1::Needs {
                    device: list.needs.device.map(|device| device.to_string()),
                    count: list.needs.count.map(u32::from),
                    memory_bytes: list.needs.memory_bytes,
                    cpus: list.needs.cpus,
                    launch: launch_text(&list.needs.launch),
                }),
                specs: list.cells.iter().map(Value::to_string).collect(),
            }),
            ..v1::SubmitRequest::default()
        },
    }
}
