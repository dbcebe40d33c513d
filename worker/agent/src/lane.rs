//! One kind of call: at most one in flight, with backoff after failures.

use std::time::Duration;

use super::event::CallId;

/// Limits of the pause after failed calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Upper bound of the first pause; doubles with each failure.
    pub base: Duration,
    /// Upper bound of every pause.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(500),
            max: Duration::from_secs(30),
        }
    }
}

impl Backoff {
    /// How long to wait after so many failures in a row: with full jitter, so
    /// that a thousand workers do not come back at once. `unit` is a random
    /// number in 0..1.
    pub(crate) fn wait(&self, failures: u32, unit: f64) -> Duration {
        let exponent = failures.saturating_sub(1).min(16);
        let bound = self.base.saturating_mul(1 << exponent).min(self.max);
        bound.mul_f64(unit.clamp(0.0, 1.0))
    }
}

/// A kind of call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lane {
    pub(crate) call: Option<CallId>,
    pub(crate) sent_at: Duration,
    pub(crate) failures: u32,
    pub(crate) not_before: Duration,
}

impl Lane {
    /// Whether a call may be made.
    pub(crate) fn is_free(&self, now: Duration) -> bool {
        self.call.is_none() && self.not_before <= now
    }

    /// Notes that a call was made.
    pub(crate) fn sent(&mut self, call: CallId, now: Duration) {
        self.call = Some(call);
        self.sent_at = now;
    }

    /// Notes that the call succeeded.
    pub(crate) fn succeeded(&mut self) {
        self.call = None;
        self.failures = 0;
    }

    /// Notes that the call failed.
    pub(crate) fn failed(&mut self, now: Duration, backoff: Backoff, unit: f64) {
        self.call = None;
        self.failures += 1;
        self.not_before = now + backoff.wait(self.failures, unit);
    }
}

/// Random numbers for jitter: SplitMix64, seeded by the shell.
#[derive(Clone, Debug)]
pub(crate) struct Jitter(pub(crate) u64);

impl Jitter {
    /// A number in 0..1.
    pub(crate) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_has_full_jitter_and_a_limit() {
        let backoff = Backoff::default();
        assert_eq!(backoff.wait(1, 1.0), Duration::from_millis(500));
        assert_eq!(backoff.wait(3, 0.5), Duration::from_secs(1));
        assert_eq!(backoff.wait(40, 1.0), Duration::from_secs(30));
        let mut jitter = Jitter(1);
        let units: Vec<f64> = (0..1000).map(|_| jitter.unit()).collect();
        assert!(units.iter().all(|unit| (0.0..1.0).contains(unit)));
        let mean = units.iter().sum::<f64>() / 1000.0;
        assert!((mean - 0.5).abs() < 0.05, "{mean}");
    }
}
