//! `plan --probe`: measures the steps whose cost nobody knows yet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use swath_coordinator::api::ChangeOrder;
use swath_model::id::{JobDigest, SweepDigest};
use swath_model::job::StateName;
use swath_model::message::{CellList, Sources};
use swath_model::probe::{self, Probe};
use swath_model::view::SweepKind;
use swath_report::counted;
use swath_sweep::{Expansion, NAME_MAX};

use super::ground;
use crate::cli::Plan;
use crate::client::connection::{Connection, KNOWN_CHUNK};
use crate::client::failure::{Failure, Outcome};
use crate::client::local::{LocalWorker, Needs};
use crate::client::run::{self, Training};
use crate::client::submit::receipt;
use crate::client::wait::{Ended, Goal, Interrupts, wait};
use crate::settings::{Context, LocalSettings, Target};

/// Measures what is not known about the plan, as far as it gets. Returns the
/// connection to the coordinator that knows it then.
pub(super) async fn measure(
    context: &Context,
    arguments: &Plan,
    expansions: &[Expansion<'_>],
) -> Outcome<Connection> {
    let mut interrupts = Interrupts::listen(true)?;
    let (mut connection, here) = open(context).await?;
    let probes = wanted(&mut connection, expansions).await?;
    let open = open_of(&mut connection, &probes).await?;
    if open.is_empty() {
        let all = match probes.len() {
            0 => "there are no steps to measure".to_owned(),
            count => format!(
                "{} of this plan: all measured before",
                counted(count as u64, "probe")
            ),
        };
        context.printer.note(all);
        return Ok(connection);
    }
    let mut needs = Needs::default();
    for probe in &open {
        needs.add(&probe.spec);
    }
    let settings = LocalSettings::resolve(&arguments.local, &context.database);
    if here {
        LocalWorker::prepare(&settings, &needs)?;
    }
    let sweep = submit(context, &mut connection, expansions, &open).await?;
    let known = (probes.len() - open.len()) as u64;
    context.printer.note(format!(
        "measuring {} of {} steps, {known} known already",
        counted(open.len() as u64, "probe"),
        probe::STEPS
    ));
    let goal = Goal {
        sweep,
        timeout: arguments.timeout.map(Duration::from_secs),
    };
    let ended = if here {
        let mut training = Training {
            context,
            connection: &mut connection,
            settings: &settings,
            interrupts: &mut interrupts,
            timeout: goal.timeout,
        };
        training.welcome().await?;
        let worker = LocalWorker::start(&settings, training.connection.url(), &needs)?;
        training.work(Some(worker), &goal).await?.0
    } else {
        wait(context, &mut connection, &goal, &mut interrupts)
            .await?
            .0
    };
    if let Some(why) = cut_short(ended) {
        let rest = if here {
            "the same command measures the rest"
        } else {
            "the probes go on"
        };
        let warning = format!("{why}: the plan shows what was measured so far; {rest}");
        context.printer.warn(warning);
    }
    Ok(connection)
}

/// Why not everything was measured, if so.
fn cut_short(ended: Ended) -> Option<String> {
    let why = match ended {
        Ended::Finished => return None,
        Ended::Cancelled => "the probes were cancelled",
        Ended::Stuck => "the probes are paused",
        Ended::Lacking(lack) => return Some(lack.to_string()),
        Ended::TimedOut => "the time is up",
        Ended::Interrupted => "interrupted",
    };
    Some(why.to_owned())
}

/// The coordinator that is meant, if one answers; else one over the database of
/// this machine. Also returns whether it is the latter.
async fn open(context: &Context) -> Outcome<(Connection, bool)> {
    if let Target::Named(_) = context.target {
        return Ok((Connection::open(context).await?, false));
    }
    if let Ok(connection) = Connection::open(context).await {
        if !connection.is_local() {
            return Ok((connection, false));
        }
        connection.close().await?;
    }
    context
        .printer
        .note("no coordinator is at work here: this machine measures");
    Ok((run::start(context, true).await?, true))
}

/// The probes of every cell that is not measured completely, each once.
async fn wanted(connection: &mut Connection, expansions: &[Expansion<'_>]) -> Outcome<Vec<Probe>> {
    let mut workloads = BTreeSet::new();
    let mut probes: BTreeMap<JobDigest, Probe> = BTreeMap::new();
    let mut order = Vec::new();
    for expansion in expansions {
        run::each_known(expansion, Some(&mut *connection), |cell, known| {
            let measured = known
                .iter()
                .all(|known| known.is_some_and(|it| it.state == StateName::Succeeded));
            if measured || !workloads.insert(probe::workload(cell.spec.cell_tree())) {
                return;
            }
            for probe in probe::probes(&cell.spec) {
                let job = probe.job();
                if probes.insert(job, probe).is_none() {
                    order.push(job);
                }
            }
        })
        .await?;
    }
    Ok(order
        .into_iter()
        .filter_map(|job| probes.remove(&job))
        .collect())
}

/// The probes that have no answer yet. One that crashed or was lost starts
/// over.
async fn open_of(connection: &mut Connection, probes: &[Probe]) -> Outcome<Vec<Probe>> {
    let mut open = Vec::new();
    for some in probes.chunks(KNOWN_CHUNK) {
        let jobs = some.iter().map(Probe::job).collect();
        let known = ground::ask(connection, jobs).await?;
        for (probe, known) in some.iter().zip(known) {
            match known {
                Some(known) if ground::is_answer(&known) => continue,
                Some(known) if known.state == StateName::Failed => {
                    let order = ChangeOrder::Retry {
                        selector: vec![probe.job().to_string()],
                        failed: true,
                        missing: false,
                        diverged: false,
                    };
                    connection.change(&order).await?;
                }
                _ => {}
            }
            open.push(probe.clone());
        }
    }
    Ok(open)
}

/// What the probes need: steps are measured where the jobs will run.
fn needs_of(expansions: &[Expansion<'_>]) -> Outcome<swath_model::needs::Needs> {
    let mut needs = expansions.iter().map(|it| &it.file().needs);
    let first = needs.next().cloned().unwrap_or_default();
    if needs.any(|it| *it != first) {
        let line = "these sweeps need different devices or hosts, and are measured on one";
        return Err(Failure::usage(line).hint("Give `plan --probe` one of them at a time."));
    }
    Ok(first)
}

async fn submit(
    context: &Context,
    connection: &mut Connection,
    expansions: &[Expansion<'_>],
    probes: &[Probe],
) -> Outcome<SweepDigest> {
    let names: Vec<&str> = expansions.iter().map(|it| &*it.file().name).collect();
    let title = format!("Steps of {}, for its plan", names.join(", "));
    let name = match names.as_slice() {
        [name] => format!("probe-{name}"),
        _ => "probe-several".to_owned(),
    };
    let cells = probes.iter().map(|probe| probe.spec.cell_tree().clone());
    let list = CellList {
        name: name.chars().take(NAME_MAX).collect(),
        title,
        kind: SweepKind::Probe,
        replicates: 1,
        needs: needs_of(expansions)?,
        cells: cells.collect(),
    };
    let sources = Sources::Cells(list);
    let reply = connection.submit(context.printer, sources, None, &[]);
    let reply = reply.await?;
    Ok(receipt(&reply)?.digest)
}
