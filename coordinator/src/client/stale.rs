//! `retry --stale`: trains the jobs of a sweep again whose program has changed
//! since. A changed program is part of the names of jobs, so these are others:
//! those of the next version of the sweep.

use std::collections::BTreeMap;
use std::path::Path;

use swath_coordinator::api::{ReadQuery, Selection};
use swath_model::id::InputDigest;
use swath_model::message::{Files, Sources};
use swath_model::view::SweepView;

use super::connection::Connection;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::inputs::{self, Found};
use super::ship::ship;
use super::sources::{parse, sources};
use super::submit::{self, Receipt, receipt, tell_others};
use crate::cli;
use crate::settings::Context;

pub(crate) async fn retry(context: &Context, arguments: &cli::Retry) -> Outcome {
    let mut connection = Connection::open(context).await?;
    let submitted = submitted_again(context, &mut connection, &arguments.selector).await;
    let is_local = connection.is_local();
    connection.close().await?;
    let Some(receipt) = submitted? else {
        return Ok(Exit::Ok);
    };
    submit::print(context, &receipt)?;
    tell_others(context, &receipt, is_local)?;
    Ok(Exit::Ok)
}

/// Submits a sweep with its program as it is now; nothing if that is as it was.
async fn submitted_again(
    context: &Context,
    connection: &mut Connection,
    selector: &[String],
) -> Outcome<Option<Receipt>> {
    let query = ReadQuery::Selected {
        selector: selector.to_vec(),
        only_sweeps: false,
    };
    let meant: Selection = connection.read(&query).await?;
    let sweep = only(&context.asked, meant)?;
    let name = sweep.full_name();
    let Sources::Files(files) = sources(connection, sweep.digest).await? else {
        let message = format!("{name} was submitted as a list of cells, which names no program");
        return Err(Failure::new(Exit::NotAllowed, message));
    };
    let found = found_now(&name, &files)?;
    let changes = changes(&files.inputs, &found.inputs);
    if changes.is_empty() {
        let note = format!("nothing is stale: the program of {name} is as it was");
        context.printer.note(note);
        return Ok(None);
    }
    for change in &changes {
        context.printer.note(change);
    }
    let shipped = ship(connection, found.shipment.as_ref()).await?;
    let sources = Sources::Files(Files {
        inputs: found.inputs,
        executable: found.executable,
        ..files
    });
    let reply = connection
        .submit(
            context.printer,
            sources,
            Some(sweep.priority),
            &sweep.label.tags,
        )
        .await?;
    let most = sweep.replication.map(|it| it.max);
    Ok(Some(Receipt {
        shipped,
        ..receipt(&reply)?.up_to(most)
    }))
}

/// The one sweep that is meant.
fn only(asked: &str, meant: Selection) -> Outcome<SweepView> {
    let Selection {
        mut sweeps, jobs, ..
    } = meant;
    let names: Vec<String> = if jobs.is_empty() {
        sweeps.iter().map(SweepView::full_name).collect()
    } else {
        jobs.into_iter().map(|it| it.sweep).collect()
    };
    match (sweeps.pop(), &names[..]) {
        (Some(sweep), [_]) => return Ok(sweep),
        (_, []) => {
            let failure = Failure::new(Exit::NotFound, "no sweep is meant");
            return Err(failure.hint("`coordinator sweeps` lists them"));
        }
        _ => {}
    }
    let commands = names
        .iter()
        .map(|name| format!("`coordinator retry --stale {name}{asked}`"));
    let commands: Vec<String> = commands.collect();
    let failure = Failure::usage(
        "`--stale` takes one sweep: jobs of a changed program are others, in its next version",
    );
    Err(failure.hint(format!(
        "{} looks at all of a sweep's program; what is the same there is not trained again",
        commands.join(" or ")
    )))
}

/// The files of the program where it was submitted, as they are now.
fn found_now(name: &str, files: &Files) -> Outcome<Found> {
    let file = parse(files)?;
    let found = match &files.directory {
        Some(directory) if !Path::new(directory).is_dir() => {
            let message = format!("this machine has no directory {directory}, where {name} was");
            return Err(Failure::new(Exit::NotFound, message)
                .hint("call it on the machine from which the sweep was submitted"));
        }
        Some(directory) => inputs::find_in(&file, Path::new(directory)),
        None => inputs::find(&file, Path::new("")),
    };
    let found = found.map_err(|error| Failure::files(&[error]))?;
    if !files.inputs.is_empty() && found.inputs.is_empty() {
        let message = format!("no file of the program of {name} is there any more");
        return Err(Failure::new(Exit::NotFound, message)
            .hint("put the program back, or submit a file that names where it is"));
    }
    if found.inputs.is_empty() {
        let message = format!("nothing tells whether the program of {name} has changed");
        return Err(Failure::new(Exit::NotAllowed, message).hint(
            "list the files that it is made of in [program], like inputs = [\"train.py\", \
             \"model/**/*.py\"], and submit the file again",
        ));
    }
    Ok(found)
}

/// What has changed, one line per file.
fn changes(
    before: &BTreeMap<String, InputDigest>,
    now: &BTreeMap<String, InputDigest>,
) -> Vec<String> {
    let old = before
        .iter()
        .filter_map(|(path, digest)| match now.get(path) {
            None => Some(format!("`{path}` is gone")),
            Some(other) if other != digest => Some(format!("`{path}` is another one")),
            Some(_) => None,
        });
    let new = now.keys().filter(|path| !before.contains_key(*path));
    old.chain(new.map(|path| format!("`{path}` is new")))
        .collect()
}

#[cfg(test)]
mod tests {
    use swath_coordinator::api::SelectedJobs;
    use swath_model::program::input_digest;
    use swath_model::view::SCHEMA_VERSION;

    use super::*;
    use crate::client::render::tests::sweep;

    #[test]
    fn jobs_are_told_which_sweep_to_name() {
        let meant = |sweeps: &[&str], jobs: &[&str]| Selection {
            schema_version: SCHEMA_VERSION,
            sweeps: sweeps.iter().map(|name| sweep(name)).collect(),
            jobs: jobs
                .iter()
                .map(|sweep| SelectedJobs {
                    sweep: (*sweep).to_owned(),
                    jobs: 2,
                })
                .collect(),
        };
        let found = only("", meant(&["slow"], &[])).unwrap();
        assert_eq!(found.name, "slow");
        let told = |meant| {
            let failure = only(" --database a.db", meant).unwrap_err();
            failure.lines.join("\n")
        };
        insta::assert_snapshot!(told(meant(&[], &["slow@2"])), @r"
        `--stale` takes one sweep: jobs of a changed program are others, in its next version
        `coordinator retry --stale slow@2 --database a.db` looks at all of a sweep's program; what is the same there is not trained again
        ");
        insta::assert_snapshot!(told(meant(&["fast", "slow"], &[])), @r"
        `--stale` takes one sweep: jobs of a changed program are others, in its next version
        `coordinator retry --stale fast --database a.db` or `coordinator retry --stale slow --database a.db` looks at all of a sweep's program; what is the same there is not trained again
        ");
    }

    #[test]
    fn every_file_that_changed_is_named() {
        let files = |files: &[(&str, &[u8])]| -> BTreeMap<String, InputDigest> {
            let files = files.iter();
            files
                .map(|(path, content)| ((*path).to_owned(), input_digest(content)))
                .collect()
        };
        let before = files(&[("a.py", b"1"), ("b.py", b"1"), ("c.py", b"1")]);
        let now = files(&[("a.py", b"1"), ("b.py", b"2"), ("d.py", b"1")]);
        assert_eq!(changes(&before, &before), [""; 0]);
        assert_eq!(
            changes(&before, &now),
            ["`b.py` is another one", "`c.py` is gone", "`d.py` is new"]
        );
    }
}
