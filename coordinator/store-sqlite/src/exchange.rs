//! Outcomes in, and what they say about sweeps and workers.

use futures_util::TryStreamExt;
use sqlx::{query, query_scalar};
use swath_core::id::{Attempt, Owner, SweepDigest};
use swath_core::job::{Event, Refusal};
use swath_core::judge::{self, LastFault};
use swath_core::message::{Ack, Exchange, Finish, Held, Notice};
use swath_core::outcome::{Fault, Measurement, Outcome, Provenance};
use swath_core::policy::Policy;
use swath_core::time::Timestamp;
use swath_core::view::WorkerState;

use crate::error::Result;
use crate::grant::{self, RawGrant};
use crate::rows;
use crate::sweep;
use crate::worker::{Standing, Worker, stale};
use crate::workset::{End, Workset};
use crate::writer::Tx;

/// What came of an exchange, before the specs of its grants are written out.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) acks: Vec<Ack>,
    pub(crate) grants: Vec<RawGrant>,
    pub(crate) notices: Vec<Notice>,
}

/// Records outcomes and grants jobs.
pub(crate) async fn exchange(tx: &mut Tx, now: Timestamp, exchange: Exchange) -> Result<Done> {
    let owner = exchange.owner;
    let worker = Worker::load(tx, &owner.worker).await?;
    let worker = worker.ok_or_else(|| stale(&owner))?;
    let newest = match worker.standing(&owner) {
        Standing::Newest => true,
        Standing::Older if !exchange.finishes.is_empty() => false,
        Standing::Older | Standing::NeverGiven => return Err(stale(&owner)),
    };
    let mut recorder = Recorder::new(now, owner, worker, newest);
    let mut acks = Vec::with_capacity(exchange.finishes.len());
    if !exchange.finishes.is_empty() {
        let jobs = exchange.finishes.iter().map(|finish| finish.held.job);
        recorder.jobs.load_digests(tx, jobs).await?;
    }
    for finish in exchange.finishes {
        acks.push(recorder.finish(tx, finish).await?);
    }
    recorder.jobs.flush(tx).await?;
    let Recorder {
        owner,
        worker,
        mut jobs,
        notices,
        ..
    } = recorder;
    let mut grants = Vec::new();
    if newest {
        worker.save_heard(tx, now).await?;
        let wish = grant::Wish {
            request: exchange.request,
            want: exchange.want,
        };
        grants = grant::grants(tx, now, &owner, &worker, wish, &mut jobs).await?;
    }
    Ok(Done {
        acks,
        grants,
        notices,
    })
}

/// Records the outcomes of one exchange, one after the other.
struct Recorder {
    now: Timestamp,
    owner: Owner,
    worker: Worker,
    newest: bool,
    jobs: Workset,
    notices: Vec<Notice>,
}

impl Recorder {
    fn new(now: Timestamp, owner: Owner, worker: Worker, newest: bool) -> Self {
        let mut jobs = Workset::default();
        jobs.know(&owner.worker, worker.id);
        Self {
            now,
            owner,
            worker,
            newest,
            jobs,
            notices: Vec::new(),
        }
    }

    async fn finish(&mut self, tx: &mut Tx, finish: Finish) -> Result<Ack> {
        let Held { job, attempt } = finish.held;
        let Some(id) = self.jobs.id(job) else {
            return Ok(Ack::Stale);
        };
        let counts = self.newest
            && self
                .jobs
                .get(id)
                .is_some_and(|entry| entry.job.holds(attempt, &self.owner));
        // What still counts cannot have been recorded before.
        if !counts && self.recorded(tx, id, attempt, &finish.outcome).await? {
            return Ok(Ack::AlreadyRecorded);
        }
        let event = Event::Finish {
            attempt,
            owner: self.owner.clone(),
            outcome: &finish.outcome,
            unit: judge::backoff_unit(job, attempt),
        };
        let applied = if self.newest {
            let policy = policy_for(tx, id, finish.outcome.fault()).await?;
            self.jobs.apply(id, &event, self.now, &policy)
        } else {
            Err(Refusal::Stale)
        };
        match applied {
            Ok(_) => {
                self.record(tx, id, attempt, &finish).await?;
                self.judge(tx, id, &finish).await?;
                Ok(Ack::Recorded)
            }
            Err(Refusal::NotFinite) => Ok(Ack::Refused),
            Err(_) => {
                self.keep_aside(tx, id, &finish).await?;
                Ok(Ack::Stale)
            }
        }
    }

    /// Whether this worker, in whatever session, has recorded an equal outcome
    /// for this attempt.
    async fn recorded(
        &mut self,
        tx: &mut Tx,
        job: i64,
        attempt: Attempt,
        outcome: &Outcome,
    ) -> Result<bool> {
        // An earlier finish of this exchange may be the one.
        self.jobs.flush(tx).await?;
        let row = query!(
            r#"SELECT attempt.ended, attempt.message, outcome.test_error AS "test_error?",
                      outcome.test_loss, outcome.best_test_error,
                      outcome.train_seconds AS "train_seconds?", outcome.metrics,
                      outcome.weights
               FROM attempt
               LEFT JOIN outcome ON outcome.job = attempt.job AND outcome.attempt = attempt.attempt
               WHERE attempt.job = ?1 AND attempt.attempt = ?2 AND attempt.worker = ?3"#,
            job,
            attempt.0,
            self.worker.id
        )
        .fetch_optional(&mut tx.conn)
        .await?;
        let Some(row) = row else {
            return Ok(false);
        };
        Ok(match outcome {
            Outcome::Measured(measurement) => {
                row.test_error == Some(measurement.test_error)
                    && row.test_loss == measurement.test_loss
                    && row.best_test_error == measurement.best_test_error
                    && row.train_seconds == Some(measurement.train_seconds)
                    && rows::metrics(row.metrics.as_deref())? == measurement.metrics
                    && rows::weights(row.weights.as_deref()) == measurement.weights
            }
            Outcome::Failed { fault, message } => {
                row.ended.as_deref() == Some(fault.name()) && row.message == *message
            }
        })
    }

    async fn record(
        &mut self,
        tx: &mut Tx,
        id: i64,
        attempt: Attempt,
        finish: &Finish,
    ) -> Result<()> {
        let provenance = provenance_id(tx, &finish.provenance).await?;
        let (ended, message) = match &finish.outcome {
            Outcome::Measured(measurement) => {
                insert_outcome(tx, id, attempt, measurement, provenance, self.now).await?;
                self.jobs.set_faulted(id, None);
                ("measured", String::new())
            }
            Outcome::Failed { fault, message } => {
                self.jobs.set_faulted(id, Some(attempt));
                (fault.name(), message.clone())
            }
        };
        self.jobs.end(End {
            job: id,
            attempt: attempt.0,
            at: self.now.as_ms(),
            ended,
            message,
            provenance: Some(provenance),
        });
        Ok(())
    }

    /// Keeps an outcome that came too late, once.
    async fn keep_aside(&self, tx: &mut Tx, job: i64, finish: &Finish) -> Result<()> {
        if let Outcome::Measured(measurement) = &finish.outcome
            && !measurement.is_finite()
        {
            return Ok(());
        }
        let session = rows::session(self.owner.session);
        let outcome = rows::json(&finish.outcome);
        let provenance = rows::json(&finish.provenance);
        let now = self.now.as_ms();
        query!(
            "INSERT INTO late_outcome
                 (job, attempt, worker, session, outcome, provenance, recorded_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            job,
            finish.held.attempt.0,
            self.worker.id,
            session,
            outcome,
            provenance,
            now
        )
        .execute(&mut tx.conn)
        .await?;
        Ok(())
    }

    /// Whether the outcome just recorded shows that a sweep or the worker is
    /// broken.
    async fn judge(&mut self, tx: &mut Tx, id: i64, finish: &Finish) -> Result<()> {
        // Only jobs that all failed like this one pause a sweep.
        if finish.outcome.fault().is_some_and(judge::may_pause) {
            self.jobs.flush(tx).await?;
            let paused = pause_holders(tx, id).await?;
            if !paused.is_empty() {
                let notices = paused
                    .into_iter()
                    .map(|(sweep, reason)| Notice::Paused { sweep, reason });
                self.notices.extend(notices);
                self.worker.failed.clear();
                return Ok(());
            }
        }
        // A measurement needs no look: it ends the row in any case.
        let wanted = finish.outcome.fault().is_none() || judge::blames(priority(tx, id).await?);
        let failed = std::mem::take(&mut self.worker.failed);
        self.worker.failed = judge::streak(failed, finish.held.job, &finish.outcome, wanted);
        let Some(reason) = judge::cordon(&self.worker.failed, &tx.policy) else {
            return Ok(());
        };
        if self.worker.state == WorkerState::Active {
            self.worker.state = WorkerState::Cordoned;
            self.worker.reason.clone_from(&reason);
            self.notices.push(Notice::Cordoned {
                worker: self.owner.worker.clone(),
                reason,
            });
        }
        let failed = self.worker.failed.clone();
        self.jobs.load_digests(tx, failed.iter().copied()).await?;
        for job in failed {
            if let Some(id) = self.jobs.id(job) {
                let worker = self.owner.worker.clone();
                // Taking a charge back is never refused.
                let event = Event::Uncharge { worker };
                let _applied = self.jobs.apply(id, &event, self.now, &tx.policy);
            }
        }
        Ok(())
    }
}

/// The greatest priority of the live, unpaused sweeps that want the job.
async fn priority(tx: &mut Tx, job: i64) -> Result<Option<i32>> {
    let priority = query_scalar!("SELECT priority FROM job WHERE id = ?1", job)
        .fetch_one(&mut tx.conn)
        .await?;
    Ok(priority.map(|priority| priority as i32))
}

/// The policy by which the job takes an outcome with this fault.
async fn policy_for(tx: &mut Tx, job: i64, fault: Option<Fault>) -> Result<Policy> {
    // For nothing else the priority matters.
    let priority = match fault {
        Some(Fault::OutOfMemory) => priority(tx, job).await?,
        _ => None,
    };
    Ok(judge::policy_for(&tx.policy, priority, fault))
}

async fn insert_outcome(
    tx: &mut Tx,
    job: i64,
    attempt: Attempt,
    measurement: &Measurement,
    provenance: i64,
    now: Timestamp,
) -> Result<()> {
    let now = now.as_ms();
    let bits = rows::measurement_bits(measurement);
    let bits = &bits[..];
    let metrics = &measurement.metrics;
    let metrics = (!metrics.is_empty()).then(|| rows::json(metrics));
    let weights = measurement.weights.as_ref();
    let weights = weights.map(|digest| &digest.as_bytes()[..]);
    query!(
        "INSERT INTO outcome
             (job, attempt, test_error, test_loss, best_test_error, train_seconds, bits,
              provenance, recorded_at, metrics, weights)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        job,
        attempt.0,
        measurement.test_error,
        measurement.test_loss,
        measurement.best_test_error,
        measurement.train_seconds,
        bits,
        provenance,
        now,
        metrics,
        weights
    )
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

/// The key of a provenance, which is stored once.
async fn provenance_id(tx: &mut Tx, provenance: &Provenance) -> Result<i64> {
    let mut known = tx.provenances.iter();
    if let Some((_, id)) = known.find(|(known, _)| known == provenance) {
        return Ok(*id);
    }
    let id = find_or_insert(tx, provenance).await?;
    // A kind of machine each: few, and the newest are in use.
    tx.provenances.truncate(31);
    tx.provenances.insert(0, (provenance.clone(), id));
    Ok(id)
}

async fn find_or_insert(tx: &mut Tx, provenance: &Provenance) -> Result<i64> {
    let Provenance {
        device,
        driver,
        libtorch,
        trainer,
        threads,
        determinism,
    } = provenance;
    let id = query_scalar!(
        "SELECT id FROM provenance
         WHERE device = ?1 AND driver = ?2 AND libtorch = ?3 AND trainer = ?4 AND threads = ?5
           AND determinism = ?6",
        device,
        driver,
        libtorch,
        trainer,
        threads,
        determinism
    )
    .fetch_optional(&mut tx.conn)
    .await?;
    if let Some(id) = id {
        return Ok(id);
    }
    let new = query!(
        "INSERT INTO provenance (device, driver, libtorch, trainer, threads, determinism)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        device,
        driver,
        libtorch,
        trainer,
        threads,
        determinism
    )
    .execute(&mut tx.conn)
    .await?;
    Ok(new.last_insert_rowid())
}

/// Pauses the live, unpaused sweeps that hold this job and are broken.
async fn pause_holders(tx: &mut Tx, job: i64) -> Result<Vec<(SweepDigest, String)>> {
    let holders = query!(
        "SELECT sweep.id, sweep.digest, sweep.priority
         FROM job
         JOIN sweep_cell ON sweep_cell.cell = job.cell
         JOIN sweep ON sweep.id = sweep_cell.sweep
         WHERE job.id = ?1 AND job.replicate <= sweep_cell.replicates
           AND sweep.live = 1 AND sweep.paused = 0
         ORDER BY sweep.id",
        job
    )
    .fetch_all(&mut tx.conn)
    .await?;
    let mut paused = Vec::new();
    for holder in holders {
        if judge::is_of_probes(holder.priority as i32) {
            continue;
        }
        if any_succeeded(tx, holder.id).await? {
            continue;
        }
        let Some(faults) = faults_alike(tx, holder.id).await? else {
            continue;
        };
        if let Some(reason) = judge::pause(false, &faults, &tx.policy) {
            sweep::pause(tx, holder.id, &reason).await?;
            paused.push((rows::sweep_digest(&holder.digest)?, reason));
        }
    }
    Ok(paused)
}

async fn any_succeeded(tx: &mut Tx, sweep: i64) -> Result<bool> {
    let found = query_scalar!(
        r#"SELECT EXISTS (
               SELECT 1 FROM outcome
               CROSS JOIN job ON job.id = outcome.job
               CROSS JOIN sweep_cell ON sweep_cell.cell = job.cell AND sweep_cell.sweep = ?1
               WHERE job.replicate <= sweep_cell.replicates) AS "found!: bool""#,
        sweep
    )
    .fetch_one(&mut tx.conn)
    .await?;
    Ok(found)
}

/// The remembered faults of a sweep's jobs, if they are all alike.
async fn faults_alike(tx: &mut Tx, sweep: i64) -> Result<Option<Vec<LastFault>>> {
    // From the faults to the sweep, not from its jobs: few have one.
    let mut rows = query!(
        "SELECT attempt.ended, attempt.message
         FROM job INDEXED BY job_faulted
         CROSS JOIN sweep_cell ON sweep_cell.cell = job.cell AND sweep_cell.sweep = ?1
         CROSS JOIN attempt ON attempt.job = job.id AND attempt.attempt = job.faulted
         WHERE job.faulted IS NOT NULL AND job.replicate <= sweep_cell.replicates",
        sweep
    )
    .fetch(&mut tx.conn);
    let mut faults: Vec<LastFault> = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let Some(fault) = rows::fault(row.ended.as_deref())? else {
            continue;
        };
        let headline = judge::headline(&row.message).to_owned();
        let fault = LastFault { fault, headline };
        if faults.first().is_some_and(|first| *first != fault) {
            return Ok(None);
        }
        faults.push(fault);
    }
    Ok(Some(faults))
}
