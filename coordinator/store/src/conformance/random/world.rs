//! What the workers of a random sequence know, and what they do with it.

use std::collections::BTreeMap;
use std::fmt::Debug;

use swath_core::id::{JobDigest, Owner, Replicate, SessionId};
use swath_core::import::{ImportBatch, ImportRow, Imported};
use swath_core::outcome::{Fault, Outcome};

use super::super::bench::Bench;
use super::super::replicating::adaptive;
use super::super::script::{
    failed, finish, job, job_of, observation, plain_cell, program_cell, report, sweep, worker_about,
};
use super::{Op, Pick, Said, Session};
use crate::{Ack, Exchange, Finish, Grant, Held, Hello, Submission};

/// What came of operations, and how often.
pub(super) type Counted = BTreeMap<String, u64>;

pub(super) const WORKERS: [&str; 3] = ["a", "b", "c"];

pub(super) const SWEEPS: usize = 5;

/// Sweeps that numbers are imported into, with their cells; the last is none.
pub(super) const IMPORTED: [(&str, &[u32]); 4] = [
    ("first", &[1, 2]),
    ("second", &[2, 3, 4]),
    ("program", &[5]),
    ("nobody", &[1]),
];

/// Numbers that a source says of cells of a sweep.
fn numbers(sweep: u8, replace: bool, rows: &[Said]) -> ImportBatch {
    let (name, cells) = IMPORTED[sweep as usize];
    let x = |said: &Said| cells.get(usize::from(said.x)).copied().unwrap_or(99);
    let row = |(line, said): (u32, &Said)| ImportRow {
        sweep: name.to_owned(),
        cell: plain_cell(x(said)).digest,
        place: u32::from(said.place),
        number: Imported {
            test_error: 6.0 + f64::from(said.value),
            seconds: (said.value > 0).then_some(60.5),
            runs: u32::from(said.runs),
            replicate: said.replicate.map(|it| Replicate(u32::from(it))),
            seed: None,
            source: if said.by_other { "other" } else { "paper" }.to_owned(),
            file: "paper.csv".to_owned(),
            line,
        },
    };
    ImportBatch {
        replace,
        rows: (2..).zip(rows).map(row).collect(),
    }
}

/// Sweeps that share jobs: the second and the third overlap the first, the
/// third has its name and more replicates, the fourth needs a program, and of
/// the last, results decide the replicates.
fn submission(which: u8, priority: i32) -> Submission {
    let mut submission = match which {
        0 => sweep("first", &[1, 2], 2),
        1 => sweep("second", &[2, 3, 4], 1),
        2 => sweep("first", &[2, 1], 3),
        4 => adaptive("adaptive", &[3, 1], 1, 2),
        _ => {
            let mut submission = sweep("program", &[5], 1);
            submission.cells.push(program_cell("tool"));
            submission
        }
    };
    // Mostly granted first, or it would rarely come to a look.
    submission.priority = priority + if which == 4 { 2 } else { 0 };
    submission
}

/// The jobs of all sweeps whose bit is set, and one that never exists.
fn jobs(bits: u8) -> Vec<JobDigest> {
    let all = [
        job(1, 1),
        job(1, 2),
        job(2, 1),
        job(2, 3),
        job(3, 1),
        job(5, 1),
        job_of(&program_cell("tool"), 1),
        job(99, 1),
    ];
    let chosen = all.into_iter().enumerate();
    chosen
        .filter(|(place, _)| bits & (1 << place) != 0)
        .map(|(_, job)| job)
        .collect()
}

/// What the workers of a sequence know.
pub(super) struct World {
    mood: Option<Fault>,
    sessions: BTreeMap<u8, Vec<SessionId>>,
    /// Attempts that each worker was granted, oldest first, without those
    /// whose outcome was acknowledged.
    seen: BTreeMap<u8, Vec<Held>>,
    /// Those, with it.
    done: BTreeMap<u8, Vec<(Held, Outcome)>>,
    requests: u64,
    happened: Counted,
}

impl World {
    /// A world in which, if there is a mood, every attempt fails like that.
    pub(super) fn new(mood: Option<Fault>) -> Self {
        Self {
            mood,
            sessions: BTreeMap::new(),
            seen: BTreeMap::new(),
            done: BTreeMap::new(),
            requests: 0,
            happened: Counted::new(),
        }
    }

    /// What came of the operations, and how often.
    pub(super) fn happened(self) -> Counted {
        self.happened
    }

    /// Something to do and somebody to do it, or many operations are lost.
    pub(super) async fn start(&mut self, bench: &mut Bench) {
        for which in [0, 1, 4] {
            bench.submit(&submission(which, 0)).await;
        }
        for worker in [0, 1] {
            self.hello(bench, worker, 0, true).await;
        }
    }

    fn count(&mut self, call: &str, what: impl Debug, times: u64) {
        if times > 0 {
            let what = format!("{what:?}");
            let kind = what.trim_matches('"').split([' ', '{', '(']).next();
            let kind = format!("{call} {}", kind.unwrap_or_default());
            *self.happened.entry(kind).or_default() += times;
        }
    }

    fn owner(&self, worker: u8, session: Session) -> Owner {
        let given = self.sessions.get(&worker).map_or(&[][..], Vec::as_slice);
        let newest = given.last().copied().unwrap_or_default();
        Owner {
            worker: WORKERS[worker as usize].parse().unwrap(),
            session: match session {
                Session::Newest => newest,
                Session::Older => given.iter().rev().nth(1).copied().unwrap_or(newest),
                Session::Future => SessionId(newest.0 + 50),
            },
        }
    }

    fn attempt(&self, worker: u8, pick: Pick) -> Held {
        let worker = (worker + u8::from(pick.of_other)) % WORKERS.len() as u8;
        let known: Vec<Held> = if pick.done {
            let done = self.done.get(&worker).into_iter().flatten();
            done.map(|(held, _)| *held).collect()
        } else {
            self.seen.get(&worker).cloned().unwrap_or_default()
        };
        let back = pick.back as usize % known.len().max(1);
        let named = known.iter().rev().nth(back).copied();
        let mut held = named.unwrap_or(super::super::script::held(job(1, 1), 1));
        held.attempt.0 += u32::from(pick.wrong);
        held
    }

    /// A finish of the picked attempt. One that was recorded already is said
    /// again as it was.
    fn finish_of(&self, worker: u8, pick: Pick, outcome: Outcome) -> Option<Finish> {
        // Without an attempt of its own, a worker mostly has nothing to say.
        let idle = self.seen.get(&worker).is_none_or(Vec::is_empty);
        if idle && !(pick.done || pick.of_other || pick.wrong) {
            return None;
        }
        let held = self.attempt(worker, pick);
        let done = self.done.values().flatten();
        let before = done.rev().find(|(done, _)| *done == held && pick.done);
        let outcome = match (before, self.mood) {
            (Some((_, outcome)), _) => outcome.clone(),
            (None, Some(fault)) => failed(fault, "no data"),
            (None, None) => outcome,
        };
        Some(finish(held, outcome))
    }

    fn ended(&mut self, worker: u8, finish: Finish) {
        for seen in self.seen.values_mut() {
            seen.retain(|held| *held != finish.held);
        }
        let done = self.done.entry(worker).or_default();
        done.push((finish.held, finish.outcome));
    }

    /// The newest attempts of a worker whose bit is *not* set: most.
    fn recent(&self, worker: u8, but: u8) -> Vec<Held> {
        let seen = self.seen.get(&worker).map_or(&[][..], Vec::as_slice);
        let recent = seen.iter().rev().take(8).enumerate();
        // Two random bytes would agree too rarely: leave out one in four.
        let out = but & but.rotate_left(3);
        recent
            .filter(|(place, _)| out & (1 << place) == 0)
            .map(|(_, held)| *held)
            .collect()
    }

    fn saw(&mut self, worker: u8, grants: &[Grant]) {
        let seen = self.seen.entry(worker).or_default();
        for grant in grants {
            if !seen.contains(&grant.held) {
                seen.push(grant.held);
            }
        }
    }

    pub(super) async fn step(&mut self, bench: &mut Bench, op: Op) {
        match op {
            Op::Submit(which, priority) => {
                let submitted = bench.submit(&submission(which, priority)).await;
                self.count("submit", "revived", u64::from(submitted.revived));
            }
            Op::Change(which, change) => {
                let digest = submission(which, 0).digest;
                let _refused = bench.change_sweep(digest, change).await;
            }
            Op::Tick => {
                let ticked = bench.tick().await;
                self.count("tick", "suspected", ticked.suspected);
                self.count("tick", "requeued", ticked.requeued);
                self.count("tick", "ended", ticked.ended);
            }
            Op::Look => {
                for due in bench.due().await {
                    let look = bench.look(due).await;
                    let done = bench.replicate(due, &look).await.unwrap();
                    self.count("look", "seeds", done.seeds);
                    self.count("look", "settled", u64::from(done.settled));
                }
            }
            Op::Restart => bench.restart().await,
            Op::Extend => bench.extend_leases().await,
            Op::CancelJobs(bits) => {
                // Few at a time, or nothing is left to do.
                let jobs = jobs(bits & bits.rotate_left(1));
                let changed = bench.cancel_jobs(&jobs).await;
                self.count("cancel", "changed", changed);
            }
            Op::RetryJobs(bits) => {
                let changed = bench.retry_jobs(&jobs(bits)).await;
                self.count("retry", "changed", changed);
            }
            Op::Worker(worker, change) => {
                let name = WORKERS[worker as usize].parse().unwrap();
                let _refused = bench.change_worker(&name, change).await;
            }
            Op::Import {
                sweep,
                replace,
                rows,
            } => self.import(bench, numbers(sweep, replace, &rows)).await,
            Op::Hello {
                worker,
                claims,
                program,
            } => self.hello(bench, worker, claims, program).await,
            other => self.speak(bench, other).await,
        }
    }

    async fn import(&mut self, bench: &mut Bench, batch: ImportBatch) {
        match bench.import(batch).await {
            Ok(counts) => {
                self.count("import", "new", counts.new);
                self.count("import", "known", counts.known);
                self.count("import", "removed", counts.removed);
            }
            Err(error) => self.count("import", error, 1),
        }
    }

    async fn hello(&mut self, bench: &mut Bench, worker: u8, claims: u8, program: bool) {
        let programs: &[&str] = if program { &["tool"] } else { &[] };
        let hello = Hello {
            worker: WORKERS[worker as usize].parse().unwrap(),
            about: worker_about(programs),
            held: self.recent(worker, claims),
        };
        let welcome = bench.greet(hello).await;
        self.count("hello", "requeued", welcome.requeued);
        for verdict in welcome.verdicts {
            self.count("hello", verdict, 1);
        }
        self.sessions
            .entry(worker)
            .or_default()
            .push(welcome.session);
    }

    /// What a worker says within a session.
    async fn speak(&mut self, bench: &mut Bench, op: Op) {
        match op {
            Op::Exchange {
                worker,
                session,
                repeat,
                finishes,
                want,
            } => {
                self.requests += 1;
                let finishes: Vec<Finish> = finishes
                    .into_iter()
                    .filter_map(|(pick, outcome)| self.finish_of(worker, pick, outcome))
                    .collect();
                let exchange = Exchange {
                    owner: self.owner(worker, session),
                    request: self.requests.saturating_sub(repeat.map_or(0, u64::from)),
                    finishes: finishes.clone(),
                    want: u32::from(want),
                };
                if let Ok(exchanged) = bench.exchange(exchange).await {
                    self.saw(worker, &exchanged.grants);
                    self.count("exchange", "granted", exchanged.grants.len() as u64);
                    for (ack, finish) in exchanged.acks.into_iter().zip(finishes) {
                        self.count("exchange", ack, 1);
                        if ack != Ack::Refused {
                            self.ended(worker, finish);
                        }
                    }
                    for notice in exchanged.notices {
                        self.count("exchange", notice, 1);
                    }
                }
            }
            Op::Heartbeat {
                worker,
                session,
                mentions,
                extra,
            } => {
                let mut held = self.recent(worker, mentions);
                held.extend(extra.map(|pick| self.attempt(worker, pick)));
                let owner = self.owner(worker, session);
                for verdict in bench.heartbeat(&owner, &held).await.unwrap_or_default() {
                    self.count("heartbeat", verdict, 1);
                }
            }
            Op::Observe {
                worker,
                session,
                pick,
                epoch,
                log,
            } => {
                let epochs =
                    (1..=u32::from(epoch)).map(|epoch| observation(epoch, f64::from(epoch)));
                let report = report(
                    self.attempt(worker, pick),
                    epochs.collect(),
                    u64::from(log),
                    &format!("line {log}\n"),
                );
                let owner = self.owner(worker, session);
                for verdict in bench.observe(&owner, &[report]).await.unwrap_or_default() {
                    self.count("observe", verdict, 1);
                }
            }
            Op::Release {
                worker,
                session,
                pick,
            } => {
                let held = [self.attempt(worker, pick)];
                let owner = self.owner(worker, session);
                let _refused = bench.release(&owner, &held).await;
            }
            _ => {}
        }
    }
}
