//! Workers that wait for a job. As soon as there is one for a worker, it is
//! granted in the batch that brought it; nobody is woken for nothing.

use std::collections::VecDeque;

use swath_model::message::Exchange;
use swath_model::time::Timestamp;
use swath_model::view::WorkerState;
use swath_store::Result;
use tokio::sync::oneshot;

use crate::call::{Answer, Refusal, answer};
use crate::ledger::{Drafted, Ledger};

/// Identifies a wait, so that it can be ended.
pub(crate) type WaitId = u64;

/// A worker that waits for a job.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) id: WaitId,
    /// The exchange to carry out then, without outcomes, which were recorded
    /// before.
    pub(crate) exchange: Exchange,
    pub(crate) reply: oneshot::Sender<Result<Drafted>>,
}

impl Waiting {
    /// Answers that there is nothing for it.
    pub(crate) fn send_away(self) {
        let nothing = Drafted {
            acks: Vec::new(),
            grants: Vec::new(),
        };
        let _gone = self.reply.send(Ok(nothing));
    }

    pub(crate) fn refuse(self, why: Refusal) {
        let _gone = self.reply.send(Err(why.into()));
    }
}

/// The waiting workers; the one that has waited longest comes first.
#[derive(Debug, Default)]
pub(crate) struct Parked(VecDeque<Waiting>);

impl Parked {
    pub(crate) fn add(&mut self, waiting: Waiting) {
        self.0.push_back(waiting);
    }

    /// Ends a wait, if it has not ended yet.
    pub(crate) fn end(&mut self, id: WaitId) {
        if let Some(place) = self.0.iter().position(|waiting| waiting.id == id)
            && let Some(waiting) = self.0.remove(place)
        {
            waiting.send_away();
        }
    }

    /// Grants jobs to the workers that can have one now; returns what to tell
    /// them after the commit. A worker that cannot get any more, for example
    /// because it is drained, stops waiting; a caller that has gone is
    /// forgotten.
    pub(crate) fn serve(&mut self, ledger: &mut Ledger, now: Timestamp) -> Vec<Answer> {
        let mut answers: Vec<Answer> = Vec::new();
        loop {
            let before = answers.len();
            self.serve_each(ledger, now, &mut answers);
            // What one worker gets may free what was kept on another.
            if answers.len() == before || !ledger.may_keep_room() {
                return answers;
            }
        }
    }

    fn serve_each(&mut self, ledger: &mut Ledger, now: Timestamp, answers: &mut Vec<Answer>) {
        let mut still = VecDeque::with_capacity(self.0.len());
        for waiting in self.0.drain(..) {
            if waiting.reply.is_closed() {
                continue;
            }
            let state = ledger.worker_state(&waiting.exchange.owner);
            let waits = matches!(state, Some(WorkerState::Active | WorkerState::Cordoned));
            let served = !waits || ledger.has_job_for(&waiting.exchange, now);
            if !served {
                still.push_back(waiting);
                continue;
            }
            let result = ledger.exchange(now, waiting.exchange);
            answers.push(answer(result, waiting.reply));
        }
        self.0 = still;
    }

    pub(crate) fn refuse_all(&mut self, why: &Refusal) {
        for waiting in self.0.drain(..) {
            waiting.refuse(why.clone());
        }
    }
}
