//! `run`: coordinator, worker and waiting in one command, over a database.

use std::path::Path;
use std::time::Duration;

use swath_coordinator::api::{ChangeOrder, Jobs, ReadQuery, Status, Workers};
use swath_coordinator::server::Server;
use swath_model::id::{JobDigest, SweepDigest};
use swath_model::job::StateName;
use swath_model::message::{Known, Sources};
use swath_model::spec::JobSpec;
use swath_model::view::{JobView, SweepState, SweepView, WorkerState, WorkerView};
use swath_sweep::{Cell, Expansion, expand};

use super::connection::{Connection, KNOWN_CHUNK};
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::files::{self, Loaded};
use super::local::{self, LocalWorker, Needs};
use super::ship::ship;
use super::submit::{receipt, sentence, tell_others};
use super::wait::{Ended, Goal, Interrupts, Parting, conclude, wait};
use crate::cli;
use crate::settings::{Context, LocalSettings, Target, policy_of_one};

/// What is trained, and how a user would ask for it again.
#[derive(Debug)]
struct Subject {
    sweep: SweepDigest,
    again: String,
    /// Whether they name its file.
    is_file: bool,
}

pub(crate) async fn run(context: &Context, arguments: &cli::Run) -> Outcome {
    let context = &here(context);
    let settings = LocalSettings::resolve(&arguments.local, &context.database);
    let loaded = load(&arguments.sweep)?;
    if let Some(loaded) = &loaded {
        loaded.warn(context);
    }
    let mut interrupts = Interrupts::listen(true)?;
    if let Some(loaded) = &loaded
        && !context.database.exists()
    {
        prepare(context, &settings, loaded, None).await?;
    }
    let mut connection = start(context, loaded.is_some()).await?;
    let again = format!("coordinator run {}{}", arguments.sweep, context.asked);
    let is_file = loaded.is_some();
    let sweep = match loaded {
        Some(loaded) => {
            let digest = prepare(context, &settings, &loaded, Some(&mut connection)).await?;
            submit(context, &mut connection, digest, loaded).await?
        }
        None => {
            find(&mut connection, vec![arguments.sweep.clone()])
                .await?
                .digest
        }
    };
    let subject = Subject {
        sweep,
        again,
        is_file,
    };
    let timeout = arguments.timeout.map(Duration::from_secs);
    let mut training = Training {
        context,
        connection: &mut connection,
        settings: &settings,
        interrupts: &mut interrupts,
        timeout,
    };
    let exit = training.train(&subject).await;
    connection.close().await?;
    exit
}

/// `extend --run`.
pub(crate) async fn extended(
    context: &Context,
    order: &ChangeOrder,
    local: &cli::Local,
) -> Outcome {
    let context = &here(context);
    let settings = LocalSettings::resolve(local, &context.database);
    let mut interrupts = Interrupts::listen(true)?;
    let mut connection = start(context, false).await?;
    if let ChangeOrder::Extend { selector, .. } = order {
        let sweep = find(&mut connection, selector.clone()).await?;
        let selector = vec![sweep.digest.to_string()];
        let jobs = connection.jobs(selector, None).await?;
        // The new jobs need the same as the existing ones.
        LocalWorker::prepare(&settings, &needs(jobs.iter()))?;
    }
    let changed = connection.change(order).await?;
    context.printer.note(&changed.message);
    let sweep = changed.sweeps.first().copied();
    let sweep = sweep.ok_or_else(|| Failure::error("the coordinator names no sweep"))?;
    let again = format!("coordinator run {}{}", sweep.short(), context.asked);
    let mut training = Training {
        context,
        connection: &mut connection,
        settings: &settings,
        interrupts: &mut interrupts,
        timeout: None,
    };
    let subject = Subject {
        sweep,
        again,
        is_file: false,
    };
    let exit = training.train(&subject).await;
    connection.close().await?;
    exit
}

/// The context for training on this machine.
fn here(context: &Context) -> Context {
    if let Target::Named(urls) = &context.target {
        let urls = urls.join(" or ");
        let note = format!("this trains on this machine; the coordinator at {urls} is not asked");
        context.printer.note(note);
    }
    context.in_database()
}

/// The sweep file that `word` names, if it names a file and not a sweep.
fn load(word: &str) -> Outcome<Option<Loaded>> {
    let path = Path::new(word);
    let looks_like_file = word.contains('/') || path.extension().is_some();
    if !looks_like_file && !path.is_file() {
        return Ok(None);
    }
    let loaded = files::load(path)?;
    expand(&loaded.file).map_err(|errors| Failure::files(&errors))?;
    Ok(Some(loaded))
}

/// Passes to the callback, for each cell of a sweep, what a store knows about
/// its jobs; it asks for some thousand at a time. Without a connection it
/// passes nothing.
pub(super) async fn each_known(
    expansion: &Expansion<'_>,
    mut connection: Option<&mut Connection>,
    mut told: impl FnMut(&Cell, &[Option<Known>]),
) -> Outcome<()> {
    let replicates = expansion.file().replicates;
    let mut cells = expansion.cells();
    loop {
        let some = cells.by_ref().take(KNOWN_CHUNK / replicates as usize + 1);
        let some: Vec<Cell> = some.collect();
        if some.is_empty() {
            return Ok(());
        }
        let jobs = some.iter().flat_map(|cell| cell.jobs(replicates));
        let jobs: Vec<JobDigest> = jobs.map(|job| job.digest).collect();
        let known = match &mut connection {
            Some(connection) => connection.known(jobs).await?,
            None => vec![None; jobs.len()],
        };
        for (cell, known) in some.iter().zip(known.chunks(replicates as usize)) {
            told(cell, known);
        }
    }
}

/// Makes sure that a worker can train the open jobs of a file, before anything
/// of it is stored. Returns the sweep's digest. Without a database every job is
/// open.
async fn prepare(
    context: &Context,
    settings: &LocalSettings,
    loaded: &Loaded,
    connection: Option<&mut Connection>,
) -> Outcome<SweepDigest> {
    let expansion = expand(&loaded.file).map_err(|errors| Failure::files(&errors))?;
    if connection.is_some() {
        files::warn(context, &expansion);
    }
    let mut needs: Option<Needs> = None;
    each_known(&expansion, connection, |cell, known| {
        if known.iter().copied().any(is_open) {
            needs.get_or_insert_default().add(&cell.spec);
        }
    })
    .await?;
    if let Some(needs) = needs {
        LocalWorker::prepare(settings, &needs)?;
    }
    Ok(expansion.digest())
}

/// Whether a job trains once its sweep is submitted: cancelled jobs do so
/// again.
pub(super) fn is_open(known: Option<Known>) -> bool {
    known.is_none_or(|known| known.state == StateName::Cancelled || !known.state.is_final())
}

/// Opens the database; creates it only to train a file.
pub(super) async fn start(context: &Context, create: bool) -> Outcome<Connection> {
    let database = &context.database;
    if !create && !database.exists() {
        let missing = format!("there is no database `{database}`");
        return Err(Failure::new(Exit::NotFound, missing)
            .hint("name a sweep file, or the database with `--database sqlite:PATH`"));
    }
    let connection = Connection::start(database, policy_of_one(context)?, context.own_identity())
        .await
        .map_err(|failure| match database.holder() {
            Some(address) if failure.in_use => failure.hint(format!(
                "`coordinator submit FILE --wait --coordinator {address}` hands a sweep to it"
            )),
            _ => failure,
        })?;
    if connection.local().is_some_and(Server::is_new) {
        let note = format!("created a new store: there was none at {database}");
        context.printer.note(note);
    }
    Ok(connection)
}

/// Queues a file ahead of all other open sweeps in the database: the user waits
/// for this one.
async fn submit(
    context: &Context,
    connection: &mut Connection,
    digest: SweepDigest,
    loaded: Loaded,
) -> Outcome<SweepDigest> {
    let query = ReadQuery::Status {
        selector: Vec::new(),
    };
    let status: Status = connection.read(&query).await?;
    let priority = priority_over(&status.sweeps, digest);
    ship(connection, loaded.shipment.as_ref()).await?;
    let reply = connection
        .submit(context.printer, Sources::Files(loaded.files), priority, &[])
        .await?;
    let receipt = receipt(&reply)?.up_to(loaded.file.replicates_max);
    context.printer.note(sentence(&receipt));
    tell_others(context, &receipt, connection.is_local())?;
    Ok(receipt.digest)
}

/// The priority that puts the sweep `own` before all other open sweeps; none if
/// the one that it has, or would get, already does.
fn priority_over(sweeps: &[SweepView], own: SweepDigest) -> Option<i32> {
    let (own, others): (Vec<_>, Vec<_>) = sweeps.iter().partition(|it| it.digest == own);
    let open = others.into_iter().filter(|sweep| sweep.is_open());
    let greatest = open.map(|sweep| sweep.priority).max()?;
    let has = own.first().map_or(0, |own| own.priority);
    (has <= greatest).then(|| greatest.saturating_add(1))
}

/// The newest sweep that `selector` names.
pub(super) async fn find(connection: &mut Connection, selector: Vec<String>) -> Outcome<SweepView> {
    let word = selector.join(" ");
    let status: Status = connection.read(&ReadQuery::Status { selector }).await?;
    status.sweeps.into_iter().next_back().ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("no sweep is named `{word}`"))
            .hint("`coordinator sweeps` lists them; a file is named with its path")
    })
}

/// Training on this machine.
pub(super) struct Training<'a> {
    pub(super) context: &'a Context,
    pub(super) connection: &'a mut Connection,
    pub(super) settings: &'a LocalSettings,
    pub(super) interrupts: &'a mut Interrupts,
    pub(super) timeout: Option<Duration>,
}

impl Training<'_> {
    /// Trains what is open of a sweep, and prints its table.
    async fn train(&mut self, subject: &Subject) -> Outcome {
        let id = subject.sweep.to_string();
        let sweep = find(self.connection, vec![id.clone()]).await?;
        let goal = Goal {
            sweep: subject.sweep,
            timeout: self.timeout,
        };
        let needs = if sweep.is_open() {
            let jobs = self.connection.jobs(vec![id], None).await?;
            // Where results decide, any cell may get another job like those it
            // has.
            let all = sweep.replication.is_some();
            let needs = needs(jobs.iter().filter(|job| all || !job.state.is_final()));
            LocalWorker::prepare(self.settings, &needs)?;
            Some(needs)
        } else {
            None
        };
        let sweep = self.live(sweep).await?;
        let worker = if let Some(needs) = needs {
            self.welcome().await?;
            let url = self.connection.url();
            Some(LocalWorker::start(self.settings, url, &needs)?)
        } else {
            self.context.printer.note("nothing is left to train");
            None
        };
        let ended = self.work(worker, &goal).await?;
        let parting = parting(self.context, subject, &sweep.name);
        let name = sweep.name.clone();
        let exit = conclude(self.context, self.connection, ended, &parting).await?;
        if matches!(exit, Exit::Ok | Exit::FailedCells) {
            self.suggest(&name, sweep.replicates_most()).await?;
        }
        Ok(exit)
    }

    /// Lets the worker of this machine get jobs again, whatever happened to an
    /// earlier one of the same name.
    pub(super) async fn welcome(&mut self) -> Outcome<()> {
        let workers: Workers = self.connection.read(&ReadQuery::Workers).await?;
        let own = |worker: &WorkerView| worker.name.as_str() == local::NAME;
        let refused = |worker: &&WorkerView| own(worker) && worker.state != WorkerState::Active;
        if let Some(worker) = workers.workers.iter().find(refused) {
            let worker = worker.name.clone();
            self.connection
                .change(&ChangeOrder::Activate { worker })
                .await?;
        }
        Ok(())
    }

    /// Resumes a paused sweep: whoever types `run` wants that.
    async fn live(&mut self, sweep: SweepView) -> Outcome<SweepView> {
        let (name, asked) = (&sweep.name, &self.context.asked);
        match sweep.state {
            SweepState::Cancelled => {
                Err(
                    Failure::new(Exit::NotAllowed, format!("{name} is cancelled")).hint(format!(
                        "submit its file again, or `coordinator retry {name}{asked}`"
                    )),
                )
            }
            SweepState::Paused => {
                let selector = vec![sweep.digest.to_string()];
                self.connection
                    .change(&ChangeOrder::Resume { selector })
                    .await?;
                let why = super::render::words(sweep.paused.as_ref());
                let note = format!("{name} was paused ({why}) and goes on");
                self.context.printer.note(note);
                Ok(sweep)
            }
            SweepState::Active | SweepState::Finished => Ok(sweep),
        }
    }

    /// Waits while the worker trains, then stops it.
    pub(super) async fn work(
        &mut self,
        worker: Option<LocalWorker>,
        goal: &Goal,
    ) -> Outcome<(Ended, SweepView)> {
        let Some(mut worker) = worker else {
            return wait(self.context, self.connection, goal, self.interrupts).await;
        };
        let waited = tokio::select! {
            failure = worker.ended() => return Err(failure),
            waited = wait(self.context, self.connection, goal, self.interrupts) => waited,
        };
        let busy = matches!(&waited, Ok((_, sweep)) if sweep.counts.leased > 0);
        if busy {
            self.context.printer.note(
                "stopping; jobs in training start over next time; Ctrl-C again stops at once",
            );
        }
        tokio::select! {
            () = worker.stop() => {}
            // Dropping the worker kills it; outcomes are kept.
            () = self.interrupts.next() => {}
        }
        waited
    }

    /// Suggests what to try next.
    async fn suggest(&mut self, name: &str, replicates: u32) -> Outcome<()> {
        let query = ReadQuery::Jobs {
            selector: vec![name.to_owned(), "state=succeeded".to_owned()],
            limit: Some(1),
            after: None,
        };
        let jobs: Jobs = self.connection.read(&query).await?;
        let (printer, asked) = (self.context.printer, &self.context.asked);
        printer.hint(format!("coordinator table {name} -o md{asked}"));
        if let Some(job) = jobs.jobs.first() {
            let id = job.digest.short();
            printer.hint(format!("coordinator curves {id}{asked}"));
        }
        let more = replicates.saturating_add(2);
        printer.hint(format!(
            "coordinator extend {name} --replicates {more} --run{asked}"
        ));
        Ok(())
    }
}

/// What to say when the waiting for sweep `name` ends before the sweep does.
fn parting(context: &Context, subject: &Subject, name: &str) -> Parting {
    let database = &context.database;
    let (again, asked) = (&subject.again, &context.asked);
    Parting {
        work: format!("everything done is kept in {database}"),
        next: format!("`{again}` goes on from here"),
        // What failed stays failed until somebody retries it.
        resume: format!(
            "`coordinator retry {name}{asked}` queues the failed jobs again, `{again}` trains them"
        ),
        again: again.clone(),
        submits: subject.is_file,
    }
}

/// What `jobs` need on this machine.
fn needs<'a>(jobs: impl Iterator<Item = &'a JobView>) -> Needs {
    let mut needs = Needs::default();
    for spec in jobs.filter_map(|job| JobSpec::from_value(&job.spec).ok()) {
        needs.add(&spec);
    }
    needs
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::cli::Cli;
    use crate::client::render::tests::{job, sweep};

    #[test]
    fn a_word_without_a_dot_or_a_slash_is_a_sweep() {
        assert!(load("quickstart").unwrap().is_none());
        assert_eq!(load("no/such.toml").unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn a_stuck_sweep_goes_on_with_its_failed_jobs() {
        let cli = Cli::try_parse_from(["coordinator", "run", "small"]).unwrap();
        let context = Context::resolve(&cli.global).unwrap();
        let subject = Subject {
            sweep: sweep("small").digest,
            again: "coordinator run small".to_owned(),
            is_file: false,
        };
        assert_eq!(
            parting(&context, &subject, "small").resume,
            "`coordinator retry small` queues the failed jobs again, \
             `coordinator run small` trains them"
        );
    }

    #[test]
    fn commands_need_their_program_only() {
        let mut command = job(1, StateName::Queued);
        command.spec = json!({"trainer": {"command": ["python3", "train.py"]}});
        let needs = needs([command].iter());
        assert!(!needs.trainer);
        assert_eq!(needs.programs.into_iter().collect::<Vec<_>>(), ["python3"]);
    }

    #[test]
    fn data_of_ones_own_are_needed_here() {
        let mut training = job(1, StateName::Queued);
        training.spec = json!({
            "dataset": {"name": "folder", "path": "images", "size": 8},
            "model": {"name": "resnet_preact", "depth": 8},
            "batch_size": 8, "epochs": 1, "optimizer": {"lr": 0.1},
            "extra_test_sets": ["tensors:other.safetensors"],
        });
        let needs = needs([training].iter());
        let data: Vec<String> = needs.data.into_iter().collect();
        assert_eq!(data, ["images", "other.safetensors"]);
    }

    #[test]
    fn the_awaited_sweep_goes_before_open_ones() {
        let mut open = sweep("open");
        open.priority = 4;
        let mut done = sweep("done");
        done.priority = 9;
        done.counts = swath_model::view::Counts {
            succeeded: 3,
            ..Default::default()
        };
        let own = SweepDigest::from_bytes([7; 32]);
        assert_eq!(priority_over(&[open.clone(), done.clone()], own), Some(5));
        assert_eq!(priority_over(&[done.clone()], own), None);
        // One that goes first already keeps its priority.
        let mut known = sweep("known");
        known.digest = own;
        known.priority = 5;
        assert_eq!(priority_over(&[open.clone(), known.clone()], own), None);
        assert_eq!(priority_over(&[known.clone()], own), None);
        known.priority = 4;
        assert_eq!(priority_over(&[open, known], own), Some(5));
    }
}
