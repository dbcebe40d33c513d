//! The shell: carries out what the agent decides, and tells it what happens.

use std::collections::HashMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use swath_model::id::{Owner, StateId, WorkerName};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use crate::child::{Children, Setting, Shelf, User, kill_leftovers};
use crate::client::Client;
use crate::leases::Leases;
use crate::out::{self, Outs};
use crate::settings::{Cli, Settings};
use crate::spool::{Restored, Service, Spool, now_ms};
use swath_agent::{Agent, Call, CallId, Config, Effect, Event, Exit, Reply};
use swath_service::Watchdog;

/// How many events of children may wait; beyond that the children have to wait.
const EVENTS_WAITING: usize = 256;

/// How many events are taken in before anything is decided: what comes together
/// is written and sent together.
const EVENTS_AT_ONCE: usize = 512;

/// At its start the worker removes checkpoints older than this: their trainings
/// went on elsewhere, or not at all.
const CHECKPOINTS_KEPT: Duration = Duration::from_hours(7 * 24);

/// How long the end of the worker waits for the answer to its goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why a worker could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory cannot be used.
    #[error(transparent)]
    Spool(#[from] crate::spool::SpoolError),
    /// The directory for those of attempts cannot be used.
    #[error(
        "the directory {} for what attempts leave cannot be used: {source}; give another with \
         --out", path.display()
    )]
    Out {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// No coordinator lets it in.
    #[error(transparent)]
    Admission(#[from] crate::admission::AdmissionError),
    /// The coordinator's address is not valid.
    #[error(transparent)]
    Address(#[from] swath_proto::address::AddressError),
    /// Programs that run as another user would not reach what is theirs.
    #[error(
        "programs cannot reach {} as the user of --run-as, who may not pass {}; give a \
         --state-dir and --out that they can reach, such as one below /var/lib",
        path.display(), place.display()
    )]
    Unreachable {
        /// The directory.
        path: PathBuf,
        /// Where they are stopped.
        place: PathBuf,
    },
    /// The operating system refused something.
    #[error("cannot {doing}: {source}")]
    System {
        /// What it was asked to do.
        doing: &'static str,
        /// The system's error.
        source: std::io::Error,
    },
}

impl StartError {
    fn system(doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::System { doing, source }
    }
}

/// Runs a worker until it ends.
///
/// To be awaited on the main thread, in a runtime with only that thread:
/// children die with the thread that started them.
///
/// # Errors
///
/// When it cannot start.
pub async fn run(settings: Settings) -> Result<Exit, StartError> {
    // This comes first: a signal during the start must not simply kill.
    let take = |kind, doing| signal(kind).map_err(StartError::system(doing));
    let mut terminate = take(SignalKind::terminate(), "take SIGTERM")?;
    let mut interrupt = take(SignalKind::interrupt(), "take SIGINT")?;
    let ended = take(SignalKind::child(), "take SIGCHLD")?;
    // Taken, it ends no process: a write beyond `ulimit -f` fails instead, and is told.
    let too_large = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    let _too_large = take(too_large, "take SIGXFSZ")?;
    let leases = Leases::default();
    let (spool, restored) = Spool::open(&settings.state_dir, &leases, now_ms())?;
    tell_of(&restored);
    for doubt in settings.doubts() {
        tracing::warn!("{doubt}");
    }
    // The state directory is this worker's by now, and with it the certificate there.
    let admission = settings.admission();
    let seeking = admission.seek();
    let Some(admitted) = or_stopped(seeking, [&mut terminate, &mut interrupt]).await else {
        return Ok(Exit::Done);
    };
    let admitted = admitted?;
    let client = Client::new(&settings.coordinators, admitted.caller.clone(), leases)?;
    tokio::spawn(admitted.keep_up(admission));
    let setting = clean(&settings, restored.state_id)?;
    let outs = setting.outs.clone();

    let (calm, from_calls) = mpsc::unbounded_channel();
    let (busy, from_children) = mpsc::channel(EVENTS_WAITING);
    let service =
        Service::start(spool, calm.clone()).map_err(StartError::system("start a thread"))?;
    let shelf = Shelf::new(&settings.state_dir, client.clone());
    let session = watch::Sender::new(None);
    tokio::spawn(out::keep(outs.clone(), client.clone(), session.subscribe()));
    out::start(outs.clone(), client.clone(), session.subscribe())
        .map_err(StartError::system("start a thread"))?;
    let config = config(&settings, restored.state_id, outs.root());
    let shell = Shell {
        started: Instant::now(),
        agent: Agent::new(config, restored.open, restored.recent),
        client,
        service,
        children: Children::new(setting, shelf, busy),
        calls: HashMap::new(),
        calm,
        worker: settings.name,
        session,
        outs,
    };
    let inlets = Inlets {
        from_calls,
        from_children,
        terminate,
        interrupt,
    };
    Ok(shell.run(inlets, ended).await)
}

/// The result of something that may take long; none if one of these signals came
/// first.
async fn or_stopped<T>(wait: impl Future<Output = T>, signals: [&mut Signal; 2]) -> Option<T> {
    let [first, second] = signals;
    tokio::select! {
        done = wait => Some(done),
        _ = first.recv() => None,
        _ = second.recv() => None,
    }
}

/// Tells what an earlier life left in the spool.
fn tell_of(restored: &Restored) {
    if restored.damaged > 0 {
        tracing::warn!(
            lines = restored.damaged,
            "damaged lines in the spool are skipped"
        );
    }
    if !restored.open.is_empty() {
        tracing::info!(
            outcomes = restored.open.len(),
            "undelivered outcomes found in the spool"
        );
    }
}

/// Ends what an earlier life has left running, removes what nobody needs of it, and
/// opens what is kept. Returns where children have what.
fn clean(settings: &Settings, state_id: StateId) -> Result<Setting, StartError> {
    let family = settings.family(state_id);
    kill_leftovers(&family);
    let specs = settings.state_dir.join("specs");
    let _none = std::fs::remove_dir_all(&specs);
    let checkpoints = settings.state_dir.join("checkpoints");
    remove_old(&checkpoints, CHECKPOINTS_KEPT);
    let (out, who) = (&settings.out, (&settings.name, state_id));
    let outs = Outs::open(out, &settings.state_dir, who, settings.quota);
    let outs = outs.map_err(|source| StartError::Out {
        path: out.clone(),
        source,
    })?;
    let setting = Setting {
        trainer: settings.trainer.clone(),
        threads: settings.threads,
        data_dir: settings.data_dir.clone(),
        allow_data: settings.allow_data.clone(),
        data_bytes: settings.data_bytes,
        specs,
        checkpoints,
        kept_back: Cli::variables(),
        family,
        outs,
        confinement: settings.confinement.clone(),
        rights: settings.rights.clone(),
    };
    if let Some(user) = &setting.rights.user {
        make_way(user, &setting, &settings.state_dir)?;
    }
    Ok(setting)
}

/// Lets the user as whom programs run pass to what is theirs, and see nothing else in the state
/// directory.
fn make_way(user: &User, setting: &Setting, state: &Path) -> Result<(), StartError> {
    let doing = "let the user of --run-as pass the state directory";
    let own = setting.outs.root();
    for (path, mode) in [
        (state, 0o711),
        (&*setting.specs, 0o711),
        (own, 0o711),
        (&setting.checkpoints, 0o700),
    ] {
        std::fs::create_dir_all(path)
            .and_then(|()| std::fs::set_permissions(path, Permissions::from_mode(mode)))
            .map_err(StartError::system(doing))?;
    }
    for path in [&*setting.specs, own] {
        if let Some(place) = user.stopped_at(path) {
            let (path, place) = (path.to_owned(), place.to_owned());
            return Err(StartError::Unreachable { path, place });
        }
    }
    Ok(())
}

/// What the agent has to know, if attempts have their directories in `out`.
fn config(settings: &Settings, state_id: StateId, out: &Path) -> Config {
    Config {
        worker: settings.name.clone(),
        take_name: settings.take_name,
        coordinator: settings.coordinators.join(" or "),
        about: settings.about(state_id, out),
        threads: settings.threads,
        hang_timeout: settings.hang_timeout,
        backoff: settings.backoff,
        exit_when_idle: settings.exit_when_idle,
        out: out.to_string_lossy().into_owned(),
        gpus: settings.hardware.gpus.clone(),
        seed: now_ms() ^ (u64::from(std::process::id()) << 40),
    }
}

/// The channels from which events come.
struct Inlets {
    from_calls: mpsc::UnboundedReceiver<Event>,
    from_children: mpsc::Receiver<Event>,
    terminate: Signal,
    interrupt: Signal,
}

impl Inlets {
    async fn next(&mut self) -> Event {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Event::Signal,
            _ = self.interrupt.recv() => Event::Signal,
            // Both channels live as long as the shell.
            Some(event) = self.from_calls.recv() => event,
            Some(event) = self.from_children.recv() => event,
        }
    }

    fn try_next(&mut self) -> Option<Event> {
        let calls = self.from_calls.try_recv();
        calls.or_else(|_| self.from_children.try_recv()).ok()
    }
}

struct Shell {
    started: Instant,
    agent: Agent,
    client: Client,
    service: Service,
    children: Children,
    calls: HashMap<CallId, AbortHandle>,
    calm: mpsc::UnboundedSender<Event>,
    worker: WorkerName,
    /// The newest session, for those that care for the directories of attempts.
    session: watch::Sender<Option<Owner>>,
    outs: Outs,
}

impl Shell {
    async fn run(mut self, mut inlets: Inlets, mut ended: Signal) -> Exit {
        // Fed by this loop itself: whatever holds it up holds up that too.
        let mut watchdog = Watchdog::new();
        loop {
            let now = self.now();
            for effect in self.agent.settle(now) {
                if let Some(exit) = self.perform(effect) {
                    self.children.kill_all();
                    if exit == Exit::Done {
                        out::keep_last(&self.outs, &self.client, &self.session).await;
                    }
                    self.part().await;
                    return exit;
                }
            }
            let wake = self.started + self.agent.wakes();
            tokio::select! {
                event = inlets.next() => self.handle(event),
                _ = ended.recv() => self.children.reap_orphans(),
                () = tokio::time::sleep_until(wake.into()) => {}
                () = watchdog.due() => watchdog.feed(),
            }
            for _ in 0..EVENTS_AT_ONCE {
                match inlets.try_next() {
                    Some(event) => self.handle(event),
                    None => break,
                }
            }
        }
    }

    /// Says goodbye, so that nobody takes this worker for alive. If that is not
    /// heard, its leases pass as those of any worker that is silent.
    async fn part(&self) {
        if let Some(owner) = self.agent.parting() {
            let goodbye = self.client.clone().call(Call::Goodbye { owner });
            let answer = tokio::time::timeout(GOODBYE, goodbye).await;
            tracing::debug!(?answer, "goodbye");
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn handle(&mut self, event: Event) {
        match &event {
            Event::Reply { call, result } => {
                self.calls.remove(call);
                if let Ok(Reply::Welcome { session, .. }) = result {
                    let (worker, session) = (self.worker.clone(), *session);
                    self.session.send_replace(Some(Owner { worker, session }));
                    swath_service::ready("in session with the coordinator");
                }
            }
            Event::Exited { child, .. } => self.children.forget(*child),
            Event::Signal => swath_service::stopping("gives back what it runs"),
            _ => {}
        }
        let now = self.now();
        self.agent.handle(now, event);
    }

    fn perform(&mut self, effect: Effect) -> Option<Exit> {
        match effect {
            Effect::Call { id, call } => {
                if matches!(call, Call::Heartbeat { .. }) {
                    self.service.look();
                }
                let (client, events) = (self.client.clone(), self.calm.clone());
                let task = tokio::spawn(async move {
                    let result = client.call(call).await;
                    // When the worker is ending, nobody listens.
                    let _heard = events.send(Event::Reply { call: id, result });
                });
                self.calls.insert(id, task.abort_handle());
            }
            Effect::Abort(id) => {
                if let Some(task) = self.calls.remove(&id) {
                    task.abort();
                }
            }
            Effect::Start {
                child,
                program,
                placement,
            } => self.children.start(child, program, &placement),
            Effect::Feed { child, spec } => self.children.feed(child, spec),
            Effect::Stop { child, grace } => self.children.stop(child, grace),
            Effect::Spool(entries) => self.service.put(entries),
            Effect::Acknowledged(held) => {
                self.service.acknowledge(held);
                self.outs.reported();
            }
            Effect::Exit(exit) => return Some(exit),
        }
        None
    }
}

/// Removes the directories below `directory` that were last changed more than
/// `age` ago.
fn remove_old(directory: &Path, age: Duration) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        let old = changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|since| since > age));
        if old && let Err(error) = std::fs::remove_dir_all(entry.path()) {
            tracing::warn!(%error, path = %entry.path().display(), "old checkpoints stay");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn only_old_checkpoints_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        for (name, days) in [("old", 8), ("new", 6)] {
            let path = directory.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("checkpoint.00000001.json"), "{}").unwrap();
            let changed = SystemTime::now() - Duration::from_secs(days * 24 * 3600);
            File::open(&path).unwrap().set_modified(changed).unwrap();
        }
        remove_old(directory.path(), CHECKPOINTS_KEPT);
        assert!(!directory.path().join("old").exists());
        assert!(directory.path().join("new").exists());
        remove_old(&directory.path().join("nowhere"), CHECKPOINTS_KEPT);
    }
}
