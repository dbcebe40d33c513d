//! The coordinator: the ledger, which survives it, and a clock that only runs
//! forward.

use swath_core::ledger::Ledger;
use swath_core::policy::Policy;
use swath_core::time::Timestamp;

use crate::network::{Answer, Call};

#[derive(Debug)]
pub(crate) struct Coordinator {
    pub(crate) ledger: Ledger,
    pub(crate) up: bool,
    /// How far the store's clock is ahead of the simulation's.
    ahead_ms: u64,
    /// Since when it has been up and the sweeper has come in time.
    warm_since: Timestamp,
    swept_at: Timestamp,
}

impl Coordinator {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            ledger: Ledger::new(policy),
            up: true,
            ahead_ms: 0,
            warm_since: Timestamp::from_ms(0),
            swept_at: Timestamp::from_ms(0),
        }
    }

    pub(crate) fn now(&self, at: u64) -> Timestamp {
        Timestamp::from_ms((at + self.ahead_ms) as i64)
    }

    pub(crate) fn jump(&mut self, by_ms: u64) {
        self.ahead_ms += by_ms;
    }

    pub(crate) fn start(&mut self, at: u64) {
        let now = self.now(at);
        self.up = true;
        self.warm_since = now;
        self.swept_at = now;
        self.ledger.restart(now);
    }

    /// The sweeper's pass, which lets leases pass only when it is warm.
    pub(crate) fn sweep(&mut self, at: u64) -> &'static str {
        let now = self.now(at);
        let ttl = self.ledger.policy().ttl();
        if now.since(self.swept_at) > ttl {
            self.warm_since = now;
        }
        self.swept_at = now;
        if now.since(self.warm_since) < ttl {
            self.ledger.extend_leases(now);
            "extended leases"
        } else {
            self.ledger.tick(now);
            "swept"
        }
    }

    pub(crate) fn answer(
        &mut self,
        at: u64,
        call: Call,
    ) -> Result<Answer, swath_core::ledger::LedgerError> {
        let now = self.now(at);
        match call {
            Call::Hello(hello) => {
                let welcome = self.ledger.hello(now, hello.clone());
                Ok(Answer::Welcome(hello, welcome))
            }
            Call::Exchange(exchange) => {
                let exchanged = self.ledger.exchange(now, exchange.clone())?;
                Ok(Answer::Exchanged(exchange, exchanged))
            }
            Call::Heartbeat(owner, held) => {
                let verdicts = self.ledger.heartbeat(now, &owner, &held)?;
                Ok(Answer::Verdicts(owner, held, verdicts))
            }
            Call::Observe(owner, reports) => {
                let held = reports.iter().map(|report| report.held).collect();
                let verdicts = self.ledger.observe(now, &owner, reports)?;
                Ok(Answer::Verdicts(owner, held, verdicts))
            }
            Call::Release(owner, held) => {
                self.ledger.release(now, &owner, &held)?;
                Ok(Answer::Released)
            }
        }
    }
}
