//! Which directories of attempts their workers may remove. The rule is
//! [`swath_model::keep`]; here is looked up what the sweeps of a job say, and
//! which cells are the best ones of sweeps that have ended.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swath_model::event::{Event, What};
use swath_model::id::{CellDigest, JobDigest, SweepDigest};
use swath_model::keep::{Keep, Known, Wish, may_go};
use swath_model::message::Held;
use swath_model::time::Timestamp;
use swath_model::view::{JobView, SweepState, SweepView};
use swath_results::table::{Definition, Results};

use super::error::ApiError;
use super::state::State;
use super::table::cells_of;

/// How many deleted jobs are known, the newest ones.
const DELETED_MAX: usize = 200_000;

/// How many events are read at once.
const EVENTS_AT_ONCE: u32 = 2000;

/// What was looked up. A sweep does not change, and its best cells do not until
/// it ends once more.
#[derive(Debug, Default)]
pub(crate) struct Keeping {
    sweeps: Mutex<BTreeMap<SweepDigest, Keep>>,
    best: Mutex<BTreeMap<SweepDigest, (Timestamp, Best)>>,
    deleted: tokio::sync::Mutex<Deleted>,
}

/// The jobs of which events say that they were deleted. Events are kept for a while, so
/// that another coordinator knows these too.
#[derive(Debug, Default)]
struct Deleted {
    /// The number of the last event that was read.
    seen: u64,
    jobs: HashSet<JobDigest>,
    oldest_first: VecDeque<JobDigest>,
}

impl Deleted {
    fn add(&mut self, event: Event) {
        self.seen = event.seq;
        let What::JobsDeleted { jobs } = event.what else {
            return;
        };
        for job in jobs {
            if self.jobs.insert(job) {
                self.oldest_first.push_back(job);
            }
        }
        while self.oldest_first.len() > DELETED_MAX {
            let oldest = self.oldest_first.pop_front();
            oldest.map(|job| self.jobs.remove(&job));
        }
    }
}

/// The best cells of a sweep; none if it has no best one.
type Best = Option<Arc<BTreeSet<CellDigest>>>;

impl Keeping {
    fn sweeps(&self) -> MutexGuard<'_, BTreeMap<SweepDigest, Keep>> {
        self.sweeps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn best(&self) -> MutexGuard<'_, BTreeMap<SweepDigest, (Timestamp, Best)>> {
        self.best.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the directory of each of these attempts may go. One of which nothing
/// is known may not: it may be of another store.
pub(crate) async fn retained(state: &State, held: &[Held]) -> Result<Vec<bool>, ApiError> {
    let sweeps = state.store.sweeps().await.map_err(ApiError::from)?;
    let keeps = keeps(state, &sweeps).await?;
    let all_stay = keeps.values().all(Keep::is_default);
    let deleted = deleted(state, held).await?;
    let mut answers = Vec::with_capacity(held.len());
    for held in held {
        let was_deleted = deleted.contains(&held.job);
        if all_stay && !was_deleted {
            answers.push(false);
            continue;
        }
        // A deleted job may have been submitted again.
        let found = state.store.job(held.job).await.map_err(ApiError::from)?;
        let Some(job) = found.map(|detail| detail.job) else {
            let known = if was_deleted {
                Known::Deleted
            } else {
                Known::Nothing
            };
            answers.push(may_go(held.attempt, known));
            continue;
        };
        let mut wishes = Vec::with_capacity(job.holders.len());
        for sweep in sweeps.iter().filter(|it| job.holders.contains(&it.digest)) {
            let keep = keeps.get(&sweep.digest).copied().unwrap_or_default();
            wishes.push(wish(state, sweep, keep, &job).await?);
        }
        let known = Known::Job {
            newest: job.attempt,
            state: job.state,
            wishes: &wishes,
        };
        answers.push(may_go(held.attempt, known));
    }
    Ok(answers)
}

/// Those of these jobs that were deleted, as far as events still say so.
async fn deleted(state: &State, held: &[Held]) -> Result<BTreeSet<JobDigest>, ApiError> {
    let mut deleted = state.keeping.deleted.lock().await;
    loop {
        let events = state.store.events(deleted.seen, EVENTS_AT_ONCE).await;
        let events = events.map_err(ApiError::from)?;
        let is_all = events.len() < EVENTS_AT_ONCE as usize;
        for event in events {
            deleted.add(event);
        }
        if is_all {
            break;
        }
    }
    let jobs = held.iter().map(|held| held.job);
    Ok(jobs.filter(|job| deleted.jobs.contains(job)).collect())
}

/// What each sweep says.
async fn keeps(
    state: &State,
    sweeps: &[SweepView],
) -> Result<BTreeMap<SweepDigest, Keep>, ApiError> {
    let mut found = BTreeMap::new();
    for sweep in sweeps {
        let known = state.keeping.sweeps().get(&sweep.digest).copied();
        let keep = if let Some(keep) = known {
            keep
        } else {
            let record = state.store.sweep(sweep.digest).await?;
            let definition = Definition::read(&record.definition);
            // One that cannot be read has said nothing.
            definition.map(|it| it.keep).unwrap_or_default()
        };
        found.insert(sweep.digest, keep);
    }
    // Deleted sweeps are forgotten.
    state.keeping.sweeps().clone_from(&found);
    Ok(found)
}

async fn wish(
    state: &State,
    sweep: &SweepView,
    keep: Keep,
    job: &JobView,
) -> Result<Wish, ApiError> {
    let best = match keep {
        Keep::Best => best(state, sweep).await?,
        Keep::All | Keep::Last | Keep::None => None,
    };
    Ok(Wish {
        keep,
        is_best: best.map(|cells| cells.contains(&job.cell)),
    })
}

/// The best cells of a sweep that has ended.
async fn best(state: &State, sweep: &SweepView) -> Result<Best, ApiError> {
    let Some(ended_at) = sweep
        .finished_at
        .filter(|_| sweep.state == SweepState::Finished)
    else {
        return Ok(None);
    };
    if let Some((at, best)) = state.keeping.best().get(&sweep.digest)
        && *at == ended_at
    {
        return Ok(best.clone());
    }
    let record = state.store.sweep(sweep.digest).await?;
    let cells = cells_of(&*state.store, &record, &[]).await?;
    // A large table occupies a core for a while.
    let look = move || -> Result<BTreeSet<CellDigest>, String> {
        let results = Results::new(&record, cells).map_err(|error| error.to_string())?;
        let places = results.best().into_iter();
        let rows = places.filter_map(|place| results.row_at(place));
        Ok(rows.map(|row| row.cell.cell).collect())
    };
    let found = tokio::task::spawn_blocking(look).await;
    let found = found
        .map_err(ApiError::internal)?
        .map_err(ApiError::internal)?;
    let best = (!found.is_empty()).then(|| Arc::new(found));
    let known = (ended_at, best.clone());
    state.keeping.best().insert(sweep.digest, known);
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(seq: u64, jobs: impl IntoIterator<Item = u64>) -> Event {
        let digest = |number: u64| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            JobDigest::from_bytes(bytes)
        };
        Event {
            seq,
            at: Timestamp::default(),
            sweep: None,
            job: None,
            attempt: None,
            worker: None,
            what: What::JobsDeleted {
                jobs: jobs.into_iter().map(digest).collect(),
            },
        }
    }

    #[test]
    fn the_newest_of_many_deleted_jobs_are_known() {
        let mut deleted = Deleted::default();
        deleted.add(gone(1, [1, 2, 1]));
        deleted.add(gone(2, [2]));
        assert_eq!((deleted.seen, deleted.jobs.len()), (2, 2));
        deleted.add(gone(3, 10..10 + DELETED_MAX as u64));
        assert_eq!(deleted.jobs.len(), DELETED_MAX);
        assert_eq!(deleted.oldest_first.len(), DELETED_MAX);
    }
}
