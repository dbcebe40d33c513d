//! A coordinator under load, and what must hold at the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use swath_e2e::{Process, Random, Site, free_address, wait_until};

use super::load::{self, Load};
use crate::text::{Checked, say};

/// How long anything may take that must come in the end.
pub(crate) const PATIENCE: Duration = Duration::from_mins(4);
/// Jobs that wait, at least, while the load goes on.
const AHEAD: usize = 700;

/// Lines of a coordinator's log that say what goes on with its store.
const SAID: [&str; 7] = [
    "a transaction failed and is tried again",
    "the store failed; what is open is loaded again",
    "the store cannot be reached",
    "the sweeper's pass failed",
    "another coordinator has taken the lead",
    "this coordinator leads now",
    "panicked",
];

/// A coordinator with its load.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) site: Arc<Site>,
    pub(crate) load: Load,
    listen: String,
    database: String,
    variables: Vec<(&'static str, String)>,
    coordinator: Process,
    feeder: Feeder,
    said: BTreeMap<&'static str, usize>,
    began: Instant,
}

/// Submits sweeps, so that there are always jobs.
#[derive(Debug)]
struct Feeder {
    submitted: Arc<AtomicU32>,
    /// No more sweeps after this one.
    stop: Arc<AtomicBool>,
    /// Not even this one.
    abandoned: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Place {
    /// Starts all of it.
    pub(crate) fn start(
        database: &str,
        variables: &[(&'static str, String)],
        random: &mut Random,
    ) -> Self {
        let mut site = Site::new();
        site.write("policy.toml", load::POLICY);
        let listen = free_address();
        let url = format!("http://{listen}");
        site.reach(&url);
        let mut coordinator = site.serve_on(&listen, database, variables);
        coordinator.wait_for_line("listening on ");
        let site = Arc::new(site);
        let load = Load::start(&url, random);
        let feeder = Feeder::start(Arc::clone(&site), &load);
        let place = Self {
            site,
            load,
            listen,
            database: database.to_owned(),
            variables: variables.to_vec(),
            coordinator,
            feeder,
            said: BTreeMap::new(),
            began: Instant::now(),
        };
        place.goes_on(200);
        place
    }

    /// Waits until so many more outcomes are acknowledged; says after how long.
    pub(crate) fn goes_on(&self, more: usize) -> Duration {
        let began = Instant::now();
        let before = self.load.list.acknowledged();
        wait_until("work goes on", PATIENCE, || {
            (self.load.list.acknowledged() >= before + more).then_some(())
        });
        began.elapsed()
    }

    /// Kills the coordinator and starts the next at once; it may not listen yet.
    pub(crate) fn kill_coordinator(&mut self) {
        self.coordinator.kill();
        self.note_said();
        self.coordinator = self
            .site
            .serve_on(&self.listen, &self.database, &self.variables);
    }

    pub(crate) fn signal(&self, signal: i32) {
        self.coordinator.signal(signal);
    }

    fn note_said(&mut self) {
        let text = self.coordinator.stderr();
        for said in SAID {
            let count = text.lines().filter(|line| line.contains(said)).count();
            *self.said.entry(said).or_default() += count;
        }
    }

    /// Ends the load and checks everything; what was done, in words.
    pub(crate) fn settle(self) -> Checked<String> {
        self.settle_but(0)
    }

    /// The same, where so many held jobs may have been granted anew.
    pub(crate) fn settle_but(mut self, reruns: usize) -> Checked<String> {
        let checked = self.check(reruns);
        if checked.is_err() {
            say(&format!(
                "  the coordinator's log:\n{}",
                self.coordinator.stderr()
            ));
        }
        checked
    }

    fn check(&mut self, reruns: usize) -> Checked<String> {
        self.feeder.end();
        self.load.hurry();
        let sweeps = self.feeder.submitted.load(Ordering::Relaxed);
        let jobs = (sweeps * load::SWEEP) as usize;
        let list = Arc::clone(&self.load.list);
        let what = format!("all {jobs} jobs are acknowledged");
        wait_until(&what, PATIENCE, || {
            (list.acknowledged() >= jobs).then_some(())
        });
        let seconds = self.began.elapsed().as_secs();
        if !self.coordinator.is_alive() {
            return Err(format!("coordinator ended: {}", self.coordinator.stderr()));
        }
        let mut documents: Vec<Value> = Vec::new();
        for number in 0..sweeps {
            let document = self.site.json(&["jobs", &load::sweep(number).0]);
            documents.extend(document["jobs"].as_array().cloned().unwrap_or_default());
        }
        list.check(&documents)?;
        let verified = self.verify()?;
        self.note_said();
        let counts = list.counts();
        say(&format!("  verify: {verified}"));
        say(&format!("  log: {}", self.log()));
        if counts.reruns > reruns {
            return Err(format!("{} held jobs were granted anew", counts.reruns));
        }
        Ok(format!(
            "{} outcomes acknowledged in {seconds} s, all stored once with the same bits, 0 lost; {} answered as \
             known after a lost answer; held jobs granted anew {}, too late {}, attempts unheard of {}",
            list.acknowledged(),
            counts.repeated,
            counts.reruns,
            counts.stale,
            counts.unheard
        ))
    }

    fn verify(&self) -> Checked<String> {
        let mut command = self.site.coordinator();
        command.args(["store", "verify", "--database", &self.database]);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.args(["--policy", "policy.toml"]);
        let output = command.output().map_err(|error| error.to_string())?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let first = stdout.lines().next().unwrap_or_default().to_owned();
        if output.status.success() && first.starts_with("ok") {
            return Ok(first);
        }
        Err(format!("store verify: {stdout}{stderr}"))
    }

    /// What the coordinator said of its store.
    pub(crate) fn log(&self) -> String {
        let said = self.said.iter().filter(|(_, count)| **count > 0);
        let said: Vec<_> = said.map(|(said, n)| format!("{n} × `{said}`")).collect();
        if said.is_empty() {
            return "nothing of its store".to_owned();
        }
        said.join(", ")
    }
}

impl Feeder {
    fn start(site: Arc<Site>, load: &Load) -> Self {
        let submitted = Arc::<AtomicU32>::default();
        let stop = Arc::<AtomicBool>::default();
        let list = Arc::clone(&load.list);
        let abandoned = Arc::<AtomicBool>::default();
        let (count, ends) = (Arc::clone(&submitted), Arc::clone(&stop));
        let gives_up = Arc::clone(&abandoned);
        let thread = std::thread::spawn(move || {
            let mut number = 0;
            while !ends.load(Ordering::Relaxed) {
                let known = (number * load::SWEEP) as usize;
                if list.heard_of() + AHEAD <= known {
                    std::thread::sleep(Duration::from_millis(50));
                    continue;
                }
                let (name, text) = load::sweep(number);
                let file = format!("{name}.toml");
                site.write(&file, &text);
                // Cut off or refused: the same file again, until one knows it.
                while site.run(&["submit", &file]).code != Some(0) {
                    if gives_up.load(Ordering::Relaxed) {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
                number += 1;
                count.store(number, Ordering::Relaxed);
            }
        });
        Self {
            submitted,
            stop,
            abandoned,
            thread: Some(thread),
        }
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.abandoned.store(true, Ordering::Relaxed);
        self.end();
    }
}
