//! The answers to read commands: one document per query.

use std::sync::Arc;

use serde::Serialize;
use swath_model::id::SweepDigest;
use swath_model::job::StateName;
use swath_model::message::JobQuery;
use swath_model::probe::WorkloadKey;
use swath_model::spec::{JobSpec, Work};
use swath_model::view::{
    CurvePoint, JobDetail, JobView, SCHEMA_VERSION, SweepKind, SweepView, WorkerView,
};
use swath_proto::PROTOCOL_VERSION;
use swath_results::table::Definition;
use swath_store::Store;

use super::access::Caller;
use super::decisions::decisions;
use super::error::ApiError;
use super::explain::{self, Facts};
use super::files;
use super::forget::forgetting;
use super::health::health;
use super::inputs::missing_inputs;
use super::select;
use super::state::State;
use super::submit::overlaps_of;
use super::table::{cells_of, comparison_text, table_text};
use crate::api::{
    ALIKE_MOST, AlikeJobs, CURVES_MOST, CompareText, Curves, Explanation, FAILED_SHOWN,
    JOBS_PER_PAGE, JobCurve, JobCurves, Jobs, KnownJobs, Logs, NAMED_MOST, OPEN_SHOWN, Overlaps,
    Pace, ProbeView, Probes, ReadQuery, Status as StatusDocument, StoringSweep, SweepDocument,
    SweepResults, SweepSources, Sweeps, TableText, Workers,
};
use crate::eta::{self, slots_at_work};

/// Answers one query with a JSON document.
///
/// # Errors
///
/// [`ApiError::Denied`] for a caller who may not read it.
pub(crate) async fn read(
    state: &Arc<State>,
    caller: &Caller,
    query: ReadQuery,
) -> Result<String, ApiError> {
    let whose = caller.may(query.deed())?;
    let store = &*state.store;
    let now_ms = state.now().as_ms();
    let schema_version = SCHEMA_VERSION;
    match query {
        ReadQuery::Sweeps => {
            let sweeps = store.sweeps().await.map_err(ApiError::from)?;
            json(&Sweeps {
                schema_version,
                sweeps,
            })
        }
        ReadQuery::Health => json(&health(state).await?),
        ReadQuery::Credentials => json(&state.access.list(state.now())),
        ReadQuery::Sweep { selector } => json(&SweepDocument {
            schema_version,
            sweep: select::record(store, &selector).await?,
        }),
        ReadQuery::Status { selector } => json(&sweep_status(state, &selector).await?),
        ReadQuery::Jobs {
            selector,
            limit,
            after,
        } => {
            let limit = limit.unwrap_or(JOBS_PER_PAGE).min(JOBS_PER_PAGE);
            let select::Page { jobs, next } = select::page(store, &selector, after, limit).await?;
            json(&Jobs {
                schema_version,
                jobs,
                next,
                now_ms,
            })
        }
        ReadQuery::Explain { selector } => json(&explanation(state, &selector).await?),
        ReadQuery::Table {
            selector,
            shape,
            format,
            look,
        } => {
            let (sweep, filters) = select::cells(store, &selector).await?;
            let (text, check) = table_text(store, &sweep, &filters, shape, &format, look).await?;
            let room = text.len() + text.len() / 4;
            let table = TableText {
                schema_version,
                sweep,
                text,
                check,
            };
            large_json(table, room).await
        }
        ReadQuery::Results { selector } => {
            let (sweep, filters) = select::cells(store, &selector).await?;
            let cells = cells_of(store, &sweep, &filters).await?;
            let chosen = swath_results::table::chosen(&filters);
            let results = SweepResults::new(sweep, cells, chosen);
            let room = (results.cells.len() + results.ran_on.len()) * 512;
            large_json(results, room).await
        }
        ReadQuery::Sources { selector } => {
            let sweep = select::sweep(store, &selector).await?.digest;
            let sources = store.sources(sweep).await.map_err(ApiError::from)?;
            json(&SweepSources {
                schema_version,
                sweep,
                sources,
            })
        }
        ReadQuery::JobCurves { selector, limit } => {
            json(&job_curves(store, &selector, limit).await?)
        }
        ReadQuery::Compare {
            left,
            right,
            format,
            look,
        } => {
            let left = select::record(store, &left).await?;
            let right = select::record(store, &right).await?;
            let text = comparison_text(store, [&left, &right], &format, look).await?;
            json(&CompareText {
                schema_version,
                text,
            })
        }
        ReadQuery::Curves { selector } => {
            let job = select::job(store, &selector).await?;
            let points = store.curves(job.digest).await.map_err(ApiError::from)?;
            let unit = unit_of(store, &job).await?;
            json(&Curves {
                schema_version,
                job,
                unit,
                points,
            })
        }
        ReadQuery::Logs { selector, position } => {
            let job = select::job(store, &selector).await?;
            let chunks = store
                .logs(job.digest, position)
                .await
                .map_err(ApiError::from)?;
            json(&Logs {
                schema_version,
                job,
                chunks,
            })
        }
        ReadQuery::Files { selector, attempt } => {
            json(&files::files(state, &selector, attempt).await?)
        }
        ReadQuery::Decisions { selector } => {
            let sweep = select::sweep(store, &selector).await?;
            json(&decisions(store, sweep).await?)
        }
        ReadQuery::Named { jobs } => {
            let mut views = Vec::with_capacity(jobs.len().min(NAMED_MOST));
            for job in jobs.into_iter().take(NAMED_MOST) {
                let detail = store.job(job).await.map_err(ApiError::from)?;
                views.extend(detail.map(|detail| detail.job));
            }
            json(&Jobs {
                schema_version,
                jobs: views,
                next: None,
                now_ms,
            })
        }
        ReadQuery::Workers => {
            let workers = workers(state).await?;
            json(&Workers {
                schema_version,
                workers,
                protocol: PROTOCOL_VERSION,
                now_ms,
            })
        }
        ReadQuery::Alike { workloads } => {
            let mut alike = Vec::with_capacity(workloads.len());
            for workload in workloads {
                let key = WorkloadKey::of(&workload);
                alike.push(store.alike(key, ALIKE_MOST).await.map_err(ApiError::from)?);
            }
            json(&AlikeJobs {
                schema_version,
                alike,
            })
        }
        ReadQuery::Probes { jobs } => {
            let mut probes = Vec::with_capacity(jobs.len());
            for job in jobs {
                let detail = store.job(job).await.map_err(ApiError::from)?;
                probes.push(detail.map(probe_view));
            }
            json(&Probes {
                schema_version,
                probes,
            })
        }
        ReadQuery::Selected {
            selector,
            only_sweeps,
        } => json(&select::selection(store, whose, &selector, only_sweeps).await?),
        ReadQuery::Forgetting { selector } => json(&forgetting(state, whose, &selector).await?),
        ReadQuery::MissingInputs { inputs } => json(&missing_inputs(store, inputs).await?),
        ReadQuery::Overlaps { sources } => json(&Overlaps {
            schema_version,
            overlaps: overlaps_of(state, sources).await?,
        }),
        ReadQuery::Storing => json(&StoringSweep {
            schema_version,
            storing: state.engine.storing(),
        }),
        ReadQuery::Known { jobs } => {
            let jobs = store.known(jobs).await.map_err(ApiError::from)?;
            json(&KnownJobs {
                schema_version,
                jobs,
            })
        }
    }
}

fn json(document: &impl Serialize) -> Result<String, ApiError> {
    serde_json::to_string(document).map_err(ApiError::internal)
}

/// A document that may be many megabytes, written into `room` bytes at first: too
/// many cost nothing, while a text that grows is copied again and again. Writing
/// it occupies a core for a while.
async fn large_json<T>(document: T, room: usize) -> Result<String, ApiError>
where
    T: Serialize + Send + 'static,
{
    let written = tokio::task::spawn_blocking(move || {
        let mut text = Vec::with_capacity(room);
        serde_json::to_writer(&mut text, &document).map_err(ApiError::internal)?;
        String::from_utf8(text).map_err(ApiError::internal)
    });
    written.await.map_err(ApiError::internal)?
}

fn probe_view(detail: JobDetail) -> ProbeView {
    let JobDetail { job, attempts, .. } = detail;
    let provenance = attempts.into_iter().rev().find_map(|it| it.provenance);
    ProbeView {
        state: job.state,
        fault: job.fault,
        message: job.message,
        measurement: job.measurement,
        provenance,
    }
}

async fn job_curves(
    store: &dyn Store,
    selector: &[String],
    limit: Option<u32>,
) -> Result<JobCurves, ApiError> {
    let limit = limit.unwrap_or(CURVES_MOST).min(CURVES_MOST);
    let page = select::page(store, selector, None, limit).await?;
    let mut more = match page.next {
        None => false,
        after => {
            let rest = select::page(store, selector, after, 1).await?;
            !rest.jobs.is_empty()
        }
    };
    let mut jobs = Vec::with_capacity(page.jobs.len());
    let mut left = CURVES_BYTES;
    for job in page.jobs {
        if left == 0 {
            more = true;
            break;
        }
        let points = store.curves(job.digest).await.map_err(ApiError::from)?;
        left = left.saturating_sub(points.len() * size_of::<CurvePoint>());
        jobs.push(JobCurve { job, points });
    }
    Ok(JobCurves {
        schema_version: SCHEMA_VERSION,
        jobs,
        more,
    })
}

/// The unit that the newest sweep of a job gives its metric.
async fn unit_of(store: &dyn Store, job: &JobView) -> Result<Option<String>, ApiError> {
    let Some(newest) = job.holders.last() else {
        return Ok(None);
    };
    let record = store.sweep(*newest).await?;
    // That of `replay`, which nobody draws, is none.
    let definition = Definition::read(&record.definition).ok();
    Ok(definition.and_then(|it| it.unit))
}

async fn sweep_status(state: &State, selector: &[String]) -> Result<StatusDocument, ApiError> {
    let store = &*state.store;
    // Whatever is read from here on contains it.
    let last_event = store.last_event().await.map_err(ApiError::from)?;
    let sweeps = select::sweeps(store, selector).await?;
    // There may be many sweeps: where all are meant, two queries are enough.
    let all = selector.is_empty();
    let any = sweeps.iter().map(|sweep| Some(sweep.digest));
    let asked: Vec<_> = if all { vec![None] } else { any.collect() };
    let mut open = Vec::new();
    let mut failures = Vec::new();
    let bytes = OPEN_BYTES / asked.len().max(1);
    for sweep in asked {
        let query = JobQuery {
            sweep,
            states: vec![StateName::Leased, StateName::Suspect],
            limit: Some(OPEN_SHOWN),
            bytes: Some(bytes),
            ..JobQuery::default()
        };
        open.extend(store.jobs(query).await.map_err(ApiError::from)?);
        let last = store.last_failed(sweep, FAILED_SHOWN);
        failures.extend(last.await.map_err(ApiError::from)?);
        dedup(&mut failures);
        failures.sort_by_key(|job| std::cmp::Reverse(job.ended_at));
        failures.truncate(FAILED_SHOWN as usize);
    }
    dedup(&mut open);
    let workers = workers(state).await?;
    let paces = paces(store, &sweeps).await?;
    let now = state.now();
    let slots = slots_at_work(&workers);
    let mut lacks = state.engine.waiting_in_vain().await.unwrap_or_default();
    lacks.retain(|digest, _| sweeps.iter().any(|sweep| sweep.digest == *digest));
    let eta = |(digest, pace): &(SweepDigest, Pace)| {
        let sweep = sweeps.iter().find(|sweep| sweep.digest == *digest);
        let sweep = sweep.filter(|sweep| !lacks.contains_key(&sweep.digest))?;
        let eta = eta::of_sweep(sweep, Some(pace.seconds), &open, slots, now)?;
        Some((*digest, eta.as_secs_f64()))
    };
    Ok(StatusDocument {
        schema_version: SCHEMA_VERSION,
        mean_job_seconds: paces.first().map(|(_, pace)| pace.seconds),
        eta_seconds: paces.iter().filter_map(eta).collect(),
        lacks,
        paces: paces.into_iter().collect(),
        workers,
        sweeps,
        open,
        failed: failures,
        last_event,
        now_ms: now.as_ms(),
    })
}

/// Every worker, and who of them is silent.
pub(crate) async fn workers(state: &State) -> Result<Vec<WorkerView>, ApiError> {
    let mut workers = state.store.workers().await.map_err(ApiError::from)?;
    let now = state.now();
    // A coordinator that stands by does not know it.
    let engine = &state.engine;
    let mut lacks = engine.lacks().await.unwrap_or_default();
    let mut slots = engine.slots_held().await.unwrap_or_default();
    let kept = engine.kept(now).await.unwrap_or_default();
    for worker in &mut workers {
        // The sweeper may not have looked yet.
        worker.silent |= now.since(worker.seen_at) > state.policy.ttl();
        worker.lacks = lacks.remove(&worker.name).unwrap_or_default();
        worker.slots_held = slots.remove(&worker.name);
        worker.kept = kept.iter().find(|it| it.worker == worker.name).cloned();
    }
    Ok(workers)
}

fn dedup(jobs: &mut Vec<JobView>) {
    let mut seen = std::collections::BTreeSet::new();
    jobs.retain(|job| seen.insert(job.digest));
}

/// The number of jobs over which a mean training time is taken, and after how many
/// bytes of specs it is enough.
const MEAN_OVER: u32 = 200;
const MEAN_BYTES: usize = 4 << 20;

/// How many bytes of specs the open jobs of a status have together, about.
const OPEN_BYTES: usize = 8 << 20;

/// How many bytes the points of one answer with curves take, about.
const CURVES_BYTES: usize = 64 << 20;

/// How many sweeps get an estimate.
const ESTIMATED: usize = 8;

/// The mean training time of the first succeeded jobs of a sweep.
async fn pace(store: &dyn Store, sweep: &SweepView) -> Result<Option<Pace>, ApiError> {
    let query = JobQuery {
        sweep: Some(sweep.digest),
        states: vec![StateName::Succeeded],
        limit: Some(MEAN_OVER),
        bytes: Some(MEAN_BYTES),
        ..JobQuery::default()
    };
    let jobs = store.jobs(query).await.map_err(ApiError::from)?;
    let seconds: Vec<f64> = jobs
        .iter()
        .filter_map(|job| Some(job.measurement.as_ref()?.train_seconds))
        .collect();
    let count = seconds.len();
    Ok((count > 0).then(|| Pace {
        jobs: count as u64,
        seconds: seconds.iter().sum::<f64>() / count as f64,
    }))
}

/// The newest active sweeps, with the mean training time of each. Probes come
/// last, because their times say little.
async fn paces(
    store: &dyn Store,
    sweeps: &[SweepView],
) -> Result<Vec<(SweepDigest, Pace)>, ApiError> {
    // Looking for a measured job where there is none would mean looking at all.
    let in_work = |sweep: &&SweepView| {
        sweep.counts.done() < sweep.counts.total() && sweep.counts.succeeded > 0
    };
    let mut newest: Vec<&SweepView> = sweeps.iter().rev().filter(in_work).collect();
    newest.sort_by_key(|sweep| sweep.kind == SweepKind::Probe);
    let mut paces = Vec::new();
    for sweep in newest.into_iter().take(ESTIMATED) {
        if let Some(pace) = pace(store, sweep).await? {
            paces.push((sweep.digest, pace));
        }
    }
    Ok(paces)
}

async fn explanation(state: &State, selector: &[String]) -> Result<Explanation, ApiError> {
    let store = &*state.store;
    let job = select::job(store, selector).await?;
    let detail = store
        .job(job.digest)
        .await
        .map_err(ApiError::from)?
        .ok_or_else(|| ApiError::not_found("the job vanished"))?;
    let sweeps = store.sweeps().await.map_err(ApiError::from)?;
    let workers = workers(state).await?;
    let needs = state.engine.needs(job.digest).await;
    let (needs, lack) = needs.map_err(ApiError::from)?;
    let mut kept = workers.iter().filter_map(|worker| worker.kept.as_ref());
    let facts = Facts {
        detail: &detail,
        kept: kept.find(|kept| kept.job == job.digest),
        needs: &needs,
        lack: lack.as_ref(),
        sweeps: &sweeps,
        workers: &workers,
        ahead: state
            .engine
            .ahead(job.digest)
            .await
            .map_err(ApiError::from)?,
        policy: &state.policy,
        now: state.now(),
    };
    let items = explain::reasons(&facts);
    let reasons = items.iter().map(|item| item.text(job.digest)).collect();
    let left = match JobSpec::from_value(&detail.job.spec) {
        Ok(spec) if matches!(spec.work(), Work::Command(_)) => {
            let place = files::find(state, &detail, detail.job.attempt).await?;
            let is_over = detail
                .attempts
                .last()
                .is_some_and(|it| !it.ended.is_empty());
            match place {
                Some(place) if is_over && place.is_empty(state).await => None,
                place => place.and_then(|place| place.left()),
            }
        }
        _ => None,
    };
    Ok(Explanation {
        schema_version: SCHEMA_VERSION,
        items,
        reasons,
        left,
        now_ms: state.now().as_ms(),
        detail,
    })
}
