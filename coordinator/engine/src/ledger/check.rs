//! What must hold for a whole ledger at any time.

use swath_model::id::JobDigest;
use swath_model::job::StateName;
use swath_model::view::Counts;

use super::Ledger;
use super::hot::{Cell, Filed, Loc};

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{invariant} (job {job:?})")]
pub struct Broken {
    /// The invariant, by number and in words.
    pub invariant: &'static str,
    /// The job for which it does not hold, if it is about one.
    pub job: Option<JobDigest>,
}

fn broken(invariant: &'static str, job: JobDigest) -> Broken {
    Broken {
        invariant,
        job: Some(job),
    }
}

impl Ledger {
    /// Checks every invariant over all that is held.
    ///
    /// # Errors
    ///
    /// The first invariant that does not hold.
    pub fn check(&self) -> Result<(), Broken> {
        let mut filed = 0;
        for (place, cell) in self
            .cells
            .iter()
            .zip(0..)
            .filter_map(|(cell, at)| Some((at, cell.as_ref()?)))
        {
            self.cell_is_whole(place, cell)?;
            for number in 0..cell.jobs.len() as u32 {
                let at = Loc {
                    cell: place,
                    place: number,
                };
                self.job_is_sound(at)?;
                filed += usize::from(self.entry(at).filed != Filed::Nowhere);
            }
        }
        if filed != self.index.len() {
            return Err(Broken {
                invariant: "the indexes have jobs that are not held",
                job: None,
            });
        }
        if !self.inputs.is_sound() {
            return Err(Broken {
                invariant: "a file travels with other sweeps than it counts",
                job: None,
            });
        }
        if !self.keeping_is_sound() {
            return Err(Broken {
                invariant: "room is kept as it was before something changed",
                job: None,
            });
        }
        self.open_jobs_are_held()
    }

    fn cell_is_whole(&self, place: u32, cell: &Cell) -> Result<(), Broken> {
        let open = cell.jobs.iter().filter(|job| !job.state_name().is_final());
        let known = cell.holders.iter().all(|(sweep, held)| {
            *held as usize <= cell.jobs.len()
                && self
                    .sweeps
                    .get(sweep)
                    .is_some_and(|it| it.cells.contains(&place))
        });
        let whole = open.count() == cell.open as usize
            && self.find_cell(cell.digest) == Some(place)
            && known;
        let job = cell.jobs.first().map(|job| job.digest);
        let invariant = "a cell that is not where its sweeps and its jobs say";
        whole.then_some(()).ok_or(Broken { invariant, job })
    }

    /// Checks what one job can show of I1 to I5, and that it is filed where it
    /// is.
    fn job_is_sound(&self, at: Loc) -> Result<(), Broken> {
        let entry = self.entry(at);
        let digest = entry.digest;
        if self.find_job(digest) != Some(at) {
            return Err(broken("a job that is not found", digest));
        }
        let Some(lived) = entry.lived() else {
            let wanted = self.urgency(at).map_or(Filed::Nowhere, Filed::Queue);
            let placed = self.is_late(at) || entry.filed == wanted;
            let placed = placed && (self.needed(at) || self.is_staged(at));
            return placed
                .then_some(())
                .ok_or_else(|| broken("a fresh job is misfiled", digest));
        };
        lived
            .job
            .check(&self.policy)
            .map_err(|invariant| broken(invariant, digest))?;
        let newest = lived.job.lease().is_none_or(|lease| {
            let worker = lived.worker.and_then(|key| self.workers.get(&key));
            worker.is_some_and(|it| {
                it.session == lease.owner.session && it.name == lease.owner.worker
            })
        });
        if !newest {
            return Err(broken(
                "I3: a lease of a session that is not the newest",
                digest,
            ));
        }
        let over = lived.job.state_name().is_final();
        if over != lived.ended_at.is_some() {
            return Err(broken(
                "I4: the time of an end without the end, or the reverse",
                digest,
            ));
        }
        if !over && !lived.job.stopping() && !self.needed(at) && !self.is_staged(at) {
            return Err(broken("I5: a job waits that nobody needs", digest));
        }
        let placed = match (lived.job.state_name(), entry.filed) {
            (StateName::Queued, Filed::Queue(urgency)) => self.urgency(at) == Some(urgency),
            (StateName::Queued, Filed::Backoff(_)) => self.urgency(at).is_some(),
            (StateName::Queued, Filed::Nowhere) => self.urgency(at).is_none(),
            (StateName::Leased | StateName::Suspect, Filed::Lease(until, worker, slots)) => {
                lived.job.lease().map(|it| it.deadline) == Some(until)
                    && lived.worker == Some(worker)
                    && lived.slots() == slots
            }
            (state, filed) => state.is_final() && filed == Filed::Nowhere,
        };
        (placed || self.is_late(at))
            .then_some(())
            .ok_or_else(|| broken("a job is misfiled", digest))
    }

    /// Whether a job is of a sweep that is not whole yet.
    fn is_staged(&self, at: Loc) -> bool {
        let mut holders = self.cell(at.cell).holders_of(at.place);
        holders.any(|key| self.sweep(key).label.staged)
    }

    /// Checks that the counts of every sweep name as many open jobs as are
    /// held.
    fn open_jobs_are_held(&self) -> Result<(), Broken> {
        for (key, sweep) in &self.sweeps {
            let mut held = Counts::default();
            for at in self.held_jobs(*key) {
                let (state, fault) = self.entry(at).standing();
                held.add(state, fault, 1);
            }
            let open = |counts: &Counts| (counts.queued, counts.leased, counts.suspect);
            if open(&held) != open(&sweep.counts) || held.done() > sweep.counts.done() {
                return Err(Broken {
                    invariant: "a sweep counts other jobs than it has",
                    job: None,
                });
            }
        }
        Ok(())
    }
}
