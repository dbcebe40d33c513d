//! Which directories of attempts their workers may remove. The rule is
//! [`swath_model::keep`]; here is looked up what the sweeps of a job say, and
//! which cells are the best ones of sweeps that have ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swath_model::id::{CellDigest, SweepDigest};
use swath_model::keep::{Keep, Wish, may_go};
use swath_model::message::Held;
use swath_model::time::Timestamp;
use swath_model::view::{JobView, SweepState, SweepView};
use swath_results::table::{Definition, Results};

use super::error::ApiError;
use super::state::State;
use super::table::cells_of;

/// What was looked up. A sweep does not change, and its best cells do not until
/// it ends once more.
#[derive(Debug, Default)]
pub(crate) struct Keeping {
    sweeps: Mutex<BTreeMap<SweepDigest, Keep>>,
    best: Mutex<BTreeMap<SweepDigest, (Timestamp, Best)>>,
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
    if keeps.values().all(Keep::is_default) {
        return Ok(vec![false; held.len()]);
    }
    let mut answers = Vec::with_capacity(held.len());
    for held in held {
        let found = state.store.job(held.job).await.map_err(ApiError::from)?;
        let Some(job) = found.map(|detail| detail.job) else {
            answers.push(false);
            continue;
        };
        let mut wishes = Vec::with_capacity(job.holders.len());
        for sweep in sweeps.iter().filter(|it| job.holders.contains(&it.digest)) {
            let keep = keeps.get(&sweep.digest).copied().unwrap_or_default();
            wishes.push(wish(state, sweep, keep, &job).await?);
        }
        answers.push(may_go(held.attempt, job.attempt, job.state, &wishes));
    }
    Ok(answers)
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
