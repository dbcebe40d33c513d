//! `replay`: trains a job once more, beside the database, and compares.

mod program;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::json;
use swath_coordinator::api::{Curves, Explanation, ReadQuery};
use swath_coordinator::database::Database;
use swath_engine::Engine;
use swath_model::id::{JobDigest, Replicate, SweepDigest};
use swath_model::job::StateName;
use swath_model::message::{CellList, InputFile, Sources, Submission, SubmittedCell};
use swath_model::outcome::Provenance;
use swath_model::policy::Policy;
use swath_model::program::Launch;
use swath_model::seed::Seeds;
use swath_model::spec::{JobSpec, canonical, cell_digest, job_digest};
use swath_model::time::Timestamp;
use swath_model::view::{CurvePoint, JobDetail, JobView, SCHEMA_VERSION, SweepKind};
use swath_report::counted;
use swath_results::replay::{Comparison, Difference, Told, WeightsCompared};
use swath_store::Store;
use swath_store_sqlite::SqliteStore;

use crate::cli;
use crate::client::connection::Connection;
use crate::client::exit::Exit;
use crate::client::failure::{Failure, Outcome};
use crate::client::local::{LocalWorker, Needs};
use crate::client::read::json as as_json;
use crate::client::wait::{Ended, Goal, Interrupts, wait};
use crate::settings::{Context, LocalSettings, policy_of_one};

/// How many differences are shown one by one.
const SHOWN: usize = 8;

/// What was trained, and what the training reported.
struct Trained {
    detail: JobDetail,
    points: Vec<CurvePoint>,
}

/// The comparison as programs get it.
#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    job: JobDigest,
    identical: bool,
    #[serde(flatten)]
    comparison: &'a Comparison,
    before: Option<&'a Provenance>,
    now: Option<&'a Provenance>,
}

pub(crate) async fn replay(context: &Context, arguments: &cli::Replay) -> Outcome {
    let directory = tempfile::tempdir()
        .map_err(|error| Failure::error(format!("cannot make a temporary directory: {error}")))?;
    let directory = directory.path();
    let mut connection = Connection::open(context).await?;
    let found = find(context, &mut connection, &arguments.selector, directory).await;
    connection.close().await?;
    let (before, launch) = found?;
    let timeout = arguments.timeout.map(Duration::from_secs);
    let now = again(context, &before, launch, directory, timeout).await?;
    let Some(now) = now else {
        return Ok(Exit::Timeout);
    };
    print(context, &before, &now)
}

/// The job, and how its program is started.
async fn find(
    context: &Context,
    connection: &mut Connection,
    selector: &[String],
    directory: &Path,
) -> Outcome<(Trained, Launch)> {
    let before = read(connection, selector.to_vec()).await?;
    let job = &before.detail.job;
    if job.state != StateName::Succeeded {
        let (id, state) = (job.digest.short(), job.state.name());
        let asked = &context.asked;
        return Err(Failure::new(
            Exit::NotAllowed,
            format!("job {id} is {state}: there is no measurement to compare with"),
        )
        .hint(format!("`coordinator explain {id}{asked}` says why")));
    }
    let launch = program::launch(context, connection, job, directory).await?;
    Ok((before, launch))
}

async fn read(connection: &mut Connection, selector: Vec<String>) -> Outcome<Trained> {
    let found: Explanation = connection.read(&ReadQuery::Explain { selector }).await?;
    let selector = vec![found.detail.job.digest.to_string()];
    let curves: Curves = connection.read(&ReadQuery::Curves { selector }).await?;
    Ok(Trained {
        detail: found.detail,
        points: curves.points,
    })
}

/// Trains the job in a database of its own; none when the time was up.
async fn again(
    context: &Context,
    before: &Trained,
    launch: Launch,
    directory: &Path,
    timeout: Option<Duration>,
) -> Outcome<Option<Trained>> {
    let job = &before.detail.job;
    let spec = JobSpec::from_value(&job.spec).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Failure::error(format!(
            "this program cannot read its spec: {}",
            errors.join("; ")
        ))
    })?;
    let mut needs = Needs::default();
    needs.add(&spec);
    let path = directory.join("replay.db");
    let threads = newest(&before.detail).map_or(0, |it| it.threads);
    let settings = LocalSettings {
        slots: slots_of(threads),
        state_dir: directory.join("worker"),
    };
    LocalWorker::prepare(&settings, &needs)?;
    let policy = policy_of_one(context)?;
    // Under another name than the job's, so that a selector finds only the job.
    let sweep = SweepDigest::from_bytes(job.digest.as_bytes().map(|byte| !byte));
    let store = SqliteStore::open(&path);
    let store = Arc::new(store.await.map_err(Failure::error)?);
    let files = program::files(&spec, &launch, directory)?;
    let job_needs = swath_model::needs::Needs {
        launch,
        ..swath_model::needs::Needs::of(&spec)
    };
    let alone = Alone {
        job,
        needs: job_needs,
        files,
        sweep,
    };
    let kept = keep(Arc::clone(&store), &policy, alone).await;
    store.close().await.map_err(Failure::error)?;
    kept?;
    let mut interrupts = Interrupts::listen(true)?;
    let mut connection = Connection::start(&Database::Sqlite(path), policy, None).await?;
    let mut worker = LocalWorker::start(&settings, connection.url(), &needs)?;
    let goal = Goal { sweep, timeout };
    let ended = tokio::select! {
        failure = worker.ended() => Err(failure),
        waited = wait(context, &mut connection, &goal, &mut interrupts) => waited,
    };
    worker.stop().await;
    let found = match ended {
        Ok((Ended::Interrupted, _)) => Err(Failure::new(Exit::Interrupted, "interrupted")),
        Ok((Ended::TimedOut, _)) => Ok(None),
        Ok((Ended::Lacking(lack), _)) => Err(Failure::error(lack)),
        Ok(_) => read(&mut connection, vec![job.digest.to_string()])
            .await
            .map(Some),
        Err(failure) => Err(failure),
    };
    connection.close().await?;
    found
}

/// The number of slots that leaves each the threads that the job had: the order
/// of a sum depends on them.
fn slots_of(threads: u32) -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
    (cores / threads.max(1)).clamp(1, cores)
}

/// A job to store alone.
struct Alone<'a> {
    job: &'a JobView,
    needs: swath_model::needs::Needs,
    /// The files that travel with it.
    files: Vec<InputFile>,
    /// The sweep that it is then in.
    sweep: SweepDigest,
}

/// Stores a job alone: its cell, with all other replicates cancelled.
async fn keep(store: Arc<SqliteStore>, policy: &Policy, alone: Alone<'_>) -> Outcome<()> {
    let Alone {
        job,
        needs,
        files,
        sweep,
    } = alone;
    let text = canonical(&job.spec);
    let cell = cell_digest(&text);
    if job_digest(&text, job.seed) != job.digest {
        return Err(Failure::new(
            Exit::NotAllowed,
            format!(
                "job {} was computed by another recipe version than this program has; only the \
                 version that named it can replay it",
                job.digest.short()
            ),
        ));
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now = Timestamp::from_ms(now.as_millis() as i64);
    let submission = Submission {
        digest: sweep,
        name: "replay".to_owned(),
        title: String::new(),
        replicates: job.replicate.0,
        replicates_max: None,
        kind: SweepKind::Training,
        priority: 0,
        sources: Sources::Cells(CellList {
            name: "replay".to_owned(),
            title: "replay".to_owned(),
            kind: SweepKind::Training,
            replicates: job.replicate.0,
            needs: swath_model::needs::Needs::default(),
            cells: vec![job.spec.clone()],
        }),
        definition: json!({}),
        cells: vec![SubmittedCell {
            digest: cell,
            axes: Vec::new(),
            spec: text.clone(),
            needs,
        }],
        owner: String::new(),
        tags: Vec::new(),
        ships: files.iter().map(|file| file.digest).collect(),
    };
    let seeds = Seeds::of(&job.spec);
    let others = (1..job.replicate.0).map(|it| job_digest(&text, seeds.seed(cell, Replicate(it))));
    let others = others.collect();
    let engine = Engine::start(store, policy.clone(), "").await;
    let engine = engine.map_err(Failure::error)?;
    let kept = engine.keep_inputs(now, files).await;
    kept.map_err(Failure::error)?;
    let submitted = engine.submit(now, submission).await;
    submitted.map_err(Failure::error)?;
    let cancelled = engine.cancel_jobs(now, others).await;
    cancelled.map_err(Failure::error)?;
    engine.stop().await;
    Ok(())
}

/// What the newest attempt ran on.
fn newest(detail: &JobDetail) -> Option<&Provenance> {
    detail.attempts.last()?.provenance.as_ref()
}

fn print(context: &Context, before: &Trained, now: &Trained) -> Outcome {
    let job = &before.detail.job;
    let (Some(first), Some(second)) = (&job.measurement, &now.detail.job.measurement) else {
        let message = &now.detail.job.message;
        return Err(Failure::error(format!(
            "job {} did not succeed again: {message}",
            job.digest.short()
        )));
    };
    let ran_on = (newest(&before.detail), newest(&now.detail));
    let comparison = Comparison::new(
        &Told {
            measurement: first,
            points: &before.points,
            provenance: ran_on.0,
        },
        &Told {
            measurement: second,
            points: &now.points,
            provenance: ran_on.1,
        },
    );
    let document = Document {
        schema_version: SCHEMA_VERSION,
        job: job.digest,
        identical: comparison.is_identical(),
        comparison: &comparison,
        before: ran_on.0,
        now: ran_on.1,
    };
    let text = match as_json(context, &document)? {
        Some(text) => text,
        None => text(job.digest, &comparison),
    };
    context.printer.data(&text)?;
    Ok(if comparison.is_identical() {
        Exit::Ok
    } else {
        Exit::FailedCells
    })
}

fn text(job: JobDigest, comparison: &Comparison) -> String {
    let (id, all) = (job.short(), counted(comparison.compared, "number"));
    let reasons = comparison.reasons.iter();
    let same = comparison.weights.are_same();
    if comparison.is_identical() {
        let weights = match (same, comparison.weights.now) {
            (Some(true), Some(digest)) => format!(" and weights {}", digest.short()),
            _ => String::new(),
        };
        let first = format!("job {id}: identical, {all} bit by bit{weights}\n");
        let rest = reasons.map(|reason| format!("  although: {reason}\n"));
        let rest = rest.chain(uncompared(comparison));
        return [first].into_iter().chain(rest).collect();
    }
    let count = comparison.differences.len();
    let weights = match (count, same) {
        (0, _) => format!("its weights, in none of {all}"),
        (_, Some(false)) => format!("its weights and {count} of {all}"),
        (_, Some(true)) => format!("{count} of {all}, not in its weights"),
        (_, None) => format!("{count} of {all}"),
    };
    let mut lines = vec![format!("job {id}: differs in {weights}\n")];
    if let WeightsCompared {
        before: Some(before),
        now: Some(now),
    } = comparison.weights
        && before != now
    {
        let (before, now) = (before.short(), now.short());
        lines.push(format!("  weights, at the end: {before}, now {now}\n"));
    }
    let shown = comparison.differences.iter().take(SHOWN);
    lines.extend(shown.map(difference));
    if count > SHOWN {
        let more = count - SHOWN;
        lines.push(format!("  and {more} more (`-o json` has all)\n"));
    }
    lines.extend(uncompared(comparison));
    lines.extend(reasons.map(|reason| format!("  may be why: {reason}\n")));
    if comparison.reasons.is_empty() {
        let line = "  nothing that it ran on explains it: its program is not deterministic\n";
        lines.push(line.to_owned());
    }
    lines.concat()
}

/// Says why weights were not compared, where one training named its own.
fn uncompared(comparison: &Comparison) -> Option<String> {
    let which = match (comparison.weights.before, comparison.weights.now) {
        (None, Some(_)) => "the first training",
        (Some(_), None) => "the training just made",
        _ => return None,
    };
    Some(format!(
        "  weights not compared: {which} did not name its own\n"
    ))
}

fn difference(difference: &Difference) -> String {
    let Difference {
        number,
        epoch,
        before,
        now,
    } = difference;
    let at = epoch.map_or_else(|| "at the end".to_owned(), |it| format!("epoch {it}"));
    let shown = |it: &Option<f64>| it.map_or_else(|| "nothing".to_owned(), |it| it.to_string());
    format!("  {number}, {at}: {}, now {}\n", shown(before), shown(now))
}

#[cfg(test)]
mod tests {
    use swath_model::id::WeightsDigest;

    use super::*;

    fn comparison(count: u32, reasons: &[&str]) -> Comparison {
        let differences = (1..=count).map(|epoch| Difference {
            number: "train_loss".to_owned(),
            epoch: (epoch < count).then_some(epoch),
            before: Some(0.5),
            now: (epoch > 1).then_some(0.25),
        });
        Comparison {
            compared: 40,
            differences: differences.collect(),
            weights: WeightsCompared::default(),
            reasons: reasons.iter().map(|&reason| reason.to_owned()).collect(),
        }
    }

    #[test]
    fn a_verdict_says_what_differs_and_what_may_be_why() {
        let job = JobDigest::from_bytes([0xab; 32]);
        insta::assert_snapshot!(text(job, &comparison(0, &["another trainer: a, now b"])), @"
        job abababababab: identical, 40 numbers bit by bit
          although: another trainer: a, now b
        ");
        insta::assert_snapshot!(text(job, &comparison(2, &[])), @"
        job abababababab: differs in 2 of 40 numbers
          train_loss, epoch 1: 0.5, now nothing
          train_loss, at the end: 0.5, now 0.25
          nothing that it ran on explains it: its program is not deterministic
        ");
        let many = text(job, &comparison(11, &["another device: a, now b"]));
        assert!(many.contains("and 3 more"), "{many}");
        assert!(many.contains("may be why: another device"), "{many}");
    }

    #[test]
    fn a_verdict_names_the_weights() {
        let job = JobDigest::from_bytes([0xab; 32]);
        let digest = |byte| Some(WeightsDigest::from_bytes([byte; 32]));
        let told = |count, before, now| {
            let mut comparison = comparison(count, &[]);
            comparison.weights = WeightsCompared { before, now };
            text(job, &comparison)
        };
        insta::assert_snapshot!(told(0, digest(1), digest(1)), @"job abababababab: identical, 40 numbers bit by bit and weights 010101010101");
        insta::assert_snapshot!(told(0, None, digest(1)), @"
        job abababababab: identical, 40 numbers bit by bit
          weights not compared: the first training did not name its own
        ");
        insta::assert_snapshot!(told(0, digest(1), digest(2)), @"
        job abababababab: differs in its weights, in none of 40 numbers
          weights, at the end: 010101010101, now 020202020202
          nothing that it ran on explains it: its program is not deterministic
        ");
        insta::assert_snapshot!(told(1, digest(1), digest(2)), @"
        job abababababab: differs in its weights and 1 of 40 numbers
          weights, at the end: 010101010101, now 020202020202
          train_loss, at the end: 0.5, now nothing
          nothing that it ran on explains it: its program is not deterministic
        ");
        insta::assert_snapshot!(told(1, digest(1), digest(1)), @"
        job abababababab: differs in 1 of 40 numbers, not in its weights
          train_loss, at the end: 0.5, now nothing
          nothing that it ran on explains it: its program is not deterministic
        ");
    }
}
