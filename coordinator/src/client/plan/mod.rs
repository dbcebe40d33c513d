//! `plan`: what files would train, cell by cell, in bounded memory.

mod cell;
mod ground;
mod price;
mod probe;
mod sheet;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::time::Duration;

use swath_coordinator::api::{Overlaps, ReadQuery};
use swath_model::job::StateName;
use swath_model::message::{Overlap, Sources};
use swath_results::fit::Fit;
use swath_results::price::Source;
use swath_sweep::{Expansion, expand};

use self::cell::{Distinct, Planned};
use self::ground::{Estimate, Ground};
use self::price::Pricing;
use self::sheet::{Sheet, Totals};
use swath_proto::address::COORDINATOR_DEFAULT;
use swath_report::counted;

use super::connection::{Connection, KNOWN_CHUNK};
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::files::{self, Loaded};
use super::submit::shared;
use crate::cli::Plan;
use crate::settings::{Context, Target};

/// A plan is offline: it does not wait for a coordinator.
const DIAL_DEADLINE: Duration = Duration::from_millis(300);

pub(crate) async fn plan(context: &Context, arguments: &Plan) -> Outcome {
    let loaded = load_all(arguments)?;
    for file in &loaded {
        file.warn(context);
        if let Some(shipment) = &file.shipment {
            let main = &file.files.main;
            let size = shipment.size();
            context.printer.note(format!(
                "{main}: {size} would travel with it to the workers"
            ));
        }
    }
    let expansions = expand_all(&loaded)?;
    for expansion in &expansions {
        files::warn(context, expansion);
    }
    let mut oracle = if arguments.probe {
        Oracle::Coordinator(Box::new(
            probe::measure(context, arguments, &expansions).await?,
        ))
    } else {
        if arguments.timeout.is_some() {
            let warning = "--timeout does nothing without --probe";
            context.printer.warn(warning);
        }
        Oracle::open(context).await
    };
    for file in &loaded {
        for overlap in oracle.overlaps(file).await? {
            let shared = shared(&overlap);
            context.printer.note(format!(
                "{shared}; what is submitted last counts for them, when an attempt begins"
            ));
        }
    }
    let printed = print(context, &expansions, &mut oracle).await;
    oracle.close().await;
    let totals = printed?;
    if totals.probeable > 0 && context.format.is_for_terminals() {
        let files: Vec<_> = arguments
            .files
            .iter()
            .map(|file| file.to_string_lossy())
            .collect();
        context.printer.hint(format!(
            "`coordinator plan {} --probe{}` measures what the steps of {} take",
            files.join(" "),
            context.asked,
            counted(totals.probeable, "cell")
        ));
    }
    Ok(Exit::Ok)
}

/// Loads every file; fails with every error of every file.
fn load_all(arguments: &Plan) -> Outcome<Vec<Loaded>> {
    let mut loaded = Vec::new();
    let mut lines = Vec::new();
    for path in &arguments.files {
        match files::load(path) {
            Ok(file) => loaded.push(file),
            Err(failure) => lines.extend(failure.lines),
        }
    }
    refuse(lines)?;
    Ok(loaded)
}

fn expand_all(loaded: &[Loaded]) -> Outcome<Vec<Expansion<'_>>> {
    let mut expansions = Vec::new();
    let mut lines = Vec::new();
    for one in loaded {
        match expand(&one.file) {
            Ok(expansion) => expansions.push(expansion),
            Err(errors) => lines.extend(Failure::files(&errors).lines),
        }
    }
    refuse(lines)?;
    Ok(expansions)
}

fn refuse(lines: Vec<String>) -> Outcome<()> {
    if lines.is_empty() {
        return Ok(());
    }
    Err(Failure::of(Exit::Usage, lines))
}

/// Prints the plan and returns its totals.
async fn print(
    context: &Context,
    expansions: &[Expansion<'_>],
    oracle: &mut Oracle,
) -> Outcome<Totals> {
    let mut out = context.printer.stdout();
    let mut sheet = Sheet::new(context.format, expansions);
    let mut distinct = Distinct::default();
    let mut totals = Totals::default();
    let mut pricing = Pricing::new(oracle.ground().await?);
    sheet.shows_estimates = matches!(oracle, Oracle::Coordinator(_));
    sheet.open(&mut out)?;
    for expansion in expansions {
        let replicates = expansion.file().replicates;
        sheet.begin(&mut out, expansion)?;
        pricing.published = price::published(expansion);
        pricing.devices = expansion.file().needs.count() as u32;
        pricing.needs = expansion.file().needs.clone();
        pricing.most = expansion.file().replicates_max.unwrap_or(replicates);
        let mut chunk: Vec<Planned> = Vec::new();
        let mut counts = (&mut totals, &mut pricing);
        for cell in expansion.cells() {
            let _before = distinct.see(cell.digest, replicates);
            let jobs = cell.jobs(replicates).map(|job| (job, None)).collect();
            chunk.push(Planned { cell, jobs });
            if chunk.len() * replicates as usize >= KNOWN_CHUNK {
                flush(&mut out, &mut sheet, oracle, &mut chunk, &mut counts).await?;
            }
        }
        flush(&mut out, &mut sheet, oracle, &mut chunk, &mut counts).await?;
        sheet.end(&mut out)?;
    }
    totals.distinct_jobs = distinct.jobs();
    totals.price = pricing.price;
    (totals.most_jobs, totals.more_seconds) = (pricing.most_jobs(), pricing.more_seconds);
    totals.slots = pricing.ground.slots;
    totals.lack = pricing.lack;
    sheet.close(&mut out, &totals)?;
    out.flush()?;
    Ok(totals)
}

/// Asks about the jobs of `chunk`, and prints it.
async fn flush(
    out: &mut impl Write,
    sheet: &mut Sheet,
    oracle: &mut Oracle,
    chunk: &mut Vec<Planned>,
    (totals, pricing): &mut (&mut Totals, &mut Pricing),
) -> Outcome<()> {
    oracle.tell(chunk, &mut pricing.ground).await?;
    for planned in chunk.drain(..) {
        totals.add(&planned);
        let estimate = pricing.add(&planned);
        totals.see(&estimate);
        sheet.cell(out, &planned, &estimate)?;
    }
    Ok(())
}

/// Who knows which jobs exist, if anybody can be asked.
#[derive(Debug)]
enum Oracle {
    Nobody,
    Coordinator(Box<Connection>),
}

impl Oracle {
    /// Without a coordinator the plan goes on, and says so.
    async fn open(context: &Context) -> Self {
        let (opened, whom) = match &context.target {
            Target::Named(urls) => {
                let opened = Connection::reach(urls, &context.caller, DIAL_DEADLINE).await;
                (opened, urls.join(" or "))
            }
            Target::Database(database) if !database.exists() => return Self::Nobody,
            Target::Database(_) | Target::Nearest(_) => {
                let opened = Connection::open(context).await;
                (opened, COORDINATOR_DEFAULT.to_owned())
            }
        };
        match opened {
            Ok(connection) => Self::Coordinator(Box::new(connection)),
            Err(failure) => {
                let why = match failure.exit {
                    Exit::Unreachable => format!("no coordinator answers at {whom}"),
                    _ => failure.lines.join("; "),
                };
                let note = format!("{why}, so no job counts as known already");
                context.printer.note(note);
                Self::Nobody
            }
        }
    }

    /// What is known about paces.
    async fn ground(&mut self) -> Outcome<Ground> {
        match self {
            Self::Nobody => Ok(Ground::default()),
            Self::Coordinator(connection) => Ground::of(connection).await,
        }
    }

    /// With which other sweeps a file would share open jobs that these say something
    /// else of.
    async fn overlaps(&mut self, loaded: &Loaded) -> Outcome<Vec<Overlap>> {
        let Self::Coordinator(connection) = self else {
            return Ok(Vec::new());
        };
        let sources = Sources::Files(loaded.files.clone());
        let found: Overlaps = connection.read(&ReadQuery::Overlaps { sources }).await?;
        Ok(found.overlaps)
    }

    async fn tell(&mut self, chunk: &mut [Planned], ground: &mut Ground) -> Outcome<()> {
        let Self::Coordinator(connection) = self else {
            let specs = chunk.iter().map(|planned| &planned.cell.spec);
            return ground.learn(None, specs).await;
        };
        for part in chunk.chunks_mut(KNOWN_CHUNK) {
            let jobs = part.iter().flat_map(|planned| &planned.jobs);
            let jobs = jobs.map(|(job, _)| job.digest).collect();
            let known = connection.known(jobs).await?;
            let slots = part.iter_mut().flat_map(|planned| &mut planned.jobs);
            for ((_, slot), known) in slots.zip(known) {
                *slot = known;
            }
            let specs = part.iter().map(|planned| &planned.cell.spec);
            ground.learn(Some(connection), specs).await?;
        }
        Ok(())
    }

    async fn close(self) {
        if let Self::Coordinator(connection) = self {
            // A plan only reads: nothing is lost when closing fails.
            let _ = connection.close().await;
        }
    }
}

impl Totals {
    fn see(&mut self, estimate: &Estimate) {
        match estimate.fit {
            Fit::TooLarge(_) => self.too_large += 1,
            Fit::Unknown(_) => self.fit_unknown += 1,
            Fit::Fits => self.fit += 1,
        }
        let unmeasured = !matches!(estimate.seconds, Some((_, Source::Jobs | Source::Probe)));
        self.probeable += u64::from(estimate.probeable && unmeasured);
    }

    fn add(&mut self, planned: &Planned) {
        self.cells += 1;
        self.jobs += planned.jobs.len() as u64;
        let known_before = self.known;
        for known in planned.jobs.iter().filter_map(|(_, known)| *known) {
            self.known += 1;
            self.measured += u64::from(known.state == StateName::Succeeded);
        }
        let new = planned.jobs.len() as u64 - (self.known - known_before);
        let epochs = planned.cell.spec.training().and_then(|spec| spec.epochs);
        self.epochs += u64::from(epochs.unwrap_or(0)) * new;
    }
}
