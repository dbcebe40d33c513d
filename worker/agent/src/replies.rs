//! What changes with the coordinator's answers.

use std::time::Duration;

use swath_model::id::SessionId;
use swath_model::message::{Ack, Grant, Held, Verdict};

use super::calls::Kind;
use super::event::{CallError, CallId, Effect, Exit, Reply};
use super::pace::GATHER;
use super::{Agent, Pending};

/// A session shorter than this was taken away by another worker of the same
/// name.
const SHORT_SESSION: Duration = Duration::from_mins(1);

/// After so many such sessions in a row, this worker gives way.
const DISPLACED_MAX: u32 = 5;

/// How long to leave a coordinator alone that answers at once with nothing.
const NOTHING_PAUSE: Duration = Duration::from_millis(100);

impl Agent {
    pub(super) fn replied(&mut self, call: CallId, result: Result<Reply, CallError>) {
        let Some(kind) = self.kind_of(call) else {
            return;
        };
        match result {
            Ok(reply) => {
                let was_away = self.reached();
                let lane = self.lane(kind);
                if lane.failures > 0 && !was_away {
                    tracing::info!(call = ?kind, failures = lane.failures, "the coordinator answers again");
                }
                lane.succeeded();
                self.answered(kind, reply);
            }
            Err(CallError::Stale(why)) => self.stale(&why),
            Err(CallError::NameTaken(why)) => self.exit(Exit::Displaced(why)),
            Err(CallError::Protocol(why) | CallError::Revoked(why)) => self.exit(Exit::Failed(why)),
            Err(CallError::Unreachable(why)) => {
                self.unreachable(&why);
                self.retry(kind, &why);
            }
            Err(CallError::Retry(why)) => self.retry(kind, &why),
        }
    }

    fn retry(&mut self, kind: Kind, why: &str) {
        let (now, backoff, unit) = (self.now, self.config.backoff, self.jitter.unit());
        let away = self.away.is_some();
        let lane = self.lane(kind);
        lane.failed(now, backoff, unit);
        if lane.failures == 1 && !away {
            tracing::warn!(call = ?kind, error = why, "a call to the coordinator failed; trying again");
        } else {
            tracing::debug!(call = ?kind, failures = lane.failures, error = why, "a call failed again");
        }
        // Try half of the outcomes: all of them may take too long on a slow
        // link.
        if kind == Kind::Deliver
            && let Some(pending) = self.delivering.as_mut()
        {
            let half = pending.outcomes.len().div_ceil(2);
            self.outbox.take_back(pending.outcomes.split_off(half));
        }
        // A question that waited is asked again without waiting: jobs that were
        // granted to it come at once.
        if kind == Kind::Fetch && self.drain.is_some() {
            self.fetching = None;
        }
    }

    fn answered(&mut self, kind: Kind, reply: Reply) {
        match reply {
            Reply::Welcome {
                session,
                verdicts,
                heartbeat,
                drain,
            } => self.welcomed(session, &verdicts, heartbeat, drain),
            Reply::Exchanged {
                acks,
                grants,
                drain,
            } => self.exchanged(kind, &acks, grants, drain),
            Reply::Beaten { verdicts, drain } => {
                let share = 0.8 + 0.4 * self.jitter.unit();
                self.beat.not_before = self.now + self.heartbeat.mul_f64(share);
                let held = std::mem::take(&mut self.beat_held);
                for (held, verdict) in held.into_iter().zip(verdicts) {
                    self.judged(held, verdict);
                }
                self.ordered_to_drain(drain);
            }
            Reply::Observed(verdicts) => self.observed(&verdicts),
            Reply::Released => {
                self.releases.drain(..self.releasing);
                self.releasing = 0;
            }
            // It comes after the end.
            Reply::Parted => {}
        }
    }

    fn welcomed(
        &mut self,
        session: SessionId,
        verdicts: &[Verdict],
        heartbeat: Duration,
        drain: Duration,
    ) {
        tracing::info!(%session, worker = %self.config.worker, "in session with the coordinator");
        self.session = Some(session);
        self.session_since = self.now;
        // Once is enough: two workers that take a name from each other would
        // never stop.
        self.config.take_name = false;
        self.idle_since = None;
        self.heartbeat = heartbeat.max(Duration::from_millis(1));
        self.drain_time = drain;
        self.beat.not_before = self.now + self.heartbeat.mul_f64(self.jitter.unit());
        let held = std::mem::take(&mut self.hello_held);
        for (held, verdict) in held.into_iter().zip(verdicts.iter().copied()) {
            if self.outbox.revive(held, verdict) {
                tracing::warn!(job = %held.job.short(), attempt = %held.attempt, worker = %self.config.worker, "the coordinator lost this outcome; sending it again");
            } else {
                self.judged(held, verdict);
            }
        }
    }

    /// Applies a verdict on an attempt. If the attempt has ended meanwhile, its
    /// outcome is sent whatever the verdict.
    fn judged(&mut self, held: Held, verdict: Verdict) {
        match verdict {
            Verdict::Keep => {}
            Verdict::Stop => self.stop_attempt(held),
            Verdict::Fenced => self.forget(held),
        }
    }

    fn exchanged(&mut self, kind: Kind, acks: &[Ack], grants: Vec<Grant>, drain: bool) {
        let pending = match kind {
            Kind::Deliver => self.delivering.take(),
            _ => self.fetching.take(),
        };
        let Some(pending) = pending else { return };
        if kind == Kind::Deliver {
            self.pace
                .round_trip(self.now.saturating_sub(self.deliver.sent_at));
            self.acknowledge(&pending, acks);
            self.gathers_until = self.now + GATHER;
        } else {
            self.pause_after_nothing(&pending, grants.is_empty());
        }
        // A reply to outcomes that has no jobs says nothing about the queue.
        if kind == Kind::Fetch || !grants.is_empty() {
            self.take(grants);
        }
        self.ordered_to_drain(drain);
    }

    fn acknowledge(&mut self, pending: &Pending, acks: &[Ack]) {
        let mut done = Vec::with_capacity(acks.len());
        for (held, ack) in pending.outcomes.iter().zip(acks) {
            if matches!(ack, Ack::Stale | Ack::Refused) {
                tracing::warn!(job = %held.job.short(), attempt = %held.attempt, worker = %self.config.worker, ?ack, "an outcome does not count");
            }
            if self.outbox.acknowledged(*held, *ack) {
                done.push(*held);
            }
        }
        if !done.is_empty() {
            self.effects.push(Effect::Acknowledged(done));
        }
    }

    /// A coordinator that answers at once with nothing, as it does to a
    /// cordoned worker, must not be asked in a tight loop.
    fn pause_after_nothing(&mut self, pending: &Pending, nothing: bool) {
        let waited = self.now.saturating_sub(self.fetch.sent_at);
        // A question in bulk did not wait, on purpose; the next one will.
        let bulk = self.pace.expected() > 1;
        if nothing && !bulk && waited <= pending.wait / 2 {
            let pause = NOTHING_PAUSE * (1 << self.fetched_nothing.min(5));
            self.fetched_nothing += 1;
            self.fetch.not_before = self.now + pause;
        } else {
            self.fetched_nothing = 0;
        }
    }

    fn observed(&mut self, verdicts: &[Verdict]) {
        let reports = std::mem::take(&mut self.observing);
        for (report, verdict) in reports.iter().zip(verdicts) {
            let held = report.held;
            let running = self
                .slots
                .iter_mut()
                .filter_map(|slot| slot.running.as_mut())
                .find(|running| running.held == held);
            if let Some(running) = running {
                running.journal.reported();
                self.judged(held, *verdict);
            } else {
                self.releases
                    .extend(self.partings.reported(report, *verdict));
                self.outbox.reported(report);
            }
        }
    }

    /// The session is over: nothing that was said in it counts any more.
    fn stale(&mut self, why: &str) {
        if self.session.take().is_none() {
            return;
        }
        let short = self.now.saturating_sub(self.session_since) < SHORT_SESSION;
        self.displaced = if short { self.displaced + 1 } else { 1 };
        if self.displaced > DISPLACED_MAX {
            let name = &self.config.worker;
            self.exit(Exit::Displaced(format!(
                "another worker named `{name}` keeps taking over the session; \
                 stop it, or start this one with another --name ({why})"
            )));
            return;
        }
        tracing::warn!(error = why, "the session is over; saying hello again");
        for kind in [
            Kind::Fetch,
            Kind::Deliver,
            Kind::Beat,
            Kind::Observe,
            Kind::Release,
        ] {
            let lane = self.lane(kind);
            let call = lane.call.take();
            *lane = super::Lane::default();
            self.effects.extend(call.map(Effect::Abort));
        }
        self.fetching = None;
        if let Some(pending) = self.delivering.take() {
            self.outbox.take_back(pending.outcomes);
        }
        // What the hello does not name goes back to the queue.
        self.releases.clear();
        self.releasing = 0;
        self.partings.clear();
        self.observing.clear();
        let wait = if self.displaced > 1 {
            self.config.backoff.wait(self.displaced, self.jitter.unit())
        } else {
            Duration::ZERO
        };
        self.hello.not_before = self.now + wait;
    }
}
