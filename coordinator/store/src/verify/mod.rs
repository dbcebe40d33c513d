//! Checks every invariant over a whole store, in bounded memory. The databases
//! refuse most violations when they are written; this finds those that got past
//! them.

mod inputs;
mod job;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use swath_model::id::{SessionId, WorkerName};
use swath_model::policy::Policy;
use swath_model::probe::WorkloadKey;
use swath_model::spec;
use swath_model::time::Timestamp;
use swath_model::view::Counts;

use crate::changes::{Changes, NewCell, NewSweepCell, SweepRow};
use crate::cold::{Names, StoredCell};
use crate::dump::{Part, Snapshot};
use crate::key::{CellKey, SweepKey, WorkerKey};
use crate::walk::{Census, Counting, Progress, Walk};
use crate::{Result, StoreError};

use self::inputs::Inputs;
use self::job::Facts;

/// How many findings are listed; further ones are only counted.
pub const FINDINGS_TOLD: usize = 100;

/// The result of verifying.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// What is stored, as far as it could be read.
    pub census: Census,
    /// The first findings.
    pub findings: Vec<Finding>,
    /// How many more findings there are.
    pub untold: u64,
}

impl Verified {
    /// Whether nothing is wrong.
    pub const fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The job, sweep or cell that it is about.
    pub at: String,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.what)
    }
}

/// Verifies everything.
///
/// # Errors
///
/// When the store cannot be read at all; parts that cannot be read are findings.
pub async fn verify(
    snapshot: &mut dyn Snapshot,
    policy: &Policy,
    progress: Progress<'_>,
) -> Result<Verified> {
    let mut verifier = Verifier::new(policy);
    for line in snapshot.damage().await? {
        verifier.found("the database", line);
    }
    match snapshot.start().await {
        Ok(_) => {}
        Err(error) if verifier.findings.is_empty() => return Err(error),
        Err(error) => verifier.found("the database", told(&error)),
    }
    let mut counting = Counting::default();
    let mut walk = Walk::new();
    let mut whole = true;
    loop {
        match walk.next(snapshot, progress).await {
            Ok(Some((part, page))) => {
                counting.add(part, &page)?;
                verifier.look(snapshot, part, &page.rows).await;
            }
            Ok(None) => break,
            Err(error) => {
                let part = walk.part.map_or("rows", Part::name);
                let what = format!(
                    "cannot be read on ({}); those that follow were not looked at",
                    told(&error)
                );
                verifier.found(part, what);
                walk.skip();
                whole = false;
            }
        }
    }
    if whole {
        verifier.sum_up();
    }
    Ok(Verified {
        census: counting.end(),
        findings: verifier.findings,
        untold: verifier.untold,
    })
}

/// An error with its causes, on one line.
fn told(error: &StoreError) -> String {
    swath_model::error::causes(error)
}

/// What the parts of the store say about a sweep, one after the other.
struct Sweep {
    label: String,
    /// Whether some of its cells may be gone already.
    deleting: bool,
    /// Whether it is still being stored, so that it has not all of its cells.
    staged: bool,
    row: SweepRow,
    /// How many cells it claims to have, and how many it has.
    cells: (u64, u64),
    /// How many jobs its cells claim to have.
    jobs: u64,
    counts: Counts,
    ended_at: Option<Timestamp>,
    /// How many replicates were decided, as counted and as listed.
    seeds: (u64, u64),
}

struct Verifier<'a> {
    policy: &'a Policy,
    sweeps: BTreeMap<SweepKey, Sweep>,
    workers: HashMap<WorkerKey, (WorkerName, SessionId)>,
    inputs: Inputs,
    findings: Vec<Finding>,
    untold: u64,
}

impl<'a> Verifier<'a> {
    fn new(policy: &'a Policy) -> Self {
        Self {
            policy,
            sweeps: BTreeMap::new(),
            workers: HashMap::new(),
            inputs: Inputs::default(),
            findings: Vec::new(),
            untold: 0,
        }
    }

    fn found(&mut self, at: impl Into<String>, what: impl Into<String>) {
        if self.findings.len() < FINDINGS_TOLD {
            let (at, what) = (at.into(), what.into());
            self.findings.push(Finding { at, what });
        } else {
            self.untold += 1;
        }
    }

    fn found_all(&mut self, findings: Vec<Finding>) {
        for Finding { at, what } in findings {
            self.found(at, what);
        }
    }

    async fn look(&mut self, snapshot: &mut dyn Snapshot, part: Part, rows: &Changes) {
        match part {
            Part::Sweeps => self.add_sweeps(rows),
            Part::Inputs => self.inputs.add(&rows.inputs),
            Part::Pieces => {
                let broken = self.inputs.pieces(&rows.pieces);
                self.found_all(broken);
            }
            Part::Shipped => {
                for row in &rows.shipped {
                    if !self.sweeps.contains_key(&row.sweep) {
                        self.found(format!("sweep {}", row.sweep), "is not there");
                    }
                    if !self.inputs.has(row.input) {
                        self.found(format!("file {}", row.input), "is not there");
                    }
                }
            }
            Part::Cells => rows.cells.iter().for_each(|cell| self.cell(cell)),
            Part::SweepCells => rows.sweep_cells.iter().for_each(|it| self.sweep_cell(it)),
            Part::Workers => {
                let workers = rows.workers.iter();
                self.workers
                    .extend(workers.map(|it| (it.key, (it.name.clone(), it.session))));
            }
            Part::Jobs => self.jobs(snapshot, rows).await,
            Part::Replications => {
                for row in &rows.replications {
                    match self.sweeps.get_mut(&row.sweep) {
                        Some(sweep) => sweep.seeds.0 = row.seeds,
                        None => self.found(format!("sweep {}", row.sweep), "is not there"),
                    }
                }
            }
            Part::Decisions => {
                for row in &rows.decisions {
                    match self.sweeps.get_mut(&row.sweep) {
                        Some(sweep) => sweep.seeds.1 += 1,
                        None => self.found(format!("sweep {}", row.sweep), "is not there"),
                    }
                }
            }
            // These are only read; the databases check what they refer to.
            Part::Late
            | Part::Observations
            | Part::Logs
            | Part::Requests
            | Part::Imports
            | Part::Credentials => {}
        }
    }

    fn add_sweeps(&mut self, rows: &Changes) {
        for (new, row) in rows.new_sweeps.iter().zip(&rows.sweeps) {
            let sweep = Sweep {
                label: format!("sweep {} ({})", new.name, new.digest.short()),
                deleting: new.label.deleting,
                staged: new.label.staged,
                row: row.clone(),
                cells: (new.cells, 0),
                jobs: 0,
                counts: Counts::default(),
                ended_at: None,
                seeds: (0, 0),
            };
            self.sweeps.insert(new.key, sweep);
        }
    }

    fn cell(&mut self, cell: &NewCell) {
        let at = || format!("cell {}", cell.digest.short());
        if let Err(why) = spec::read_stored(&cell.spec) {
            self.found(at(), format!("no reader can take it: {why}"));
        }
        if spec::cell_digest(&cell.spec) != cell.digest {
            self.found(at(), "I6: its digest is not that of its spec");
        } else if WorkloadKey::of_cell(&cell.spec) != cell.workload {
            self.found(at(), "its workload is not that of its spec");
        }
    }

    fn sweep_cell(&mut self, held: &NewSweepCell) {
        let Some(sweep) = self.sweeps.get_mut(&held.sweep) else {
            self.found(format!("sweep {}", held.sweep), "is not there");
            return;
        };
        let in_order = held.position == sweep.cells.1;
        sweep.cells.1 += 1;
        sweep.jobs += u64::from(held.replicates);
        if !in_order {
            let label = sweep.label.clone();
            let what = format!("its cell at place {} does not follow", held.position);
            self.found(label, what);
        }
    }

    async fn jobs(&mut self, snapshot: &mut dyn Snapshot, rows: &Changes) {
        let facts = Facts::gather(rows);
        let cells = self.cells_of(snapshot, &facts).await;
        let keys: Vec<CellKey> = cells.keys().copied().collect();
        let mut specs = HashMap::new();
        match snapshot.specs(&keys).await {
            Ok(texts) => specs.extend(keys.into_iter().zip(texts)),
            Err(error) => self.found("cells", told(&error)),
        }
        for job in &facts {
            let cell = cells.get(&job.new.cell);
            let spec = specs.get(&job.new.cell).map(String::as_str);
            let mut broken = job.check(self.policy, &self.workers);
            broken.extend(job.check_name(cell, spec));
            if let Some(cell) = cell {
                broken.extend(self.count(job, cell));
            }
            for what in broken {
                self.found(format!("job {}", job.new.digest.short()), what);
            }
        }
    }

    /// The cells of these jobs. If one cannot be read, the others still are.
    async fn cells_of(
        &mut self,
        snapshot: &mut dyn Snapshot,
        facts: &[Facts<'_>],
    ) -> BTreeMap<CellKey, StoredCell> {
        let mut cells = BTreeMap::new();
        let mut waiting = vec![facts];
        while let Some(jobs) = waiting.pop() {
            let names = Names {
                jobs: jobs.iter().map(|job| job.new.digest).collect(),
                ..Names::default()
            };
            match snapshot.load(&names).await {
                Ok(found) => cells.extend(found.into_iter().map(|cell| (cell.key, cell))),
                Err(error) => match jobs {
                    [] => {}
                    [job] => {
                        let at = format!("job {}", job.new.digest.short());
                        self.found(at, format!("its cell cannot be read ({})", told(&error)));
                    }
                    jobs => {
                        let (first, second) = jobs.split_at(jobs.len() / 2);
                        waiting.extend([second, first]);
                    }
                },
            }
        }
        cells
    }

    /// Counts a job in the sweeps that hold it; returns what is wrong with
    /// that.
    fn count(&mut self, job: &Facts<'_>, cell: &StoredCell) -> Option<&'static str> {
        let state = job.job.state_name();
        let (mut held, mut live) = (false, false);
        for (key, replicates) in &cell.holders {
            let Some(sweep) = self.sweeps.get_mut(key) else {
                continue;
            };
            if *replicates < job.new.replicate.0 {
                continue;
            }
            held = true;
            // Its jobs wait for the last of its cells.
            live |= sweep.row.live || sweep.staged;
            sweep.counts.add(state, job.fault(), 1);
            sweep.ended_at = sweep.ended_at.max(job.ended_at());
        }
        if !held {
            return Some("it is of no sweep");
        }
        let needed = live || state.is_final() || job.job.stopping();
        (!needed).then_some("I5: it waits and no live sweep needs it")
    }

    /// Checks what must hold for whole sweeps.
    fn sum_up(&mut self) {
        let broken = self.inputs.end();
        self.found_all(broken);
        for sweep in std::mem::take(&mut self.sweeps).into_values() {
            let Sweep {
                label,
                deleting,
                staged,
                row,
                cells,
                jobs,
                counts,
                ended_at,
                seeds,
            } = sweep;
            if cells.0 != cells.1 && !(staged && cells.1 < cells.0) {
                let what = format!("it has {} cells and counts {}", cells.1, cells.0);
                self.found(label.clone(), what);
            }
            if jobs != counts.total() {
                let there = counts.total();
                let what = format!("{there} of its {jobs} jobs are there");
                self.found(label.clone(), what);
            }
            if counts != row.counts {
                let what = format!("it counts {}, and has {}", shown(row.counts), shown(counts));
                self.found(label.clone(), what);
            }
            // The job that ended last may have started over.
            let over = counts.done() == counts.total();
            if (over && !deleting && !staged && ended_at != row.ended_at) || ended_at > row.ended_at
            {
                let ms = |at: Option<Timestamp>| at.map_or(0, Timestamp::as_ms);
                let (said, is) = (ms(row.ended_at), ms(ended_at));
                let what = format!("it says that it ended at {said}, and its jobs at {is}");
                self.found(label.clone(), what);
            }
            if seeds.0 != seeds.1 {
                let what = format!("it counts {} decisions and has {}", seeds.0, seeds.1);
                self.found(label, what);
            }
        }
    }
}

fn shown(counts: Counts) -> String {
    let Counts {
        queued,
        leased,
        suspect,
        succeeded,
        failed,
        diverged,
        cancelled,
    } = counts;
    format!(
        "{queued} queued, {leased} leased, {suspect} suspect, {succeeded} succeeded, {failed} \
         failed, {diverged} diverged, {cancelled} cancelled"
    )
}
