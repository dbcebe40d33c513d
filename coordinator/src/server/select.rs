//! From the words of a selector to the sweeps and jobs that it means.

use swath_core::id::SweepDigest;
use swath_core::message::JobQuery;
use swath_core::outcome::Fault;
use swath_core::suggest::nearest;
use swath_core::sweep::{Selector, SubjectView, Target};
use swath_core::view::{JobView, SweepView};
use swath_store::Store;
use tonic::Status;

use super::status::status;

/// What a selector means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Selected {
    /// Whole sweeps.
    Sweeps(Vec<SweepView>),
    /// Single jobs.
    Jobs(Vec<JobView>),
}

/// Reads a selector.
pub(crate) fn parse(words: &[String]) -> Result<Selector, Status> {
    Selector::parse(&words.join(" ")).map_err(|error| Status::invalid_argument(error.to_string()))
}

/// The sweeps that a selector's target names, oldest first; every sweep when
/// it has none.
fn sweeps_of(selector: &Selector, sweeps: &[SweepView]) -> Vec<SweepView> {
    let Some(target) = &selector.target else {
        return sweeps.to_vec();
    };
    let newest = sweeps.last().map(|sweep| sweep.digest);
    let matches = |sweep: &&SweepView| {
        target.matches(&SubjectView {
            sweep_name: &sweep.name,
            sweep: Some(sweep.digest),
            last: Some(sweep.digest) == newest,
            ..SubjectView::default()
        })
    };
    sweeps.iter().filter(matches).cloned().collect()
}

/// The sweeps that match; an error when the selector names none.
pub(crate) async fn sweeps(store: &dyn Store, words: &[String]) -> Result<Vec<SweepView>, Status> {
    let selector = parse(words)?;
    if let Some(filter) = selector.filters.first() {
        return Err(Status::invalid_argument(format!(
            "`{}`: filters choose jobs; this command takes a sweep",
            filter.field
        )));
    }
    let all = store.sweeps().await.map_err(|error| status(&error))?;
    let found = sweeps_of(&selector, &all);
    if found.is_empty() && selector.target.is_some() {
        return Err(no_sweep(words, &all));
    }
    Ok(found)
}

/// The one sweep that is meant: the newest of those that match, when they
/// share a name.
pub(crate) async fn sweep(store: &dyn Store, words: &[String]) -> Result<SweepView, Status> {
    let mut found = sweeps(store, words).await?;
    let Some(newest) = found.pop() else {
        return Err(Status::not_found("there is no sweep yet; submit one"));
    };
    if let Some(other) = found.iter().find(|sweep| sweep.name != newest.name)
        && !words.is_empty()
    {
        return Err(Status::invalid_argument(format!(
            "`{}` names several sweeps, among them {} and {}; name one",
            words.join(" "),
            other.name,
            newest.name
        )));
    }
    Ok(newest)
}

fn no_sweep(words: &[String], all: &[SweepView]) -> Status {
    let word = words.join(" ");
    let hint = match nearest(&word, all.iter().map(|sweep| sweep.name.as_str())) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if all.is_empty() => "; there is none yet, submit one".to_owned(),
        None => "; `coordinator sweeps` lists them".to_owned(),
    };
    Status::not_found(format!("no sweep is named `{word}`{hint}"))
}

/// The jobs that match.
pub(crate) async fn jobs(
    store: &dyn Store,
    words: &[String],
    limit: Option<u32>,
) -> Result<Vec<JobView>, Status> {
    let selector = parse(words)?;
    let mut found = Vec::new();
    for query in queries(store, &selector, words, limit).await? {
        found.extend(store.jobs(query).await.map_err(|error| status(&error))?);
    }
    found.retain(|job| lets_through(&selector, job));
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|job| seen.insert(job.digest));
    if let Some(limit) = limit {
        found.truncate(limit as usize);
    }
    Ok(found)
}

async fn queries(
    store: &dyn Store,
    selector: &Selector,
    words: &[String],
    limit: Option<u32>,
) -> Result<Vec<JobQuery>, Status> {
    // The filters are applied to what the store gives, so it may not stop
    // early when there are any.
    let limit = limit.filter(|_| selector.filters.is_empty());
    let Some(target) = &selector.target else {
        return Ok(vec![JobQuery {
            limit,
            ..JobQuery::default()
        }]);
    };
    let all = store.sweeps().await.map_err(|error| status(&error))?;
    let sweeps = sweeps_of(selector, &all);
    if !sweeps.is_empty() {
        let of = |sweep: &SweepView| JobQuery {
            sweep: Some(sweep.digest),
            limit,
            ..JobQuery::default()
        };
        return Ok(sweeps.iter().map(of).collect());
    }
    match target {
        Target::Word(prefix) if prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Ok(vec![JobQuery {
                prefix: Some(prefix.to_lowercase()),
                limit,
                ..JobQuery::default()
            }])
        }
        _ => Err(no_sweep(words, &all)),
    }
}

fn lets_through(selector: &Selector, job: &JobView) -> bool {
    let view = |state| SubjectView {
        sweep_name: job.sweeps.last().map_or("", String::as_str),
        job: Some(job.digest),
        replicate: Some(job.replicate.0),
        state: Some(state),
        spec: Some(&job.spec),
        ..SubjectView::default()
    };
    // A diverged job is a failed one that people look for by its own name.
    let diverged = job.fault == Some(Fault::Diverged);
    selector.filters.iter().all(|filter| {
        filter.matches(&view(job.state.name())) || (diverged && filter.matches(&view("diverged")))
    })
}

/// The one job that is meant.
pub(crate) async fn job(store: &dyn Store, words: &[String]) -> Result<JobView, Status> {
    let mut found = jobs(store, words, None).await?;
    let word = words.join(" ");
    match (found.pop(), found.len()) {
        (None, _) => Err(Status::not_found(format!(
            "no job matches `{word}`; `coordinator jobs` lists them"
        ))),
        (Some(job), 0) => Ok(job),
        (Some(_), more) => Err(Status::invalid_argument(format!(
            "`{word}` matches {} jobs; name one, by its id or with more filters",
            more + 1
        ))),
    }
}

/// What a selector means to a command that takes sweeps and jobs: whole sweeps
/// when it names one and filters nothing, else jobs.
pub(crate) async fn selected(store: &dyn Store, words: &[String]) -> Result<Selected, Status> {
    let selector = parse(words)?;
    if words.is_empty() {
        return Err(Status::invalid_argument("name a sweep or jobs"));
    }
    let all = store.sweeps().await.map_err(|error| status(&error))?;
    let named = sweeps_of(&selector, &all);
    if selector.filters.is_empty() && !named.is_empty() {
        return Ok(Selected::Sweeps(named));
    }
    let found = jobs(store, words, None).await?;
    if found.is_empty() {
        let word = words.join(" ");
        return Err(Status::not_found(format!(
            "no job matches `{word}`; `coordinator jobs` lists them"
        )));
    }
    Ok(Selected::Jobs(found))
}

/// The digests of sweeps.
pub(crate) fn digests(sweeps: &[SweepView]) -> Vec<SweepDigest> {
    sweeps.iter().map(|sweep| sweep.digest).collect()
}
