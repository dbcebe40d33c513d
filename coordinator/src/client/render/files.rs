//! What attempts left: the list of files, and why there are none.

use serde_json::{Value, json};
use swath_coordinator::files::Files;
use swath_model::files::{
    Absent, AttemptFiles, FileKind, FileView, FilesState, Listing as Found, Remover,
};
use swath_model::text;
use swath_model::time::Timestamp;
use swath_model::view::SCHEMA_VERSION;
use swath_report::{Listing, ListingColumn as Column, ago, count, utc};

use super::document;

/// What there is to list; nothing where nothing was found.
pub(crate) fn found(attempt: &AttemptFiles) -> Option<&Found> {
    match &attempt.state {
        FilesState::Listed(found) => Some(found),
        FilesState::Absent(_) | FilesState::Away { .. } => None,
    }
}

/// The files of an attempt.
pub(crate) fn listing(attempt: Option<&AttemptFiles>) -> Listing {
    let columns = [
        Column::text("file"),
        Column::number("size"),
        Column::number("attempt"),
        Column::text("worker"),
        Column::text("changed").wide(),
        Column::number("bytes").wide(),
        Column::text("host").wide(),
        Column::text("directory").wide(),
    ];
    let mut listing = Listing::new("files", columns);
    let Some(attempt) = attempt else {
        return listing;
    };
    for file in found(attempt).into_iter().flat_map(|it| &it.files) {
        listing.push(file.path.clone(), fields(attempt, file), row(attempt, file));
    }
    listing
}

fn fields(attempt: &AttemptFiles, file: &FileView) -> Vec<String> {
    let size = match &file.kind {
        FileKind::File | FileKind::Unnamed => text::bytes(file.bytes),
        FileKind::Link { .. } => "link".to_owned(),
        FileKind::Special => "special".to_owned(),
    };
    let shown = match &file.kind {
        FileKind::Link { target } => format!("{} -> {target}", file.path),
        _ => file.path.clone(),
    };
    vec![
        shown,
        size,
        attempt.attempt.to_string(),
        attempt.worker.to_string(),
        utc(file.modified_at),
        file.bytes.to_string(),
        attempt.host.clone(),
        attempt.directory.clone().unwrap_or_default(),
    ]
}

fn row(attempt: &AttemptFiles, file: &FileView) -> Value {
    let mut row = document(file);
    row["attempt"] = attempt.attempt.0.into();
    row["worker"] = attempt.worker.to_string().into();
    row
}

/// The list with everything that is known beside it.
pub(crate) fn whole(files: &Files) -> Value {
    let attempt = files.found.as_ref();
    let found = attempt.and_then(found);
    let mut whole = json!({
        "schema_version": SCHEMA_VERSION,
        "job": files.job.digest,
        "attempts": files.attempts,
        "files": listing(attempt).documents,
        "more": found.map_or(0, |it| it.more),
        "bytes": found.map_or(0, |it| it.bytes),
    });
    if let Some(attempt) = attempt {
        whole["attempt"] = document(&attempt.attempt);
        whole["worker"] = document(&attempt.worker);
        whole["host"] = attempt.host.clone().into();
        whole["directory"] = document(&attempt.directory);
        if let FilesState::Absent(why) = &attempt.state {
            whole["absent"] = document(why);
        }
    }
    whole
}

/// Why an attempt has nothing to show.
pub(crate) fn absent(attempt: &AttemptFiles, why: &Absent) -> String {
    let AttemptFiles {
        attempt: number,
        worker,
        ..
    } = attempt;
    match why {
        Absent::Nothing => format!("attempt {number} left no files on worker `{worker}`"),
        Absent::Removed { at, by } => {
            let by = match by {
                Remover::Quota => format!("by the quota of worker `{worker}`"),
                Remover::Keep => "because no sweep keeps them (`keep` in [program])".to_owned(),
            };
            format!(
                "the files of attempt {number} were removed {by} on {}",
                utc(*at)
            )
        }
        other => format!("the files of attempt {number} on worker `{worker}`: {other}"),
    }
}

/// Who has the files of an attempt, while nobody who has them is connected.
pub(crate) fn away(files: &Files, attempt: &AttemptFiles, connected: bool) -> Vec<String> {
    let AttemptFiles { worker, host, .. } = attempt;
    let number = attempt.attempt;
    let on = match host.as_str() {
        "" => String::new(),
        host => format!(" on host {host}"),
    };
    let at = match &attempt.directory {
        Some(directory) => format!(" in {directory}"),
        None => String::new(),
    };
    if connected {
        return vec![
            format!("worker `{worker}`{on} has the files of attempt {number}{at}, and does not show them"),
            "it may just have ended: try again in a minute; or it is of an older version: restart it with \
             this one"
                .to_owned(),
        ];
    }
    let seen = match attempt.seen_at {
        Some(at) => {
            let ago = ago(at, Timestamp::from_ms(files.now_ms));
            format!("not seen since {} ({ago})", utc(at))
        }
        None => "forgotten".to_owned(),
    };
    vec![
        format!("worker `{worker}`{on} has the files of attempt {number}{at}, and is away: {seen}"),
        "start that worker again with the same --state-dir and --out, or copy the files on its host".to_owned(),
    ]
}

/// What a reader of the list should know besides.
pub(crate) fn notes(files: &Files, attempt: &AttemptFiles) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(found) = found(attempt)
        && found.more > 0
    {
        let (more, size) = (count(found.more), text::bytes(found.bytes));
        notes.push(format!("and {more} more files; {size} in all"));
    }
    let others = files.attempts.iter().filter(|it| **it != attempt.attempt);
    let others: Vec<String> = others.map(ToString::to_string).collect();
    if let Some(other) = others.last() {
        let (number, all) = (attempt.attempt, others.join(", "));
        notes.push(format!(
            "this is attempt {number}; `--attempt {other}` shows another (there are {all})"
        ));
    }
    notes
}
