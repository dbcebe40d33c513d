//! The one writer: takes what is queued, runs it in one transaction, commits
//! it with one fsync, and only then answers.
//!
//! While a commit waits for the disk, the next batch gathers by itself; an idle
//! store never waits for company. Operations run here and not in their callers'
//! futures, so a caller that goes away changes nothing.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::{Connection, SqliteConnection};
use swath_core::outcome::Provenance;
use swath_core::policy::Policy;
use swath_store::StoreError;
use tokio::sync::{mpsc, oneshot};

use crate::error::{Failure, Result, code, sqlite_code};
use crate::lock::Lock;

/// Operations that may wait for the writer before their callers wait with them.
const QUEUE: usize = 1024;
/// Operations per transaction, so that the first of a batch is not kept
/// waiting for the last of a long queue.
const BATCH: usize = 256;

/// What an operation works on: the transaction of its batch.
pub(crate) struct Tx {
    pub(crate) conn: SqliteConnection,
    pub(crate) policy: Policy,
    /// Keys of some provenances that are stored. Emptied when anything is
    /// undone, as the row may be gone then.
    pub(crate) provenances: Vec<(Provenance, i64)>,
}

/// One call of the store, whatever it returns.
trait Operation: Send {
    fn run(self: Box<Self>, tx: &mut Tx) -> BoxFuture<'_, Done>;

    /// Answers without running.
    fn refuse(self: Box<Self>, why: &str);
}

/// An operation that ran; its caller waits for the commit.
struct Done {
    fate: Fate,
    answer: Answer,
}

/// Tells the caller, given whether the batch was committed or why not.
type Answer = Box<dyn FnOnce(Result<(), &str>) + Send>;

enum Fate {
    Kept,
    /// Its own work is to be undone.
    Undone,
    /// It takes the transaction with it.
    Ended(Ended),
}

/// Why a transaction ended without a commit.
struct Ended {
    why: String,
    /// Nothing may be written any more.
    stop: bool,
}

impl From<&sqlx::Error> for Ended {
    /// A failed fsync is not repeated: the kernel may have dropped the pages
    /// and would report success the next time.
    fn from(error: &sqlx::Error) -> Self {
        if !is_fatal(error) {
            return Self {
                why: format!("the transaction was lost, nothing of it is kept: {error}"),
                stop: false,
            };
        }
        let why = format!(
            "stopped, as the database file can no longer be trusted to keep what is written \
             ({error}); check the disk, then start the coordinator again"
        );
        tracing::error!("{why}");
        Self { why, stop: true }
    }
}

struct Call<T, F> {
    work: F,
    reply: oneshot::Sender<swath_store::Result<T>>,
}

impl<T, F> Operation for Call<T, F>
where
    T: Send + 'static,
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + 'static,
{
    fn run(self: Box<Self>, tx: &mut Tx) -> BoxFuture<'_, Done> {
        Box::pin(async move {
            let Self { work, reply } = *self;
            let result = work(tx).await;
            let fate = match &result {
                Ok(_) => Fate::Kept,
                Err(Failure::Database(error)) if is_fatal(error) => Fate::Ended(error.into()),
                Err(_) => Fate::Undone,
            };
            let answer = Box::new(move |committed: Result<(), &str>| {
                let result = match (result, committed) {
                    (Ok(value), Ok(())) => Ok(value),
                    (Ok(_), Err(why)) => Err(lost(why)),
                    (Err(failure), _) => Err(failure.into()),
                };
                // Whoever asked may be gone; the work stands.
                let _gone = reply.send(result);
            });
            Done { fate, answer }
        })
    }

    fn refuse(self: Box<Self>, why: &str) {
        let _gone = self.reply.send(Err(lost(why)));
    }
}

enum Request {
    Run(Box<dyn Operation>),
    Close(oneshot::Sender<()>),
}

/// The way to the writer.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Request>,
}

impl Writer {
    /// Starts the writer on its connection.
    pub(crate) fn start(conn: SqliteConnection, policy: Policy, lock: Arc<Lock>) -> Self {
        let (queue, requests) = mpsc::channel(QUEUE);
        let tx = Tx {
            conn,
            policy,
            provenances: Vec::new(),
        };
        tokio::spawn(async move {
            let closing = serve(tx, requests).await;
            // Nobody else may write while this one might.
            drop(lock);
            if let Some(reply) = closing {
                let _gone = reply.send(());
            }
        });
        Self { queue }
    }

    /// Runs `work` in the next transaction; answers when that is durable.
    pub(crate) async fn run<T, F>(&self, work: F) -> swath_store::Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let call = Request::Run(Box::new(Call { work, reply }));
        self.queue.send(call).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Lets the writer finish what was queued before, and end.
    pub(crate) async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.queue.send(Request::Close(reply)).await.is_ok() {
            // An error means that it has ended, too.
            let _ended = closed.await;
        }
    }
}

/// What later calls get.
pub(crate) fn closed() -> StoreError {
    lost("it is closed")
}

fn lost(why: &str) -> StoreError {
    StoreError::Failed {
        message: why.to_owned(),
        source: None,
    }
}

/// Whether what was written before can no longer be trusted after this error.
fn is_fatal(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::WorkerCrashed | sqlx::Error::Io(_) => true,
        other => matches!(
            sqlite_code(other),
            Some(code::IOERR | code::CORRUPT | code::NOTADB)
        ),
    }
}

/// Returns whom to tell that it has ended.
async fn serve(mut tx: Tx, mut requests: mpsc::Receiver<Request>) -> Option<oneshot::Sender<()>> {
    let mut stopped: Option<String> = None;
    let mut closing = None;
    while closing.is_none() {
        let Some(first) = requests.recv().await else {
            break;
        };
        let (batch, close) = gather(first, &mut requests);
        closing = close;
        match &stopped {
            Some(why) => batch.into_iter().for_each(|call| call.refuse(why)),
            None => stopped = run_batch(&mut tx, batch).await.err(),
        }
    }
    requests.close();
    while let Some(request) = requests.recv().await {
        match request {
            Request::Run(call) => call.refuse("it is closed"),
            Request::Close(reply) => drop(reply),
        }
    }
    if let Err(error) = tx.conn.close().await {
        tracing::warn!(%error, "the database did not close cleanly");
    }
    closing
}

/// Takes what is queued already; nothing after a close.
fn gather(
    first: Request,
    requests: &mut mpsc::Receiver<Request>,
) -> (Vec<Box<dyn Operation>>, Option<oneshot::Sender<()>>) {
    let mut batch = Vec::new();
    let mut next = Some(first);
    while let Some(request) = next {
        match request {
            Request::Run(call) => batch.push(call),
            Request::Close(reply) => return (batch, Some(reply)),
        }
        next = (batch.len() < BATCH)
            .then(|| requests.try_recv().ok())
            .flatten();
    }
    (batch, None)
}

/// Runs a batch in one transaction and answers everybody in it. An error says
/// why nothing may be written any more.
async fn run_batch(tx: &mut Tx, batch: Vec<Box<dyn Operation>>) -> Result<(), String> {
    if batch.is_empty() {
        return Ok(());
    }
    // With a plain BEGIN a write could find that another process wrote since.
    let (answers, rest, ended) = match execute(tx, "BEGIN IMMEDIATE").await {
        Ok(()) => run_all(tx, batch).await,
        Err(ended) => (Answers::new(), batch, Some(ended)),
    };
    let ended = match ended {
        None => execute(tx, "COMMIT").await.err(),
        some => some,
    };
    let Some(Ended { why, stop }) = ended else {
        for answer in answers {
            answer(Ok(()));
        }
        return Ok(());
    };
    tx.provenances.clear();
    // It may be rolled back already, or never have begun.
    let _undone = sqlx::query("ROLLBACK").execute(&mut tx.conn).await;
    for answer in answers {
        answer(Err(&why));
    }
    for call in rest {
        call.refuse(&why);
    }
    if stop { Err(why) } else { Ok(()) }
}

type Answers = Vec<Answer>;

/// Runs operations until one takes the transaction with it. Returns the answers
/// of those that ran, those that did not, and what ended it.
async fn run_all(
    tx: &mut Tx,
    batch: Vec<Box<dyn Operation>>,
) -> (Answers, Vec<Box<dyn Operation>>, Option<Ended>) {
    let mut answers = Answers::with_capacity(batch.len());
    let mut batch = batch.into_iter();
    let mut mark = "SAVEPOINT operation";
    while let Some(call) = batch.next() {
        if let Err(ended) = execute(tx, mark).await {
            let rest = std::iter::once(call).chain(batch).collect();
            return (answers, rest, Some(ended));
        }
        // One statement less per operation than releasing each at its end.
        mark = "RELEASE operation; SAVEPOINT operation";
        let done = call.run(tx).await;
        answers.push(done.answer);
        let ended = match done.fate {
            Fate::Kept => None,
            Fate::Undone => {
                tx.provenances.clear();
                execute(tx, "ROLLBACK TO operation").await.err()
            }
            Fate::Ended(ended) => Some(ended),
        };
        if ended.is_some() {
            return (answers, batch.collect(), ended);
        }
    }
    (answers, Vec::new(), None)
}

async fn execute(tx: &mut Tx, sql: &'static str) -> Result<(), Ended> {
    let done = sqlx::query(sql).execute(&mut tx.conn).await;
    done.map(drop).map_err(|error| Ended::from(&error))
}
