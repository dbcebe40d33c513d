//! One call of the engine, whatever it returns.

use swath_model::id::{CellDigest, SweepDigest};
use swath_model::time::Timestamp;
use swath_store::{Result, Said, StoreError, Tail};
use tokio::sync::oneshot;

use crate::ledger::{Ledger, Wanted};

/// What a call needs to know that is not in the ledger. Such a call has a batch
/// of its own, because what it needs to know must be committed.
#[derive(Debug)]
pub(crate) enum Extra {
    /// Nothing.
    Nothing,
    /// The specs of these cells, if the ledger holds the cells.
    Specs(Vec<CellDigest>),
    /// The last cells of a sweep.
    Tail(SweepDigest),
    /// The imported numbers of sources.
    Said {
        /// The cells, each with the name of a sweep.
        cells: Vec<(String, CellDigest)>,
        /// The sources, each with the name of a sweep.
        sources: Vec<(String, String)>,
    },
}

/// What the store returned for an [`Extra`].
#[derive(Debug, Default)]
pub(crate) struct Extras {
    /// The specs; an empty text for a cell that is not held.
    pub(crate) specs: Vec<String>,
    pub(crate) said: Said,
    pub(crate) tail: Tail,
}

/// Why nothing of a batch was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The store failed, or the engine has ended.
    Failed(String),
    /// Somebody else leads; the text says where, if that is known.
    NotLeader(Option<String>),
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Failed(message) => Self::Failed {
                message,
                source: None,
            },
            Refusal::NotLeader(leader) => Self::NotLeader { leader },
        }
    }
}

/// Answers a caller, with whether the batch was committed or why not.
pub(crate) type Answer = Box<dyn FnOnce(Result<(), Refusal>) + Send>;

/// Makes the answer that sends the result to `reply`, once the batch is
/// committed or refused.
pub(crate) fn answer<T: Send + 'static>(
    result: Result<T>,
    reply: oneshot::Sender<Result<T>>,
) -> Answer {
    Box::new(move |committed| {
        let result = match committed {
            Ok(()) => result,
            Err(refusal) => result.and_then(|_| Err(refusal.into())),
        };
        // The caller may be gone; the work is kept.
        let _gone = reply.send(result);
    })
}

/// One call of the engine, whatever it returns.
pub(crate) trait Call: Send + Sync {
    fn now(&self) -> Option<Timestamp>;

    fn wanted(&self) -> &Wanted;

    fn extra(&self) -> &Extra;

    /// Decides; the caller is answered after the commit.
    fn decide(self: Box<Self>, ledger: &mut Ledger, now: Timestamp, extras: Extras) -> Answer;

    /// Answers with a refusal, without a decision.
    fn refuse(self: Box<Self>, why: Refusal);
}

/// A call that runs `work` on the ledger.
pub(crate) struct Op<T, F> {
    pub(crate) now: Option<Timestamp>,
    pub(crate) wanted: Wanted,
    pub(crate) extra: Extra,
    pub(crate) work: F,
    pub(crate) reply: oneshot::Sender<Result<T>>,
}

impl<T, F> Call for Op<T, F>
where
    T: Send + 'static,
    F: FnOnce(&mut Ledger, Timestamp, Extras) -> Result<T> + Send + Sync + 'static,
{
    fn now(&self) -> Option<Timestamp> {
        self.now
    }

    fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    fn extra(&self) -> &Extra {
        &self.extra
    }

    fn decide(self: Box<Self>, ledger: &mut Ledger, now: Timestamp, extras: Extras) -> Answer {
        let Self { work, reply, .. } = *self;
        let result = work(ledger, now, extras);
        answer(result, reply)
    }

    fn refuse(self: Box<Self>, why: Refusal) {
        let _gone = self.reply.send(Err(why.into()));
    }
}

/// The refusal of calls that come after the engine has ended.
pub(crate) fn closed() -> Refusal {
    Refusal::Failed("it is closed".to_owned())
}
