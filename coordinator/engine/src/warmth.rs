//! Whether leases may pass now: only if workers could have been heard.

use std::time::Duration;

use swath_model::policy::Policy;
use swath_model::time::Timestamp;

/// What the sweeper may do in this pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Let leases pass that are over.
    Tick,
    /// Give every lease a full life: no worker could have been heard.
    Forgive,
}

/// Whether leases may expire now. They may only when coordinator and store have
/// been up without a gap for the length of one lease; during a gap heartbeats
/// could not be heard, and nothing may expire because of that.
#[derive(Debug)]
pub struct Warmth {
    warm_since: Timestamp,
    last_pass: Timestamp,
}

impl Warmth {
    /// The state at the start: no lease may pass yet.
    pub const fn new(now: Timestamp) -> Self {
        Self {
            warm_since: now,
            last_pass: now,
        }
    }

    /// Decides what the pass at `now` may do.
    pub fn pass(&mut self, now: Timestamp, policy: &Policy) -> Pass {
        let gap = now.since(self.last_pass);
        self.last_pass = now;
        // A pass may be late under load; a gap of three means a stopped
        // process.
        if gap > Duration::from_millis(3 * policy.sweeper_ms) {
            self.warm_since = now;
            return Pass::Forgive;
        }
        if now.since(self.warm_since) < policy.ttl() {
            Pass::Forgive
        } else {
            Pass::Tick
        }
    }

    /// Notes that the store did not answer: no worker could have been heard.
    pub const fn cool(&mut self, now: Timestamp) {
        self.warm_since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_ms(seconds * 1000)
    }

    #[test]
    fn nothing_expires_before_one_lease_has_passed() {
        let policy = Policy::default();
        let mut warmth = Warmth::new(at(0));
        for second in (5..60).step_by(5) {
            assert_eq!(warmth.pass(at(second), &policy), Pass::Forgive, "{second}");
        }
        assert_eq!(warmth.pass(at(60), &policy), Pass::Tick);
    }

    #[test]
    fn a_stopped_process_forgives_and_starts_cold() {
        let policy = Policy::default();
        let mut warmth = Warmth::new(at(0));
        for second in (5..=60).step_by(5) {
            warmth.pass(at(second), &policy);
        }
        assert_eq!(warmth.pass(at(400), &policy), Pass::Forgive);
        assert_eq!(warmth.pass(at(405), &policy), Pass::Forgive);
        for second in (410..460).step_by(5) {
            warmth.pass(at(second), &policy);
        }
        assert_eq!(warmth.pass(at(460), &policy), Pass::Tick);
    }

    #[test]
    fn an_unreachable_store_forgives() {
        let policy = Policy::default();
        let mut warmth = Warmth::new(at(0));
        for second in (5..=100).step_by(5) {
            warmth.pass(at(second), &policy);
        }
        warmth.cool(at(101));
        assert_eq!(warmth.pass(at(105), &policy), Pass::Forgive);
    }
}
