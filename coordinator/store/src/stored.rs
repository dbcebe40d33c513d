//! What the columns of a row say, for the tables that a snapshot reads as they are.

/// Adds a row of a checked query to a [`Page`](crate::Page): `stored!(sweep, page,
/// row, told)`. It is a macro, because the type of the row is made by the query, and
/// each database has its own. `told` gives back a text that people have chosen from
/// how it is stored.
#[macro_export]
macro_rules! stored {
    (sweep, $page:expr, $row:expr, $told:path) => {{
        use $crate::stored::words::*;
        let key = SweepKey($row.id);
        let all = $page.at([$row.id, 0, 0]);
        all.new_sweeps.push(NewSweep {
            key,
            digest: rows::sweep_digest(&$row.digest)?,
            name: $told($row.name),
            version: $row.version as u32,
            label: serde_json::from_str(&$row.label)?,
            title: $told($row.title),
            kind: rows::sweep_kind(&$row.kind)?,
            replicates: $row.replicates as u32,
            cells: $row.cells as u64,
            sources: serde_json::from_str(&$row.sources)?,
            definition: serde_json::from_str(&$row.definition)?,
            submitted_at: Timestamp::from_ms($row.submitted_at),
        });
        all.sweeps.push(SweepRow {
            key,
            live: rows::flag($row.live),
            paused: rows::cause(&$row.cause)?,
            priority: $row.priority as i32,
            counts: Counts {
                queued: $row.queued as u64,
                leased: $row.leased as u64,
                suspect: $row.suspect as u64,
                succeeded: $row.succeeded as u64,
                failed: $row.failed as u64,
                diverged: $row.diverged as u64,
                cancelled: $row.cancelled as u64,
            },
            ended_at: $row.ended_at.map(Timestamp::from_ms),
        });
    }};
    (input, $page:expr, $row:expr, $told:path) => {{
        use $crate::stored::words::*;
        $page.at([$row.id, 0, 0]).inputs.push(NewInput {
            key: InputKey($row.id),
            digest: rows::input_digest(&$row.digest)?,
            bytes: $row.bytes as u64,
            at: Timestamp::from_ms($row.kept_at),
        });
    }};
    (piece, $page:expr, $row:expr, $told:path) => {{
        use $crate::stored::words::*;
        $page
            .at([$row.input, $row.place, 0])
            .pieces
            .push(InputPiece {
                input: InputKey($row.input),
                place: $row.place as u32,
                content: $row.content,
            });
    }};
    (shipped, $page:expr, $row:expr, $told:path) => {{
        use $crate::stored::words::*;
        $page
            .at([$row.sweep, $row.input, 0])
            .shipped
            .push(ShippedInput {
                sweep: SweepKey($row.sweep),
                input: InputKey($row.input),
            });
    }};
    (cell, $page:expr, $row:expr, $told:path) => {{
        use $crate::stored::words::*;
        let spec = $told($row.spec);
        let stored = $row.workload.and_then(|key| key.try_into().ok());
        $page.at([$row.id, 0, 0]).cells.push(NewCell {
            key: CellKey($row.id),
            digest: rows::cell_digest(&$row.digest)?,
            workload: stored.map_or_else(|| WorkloadKey::of_cell(&spec), WorkloadKey),
            spec,
            needs: columns::needs($row.program.map($told), $row.needs.as_deref())?,
        });
    }};
    (sweep_cell, $page:expr, $row:expr, $told:path) => {{
        use $crate::stored::words::*;
        let all = $page.at([$row.sweep, $row.position, 0]);
        all.sweep_cells.push(NewSweepCell {
            sweep: SweepKey($row.sweep),
            position: $row.position as u64,
            cell: CellKey($row.cell),
            axes: serde_json::from_str(&$row.axes)?,
            replicates: $row.replicates as u32,
        });
    }};
    (worker, $page:expr, $row:expr, $told:path) => {{
        use $crate::stored::words::*;
        $page.at([$row.id, 0, 0]).workers.push(WorkerRow {
            key: WorkerKey($row.id),
            name: rows::worker_name(&$row.name)?,
            state: rows::worker_state(&$row.state)?,
            cordoned: rows::cause(&$row.cause)?,
            session: SessionId($row.session as u64),
            seen_at: Timestamp::from_ms($row.seen_at),
            about: serde_json::from_str(&$row.about)?,
            failed: serde_json::from_str(&$row.failed)?,
            silent: rows::flag($row.silent),
            forgotten: rows::flag($row.forgotten),
        });
    }};
    (late, $page:expr, $row:expr, $told:path) => {{
        use $crate::stored::words::*;
        $page.at([$row.id, 0, 0]).late.push(LateOutcome {
            job: JobKey($row.job),
            attempt: rows::attempt($row.attempt),
            worker: WorkerKey($row.worker),
            session: SessionId($row.session as u64),
            outcome: serde_json::from_str(&$row.outcome)?,
            provenance: serde_json::from_str(&$row.provenance)?,
            recorded_at: Timestamp::from_ms($row.recorded_at),
        });
    }};
    (log, $page:expr, $row:expr, $told:path) => {{
        use $crate::stored::words::*;
        let all = $page.at([$row.job, $row.position, 0]);
        all.copied.get_or_insert_default().logs.push(CopiedLog {
            position: $row.position as u64,
            row: LogRow {
                job: JobKey($row.job),
                attempt: rows::attempt($row.attempt),
                sequence: $row.sequence as u64,
                text: $told($row.text),
            },
        });
    }};
    (request, $page:expr, $row:expr, $told:path) => {{
        use $crate::stored::words::*;
        let grants: Vec<(i64, u32)> = serde_json::from_str(&$row.grants)?;
        let grants = grants.into_iter();
        $page
            .at([$row.worker, $row.request, 0])
            .requests
            .push(GrantRequest {
                worker: WorkerKey($row.worker),
                session: SessionId($row.session as u64),
                request: $row.request as u64,
                grants: grants
                    .map(|(job, attempt)| (JobKey(job), rows::attempt(attempt.into())))
                    .collect(),
            });
    }};
    (replication, $page:expr, $row:expr, $told:path) => {{
        use $crate::stored::words::*;
        let settled = match ($row.settled_at, $row.as_of, $row.verdict) {
            (Some(at), Some(as_of), Some(verdict)) => Some(SettledRow {
                at: Timestamp::from_ms(at),
                as_of: Timestamp::from_ms(as_of),
                verdict: serde_json::from_str(&verdict)?,
            }),
            _ => None,
        };
        $page
            .at([$row.sweep, 0, 0])
            .replications
            .push(ReplicationRow {
                sweep: SweepKey($row.sweep),
                max: $row.most as u32,
                rounds: $row.rounds as u32,
                seeds: $row.seeds as u64,
                settled,
            });
    }};
    (decision, $page:expr, $row:expr, $told:path) => {{
        use $crate::stored::words::*;
        $page
            .at([$row.sweep, $row.place, 0])
            .decisions
            .push(DecisionRow {
                sweep: SweepKey($row.sweep),
                place: $row.place as u64,
                round: $row.round as u32,
                at: Timestamp::from_ms($row.decided_at),
                cell: CellKey($row.cell),
                replicate: Replicate($row.replicate as u32),
                pair: serde_json::from_str(&$row.pair)?,
            });
    }};
    (import, $page:expr, $row:expr, $told:path) => {{
        use $crate::stored::words::*;
        $page.at([$row.id, 0, 0]).imports.push(NewImport {
            sweep: $told($row.sweep),
            cell: CellKey($row.cell),
            place: $row.place as u32,
            number: Imported {
                test_error: $row.test_error,
                seconds: $row.seconds,
                runs: $row.runs as u32,
                replicate: $row.replicate.map(|it| Replicate(it as u32)),
                seed: $row.seed.map(|seed| seed as u64),
                source: $told($row.source),
                file: $told($row.file),
                line: $row.line as u32,
            },
            at: Timestamp::from_ms($row.imported_at),
        });
    }};
    (credential, $page:expr, $row:expr, $told:path) => {{
        let credential = $crate::stored_credential!($row, $told);
        $page.at([$row.id, 0, 0]).credentials.push(credential);
    }};
}

/// The credential of a row.
#[doc(hidden)]
#[macro_export]
macro_rules! stored_credential {
    ($row:expr, $told:path) => {{
        use $crate::stored::words::*;
        Credential {
            id: $crate::rows::credential_id($row.id)?,
            role: $crate::rows::role(&$row.role)?,
            holder: $told($row.holder),
            secret: $crate::rows::secret($row.secret.as_deref())?,
            uses_left: $row.uses_left.map(|it| it as u32),
            created_at: Timestamp::from_ms($row.created_at),
            created_by: $told($row.created_by),
            expires_at: $row.expires_at.map(Timestamp::from_ms),
            revoked_at: $row.revoked_at.map(Timestamp::from_ms),
        }
    }};
}

/// What `stored!` names.
#[doc(hidden)]
pub mod words {
    pub use swath_model::access::Credential;
    pub use swath_model::id::{Replicate, SessionId};
    pub use swath_model::import::Imported;
    pub use swath_model::probe::WorkloadKey;
    pub use swath_model::time::Timestamp;
    pub use swath_model::view::Counts;

    pub use crate::*;
}
