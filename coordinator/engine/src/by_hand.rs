//! An engine that handles waiting calls only when told to, so that a simulation
//! has the same calls decided in the same order every time.

use tokio::sync::mpsc;

use crate::ledger::Ledger;
use crate::task::{Batch, Message, Task};

/// The task of an engine, run step by step. [`ByHand::turn`] awaits the store's
/// answers; with a store that is always ready, a turn never waits.
pub struct ByHand {
    task: Task,
    messages: mpsc::Receiver<Message>,
}

impl std::fmt::Debug for ByHand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ByHand")
    }
}

impl ByHand {
    pub(crate) const fn new(task: Task, messages: mpsc::Receiver<Message>) -> Self {
        Self { task, messages }
    }

    /// Handles everything that waits: decides, commits and answers.
    pub async fn turn(&mut self) {
        while let Ok(first) = self.messages.try_recv() {
            let batch = Batch::gather(first, &mut self.messages);
            if let Some(stopped) = self.task.take(batch).await {
                let _gone = stopped.send(());
            }
        }
    }

    /// Renews the lead, or tries to take it; to be called every
    /// [`swath_store::RENEW_EVERY`].
    pub async fn beat(&mut self) {
        self.task.beat().await;
    }

    /// The ledger. None after a commit that failed, until the next call loads
    /// it again, and while somebody else leads.
    pub const fn ledger(&self) -> Option<&Ledger> {
        self.task.ledger()
    }

    /// Throws the ledger away, as a failed commit does. The next call loads it
    /// again, and nobody may notice.
    pub fn forget(&mut self) {
        self.task.forget();
    }
}
