//! Workers and their requests, decisions about replicates, and imports.

use sqlx::query;
use swath_store::{DecisionRow, GrantRequest, NewImport, RenamedSweep, ReplicationRow, WorkerRow};

use super::CHUNK;
use crate::error::Result;
use crate::rows;
use crate::session::Session;
use crate::text;

/// Writes workers that are new or changed.
pub(super) async fn write_workers(session: &mut Session, workers: &[WorkerRow]) -> Result<()> {
    for chunk in workers.chunks(CHUNK) {
        let ids: Vec<i64> = chunk.iter().map(|row| row.key.0).collect();
        let names: Vec<&str> = chunk.iter().map(|row| row.name.as_str()).collect();
        let states: Vec<&str> = chunk.iter().map(|row| row.state.name()).collect();
        let causes = chunk
            .iter()
            .map(|row| rows::cause_text(row.cordoned.as_ref()));
        let causes: Vec<String> = causes.collect();
        let sessions = chunk.iter().map(|row| rows::session(row.session));
        let sessions: Vec<i64> = sessions.collect();
        let seen: Vec<i64> = chunk.iter().map(|row| row.seen_at.as_ms()).collect();
        let about: Vec<String> = chunk.iter().map(|row| rows::json(&row.about)).collect();
        let failed: Vec<String> = chunk.iter().map(|row| rows::json(&row.failed)).collect();
        let silent: Vec<bool> = chunk.iter().map(|row| row.silent).collect();
        let forgotten: Vec<bool> = chunk.iter().map(|row| row.forgotten).collect();
        query!(
            "INSERT INTO worker (id, name, state, cause, session, seen_at, about, failed,
                                 silent, forgotten)
             SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[],
                                  $6::bigint[], $7::text[], $8::text[], $9::boolean[], $10::boolean[])
             ON CONFLICT (id) DO UPDATE SET
                 name = excluded.name, state = excluded.state, cause = excluded.cause,
                 session = excluded.session, seen_at = excluded.seen_at, about = excluded.about,
                 failed = excluded.failed, silent = excluded.silent,
                 forgotten = excluded.forgotten",
            &ids,
            &names as &[&str],
            &states as &[&str],
            &causes,
            &sessions,
            &seen,
            &about,
            &failed,
            &silent,
            &forgotten
        )
        .execute(&mut *session)
        .await?;
    }
    Ok(())
}

/// Inserts what requests were granted; triggers forget those of old requests.
pub(super) async fn insert_requests(
    session: &mut Session,
    requests: &[GrantRequest],
) -> Result<()> {
    for chunk in requests.chunks(CHUNK) {
        let workers: Vec<i64> = chunk.iter().map(|row| row.worker.0).collect();
        let sessions = chunk.iter().map(|row| rows::session(row.session));
        let sessions: Vec<i64> = sessions.collect();
        let numbers: Vec<i64> = chunk.iter().map(|row| row.request as i64).collect();
        let grants = chunk.iter().map(|row| {
            let pairs = row.grants.iter().map(|(job, attempt)| (job.0, attempt.0));
            rows::json(&pairs.collect::<Vec<_>>())
        });
        let grants: Vec<String> = grants.collect();
        query!(
            "INSERT INTO grant_request (worker, session, request, grants)
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[])",
            &workers,
            &sessions,
            &numbers,
            &grants
        )
        .execute(&mut *session)
        .await?;
    }
    Ok(())
}

/// Writes how far the replicates of sweeps are decided.
pub(super) async fn write_replications(
    session: &mut Session,
    replications: &[ReplicationRow],
) -> Result<()> {
    for row in replications {
        let settled = row.settled.as_ref();
        let verdict = settled.map(|it| rows::json(&it.verdict));
        query!(
            "INSERT INTO replication (sweep, most, rounds, seeds, settled_at, as_of, pairs,
                                      undecided, verdict)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (sweep) DO UPDATE SET
                 most = excluded.most, rounds = excluded.rounds, seeds = excluded.seeds,
                 settled_at = excluded.settled_at, as_of = excluded.as_of, pairs = excluded.pairs,
                 undecided = excluded.undecided, verdict = excluded.verdict",
            row.sweep.0,
            i64::from(row.max),
            i64::from(row.rounds),
            row.seeds as i64,
            settled.map(|it| it.at.as_ms()),
            settled.map(|it| it.as_of.as_ms()),
            settled.map_or(0, |it| it.verdict.pairs as i64),
            settled.map_or(0, |it| it.verdict.undecided.len() as i64),
            verdict
        )
        .execute(&mut *session)
        .await?;
    }
    Ok(())
}

/// Inserts decisions about replicates.
pub(super) async fn insert_decisions(
    session: &mut Session,
    decisions: &[DecisionRow],
) -> Result<()> {
    for chunk in decisions.chunks(CHUNK) {
        let sweeps: Vec<i64> = chunk.iter().map(|row| row.sweep.0).collect();
        let places: Vec<i64> = chunk.iter().map(|row| row.place as i64).collect();
        let rounds: Vec<i64> = chunk.iter().map(|row| row.round.into()).collect();
        let at: Vec<i64> = chunk.iter().map(|row| row.at.as_ms()).collect();
        let cells: Vec<i64> = chunk.iter().map(|row| row.cell.0).collect();
        let replicates: Vec<i64> = chunk.iter().map(|row| row.replicate.0.into()).collect();
        let pairs: Vec<String> = chunk.iter().map(|row| rows::json(&row.pair)).collect();
        query!(
            "INSERT INTO decision (sweep, place, round, decided_at, cell, replicate, pair)
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[],
                                  $5::bigint[], $6::bigint[], $7::text[])",
            &sweeps,
            &places,
            &rounds,
            &at,
            &cells,
            &replicates,
            &pairs
        )
        .execute(&mut *session)
        .await?;
    }
    Ok(())
}

/// Removes everything that a source has said about a sweep.
pub(super) async fn rename_imports(session: &mut Session, sweeps: &[RenamedSweep]) -> Result<()> {
    for sweep in sweeps {
        let (from, to) = (text::kept(&sweep.from), text::kept(&sweep.to));
        query!(
            "INSERT INTO import (sweep, cell, source, place, test_error, seconds, runs, replicate,
                                 seed, file, line, imported_at)
             SELECT $1, cell, source, place, test_error, seconds, runs, replicate, seed, file, line,
                    imported_at
             FROM import
             WHERE sweep = $2 AND cell IN (SELECT cell FROM sweep_cell WHERE sweep_cell.sweep = $3)
             ORDER BY id",
            &*to,
            &*from,
            sweep.key.0
        )
        .execute(&mut *session)
        .await?;
        if sweep.last {
            query!("DELETE FROM import WHERE sweep = $1", &*from)
                .execute(&mut *session)
                .await?;
        }
    }
    Ok(())
}

pub(super) async fn forget_imports(
    session: &mut Session,
    forgotten: &[(String, String)],
) -> Result<()> {
    for chunk in forgotten.chunks(CHUNK) {
        let sweeps: Vec<_> = chunk.iter().map(|(sweep, _)| text::kept(sweep)).collect();
        let sweeps: Vec<&str> = sweeps.iter().map(|sweep| &**sweep).collect();
        let sources: Vec<_> = chunk.iter().map(|(_, source)| text::kept(source)).collect();
        let sources: Vec<&str> = sources.iter().map(|source| &**source).collect();
        query!(
            "DELETE FROM import USING unnest($1::text[], $2::text[]) AS line (sweep, source)
             WHERE import.sweep = line.sweep AND import.source = line.source",
            &sweeps as &[&str],
            &sources as &[&str]
        )
        .execute(&mut *session)
        .await?;
    }
    Ok(())
}

/// Inserts imported numbers.
pub(super) async fn insert_imports(session: &mut Session, imports: &[NewImport]) -> Result<()> {
    for chunk in imports.chunks(CHUNK) {
        let numbers = || chunk.iter().map(|row| &row.number);
        let sweeps: Vec<_> = chunk.iter().map(|row| text::kept(&row.sweep)).collect();
        let sweeps: Vec<&str> = sweeps.iter().map(|sweep| &**sweep).collect();
        let cells: Vec<i64> = chunk.iter().map(|row| row.cell.0).collect();
        let sources: Vec<_> = numbers().map(|it| text::kept(&it.source)).collect();
        let sources: Vec<&str> = sources.iter().map(|source| &**source).collect();
        let places: Vec<i64> = chunk.iter().map(|row| row.place.into()).collect();
        let test_errors: Vec<f64> = numbers().map(|it| it.test_error).collect();
        let seconds: Vec<Option<f64>> = numbers().map(|it| it.seconds).collect();
        let runs: Vec<i64> = numbers().map(|it| it.runs.into()).collect();
        let replicates = numbers().map(|it| it.replicate.map(|it| i64::from(it.0)));
        let replicates: Vec<Option<i64>> = replicates.collect();
        let seeds: Vec<Option<i64>> = numbers().map(|it| it.seed.map(|it| it as i64)).collect();
        let files: Vec<_> = numbers().map(|it| text::kept(&it.file)).collect();
        let files: Vec<&str> = files.iter().map(|file| &**file).collect();
        let lines: Vec<i64> = numbers().map(|it| it.line.into()).collect();
        let at: Vec<i64> = chunk.iter().map(|row| row.at.as_ms()).collect();
        query!(
            "INSERT INTO import (sweep, cell, source, place, test_error, seconds, runs, replicate,
                                 seed, file, line, imported_at)
             SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[],
                 $5::double precision[], $6::double precision[], $7::bigint[], $8::bigint[],
                 $9::bigint[], $10::text[], $11::bigint[], $12::bigint[])",
            &sweeps as &[&str],
            &cells,
            &sources as &[&str],
            &places,
            &test_errors,
            &seconds as &[Option<f64>],
            &runs,
            &replicates as &[Option<i64>],
            &seeds as &[Option<i64>],
            &files as &[&str],
            &lines,
            &at
        )
        .execute(&mut *session)
        .await?;
    }
    Ok(())
}
