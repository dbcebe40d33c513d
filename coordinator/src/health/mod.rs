//! What `doctor` looks at: facts about a coordinator and its machine, and what they mean.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use swath_model::needs::Lack;
use swath_model::policy::Policy;
use swath_model::text::bytes;
use swath_model::time::Timestamp;
use swath_model::view::{WorkerState, WorkerView};
use swath_proto::Upgrade;

/// Facts about a coordinator, as it knows them itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// The version of the document.
    pub schema_version: u32,
    /// The coordinator's version.
    pub version: String,
    /// The version of the protocol that it speaks.
    pub protocol: u32,
    /// Whether it leads its database.
    pub leads: bool,
    /// Its database.
    pub store: StoreHealth,
    /// Its time.
    pub clock: ClockHealth,
    /// What the system lets its process have.
    pub limits: Limits,
    /// Its identity; absent where it has none, because only its machine reaches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentityHealth>,
    /// The times and limits by which it works.
    pub policy: Policy,
    /// Its workers.
    pub workers: Vec<WorkerView>,
}

/// Facts about a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreHealth {
    /// Which it is, without a password.
    pub database: String,
    /// Whether file and directory may be written; absent for a server.
    pub writable: Option<bool>,
    /// How much is free on the file's disk, in bytes; absent for a server.
    pub free_bytes: Option<u64>,
}

/// Facts about a coordinator's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockHealth {
    /// The time by which it works: never before one that is stored.
    pub now_ms: i64,
    /// The time of its system.
    pub system_ms: i64,
}

/// What the system lets a process have; absent: as much as there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How many files, which connections are too.
    pub open_files: Option<u64>,
    /// How many threads all processes of its user.
    pub threads: Option<u64>,
    /// How large a file may be, in bytes.
    pub file_bytes: Option<u64>,
}

/// Facts about an identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityHealth {
    /// When the certificate of its authority ends.
    pub authority_ends: Timestamp,
    /// When the coordinator's own ends; absent where there is none that can be read.
    pub server_ends: Option<Timestamp>,
    /// The names in it, each with whether it is found from here.
    pub hosts: Vec<Host>,
    /// Files with secrets that others can read.
    pub exposed: Vec<String>,
}

/// A name by which others reach a coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The name or address.
    pub name: String,
    /// Whether it has an address.
    pub resolves: bool,
}

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Nothing is to be done.
    Ok,
    /// It works, but not for ever or not for all.
    Warn,
    /// It does not work.
    Fail,
}

impl Grade {
    /// Its name in lists and documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at.
    pub part: String,
    /// How well it is.
    pub grade: Grade,
    /// What was found.
    pub found: String,
    /// What to do; empty where nothing is.
    pub remedy: String,
}

impl Check {
    /// A part that is well.
    pub fn ok(part: impl Into<String>, found: impl Into<String>) -> Self {
        Self::graded(part, Grade::Ok, found, "")
    }

    /// A part that needs attention.
    pub fn warn(
        part: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::graded(part, Grade::Warn, found, remedy)
    }

    /// A part that does not work.
    pub fn fail(
        part: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::graded(part, Grade::Fail, found, remedy)
    }

    fn graded(
        part: impl Into<String>,
        grade: Grade,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            part: part.into(),
            grade,
            found: found.into(),
            remedy: remedy.into(),
        }
    }
}

/// Below this much free disk nothing can be stored soon, in bytes.
const DISK_LEAST: u64 = 256 << 20;
/// Below this much free disk somebody should look, in bytes.
const DISK_LOW: u64 = 4 << 30;
/// How far clocks may differ before people read wrong times, and certificates that are made
/// on one machine are not good yet on another.
const CLOCKS_APART: Duration = Duration::from_mins(5);
/// How long before its end a certificate that nobody renews should be seen to.
const AUTHORITY_SOON: Duration = Duration::from_hours(90 * 24);
/// How long before its end the coordinator should have renewed its own.
const SERVER_SOON: Duration = Duration::from_hours(7 * 24);
/// How many open files each worker takes: two connections for calls and lines for files.
const FILES_PER_WORKER: u64 = 8;
/// How many open files a coordinator takes without any worker.
const FILES_LEAST: u64 = 512;
/// How many threads a coordinator may want beside those of its user's other processes.
const THREADS_LEAST: u64 = 256;
/// A lease that is shorter ends whenever a machine is busy for a moment, in milliseconds.
const TTL_SHORT_MS: u64 = 15_000;

/// Judges these facts. `here` is the time of the machine that asks, `own` the version of the
/// command.
pub fn examine(health: &Health, here: Timestamp, own: &str) -> Vec<Check> {
    let now = Timestamp::from_ms(health.clock.now_ms);
    let mut checks = vec![
        version(&health.version, own),
        store(&health.store),
        lead(health),
        clock(&health.clock),
        asker(now, here),
        open_files(&health.limits, health.workers.len() as u64),
        threads(&health.limits),
        file_size(&health.limits),
    ];
    match &health.identity {
        Some(identity) => checks.extend(identity_checks(identity, now)),
        None => checks.push(Check::ok(
            "certificates",
            "none: only its own machine reaches it",
        )),
    }
    checks.push(policy(&health.policy));
    if health.workers.is_empty() {
        checks.push(Check::warn(
            "workers",
            "there is none yet",
            "`worker --coordinator URL` starts one",
        ));
    }
    for worker in &health.workers {
        checks.extend(worker_checks(worker, health, now));
    }
    checks
}

fn version(coordinator: &str, own: &str) -> Check {
    if coordinator == own {
        return Check::ok(
            "version",
            format!("the coordinator has {coordinator}, as this command"),
        );
    }
    Check::warn(
        "version",
        format!("the coordinator has {coordinator}, this command {own}"),
        "install the same release on both",
    )
}

fn store(store: &StoreHealth) -> Check {
    let (part, name) = ("store", &store.database);
    if store.writable == Some(false) {
        return Check::fail(
            part,
            format!("{name} cannot be written"),
            "give its file and directory to the user of the coordinator, and see whether the \
             disk is mounted read-only",
        );
    }
    let Some(free) = store.free_bytes else {
        return Check::ok(part, format!("{name} answers; its disk is the server's"));
    };
    let found = format!("{name} answers; {} are free on its disk", bytes(free));
    let remedy = "make room: `coordinator delete` takes sweeps away, docs/databases.md moves it";
    match free {
        0..DISK_LEAST => Check::fail(part, found, remedy),
        DISK_LEAST..DISK_LOW => Check::warn(part, found, remedy),
        _ => Check::ok(part, found),
    }
}

fn lead(health: &Health) -> Check {
    if health.leads {
        return Check::ok("lead", "this coordinator leads its database");
    }
    Check::ok(
        "lead",
        "this coordinator stands by; ask the one that leads about workers and their lacks",
    )
}

fn apart(one: Timestamp, other: Timestamp) -> Duration {
    one.since(other).max(other.since(one))
}

fn clock(clock: &ClockHealth) -> Check {
    let (now, system) = (clock.now_ms, clock.system_ms);
    let (now, system) = (Timestamp::from_ms(now), Timestamp::from_ms(system));
    let apart = apart(now, system);
    if apart <= CLOCKS_APART {
        return Check::ok("clock", "its time is that of its system");
    }
    let seconds = apart.as_secs();
    let found = if now > system {
        format!("its system is {seconds} s behind the latest time in the store")
    } else {
        format!("its system's clock was set {seconds} s ahead since it was started")
    };
    let remedy = "set the clock by NTP (`timedatectl`), then restart the coordinator";
    Check::warn("clock", found, remedy)
}

fn asker(now: Timestamp, here: Timestamp) -> Check {
    let apart = apart(now, here);
    if apart <= CLOCKS_APART {
        return Check::ok("clock here", "this machine and the coordinator agree");
    }
    let direction = if here > now { "ahead of" } else { "behind" };
    let found = format!(
        "this machine is {} s {direction} the coordinator",
        apart.as_secs()
    );
    let remedy = "set both clocks by NTP; certificates are refused where clocks differ";
    Check::warn("clock here", found, remedy)
}

fn open_files(limits: &Limits, workers: u64) -> Check {
    let wanted = FILES_LEAST + FILES_PER_WORKER * workers;
    match limits.open_files {
        Some(files) if files < wanted => Check::warn(
            "open files",
            format!("{files} may be open, and {wanted} may be needed"),
            "LimitNOFILE=65536 in its unit, or `ulimit -Hn 65536` before it starts",
        ),
        Some(files) => Check::ok("open files", format!("{files} may be open")),
        None => Check::ok("open files", "any number may be open"),
    }
}

fn threads(limits: &Limits) -> Check {
    match limits.threads {
        Some(threads) if threads < THREADS_LEAST => Check::warn(
            "threads",
            format!("its user may have {threads}"),
            "LimitNPROC= in its unit, or `ulimit -u` before it starts, with a larger number",
        ),
        Some(threads) => Check::ok("threads", format!("its user may have {threads}")),
        None => Check::ok("threads", "its user may have any number"),
    }
}

fn file_size(limits: &Limits) -> Check {
    match limits.file_bytes {
        Some(most) => Check::warn(
            "file size",
            format!("no file may become larger than {}", bytes(most)),
            "`ulimit -f unlimited` before it starts: the database grows",
        ),
        None => Check::ok("file size", "files may become as large as there is room"),
    }
}

fn identity_checks(identity: &IdentityHealth, now: Timestamp) -> Vec<Check> {
    let ends = |part: &str, at: Timestamp, soon: Duration, remedy: &str| {
        let left = at.since(now);
        let found = format!("good for {} more days", left.as_secs() / 86_400);
        if left.is_zero() {
            return Check::fail(part, "has expired", remedy);
        }
        if left < soon {
            return Check::warn(part, found, remedy);
        }
        Check::ok(part, found)
    };
    let mut checks = vec![ends(
        "authority",
        identity.authority_ends,
        AUTHORITY_SOON,
        "make a new identity and new tokens: docs/lab.md",
    )];
    let renew =
        "restart the coordinator: it renews its certificate where it can write its identity";
    checks.push(match identity.server_ends {
        Some(at) => ends("certificate", at, SERVER_SOON, renew),
        None => Check::fail("certificate", "cannot be read", renew),
    });
    let lost: Vec<_> = identity.hosts.iter().filter(|it| !it.resolves).collect();
    let names = |hosts: &[&Host]| {
        let names = hosts.iter().map(|host| host.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    checks.push(match (lost.is_empty(), identity.hosts.is_empty()) {
        (true, true) => Check::warn(
            "hosts",
            "its certificate names no other host",
            "`coordinator init --host NAME` adds the name by which others reach it",
        ),
        (true, false) => {
            let all: Vec<_> = identity.hosts.iter().collect();
            Check::ok("hosts", format!("known as {}", names(&all)))
        }
        (false, _) => Check::warn(
            "hosts",
            format!("no address is found for {}", names(&lost)),
            "see to the name server, or add the right name: `coordinator init --host NAME`",
        ),
    });
    checks.push(if identity.exposed.is_empty() {
        Check::ok("secrets", "only their owner can read them")
    } else {
        let files = identity.exposed.join(" ");
        Check::fail(
            "secrets",
            format!("others can read {files}"),
            format!("`chmod go= {files}`; whoever has read a key can use it: docs/lab.md"),
        )
    });
    checks
}

fn policy(policy: &Policy) -> Check {
    let (part, remedy) = ("policy", "docs/policy.md says what follows from each time");
    if let Err(error) = policy.check() {
        return Check::fail(part, error.to_string(), remedy);
    }
    if policy.ttl_ms < TTL_SHORT_MS {
        let ttl = policy.ttl_ms;
        let found =
            format!("leases last {ttl} ms: a worker that is busy for a moment loses its jobs");
        return Check::warn(part, found, remedy);
    }
    Check::ok(part, "its times fit together")
}

/// The three numbers of a version, as far as it has them.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let mut numbers = [0; 3];
    let plain = version.split(['-', '+']).next()?;
    let mut parts = plain.split('.');
    for number in &mut numbers {
        *number = parts.next()?.parse().ok()?;
    }
    Some(numbers)
}

fn worker_checks(worker: &WorkerView, health: &Health, now: Timestamp) -> Vec<Check> {
    let own = health.version.as_str();
    let part = format!("worker {}", worker.name);
    let name = &worker.name;
    let mut checks = Vec::new();
    let mut warn = |found: String, remedy: String| {
        checks.push(Check::warn(&part, found, remedy));
    };
    if worker.silent {
        let hours = now.since(worker.seen_at).as_secs() / 3600;
        warn(
            format!("is not connected, for {hours} h"),
            format!("start it again, or `coordinator workers forget {name}`"),
        );
        return checks;
    }
    let activate = format!("`coordinator activate {name}` gives it jobs again");
    match (worker.state, &worker.cordoned) {
        (WorkerState::Cordoned, Some(why)) => warn(format!("is cordoned: {why}"), activate),
        (WorkerState::Cordoned, None) => warn("is cordoned by hand".to_owned(), activate),
        (WorkerState::Draining, _) => warn("is draining".to_owned(), activate),
        (WorkerState::Active, _) => {}
    }
    let version = &worker.about.version;
    match (numbers(version), numbers(own)) {
        (Some(its), Some(ours)) if its < ours => warn(
            format!("has version {version}, older than the coordinator's {own}"),
            "install the coordinator's release on its host when its jobs allow".to_owned(),
        ),
        (Some(its), Some(ours)) if its > ours => warn(
            format!("has version {version}, newer than the coordinator's {own}"),
            "upgrade the coordinator: docs/operations.md".to_owned(),
        ),
        (Some(_), Some(_)) => {}
        _ => warn(
            format!("has a version that cannot be compared: {version}"),
            "install the coordinator's release on its host".to_owned(),
        ),
    }
    if let Some(its) = worker.about.protocol
        && Upgrade::is_due(its, health.protocol)
    {
        let ours = health.protocol;
        warn(
            format!("is behind: it speaks protocol {its}, the coordinator {ours}"),
            "upgrade it before the coordinator's next upgrade, which will refuse it".to_owned(),
        );
    }
    for lack in worker.lacks.iter().map(Lack::of_one) {
        warn(
            lack,
            "`coordinator explain JOB` says which jobs need it; docs/programs.md how".to_owned(),
        );
    }
    if checks.is_empty() {
        checks.push(Check::ok(part, format!("version {version}, connected")));
    }
    checks
}

#[cfg(test)]
mod tests;
