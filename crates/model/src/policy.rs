//! Times and limits of the lease protocol, and what is computed from them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::outcome::Fault;

/// Every time and limit of the protocol. `Default` is what production uses;
/// tests shorten it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Time between two heartbeats of a worker, before ±20 % jitter.
    pub heartbeat_ms: u64,
    /// A lease lives this long after its last heartbeat.
    pub ttl_ms: u64,
    /// Shortest grace of a suspect attempt.
    pub grace_min_ms: u64,
    /// Longest grace of a suspect attempt.
    pub grace_max_ms: u64,
    /// Grace in percent of the time that the attempt has trained.
    pub grace_percent: u64,
    /// Time between two passes of the sweeper.
    pub sweeper_ms: u64,
    /// The first backoff after a charged fault; doubles with each.
    pub backoff_base_ms: u64,
    /// The longest backoff.
    pub backoff_max_ms: u64,
    /// Charged faults after which a job fails.
    pub charged_max: u32,
    /// Distinct workers with charged faults after which a job fails.
    pub workers_max: u32,
    /// Grants after which a job fails, charged or not.
    pub attempts_max: u32,
    /// Different jobs that a worker fails in a row before it is cordoned.
    pub cordon_after: u32,
    /// Jobs of a sweep that all fail alike, none succeeding, before the sweep
    /// is paused.
    pub pause_after: u32,
    /// How long a drained worker has to release its attempts.
    pub drain_ms: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            heartbeat_ms: 10_000,
            ttl_ms: 60_000,
            grace_min_ms: 60_000,
            grace_max_ms: 15 * 60_000,
            grace_percent: 5,
            sweeper_ms: 5_000,
            backoff_base_ms: 10_000,
            backoff_max_ms: 10 * 60_000,
            charged_max: 5,
            workers_max: 3,
            attempts_max: 20,
            cordon_after: 3,
            pause_after: 3,
            drain_ms: 25_000,
        }
    }
}

/// A relation between two limits that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PolicyError(String);

impl Policy {
    /// Margin for one slow network round trip between heartbeats.
    const MARGIN_PERCENT: u64 = 20;

    /// Checks the relations between the limits, I10 among them:
    /// `2 × heartbeat + margin < ttl`.
    ///
    /// # Errors
    ///
    /// When a relation does not hold; it names the first one.
    pub fn check(&self) -> Result<(), PolicyError> {
        let margin = self.heartbeat_ms.saturating_mul(Self::MARGIN_PERCENT) / 100;
        let relations = [
            (
                self.heartbeat_ms.saturating_mul(2).saturating_add(margin) < self.ttl_ms,
                format!(
                    "a lease of {} ms must outlive two heartbeats of {} ms and a margin of {margin} ms",
                    self.ttl_ms, self.heartbeat_ms
                ),
            ),
            (
                self.heartbeat_ms > 0,
                "the heartbeat must be longer than 0 ms".to_owned(),
            ),
            (
                self.sweeper_ms > 0 && self.sweeper_ms <= self.ttl_ms,
                "the sweeper must rest between passes, and pass once per lease".to_owned(),
            ),
            (
                self.grace_min_ms <= self.grace_max_ms,
                "the least grace is above the most grace".to_owned(),
            ),
            (
                self.backoff_base_ms <= self.backoff_max_ms,
                "the first backoff is above the longest".to_owned(),
            ),
            (
                self.charged_max >= 1 && self.workers_max >= 1 && self.attempts_max >= 1,
                "a job must be allowed one attempt".to_owned(),
            ),
            (
                self.cordon_after >= 1 && self.pause_after >= 1,
                "a worker or a sweep must be allowed one failed job".to_owned(),
            ),
            (
                self.charged_max <= self.attempts_max,
                "more charged attempts than attempts".to_owned(),
            ),
        ];
        match relations.into_iter().find(|(holds, _)| !holds) {
            Some((_, broken)) => Err(PolicyError(broken)),
            None => Ok(()),
        }
    }

    /// Time between two heartbeats of a worker.
    pub const fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms)
    }

    /// How long a lease lives after its last heartbeat.
    pub const fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms)
    }

    /// How long a suspect attempt that has trained for `elapsed` may still come
    /// back: repeating a long job is expensive, waiting is not.
    pub fn grace(&self, elapsed: Duration) -> Duration {
        let elapsed = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let share = elapsed.saturating_mul(self.grace_percent) / 100;
        Duration::from_millis(share.clamp(self.grace_min_ms, self.grace_max_ms))
    }

    /// How long a job waits after its `charged`-th charged fault:
    /// `min(max, base · 2^(charged-1)) · U(½, 1)`, with `unit` in 0..1 as the
    /// random number.
    pub fn backoff(&self, charged: u32, unit: f64) -> Duration {
        let exponent = charged.saturating_sub(1).min(32);
        let full = self
            .backoff_base_ms
            .saturating_mul(1 << exponent)
            .min(self.backoff_max_ms);
        let share = 0.5 + 0.5 * unit.clamp(0.0, 1.0);
        Duration::from_millis((full as f64 * share) as u64)
    }

    /// Whether this fault is charged to its job.
    pub const fn charges(fault: Fault) -> bool {
        matches!(fault, Fault::Crashed | Fault::OutOfMemory | Fault::TimedOut)
    }

    /// Whether this fault ends its job at once: the same spec and seed would
    /// end the same way, and another seed would bias the median.
    pub const fn ends(fault: Fault) -> bool {
        matches!(fault, Fault::Diverged | Fault::Invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_described_with_its_default() {
        let page = include_str!("../../../docs/policy.md");
        let keys = serde_json::to_value(Policy::default()).unwrap();
        let keys = keys.as_object().unwrap();
        for (key, value) in keys {
            assert!(page.contains(&format!("\n| `{key}` | {value} | ")), "{key}");
        }
        assert_eq!(page.matches("\n| `").count(), keys.len());
    }

    #[test]
    fn production_keeps_its_relations() {
        assert_eq!(Policy::default().check(), Ok(()));
        let tight = Policy {
            ttl_ms: 20_000,
            ..Policy::default()
        };
        assert!(
            tight
                .check()
                .unwrap_err()
                .to_string()
                .contains("two heartbeats")
        );
        let restless = Policy {
            sweeper_ms: 0,
            ..Policy::default()
        };
        assert!(restless.check().is_err());
        let strict = Policy {
            cordon_after: 0,
            ..Policy::default()
        };
        assert!(strict.check().is_err());
        let endless = Policy {
            heartbeat_ms: u64::MAX,
            ..Policy::default()
        };
        assert!(endless.check().is_err());
    }

    #[test]
    fn grace_grows_with_the_training() {
        let policy = Policy::default();
        let hours = Duration::from_hours;
        assert_eq!(policy.grace(Duration::ZERO), Duration::from_mins(1));
        assert_eq!(policy.grace(hours(1)), Duration::from_mins(3));
        assert_eq!(policy.grace(hours(16)), Duration::from_mins(15));
    }

    #[test]
    fn backoff_doubles_to_its_limit() {
        let policy = Policy::default();
        assert_eq!(policy.backoff(1, 1.0), Duration::from_secs(10));
        assert_eq!(policy.backoff(1, 0.0), Duration::from_secs(5));
        assert_eq!(policy.backoff(3, 1.0), Duration::from_secs(40));
        assert_eq!(policy.backoff(u32::MAX, 1.0), Duration::from_mins(10));
    }
}
