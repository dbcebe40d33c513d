//! Why no job of a sweep trains: what the coordinator says about its next job.

use std::collections::BTreeMap;
use std::time::Duration;

use swath_coordinator::api::{Explanation, Jobs, ReadQuery, Status};
use swath_coordinator::explain::ExplainItem;
use swath_model::id::{JobDigest, SweepDigest};
use swath_model::job::StateName;
use swath_model::needs::Lack;
use swath_model::view::{SweepState, SweepView};
use tokio::time::Instant;

use crate::client::connection::Connection;
use crate::client::failure::Outcome;

/// How long a sweep may stand still before the reason is shown: a worker that
/// is there takes its jobs within a moment.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same when this command starts the worker, which takes longer.
const PATIENCE_WHILE_STARTING: Duration = Duration::from_secs(5);
/// Time between two questions about one sweep.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How many sweeps are asked about.
const ASKED_MAX: usize = 4;

/// A sweep of which no job trains.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stall {
    pub(crate) sweep: SweepDigest,
    /// The sweep's name.
    name: String,
    /// The sweep's next job.
    job: JobDigest,
    /// Why that job waits, the most important reason first.
    reasons: Vec<ExplainItem>,
}

impl Stall {
    /// What the workers lack, if that is why.
    pub(super) fn lack(&self) -> Option<&Lack> {
        self.reasons.iter().find_map(|reason| match reason {
            ExplainItem::Lacks { lack } => Some(lack),
            _ => None,
        })
    }

    /// The reason in one line for people.
    pub(crate) fn line(&self) -> String {
        let (name, job) = (&self.name, self.job.short());
        let reasons = self.reasons.iter().map(|item| item.text(self.job));
        let reasons = reasons.collect::<Vec<_>>().join("; ");
        format!("{name} waits, next is job {job}: {reasons}")
    }
}

/// Which sweeps stand still, and how long they have done so.
#[derive(Debug, Default)]
pub(super) struct Stalls {
    still: BTreeMap<SweepDigest, Still>,
}

#[derive(Debug)]
struct Still {
    since: Instant,
    asked: Option<(Instant, Option<Stall>)>,
}

impl Stalls {
    /// The sweeps that have stood still for a while, each with the reason.
    pub(super) async fn of(&mut self, connection: &mut Connection, status: &Status) -> Vec<Stall> {
        let now = Instant::now();
        let patience = patience(connection);
        let mut before = std::mem::take(&mut self.still);
        let mut stalls = Vec::new();
        for sweep in status.sweeps.iter().filter(|sweep| stands_still(sweep)) {
            let mut still = before.remove(&sweep.digest).unwrap_or(Still {
                since: now,
                asked: None,
            });
            let asked = still.asked.as_ref().map(|(at, _)| now.duration_since(*at));
            let due = now.duration_since(still.since) >= patience
                && asked.is_none_or(|since| since >= ASK_EVERY)
                && stalls.len() < ASKED_MAX;
            if due {
                // What cannot be answered now, as between two leaders, is
                // answered later.
                let stall = ask(connection, sweep).await.unwrap_or_default();
                still.asked = Some((now, stall));
            }
            let stall = still.asked.as_ref().and_then(|(_, stall)| stall.clone());
            stalls.extend(stall);
            self.still.insert(sweep.digest, still);
        }
        stalls
    }

    /// How long until a sweep that stands still is asked about for the first
    /// time.
    pub(super) fn patience(&self, connection: &Connection) -> Duration {
        let patience = patience(connection);
        let left = self.still.values().filter_map(|still| {
            let left = patience.checked_sub(still.since.elapsed())?;
            still.asked.is_none().then_some(left)
        });
        left.min().unwrap_or(Duration::MAX)
    }
}

fn patience(connection: &Connection) -> Duration {
    if connection.is_local() {
        PATIENCE_WHILE_STARTING
    } else {
        PATIENCE
    }
}

/// Whether jobs wait and none trains.
fn stands_still(sweep: &SweepView) -> bool {
    let over = matches!(sweep.state, SweepState::Finished | SweepState::Cancelled);
    !over && sweep.counts.leased == 0 && next_state(sweep).is_some()
}

/// The state of the next job of a sweep of which no job trains.
fn next_state(sweep: &SweepView) -> Option<StateName> {
    match (sweep.counts.queued, sweep.counts.suspect) {
        (0, 0) => None,
        (0, _) => Some(StateName::Suspect),
        _ => Some(StateName::Queued),
    }
}

/// What the coordinator says about the next job; none when the job has just
/// gone.
async fn ask(connection: &mut Connection, sweep: &SweepView) -> Outcome<Option<Stall>> {
    let Some(state) = next_state(sweep) else {
        return Ok(None);
    };
    let query = ReadQuery::Jobs {
        selector: vec![sweep.digest.to_string(), format!("state={}", state.name())],
        limit: Some(1),
        after: None,
    };
    let jobs: Jobs = connection.read(&query).await?;
    let Some(job) = jobs.jobs.first() else {
        return Ok(None);
    };
    let selector = vec![job.digest.to_string()];
    let found: Explanation = connection.read(&ReadQuery::Explain { selector }).await?;
    let moved = found.detail.job.state != state || found.items.is_empty();
    Ok((!moved).then(|| Stall {
        sweep: sweep.digest,
        name: sweep.name.clone(),
        job: job.digest,
        reasons: found.items,
    }))
}

#[cfg(test)]
mod tests {
    use swath_model::view::Counts;

    use super::*;
    use crate::client::render::tests::sweep;

    #[test]
    fn a_sweep_stands_still_while_jobs_wait_and_none_trains() {
        let mut view = sweep("small");
        let mut still = |state, counts: Counts| {
            view.state = state;
            view.counts = counts;
            stands_still(&view)
        };
        let waiting = Counts {
            queued: 3,
            succeeded: 1,
            ..Counts::default()
        };
        assert!(still(SweepState::Active, waiting));
        assert!(still(SweepState::Paused, waiting));
        assert!(!still(SweepState::Cancelled, waiting));
        let lost = Counts {
            suspect: 1,
            ..Counts::default()
        };
        assert!(still(SweepState::Active, lost));
        let trains = Counts {
            leased: 1,
            ..waiting
        };
        assert!(!still(SweepState::Active, trains));
        // The results of such a sweep decide what follows.
        assert!(!still(SweepState::Active, Counts::default()));
    }

    #[test]
    fn a_stall_is_one_line() {
        let stall = Stall {
            sweep: sweep("small").digest,
            name: "small".to_owned(),
            job: JobDigest::from_bytes([1; 32]),
            reasons: vec![ExplainItem::NoWorker { ever: true }, ExplainItem::Stopping],
        };
        assert_eq!(
            stall.line(),
            "small waits, next is job 010101010101: no worker is connected; start one: \
             `worker --coordinator URL`; it is cancelled; its worker learns of it at its next heartbeat"
        );
    }
}
