//! `store backup`.

use std::fs::{self, File};
use std::path::Path;

use swath_coordinator::database::Database;
use swath_store::verify::Verified;
use swath_store_sqlite::SqliteStore;

use super::verify::counts;
use crate::cli::StoreBackup;
use crate::client::exit::Exit;
use crate::client::failure::{Failure, Outcome};
use crate::settings::Context;

pub(super) async fn backup(context: &Context, arguments: &StoreBackup) -> Outcome {
    let file = &arguments.file;
    let shown = file.display();
    if file.symlink_metadata().is_ok() {
        return Err(there_already(file));
    }
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Written beside the file and then linked to it: a backup exists as a whole
    // or not.
    let scratch = tempfile::Builder::new()
        .prefix(".swath-backup-")
        .tempdir_in(directory)
        .map_err(|error| {
            Failure::usage(format!("cannot write to {}: {error}", directory.display()))
        })?;
    let draft = scratch.path().join("swath.db");
    let found = write(context, &draft).await?;
    let keep = {
        let (draft, file, directory) = (draft, file.clone(), directory.to_owned());
        move || keep(&draft, &file, &directory)
    };
    let kept = tokio::task::spawn_blocking(keep).await;
    let kept = kept.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    kept.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => there_already(file),
        _ => Failure::error(format!("cannot write {shown}: {error}")),
    })?;
    context.printer.say(format!(
        "backed up {} to {shown}: {}",
        context.database,
        counts(&found.census)
    ));
    if found.is_sound() {
        return Ok(Exit::Ok);
    }
    super::tell(context, &found);
    Err(Failure::error(format!(
        "{} is damaged, and {shown} with it; see `coordinator store verify`",
        context.database
    )))
}

fn there_already(file: &Path) -> Failure {
    let shown = file.display();
    Failure::usage(format!(
        "{shown} exists already; name a new file, or remove that one"
    ))
}

/// Writes one state of the database, and verifies what was written.
async fn write(context: &Context, draft: &Path) -> Outcome<Verified> {
    match &context.database {
        Database::Sqlite(path) => swath_store_sqlite::backup(path, draft).await?,
        Database::Postgres(_) => {
            let mut from = super::snapshot(&context.database).await?;
            let first = draft.with_extension("first");
            let to = SqliteStore::open(&first).await?;
            let copied = super::copy::between(context, &mut *from, &to).await;
            swath_store::Store::close(&to).await?;
            from.close().await?;
            copied?;
            // A file in use has others beside it, and is told to; this one is alone.
            swath_store_sqlite::backup(&first, draft).await?;
        }
    }
    let mut snapshot = swath_store_sqlite::snapshot(draft).await?;
    let found = super::verified(context, &mut *snapshot).await;
    snapshot.close().await?;
    found
}

/// Gives the finished file its name, unless a file of that name exists.
fn keep(draft: &Path, file: &Path, directory: &Path) -> std::io::Result<()> {
    File::open(draft)?.sync_all()?;
    fs::hard_link(draft, file)?;
    File::open(directory)?.sync_all()
}
