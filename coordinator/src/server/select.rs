//! Finds the sweeps and jobs that a selector means.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;
use swath_model::id::{JobDigest, SweepDigest};
use swath_model::job::StateName;
use swath_model::message::JobQuery;
use swath_model::outcome::Fault;
use swath_model::spec::weight;
use swath_model::suggest::{did_you_mean, meant, nearest};
use swath_model::time::Timestamp;
use swath_model::view::{JobView, SCHEMA_VERSION, SweepKind, SweepRecord, SweepView};
use swath_results::table::Definition;
use swath_store::Store;
use swath_sweep::{FIELDS, Filter, Grid, Missed, Operator, Selector, SubjectView, Target};

use super::access::Whose;
use super::error::ApiError;
use crate::api::{SelectedJobs, Selection};

/// What a selector means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Selected {
    /// Whole sweeps.
    Sweeps(Vec<SweepView>),
    /// Single jobs.
    Jobs(Vec<JobState>),
}

/// The part of a job that a change needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JobState {
    /// The name of the newest sweep that holds it.
    pub(crate) sweep: String,
    pub(crate) digest: JobDigest,
    pub(crate) state: StateName,
    pub(crate) fault: Option<Fault>,
    pub(crate) ended_at: Option<Timestamp>,
    /// The sweeps that hold it.
    pub(crate) holders: Vec<SweepDigest>,
}

impl JobState {
    pub(crate) fn of(job: &JobView) -> Self {
        Self {
            sweep: job.sweeps.last().cloned().unwrap_or_default(),
            digest: job.digest,
            state: job.state,
            fault: job.fault,
            ended_at: job.ended_at,
            holders: job.holders.clone(),
        }
    }
}

/// Reads a selector. What is wrong with a parameter that no spec has is told with
/// the axes of the sweeps that are meant: a program's are not known elsewhere.
async fn parse(store: &dyn Store, words: &[String]) -> Result<Selector, ApiError> {
    let text = words.join(" ");
    let any = |_: &str| "params".to_owned();
    let found = Selector::parse_as(&text, &any).map_err(ApiError::invalid)?;
    let of_jobs = |it: &Filter| FIELDS.contains(&&*it.field);
    if found.filters.iter().all(of_jobs) {
        return Ok(found);
    }
    let all = store.sweeps().await.map_err(ApiError::from)?;
    let mut definitions = Vec::new();
    for sweep in sweeps_of(&found, &all).iter().rev().take(SWEEPS_TOLD) {
        definitions.push(store.sweep(sweep.digest).await?.definition);
    }
    // Sweeps that name their parameters differently are asked by whole names.
    let read = definitions.iter().map(Definition::read);
    let read: Vec<Definition> = read.collect::<Result<_, _>>().map_err(ApiError::internal)?;
    let bare = read.first().filter(|_| read.iter().all(|it| it.bare));
    let path = |name: &str| bare.map_or_else(|| name.to_owned(), |it| it.path(name));
    let error = match Selector::parse_as(&text, &path) {
        Ok(selector) => return Ok(selector),
        Err(error) => error,
    };
    let Some(field) = &error.unknown else {
        return Err(ApiError::invalid(error));
    };
    let grids = definitions.iter().filter_map(|it| it.get("grid"));
    let grids = grids.filter_map(|grid| Grid::deserialize(grid).ok());
    let axes = grids.flat_map(|grid| grid.axes).map(|axis| axis.path);
    let axes: Vec<String> = axes.collect();
    let names = || axes.iter().map(String::as_str).chain(FIELDS);
    if axes.is_empty() || meant(field, names()).is_none() {
        // A key of the spec may be meant that is no axis.
        return Err(ApiError::invalid(error));
    }
    let there = did_you_mean(field, names(), "a filter takes");
    Err(ApiError::invalid(format!(
        "`{field}`: no such parameter; {there}"
    )))
}

/// How many sweeps are looked at for the names of their axes.
const SWEEPS_TOLD: usize = 8;

/// The sweeps that their names alone mean: of each name, the one that was
/// submitted last.
fn of_names(sweeps: &[SweepView]) -> HashSet<SweepDigest> {
    let mut found: HashMap<&str, &SweepView> = HashMap::new();
    for sweep in sweeps {
        let known = found.entry(&sweep.name).or_insert(sweep);
        if known.label.last_submitted_at <= sweep.label.last_submitted_at {
            *known = sweep;
        }
    }
    found.into_values().map(|sweep| sweep.digest).collect()
}

/// The sweep that `name` means.
pub(crate) fn named<'a>(name: &str, sweeps: &'a [SweepView]) -> Option<&'a SweepView> {
    let namesakes = sweeps.iter().filter(|sweep| sweep.name == name);
    namesakes.max_by_key(|sweep| sweep.label.last_submitted_at)
}

/// The sweeps that a selector's target names, oldest first; all sweeps when it
/// has no target.
fn sweeps_of(selector: &Selector, sweeps: &[SweepView]) -> Vec<SweepView> {
    let Some(target) = &selector.target else {
        return sweeps.to_vec();
    };
    let newest = newest(sweeps).map(|sweep| sweep.digest);
    let named = of_names(sweeps);
    let matches = |sweep: &&SweepView| {
        target.matches(&SubjectView {
            sweep_name: &sweep.name,
            sweep: Some(sweep.digest),
            version: sweep.version,
            older: !named.contains(&sweep.digest),
            last: Some(sweep.digest) == newest,
            ..SubjectView::default()
        })
    };
    sweeps.iter().filter(matches).cloned().collect()
}

/// The sweep that people have submitted last, so none of probes, which plans
/// submit.
fn newest(sweeps: &[SweepView]) -> Option<&SweepView> {
    let of_people = |sweep: &&SweepView| sweep.kind == SweepKind::Training;
    let of_people = sweeps.iter().filter(of_people);
    of_people.max_by_key(|sweep| sweep.label.last_submitted_at)
}

/// The matching sweeps; an error when the selector names none.
pub(crate) async fn sweeps(
    store: &dyn Store,
    words: &[String],
) -> Result<Vec<SweepView>, ApiError> {
    let selector = parse(store, words).await?;
    if let Some(filter) = selector.filters.first() {
        return Err(ApiError::invalid(format!(
            "`{}`: filters choose jobs; this command takes a sweep",
            filter.field
        )));
    }
    let all = store.sweeps().await.map_err(ApiError::from)?;
    let found = sweeps_of(&selector, &all);
    if found.is_empty() && selector.target.is_some() {
        return Err(no_sweep(words, &all));
    }
    Ok(found)
}

/// The one sweep that is meant.
pub(crate) async fn sweep(store: &dyn Store, words: &[String]) -> Result<SweepView, ApiError> {
    let mut found = sweeps(store, words).await?;
    if words.is_empty() {
        found = newest(&found).into_iter().cloned().collect();
    }
    let Some(newest) = found.pop() else {
        return Err(ApiError::not_found("there is no sweep yet; submit one"));
    };
    if let Some(other) = found.last() {
        return Err(ApiError::invalid(format!(
            "`{}` names several sweeps, among them {} and {}; name one",
            words.join(" "),
            other.full_name(),
            newest.full_name()
        )));
    }
    Ok(newest)
}

/// The one sweep that is meant, with its definition.
pub(crate) async fn record(store: &dyn Store, words: &[String]) -> Result<SweepRecord, ApiError> {
    let sweep = sweep(store, words).await?.digest;
    Ok(store.sweep(sweep).await?)
}

/// The one sweep that is meant, and the filters over its cells.
pub(crate) async fn cells(
    store: &dyn Store,
    words: &[String],
) -> Result<(SweepRecord, Vec<Filter>), ApiError> {
    let filters = parse(store, words).await?.filters;
    let target: Vec<String> = {
        let is_target = |word: &&String| !word.contains(['=', '<', '>', '!']);
        words.iter().filter(is_target).cloned().collect()
    };
    Ok((record(store, &target).await?, filters))
}

fn no_sweep(words: &[String], all: &[SweepView]) -> ApiError {
    let word = words.join(" ");
    let name = word.split_once('@').map_or(&*word, |(name, _)| name);
    let versions = all.iter().filter(|sweep| sweep.name == name);
    let versions: Vec<_> = versions.map(|sweep| sweep.version.to_string()).collect();
    let hint = match nearest(name, all.iter().map(|sweep| sweep.name.as_str())) {
        _ if !versions.is_empty() => {
            format!("; `{name}` has the versions {}", versions.join(", "))
        }
        Some(near) => format!("; did you mean `{near}`?"),
        None if all.is_empty() => "; there is none yet, submit one".to_owned(),
        None => "; `coordinator sweeps` lists them".to_owned(),
    };
    ApiError::not_found(format!("no sweep is named `{word}`{hint}"))
}

/// How many jobs to request from the store at once, and how many bytes of specs
/// and messages: this limits the memory of a look over a million jobs, or over
/// large ones.
const PAGE: u32 = 4096;
const PAGE_BYTES: usize = 4 << 20;

/// The jobs of a query, some at a time.
struct Pages<'a> {
    store: &'a dyn Store,
    query: JobQuery,
}

impl<'a> Pages<'a> {
    fn new(store: &'a dyn Store, query: JobQuery) -> Self {
        let query = JobQuery {
            limit: Some(PAGE),
            bytes: Some(PAGE_BYTES),
            ..query
        };
        Self { store, query }
    }

    /// The next ones; none when there are no more.
    async fn next(&mut self) -> Result<Vec<JobView>, ApiError> {
        let found = self.store.jobs(self.query.clone()).await;
        let found = found.map_err(ApiError::from)?;
        if let Some(last) = found.last() {
            self.query.after = Some(last.digest);
        }
        Ok(found)
    }
}

/// About how much memory the jobs of one answer take, in bytes.
const ANSWER_BYTES: usize = 32 << 20;

/// A page of the jobs that match.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) jobs: Vec<JobView>,
    /// The last job of this page, if there may be another one.
    pub(crate) next: Option<JobDigest>,
}

/// The jobs that match, in order of submission after `after`: at most `limit`, and
/// no further ones after about [`ANSWER_BYTES`].
pub(crate) async fn page(
    store: &dyn Store,
    words: &[String],
    after: Option<JobDigest>,
    limit: u32,
) -> Result<Page, ApiError> {
    let selector = parse(store, words).await?;
    let scope = scope(store, &selector, words).await?;
    let mut page = Page {
        jobs: Vec::new(),
        next: after,
    };
    // Something else than a value lets everything through that has none.
    let unlike = |it: &&Filter| it.operator == Operator::NotEqual;
    let mut vain: Vec<&Filter> = selector.filters.iter().filter(unlike).collect();
    let mut bytes = 0;
    let mut pages = Pages::new(
        store,
        JobQuery {
            after,
            ..scope.query.clone()
        },
    );
    loop {
        let found = pages.next().await?;
        let over = found.is_empty();
        for job in found {
            page.next = Some(job.digest);
            vain.retain(|filter| filter.value(&subject(&job)).is_none());
            if scope.holds(&job) && lets_through(&selector, &job) {
                bytes += weight(&job.spec) + job.message.len();
                page.jobs.push(job);
                if page.jobs.len() == limit as usize || bytes > ANSWER_BYTES {
                    return Ok(page);
                }
            }
        }
        if over {
            let mistaken =
                page.jobs.is_empty() && selector.filters.iter().any(|it| it.field != "state");
            if after.is_none() && (mistaken || !vain.is_empty()) {
                explain_nothing(store, &selector, &scope).await?;
            }
            page.next = None;
            return Ok(page);
        }
    }
}

/// An error if filters name a parameter or a value that no job has: an empty
/// list would hide the mistake.
async fn explain_nothing(
    store: &dyn Store,
    selector: &Selector,
    scope: &Scope,
) -> Result<(), ApiError> {
    let mut missed = Missed::new(&selector.filters);
    let query = JobQuery {
        // In whatever state.
        states: Vec::new(),
        ..scope.query.clone()
    };
    let mut pages = Pages::new(store, query);
    loop {
        let found = pages.next().await?;
        let over = found.is_empty();
        for job in found {
            if scope.holds(&job) {
                missed.see(&subject(&job));
            }
        }
        if over {
            return missed.verdict().map_err(ApiError::invalid);
        }
    }
}

/// A job as a selector sees it.
fn subject(job: &JobView) -> SubjectView<'_> {
    SubjectView {
        sweep_name: job.sweeps.last().map_or("", String::as_str),
        job: Some(job.digest),
        replicate: Some(job.replicate.0),
        state: Some(job.state.name()),
        spec: Some(&job.spec),
        ..SubjectView::default()
    }
}

/// What is kept of each matching job.
pub(crate) async fn collect<T>(
    store: &dyn Store,
    words: &[String],
    mut keep: impl FnMut(JobView) -> Option<T>,
) -> Result<Vec<T>, ApiError> {
    let mut kept = Vec::new();
    let mut after = None;
    loop {
        let page = page(store, words, after, PAGE).await?;
        kept.extend(page.jobs.into_iter().filter_map(&mut keep));
        after = page.next;
        if after.is_none() {
            return Ok(kept);
        }
    }
}

/// Where to look for the jobs of a selector.
struct Scope {
    query: JobQuery,
    /// The sweeps that are meant, if there are several; the store searches one
    /// at a time.
    sweeps: Vec<SweepDigest>,
}

impl Scope {
    fn holds(&self, job: &JobView) -> bool {
        self.sweeps.is_empty() || self.sweeps.iter().any(|sweep| job.holders.contains(sweep))
    }
}

async fn scope(
    store: &dyn Store,
    selector: &Selector,
    words: &[String],
) -> Result<Scope, ApiError> {
    let states = states(selector);
    let everything = JobQuery {
        states,
        ..JobQuery::default()
    };
    let Some(target) = &selector.target else {
        return Ok(Scope {
            query: everything,
            sweeps: Vec::new(),
        });
    };
    let all = store.sweeps().await.map_err(ApiError::from)?;
    let sweeps = sweeps_of(selector, &all);
    match (&sweeps[..], target) {
        ([sweep], _) => {
            let query = JobQuery {
                sweep: Some(sweep.digest),
                ..everything
            };
            Ok(Scope {
                query,
                sweeps: Vec::new(),
            })
        }
        ([], Target::Word(prefix)) if prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            let query = JobQuery {
                prefix: Some(prefix.to_lowercase()),
                ..everything
            };
            Ok(Scope {
                query,
                sweeps: Vec::new(),
            })
        }
        ([], _) => Err(no_sweep(words, &all)),
        (several, _) => Ok(Scope {
            query: everything,
            sweeps: digests(several),
        }),
    }
}

/// The states that a filter over the state allows, so that the store need not
/// read other jobs; empty when it allows all.
fn states(selector: &Selector) -> Vec<StateName> {
    let state = |filter: &&Filter| filter.field == "state";
    let Some(filter) = selector.filters.iter().find(state) else {
        return Vec::new();
    };
    let says = |name| {
        filter.matches(&SubjectView {
            state: Some(name),
            ..SubjectView::default()
        })
    };
    let possible =
        |state: &StateName| says(state.name()) || (*state == StateName::Failed && says("diverged"));
    StateName::ALL.into_iter().filter(possible).collect()
}

fn lets_through(selector: &Selector, job: &JobView) -> bool {
    let diverged_one = SubjectView {
        state: Some("diverged"),
        ..subject(job)
    };
    // A diverged job is a failed one that people look for under its own name.
    let diverged = job.fault == Some(Fault::Diverged);
    selector
        .filters
        .iter()
        .all(|filter| filter.matches(&subject(job)) || (diverged && filter.matches(&diverged_one)))
}

/// The one job that is meant.
pub(crate) async fn job(store: &dyn Store, words: &[String]) -> Result<JobView, ApiError> {
    let mut found = page(store, words, None, 2).await?.jobs;
    let word = words.join(" ");
    match (found.pop(), found.len()) {
        (None, _) => Err(no_job(&word)),
        (Some(job), 0) => Ok(job),
        (Some(_), _) => Err(ApiError::invalid(format!(
            "`{word}` matches several jobs; name one, by its id or with more filters"
        ))),
    }
}

fn no_job(word: &str) -> ApiError {
    ApiError::not_found(format!(
        "no job matches `{word}`; `coordinator jobs` lists them"
    ))
}

/// What a selector means for a command that takes sweeps and jobs: whole sweeps
/// if it names one and has no filter, otherwise jobs.
pub(crate) async fn selected(store: &dyn Store, words: &[String]) -> Result<Selected, ApiError> {
    let selector = parse(store, words).await?;
    if words.is_empty() {
        return Err(ApiError::invalid("name a sweep or jobs"));
    }
    let all = store.sweeps().await.map_err(ApiError::from)?;
    let named = sweeps_of(&selector, &all);
    if selector.filters.is_empty() && !named.is_empty() {
        return Ok(Selected::Sweeps(named));
    }
    let found = collect(store, words, |job| Some(JobState::of(&job))).await?;
    if found.is_empty() {
        return Err(no_job(&words.join(" ")));
    }
    Ok(Selected::Jobs(found))
}

/// The jobs that a selector means, also those of whole sweeps; and these sweeps.
pub(crate) async fn jobs(
    store: &dyn Store,
    words: &[String],
) -> Result<(Vec<JobState>, Vec<SweepView>), ApiError> {
    match selected(store, words).await? {
        Selected::Sweeps(sweeps) => {
            let jobs = collect(store, words, |job| Some(JobState::of(&job)));
            Ok((jobs.await?, sweeps))
        }
        Selected::Jobs(jobs) => Ok((jobs, Vec::new())),
    }
}

/// What a selector means for a command that changes it, for people to confirm.
pub(crate) async fn selection(
    store: &dyn Store,
    whose: Whose<'_>,
    words: &[String],
    only_sweeps: bool,
) -> Result<Selection, ApiError> {
    let mut selection = Selection {
        schema_version: SCHEMA_VERSION,
        sweeps: Vec::new(),
        jobs: Vec::new(),
    };
    let found = match only_sweeps {
        true if words.is_empty() => return Err(ApiError::invalid("name a sweep")),
        true => Selected::Sweeps(whose.sweeps(store, words).await?),
        false => whose.selected(store, words).await?,
    };
    match found {
        Selected::Sweeps(sweeps) => selection.sweeps = sweeps,
        Selected::Jobs(jobs) => {
            let mut counts: BTreeMap<String, u64> = BTreeMap::new();
            for job in jobs {
                *counts.entry(job.sweep).or_default() += 1;
            }
            let count = |(sweep, jobs)| SelectedJobs { sweep, jobs };
            selection.jobs = counts.into_iter().map(count).collect();
        }
    }
    Ok(selection)
}

/// The digests of sweeps.
pub(crate) fn digests(sweeps: &[SweepView]) -> Vec<SweepDigest> {
    sweeps.iter().map(|sweep| sweep.digest).collect()
}
