//! `submit` and `wait`: queues a sweep file, and waits for a sweep.

use std::time::Duration;

use serde::Serialize;
use swath_coordinator::api::Before;
use swath_model::id::SweepDigest;
use swath_model::label::versioned;
use swath_model::message::{Known, Overlap, Sources};
use swath_model::needs::Lack;
use swath_model::view::{SCHEMA_VERSION, SweepState};
use swath_proto::v1::SubmitReply;
use swath_report::{Format, Listing, ListingColumn as Column, counted};
use swath_sweep::{Cell, Expansion, expand};

use super::connection::Connection;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::read::json;
use super::run::{each_known, find, is_open};
use super::ship::{Shipped, ship};
use super::wait::{Goal, Interrupts, Parting, conclude, ended, wait};
use super::{files, render};
use crate::cli;
use crate::settings::Context;
use crate::user;

/// What a submit did, for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Receipt {
    pub(crate) schema_version: u32,
    pub(crate) sweep: String,
    /// Which of the sweeps of its name it is.
    pub(crate) version: u32,
    pub(crate) digest: SweepDigest,
    pub(crate) cells: u64,
    pub(crate) jobs: u64,
    pub(crate) new_jobs: u64,
    pub(crate) known_jobs: u64,
    pub(crate) measured_jobs: u64,
    /// The same file was submitted before.
    pub(crate) existed: bool,
    /// The sweep had been cancelled, and is active again.
    pub(crate) revived: bool,
    /// How many jobs there may be at most, where results decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) most_jobs: Option<u64>,
    /// What the name meant before, if that was another sweep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<Before>,
    /// Open jobs that are another sweep's too, whose file says otherwise what they
    /// need or how they are started.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) overlaps: Vec<Overlap>,
    /// What travels with it to the workers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shipped: Option<Shipped>,
    /// What every active worker lacks for some of its jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lack: Option<Lack>,
}

impl Receipt {
    /// What to call the sweep: its name, with its version if another came before
    /// it.
    fn full_name(&self) -> String {
        match self.version {
            0 | 1 => self.sweep.clone(),
            version => versioned(&self.sweep, version),
        }
    }

    /// The receipt of a file whose cells may get so many replicates.
    #[must_use]
    pub(crate) fn up_to(self, most: Option<u32>) -> Self {
        Self {
            most_jobs: most.map(|most| self.cells * u64::from(most)),
            ..self
        }
    }
}

pub(crate) async fn submit(context: &Context, arguments: &cli::Submit) -> Outcome {
    let loaded = files::load(&arguments.file)?;
    loaded.warn(context);
    // The coordinator builds every cell and refuses wrong ones with the same
    // words; here they are needed only beside published values.
    if loaded.file.reference.is_some() {
        files::warn(context, &expanded(&loaded)?);
    }
    if arguments.timeout.is_some() && !arguments.wait {
        context
            .printer
            .warn("--timeout does nothing without --wait");
    }
    let mut interrupts = Interrupts::listen(arguments.wait)?;
    let mut connection = match Connection::open(context).await {
        Ok(connection) => connection,
        // A wrong file is told although no coordinator is there to refuse it.
        Err(failure) => return expanded(&loaded).and(Err(failure)),
    };
    let waits_here = arguments.wait && connection.is_local();
    if waits_here && !is_done(&mut connection, &expanded(&loaded)?).await? {
        return Err(untrained(context, connection, &arguments.file.to_string_lossy()).await);
    }
    let shipped = ship(&mut connection, loaded.shipment.as_ref()).await?;
    let reply = connection
        .submit(
            context.printer,
            Sources::Files(loaded.files),
            arguments.priority,
            &arguments.tag,
        )
        .await?;
    let receipt = Receipt {
        shipped,
        ..receipt(&reply)?.up_to(loaded.file.replicates_max)
    };
    if let Some(shipped) = &receipt.shipped {
        context.printer.note(shipped.sentence());
    }
    if !arguments.wait {
        print(context, &receipt)?;
        tell_others(context, &receipt, connection.is_local())?;
        if let Some(lack) = &receipt.lack {
            let sweep = &receipt.sweep;
            context.printer.warn(format!("{sweep} waits: {lack}"));
        }
        next(context, &connection, &receipt);
        connection.close().await?;
        return Ok(Exit::Ok);
    }
    context.printer.note(sentence(&receipt));
    tell_others(context, &receipt, connection.is_local())?;
    let parting = parting(&receipt.sweep, &context.asked);
    let goal = Goal {
        sweep: receipt.digest,
        timeout: arguments.timeout.map(Duration::from_secs),
    };
    until_over(context, connection, &goal, &parting, &mut interrupts).await
}

/// `wait`: as `submit --wait`, for a sweep that was submitted before.
pub(crate) async fn wait_for(context: &Context, arguments: &cli::Wait) -> Outcome {
    let mut interrupts = Interrupts::listen(true)?;
    let mut connection = Connection::open(context).await?;
    let sweep = find(&mut connection, vec![arguments.sweep.clone()]).await?;
    if connection.is_local() && ended(&sweep).is_none() {
        return Err(untrained(context, connection, &sweep.name).await);
    }
    let parting = parting(&sweep.name, &context.asked);
    let goal = Goal {
        sweep: sweep.digest,
        timeout: arguments.timeout.map(Duration::from_secs),
    };
    until_over(context, connection, &goal, &parting, &mut interrupts).await
}

/// Whether a sweep is over as soon as it is submitted: it is finished already, or
/// all of its jobs are.
async fn is_done(connection: &mut Connection, expansion: &Expansion<'_>) -> Outcome<bool> {
    match find(connection, vec![expansion.digest().to_string()]).await {
        Ok(sweep) if sweep.state == SweepState::Finished => return Ok(true),
        Err(failure) if failure.exit != Exit::NotFound => return Err(failure),
        Ok(_) | Err(_) => {}
    }
    // Results may decide that it needs more jobs than the file has.
    let mut done = expansion.file().replicates_max.is_none();
    let none_is_open = |_: &Cell, known: &[Option<Known>]| {
        done &= !known.iter().copied().any(is_open);
    };
    each_known(expansion, Some(connection), none_is_open).await?;
    Ok(done)
}

/// Says that a database without a coordinator is no place to wait for `what`, a
/// sweep or a file.
async fn untrained(context: &Context, connection: Connection, what: &str) -> Failure {
    let instead = format!("`coordinator run {what}{}` trains it here", context.asked);
    let why = "nothing would train it";
    connection.leave(context, why, &instead).await
}

/// Waits until the sweep is over, and prints its table.
async fn until_over(
    context: &Context,
    mut connection: Connection,
    goal: &Goal,
    parting: &Parting,
    interrupts: &mut Interrupts,
) -> Outcome {
    let ended = wait(context, &mut connection, goal, interrupts).await?;
    let exit = conclude(context, &mut connection, ended, parting).await;
    connection.close().await?;
    exit
}

fn expanded(loaded: &files::Loaded) -> Outcome<Expansion<'_>> {
    expand(&loaded.file).map_err(|errors| Failure::files(&errors))
}

/// What to say when the waiting for sweep `name` ends before the sweep does;
/// `asked` follows the words of a command.
fn parting(name: &str, asked: &str) -> Parting {
    Parting {
        work: "the work goes on".to_owned(),
        next: format!(
            "`coordinator status {name} --watch{asked}`, `coordinator table {name}{asked}`"
        ),
        resume: format!(
            "`coordinator retry {name}{asked}` queues the failed jobs again and lets it go on"
        ),
        again: format!("coordinator run {name}{asked}"),
        submits: false,
    }
}

/// Reads the coordinator's reply.
pub(crate) fn receipt(reply: &SubmitReply) -> Outcome<Receipt> {
    let digest = SweepDigest::from_slice(&reply.sweep)
        .ok_or_else(|| Failure::error("the coordinator answered without the sweep's digest"))?;
    // What an older client cannot read it does not tell.
    let lack = reply.lack.as_deref();
    let lack = lack.and_then(|lack| serde_json::from_str(lack).ok());
    let before = reply.before.as_deref();
    let before = before.and_then(|before| serde_json::from_str(before).ok());
    let overlaps = reply.overlaps.iter();
    let overlaps = overlaps.flat_map(|overlap| serde_json::from_str(overlap));
    Ok(Receipt {
        overlaps: overlaps.collect(),
        schema_version: SCHEMA_VERSION,
        sweep: reply.name.clone(),
        version: reply.version,
        digest,
        cells: reply.cells,
        jobs: reply.jobs,
        new_jobs: reply.new_jobs,
        known_jobs: reply.jobs.saturating_sub(reply.new_jobs),
        measured_jobs: reply.succeeded,
        existed: reply.existed,
        revived: reply.revived,
        most_jobs: None,
        shipped: None,
        before,
        lack,
    })
}

/// What was submitted, in one line.
pub(crate) fn sentence(receipt: &Receipt) -> String {
    let Receipt {
        new_jobs,
        known_jobs,
        measured_jobs,
        ..
    } = receipt;
    let sweep = receipt.full_name();
    let digest = receipt.digest.short();
    let cells = counted(receipt.cells, "cell");
    let jobs = counted(receipt.jobs, "job");
    let most = receipt.most_jobs.map_or_else(String::new, |most| {
        format!(" (up to {most}, as their results need)")
    });
    let what = format!("{sweep} ({digest}): {cells}, {jobs}{most}");
    if receipt.revived {
        format!("{what}; it was cancelled and goes on, {measured_jobs} measured already")
    } else if receipt.existed {
        format!(
            "{what}; this file was submitted before, so there is nothing new, \
             {measured_jobs} measured already"
        )
    } else {
        format!(
            "{what}: {new_jobs} new, {known_jobs} known already, \
             {measured_jobs} of them measured"
        )
    }
}

/// Tells what becomes of the sweep that the name meant before, and of those with
/// which it shares jobs. `is_local` says that no coordinator hands jobs to workers.
pub(crate) fn tell_others(context: &Context, receipt: &Receipt, is_local: bool) -> Outcome<()> {
    for overlap in &receipt.overlaps {
        let shared = shared(overlap);
        context.printer.warn(format!(
            "{shared}; from now on what this file says counts for them, when an attempt begins"
        ));
    }
    for told in before(receipt, &user::name()?, &context.asked, is_local) {
        match told {
            Told::Warning(text) => context.printer.warn(text),
            Told::Note(text) => context.printer.note(text),
        }
    }
    Ok(())
}

/// With whom open jobs are shared, and in what the files differ.
pub(super) fn shared(overlap: &Overlap) -> String {
    let name = match overlap.version {
        0 | 1 => overlap.sweep.clone(),
        version => versioned(&overlap.sweep, version),
    };
    let jobs = counted(overlap.jobs, "open job");
    let keys: Vec<String> = overlap.differs.iter().map(ToString::to_string).collect();
    let keys = keys.join(", ");
    format!("{jobs} shared with {name}, whose file differs in {keys}")
}

/// Something to tell about a submit.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Warning(String),
    Note(String),
}

fn before(receipt: &Receipt, user: &str, asked: &str, is_local: bool) -> Vec<Told> {
    let Some(before) = &receipt.before else {
        return Vec::new();
    };
    let name = &receipt.sweep;
    let own = versioned(name, receipt.version);
    let older = versioned(name, before.version);
    let mut told = vec![if before.owner.is_empty() || before.owner == user {
        Told::Note(format!("{name} means {own} from now on, no more {older}"))
    } else {
        let owner = &before.owner;
        Told::Warning(format!(
            "until now {name} was a sweep of {owner}, which is {older} from now on; \
             `coordinator rename {own} NAME{asked}` gives yours a name of its own"
        ))
    }];
    if before.open_jobs > 0 {
        let jobs = counted(before.open_jobs, "open job");
        told.push(Told::Note(if is_local {
            format!(
                "{older} is left with {jobs}: `coordinator run {older}{asked}` trains them, \
                 `coordinator cancel {older}{asked}` gives them up"
            )
        } else {
            format!("{older} goes on with {jobs}; `coordinator cancel {older}{asked}` stops it")
        }));
    }
    told
}

pub(super) fn print(context: &Context, receipt: &Receipt) -> Outcome<()> {
    if let Some(text) = json(context, receipt)? {
        context.printer.data(&text)?;
        return Ok(());
    }
    let text = match context.format {
        Format::Table | Format::Wide => sentence(receipt),
        format => listing(receipt).render(format, &context.style),
    };
    context.printer.data(&text)?;
    Ok(())
}

fn listing(receipt: &Receipt) -> Listing {
    let columns = [
        Column::text("sweep"),
        Column::text("digest"),
        Column::number("cells"),
        Column::number("jobs"),
        Column::number("new"),
        Column::number("known"),
        Column::number("measured"),
    ];
    let mut listing = Listing::new("sweeps", columns);
    let digest = receipt.digest.to_string();
    let fields = vec![
        receipt.sweep.clone(),
        digest.clone(),
        receipt.cells.to_string(),
        receipt.jobs.to_string(),
        receipt.new_jobs.to_string(),
        receipt.known_jobs.to_string(),
        receipt.measured_jobs.to_string(),
    ];
    listing.push(digest, fields, render::document(receipt));
    listing
}

fn next(context: &Context, connection: &Connection, receipt: &Receipt) {
    let name = &receipt.sweep;
    let asked = &context.asked;
    context
        .printer
        .hint(if receipt.measured_jobs == receipt.jobs {
            format!("everything is measured: `coordinator table {name}{asked}`")
        } else if connection.is_local() {
            format!(
                "nothing trains yet; `coordinator run {name}{asked}` trains it here, \
                 `coordinator serve{asked}` hands it to workers"
            )
        } else {
            format!("`coordinator status {name} --watch{asked}`, `coordinator table {name}{asked}`")
        });
}

#[cfg(test)]
mod tests {
    use swath_model::needs::Differs;

    use super::*;

    #[test]
    fn what_a_name_meant_before_is_told() {
        let mut receipt = receipt(&SubmitReply {
            sweep: vec![7; 32],
            name: "slow".to_owned(),
            version: 2,
            ..SubmitReply::default()
        })
        .unwrap();
        assert_eq!(before(&receipt, "bob", "", false), []);
        receipt.before = Some(Before {
            digest: receipt.digest,
            version: 1,
            owner: "alice".to_owned(),
            open_jobs: 3,
        });
        let asked = " --coordinator h:1";
        insta::assert_debug_snapshot!(before(&receipt, "bob", asked, false));
        receipt.before.as_mut().unwrap().open_jobs = 0;
        insta::assert_debug_snapshot!(before(&receipt, "alice", "", false));
        receipt.before.as_mut().unwrap().open_jobs = 3;
        insta::assert_debug_snapshot!(before(&receipt, "alice", "", true)[1], @r#"
        Note(
            "slow@1 is left with 3 open jobs: `coordinator run slow@1` trains them, `coordinator cancel slow@1` gives them up",
        )
        "#);
    }

    #[test]
    fn what_other_sweeps_say_otherwise_is_told() {
        let local = |name: &str| Differs::Local {
            name: name.to_owned(),
        };
        let mut overlap = Overlap {
            sweep: "slow".to_owned(),
            version: 1,
            jobs: 12,
            differs: [local("data"), Differs::Timeout].into(),
        };
        let told = shared(&overlap);
        insta::assert_snapshot!(told, @"12 open jobs shared with slow, whose file differs in `timeout`, `[local] data`");
        (overlap.version, overlap.jobs) = (3, 1);
        let told = shared(&overlap);
        insta::assert_snapshot!(told, @"1 open job shared with slow@3, whose file differs in `timeout`, `[local] data`");
        let text = serde_json::to_string(&overlap).unwrap();
        let reply = SubmitReply {
            sweep: vec![7; 32],
            overlaps: vec![text, "{\"newer\": 1}".to_owned()],
            ..SubmitReply::default()
        };
        assert_eq!(receipt(&reply).unwrap().overlaps, [overlap]);
    }

    #[test]
    fn a_stuck_sweep_goes_on_with_its_failed_jobs() {
        let parting = parting("small", " --coordinator h:1");
        assert!(
            parting
                .resume
                .contains("`coordinator retry small --coordinator h:1`"),
            "{parting:?}"
        );
    }
}
