//! Child processes: trainers and programs.
//!
//! Each runs in a process group of its own. It dies with the worker; when it
//! ends, everything that it started is killed before its slot is used again.

mod command;
mod confinement;
mod family;
pub mod guard;
mod inputs;
mod memory;
mod pipes;
mod process;
mod rights;
mod shipped;
mod tree;
mod version;
mod written;

use std::collections::HashMap;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use swath_model::device::Device;
use swath_model::placement::Placement;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe::Sender;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use self::command::{SpecFile, confine, of_line, prepare};
pub use self::confinement::Confinement;
use self::family::Remaining;
pub use self::family::{adopt_orphans, die_with, kill_leftovers};
use self::guard::{Entrance, List, Place};
use self::inputs::Inputs;
use self::process::Child;
pub use self::rights::{Limits, Rights, User};
use self::shipped::OwnCopy;
pub use self::shipped::Shelf;
use self::version::{Looking, Versions};
use self::written::Writes;
use crate::out::Outs;
use crate::spool::now_ms;
use swath_agent::{ChildId, CommandLine, End, Event, Program};
use swath_model::needs::Lack;

/// How long pipes may stay open after the last process of a child has gone.
const PIPES_GRACE: Duration = Duration::from_secs(2);

/// How often to look whether processes are gone that do not end.
const REMAINING_PAUSE: Duration = Duration::from_secs(1);

/// The environment variable that identifies everything a child starts.
const FAMILY: &str = "SWATH_FAMILY";

/// What all children of a worker share.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The `trainer` binary.
    pub trainer: PathBuf,
    /// Threads of each child.
    pub threads: u32,
    /// Where data sets are.
    pub data_dir: PathBuf,
    /// What specs may name as data beside what is in it.
    pub allow_data: Vec<PathBuf>,
    /// The most bytes of a file of data, and of what it unpacks to; none: as much as
    /// the trainer takes.
    pub data_bytes: Option<u64>,
    /// The directory for the spec files of programs; it holds nothing else.
    pub specs: PathBuf,
    /// Where trainers keep checkpoints until their trainings end.
    pub checkpoints: PathBuf,
    /// Variables that no child gets.
    pub kept_back: Vec<String>,
    /// A tag that identifies this worker's children among all processes of the
    /// host.
    pub family: String,
    /// The directories of attempts.
    pub outs: Outs,
    /// What jobs may make this worker do.
    pub confinement: Confinement,
    /// What programs have of the machine.
    pub rights: Rights,
}

impl Setting {
    /// What a child has of the machine. The built-in trainer is no program of anybody's: it
    /// writes its checkpoints and its copies of data as the worker.
    fn rights_of(&self, program: &Program) -> Rights {
        let limits = self.rights.limits;
        match program {
            Program::Trainer => Rights { limits, user: None },
            Program::Command(_) => self.rights.clone(),
        }
    }
}

/// In the id of a process that helps a child.
const HELPER: u64 = 1 << 63;

/// The processes of this worker. Who starts one holds the lock until it is among them: every
/// other child is an orphan.
#[derive(Clone, Debug, Default)]
struct Pids(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Children that somebody waits for, by who they are.
    children: HashMap<ChildId, Pid>,
    guard: Option<Pid>,
    /// Orphans that do not end, of which it was told.
    remaining: Vec<Pid>,
}

impl Pids {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn started(&mut self, id: ChildId, pid: Pid) {
        self.children.insert(id, pid);
    }

    fn ended(&mut self, id: ChildId) {
        self.children.remove(&id);
    }

    fn has(&self, pid: Pid) -> bool {
        self.leaders().any(|own| own == pid)
    }

    /// The own processes, each of which leads a group.
    fn leaders(&self) -> impl Iterator<Item = Pid> + '_ {
        self.children.values().copied().chain(self.guard)
    }
}

/// What a child can be told to do.
enum Order {
    Feed(String),
    Stop(Duration),
}

/// The children of a worker.
#[derive(Debug)]
pub struct Children {
    starter: Starter,
    shelf: Shelf,
    orders: HashMap<ChildId, mpsc::UnboundedSender<Order>>,
    inputs: Inputs,
}

/// What starts children.
#[derive(Clone, Debug)]
struct Starter {
    setting: Arc<Setting>,
    events: mpsc::Sender<Event>,
    pids: Pids,
    /// The list of the guard, if there is one.
    list: Option<Arc<List>>,
    versions: Versions,
}

impl Children {
    /// No children yet. Their output goes to `events`, which is bounded: a
    /// child that writes too much has to wait.
    ///
    /// To be called in a runtime.
    pub fn new(setting: Setting, shelf: Shelf, events: mpsc::Sender<Event>) -> Self {
        let pids = Pids::default();
        Self {
            starter: Starter {
                list: guarded(&setting.family, &pids),
                setting: Arc::new(setting),
                events,
                pids,
                versions: Versions::default(),
            },
            shelf,
            orders: HashMap::new(),
            inputs: Inputs::default(),
        }
    }

    /// Starts a child. Its end is reported as an event, also when it cannot be
    /// started.
    ///
    /// To be called on the main thread, in a runtime that has no other: a child
    /// dies with the thread that started it.
    pub fn start(&mut self, id: ChildId, mut program: Program, placement: &Placement) {
        let device = placement.first();
        let (sender, orders) = mpsc::unbounded_channel();
        self.orders.insert(id, sender);
        let starter = self.starter.clone();
        if let Program::Command(line) = &mut program
            && let Err(lack) = starter.setting.confinement.admit(line)
        {
            return starter.ended(id, End::Lacks(lack));
        }
        match program {
            Program::Command(line) if line.shipped.is_some() => {
                let shelf = self.shelf.clone();
                tokio::spawn(starter.start_in_copy(shelf, id, line, device, orders));
            }
            program => {
                let lack = match &program {
                    Program::Trainer => None,
                    Program::Command(line) => self.inputs.lacking(line),
                };
                match lack {
                    Some(lack) => starter.ended(id, End::Lacks(lack)),
                    None => starter.start(id, program, device, orders, None),
                }
            }
        }
    }

    /// Writes a spec to a trainer.
    pub fn feed(&self, id: ChildId, spec: String) {
        self.order(id, Order::Feed(spec));
    }

    /// Ends a child: SIGTERM, and SIGKILL after `grace`.
    pub fn stop(&self, id: ChildId, grace: Duration) {
        self.order(id, Order::Stop(grace));
    }

    fn order(&self, id: ChildId, order: Order) {
        if let Some(orders) = self.orders.get(&id) {
            // A child that has just ended takes no more orders.
            let _sent = orders.send(order);
        }
    }

    /// Forgets a child whose end was reported.
    pub fn forget(&mut self, id: ChildId) {
        self.orders.remove(&id);
        self.starter.pids.lock().ended(id);
    }

    /// Reaps adopted processes that have ended. To be called on the main thread
    /// whenever a process has ended: a child that is just being started is no
    /// orphan.
    pub fn reap_orphans(&self) {
        family::reap(&self.starter.pids);
    }

    /// Kills all remaining children when the worker ends.
    pub fn kill_all(&self) {
        family::kill_all(&self.starter.pids, &self.starter.setting.family);
    }
}

/// Starts the guard of a process that is nothing but a worker.
fn guarded(family: &str, pids: &Pids) -> Option<Arc<List>> {
    if !family::adopts_orphans() {
        return None;
    }
    let mut known = pids.lock();
    match guard::start(family) {
        Ok((list, guard)) => {
            known.guard = Some(guard.pid);
            tokio::spawn(guard.keep(Arc::clone(&list), family.to_owned(), pids.clone()));
            Some(list)
        }
        Err(error) => {
            tracing::warn!(
                %error,
                "no guard can be started: if this worker is killed, what its programs have \
                 started goes on"
            );
            None
        }
    }
}

impl Starter {
    /// Starts a program in a copy of the files that travel with its sweep.
    async fn start_in_copy(
        self,
        shelf: Shelf,
        id: ChildId,
        mut line: Box<CommandLine>,
        device: Device,
        mut orders: mpsc::UnboundedReceiver<Order>,
    ) {
        let shipped = line.shipped.take().unwrap_or_default();
        let name = id.0.to_string();
        let copied = tokio::select! {
            copied = shelf.copy(&name, &line, &shipped) => copied,
            () = stopped(&mut orders) => Err(End::Signal { signal: Signal::TERM.as_raw(), oom: false }),
        };
        match copied {
            Err(end) => self.ended(id, end),
            Ok((copy, directory)) => {
                let given = self.setting.rights.user.as_ref();
                let given = given.map_or(Ok(()), |user| copy.give(user));
                if let Err(error) = given {
                    return self.ended(id, End::NotStarted(format!("its copy: {error}")));
                }
                line.directory = Some(directory);
                // When the worker is ending, nobody listens.
                let _heard = self.events.send(Event::Begun { child: id }).await;
                self.start(id, Program::Command(line), device, orders, Some(copy));
            }
        }
    }

    /// Starts a child, on the main thread.
    fn start(
        self,
        id: ChildId,
        program: Program,
        device: Device,
        orders: mpsc::UnboundedReceiver<Order>,
        copy: Option<OwnCopy>,
    ) {
        let family = format!("{}.{}", self.setting.family, id.0);
        let spawned = {
            let mut pids = self.pids.lock();
            let spawned = self.spawn(id, &program, device, &family);
            if let Ok(spawned) = &spawned {
                pids.started(id, spawned.child.pid());
            }
            spawned
        };
        let Spawned {
            child,
            spec_file,
            place,
        } = match spawned {
            Ok(spawned) => spawned,
            Err(end) => return self.ended(id, end),
        };
        let mut run = Run {
            id,
            events: self.events,
            orders,
            family,
            pids: self.pids,
            place,
            spec_file,
            writes: None,
            version: None,
            copy,
        };
        let input = match program {
            Program::Trainer => Input::Orders,
            Program::Command(line) => {
                // A copy is what the sweep says, whatever is in a repository.
                if let Some(directory) = line.directory.as_ref().filter(|_| run.copy.is_none()) {
                    let helper = ChildId(id.0 | HELPER);
                    run.version = self.versions.look(directory, helper, &run.pids);
                }
                run.writes = Some(Writes {
                    readable: self.setting.confinement.readable(&line),
                    read: line.read,
                    metric: line.metric,
                    directory: line.directory,
                    held: line.held,
                    outs: self.setting.outs.clone(),
                });
                if line.takes_stdin {
                    Input::Only(line.spec)
                } else {
                    Input::Nothing
                }
            }
        };
        tokio::spawn(run.supervise(child, input));
    }

    /// Reports the end of a child that was not started.
    fn ended(self, id: ChildId, end: End) {
        tokio::spawn(async move {
            // When the worker is ending, nobody listens.
            let _heard = self.events.send(Event::Exited { child: id, end }).await;
        });
    }

    fn spawn(
        &self,
        id: ChildId,
        program: &Program,
        device: Device,
        family: &str,
    ) -> Result<Spawned, End> {
        let setting = &self.setting;
        let mut spec_file = None;
        let (name, mut command) = match program {
            Program::Trainer => {
                let mut command = Command::new(&setting.trainer);
                command
                    .args(["serve", "--device", &device.to_string(), "--threads"])
                    .arg(setting.threads.to_string())
                    .arg("--checkpoints")
                    .arg(&setting.checkpoints);
                (setting.trainer.display().to_string(), command)
            }
            Program::Command(line) => {
                let path = setting.specs.join(format!("{}.json", id.0));
                let user = setting.rights.user.as_ref();
                let spec = SpecFile::write(path, &line.spec, user).map_err(End::NotStarted)?;
                let command = of_line(line, &spec)
                    .map_err(|error| End::NotStarted(format!("`{}`: {error}", line.argv[0])))?;
                if let Some(held) = line.held {
                    let out = &line.out;
                    let failed = |error| End::NotStarted(format!("its directory {out}: {error}"));
                    setting.outs.begin(held).map_err(failed)?;
                    user.map_or(Ok(()), |user| user.give(Path::new(out)))
                        .map_err(failed)?;
                }
                spec_file = Some(spec);
                (line.argv[0].clone(), command)
            }
        };
        prepare(&mut command, setting, device, family);
        let rights = setting.rights_of(program);
        if let Some(user) = &rights.user {
            command.envs(user.variables());
        }
        match program {
            Program::Trainer => confine(&mut command, setting),
            Program::Command(line) => drop(command.envs(&line.environment)),
        }
        let place = self.list.as_ref().map(List::place);
        let entrance = Entrance::new(place.as_ref());
        let child = Child::spawn(&command, &rights, entrance).map_err(|error| {
            let lack = match program {
                Program::Trainer => inputs::is_missing(&error).then_some(Lack::Trainer),
                Program::Command(line) => {
                    if let Some(held) = line.held {
                        setting.outs.ended(held, now_ms());
                    }
                    inputs::lack_of(line, &error)
                }
            };
            lack.map_or_else(|| End::NotStarted(format!("`{name}`: {error}")), End::Lacks)
        })?;
        Ok(Spawned {
            child,
            spec_file,
            place,
        })
    }
}

/// A child that has just been started.
struct Spawned {
    child: Child,
    spec_file: Option<SpecFile>,
    place: Option<Place>,
}

/// Resolves when a child that is not started yet is told to stop.
async fn stopped(orders: &mut mpsc::UnboundedReceiver<Order>) {
    loop {
        match orders.recv().await {
            Some(Order::Stop(_)) => return,
            Some(Order::Feed(_)) => {}
            None => std::future::pending().await,
        }
    }
}

/// One child's life.
struct Run {
    id: ChildId,
    events: mpsc::Sender<Event>,
    orders: mpsc::UnboundedReceiver<Order>,
    family: String,
    pids: Pids,
    /// Its place in the list of the guard.
    place: Option<Place>,
    spec_file: Option<SpecFile>,
    writes: Option<Writes>,
    /// Which version of the code its directory has.
    version: Option<Looking>,
    /// The copy of its files, where it was started.
    copy: Option<OwnCopy>,
}

/// What a child gets on its stdin.
enum Input {
    /// Specs, as they are ordered.
    Orders,
    /// This spec, and then the end.
    Only(String),
    /// The end.
    Nothing,
}

impl Run {
    async fn supervise(mut self, mut child: Child, input: Input) {
        let pid = child.pid();
        let stdin = child.stdin.take();
        let feeder = match input {
            Input::Orders => stdin.map(|stdin| feed(stdin, None)),
            Input::Only(spec) => stdin.map(|stdin| feed(stdin, Some(spec))),
            Input::Nothing => None,
        };
        let pipes = child.stdout.take().zip(child.stderr.take());
        let reader = pipes.map(|(stdout, stderr)| {
            tokio::spawn(pipes::read(self.id, stdout, stderr, self.events.clone()))
        });
        let kills = memory::recent_kills();
        let status = self.wait(&mut child, pid, feeder.as_ref(), kills).await;
        // First the group, then processes that have left it.
        let _none_left = rustix::process::kill_process_group(pid, Signal::KILL);
        // It is reaped; another process may have its number by now.
        drop(self.place.take());
        self.pids.lock().ended(self.id);
        let remaining = self.end_leftovers().await;
        if let Some(reader) = reader {
            let abort = reader.abort_handle();
            if tokio::time::timeout(PIPES_GRACE, reader).await.is_err() {
                abort.abort();
            }
        }
        drop(self.spec_file.take());
        let end = status.unwrap_or_else(|error| End::NotStarted(error.to_string()));
        let child = self.id;
        self.tell_the_rest().await;
        if !remaining.is_empty() {
            self.outlast(remaining, &end).await;
        }
        // When the worker is ending, nobody listens.
        let _heard = self.events.send(Event::Exited { child, end }).await;
    }

    /// Kills what it has left behind. Returns what does not end.
    async fn end_leftovers(&self) -> Remaining {
        if !family::may_have_left(&self.pids) {
            return Remaining::default();
        }
        let (family, pids) = (self.family.clone(), self.pids.clone());
        let ended = tokio::task::spawn_blocking(move || family::end_leftovers(&pids, &family));
        ended.await.unwrap_or_default()
    }

    /// Waits for the end of what does not end, as a process does not that waits in a driver, or
    /// that belongs to another user. Its slot is not free as long as that is there.
    async fn outlast(&self, mut remaining: Remaining, end: &End) {
        let (child, end) = (self.id, end.clone());
        let processes = remaining.told();
        let told = Event::Remains {
            child,
            end,
            processes,
        };
        // When the worker is ending, nobody listens.
        let _heard = self.events.send(told).await;
        while !remaining.is_empty() {
            tokio::time::sleep(REMAINING_PAUSE).await;
            remaining = family::still_there(&self.pids, &remaining);
        }
    }

    /// Tells what is known of a program only when it has ended.
    async fn tell_the_rest(&mut self) {
        let child = self.id;
        if let Some(writes) = self.writes.take()
            && let Some(rows) = writes.collect().await
        {
            // When the worker is ending, nobody listens.
            let _heard = self.events.send(Event::Wrote { child, rows }).await;
        }
        if let Some(looking) = self.version.take()
            && let Some(version) = looking.end().await
        {
            // When the worker is ending, nobody listens.
            let _heard = self.events.send(Event::Version { child, version }).await;
        }
        if let Some(copy) = self.copy.take() {
            // It may have many files.
            let removed = tokio::task::spawn_blocking(move || drop(copy));
            let _removed = removed.await;
        }
    }

    async fn wait(
        &mut self,
        child: &mut Child,
        pid: Pid,
        feeder: Option<&mpsc::UnboundedSender<String>>,
        mut kills: memory::Kills,
    ) -> io::Result<End> {
        let mut deadline: Option<Instant> = None;
        let mut open = true;
        loop {
            let late = deadline.unwrap_or_else(Instant::now);
            tokio::select! {
                status = child.wait() => return status.map(|status| ended(status, &kills)),
                () = sleep_until(late), if deadline.is_some() => {
                    deadline = None;
                    signal(pid, Signal::KILL);
                }
                order = self.orders.recv(), if open => match order {
                    Some(Order::Feed(spec)) => {
                        kills = memory::recent_kills();
                        // Its end is reported below.
                        let _sent = feeder.map(|feeder| feeder.send(spec));
                    }
                    Some(Order::Stop(grace)) => {
                        if grace.is_zero() {
                            signal(pid, Signal::KILL);
                        } else {
                            signal(pid, Signal::TERM);
                            let until = Instant::now() + grace;
                            deadline = Some(deadline.map_or(until, |set| set.min(until)));
                        }
                    }
                    None => open = false,
                },
            }
        }
    }
}

fn signal(pid: Pid, signal: Signal) {
    // It may have ended already.
    let _sent = rustix::process::kill_process_group(pid, signal);
}

/// Writes specs, one line each. A program gets its one spec, and then the end
/// of its stdin.
fn feed(mut stdin: Sender, spec: Option<String>) -> mpsc::UnboundedSender<String> {
    let (sender, mut specs) = mpsc::unbounded_channel::<String>();
    tokio::spawn(async move {
        let only = spec.is_some();
        let mut next = spec;
        loop {
            let Some(mut line) = (match next.take() {
                Some(spec) => Some(spec),
                None => specs.recv().await,
            }) else {
                return;
            };
            line.push('\n');
            // A reader that does not read to the end is noticed when it exits.
            if stdin.write_all(line.as_bytes()).await.is_err() || only {
                return;
            }
        }
    });
    sender
}

fn ended(status: ExitStatus, before: &memory::Kills) -> End {
    match status.signal() {
        Some(signal) => End::Signal {
            signal,
            oom: signal == Signal::KILL.as_raw() && memory::kills().rose_since(before),
        },
        None => End::Exit(status.code().unwrap_or_default()),
    }
}
