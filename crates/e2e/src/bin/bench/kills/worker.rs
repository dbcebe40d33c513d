//! What one scripted worker has, says and hears.

use std::time::{Duration, Instant};

use swath_e2e::Random;
use swath_proto::v1;

use super::list::List;
use crate::stub::{finish, free, hello};

/// Attempts that a worker holds at a time.
const HELD: usize = 6;
/// One attempt in so many takes long: it is held across what happens meanwhile.
const LONG_ONE_IN: u64 = 40;
/// How long a long attempt takes, in milliseconds: at least, and up to so much more.
const LONG_MS: (u64, u64) = (5_000, 10_000);
/// How long any other takes.
const SHORT_MS: (u64, u64) = (5, 60);
/// How long to rest when there is nothing to do.
const REST: Duration = Duration::from_millis(25);

/// A worker without trainers.
#[derive(Debug)]
pub(crate) struct Worker {
    name: String,
    session: u64,
    request: u64,
    held: Vec<Held>,
    random: Random,
    /// What was sent and not answered: it is sent again as it is.
    sent: Option<v1::ExchangeRequest>,
}

#[derive(Debug)]
struct Held {
    finish: v1::Finish,
    until: Instant,
}

/// What a worker does next.
pub(crate) enum Next {
    Hello(v1::HelloRequest),
    Exchange(v1::ExchangeRequest),
    Rest(Duration),
}

impl Worker {
    pub(crate) fn new(name: &str, seed: u64) -> Self {
        Self {
            name: name.to_owned(),
            session: 0,
            request: 0,
            held: Vec::new(),
            random: Random::new(seed),
            sent: None,
        }
    }

    /// What to do; in a hurry all that is held ends now.
    pub(crate) fn next(&mut self, hurry: bool) -> Next {
        if self.session == 0 {
            return Next::Hello(hello(&self.name, HELD, self.heads()));
        }
        if let Some(sent) = &self.sent {
            return Next::Exchange(sent.clone());
        }
        let now = Instant::now();
        let due = self.held.iter().filter(|held| hurry || held.until <= now);
        let finishes: Vec<_> = due.map(|held| held.finish.clone()).collect();
        let want = HELD - (self.held.len() - finishes.len()).min(HELD);
        if finishes.is_empty() && want == 0 {
            let next = self.held.iter().map(|held| held.until).min();
            let rest = next.map_or(REST, |next| next.saturating_duration_since(now));
            return Next::Rest(rest.min(REST));
        }
        self.request += 1;
        let request = v1::ExchangeRequest {
            worker: self.name.clone(),
            session: self.session,
            request: self.request,
            finishes,
            free: free(want),
            wait_ms: if self.held.is_empty() { 500 } else { 0 },
        };
        self.sent = Some(request.clone());
        Next::Exchange(request)
    }

    fn heads(&self) -> Vec<v1::Held> {
        let heads = self.held.iter().map(|held| held.finish.held.clone());
        heads.flatten().collect()
    }

    pub(crate) fn heartbeat(&self) -> Option<v1::HeartbeatRequest> {
        (self.session > 0).then(|| v1::HeartbeatRequest {
            worker: self.name.clone(),
            session: self.session,
            held: self.heads(),
        })
    }

    /// A session has begun.
    pub(crate) fn welcomed(&mut self, reply: &v1::HelloReply) {
        self.session = reply.session;
        self.request = 0;
        self.sent = None;
    }

    /// Its session is over.
    pub(crate) fn is_stale(&mut self) {
        self.session = 0;
        self.sent = None;
    }

    /// What was sent is answered; says whether it brought anything.
    pub(crate) fn exchanged(&mut self, reply: v1::ExchangeReply, list: &List) -> bool {
        let Some(sent) = self.sent.take() else {
            return false;
        };
        for (finish, ack) in sent.finishes.iter().zip(&reply.acks) {
            list.answered(finish, *ack);
            self.held.retain(|held| held.finish.held != finish.held);
        }
        let brought = !reply.acks.is_empty() || !reply.grants.is_empty();
        for held in reply.grants.into_iter().filter_map(|grant| grant.held) {
            list.granted(&held);
            let (least, more) = if self.random.below(LONG_ONE_IN) == 0 {
                LONG_MS
            } else {
                SHORT_MS
            };
            let takes = Duration::from_millis(least + self.random.below(more));
            let finish = self.finish(held);
            let until = Instant::now() + takes;
            self.held.push(Held { finish, until });
        }
        brought
    }

    /// An outcome with numbers of full length, which no two attempts share.
    fn finish(&mut self, held: v1::Held) -> v1::Finish {
        let mut number = |below: f64| {
            let bits = (self.random.below(1 << 31) << 22) ^ self.random.below(1 << 31);
            bits as f64 / (1_u64 << 53) as f64 * below
        };
        let test_error = number(100.0);
        let measurement = v1::Measurement {
            values: [
                ("test_error".to_owned(), test_error),
                ("test_loss".to_owned(), number(10.0)),
                ("best_test_error".to_owned(), test_error * 0.9),
            ]
            .into(),
            train_seconds: number(1000.0),
            ..v1::Measurement::default()
        };
        finish(held, measurement)
    }
}
