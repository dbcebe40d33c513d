//! Two coordinators on one database, of which the leader is killed and stopped in turn.

use std::time::{Duration, Instant};

use serde_json::Value;
use swath_e2e::{Process, Random, Site, SweepText, free_address, rows, wait_until};

use super::load::POLICY;
use super::place::PATIENCE;
use crate::server::Server;
use crate::text::{Checked, say};

const SWEEP: &str = "digits";
/// Trainings of the sweep.
const JOBS: u64 = 4 * REPLICATES as u64;
const REPLICATES: u32 = 25;
/// A leader is stopped for at least so long, which is longer than its term lasts.
const STOPPED: Duration = Duration::from_secs(9);
const LEADS: &str = "this coordinator leads now";
const STANDS_BY: &str = "another coordinator has taken the lead";

/// Real trainings, on the shipped digits.
fn sweep() -> String {
    SweepText::digits(SWEEP)
        .replicates(REPLICATES)
        .grid("batch_size = [32, 64]\n\"optimizer.lr\" = [0.05, 0.1]\n")
        .to_string()
}

fn done(site: &Site) -> u64 {
    site.count(SWEEP, "succeeded")
}

fn wait_for_all(site: &Site) -> Vec<Value> {
    wait_until("every job is trained", PATIENCE * 3, || {
        (done(site) >= JOBS).then_some(())
    });
    rows(&site.json(&["table", SWEEP]))
}

/// The table of a run that nothing disturbs.
fn undisturbed() -> Vec<Value> {
    let mut site = Site::new();
    let _coordinator = site.serve();
    let _worker = site.worker("steady", 2, &[]);
    site.write("digits.toml", &sweep());
    site.ok(&["submit", "digits.toml"]);
    wait_for_all(&site)
}

/// Both coordinators, by the addresses where they listen.
struct Pair<'a> {
    site: &'a Site,
    database: &'a str,
    variables: &'a [(&'static str, String)],
    listen: [String; 2],
    both: [Process; 2],
    leader: usize,
}

impl<'a> Pair<'a> {
    fn start(
        site: &'a Site,
        database: &'a str,
        variables: &'a [(&'static str, String)],
        listen: [String; 2],
    ) -> Self {
        let serve = |listen: &String| {
            let mut process = site.serve_on(listen, database, variables);
            process.wait_for_line("listening on ");
            process
        };
        let both = [serve(&listen[0]), serve(&listen[1])];
        Self {
            site,
            database,
            variables,
            listen,
            both,
            leader: 0,
        }
    }

    fn count(&self, index: usize, line: &str) -> usize {
        self.both[index].stderr().matches(line).count()
    }

    /// Waits until the other one leads.
    fn takeover(&mut self, before: usize, began: Instant) -> Duration {
        let next = 1 - self.leader;
        wait_until("the other coordinator leads", PATIENCE, || {
            (self.count(next, LEADS) > before).then_some(())
        });
        self.leader = next;
        began.elapsed()
    }

    fn kill_leader(&mut self) -> Duration {
        let (old, before) = (self.leader, self.count(1 - self.leader, LEADS));
        let began = Instant::now();
        self.both[old].kill();
        let took = self.takeover(before, began);
        self.both[old] = self
            .site
            .serve_on(&self.listen[old], self.database, self.variables);
        self.both[old].wait_for_line("listening on ");
        took
    }

    fn stop_leader(&mut self) -> Duration {
        let (old, before) = (self.leader, self.count(1 - self.leader, LEADS));
        let stepped_down = self.count(old, STANDS_BY);
        let began = Instant::now();
        self.both[old].signal(libc::SIGSTOP);
        let took = self.takeover(before, began);
        std::thread::sleep(STOPPED.saturating_sub(began.elapsed()));
        self.both[old].signal(libc::SIGCONT);
        wait_until("the old leader stands by", PATIENCE, || {
            (self.count(old, STANDS_BY) > stepped_down).then_some(())
        });
        took
    }
}

pub(crate) fn in_turn(turns: u64, random: &mut Random) -> Checked<String> {
    let expected = undisturbed();
    say(&format!(
        "  undisturbed: {JOBS} trainings, {} rows",
        expected.len()
    ));
    let server = Server::start()?;
    let database = server.database("kills", None)?;
    let variables = server.variables();
    let mut site = Site::new();
    site.write("policy.toml", POLICY);
    let listen = [free_address(), free_address()];
    site.reach(&format!("http://{},http://{}", listen[0], listen[1]));
    let mut pair = Pair::start(&site, &database, &variables, listen);
    let _worker = site.worker("steady", 2, &[]);
    site.write("digits.toml", &sweep());
    site.ok(&["submit", "digits.toml"]);
    let mut times = Vec::new();
    for turn in 1..=turns {
        let before = done(&site);
        wait_until("trainings go on", PATIENCE, || {
            (done(&site) > before || before >= JOBS).then_some(())
        });
        std::thread::sleep(Duration::from_millis(random.below(1_000)));
        let (what, took) = if turn % 2 == 1 {
            ("killed", pair.kill_leader())
        } else {
            ("stopped", pair.stop_leader())
        };
        let seconds = took.as_secs_f64();
        times.push(format!("{seconds:.1}"));
        say(&format!(
            "  {turn}: leader {what}, the other one leads after {seconds:.1} s; {} of {JOBS} trained",
            done(&site)
        ));
    }
    let before_end = done(&site);
    let table = wait_for_all(&site);
    if table != expected {
        return Err(format!(
            "the table differs: {table:?}, undisturbed {expected:?}"
        ));
    }
    let jobs = site.json(&["jobs", SWEEP]);
    let jobs = jobs["jobs"].as_array().cloned().unwrap_or_default();
    let again = jobs.iter().filter(|job| job["attempt"] != 1).count();
    Ok(format!(
        "the table of {JOBS} trainings equals the undisturbed one; takeovers after {} s; {again} trained more than \
         once; {before_end} trained when the last turn was over",
        times.join(", ")
    ))
}
